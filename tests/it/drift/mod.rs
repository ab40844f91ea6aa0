//! The drift scan over the real gateway: every class in the sandbox, and everything that makes it stand still, wait or go on.

mod classes;
mod commands;
mod screen;
mod standing;

use crate::bench::Bench;
use chrono::Utc;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use nightdesk::config::Config;
use nightdesk::domain::tiers::TierRules;
use nightdesk::domain::webhooks::drift::Class;
use nightdesk::gateway::reader::Reader;
use nightdesk::gateway::stripe::Priority;
use nightdesk::procedures::drift_scan::{Scan, Scope};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The gateway of a bench, with a state directory of its own.
struct Outside {
    reader: Reader,
    _state: TempDir,
}

impl Outside {
    /// `toml` stands in the configuration file, before the map that the schema may need.
    fn of(bench: &Bench, toml: &str) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let variables = bench.environment();
        let map = variables.iter().find(|(n, _)| *n == "NIGHTDESK_CONFIG").map(|(_, path)| std::fs::read_to_string(path).expect("a map"));
        let path = state.path().join("nightdesk.toml");
        std::fs::write(&path, format!("{toml}\n{}", map.unwrap_or_default())).expect("written");
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        let config = Config::load(Some(Path::new(&path)), None, &lookup).expect("a configuration");
        Self { reader: Reader::open(Arc::new(config), state.path()), _state: state }
    }

    /// Answers the scan until it is through, or until `enough` says so.
    async fn scan_until(&self, scan: &mut Scan, enough: impl Fn(&Scan) -> bool) {
        // What was out when it was left the last time is nobody's answer any more.
        scan.reopen();
        let mut under_way = FuturesUnordered::new();
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        while !enough(scan) {
            assert!(tokio::time::Instant::now() < patience, "{:?} {:?}", scan.standing(), scan.progress());
            for (slot, query) in scan.advance(Utc::now()) {
                under_way.push(async move { (slot, query.clone(), self.reader.ask_at(query, Priority::Background).await) });
            }
            tokio::select! {
                Some((slot, query, result)) = under_way.next(), if !under_way.is_empty() => {
                    scan.replied(slot, &query, &result, &TierRules::default(), Utc::now());
                }
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    async fn scan(&self, scope: Scope) -> Scan {
        let mut scan = Scan::new(scope, Utc::now());
        self.scan_until(&mut scan, |s| !s.is_under_way()).await;
        scan
    }
}

/// Who has drifted how: profile, or customer where no profile is known, → class.
fn drifted(scan: &Scan) -> BTreeMap<String, Class> {
    scan.found().groups().iter().flat_map(|g| g.named.iter().map(|d| (d.key().to_string(), g.class))).collect()
}
