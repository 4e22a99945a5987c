//! Engines that keep a fleet's logs: what is asked of them, and how their answers become records for the reader of
//! logs.
//!
//! An answer is a stream of JSON lines, one record each, whatever the engine's own form is ([`pull`]). Nothing partial
//! is taken for the whole: an engine is told to refuse where a part of it is down, and what it counted is compared
//! with what it gave.

pub(crate) mod access;
pub(crate) mod address;
mod http;
mod identity;
mod loki;
mod open_search;
mod open_search_fields;
mod open_search_numbers;
mod pipe;
pub(crate) mod question;
mod victoria_logs;
mod victoria_numbers;

use std::io::Read;

use access::Access;
use address::{Address, Kind};
use http::Http;
use pipe::Writer;
use question::Question;
use victoria_numbers::Numbers;

use crate::incident::fleet::Fleet;

/// A record has fewer bytes: an event has at most 16 kB, and names around it.
const MOST_OF_A_RECORD: u64 = 1 << 16;

/// Of few records, an answer may have so many bytes: more come while they are counted.
const LEAST_LIMIT: u64 = 256 << 20;

/// An engine that can be asked.
pub(crate) struct Engine {
    http: Http,
    kind: Kind,
}

impl Engine {
    /// Sets up the way to an engine. Nothing is sent.
    ///
    /// # Errors
    /// When https cannot be set up, or tenant and credentials cannot be sent.
    pub(crate) fn new(address: &Address, access: Access) -> anyhow::Result<Self> {
        let kind = address.kind;
        Ok(Self { http: Http::new(address, access)?, kind })
    }

    /// How many records there are, exact.
    ///
    /// # Errors
    /// When the engine cannot be reached, refuses, or answers in part.
    pub(crate) async fn count(&self, question: &Question) -> anyhow::Result<u64> {
        match self.kind {
            Kind::VictoriaLogs => victoria_logs::count(&self.http, question).await,
            Kind::OpenSearch | Kind::Elasticsearch => open_search::count(&self.http, question).await,
            Kind::Loki => loki::count(&self.http, question).await,
        }
    }

    /// The numbers of all proxies, and the question about those whose whole logs tell most.
    ///
    /// # Errors
    /// As [`Engine::count`], and where this engine cannot compute them, or not of the events as they are stored.
    pub(crate) async fn numbers(&self, question: &Question) -> anyhow::Result<(Fleet, Question)> {
        match self.kind {
            Kind::VictoriaLogs => {
                let numbers = Numbers::of(&self.http, question).await?;
                Ok((numbers.fleet().await?, numbers.sample().await?))
            }
            Kind::OpenSearch | Kind::Elasticsearch => open_search_numbers::numbers(&self.http, question).await,
            Kind::Loki => anyhow::bail!(loki::NO_NUMBERS),
        }
    }

    /// Has all records read by `read`, on a thread of its own, while they come; `records` is how many there are about,
    /// and `progress` is told of the bytes. What `read` leaves unread is not asked for.
    ///
    /// # Errors
    /// As [`Engine::count`], and when the answer is greater than so many records can be.
    pub(crate) async fn pull<T: Send + 'static>(
        &self,
        question: &Question,
        records: u64,
        progress: &dyn Fn(u64),
        read: impl FnOnce(Box<dyn Read>) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let most = records.saturating_mul(MOST_OF_A_RECORD).max(LEAST_LIMIT);
        let (mut writer, reader) = pipe::pipe(most, progress);
        let reading = tokio::task::spawn_blocking(move || read(Box::new(reader)));
        let written = self.write(question, &mut writer).await;
        writer.close(written.is_ok()).await;
        let read = reading.await;
        written?;
        Ok(read?)
    }

    async fn write(&self, question: &Question, to: &mut Writer<'_>) -> anyhow::Result<()> {
        match self.kind {
            Kind::VictoriaLogs => victoria_logs::pull(&self.http, question, to).await,
            Kind::OpenSearch | Kind::Elasticsearch => open_search::pull(&self.http, question, to).await,
            Kind::Loki => loki::pull(&self.http, question, to).await,
        }
    }
}
