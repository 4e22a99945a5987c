//! Says news as Kubernetes Events, `events.k8s.io/v1`, on the pods that they are about.
//!
//! Nobody waits for an Event: what the API server does not take in time is said on stdout and in metrics all the same.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::told::notice::Notice;

/// As many wait while the API server is slow; more are dropped.
const MOST_WAITING: usize = 256;
/// A call of the API server takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Who says it.
const CONTROLLER: &str = "faultline.dev/hot-switch";

/// The way to the API server.
#[derive(Clone, Debug)]
pub struct Notices {
    to: Sender<(ObjectReference, Notice)>,
}

impl Notices {
    /// Begins, on the caller's runtime. `instance` is who says it, such as the node; `complain` is told once that the
    /// API server takes nothing, until it does again.
    #[must_use]
    pub fn start(client: Client, instance: &str, complain: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let (to, waiting) = mpsc::channel(MOST_WAITING);
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance.to_owned()) };
        tokio::spawn(say_all(Recorder::new(client, reporter), waiting, complain));
        Self { to }
    }

    /// Says it, soon; `pod` is `namespace/name`. A pod without namespace is none of Kubernetes', and nothing is said.
    pub fn say(&self, pod: &str, uid: &str, notice: Notice) {
        let Some((namespace, name)) = pod.split_once('/') else { return };
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        // Full: the API server takes nothing now.
        let _ = self.to.try_send((about, notice));
    }
}

async fn say_all(
    recorder: Recorder,
    mut waiting: Receiver<(ObjectReference, Notice)>,
    complain: impl Fn(&str) + Send + Sync,
) {
    let mut complained = false;
    while let Some((about, notice)) = waiting.recv().await {
        let event = Event {
            type_: if notice.is_warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.to_owned(),
            note: Some(notice.note),
            action: notice.action.to_owned(),
            secondary: None,
        };
        let said = tokio::time::timeout(TIMEOUT, recorder.publish(&event, &about)).await;
        let failed = match said {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the API server does not answer".to_owned()),
        };
        if let Some(failed) = failed.as_ref().filter(|_| !complained) {
            complain(failed);
        }
        complained = failed.is_some();
    }
}
