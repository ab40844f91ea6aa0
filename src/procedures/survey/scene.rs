//! The scene of the failures: endpoints, log and deploys are read once there are any; a probe is told by whoever sent it.

use super::{Moment, Survey};
use crate::domain::At;
use crate::domain::fault::{Fault, Source};
use crate::domain::webhooks::cause::{NEEDLES, Trail};
use crate::domain::webhooks::deploy::Deploy;
use crate::domain::webhooks::log::LogSearch;
use crate::domain::webhooks::probe::Probed;
use crate::protocol::query::{Query, Reply};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How often each is read while there are failures, in milliseconds.
const ENDPOINTS_EVERY: u64 = 60_000;
const LOG_EVERY: u64 = 15_000;
const RECEIPTS_EVERY: u64 = 30_000;
/// The application's record is looked up for so many failures, the newest.
const RECEIPTS: usize = 2_000;
/// Lines of the log at most; so much before the first failure, for what came just before it.
const LINES: u32 = 5_000;
const BEFORE: Duration = Duration::minutes(35);

/// When the scene was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenery {
    endpoints_asked: Option<u64>,
    log_asked: Option<u64>,
    search: Option<LogSearch>,
    deploys_asked: Option<u64>,
    receipts: bool,
    receipts_asked: Option<u64>,
}

impl Scenery {
    /// The application keeps a record of events, and it was read.
    pub fn has_receipts(&self) -> bool {
        self.receipts
    }

    pub fn keeps_receipts(&mut self, keeps: bool) {
        self.receipts = keeps;
    }
}

impl Survey {
    /// The endpoint was probed.
    pub fn probed(&mut self, probed: Probed, at: At) {
        let scene = Arc::make_mut(&mut self.scene);
        (scene.probe, scene.probed_at) = (Some(probed), Some(at));
        self.version += 1;
    }

    /// The deploys are known.
    pub fn deployed(&mut self, deploys: &[Deploy]) {
        if self.scene.deploys != deploys {
            Arc::make_mut(&mut self.scene).deploys = deploys.to_vec();
            self.version += 1;
        }
    }

    /// Reads what may explain the failures, where there are any.
    pub(super) fn look_around(&mut self, m: &Moment) -> Vec<Query> {
        let down = m.is_down(Source::Application);
        if self.scene.application_down != down {
            Arc::make_mut(&mut self.scene).application_down = down;
            self.version += 1;
        }
        if self.scene.url != m.env.webhook_url {
            Arc::make_mut(&mut self.scene).url.clone_from(&m.env.webhook_url);
            self.version += 1;
        }
        if self.scene.deliver != m.env.offers.deliver {
            Arc::make_mut(&mut self.scene).deliver = m.env.offers.deliver;
            self.version += 1;
        }
        let Some(first) = self.groups.iter().map(|g| g.first).min() else { return Vec::new() };
        let mut asks = Vec::new();
        let due = |asked: Option<u64>, every: u64| asked.is_none_or(|t| m.tick.saturating_sub(t) >= every);
        if due(self.scenery.endpoints_asked, ENDPOINTS_EVERY) && !m.is_out(Source::Stripe) {
            self.scenery.endpoints_asked = Some(m.tick);
            asks.push(Query::Endpoints);
        }
        if due(self.scenery.deploys_asked, ENDPOINTS_EVERY) && m.env.offers.deploys {
            self.scenery.deploys_asked = Some(m.tick);
            asks.push(Query::Deploys);
        }
        if due(self.scenery.receipts_asked, RECEIPTS_EVERY) && !m.is_out(Source::Database) {
            self.scenery.receipts_asked = Some(m.tick);
            let failures = self.feed.lines.iter().filter(|l| l.verdict.is_failure());
            asks.push(Query::Received(failures.take(RECEIPTS).map(|l| l.id.clone()).collect()));
        }
        if due(self.scenery.log_asked, LOG_EVERY) && m.env.set_up.contains(&Source::Log) {
            self.scenery.log_asked = Some(m.tick);
            let search = LogSearch {
                needles: NEEDLES.iter().map(ToString::to_string).collect(),
                at_least: None,
                since: first - BEFORE,
                limit: LINES,
                oldest_first: false,
            };
            self.scenery.search = Some(search.clone());
            asks.push(Query::Logs(search));
        }
        asks
    }

    pub(super) fn take_scene(&mut self, query: &Query, result: &Result<Reply, Fault>) {
        match (query, result) {
            (Query::Endpoints, Ok(Reply::Endpoints(endpoints))) if self.scene.endpoints.as_ref() != Some(endpoints) => {
                Arc::make_mut(&mut self.scene).endpoints = Some(endpoints.clone());
                self.version += 1;
            }
            (Query::Deploys, Ok(Reply::Deploys(deploys))) => self.deployed(deploys),
            (Query::Logs(search), Ok(Reply::Logs { lines, covers, .. })) if self.scenery.search.as_ref() == Some(search) => {
                let trail = Trail::new(lines.iter().cloned(), *covers);
                if self.scene.log.as_ref() != Some(&trail) {
                    Arc::make_mut(&mut self.scene).log = Some(trail);
                    self.version += 1;
                }
            }
            _ => {}
        }
    }
}
