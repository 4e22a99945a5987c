//! The documents' drill 2, as it is typed: an endpoint outside the mesh fails, and the other region takes over.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::expected::Expected;
use super::scene::{Place, Scene};
use crate::net::http::read_request;

const CALLER: Place<'static> = ("mock-external", "caller");

/// Where the documents' `db` calls; the address is never reached.
const TARGET: &str = "192.0.2.1:80";
const HOST: &str = "mydb.com";

/// The endpoints: their addresses, names and answers.
const EAST: (&str, &str, &str) = ("10.66.0.31", "dynamodb.us-east-1.amazonaws.com", "east");
const WEST: (&str, &str, &str) = ("10.66.0.32", "dynamodb.us-west-1.amazonaws.com", "west");

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    let servers = [EAST, WEST].map(|endpoint| Server::start(scene, endpoint));
    let servers = servers.into_iter().collect::<Result<Vec<_>>>()?;
    scene.say("A service outside the mesh, with an endpoint in each of two regions");
    scene.types_of_document("kubectl apply -k deploy/istio/external/base")?;
    scene.types("kubectl -n mock-external rollout status deployment")?;
    until_answered(scene, EAST.2)?;
    call_for(scene, Duration::from_secs(3))?;
    let broken = format!("{}:81", EAST.0);

    scene.say("Break the eastern endpoint: its port becomes 81, where nothing listens, and retries hide it");
    scene.types_of_document("kubectl apply -k deploy/istio/external/port-81")?;
    // A call fails all the same if its three attempts are over before every worker knows of the ejection.
    let streak = Expected::may(json!({ "faultline": "error_streak", "endpoint": broken }));
    outage(scene, streak)?;

    scene.say("The same without retries: one call fails");
    scene.begin("external");
    scene.types("kubectl apply -k deploy/istio/external/port-81-no-retries")?;
    let proxy = scene.proxy(CALLER)?;
    scene.until("the proxy has both the port and the route without retries", |_| {
        let has_port = proxy.admin("/clusters?filter=mydb.com")?.contains(&broken);
        Ok(has_port && !retries(&proxy.admin("/config_dump?resource=dynamic_route_configs")?)?)
    })?;
    let streak = Expected::must(json!({
        "faultline": "error_streak", "endpoint": broken, "locality": "us-east1", "kind": "5xx", "streak": 1,
        "threshold": 1,
    }));
    let told = outage(scene, streak);
    scene.types("kubectl -n mock-external delete virtualservice mydb")?;
    drop(servers);
    told
}

/// Waits until the failover is told, with `streak` or without, and repairs the endpoint; everything is told once.
fn outage(scene: &mut Scene, streak: Expected) -> Result<()> {
    let broken = format!("{}:81", EAST.0);
    let began = [
        Expected::must(json!({
            "faultline": "endpoint_ejected", "endpoint": broken, "locality": "us-east1", "basis": "witnessed",
            "reason": "consecutive_5xx", "ejection": 1,
        })),
        Expected::must(json!({
            "faultline": "failover_started", "from": "us-east1", "to": "us-west", "tier": "elsewhere",
            "cause": "ejected", "healthy_at_home": 0, "endpoints_at_home": 1,
        })),
        streak,
    ];
    until_answered(scene, WEST.2)?;
    for one in began.iter().filter(|one| one.must) {
        until_told(scene, one)?;
    }
    scene.say("Repair: the eastern endpoint is at its own port again");
    scene.types("kubectl apply -k deploy/istio/external/base")?;
    until_answered(scene, EAST.2)?;
    let ended = Expected::must(json!({ "faultline": "failover_ended", "from": "us-east1", "because": "recovered" }));
    let removed = Expected::must(json!({ "faultline": "endpoint_removed", "endpoint": broken }));
    until_told(scene, &ended)?;
    scene.expect(CALLER, &[&began[..], &[ended, removed]].concat())?;
    scene.expect_silence_except(&[CALLER])
}

/// Whether a dump of Envoy's routes has retries for the service.
fn retries(dump: &str) -> Result<bool> {
    let dump: Value = serde_json::from_str(dump)?;
    let hosts = list(&dump, "/configs").iter().flat_map(|config| list(config, "/route_config/virtual_hosts"));
    let of_service = hosts.filter(|host| host["name"].as_str().is_some_and(|name| name.starts_with(HOST)));
    let mut routes = of_service.flat_map(|host| list(host, "/routes"));
    Ok(routes.any(|route| route.pointer("/route/retry_policy").is_some()))
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn call(scene: &mut Scene) -> Result<String> {
    let target: SocketAddr = TARGET.parse()?;
    Ok(scene.call(CALLER, target, HOST)?.text)
}

fn until_answered(scene: &mut Scene, text: &str) -> Result<()> {
    scene.until(&format!("the caller gets {text}"), |scene| Ok(call(scene)? == text))
}

fn call_for(scene: &mut Scene, time: Duration) -> Result<()> {
    let started = std::time::Instant::now();
    scene.until("some calm", |scene| {
        call(scene)?;
        Ok(started.elapsed() > time)
    })
}

fn until_told(scene: &mut Scene, expected: &Expected) -> Result<()> {
    let proxy = scene.proxy(CALLER)?;
    scene.until(&format!("{expected} from the caller"), |scene| {
        call(scene)?;
        Ok(scene.of_step(&proxy)?.iter().any(|event| expected.is_about(event)))
    })
}

/// A server outside the mesh, at port 80 of an address of the node; it ends when it is dropped.
struct Server {
    is_over: Arc<AtomicBool>,
}

impl Server {
    fn start(scene: &Scene, (address, name, answer): (&str, &str, &'static str)) -> Result<Self> {
        scene.mesh.add_address(address, name)?;
        let at = format!("{address}:80");
        let listener = scene.mesh.on_node(|| Ok(TcpListener::bind(&at)?)).with_context(|| at.clone())?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                thread::spawn(move || {
                    let mut unread = Vec::new();
                    while let Ok(Some(_)) = read_request(&mut stream, &mut unread) {
                        let length = answer.len() + 1;
                        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}\n");
                        if stream.write_all(text.as_bytes()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Ok(Self { is_over })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its next connection is its last; the mesh's end removes its address.
        self.is_over.store(true, Ordering::SeqCst);
    }
}
