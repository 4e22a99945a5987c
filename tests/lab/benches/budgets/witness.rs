//! What the witness costs Envoy's main thread, which answers it: 1,000 clusters of ten endpoints, each with traffic.
//!
//! The same load goes to an Envoy without the filter; what its main thread uses is subtracted. An outage is fifty
//! clusters that answer with errors. Endpoints are addresses of the loopback network that one server answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::envoy::bootstrap::{Bootstrap, Cluster};
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::{Endpoint, Locality};
use lab::programs::tools;
use lab::zones::{ZONES, Zones};
use serde_json::json;

use crate::figure::{Noise, Sheet};

const CLUSTERS: usize = 1_000;
/// Clusters that fail in the outage.
const FAILING: usize = 50;
/// The length of each phase, and of the time before the first: the filter meets all clusters at once and reads their
/// rules and hosts, at the pace of an outage.
const PHASE: Duration = Duration::from_secs(20);
const SETTLING: Duration = Duration::from_secs(30);
const SETTLING_WITHOUT_FILTER: Duration = Duration::from_secs(5);
/// The pause between two requests.
const PAUSE: Duration = Duration::from_micros(700);

/// The last Envoy that lists all clusters whenever it is asked, and the budgets in per cent of the main thread.
const LISTS_ALL: &str = "1.37.0";
const WHEN_WELL: f64 = 1.0;
const IN_OUTAGE: f64 = 10.0;

/// Prints the figures.
pub(crate) fn measure(module: &Path, sheet: &mut Sheet) -> Result<()> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || serve(&listener));
    let older = tools::target_dir()?.join("tools").join(format!("envoy-{LISTS_ALL}"));
    let older = binary_in(&older);
    if older.is_none() {
        println!("  (no Envoy {LISTS_ALL}: `cargo xtask setup --envoy {LISTS_ALL}`)");
    }
    let older = older.map(|file| (LISTS_ALL, Some(file), Expressions::AsInIstio));
    let newest =
        [("the tests' Envoy", None, Expressions::AsInIstio), ("one name a question", None, Expressions::Short)];
    for (name, program, expressions) in newest.into_iter().chain(older) {
        let plain = run(&bootstrap(port, program.clone(), None, expressions), SETTLING_WITHOUT_FILTER)?;
        let ours = run(&bootstrap(port, program, Some(module), expressions), SETTLING)?;
        for (phase, what, budget) in
            [(0, "its first half minute", None), (1, "calm", Some(WHEN_WELL)), (2, "an outage", Some(IN_OUTAGE))]
        {
            let more = 100.0 * (ours[phase].share - plain[phase].share).max(0.0);
            let figure = format!("main thread in {what}, {name}");
            sheet.print(&figure, more, budget, "%", Noise::Factor(1.5));
            let (p99, before) = (ours[phase].ready, plain[phase].ready);
            println!("{:<52} {:>10.2} x none", "  /ready, 99th percentile", p99 / before);
            println!("{:<52} {:>10.2} a second", "  questions", ours[phase].questions);
        }
    }
    Ok(())
}

fn binary_in(environment: &Path) -> Option<PathBuf> {
    let mut pythons = std::fs::read_dir(environment.join("lib")).ok()?.filter_map(Result::ok);
    pythons.find_map(|python| Some(python.path().join("site-packages/envoy/_bin/envoy")).filter(|file| file.is_file()))
}

/// How long the regular expressions may be that Envoy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expressions {
    AsInIstio,
    /// Envoy's own limit.
    Short,
}

fn bootstrap(port: u16, program: Option<PathBuf>, module: Option<&Path>, expressions: Expressions) -> Bootstrap {
    let rules = OutlierDetection { max_ejection_percent: 100, ..OutlierDetection::default() };
    let cluster = |n: usize| {
        let endpoint = |k: usize| Endpoint {
            address: SocketAddr::from(([127, 1 + (n / 200) as u8, (n % 200) as u8, 1 + k as u8], port)),
            locality: Locality::new(ZONES[k % 2]),
        };
        let name = format!("outbound|80||service-{n}.shop.svc.cluster.local");
        Cluster::new(&name, (0..10).map(endpoint).collect(), Some(rules.clone()))
    };
    let mut bootstrap = Bootstrap::new(&Zones::home(), (0..CLUSTERS).map(cluster).collect());
    bootstrap.program = program;
    bootstrap.workers = 2;
    bootstrap.takes_long_expressions = expressions == Expressions::AsInIstio;
    // As Istio has it: statistics of so many clusters are not kept.
    bootstrap.stats_config = json!({
        "use_all_default_tags": false,
        "stats_matcher": { "inclusion_list": { "patterns": [{ "prefix": "wasmcustom" }] } },
    });
    match module {
        Some(module) => bootstrap.with_filter(module, &json!({ "witness": {} }).to_string()),
        None => bootstrap,
    }
}

/// What one phase showed.
#[derive(Clone, Copy, Debug)]
struct Phase {
    /// The main thread's share of the time.
    share: f64,
    /// Questions of the witness in a second.
    questions: f64,
    /// The 99th percentile of the time in which `/ready` answers, in seconds.
    ready: f64,
}

/// The time of `settling`, the calm and the outage.
fn run(bootstrap: &Bootstrap, settling: Duration) -> Result<[Phase; 3]> {
    let envoy = Envoy::start(bootstrap)?;
    let mut requests = Requests::new(envoy.address());
    let met = requests.send_for(settling, "calm", &envoy)?;
    let calm = requests.send_for(PHASE, "calm", &envoy)?;
    Ok([met, calm, requests.send_for(PHASE, "outage", &envoy)?])
}

/// The CPU time of a process's main thread, in seconds.
fn main_thread(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/task/{process}/stat"))?;
    // After the name in brackets; the times are the fields 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).context("no CPU time");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// How many questions the witness has asked.
fn questions(envoy: &Envoy) -> Result<f64> {
    let text = envoy.admin("/stats?filter=witness_polls")?;
    Ok(text.lines().filter_map(|line| line.rsplit(": ").next()?.trim().parse::<f64>().ok()).sum())
}

/// Requests to all clusters in turn.
struct Requests {
    target: SocketAddr,
    stream: Option<TcpStream>,
    next: usize,
}

impl Requests {
    fn new(target: SocketAddr) -> Self {
        Self { target, stream: None, next: 0 }
    }

    fn send_for(&mut self, length: Duration, mood: &str, envoy: &Envoy) -> Result<Phase> {
        let (before, begun) = (main_thread(envoy.pid())?, Instant::now());
        let asked_before = questions(envoy)?;
        let mut ready = Vec::new();
        let mut asked = Instant::now();
        while begun.elapsed() < length {
            self.send(mood)?;
            thread::sleep(PAUSE);
            if asked.elapsed() > Duration::from_millis(100) {
                asked = Instant::now();
                envoy.admin("/ready")?;
                ready.push(asked.elapsed().as_secs_f64());
            }
        }
        ready.sort_by(f64::total_cmp);
        let share = (main_thread(envoy.pid())? - before) / begun.elapsed().as_secs_f64();
        let questions = (questions(envoy)? - asked_before) / begun.elapsed().as_secs_f64();
        Ok(Phase {
            share,
            questions,
            ready: ready.get(ready.len() * 99 / 100).copied().context("/ready was not asked")?,
        })
    }

    fn send(&mut self, mood: &str) -> Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.target)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            self.stream = Some(stream);
        }
        let host = format!("service-{}.shop.svc.cluster.local", self.next % CLUSTERS);
        let fails = mood == "outage" && self.next % CLUSTERS < FAILING;
        self.next += 1;
        let path = if fails { "/fail" } else { "/" };
        let stream = self.stream.as_mut().context("not connected")?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())?;
        // Answers are short and without a body: one read has all of it.
        let mut answer = [0_u8; 4096];
        let read = stream.read(&mut answer)?;
        let closes = answer[..read].windows(17).any(|part| part.eq_ignore_ascii_case(b"connection: close"));
        if read == 0 || closes {
            self.stream = None;
        }
        Ok(())
    }
}

/// Answers each connection once.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming().filter_map(Result::ok) {
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) {
    let mut request = [0_u8; 4096];
    let Ok(read @ 1..) = stream.read(&mut request) else { return };
    let status = if request[..read].starts_with(b"GET /fail") { "503 Service Unavailable" } else { "200 OK" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes());
}
