//! Tests that need a real Prometheus or Alertmanager as well as Envoy: metrics, rules, alerts, the dashboard and
//! notifications.

mod alerts;
mod counts;
mod dashboard;
mod metrics;
mod notify;
