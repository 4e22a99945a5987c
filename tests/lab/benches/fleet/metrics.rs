//! The metrics of a simulated fleet, as a Prometheus of one Kubernetes cluster scrapes them: in some pages, with the
//! proxies' own `instance` and `pod` (`honor_labels`).

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Result;

/// The number of pages.
pub(crate) const PAGES: u32 = 20;
/// The services of the mesh, and how many of them each proxy calls.
const SERVICES: u32 = 200;
const CALLED: u32 = 8;
const ZONES: [&str; 3] = ["eu-west-1/eu-west-1a", "eu-west-1/eu-west-1b", "eu-west-1/eu-west-1c"];

/// A server of the metrics; it lasts as long as the program.
#[derive(Debug)]
pub(crate) struct Fleet {
    address: SocketAddr,
    /// Whether the endpoints of the first zone are all ejected, and its proxies in failover.
    is_broken: Arc<AtomicBool>,
}

impl Fleet {
    /// Serves the metrics of so many proxies.
    pub(crate) fn start(proxies: u32) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let fleet = Self { address: listener.local_addr()?, is_broken: Arc::default() };
        let (is_broken, began) = (Arc::clone(&fleet.is_broken), Instant::now());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let is_broken = Arc::clone(&is_broken);
                thread::spawn(move || serve(stream, proxies, &is_broken, began));
            }
        });
        Ok(fleet)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks the first zone.
    pub(crate) fn break_zone(&self) {
        self.is_broken.store(true, Ordering::SeqCst);
    }
}

/// Answers one request; the page's number is what the path ends with.
fn serve(mut stream: TcpStream, proxies: u32, is_broken: &AtomicBool, began: Instant) {
    let mut request = [0_u8; 4096];
    let read = std::io::Read::read(&mut stream, &mut request).unwrap_or(0);
    let path = String::from_utf8_lossy(&request[..read]).split(' ').nth(1).unwrap_or_default().to_owned();
    let number = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let body = page(number, proxies, is_broken.load(Ordering::SeqCst), began.elapsed().as_secs() + 100);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n";
    // A Prometheus that has ended reads nothing.
    let _ = stream.write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes());
    let _ = stream.write_all(body.as_bytes());
}

fn page(number: u32, proxies: u32, is_broken: bool, seconds: u64) -> String {
    let mut page = String::new();
    for proxy in (number..proxies).step_by(usize::try_from(PAGES).unwrap_or(1)) {
        let home = ZONES[usize::try_from(proxy / PAGES % 3).unwrap_or(0)];
        write_proxy(&mut page, proxy, home, is_broken && home == ZONES[0], seconds);
    }
    page
}

fn write_proxy(page: &mut String, proxy: u32, home: &str, is_hit: bool, seconds: u64) {
    let ip = format!("10.{}.{}.{}:15090", proxy >> 16, proxy >> 8 & 255, proxy & 255);
    let me = format!("instance=\"{ip}\",pod=\"front-{proxy:05}-x7k2p\",namespace=\"shop\"");
    let mut put = |name: &str, labels: &str, value: u64| {
        let _ = writeln!(page, "{name}{{{me}{labels}}} {value}");
    };
    put("faultline_build_info", ",version=\"0.1.0\"", 1);
    put("faultline_tracked_endpoints", "", 80);
    put("faultline_witness_polls_total", ",result=\"ok\"", seconds);
    put("faultline_witness_polls_total", ",result=\"failed\"", 0);
    for nth in 0..CALLED {
        let service = (proxy.wrapping_mul(7) + nth * (SERVICES / CALLED)) % SERVICES;
        let name = format!("outbound|8000||svc{service}.shop.svc.cluster.local");
        let (ours, envoys) = (format!(",upstream_cluster=\"{name}\""), format!(",envoy_cluster_name=\"{name}\""));
        let at = |zone: &str, more: &str| format!("{ours},upstream_locality=\"{zone}\"{more}");
        put("faultline_attempts_total", &at(home, ",outcome=\"success\""), seconds * 10);
        put("envoy_cluster_membership_total", &envoys, 30);
        put("envoy_cluster_outlier_detection_ejections_enforced_total", &envoys, if is_hit { 10 } else { 0 });
        put("envoy_cluster_upstream_rq_total", &envoys, seconds * 10);
        if !is_hit {
            continue;
        }
        put("faultline_attempts_total", &at(home, ",outcome=\"local_origin\""), 50);
        put("faultline_attempts_total", &at(ZONES[1], ",outcome=\"success\""), seconds * 10);
        put("faultline_error_streaks_total", &at(home, ",streak_kind=\"local_origin\""), 10);
        let reason = ",eject_reason=\"consecutive_local_origin_failure\",basis=\"witnessed\"";
        put("faultline_ejections_total", &at(home, reason), 10);
        put("faultline_ejected_endpoints", &at(home, ""), 10);
        let route = format!("{ours},failover_from=\"{home}\",failover_to=\"{}\"", ZONES[1]);
        for metric in ["faultline_failovers_total", "faultline_failover_active", "faultline_failover_seconds_total"] {
            put(metric, &route, 1);
        }
    }
}
