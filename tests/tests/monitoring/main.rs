//! What needs a real Prometheus or Alertmanager beside Envoy: metrics, rules, alerts, the dashboard and notifications.

mod alerts;
mod counts;
mod dashboard;
mod metrics;
mod notify;
