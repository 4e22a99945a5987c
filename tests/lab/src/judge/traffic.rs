//! Steady traffic from several clients at once, some of which leave before the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;

use super::scene::Scene;
use super::service::Role;
use crate::envoy::proxy::Envoy;
use crate::net::http::Client;
use crate::wait::eventually;

/// A client's shortest pause when traffic is eased.
const EASED_PAUSE: Duration = Duration::from_millis(25);

/// Clients that send until this is dropped.
#[derive(Debug)]
pub struct Traffic {
    clients: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    eased: AtomicBool,
    // For each client, the number of consecutive complete answers other than 5xx.
    well: Vec<AtomicU64>,
}

impl Traffic {
    /// Starts the scene's clients.
    pub fn start(envoy: &Envoy, scene: &Scene) -> Self {
        let well = (0..scene.connections).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared { well, ..Shared::default() });
        let routed = scene.services.iter().filter(|service| service.role != Role::Shadow);
        let hosts: Vec<String> = routed.map(|service| service.host().to_owned()).collect();
        let targets = envoy.addresses();
        let client = |index: usize| {
            let shared = Arc::clone(&shared);
            // Clients of one cluster use the listeners in turn.
            let (host, target) = (hosts[index % hosts.len()].clone(), targets[index / hosts.len() % targets.len()]);
            let (pause, leaving) = (scene.pause, scene.leaving);
            let rng = Rng::with_seed(scene.seed.wrapping_mul(31).wrapping_add(index as u64));
            thread::spawn(move || send(&shared, index, (target, &host), (pause, leaving), rng))
        };
        Self { clients: (0..scene.connections).map(client).collect(), shared }
    }

    /// From now on, clients pause longer, so that on a busy machine healthy endpoints answer in time.
    pub fn ease(&self) {
        self.shared.eased.store(true, Ordering::SeqCst);
    }

    /// Waits until each client has had `answers` consecutive good answers from now on.
    ///
    /// # Errors
    /// If that does not happen.
    pub fn all_well(&self, answers: u64) -> Result<()> {
        self.shared.well.iter().for_each(|well| well.store(0, Ordering::SeqCst));
        eventually("every client is answered well", || {
            Ok(self.shared.well.iter().all(|well| well.load(Ordering::SeqCst) >= answers).then_some(()))
        })
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            // A client that panicked has already reported it.
            let _ = client.join();
        }
    }
}

fn send(
    shared: &Shared,
    index: usize,
    (target, host): (SocketAddr, &str),
    (pause, leaving): (Duration, u32),
    mut rng: Rng,
) {
    let mut client = Client::new(target, host);
    let Some(well) = shared.well.get(index) else { return };
    while !shared.stop.load(Ordering::SeqCst) {
        if rng.u32(0..100) < leaving {
            // An error here means that the connection is closed, which would happen next anyway.
            let _ = client.send("/");
            thread::sleep(Duration::from_millis(rng.u64(0..30)));
            client = Client::new(target, host);
            continue;
        }
        match client.get("/") {
            Ok(answer) if answer.complete && answer.status < 500 => well.fetch_add(1, Ordering::SeqCst),
            _ => well.swap(0, Ordering::SeqCst),
        };
        thread::sleep(if shared.eased.load(Ordering::SeqCst) { pause.max(EASED_PAUSE) } else { pause });
    }
}
