//! What the webhooks pane knows besides the survey: which tab is shown, what is selected in each, and the endpoints as they were last read.

use super::drift::DriftList;
use super::events::{Events, Row};
use super::index::{fix_of, fix_word};
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::widgets::table::Cursor;
use crate::domain::At;
use crate::domain::desk::{DeskState, Standing};
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, Source};
use crate::domain::filter::quoted;
use crate::domain::mask;
use crate::domain::webhooks::cause::{Cause, Remedy};
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::feed::{Group, Line};
use crate::domain::webhooks::probe::{Assessment, Probed, Surroundings, assess, path};
use crate::procedures::survey::Survey;
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(super) tab: Tab,
    pub(super) causes: Cursor,
    /// What the selection among the causes stands on, once it was moved: rows of one cause differ in what helps.
    cause: Option<(Cause, Remedy)>,
    pub events: Events,
    pub(super) drift: DriftList,
    pub(super) endpoints: Known<Vec<Endpoint>>,
    pub(super) endpoint: Cursor,
    /// What the last probe came back with.
    pub(super) probed: Known<Probed>,
    /// When the probe went out, in milliseconds, while it is under way.
    pub(super) probing: Option<u64>,
    /// When the endpoints were last asked for, in milliseconds.
    asked: Option<u64>,
    /// The filter was set by opening this cause: the way back leads to it.
    pub(super) from_cause: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    #[default]
    Causes,
    Events,
    Drift,
    Endpoints,
}

/// How often the endpoints are read while their tab is on screen, in milliseconds.
const ENDPOINTS_EVERY: u64 = 60_000;
/// So many events by name one review holds: the journal has them all, 600 kB by then. More are told by their time.
pub const REVIEWED_AT_ONCE: usize = 20_000;

impl Tab {
    pub const ALL: [Tab; 4] = [Tab::Causes, Tab::Events, Tab::Drift, Tab::Endpoints];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Tab::Causes => "Causes",
            Tab::Events => "Events",
            Tab::Drift => "Drift",
            Tab::Endpoints => "Endpoints",
        }
    }
}

impl Model {
    /// The pane comes on screen, or the environment has just been connected.
    pub fn entered(&mut self, cx: &Context) -> Vec<Ask> {
        self.sync(cx);
        self.read_endpoints(cx, 5_000)
    }

    /// An answer to one of its own reads: only those that are still wanted arrive.
    pub fn replied(&mut self, query: &Query, result: &Result<Reply, Fault>) {
        match (query, result) {
            (Query::Probe, result) => {
                self.probing = None;
                match result {
                    // Heard already, like the endpoints.
                    Ok(_) => {}
                    Err(fault) => self.probed = Known::Failed(fault.clone()),
                }
            }
            // What was read before stays on screen; its age says how old it is.
            (Query::Endpoints, Err(fault)) if self.endpoints.value().is_none() => self.endpoints = Known::Failed(fault.clone()),
            _ => {}
        }
    }

    /// The endpoints as anybody here has read them; a sentence where one that was there is gone.
    pub fn heard(&mut self, endpoints: &[Endpoint], now: At) -> Option<String> {
        let before = self.endpoints.value().cloned().unwrap_or_default();
        self.endpoints = Known::Is { value: endpoints.to_vec(), at: now };
        let selected = before.get(self.endpoint.at).and_then(|old| endpoints.iter().position(|e| e.id == old.id));
        self.endpoint.at = selected.unwrap_or(self.endpoint.at);
        self.endpoint.clamp(endpoints.len());
        let gone = before.iter().find(|old| endpoints.iter().all(|e| e.id != old.id))?;
        Some(format!("{} was deleted in Stripe meanwhile: nothing is delivered to {}", mask::id(gone.id.as_str()), path(&gone.url)))
    }

    /// What a probe came back with, whoever sent it.
    pub fn heard_probe(&mut self, probed: &Probed, at: At) {
        self.probed = Known::Is { value: probed.clone(), at };
    }

    /// Once a second, on screen or not.
    pub fn ticked(&mut self, on_screen: bool, cx: &Context) -> Vec<Ask> {
        if !on_screen {
            return Vec::new();
        }
        self.sync(cx);
        let back = matches!(&self.endpoints, Known::Failed(f) if f.passes() && cx.health(Source::Stripe) == Health::Ok);
        self.read_endpoints(cx, if back { 5_000 } else { ENDPOINTS_EVERY })
    }

    /// Takes in what the survey has learned; the selection stays on what it stands on.
    pub fn sync(&mut self, cx: &Context) {
        let survey = cx.survey;
        let groups = survey.groups();
        self.events.sync(survey.lines(), survey.raw(), groups, cx.now);
        if let Some((cause, remedy)) = &self.cause {
            let same = groups.iter().position(|g| g.cause == *cause && g.remedy == *remedy);
            // What helps changes once a trouble is over: it is still the same trouble.
            if let Some(at) = same.or_else(|| groups.iter().position(|g| g.cause == *cause)) {
                self.stand_on(at, groups);
            }
        }
        self.causes.clamp(groups.len());
        self.drift.sync(cx.drift);
    }

    /// A text field has the focus: keys go to `edit`.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        self.events.focused
    }

    #[must_use]
    pub fn tab(&self) -> Tab {
        self.tab
    }

    pub(super) fn turn(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|t| *t == self.tab).unwrap_or(0);
        self.tab = Tab::ALL[(at + by) % Tab::ALL.len()];
        self.from_cause = false;
    }

    /// Shows the events of the row that is selected.
    pub fn list_cause(&mut self, cx: &Context) {
        let groups = cx.survey.groups();
        let Some(group) = groups.get(self.causes.at) else { return };
        self.stand_on(self.causes.at, groups);
        (self.tab, self.from_cause) = (Tab::Events, true);
        self.events.look(&filter_of(group, groups));
        self.sync(cx);
    }

    pub(super) fn move_cause(&mut self, by: isize, groups: &[Group]) {
        self.causes.by(by, groups.len());
        self.stand_on(self.causes.at, groups);
    }

    fn stand_on(&mut self, at: usize, groups: &[Group]) {
        self.causes.at = at;
        self.cause = groups.get(at).map(|g| (g.cause, g.remedy.clone()));
    }

    #[must_use]
    pub fn group<'a>(&self, survey: &'a Survey) -> Option<&'a Group> {
        survey.groups().get(self.causes.at)
    }

    /// The event under the cursor.
    #[must_use]
    pub fn line<'a>(&'a self, survey: &'a Survey) -> Option<&'a Line> {
        match self.events.selected(survey.lines(), survey.raw()) {
            Some(Row::Event(line)) => Some(line),
            _ => None,
        }
    }

    /// Everything of its own anew, unless it was read so many milliseconds ago.
    pub(super) fn read_endpoints(&mut self, cx: &Context, at_most_every: u64) -> Vec<Ask> {
        let due = self.asked.is_none_or(|t| cx.tick.saturating_sub(t) >= at_most_every);
        if cx.env.is_none() || self.tab != Tab::Endpoints || !due {
            return Vec::new();
        }
        self.asked = Some(cx.tick);
        vec![Ask::Read { slot: Slot::Endpoints, query: Query::Endpoints }]
    }

    /// What the last probe says, beside what is registered.
    #[must_use]
    pub(super) fn assessment(&self, cx: &Context) -> Option<Assessment> {
        let probed = self.probed.value()?;
        let configured = cx.env.and_then(|e| e.webhook_url.as_deref());
        Some(assess(probed, &Surroundings { endpoints: self.endpoints.value().map(Vec::as_slice), configured }))
    }

    /// Every event that is shown and whose effect is missing is marked, as many as one review holds.
    pub fn mark_shown(&mut self, cx: &Context) {
        self.events.mark_shown(cx.survey.lines(), REVIEWED_AT_ONCE);
    }

    /// What was marked among the drifted has been dealt with.
    pub fn unmark(&mut self) {
        self.drift.marked.clear();
    }

    /// A probe has been asked for.
    pub fn probe(&mut self, tick: u64) {
        self.probing = Some(tick);
    }

    /// For how long the endpoints have been waited for, in milliseconds.
    pub(super) fn waited(&self, cx: &Context) -> u64 {
        self.asked.map_or(0, |t| cx.tick.saturating_sub(t))
    }
}

/// The filter that lets through the very events of a row: by cause, and by what helps where that differs among the events of one cause.
fn filter_of(group: &Group, groups: &[Group]) -> String {
    let cause = format!("cause:{}", quoted(group.cause.word()));
    let others: Vec<String> =
        groups.iter().filter(|g| g.cause == group.cause && g.remedy != group.remedy).map(|g| fix_of(&g.remedy)).collect();
    let fix = fix_of(&group.remedy);
    let word = fix_word(&group.remedy);
    match others.as_slice() {
        [] => cause,
        others if others.iter().all(|o| !o.starts_with(word)) => format!("{cause} fix:{word}"),
        _ => format!("{cause} fix:{}", quoted(&fix)),
    }
}

/// Where a cause stands with whoever has taken it, by all that fails for it now.
pub(super) fn standing(desk: &DeskState, cause: Cause, survey: &Survey) -> Standing {
    desk.standing(cause, survey.lines().iter().filter(|l| l.cause == Some(cause) && l.verdict.is_failure()).map(|l| l.at))
}
