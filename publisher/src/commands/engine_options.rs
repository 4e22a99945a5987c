//! `--logs URL` and what goes with it: which engine is asked, as whom, and for what.

use std::path::PathBuf;

use anyhow::anyhow;

use crate::commands::options::WrongUsage;
use crate::commands::time_limit::{Limit, now};
use crate::engine::Engine;
use crate::engine::access::Access;
use crate::engine::address::Address;
use crate::engine::question::Question;
use crate::incident::units::count;
use crate::terminal::output;
use crate::terminal::progress;
use filter_core::time::{Millis, rfc3339};

const HOUR_MS: Millis = 3_600_000;

/// Which engine, as whom, and what else is asked.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Logs in an engine")]
pub(crate) struct EngineOptions {
    /// Read the logs of a fleet where they are kept: victorialogs+https://HOST[:PORT][/PATH],
    /// opensearch+https://HOST/INDEX, elasticsearch+https://HOST/INDEX, loki+https://HOST, or the same with http.
    /// Credentials come from FAULTLINE_LOGS_TOKEN, or FAULTLINE_LOGS_USER and FAULTLINE_LOGS_PASSWORD.
    #[arg(long, value_name = "URL", conflicts_with = "files")]
    pub(crate) logs: Option<String>,
    /// Take the credentials from this file: USER:PASSWORD, or a token, on one line.
    #[arg(long, value_name = "FILE", requires = "logs")]
    pub(crate) logs_credentials: Option<PathBuf>,
    /// Whose logs. VictoriaLogs: ACCOUNT or ACCOUNT:PROJECT; Loki: ID, or several as ID|ID.
    #[arg(long, value_name = "TENANT", requires = "logs")]
    pub(crate) tenant: Option<String>,
    /// Only records that match, in the engine's own language: a filter in LogsQL, a query_string, or for Loki a
    /// selector; the default there is {container="istio-proxy"}.
    #[arg(long, value_name = "QUERY", requires = "logs")]
    pub(crate) query: Option<String>,
}

/// An engine and what it is asked.
pub(crate) struct Asked {
    pub(crate) engine: Engine,
    pub(crate) question: Question,
    /// Where it is, to stand for a file's name.
    pub(crate) shown: String,
}

impl EngineOptions {
    /// Refuses an option that has no meaning for files. The parser does not: it takes what a file excludes for absent.
    ///
    /// # Errors
    /// If the option is given and `--logs` is not.
    pub(crate) fn needed_by(&self, option: &str, is_given: bool) -> anyhow::Result<()> {
        if is_given && self.logs.is_none() {
            return Err(WrongUsage(anyhow!("{option} is for an engine: give --logs URL, or leave {option} out")).into());
        }
        Ok(())
    }

    /// The engine that is named, and the question about this time; none if there is no `--logs`. Without a beginning
    /// it is about the last hour, which is said.
    ///
    /// # Errors
    /// When address, credentials, tenant or times are not as they must be.
    pub(crate) fn asked(&self, since: Option<&Limit>, until: Option<&Limit>) -> anyhow::Result<Option<Asked>> {
        let Some(logs) = &self.logs else {
            let given = [
                ("--query", self.query.is_some()),
                ("--tenant", self.tenant.is_some()),
                ("--logs-credentials", self.logs_credentials.is_some()),
            ];
            given.into_iter().try_for_each(|(option, is_given)| self.needed_by(option, is_given))?;
            return Ok(None);
        };
        let address = Address::parse(logs).map_err(|error| WrongUsage(error.context("--logs")))?;
        let variable = |name: &str| std::env::var(name).ok();
        let file = self.logs_credentials.as_deref();
        let access = Access::new(file, &variable, self.tenant.clone(), output::on_exchange())?;
        let now = now();
        // Nothing is known of what is to come.
        let to = until.map_or(now, |limit| limit.on(now)).min(now);
        let from = since.map_or(to.saturating_sub(HOUR_MS), |limit| limit.on(now));
        if from >= to {
            let why = anyhow!("--since {} is not before --until {}", rfc3339(from), rfc3339(to));
            return Err(WrongUsage(why).into());
        }
        if since.is_none() {
            output::note(&format!("reading the hour from {}; --since TIME asks for more or less", rfc3339(from)));
        }
        let engine = Engine::new(&address, access).map_err(WrongUsage)?;
        let question = Question { from, to, filter: self.query.clone() };
        Ok(Some(Asked { engine, question, shown: logs.clone() }))
    }
}

impl Asked {
    /// Refuses an answer of so many lines where the engine counted more records: a part of it may be down.
    ///
    /// # Errors
    /// If there are fewer.
    pub(crate) fn must_be_all(&self, lines: u64, counted: u64) -> anyhow::Result<()> {
        anyhow::ensure!(
            lines >= counted,
            "`{}` counted {} and gave {}: a part of it may be down; try again, or ask for a shorter time",
            self.shown,
            count(counted, "record"),
            count(lines, "record")
        );
        Ok(())
    }

    /// Has all records read, about so many, while they come.
    ///
    /// # Errors
    /// As [`Engine::pull`].
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        records: u64,
        read: impl FnOnce(Box<dyn std::io::Read>) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let bar = progress::received("reading the events");
        self.engine.pull(&self.question, records, &|bytes| bar.inc(bytes), read).await
    }
}
