//! What Home looks at beside events and rows: whether payments succeed as they did a week ago, and what was deployed.

use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::domain::At;
use crate::domain::diagnosis::Word;
use crate::domain::fault::{Fault, Source};
use crate::domain::findings::{About, Finding};
use crate::domain::money::group;
use crate::domain::payments::Payments;
use crate::domain::webhooks::deploy::Deploy;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::probe::{path, shown};
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use chrono::Duration;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    now: Option<Payments>,
    then: Option<Payments>,
    deploys: Vec<Deploy>,
    endpoints: Option<Vec<Endpoint>>,
    asked: Option<u64>,
    /// When the endpoints were last asked for: they have a time of their own while nothing leads to the application.
    #[serde(default)]
    endpoints_asked: Option<u64>,
    /// The payments were asked for and not told.
    #[serde(default)]
    untold: bool,
}

/// How often it is looked at, in milliseconds.
const EVERY: u64 = 300_000;
/// The endpoints while nothing is delivered: somebody is about to mend that. And at most so often, however often somebody presses a key.
const ENDPOINTS_EVERY: u64 = 15_000;
const ENDPOINTS_AT_MOST_EVERY: u64 = 3_000;
/// A deploy this long before something began is worth naming, in minutes.
const SHORTLY: i64 = 30;
/// A deploy is news for so many hours: as long as a night on call.
pub const LATELY: i64 = 8;
const NOW: u16 = 0;
const THEN: u16 = 1;
const DEPLOYS: u16 = 2;
const ENDPOINTS: u16 = 3;

impl Beside {
    /// Once a second. Nothing is asked before the first look at events is through: those come first.
    pub fn ticked(&mut self, cx: &Context) -> Vec<Ask> {
        let since = |asked: Option<u64>| asked.map_or(u64::MAX, |t| cx.tick.saturating_sub(t));
        let Some(env) = cx.env.filter(|_| !cx.survey.is_first()) else { return Vec::new() };
        let answers = cx.health(Source::Stripe) == Health::Ok;
        let mut asks = Vec::new();
        let mut read = |slot, query| asks.push(Ask::Read { slot: Slot::Beside(slot), query });
        let patience = if self.endpoint(env.webhook_url.as_deref()).is_some() { ENDPOINTS_EVERY } else { EVERY };
        if answers && since(self.endpoints_asked) >= patience {
            self.endpoints_asked = Some(cx.tick);
            read(ENDPOINTS, Query::Endpoints);
        }
        if since(self.asked) < EVERY {
            return asks;
        }
        self.asked = Some(cx.tick);
        if answers {
            let hour = |until: At| Query::Payments { from: until - Duration::hours(1), until };
            read(NOW, hour(cx.now));
            read(THEN, hour(cx.now - Duration::weeks(1)));
        }
        if env.offers.deploys {
            read(DEPLOYS, Query::Deploys);
        }
        asks
    }

    /// The endpoints may be registered otherwise by now: they are read at the next moment.
    pub fn hurry(&mut self, tick: u64) {
        self.endpoints_asked = self.endpoints_asked.filter(|t| tick.saturating_sub(*t) < ENDPOINTS_AT_MOST_EVERY);
    }

    /// The endpoints as anybody here has read them.
    pub fn heard(&mut self, endpoints: &[Endpoint]) {
        self.endpoints = Some(endpoints.to_vec());
    }

    /// What was not answered is as unknown as before: its source has a finding of its own.
    pub fn replied(&mut self, slot: Slot, result: &Result<Reply, Fault>) {
        match (slot, result) {
            (Slot::Beside(NOW), Ok(Reply::Payments(paid))) => self.now = Some(*paid),
            (Slot::Beside(THEN), Ok(Reply::Payments(paid))) => self.then = Some(*paid),
            (Slot::Beside(ENDPOINTS), Ok(Reply::Endpoints(endpoints))) => self.heard(endpoints),
            (Slot::Beside(DEPLOYS), Ok(Reply::Deploys(deploys))) => self.deploys.clone_from(deploys),
            _ => {}
        }
        if let Slot::Beside(NOW | THEN) = slot {
            self.untold = result.is_err();
        }
    }

    /// Payments that fail now, and did not a week ago.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let (now, then) = (self.now?, self.then?);
        let told = |p: &Payments| {
            let of = if p.complete { "of" } else { "of the newest" };
            format!("{} {of} {}", group(p.succeeded.into()), group(p.all().into()))
        };
        now.fell_from(&then).then(|| Finding {
            word: Word::Warn,
            sentence: format!("Payments fail: {} succeeded in the last hour", told(&now)),
            size: format!("{} %", now.succeeded * 100 / now.all().max(1)),
            reason: format!("A week ago at this hour {} did. Stripe's status page, and the cards' declines, come first.", told(&then)),
            about: About::Payments,
            evidence: vec![
                format!("stripe: charges of the last hour: {} succeeded, {} failed", now.succeeded, now.failed),
                format!("stripe: charges of the same hour a week ago: {} succeeded, {} failed", then.succeeded, then.failed),
            ],
        })
    }

    /// No endpoint that leads to `url` gets anything: disabled, deleted, or never registered. `url` as configured; where none is, only
    /// what is registered can be off.
    #[must_use]
    pub fn endpoint(&self, url: Option<&str>) -> Option<Finding> {
        let all = self.endpoints.as_ref()?;
        // The registered host may be another than the one by which we reach the application.
        let ours: Vec<&Endpoint> = all.iter().filter(|e| url.is_none_or(|u| path(&e.url) == path(u))).collect();
        if ours.iter().any(|e| e.enabled) {
            return None;
        }
        let at = |e: &&Endpoint| format!("stripe: {} is disabled, {}", e.id, shown(&e.url));
        let (sentence, reason, evidence) = match (ours.first(), url) {
            (Some(_), _) => (
                "The webhook endpoint is disabled in Stripe".to_string(),
                "Nothing is delivered. Enable it there, then backfill: what happened meanwhile does not come by itself.",
                ours.iter().map(at).collect(),
            ),
            (None, Some(url)) => (
                format!("No endpoint in Stripe leads to {}", path(url)),
                "Deleted, or registered with another path: nothing is delivered. Register it, then backfill.",
                all.iter().map(|e| format!("stripe: {} leads to {}", e.id, shown(&e.url))).collect(),
            ),
            (None, None) => return None,
        };
        Some(Finding { word: Word::Fail, sentence, size: String::new(), reason: reason.into(), about: About::Endpoint, evidence })
    }

    /// Payments were looked at, and succeed as they did.
    #[must_use]
    pub fn pays(&self) -> bool {
        !self.untold && self.now.is_some() && self.then.is_some() && self.finding().is_none()
    }

    /// What was deployed lately, newest first.
    pub fn deployed(&self, now: At) -> impl Iterator<Item = &Deploy> {
        self.deploys.iter().filter(move |d| d.at <= now && now - d.at <= Duration::hours(LATELY))
    }

    /// The deploy that came shortly before this.
    #[must_use]
    pub fn deploy_before(&self, since: At) -> Option<&Deploy> {
        let shortly = |d: &&Deploy| d.at <= since && since - d.at <= Duration::minutes(SHORTLY);
        self.deploys.iter().filter(shortly).max_by_key(|d| d.at)
    }
}
