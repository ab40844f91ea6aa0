//! The scene of the failures: endpoints, log and deploys are read once there are any; a probe is told by whoever sent it.

use super::{Present, Survey};
use crate::domain::At;
use crate::domain::fault::{Fault, Source};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::cause::{Cause, Trail};
use crate::domain::webhooks::deploy::Deploy;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::feed::Line;
use crate::domain::webhooks::judge::Received;
use crate::domain::webhooks::lag::believed;
use crate::domain::webhooks::log::{LogSearch, SEARCHES};
use crate::domain::webhooks::probe::Probed;
use crate::domain::webhooks::verdict::Verdict;
use crate::protocol::query::{Query, Reply};
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// How often each is read while there are failures, in milliseconds. The application's record also without: it teaches the lag.
const ENDPOINTS_EVERY: u64 = 60_000;
const LOG_EVERY: u64 = 15_000;
/// The log again for failures that are new, in milliseconds: nobody is told a cause before it was read for them.
const LOG_FOR_NEW_EVERY: u64 = 3_000;
const RUNS_EVERY: u64 = 15_000;
const RECEIPTS_EVERY: u64 = 30_000;
const NO_RECEIPTS_EVERY: u64 = 600_000;
/// The application's record is looked up for so many failures, the newest.
pub(super) const RECEIPTS: usize = 2_000;
/// And for so many of the newest events, since it tells how long effects take here.
const SAMPLE: usize = 200;
/// So much before the first failure, for what came just before it.
const BEFORE: Duration = Duration::minutes(35);
/// So much before a failure for what was said about it itself.
const SHORTLY: Duration = Duration::minutes(5);

/// When the scene was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenery {
    endpoints_asked: Option<u64>,
    log_asked: Option<u64>,
    search: Option<LogSearch>,
    /// How many failures there were when the log was asked for, and for how many it has answered.
    #[serde(default)]
    searched_for: usize,
    #[serde(default)]
    explained: usize,
    #[serde(default)]
    has_log: bool,
    /// The search from the oldest failure on that is under way, and the one that follows it.
    #[serde(default)]
    back: Option<LogSearch>,
    #[serde(default)]
    onward: Option<LogSearch>,
    #[serde(default)]
    searches: usize,
    /// The failure for whose sake that was done.
    #[serde(default)]
    looked_back_to: Option<At>,
    deploys_asked: Option<u64>,
    #[serde(default)]
    runs_asked: Option<u64>,
    receipts: bool,
    /// The events whose record was read last.
    #[serde(default)]
    looked_up: BTreeSet<StripeId>,
    /// When the log was read last.
    #[serde(default)]
    log_heard: Option<At>,
    receipts_asked: Option<u64>,
    /// There were failures when it was last looked around.
    failing: bool,
    /// The newest events whose record was asked for.
    sample: BTreeMap<StripeId, Sampled>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sampled {
    happened: At,
    /// What its record tells of the lag was learned.
    learned: bool,
}

impl Scenery {
    /// The application keeps a record of events, and it was read.
    pub fn has_receipts(&self) -> bool {
        self.receipts
    }

    /// The journal has news: it is read at the next occasion.
    pub fn ask_for_runs(&mut self) {
        self.runs_asked = None;
    }

    /// Who did not answer is there again: what explains failures is read anew.
    pub fn ask_again(&mut self) {
        (self.log_asked, self.receipts_asked, self.endpoints_asked) = (None, None, None);
    }

    pub fn keeps_receipts(&mut self, keeps: bool, of: &[StripeId]) {
        self.receipts = keeps;
        self.looked_up = of.iter().cloned().collect();
    }

    /// The record was read for that event.
    pub fn looked_up(&self, event: &StripeId) -> bool {
        self.looked_up.contains(event)
    }

    /// When the log was read last.
    pub fn log_heard(&self) -> Option<At> {
        self.log_heard
    }

    /// How long the application took to process those of the sample that say so: each is told once.
    pub fn learn<'a>(&mut self, received: impl Iterator<Item = &'a Received>) -> Vec<Duration> {
        let mut took = Vec::new();
        for r in received {
            let (Some(at), Some(seen)) = (r.processed_at, self.sample.get(&r.event)) else { continue };
            took.extend(u32::try_from((at - seen.happened).num_milliseconds()).ok().map(|took| (took, &r.event)));
        }
        took.sort_unstable();
        // What took many times as long as the others was delivered again: it says nothing about the queue.
        let most = believed(&took.iter().map(|(took, _)| *took).collect::<Vec<_>>());
        took.retain(|(took, event)| {
            let seen = self.sample.get_mut(*event).expect("invariant: looked up above");
            *took <= most && !std::mem::replace(&mut seen.learned, true)
        });
        took.into_iter().map(|(took, _)| Duration::milliseconds(i64::from(took))).collect()
    }

    fn sampled(&mut self, lines: &[&Line]) {
        let known = std::mem::take(&mut self.sample);
        let learned = |l: &Line| known.get(&l.id).is_some_and(|s| s.learned);
        self.sample = lines.iter().map(|l| (l.id.clone(), Sampled { happened: l.at, learned: learned(l) })).collect();
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

    /// How the endpoints are registered, by whomever they were read. Where one leads to the application that did not before, what happened until
    /// then came to nothing for that.
    pub fn registered(&mut self, endpoints: &[Endpoint], now: At) {
        if self.scene.endpoints.as_deref() == Some(endpoints) {
            return;
        }
        let scene = Arc::make_mut(&mut self.scene);
        let led_astray = scene.leads_astray();
        scene.endpoints = Some(endpoints.to_vec());
        if led_astray && !scene.leads_astray() {
            scene.astray_until = Some(now);
        }
        self.version += 1;
    }

    /// Reads what may explain the failures, where there are any.
    pub(super) fn look_around(&mut self, m: &Present) -> Vec<Query> {
        let down = m.is_down(Source::Application);
        if self.scene.application_down != down {
            let answered = m.sources.get(&Source::Application).and_then(|f| f.last_good).map(|at| at + self.clock_ahead());
            let scene = Arc::make_mut(&mut self.scene);
            (scene.application_down, scene.application_answered) = (down, answered);
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
        let mut asks = Vec::new();
        let due = |asked: Option<u64>, every: u64| asked.is_none_or(|t| m.tick.saturating_sub(t) >= every);
        // A record that is not kept is looked for again later: it may only be empty yet.
        let failing = !self.groups.is_empty() || self.copied.is_some();
        let patience = if self.scenery.receipts || failing { RECEIPTS_EVERY } else { NO_RECEIPTS_EVERY };
        let begins = !std::mem::replace(&mut self.scenery.failing, failing) && failing;
        if (begins || due(self.scenery.receipts_asked, patience)) && self.reading.has_seen_both() && !m.is_out(Source::Database) {
            self.scenery.receipts_asked = Some(m.tick);
            let handled = |l: &&Line| l.verdict != Verdict::UnhandledType;
            let newest: Vec<&Line> = self.feed.lines.iter().filter(handled).take(SAMPLE).collect();
            self.scenery.sampled(&newest);
            let failures = self.feed.lines.iter().filter(|l| l.verdict.is_failure()).take(RECEIPTS);
            // What the row holds instead may have been processed later.
            let instead = failures.clone().filter_map(|l| self.feed.courses.get(l.subscription.as_ref()?)?.older_in_row(&l.id));
            let of: BTreeSet<StripeId> = newest.into_iter().chain(failures).map(|l| &l.id).chain(instead).cloned().collect();
            asks.extend((!of.is_empty()).then(|| Query::Received(of.into_iter().collect())));
        }
        // Also where nothing is missing: it may be so because consoles have copied it.
        if due(self.scenery.runs_asked, RUNS_EVERY) {
            self.scenery.runs_asked = Some(m.tick);
            asks.push(Query::Runs);
        }
        self.scenery.has_log = m.env.set_up.contains(&Source::Log) && !m.is_out(Source::Log);
        let copied = self.copied.as_ref().map(|c| c.since);
        let Some(first) = self.groups.iter().map(|g| g.first).chain(copied).min() else { return asks };
        if due(self.scenery.endpoints_asked, ENDPOINTS_EVERY) && !m.is_out(Source::Stripe) {
            self.scenery.endpoints_asked = Some(m.tick);
            asks.push(Query::Endpoints);
        }
        if due(self.scenery.deploys_asked, ENDPOINTS_EVERY) && m.env.offers.deploys {
            self.scenery.deploys_asked = Some(m.tick);
            asks.push(Query::Deploys);
        }
        let failing = self.failures();
        let is_new = failing > self.scenery.searched_for;
        self.scenery.explained = self.scenery.explained.min(failing);
        self.scenery.searched_for = self.scenery.searched_for.min(failing);
        if due(self.scenery.log_asked, if is_new { LOG_FOR_NEW_EVERY } else { LOG_EVERY }) && self.scenery.has_log {
            self.scenery.log_asked = Some(m.tick);
            self.scenery.searched_for = failing;
            let search = LogSearch::explaining(first - BEFORE);
            self.scenery.search = Some(search.clone());
            asks.push(Query::Logs(search));
        }
        asks
    }

    pub(super) fn take_scene(&mut self, query: &Query, result: &Result<Reply, Fault>, now: At) {
        match (query, result) {
            (Query::Endpoints, Ok(Reply::Endpoints(endpoints))) => self.registered(endpoints, now),
            (Query::Deploys, Ok(Reply::Deploys(deploys))) => self.deployed(deploys),
            (Query::Runs, Ok(Reply::Runs(runs))) => self.take_runs(runs),
            (Query::Logs(search), Err(_)) if self.scenery.search.as_ref() == Some(search) => self.hear_log(),
            (Query::Logs(search), Ok(Reply::Logs { lines, covers, .. })) if self.scenery.search.as_ref() == Some(search) => {
                self.hear_log();
                let trail = Trail::new(lines.iter().cloned(), *covers);
                let trail = self.with_known(trail, self.scene.log.as_ref());
                self.scenery.log_heard = Some(now);
                if self.scene.log.as_ref() != Some(&trail) {
                    Arc::make_mut(&mut self.scene).log = Some(trail);
                    self.version += 1;
                    self.read_what_was_processed();
                }
            }
            (Query::Logs(search), result) if self.scenery.back.as_ref() == Some(search) => {
                self.scenery.back = None;
                let (Ok(Reply::Logs { lines, .. }), Some(log)) = (result, self.scene.log.clone()) else { return };
                self.scenery.searches += 1;
                let more = log.since().and_then(|known| search.onward(lines, known));
                self.scenery.onward = more.filter(|_| self.scenery.searches < SEARCHES);
                let trail = self.with_known(log, Some(&Trail::new(lines.iter().cloned(), None)));
                if self.scene.log.as_ref() != Some(&trail) {
                    Arc::make_mut(&mut self.scene).log = Some(trail);
                    self.version += 1;
                }
            }
            _ => {}
        }
    }

    /// The log has answered for all that had failed when it was asked, if only that it cannot be read.
    fn hear_log(&mut self) {
        let waited = self.is_still_looking_why();
        self.scenery.explained = self.scenery.searched_for;
        self.version += u64::from(waited != self.is_still_looking_why());
    }

    /// There is a log, and it was not read yet for most of what has failed.
    #[must_use]
    pub fn is_still_looking_why(&self) -> bool {
        self.scenery.has_log && self.failures() > 2 * self.scenery.explained
    }

    fn failures(&self) -> usize {
        self.groups.iter().map(|g| g.events.len()).sum()
    }

    /// Before a cause is called unknown, the log is read from the failure's own time on, where its newest lines do not reach back to that.
    pub(super) fn look_back(&mut self) -> Option<Query> {
        if self.scenery.back.is_some() {
            return None;
        }
        let search = match self.scenery.onward.take() {
            Some(search) => search,
            None => {
                let oldest = self.unexplained()?;
                (self.scenery.looked_back_to, self.scenery.searches) = (Some(oldest), 0);
                LogSearch::explaining_from(oldest - SHORTLY)
            }
        };
        self.scenery.back = Some(search.clone());
        Some(Query::Logs(search))
    }

    /// The oldest failure of an unknown cause that the log as it was read does not reach back to, where that was not looked at yet.
    fn unexplained(&self) -> Option<At> {
        let known = self.scene.log.as_ref()?.since()?;
        let oldest = self.groups.iter().filter(|g| g.cause == Cause::Unknown).map(|g| g.first);
        let copied = self.copied.as_ref().filter(|c| c.cause.is_none()).map(|c| c.since);
        let oldest = oldest.chain(copied).min()?;
        (known > oldest - SHORTLY && self.scenery.looked_back_to.is_none_or(|to| oldest < to)).then_some(oldest)
    }

    /// The log, with what was read before and is too old for this answer by now: it is no less true.
    fn with_known(&self, log: Trail, known: Option<&Trail>) -> Trail {
        let Some(known) = known else { return log };
        let events = self.groups.iter().flat_map(|g| &g.events).chain(self.copied.iter().flat_map(|c| &c.events));
        let failing: HashSet<&str> = events.chain(&self.feed.bad).map(StripeId::as_str).collect();
        log.after(known, |line| line.ids.iter().any(|id| failing.contains(id.as_str())))
    }
}
