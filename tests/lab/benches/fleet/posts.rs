//! What a real Alertmanager answers, and sends on, when a whole fleet posts the start of a failover: all proxies at
//! once, each in its turn, and one in a hundred. The route is the shipped one; the first run is without its
//! `max_alerts`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use filter_core::config::notify::Notify;
use lab::monitoring::alertmanager::Alertmanager;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::receiver::{Notification, Receiver};
use super::turns::{Post, Turns, posts};

/// How long a notification of all alerts is waited for: the shipped `group_interval`, and some more.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(75);

/// The largest part of `notify.timeout` that 99 of 100 answers may take with turns.
const BUDGET: f64 = 0.5;

/// What one run showed.
struct Run {
    sent: usize,
    answered: usize,
    /// Milliseconds from the connection's start to the answer, sorted.
    latencies: Vec<f64>,
    largest: usize,
    alerts: usize,
    left_out: u64,
}

/// Runs and prints; true if anything is over budget.
pub(crate) fn measure(proxies: u32) -> Result<bool> {
    let timeout = Notify::default().timeout.millis() as f64;
    println!("\nposts to a real Alertmanager; a proxy waits {timeout:.0} ms for the answer");
    println!(
        "{:<36} {:>7} {:>9} {:>8} {:>8} {:>8} {:>14} {:>16}",
        "", "posts", "answered", "p50 ms", "p99 ms", "max ms", "largest, bytes", "alerts+left out"
    );
    let mut over = false;
    for (name, turns, is_cut) in [
        ("no turns, no max_alerts", Turns::None, false),
        ("no turns, the shipped route", Turns::None, true),
        ("turns, the shipped route", Turns::OneIn(1), true),
        ("turns, oneIn 100, the shipped route", Turns::OneIn(100), true),
    ] {
        let run = run(proxies, turns, is_cut)?;
        let at = |share: f64| run.latencies.get((run.latencies.len() as f64 * share) as usize).copied().unwrap_or(0.0);
        let max = run.latencies.last().copied().unwrap_or(0.0);
        println!(
            "{name:<36} {:>7} {:>9} {:>8.1} {:>8.1} {max:>8.1} {:>14} {:>9}+{}",
            run.sent,
            run.answered,
            at(0.5),
            at(0.99),
            run.largest,
            run.alerts,
            run.left_out
        );
        if turns != Turns::None && (at(0.99) > timeout * BUDGET || run.answered < run.sent) {
            println!("   OVER: 99 of 100 answers within {:.0} ms, and none missing", timeout * BUDGET);
            over = true;
        }
    }
    Ok(over)
}

fn run(proxies: u32, turns: Turns, is_cut: bool) -> Result<Run> {
    let receiver = Receiver::start()?;
    let alertmanager = Alertmanager::run(&shipped(receiver.address(), is_cut)?)?;
    // Alertmanager does not make an old alert wait for its group.
    let began = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let starts: Vec<Post> = (0..proxies).filter_map(|proxy| posts(proxy, turns, began).next()).collect();
    let sent = starts.len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut latencies = runtime.block_on(send(starts, alertmanager.address()));
    latencies.sort_by(f64::total_cmp);
    let (sent_all, most) = (Instant::now(), |seen: &[Notification]| {
        seen.iter()
            .copied()
            .max_by_key(|notification| (notification.alerts as u64 + notification.left_out, notification.bytes))
    });
    let has_all = |notification: Notification| {
        notification.alerts as u64 + notification.left_out >= latencies.len().max(1) as u64
    };
    while !most(&receiver.seen()).is_some_and(has_all) && sent_all.elapsed() < NOTIFIED_WITHIN {
        std::thread::sleep(Duration::from_millis(100));
    }
    let largest = most(&receiver.seen()).context("Alertmanager notified nobody")?;
    let (alerts, left_out) = (largest.alerts, largest.left_out);
    Ok(Run { sent, answered: latencies.len(), latencies, largest: largest.bytes, alerts, left_out })
}

/// The shipped configuration, which notifies `receiver`.
fn shipped(receiver: SocketAddr, is_cut: bool) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alertmanager/faultline.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    ensure!(
        text.contains("https://alerts.example.com") && text.contains("max_alerts: 50"),
        "the shipped route changed"
    );
    let text = text.replace("https://alerts.example.com", &format!("http://{receiver}"));
    Ok(if is_cut { text } else { text.replace("max_alerts: 50", "max_alerts: 0") })
}

/// Sends each post at its time. Returns the latencies of those that were answered with 200 within the time-out.
async fn send(posts: Vec<Post>, to: SocketAddr) -> Vec<f64> {
    let began = tokio::time::Instant::now();
    let mut all = JoinSet::new();
    for post in posts {
        all.spawn(async move {
            tokio::time::sleep_until(began + Duration::from_millis(post.at)).await;
            let timeout = Duration::from_millis(Notify::default().timeout.millis());
            let started = Instant::now();
            let status = tokio::time::timeout(timeout, exchange(&post, to)).await;
            matches!(status, Ok(Ok(200))).then(|| started.elapsed().as_secs_f64() * 1_000.0)
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = all.join_next().await {
        latencies.extend(ended.ok().flatten());
    }
    latencies
}

/// One post on a connection of its own, as each proxy has. Returns the status.
async fn exchange(post: &Post, to: SocketAddr) -> Result<u16> {
    let mut stream = TcpStream::connect(to).await?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: alertmanager\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        Notify::default().path(),
        post.body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(post.body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let status = answer.split(|byte| *byte == b' ').nth(1).and_then(|text| std::str::from_utf8(text).ok());
    status.and_then(|text| text.parse().ok()).with_context(|| format!("no answer for proxy {}", post.proxy))
}
