//! What a pod's thread does in the pod: rules, probes, connections. Everything may be done twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use hot_switch_core::Moment;
use hot_switch_core::pod::{Intent, Kernel};
use hot_switch_core::standing::Directions;

use super::shared::Shared;
use crate::kernel::reading::Reading;
use crate::kernel::sockets::Asks;
use crate::kernel::{conntrack, owners, sockets};
use crate::names::{PROXY_PORTS, STAND_IN_PORT};
use crate::pods::Pod;
use crate::stand_in::{Answers, StandIn};

/// How long a question may be without an answer on a connection that is to be ended.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// Between two looks at such connections.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// The rules as last read, and the stand-in while it serves.
#[derive(Default)]
pub(super) struct Hands {
    reading: Option<Reading>,
    stand_in: Option<StandIn>,
}

impl Hands {
    /// What is in the kernel. It is read anew if `fresh`, or if nothing is known.
    pub(super) fn kernel(&mut self, directions: Directions, fresh: bool) -> Result<Kernel> {
        let found = self.reading(fresh)?.found(directions);
        let gate = found.gate.map(Moment::from_millis);
        Ok(Kernel { captured: found.captured, probes: found.probes, ready: found.ready, gate, half: found.half })
    }

    fn reading(&mut self, fresh: bool) -> Result<&Reading> {
        if fresh {
            self.reading = None;
        }
        let reading = match self.reading.take() {
            Some(reading) => reading,
            None => Reading::take()?,
        };
        Ok(self.reading.insert(reading))
    }

    /// Probes are answered wherever they are taken over, also by an agent before this one.
    pub(super) fn answer(&mut self, pod: &Pod, kernel: &Kernel) -> Result<()> {
        if !kernel.answers() {
            self.stand_in = None;
            return Ok(());
        }
        self.serve(pod, kernel.gate.is_some() && kernel.ready)
    }

    fn serve(&mut self, pod: &Pod, for_proxy: bool) -> Result<()> {
        let answers = Answers {
            for_proxy,
            address: pod.target.address,
            from: None,
            probes: pod.target.probes.clone(),
            port: pod.target.port,
        };
        match &self.stand_in {
            Some(stand_in) => stand_in.update(answers),
            None => self.stand_in = Some(StandIn::serve(STAND_IN_PORT, answers)?),
        }
        Ok(())
    }

    /// Does one thing.
    pub(super) fn act(&mut self, pod: &Pod, intent: &Intent, shared: &Shared) -> Result<()> {
        let began = Instant::now();
        match intent {
            Intent::TakeProbes => {
                // The answers first: a probe that is redirected to nobody fails.
                self.serve(pod, false)?;
                self.change(Reading::take_probes)
            }
            Intent::TakeReady => {
                self.serve(pod, true)?;
                self.change(Reading::take_ready)
            }
            Intent::ReturnProbes => {
                self.change(Reading::return_probes)?;
                self.stand_in = None;
                Ok(())
            }
            Intent::GateOn(directions, since) => {
                let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
                self.change(|reading| reading.gate_on(*directions, since))?;
                shared.metrics().switched_in(began.elapsed());
                Ok(())
            }
            Intent::GateOff => {
                self.change(Reading::gate_off)?;
                shared.metrics().switched_in(began.elapsed());
                Ok(())
            }
            Intent::CutProxySockets => self.cut_proxy_sockets(&shared.options.proc),
            Intent::CutDirectFlows => self.cut_direct_flows(&shared.options.proc),
            Intent::Tell(_) => Ok(()),
        }
    }

    /// Changes rules as they are now, not as they were.
    fn change(&mut self, change: impl FnOnce(&Reading) -> Result<()>) -> Result<()> {
        let changed = change(self.reading(true)?);
        self.reading = None;
        changed
    }

    /// Connections that were redirected to the proxy stay its own after the gate: a client whose connection hangs would
    /// wait for its own time-out.
    fn cut_proxy_sockets(&mut self, proc: &Path) -> Result<()> {
        // With TPROXY the proxy's sockets have the application's address.
        let proxys = if self.reading(false)?.is_tproxy() { Some(owners::of_proxy(proc)?) } else { None };
        let all = sockets::list()?;
        let redirected = |socket: &&sockets::TcpSocket| PROXY_PORTS.contains(&socket.local.port());
        let diverted = |socket: &&sockets::TcpSocket| {
            proxys.as_ref().is_some_and(|proxys| socket.is_proxys(proxys) && !socket.is_internal())
        };
        let (_, complaint) = sockets::destroy_all(all.iter().filter(|socket| redirected(socket) || diverted(socket)));
        complaint.map_or(Ok(()), Err)
    }

    /// A connection that was made past the proxy would go on past it for as long as it lives. Where a question has no
    /// answer yet, it is waited for, though not for ever: so no request is lost by this that takes its turn.
    fn cut_direct_flows(&mut self, proc: &Path) -> Result<()> {
        let passed = self.reading(true)?.passed_ports();
        // Sockets first: one that the proxy opens in between is not among them, rather than taken for another's.
        let all = sockets::list()?;
        let proxys = owners::of_proxy(proc)?;
        let direct = conntrack::direct(&all, &conntrack::list()?, &passed, &proxys);
        let asks: BTreeMap<u32, Asks> = direct.into_iter().map(|(socket, asks)| (socket.inode, asks)).collect();
        let until = Instant::now() + ANSWERS_WITHIN;
        loop {
            let is_last = Instant::now() >= until;
            let now = sockets::list()?;
            let left = now.iter().filter_map(|socket| Some((socket, *asks.get(&socket.inode)?)));
            let (busy, idle): (Vec<_>, Vec<_>) = left.partition(|(socket, asks)| !is_last && socket.is_asked(*asks));
            let (_, complaint) = sockets::destroy_all(idle.into_iter().map(|(socket, _)| socket));
            if busy.is_empty() || is_last {
                return complaint.map_or(Ok(()), Err);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}
