//! When each proxy of a fleet sends, as the filter's own outbox decides it; all time is virtual.

use filter_core::config::notify::Notify;
use filter_core::event::{Event, EventKind, FailoverCause, Route};
use filter_core::locality::{Locality, Tier};
use filter_core::names::{node_hash, proxy_name};
use filter_core::notify::Message;
use filter_core::notify::outbox::{Ended, Outbox};
use filter_core::notify::spread::Spread;
use filter_core::time::Millis;

/// A zone's proxies notice its loss with their next request: all of them within this time.
const SEEN_WITHIN_MS: u32 = 1_000;
/// For how long the fleet is watched: the start, and three or more repetitions.
const WATCHED_MS: Millis = 300_000;

/// Who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turns {
    /// Every proxy posts at once and repeats after a minute.
    None,
    /// Each proxy has its turn, and one in so many posts failovers.
    OneIn(u32),
}

/// One post of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// When, in milliseconds since the failover began.
    pub(crate) at: Millis,
    /// The proxy's number.
    pub(crate) proxy: u32,
    /// The request's body.
    pub(crate) body: String,
}

/// Prints how many posts a receiver gets in its worst second.
pub(crate) fn print(proxies: u32) {
    println!("{proxies} proxies see a failover that lasts five minutes; posts by the filter's own outbox");
    println!("{:<24} {:>10} {:>22} {:>26}", "", "posts", "of starts, a second", "of repetitions, a second");
    for (name, turns) in
        [("no turns", Turns::None), ("turns", Turns::OneIn(1)), ("turns, oneIn 100", Turns::OneIn(100))]
    {
        let (mut all, mut starts, mut again) = (0, vec![0_u32; 400], vec![0_u32; 400]);
        for proxy in 0..proxies {
            for (nth, post) in posts(proxy, turns, 1_000_000).enumerate() {
                let seconds = usize::try_from(post.at / 1_000).unwrap_or(usize::MAX);
                let counts = if nth == 0 { &mut starts } else { &mut again };
                if let Some(count) = counts.get_mut(seconds) {
                    *count += 1;
                }
                all += 1;
            }
        }
        let most = |counts: &[u32]| counts.iter().copied().max().unwrap_or(0);
        println!("{name:<24} {all:>10} {:>22} {:>26}", most(&starts), most(&again));
    }
}

/// The posts of a proxy while the failover lasts, which begins at `began`.
pub(crate) fn posts(proxy: u32, turns: Turns, began: Millis) -> impl Iterator<Item = Post> {
    let node = format!(
        "sidecar~10.{}.{}.{}~front-{proxy:05}-x7k2p.shop~shop.svc.cluster.local",
        proxy >> 16,
        proxy >> 8 & 255,
        proxy & 255
    );
    let one_in = if let Turns::OneIn(count) = turns { count } else { 1 };
    let notify = Notify { cluster: "alertmanager".into(), one_in, ..Notify::default() };
    let spread = Spread::new(if turns == Turns::None { 0 } else { node_hash(&node) }, one_in);
    let mut outbox = Outbox::default();
    let mut now = began + Millis::from(proxy.wrapping_mul(2_654_435_761) % SEEN_WITHIN_MS);
    for message in Message::of(&started(now), notify.format) {
        outbox.push(message, now, spread);
    }
    std::iter::from_fn(move || {
        while now < began + WATCHED_MS {
            if outbox.should_repeat(now, spread) {
                outbox.repeat(now, |_| true);
            }
            if let Some((round, messages)) = outbox.take(&notify, now) {
                outbox.on_response(round, Ended::Ok, &notify, now);
                let json = |message: &Message| message.to_json(&notify, proxy_name(&node));
                let alerts: Vec<String> = messages.iter().map(json).collect();
                return Some(Post { at: now - began, proxy, body: format!("[{}]", alerts.join(",")) });
            }
            now += outbox.wait(&notify, now).unwrap_or(100).max(1);
        }
        None
    })
}

fn started(at: Millis) -> Event {
    let route = Route {
        from: Locality::parse("eu-west-1/eu-west-1a"),
        to: Locality::parse("eu-west-1/eu-west-1b"),
        tier: Tier::SameRegion,
        share: 0.63,
        cause: FailoverCause::Ejected,
        healthy_at_home: 6,
        endpoints_at_home: 10,
    };
    Event::of_cluster(at, "outbound|8000||svc0.shop.svc.cluster.local", EventKind::FailoverStarted(route))
}
