//! Traffic: whole exchanges, or one callback at a time.
//!
//! `exchange` plays a request in Envoy's order. With the single steps, a test can interleave streams, end them early,
//! log one that never began, or change what Envoy knows between two phases.

use crate::abi::{MapKind, Pairs};
use crate::exchange::Exchange;
use crate::exchange_data::Response;
use crate::harness::Harness;
use crate::ids::{RootId, StreamId, StreamRecord, VmId};
use crate::properties::{Path, Phase};
use crate::state::{LocalReply, StreamView};
use crate::value::Value;
use crate::vm::{Called, Vm};
use std::time::Duration;

/// How the proxy continues after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Traffic continues.
    Continue,
    /// The module holds the stream.
    Pause,
    /// The module answers instead of the endpoint.
    LocalReply(LocalReply),
    /// The VM has failed, now or earlier: the request gets a 503 (`wasm_fail_stream`) and no callback runs.
    VmFailed,
}

impl Harness {
    /// Plays a request through the first root on a worker, from its headers to its deletion.
    ///
    /// Returns the first outcome that was not `Continue`. A paused stream gets no further steps, as if the client had
    /// given up: it is logged and deleted. A local reply passes through the response callbacks instead of the
    /// endpoint's response.
    pub fn exchange(&mut self, worker: usize, exchange: &Exchange) -> Outcome {
        self.exchange_on(worker, self.root(), exchange)
    }

    /// Plays a request like [`Harness::exchange`], but through another root.
    pub fn exchange_on(&mut self, worker: usize, root: RootId, exchange: &Exchange) -> Outcome {
        let before = {
            let costs = &self.process.borrow().costs;
            (costs.fuel(), costs.host_calls())
        };
        let stream = self.open(worker, root, exchange);
        let mut outcome = self.play_request(stream);
        if matches!(outcome, Outcome::Continue | Outcome::LocalReply(_)) {
            let response = self.play_response(stream);
            if outcome == Outcome::Continue {
                outcome = response;
            }
        }
        let finished = self.finish(stream);
        if outcome == Outcome::Continue {
            outcome = finished;
        }
        let costs = &mut self.process.borrow_mut().costs;
        let (fuel, host_calls) = (costs.fuel() - before.0, costs.host_calls() - before.1);
        costs.exchanges.times += 1;
        costs.exchanges.fuel += fuel;
        costs.exchanges.host_calls += host_calls;
        costs.last_exchange = crate::costs::Cost { times: 1, fuel, host_calls };
        outcome
    }

    fn play_request(&mut self, stream: StreamId) -> Outcome {
        let data = self.view(stream).map(|view| view.exchange.clone());
        let Some(exchange) = data else { return Outcome::VmFailed };
        let request = exchange.data();
        let mut outcome = self.request_headers(stream);
        let chunks = request.request_body.len();
        for (n, chunk) in request.request_body.iter().enumerate() {
            if outcome == Outcome::Continue {
                let last = n + 1 == chunks && request.request_trailers.is_none();
                outcome = self.request_body(stream, chunk, last);
            }
        }
        if outcome == Outcome::Continue && request.request_trailers.is_some() {
            outcome = self.request_trailers(stream);
        }
        outcome
    }

    fn play_response(&mut self, stream: StreamId) -> Outcome {
        let data = self.view(stream).map(|view| view.exchange.clone());
        let Some(exchange) = data else { return Outcome::VmFailed };
        let Some(response) = &exchange.data().response else { return Outcome::Continue };
        let mut outcome = self.response_headers(stream);
        let chunks = response.body.len();
        for (n, chunk) in response.body.iter().enumerate() {
            if outcome == Outcome::Continue {
                let last = n + 1 == chunks && response.trailers.is_none() && response.complete;
                outcome = self.response_body(stream, chunk, last);
            }
        }
        if outcome == Outcome::Continue && response.complete && response.trailers.is_some() {
            outcome = self.response_trailers(stream);
        }
        outcome
    }

    /// Opens a new stream on a worker. No callback runs before its first step.
    ///
    /// # Panics
    /// If the worker does not exist or the root was removed, which is a mistake in the test.
    pub fn open(&mut self, worker: usize, root: RootId, exchange: &Exchange) -> StreamId {
        let plugin = self.plugin(root);
        let exchange = self.starting_now(exchange);
        let serial = self.current.get(&VmId::Worker(worker)).copied();
        let serial = serial.unwrap_or_else(|| panic!("the harness has no worker {worker}"));
        let vm = self.vms.get_mut(&serial).expect("a VM that serves is kept");
        let context = match vm.roots.get(&root.0).copied() {
            Some(parent) => vm.new_context(Some(parent), &plugin, Some(exchange)),
            // The VM failed before this root was added, so it has no root context for the stream.
            None => 0,
        };
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(id, StreamRecord { serial, context });
        StreamId(id)
    }

    /// The exchange with its start time, unless the test gave it one.
    fn starting_now(&self, exchange: &Exchange) -> Exchange {
        let exchange = exchange.clone();
        match exchange.data().facts.get(Phase::RequestHeaders, &Path::written("request.time")) {
            Some(_) => exchange,
            // On a real clock, no two streams start in the same nanosecond.
            None => {
                let started = self.wall_clock() + Duration::from_nanos(self.next_stream % 1_000);
                exchange.set("request.time", started)
            }
        }
    }

    /// Changes what Envoy knows about a stream, between two phases.
    pub fn update(&mut self, stream: StreamId, change: impl FnOnce(Exchange) -> Exchange) {
        if let Some(view) = self.view(stream) {
            view.exchange = change(view.exchange.clone());
        }
    }

    /// `proxy_on_context_create` if it has not been called, then `proxy_on_request_headers`.
    pub fn request_headers(&mut self, stream: StreamId) -> Outcome {
        self.create(stream);
        self.step(stream, Phase::RequestHeaders, MapKind::RequestHeaders, |view| {
            let request = view.exchange.data();
            let last = request.request_body.is_empty() && request.request_trailers.is_none();
            [request.request_headers.len() as u32, last.into()]
        })
    }

    /// `proxy_on_request_body` with one chunk.
    pub fn request_body(&mut self, stream: StreamId, chunk: &[u8], end_of_stream: bool) -> Outcome {
        self.step(stream, Phase::RequestBody, "proxy_on_request_body", |view| {
            view.body = chunk.to_vec();
            view.body_is_response = false;
            [chunk.len() as u32, end_of_stream.into()]
        })
    }

    /// `proxy_on_request_trailers`.
    pub fn request_trailers(&mut self, stream: StreamId) -> Outcome {
        self.step(stream, Phase::RequestTrailers, MapKind::RequestTrailers, |view| {
            [count(view.exchange.data().request_trailers.as_ref())]
        })
    }

    /// `proxy_on_response_headers`.
    pub fn response_headers(&mut self, stream: StreamId) -> Outcome {
        self.step(stream, Phase::ResponseHeaders, MapKind::ResponseHeaders, |view| {
            let response = view.exchange.data().response.as_ref();
            let last = response.is_some_and(|r| r.body.is_empty() && r.trailers.is_none() && r.complete);
            [count(response.map(|response| &response.headers)), last.into()]
        })
    }

    /// `proxy_on_response_body` with one chunk.
    pub fn response_body(&mut self, stream: StreamId, chunk: &[u8], end_of_stream: bool) -> Outcome {
        self.step(stream, Phase::ResponseBody, "proxy_on_response_body", |view| {
            view.body = chunk.to_vec();
            view.body_is_response = true;
            [chunk.len() as u32, end_of_stream.into()]
        })
    }

    /// `proxy_on_response_trailers`.
    pub fn response_trailers(&mut self, stream: StreamId) -> Outcome {
        self.step(stream, Phase::ResponseTrailers, MapKind::ResponseTrailers, |view| {
            let response = view.exchange.data().response.as_ref();
            [count(response.and_then(|response| response.trailers.as_ref()))]
        })
    }

    /// `proxy_on_log`. Creates the context if no step did: Envoy also logs local replies to requests whose headers
    /// never reached the filter.
    pub fn log(&mut self, stream: StreamId) -> Outcome {
        self.create(stream);
        let outcome = self.step(stream, Phase::Log, "proxy_on_log", |_| []);
        // Envoy ignores what a log callback returns.
        if outcome == Outcome::Pause { Outcome::Continue } else { outcome }
    }

    /// `proxy_on_done`. For a stream, Envoy ignores what it returns.
    pub fn done(&mut self, stream: StreamId) -> Outcome {
        let outcome = self.step(stream, Phase::Done, "proxy_on_done", |_| []);
        if outcome == Outcome::Pause { Outcome::Continue } else { outcome }
    }

    /// `proxy_on_delete`. No further step is possible.
    pub fn delete(&mut self, stream: StreamId) -> Outcome {
        let outcome = self.step(stream, Phase::Done, "proxy_on_delete", |_| []);
        if let Some(record) = self.streams.remove(&stream.0)
            && let Some(vm) = self.vms.get_mut(&record.serial)
        {
            vm.forget_context(record.context);
        }
        self.run_deferred();
        outcome
    }

    /// Log, done, delete.
    pub fn finish(&mut self, stream: StreamId) -> Outcome {
        let outcomes = [self.log(stream), self.done(stream), self.delete(stream)];
        let mut bad = outcomes.into_iter().filter(|outcome| *outcome != Outcome::Continue);
        bad.next().unwrap_or(Outcome::Continue)
    }

    /// The router's upstream log: `proxy_on_log` on the root context, with the stream info of one attempt. Envoy writes
    /// it once per attempt, and not at all for a request without an attempt (`UH`, `NR`).
    pub fn upstream_log(&mut self, worker: usize, root: RootId, attempt: &Exchange) -> Outcome {
        let attempt = self.starting_now(attempt).data().as_attempt();
        self.log_on_root(worker, root, Exchange::new(attempt))
    }

    /// The listener's access log: `proxy_on_log` on the root context, with the stream info of the whole request.
    pub fn access_log(&mut self, worker: usize, root: RootId, exchange: &Exchange) -> Outcome {
        self.log_on_root(worker, root, self.starting_now(exchange))
    }

    fn log_on_root(&mut self, worker: usize, root: RootId, exchange: Exchange) -> Outcome {
        let serial = self.current.get(&VmId::Worker(worker)).copied();
        let serial = serial.unwrap_or_else(|| panic!("the harness has no worker {worker}"));
        let Some((vm, context)) = self.vms.get_mut(&serial).and_then(|vm| {
            let context = *vm.roots.get(&root.0)?;
            Some((vm, context))
        }) else {
            return Outcome::VmFailed;
        };
        if let Some(context) = vm.context(context) {
            context.stream = Some(StreamView::new(exchange, Phase::Log));
        }
        let called = vm.call("proxy_on_log", context, &[]);
        if let Some(context) = vm.context(context) {
            context.stream = None;
        }
        self.run_deferred();
        if called == Called::Failed { Outcome::VmFailed } else { Outcome::Continue }
    }

    fn record(&self, stream: StreamId) -> StreamRecord {
        let record = self.streams.get(&stream.0).copied();
        record.unwrap_or_else(|| panic!("{stream:?} was deleted: no step can follow"))
    }

    /// The VM and the context of a stream, unless the VM has failed.
    fn live(&mut self, stream: StreamId) -> Option<(&mut Vm, u32)> {
        let record = self.record(stream);
        let vm = self.vms.get_mut(&record.serial).filter(|vm| vm.failed.is_none())?;
        Some((vm, record.context))
    }

    fn view(&mut self, stream: StreamId) -> Option<&mut StreamView> {
        let (vm, context) = self.live(stream)?;
        vm.stream(context)
    }

    fn create(&mut self, stream: StreamId) {
        if let Some((vm, context)) = self.live(stream) {
            vm.create(context);
        }
    }

    /// Runs one callback: sets the phase and makes its header map or body visible, until the callback continues.
    fn step<const N: usize>(
        &mut self,
        stream: StreamId,
        phase: Phase,
        what: impl Into<Step>,
        prepare: impl FnOnce(&mut StreamView) -> [u32; N],
    ) -> Outcome {
        let step = what.into();
        let Some((vm, context)) = self.live(stream) else { return Outcome::VmFailed };
        let created = vm.state().context(context).is_some_and(|context| context.created);
        let Some(view) = vm.stream(context) else { return Outcome::VmFailed };
        // Envoy calls nothing for a stream whose context was never created.
        if !created {
            return Outcome::Continue;
        }
        view.phase = phase;
        if let Some(map) = step.map {
            view.visible[map as usize] = true;
        }
        let arguments = prepare(view);
        let called = vm.call(step.callback, context, &arguments);
        let mut outcome = match called {
            Called::Absent | Called::Returned(0) => Outcome::Continue,
            Called::Returned(_) => Outcome::Pause,
            Called::Failed => Outcome::VmFailed,
        };
        if let Some(view) = vm.stream(context) {
            if outcome == Outcome::Continue {
                view.body.clear();
                if let Some(map) = step.map {
                    view.visible[map as usize] = false;
                }
            }
            if let Some(reply) = view.local_reply.take() {
                replace_response(view, &reply);
                outcome = Outcome::LocalReply(reply);
            }
        }
        self.run_deferred();
        outcome
    }
}

/// A stream's callback and the header map that it may read.
struct Step {
    callback: &'static str,
    map: Option<MapKind>,
}

impl From<&'static str> for Step {
    fn from(callback: &'static str) -> Self {
        Step { callback, map: None }
    }
}

impl From<MapKind> for Step {
    fn from(map: MapKind) -> Self {
        let callback = match map {
            MapKind::RequestHeaders => "proxy_on_request_headers",
            MapKind::RequestTrailers => "proxy_on_request_trailers",
            MapKind::ResponseHeaders => "proxy_on_response_headers",
            _ => "proxy_on_response_trailers",
        };
        Step { callback, map: Some(map) }
    }
}

fn count(pairs: Option<&Pairs>) -> u32 {
    pairs.map_or(0, |pairs| pairs.len() as u32)
}

/// The module's local reply replaces the response.
fn replace_response(view: &mut StreamView, reply: &LocalReply) {
    let status = (b":status".to_vec(), reply.code.to_string().into_bytes());
    let data = view.exchange.data_mut();
    data.response = Some(Response {
        headers: [vec![status], reply.headers.clone()].concat(),
        body: if reply.body.is_empty() { vec![] } else { vec![reply.body.clone()] },
        trailers: None,
        complete: true,
    });
    let facts = &mut data.facts;
    let from = Phase::ResponseHeaders;
    facts.set(from, "response.code", Some(Value::Int(reply.code.into())));
    facts.set(from, "response.code_details", Some(reply.details.as_str().into()));
    facts.set(from, "response.flags", Some(Value::Int(0)));
}
