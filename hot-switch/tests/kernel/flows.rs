//! Which connections a restore ends.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use hot_switch::kernel::sockets::Asks;
use hot_switch::kernel::{conntrack, owners, sockets};
use rustix::time::{ClockId, clock_gettime};

use crate::space::{Space, TPROXY_DNS};

#[test]
fn a_connection_of_which_the_pod_has_both_ends_is_not_cut_whatever_its_addresses() {
    let test = "a_connection_of_which_the_pod_has_both_ends_is_not_cut_whatever_its_addresses";
    let Some(space) = Space::create(test) else { return };
    // The application's address, and a caller's, from which the proxy calls with TPROXY.
    for address in ["10.9.0.2/32", "10.9.0.9/32"] {
        space.exec(&["ip", "addr", "add", address, "dev", "lo"], "").unwrap();
    }
    space.set("iptables-nft-restore", TPROXY_DNS);
    let work = || {
        let application = TcpListener::bind("10.9.0.2:8080")?;
        let proxy = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        proxy.bind(&std::net::SocketAddr::from(([10, 9, 0, 9], 0)).into())?;
        proxy.connect(&application.local_addr()?.into())?;
        let proxy = TcpStream::from(proxy);
        let (accepted, _) = application.accept()?;
        let (all, connections) = (sockets::list()?, conntrack::list()?);
        let seen = all.iter().filter(|socket| socket.local == accepted.local_addr().unwrap()).count();
        let tracked = connections.contains_key(&(proxy.local_addr()?, proxy.peer_addr()?));
        Ok((seen, tracked, conntrack::direct(&all, &connections, &BTreeSet::new(), &BTreeSet::new()).len()))
    };
    let (seen, tracked, direct) = space.netns().inside(work).unwrap();
    assert!(seen == 1 && tracked, "the test shows nothing: {seen} sockets, tracked: {tracked}");
    assert_eq!(direct, 0, "a request under way through the proxy would be ended");
}

/// Returns when the kernel's clock has gone on.
fn next_tick() {
    let now = || clock_gettime(ClockId::MonotonicCoarse);
    let before = now();
    while now() == before {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_question_without_an_answer_is_seen_from_both_ends() {
    let Some(space) = Space::create("a_question_without_an_answer_is_seen_from_both_ends") else { return };
    let work = || {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let mut asks = TcpStream::connect(server.local_addr()?)?;
        let (mut answers, _) = server.accept()?;
        let (owner, peer) = (asks.local_addr()?, answers.local_addr()?);
        let is_asked = || {
            let all = sockets::list()?;
            let of = |local| all.iter().find(|socket| socket.local == local).expect("it is open");
            anyhow::Ok((of(owner).is_asked(Asks::Owner), of(peer).is_asked(Asks::Peer)))
        };
        let ask = |asks: &mut TcpStream, answers: &mut TcpStream| {
            asks.write_all(b"?")?;
            answers.read_exact(&mut [0])
        };
        let answer = |asks: &mut TcpStream, answers: &mut TcpStream| {
            answers.write_all(b"!")?;
            asks.read_exact(&mut [0])
        };
        // The kernel counts in ticks: what happens within one is at the same time.
        next_tick();
        ask(&mut asks, &mut answers)?;
        let asked = is_asked()?;
        next_tick();
        answer(&mut asks, &mut answers)?;
        // An answer waits to be sent until its receipt is acknowledged, which can take a while.
        let began = Instant::now();
        let mut answered = is_asked()?;
        while answered != (false, false) && began.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(1));
            answered = is_asked()?;
        }
        Ok((asked, answered))
    };
    let (asked, answered) = space.netns().inside(work).unwrap();
    assert_eq!((asked, answered), ((true, true), (false, false)));
}

#[test]
fn the_sockets_of_a_sidecar_that_runs_as_root_are_known_by_its_group() {
    let test = "the_sockets_of_a_sidecar_that_runs_as_root_are_known_by_its_group";
    let Some(space) = Space::create(test) else { return };
    // A program that listens, as Istio runs a sidecar with TPROXY: and this test, which is the application.
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", space.path().display()));
    command.args(["setpriv", "--regid", "1337", "--clear-groups", env!("CARGO_BIN_EXE_hot-switch"), "stand-in"]);
    let mut sidecar = command.spawn().unwrap();
    let began = Instant::now();
    let found = loop {
        let found = space.netns().inside(|| owners::of_proxy(Path::new("/proc"))).unwrap();
        // It listens on two ports.
        if found.len() >= 2 || began.elapsed() > Duration::from_secs(60) {
            break found;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let held = space.netns().inside(|| {
        let application = TcpListener::bind("127.0.0.1:0")?;
        let link = std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&application)))?;
        let link = link.display().to_string();
        Ok(owners::of_proxy(Path::new("/proc"))?.iter().any(|number| link == format!("socket:[{number}]")))
    });
    let _ = sidecar.kill();
    let _ = sidecar.wait();
    assert!(found.len() >= 2, "only {found:?}");
    assert!(!held.unwrap(), "the application's own is taken for the proxy's");
}
