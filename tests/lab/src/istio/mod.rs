//! A real Istio without a cluster: etcd, kube-apiserver, istiod with its injector and validator, a registry, and pods
//! with pilot-agent and Envoy, each in a network namespace with Istio's own iptables rules.
//!
//! Only the kubelet and the controllers of Deployments and EndpointSlices are stood in for ([`kubelet`]), because a
//! container runtime needs more than a test's machine allows. Needs root; the programs come from `cargo xtask`, and
//! [`obstacle`] says what is missing.

mod api;
mod api_server;
mod control_plane;
mod document;
mod installation;
mod kubelet;
mod mesh;
mod netns;
mod operator;
mod parts;
mod proxy;
mod root;
mod servers;
mod subscriber;
mod teardown;

pub(crate) use api::{Admission, Api};
pub use api_server::{Account, ApiServer};
pub(crate) use control_plane::ControlPlane;
pub(crate) use mesh::{Mesh, State};
pub(crate) use netns::{Namespace, attempt, folder, mesh_name, sweep};
pub use parts::{Branch, obstacle, obstacle_to_api_server};
pub(crate) use proxy::{Answer, Proxy};
pub(crate) use subscriber::{Client, Subscriber};
pub(crate) use teardown::Teardown;
