//! How much of the configured budget a drift scan uses, and the memory it takes: an account of a hundred thousand subscriptions, with
//! Stripe, Postgres and the application in another process. `cargo bench --bench drift`; `-- 20000` for so many customers instead.

mod served;

use chrono::Utc;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nightdesk::config::Config;
use nightdesk::domain::fault::Source;
use nightdesk::domain::tiers::TierRules;
use nightdesk::gateway::reader::Reader;
use nightdesk::gateway::stripe::Priority;
use nightdesk::procedures::drift_scan::{Scan, Scope};
use served::Sandbox;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of whom about a hundred thousand have, or had, a subscription.
const CUSTOMERS: u64 = 340_000;
const RATES: [u32; 2] = [20, 5];

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let customers = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(CUSTOMERS);
    let sandbox = Sandbox::start(customers, &[]);
    println!(
        "{:>8} {:>14} {:>10} {:>9} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "budget", "subscriptions", "rows", "requests", "seconds", "ratio", "drifted", "before", "peak"
    );
    for rate in RATES {
        scan(&sandbox, rate).await;
    }
}

async fn scan(sandbox: &Sandbox, rate: u32) {
    let state = tempfile::tempdir().expect("a directory");
    let file = state.path().join("nightdesk.toml");
    std::fs::write(&file, format!("[stripe]\nbackground_per_s = {rate}\n")).expect("written");
    let config = Config::load(Some(&file), None, &|name| sandbox.variables.get(name).cloned()).expect("a configuration");
    let reader = Reader::open(Arc::new(config), state.path());
    let before = served::memory(std::process::id()).0;
    let mut peak = before;
    let mut scan = Scan::new(Scope::Account, Utc::now());
    let mut under_way = FuturesUnordered::new();
    let (begun, mut last) = (Instant::now(), Instant::now());
    while scan.is_under_way() {
        for (slot, query) in scan.advance(Utc::now()) {
            let reader = &reader;
            under_way.push(async move { (slot, query.clone(), reader.ask_at(query, Priority::Background).await) });
        }
        tokio::select! {
            Some((slot, query, result)) = under_way.next(), if !under_way.is_empty() => {
                if query.source() == Source::Stripe {
                    last = Instant::now();
                }
                scan.replied(slot, &query, &result, &TierRules::default(), Utc::now());
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => peak = peak.max(served::memory(std::process::id()).0),
        }
        peak = peak.max(served::memory(std::process::id()).0);
    }
    let p = scan.progress();
    let seconds = (last - begun).as_secs_f64();
    // What the bucket held at the start is not used over time.
    let used = p.asked.saturating_sub(u64::from(rate)) as f64;
    println!(
        "{:>6}/s {:>14} {:>10} {:>9} {seconds:>8.1} {:>8.2} {:>9} {:>5.0} MiB {:>5.0} MiB   {:?}",
        rate,
        p.subscriptions,
        p.rows,
        p.asked,
        used / (seconds * f64::from(rate)),
        scan.found().len(),
        before,
        peak,
        scan.standing(),
    );
    reader.close().await;
}
