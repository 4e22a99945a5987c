//! The clock, ticks, and the answers to HTTP calls.
//!
//! Time stands still until a test moves it. Ticks and timeouts then happen in order of their due time or, if that is
//! the same, in the order in which they were armed. As in Envoy, a tick is armed again when its callback is over.

use crate::abi::{Pairs, Status, text_pairs};
use crate::harness::Harness;
use crate::ids::CallId;
use crate::process::{HttpCall, Timer};
use crate::state::Answer;
use crate::streams::Outcome;
use crate::vm::Called;
use std::time::Duration;

impl Harness {
    /// Lets time pass: ticks and timeouts that become due happen in order, each at its own time.
    pub fn advance(&mut self, time: Duration) {
        let until = self.now() + time;
        loop {
            let timer = self.process.borrow().next_timer(until);
            let timeout = self.process.borrow().next_timeout(until);
            match (timer, timeout) {
                (Some(timer), Some((due, _))) if timer.due <= due => self.tick(timer),
                (_, Some((due, call))) => {
                    self.process.borrow_mut().move_to(due);
                    // Envoy's own text for a call that timed out.
                    let text = [("content-length", "24"), ("content-type", "text/plain")];
                    self.answer(call, 504, &text, b"upstream request timeout");
                }
                (Some(timer), None) => self.tick(timer),
                (None, None) => break,
            }
        }
        self.process.borrow_mut().move_to(until);
    }

    /// Lets time pass while nothing runs, as in a suspended process. Everything that became due happens late, with the
    /// next `advance` (which may be by zero).
    pub fn stall(&mut self, time: Duration) {
        let until = self.now() + time;
        self.process.borrow_mut().move_to(until);
    }

    /// Sets the wall clock forward or back; no time passes.
    pub fn set_wall_clock(&mut self, since_epoch: Duration) {
        self.process.borrow_mut().wall = since_epoch;
    }

    fn tick(&mut self, timer: Timer) {
        self.process.borrow_mut().move_to(timer.due);
        if let Some(vm) = self.vms.get_mut(&timer.serial) {
            vm.call("proxy_on_tick", timer.root, &[]);
        }
        let mut process = self.process.borrow_mut();
        let armed = process.timers.iter().find(|t| t.serial == timer.serial && t.root == timer.root).copied();
        if let Some(still) = armed {
            process.arm(still.serial, still.root, still.period);
        }
        drop(process);
        self.run_deferred();
    }

    /// HTTP calls of the module that have no answer yet, oldest first.
    pub fn calls(&self) -> Vec<HttpCall> {
        self.process.borrow().calls.clone()
    }

    /// Answers a call: `proxy_on_http_call_response` on the root context that made it, which can read the answer.
    /// `None` if the call is no longer pending: it timed out, was answered, or its caller is gone.
    pub fn answer(&mut self, call: CallId, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Option<Outcome> {
        let status = status.to_string();
        let headers = [&[(":status", status.as_str())], headers].concat();
        self.deliver(call, Some((text_pairs(&headers), body.to_vec())))
    }

    /// Resets a call, as if its answer was too large: the callback gets 0 headers, and the message of
    /// `proxy_get_status` is `reset`. `None` if the call is no longer pending.
    pub fn reset_call(&mut self, call: CallId) -> Option<Outcome> {
        self.deliver(call, None)
    }

    fn deliver(&mut self, call: CallId, answer: Option<(Pairs, Vec<u8>)>) -> Option<Outcome> {
        let mut process = self.process.borrow_mut();
        let at = process.calls.iter().position(|pending| pending.id == call)?;
        let call = process.calls.remove(at);
        drop(process);
        let vm = self.vms.get_mut(&call.serial)?;
        let root = vm.context(call.root)?;
        let mut arguments = [call.token, 0, 0, 0];
        match answer {
            Some((headers, body)) => {
                arguments = [call.token, headers.len() as u32, body.len() as u32, 0];
                root.answer = Some(Answer { headers, body, trailers: None });
            }
            None => root.status = (Status::BrokenConnection.0, "reset"),
        }
        let called = vm.call("proxy_on_http_call_response", call.root, &arguments);
        if let Some(root) = vm.context(call.root) {
            root.answer = None;
            root.status.1 = "";
        }
        self.run_deferred();
        Some(if called == Called::Failed { Outcome::VmFailed } else { Outcome::Continue })
    }
}
