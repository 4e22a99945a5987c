//! Random failures of pods, nodes, agents, controller and API server over virtual hours, and what must always hold.

use std::collections::BTreeMap;

use hot_switch_core::Moment;
use hot_switch_core::fleet::{Ask, Fleet, Limits};
use hot_switch_core::pod::{Consent, Intent, News, State};
use hot_switch_core::refusal::Refusal;
use hot_switch_core::settings::Settings;
use hot_switch_core::sighting::App;
use hot_switch_core::standing::{Mode, Standing};

use crate::world::{ACT, Proxy, World, secs};

const WORKLOADS: usize = 4;
const PODS: usize = 6;

/// A mesh, its controller, and what was seen of each pod.
struct Mesh {
    seed: u64,
    random: fastrand::Rng,
    now: Moment,
    pods: Vec<Member>,
    fleet: Option<Fleet>,
    limits: Limits,
    api: bool,
    /// When all pods of a workload were down last.
    all_down: BTreeMap<String, Moment>,
}

struct Member {
    name: String,
    workload: String,
    world: World,
    was_ever_well: bool,
    gate_before: bool,
    /// When the gate went on, within the last ten minutes.
    switches: Vec<Moment>,
}

impl Mesh {
    fn new(seed: u64) -> Self {
        let limits = Limits { breaker_at_least: 12, ..Limits::default() };
        let mut random = fastrand::Rng::with_seed(seed);
        let pods = (0..WORKLOADS * PODS).map(|number| {
            let mut world = World::new(Settings { longest: secs(1200), ..Settings::default() });
            world.consent = Consent::NoController;
            // Some never come up.
            world.proxy = if random.u8(..8) == 0 { Proxy::Starting } else { Proxy::Well };
            Member {
                name: format!("pod-{number}"),
                workload: format!("workload-{}", number % WORKLOADS),
                world,
                was_ever_well: false,
                gate_before: false,
                switches: Vec::new(),
            }
        });
        let pods = pods.collect();
        let fleet = Some(Fleet::new(limits.clone()));
        Self { seed, random, now: Moment::ZERO, pods, fleet, limits, api: true, all_down: BTreeMap::new() }
    }

    /// Something happens, or nothing.
    fn happen(&mut self) {
        let at = self.random.usize(..self.pods.len());
        let chance = self.random.u32(..1000);
        let Some(member) = self.pods.get_mut(at) else { return };
        match chance {
            0..60 => {
                let failures = [Proxy::Dead, Proxy::Hung, Proxy::Frozen, Proxy::Slow, Proxy::Starting];
                member.world.proxy = self.random.choice(failures).unwrap();
            }
            60..160 => member.world.proxy = Proxy::Well,
            160..170 => member.world.app = if self.random.bool() { App::Answers } else { App::Fails },
            // The agent ends and another one begins.
            170..190 => {
                member.world.pod =
                    hot_switch_core::pod::Pod::new(Settings { longest: secs(1200), ..Settings::default() });
                member.switches.clear();
            }
            190..194 => member.world.standing = Standing { mode: Mode::Report, ..ACT },
            194..200 => member.world.standing = ACT,
            200..204 => self.api = false,
            204..214 => self.api = true,
            214..217 => self.fleet = None,
            // Another controller begins, and finds out what was granted.
            217..227 if self.fleet.is_none() => {
                let mut fleet = Fleet::new(self.limits.clone());
                for member in self.pods.iter().filter(|member| member.world.kernel.gate.is_some()) {
                    fleet.adopt(&member.name, &member.workload);
                }
                self.fleet = Some(fleet);
            }
            _ => {}
        }
    }

    fn control(&mut self) {
        let (Some(fleet), true) = (&mut self.fleet, self.api) else {
            self.pods.iter_mut().for_each(|member| member.world.consent = Consent::NoController);
            return;
        };
        let down: Vec<(String, bool)> = self
            .pods
            .iter()
            .map(|member| {
                let down = member.world.pod.is_failing() || member.world.pod.wish().is_some();
                (member.workload.clone(), down)
            })
            .collect();
        for member in &mut self.pods {
            if member.world.pod.wish().is_none() {
                fleet.release(&member.name);
                member.world.consent = Consent::Waiting;
                continue;
            }
            let ask = Ask {
                pod: &member.name,
                workload: &member.workload,
                workload_pods: PODS,
                workload_down: down.iter().filter(|(of, down)| *down && *of == member.workload).count(),
                proxies: WORKLOADS * PODS,
            };
            let word = match fleet.ask(self.now, &ask) {
                Ok(()) => Consent::Granted,
                Err(refusal) => Consent::Denied(refusal),
            };
            member.world.consent = word;
        }
    }

    fn round(&mut self) {
        self.happen();
        for member in &mut self.pods {
            member.world.now = self.now;
            let intents = member.world.pod.step(&member.world.facts());
            interrupted(&mut self.random, &mut member.world, intents);
        }
        self.control();
        for member in &mut self.pods {
            let intents = member.world.pod.hear(&member.world.facts());
            interrupted(&mut self.random, &mut member.world, intents);
        }
        self.check();
        self.now += secs(1);
    }

    fn check(&mut self) {
        let seed = self.seed;
        let mut began = Vec::new();
        for member in &mut self.pods {
            let world = &member.world;
            member.was_ever_well |= world.proxy == Proxy::Well;
            let gate = world.kernel.gate.is_some();
            if gate && !member.gate_before {
                assert!(member.was_ever_well, "seed {seed}: an unborn proxy was bypassed");
                assert_ne!(world.proxy, Proxy::Slow, "seed {seed}: a slow proxy was bypassed");
                assert_eq!(world.standing.mode, Mode::Act, "seed {seed}: bypassed without being asked to");
                member.switches.retain(|at| self.now - *at < secs(600));
                member.switches.push(self.now);
                began.push(member.workload.clone());
                assert!(member.switches.len() <= 3, "seed {seed}: {} flaps: {:?}", member.name, member.switches);
            }
            member.gate_before = gate;
            if gate && world.pod.state() == State::Well {
                panic!("seed {seed}: {} has a gate that nobody looks after", member.name);
            }
        }
        self.check_budget(&began);
    }

    /// When a gate goes on, the workload's budget allows it, or all of its pods were down when it was granted.
    fn check_budget(&mut self, began: &[String]) {
        for workload in (0..WORKLOADS).map(|number| format!("workload-{number}")) {
            let of = || self.pods.iter().filter(|member| member.workload == workload);
            let is_down = |member: &Member| member.world.proxy != Proxy::Well || member.world.kernel.gate.is_some();
            if of().all(is_down) {
                self.all_down.insert(workload.clone(), self.now);
            }
            // 30 % of 6 pods is one.
            let budget = (PODS * self.limits.budget_percent / 100).max(1);
            let bypassed = of().filter(|member| member.world.kernel.gate.is_some()).count();
            // A change of rules that failed is done some rounds after it was granted.
            let excused = self.all_down.get(&workload).is_some_and(|at| self.now - *at <= secs(5));
            let seed = self.seed;
            assert!(
                !began.contains(&workload) || bypassed <= budget || excused,
                "seed {seed}: {bypassed} of {workload} are bypassed, and one of them anew"
            );
        }
    }
}

/// Does what is wanted, unless the kernel or the agent fails in between.
fn interrupted(random: &mut fastrand::Rng, world: &mut World, intents: Vec<Intent>) {
    for intent in intents {
        if random.u8(..50) == 0 {
            return;
        }
        world.apply_one(intent);
    }
    let more = world.pod.settle(world.now, &world.kernel);
    more.into_iter().for_each(|intent| world.apply_one(intent));
}

#[test]
fn whatever_fails_the_limits_hold_and_every_bypass_ends() {
    let mut bypasses = 0;
    for seed in 0..40 {
        let mut mesh = Mesh::new(seed);
        for _ in 0..2400 {
            mesh.round();
        }
        bypasses += mesh
            .pods
            .iter()
            .flat_map(|member| &member.world.news)
            .filter(|(_, news)| matches!(news, News::Bypassed(..)))
            .count();
        // Calm: all proxies are well. Every bypass ends, whether or not there is anybody to ask.
        mesh.pods.iter_mut().for_each(|member| member.world.proxy = Proxy::Well);
        mesh.api = seed % 2 == 0;
        for _ in 0..120 {
            for member in &mut mesh.pods {
                member.world.now = mesh.now;
                let intents = member.world.pod.step(&member.world.facts());
                interrupted(&mut mesh.random, &mut member.world, intents);
            }
            mesh.control();
            mesh.now += secs(1);
        }
        for member in &mesh.pods {
            let world = &member.world;
            assert_eq!(world.kernel.gate, None, "seed {seed}: {} {:?}", member.name, world.pod);
            assert!(!world.kernel.probes, "seed {seed}: {} {:?}", member.name, world.pod);
            assert_eq!(world.pod.wish(), None, "seed {seed}: {}", member.name);
        }
    }
    assert!(bypasses > 100, "the mesh must fail often enough to prove anything: {bypasses} bypasses");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let told = |seed| {
        let mut mesh = Mesh::new(seed);
        (0..600).for_each(|_| mesh.round());
        mesh.pods.iter().map(|member| member.world.news.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(7), told(7));
}

#[test]
fn a_mesh_that_fails_at_once_is_left_alone() {
    let mut mesh = Mesh::new(1);
    (0..5).for_each(|_| mesh.round());
    mesh.pods.iter_mut().for_each(|member| member.world.proxy = Proxy::Hung);
    mesh.random = fastrand::Rng::with_seed(0);
    for _ in 0..30 {
        for member in &mut mesh.pods {
            member.world.now = mesh.now;
            let intents = member.world.pod.step(&member.world.facts());
            member.world.apply(intents);
            if let Some(fleet) = mesh.fleet.as_mut().filter(|_| member.world.pod.is_failing()) {
                fleet.fails(mesh.now, &member.name);
            }
        }
        mesh.control();
        for member in &mut mesh.pods {
            let intents = member.world.pod.hear(&member.world.facts());
            member.world.apply(intents);
        }
        mesh.now += secs(1);
    }
    let bypassed = mesh.pods.iter().filter(|member| member.world.kernel.gate.is_some()).count();
    assert_eq!(bypassed, 0);
    let refused = mesh.pods.iter().filter(|member| member.world.pod.state() == State::Refused(Refusal::Breaker));
    assert!(refused.count() > PODS, "and they say why");
}
