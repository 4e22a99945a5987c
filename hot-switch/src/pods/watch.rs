//! The pods of a node, watched at the API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{FutureExt, StreamExt};
use hot_switch_core::standing::Life;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod as Object};
use kube::api::{Api, ListParams};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Client, ResourceExt};

use super::{Pod, Source, kubernetes};

/// How often nodes and namespaces are read: what they say changes seldom.
const READ_EVERY: Duration = Duration::from_secs(10);

/// The pods of a node.
#[derive(Debug)]
pub struct Watched {
    store: Store<Object>,
    around: Arc<Mutex<Around>>,
}

/// What is around the pods.
#[derive(Debug, Default)]
struct Around {
    known: bool,
    /// The node is cordoned.
    cordoned: bool,
    /// The annotations of namespaces.
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

impl Watched {
    /// Begins to watch the pods of this node, on the runtime of the caller.
    #[must_use]
    pub fn start(client: Client, node: &str) -> Self {
        let (store, writer) = reflector::store();
        let on_node = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
        let stream = reflector(writer, watcher(Api::<Object>::all(client.clone()), on_node)).default_backoff();
        tokio::spawn(stream.for_each(|_| std::future::ready(())));
        let around = Arc::new(Mutex::new(Around::default()));
        let (shared, node) = (Arc::clone(&around), node.to_owned());
        tokio::spawn(async move {
            loop {
                if let Err(error) = read_around(&client, &node, &shared).await {
                    eprintln!("error: {error:#}; what was known goes on to hold");
                }
                tokio::time::sleep(READ_EVERY).await;
            }
        });
        Self { store, around }
    }
}

async fn read_around(client: &Client, node: &str, shared: &Mutex<Around>) -> Result<()> {
    let node = Api::<Node>::all(client.clone()).get(node).await.context("the node cannot be read")?;
    let namespaces = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await;
    let namespaces = namespaces.context("namespaces cannot be listed")?;
    let mut around = shared.lock().unwrap_or_else(PoisonError::into_inner);
    around.known = true;
    around.cordoned = node.spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    around.namespaces =
        namespaces.items.iter().map(|namespace| (namespace.name_any(), namespace.annotations().clone())).collect();
    Ok(())
}

impl Source for Watched {
    fn pods(&mut self) -> Result<Vec<Pod>> {
        let around = self.around.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            around.known && self.store.wait_until_ready().now_or_never().is_some(),
            "the API server has not said yet which pods there are"
        );
        let nothing = BTreeMap::new();
        let read = |object: &Arc<Object>| {
            let namespace = object.namespace().unwrap_or_default();
            let mut pod = kubernetes::read(object, around.namespaces.get(&namespace).unwrap_or(&nothing))?;
            if around.cordoned && pod.standing.life == Life::Lives {
                pod.standing.life = Life::Draining;
            }
            Some(pod)
        };
        Ok(self.store.state().iter().filter_map(read).collect())
    }
}
