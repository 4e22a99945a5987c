//! Tests that need a real Prometheus or Alertmanager as well as Envoy: metrics, rules, alerts, the dashboard,
//! notifications and their route.

mod alerts;
mod counts;
mod dashboard;
mod metrics;
mod notify;
mod route;
