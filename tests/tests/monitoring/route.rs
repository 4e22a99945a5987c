//! Tests of `deploy/alertmanager`: a real Alertmanager with the shipped configuration, of which only the receivers'
//! address and the waiting times are changed.
//!
//! What the alerts are made of is in [`crate::alerts`] and [`crate::notify`]; here they are posted.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use lab::monitoring::webhook::{Alert, Webhook};
use lab::net::ports::HeldPort;
use lab::programs::run::wait_for_answer;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use serde_json::{Value, json};

const TO_REGION: &str = "FaultlineFailoverToAnotherRegion";
const TO_ZONE: &str = "FaultlineFailoverToAnotherZone";
const EJECTED: &str = "FaultlineEndpointEjected";
const SHARE_EJECTED: &str = "FaultlineClusterShareEjected";
const NONE_HEALTHY: &str = "FaultlineNoHealthyUpstream";

/// An Alertmanager that runs the shipped configuration.
struct Shipped {
    child: Child,
    port: HeldPort,
    webhook: Webhook,
    // Never read; removes the directory when it is dropped.
    _dir: tempfile::TempDir,
}

impl Shipped {
    fn start() -> Result<Self> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alertmanager/faultline.yaml");
        let shipped = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let webhook = Webhook::start()?;
        let receiver = format!("http://{}", webhook.address());
        let mut config = shipped;
        for (from, to) in [
            ("https://alerts.example.com", receiver.as_str()),
            ("group_wait: 10s", "group_wait: 1s"),
            ("group_interval: 1m", "group_interval: 1s"),
        ] {
            ensure!(config.contains(from), "the configuration has no `{from}`");
            config = config.replace(from, to);
        }
        let dir = tempfile::Builder::new().prefix("alertmanager-").tempdir()?;
        let (path, log) = (dir.path().join("alertmanager.yaml"), dir.path().join("log"));
        std::fs::write(&path, config)?;
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let out = std::fs::File::create(&log)?;
        let mut child = Command::new(Tool::Alertmanager.path()?)
            .arg("--config.file")
            .arg(&path)
            .arg("--storage.path")
            .arg(dir.path().join("data"))
            .args(["--web.listen-address", &port.address().to_string(), "--cluster.listen-address="])
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        wait_for_answer("Alertmanager", &mut child, port.address(), "/-/ready", &log)?;
        Ok(Self { child, port, webhook, _dir: dir })
    }

    /// Posts alerts, all in one request, so that Alertmanager groups and inhibits them together.
    fn post(&self, alerts: &[Value]) -> Result<()> {
        post(self.port.address(), &json!(alerts).to_string())
    }

    /// The alerts so far with these labels.
    fn told(&self, name: &str, service: &str) -> Vec<Alert> {
        let mut alerts = self.webhook.alerts();
        alerts.retain(|alert| alert.fires(name) && alert.label("service") == service);
        alerts
    }
}

impl Drop for Shipped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn post(to: SocketAddr, body: &str) -> Result<()> {
    let mut stream = TcpStream::connect(to)?;
    write!(
        stream,
        "POST /api/v2/alerts HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\n\
            content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let answer = std::io::read_to_string(&stream)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

/// An alert with the labels that the rules give it.
fn alert(name: &str, service: &str, more: &[(&str, &str)]) -> Value {
    let severity = if [EJECTED, TO_ZONE].contains(&name) { "warning" } else { "critical" };
    let mut labels = json!({"alertname": name, "service": service, "severity": severity});
    for (label, value) in more {
        labels[label] = json!(value);
    }
    json!({"labels": labels})
}

#[test]
fn a_hundred_proxies_make_one_notification_of_fifty_alerts() -> Result<()> {
    let alertmanager = Shipped::start()?;
    let proxies: Vec<String> = (0..100).map(|number| format!("front-{number}.shop")).collect();
    let route = [("failover_from", "eu/eu-a"), ("failover_to", "eu/eu-b")];
    let alerts: Vec<Value> = proxies
        .iter()
        .map(|proxy| alert(TO_ZONE, "cart.shop", &[&route[..], &[("proxy", proxy.as_str())]].concat()))
        .collect();
    alertmanager.post(&alerts)?;
    // Another service's, which comes later: then the first one's notification has come.
    eventually("the notification", || Ok((!alertmanager.told(TO_ZONE, "cart.shop").is_empty()).then_some(())))?;
    alertmanager.post(&[alert(TO_ZONE, "pay.shop", &route)])?;
    eventually("the other", || Ok((!alertmanager.told(TO_ZONE, "pay.shop").is_empty()).then_some(())))?;
    assert_eq!(alertmanager.told(TO_ZONE, "cart.shop").len(), 50);
    Ok(())
}

#[test]
fn a_failover_holds_back_what_follows_from_it_and_nothing_else() -> Result<()> {
    let alertmanager = Shipped::start()?;
    let failover = [("failover_from", "eu/eu-a"), ("failover_to", "us/us-a"), ("upstream_locality", "eu/eu-a")];
    alertmanager.post(&[
        alert(TO_REGION, "cart.shop", &failover),
        alert(EJECTED, "cart.shop", &[("upstream_locality", "eu/eu-a")]),
        alert(EJECTED, "cart.shop", &[("upstream_locality", "us/us-a")]),
        alert(SHARE_EJECTED, "cart.shop", &[]),
        // Nothing healthy is left of this one.
        alert(NONE_HEALTHY, "pay.shop", &[]),
        alert(TO_REGION, "pay.shop", &failover),
        // Another service is not its concern.
        alert(EJECTED, "stock.shop", &[("upstream_locality", "eu/eu-a")]),
    ])?;
    eventually("what is told", || {
        let told =
            [(TO_REGION, "cart.shop"), (EJECTED, "cart.shop"), (NONE_HEALTHY, "pay.shop"), (EJECTED, "stock.shop")];
        Ok(told.iter().all(|(name, service)| !alertmanager.told(name, service).is_empty()).then_some(()))
    })?;
    let ejected = alertmanager.told(EJECTED, "cart.shop");
    assert!(ejected.iter().all(|alert| alert.label("upstream_locality") == "us/us-a"), "{ejected:?}");
    for (name, service) in [(SHARE_EJECTED, "cart.shop"), (TO_REGION, "pay.shop")] {
        assert!(alertmanager.told(name, service).is_empty(), "{name} of {service} was told");
    }
    Ok(())
}
