//! What Home knows: the events of the last day, the rows they should be in, the cases that were read because they were not, and the findings.

use super::beside::Beside;
use super::order::{Order, place};
use super::quota::Quota;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::tasks::Going;
use crate::console::widgets::table::Cursor;
use crate::domain::At;
use crate::domain::diagnosis::{self, Class, Word};
use crate::domain::fault::{Fault, Source};
use crate::domain::findings::{About, Finding, Here, Interrupted, Judged, Silent, Trouble, are_alike, billed, findings};
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::shared::Shared;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::drift::{Drifted, Group, finding};
use crate::domain::webhooks::endpoint::Endpoint;
use crate::procedures::survey::Survey;
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{RunState, RunSummary};
use crate::protocol::run::{short, step_title};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// What the cases of customers in the findings said, as of the survey's last answer.
    judged: Vec<Judged>,
    quiet: bool,
    /// How many cases of suspects have been read, of how many, while some are still to be.
    #[serde(default)]
    pub(super) looking: Option<(usize, usize)>,
    /// Those of the drift scan whom no case has told of, as far as they are listed.
    drifted: Vec<Drifted>,
    pub(super) beside: Beside,
    pub(super) quota: Quota,
    /// What is missing points at the endpoint itself, not at what it does with events.
    pub(super) endpoint: bool,
    /// Nothing is applied any more, and somebody has muted why.
    pub(super) hushed: bool,
    runs: Shared<Vec<RunSummary>>,
    runs_read: Option<u64>,
    pub(super) findings: Vec<Finding>,
    #[serde(default)]
    order: Order,
    pub(super) cursor: Cursor,
    /// The operator has moved the selection: it stays on what it stands on. Before that it is on the worst.
    pub(super) moved: bool,
}

/// So many of a class of drift can be listed from here.
const LISTED: usize = 100;
/// How often unfinished runs are looked for, in milliseconds.
const RUNS_EVERY: u64 = 30_000;

impl Model {
    /// The pane comes on screen, or the environment has just been connected.
    pub fn entered(&mut self, cx: &Context) -> Vec<Ask> {
        self.runs_read = None;
        self.beside.hurry(cx.tick);
        let mut asks = vec![Ask::Survey];
        asks.extend(self.ticked(cx));
        asks
    }

    /// The unfinished runs were looked for, or what stands beside the events was.
    pub fn replied(&mut self, slot: Slot, query: &Query, result: &Result<Reply, Fault>, cx: &Context) {
        if let (Query::Runs, Ok(Reply::Runs(runs))) = (query, result) {
            self.runs = runs.clone().into();
        }
        self.beside.replied(slot, result);
        self.quota.replied(slot, result);
        self.refind(cx);
    }

    /// The survey has got an answer.
    pub fn looked(&mut self, cx: &Context) {
        self.refind(cx);
    }

    /// Somebody here has read the endpoints: Home says nothing else of them than the others do.
    pub fn heard(&mut self, endpoints: &[Endpoint], cx: &Context) {
        self.beside.heard(endpoints);
        self.refind(cx);
    }

    /// Counters were written: who is held up by them is asked anew at the next moment.
    pub fn counters_written(&mut self) {
        self.quota.hurry();
    }

    /// Once a second, on screen or not.
    pub fn ticked(&mut self, cx: &Context) -> Vec<Ask> {
        if cx.env.is_none() {
            return Vec::new();
        }
        let mut asks = self.beside.ticked(cx);
        asks.extend(self.quota.ticked(cx));
        if self.runs_read.is_none_or(|t| cx.tick.saturating_sub(t) >= RUNS_EVERY) {
            self.runs_read = Some(cx.tick);
            asks.push(Ask::Read { slot: Slot::Runs, query: Query::Runs });
            // What others write is of interest to whoever was found drifted; the pane of runs reads them for itself.
            if cx.drift.is_some_and(|scan| !scan.found().is_empty()) {
                asks.push(Ask::Read { slot: Slot::TeamRuns, query: Query::TeamRuns });
            }
        }
        self.refind(cx);
        asks
    }

    /// A text field has the focus: keys go to `edit`.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        false
    }

    /// The finding under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&Finding> {
        self.findings.get(self.cursor.at)
    }

    /// The customers of a finding with what their cases say, worst first.
    #[must_use]
    pub fn customers_of(&self, finding: &Finding) -> Vec<&Judged> {
        let (About::Customers(ids) | About::Webhooks { customers: ids, .. }) = &finding.about else { return Vec::new() };
        ids.iter().filter_map(|id| self.judged(id)).collect()
    }

    /// Since when this has been so: as the finding says itself, else as far as Stripe's objects tell.
    #[must_use]
    pub fn since(&self, finding: &Finding) -> Option<At> {
        if let About::Webhooks { since, .. } = finding.about {
            return Some(since);
        }
        self.customers_of(finding).iter().filter_map(|j| j.diagnosis.since).min()
    }

    /// The same, where effects of events never arrived: a row that could not be found is no handler's doing.
    fn unapplied_since(&self, finding: &Finding) -> Option<At> {
        let unapplied = |j: &&Judged| j.diagnosis.cause == diagnosis::Cause::Unapplied;
        self.since(finding).filter(|_| self.customers_of(finding).iter().all(unapplied))
    }

    /// How many findings a screen shows at least.
    #[must_use]
    pub fn per_page(&self, cx: &Context) -> usize {
        usize::from(cx.rows.saturating_sub(12) / 3).max(1)
    }

    fn judged(&self, id: &StripeId) -> Option<&Judged> {
        self.judged.iter().find(|j| j.customer == *id)
    }

    /// Everything that was looked at is as it should be.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    fn refind(&mut self, cx: &Context) {
        let selected = self.selected().filter(|_| self.moved).cloned();
        let survey = cx.survey;
        // What is accepted is nobody's alarm, whoever found it.
        let accepted = |j: &&Judged| j.drift.zip(cx.desk).is_some_and(|(class, desk)| desk.accepted(&j.customer, class, cx.now).is_some());
        self.judged = survey.suspects().iter().filter_map(|id| survey.judged(id)).filter(|j| !accepted(j)).cloned().collect();
        let cause = survey.silence_cause().or_else(|| survey.copied()?.cause);
        let muted = cause.filter(|c| cx.desk.is_some_and(|desk| desk.muted(*c, cx.now).is_some()));
        self.hushed = muted.is_some();
        let silence = survey.silence_finding().filter(|_| muted.is_none());
        let drifted = Self::drifted(cx);
        let told = Told::by(silence.as_ref(), &self.judged, &drifted);
        let judged: Vec<Judged> = self.judged.iter().filter(|j| !told.elsewhere(j)).cloned().collect();
        let silence = silence.map(|f| self.with_its_price(f));
        let mut found = findings(&judged, &self.interrupted(cx), &silent(cx), cx.now);
        // Where that is why nothing is applied, it has been said.
        let said = silence.is_some() && survey.silence_cause() == Some(Cause::EndpointDisabled);
        let endpoint = self.beside.endpoint(cx.env.and_then(|e| e.webhook_url.as_deref())).filter(|_| !said);
        let undeployed = self.explain(&mut found, survey);
        let endpoint_is_on = endpoint.is_none();
        found.splice(0..0, silence.into_iter().chain(endpoint));
        if endpoint_is_on {
            found.extend(survey.copied_finding().filter(|_| muted.is_none()));
        }
        found.extend(cx.pool.finding());
        found.extend(self.beside.finding());
        found.extend(self.quota.finding());
        found.extend(survey.doubt());
        found.extend(survey.clock_finding());
        found.extend(survey.slower_finding(cx.stripe_now()));
        self.find_drift(drifted, &mut found);
        // Where the database lets nobody in everybody is hurt: more than any finding can count.
        let hurts_all = |f: &Finding| match f.about {
            About::Source(Source::Database) => true,
            About::Pool => cx.pool.is_full(),
            _ => false,
        };
        found.sort_by_key(|f| std::cmp::Reverse((f.word, hurts_all(f))));
        self.name_deploys(&mut found, survey.silence_cause(), &undeployed);
        self.findings = self.order.settle(&self.findings, found, cx.tick);
        // What is still a guess begins no emergency; what has been named is not taken back while more of it is looked at.
        let points_there = match survey.silence_cause() {
            Some(cause) => cause.is_endpoints(),
            None => survey.groups().iter().max_by_key(|g| g.events.len()).is_some_and(|g| g.cause.is_endpoints()),
        };
        self.endpoint = points_there && (self.endpoint || !survey.is_still_looking_why());
        self.looking = Some(survey.cases()).filter(|(read, of)| read < of);
        self.quiet = self.findings.is_empty() && !self.hushed && survey.is_complete();
        // The selection follows what it stands on, wherever that has moved.
        if let Some(at) = selected.and_then(|finding| place(&self.findings, &finding)) {
            self.cursor.at = at;
        }
        self.cursor.clamp(self.findings.len());
    }

    /// That nothing is applied, with what its customers are billed, as far as their cases were read: no other finding tells of them.
    fn with_its_price(&self, silence: Finding) -> Finding {
        let of: Vec<&Judged> = self.customers_of(&silence).into_iter().filter(|j| j.diagnosis.class == Class::PaidNotServed).collect();
        match billed(&of) {
            billed if billed.is_empty() => silence,
            billed => Finding { size: format!("{}, {billed}", silence.size), ..silence },
        }
    }

    /// What the drift scan has found and nobody has accepted, by class.
    fn drifted<'a>(cx: &Context<'a>) -> Vec<Group<'a>> {
        let Some(scan) = cx.drift else { return Vec::new() };
        let accepted =
            |d: &Drifted| d.customer.as_ref().is_some_and(|c| cx.desk.is_some_and(|desk| desk.accepted(c, d.class, cx.now).is_some()));
        scan.found().groups().into_iter().filter_map(|group| group.without(accepted)).collect()
    }

    /// What the drift scan has found and no other finding tells of: a line for each class, behind what is as bad. Whom a finding names that
    /// carries the repair is counted there, and nowhere else.
    fn find_drift(&mut self, drifted: Vec<Group>, found: &mut Vec<Finding>) {
        let named = found.iter().filter(|f| f.word != Word::Unknown).flat_map(|f| match &f.about {
            About::Customers(ids) | About::Webhooks { customers: ids, .. } => ids.as_slice(),
            _ => &[],
        });
        let counted: BTreeSet<StripeId> = named.cloned().collect();
        // A row that holds a placeholder is known by its profile alone.
        let judged = self.judged.iter().filter(|j| counted.contains(&j.customer));
        let profiles: BTreeSet<SubjectKey> = judged.filter_map(|j| j.subject.as_ref()).map(|s| s.key.clone()).collect();
        let told = |d: &Drifted| {
            d.customer.as_ref().is_some_and(|c| counted.contains(c)) || d.subject.as_ref().is_some_and(|s| profiles.contains(s))
        };
        let groups: Vec<_> = drifted.into_iter().filter_map(|group| group.without(told)).collect();
        for mut line in groups.iter().filter_map(finding) {
            // Two sentences that are alike are about different people.
            if found.iter().any(|f| are_alike(&f.sentence, &line.sentence)) {
                line.sentence = line.sentence.replacen(' ', " more ", 1);
            }
            found.push(line);
        }
        self.drifted = groups.iter().flat_map(|g| g.named.iter().take(LISTED)).map(|d| (*d).clone()).collect();
    }

    /// What the drift scan says about these customers.
    #[must_use]
    pub fn drifted_of(&self, customers: &[StripeId]) -> Vec<&Drifted> {
        self.drifted.iter().filter(|d| d.customer.as_ref().is_some_and(|c| customers.contains(c))).collect()
    }

    /// Why the effects of events are missing whose customers a finding names, as the webhooks pane has it. Whose cause no deploy can have brought
    /// about is handed back.
    fn explain(&self, found: &mut [Finding], survey: &Survey) -> BTreeSet<StripeId> {
        let mut undeployed = BTreeSet::new();
        for finding in found.iter_mut().filter(|f| f.word != Word::Unknown) {
            let About::Customers(ids) = &finding.about else { continue };
            let unapplied = self.customers_of(finding).iter().all(|j| j.diagnosis.cause == diagnosis::Cause::Unapplied);
            let Some((cause, likely)) = unapplied.then(|| survey.likely_of(ids)).flatten() else { continue };
            if !cause.may_be_deployed() {
                undeployed.extend(ids.iter().cloned());
            }
            finding.reason = format!("{} {likely}", finding.reason);
        }
        undeployed
    }

    /// What began shortly after a deploy says so: the deploy is what changed. Not what no deploy can have brought about.
    fn name_deploys(&self, findings: &mut [Finding], cause: Option<Cause>, undeployed: &BTreeSet<StripeId>) {
        let named: Vec<Option<String>> = findings
            .iter()
            .map(|f| {
                let since = match &f.about {
                    About::Webhooks { since, .. } => cause.is_none_or(Cause::may_be_deployed).then_some(*since),
                    About::Customers(ids) if ids.iter().any(|id| undeployed.contains(id)) => None,
                    _ => self.unapplied_since(f),
                };
                let deploy = self.beside.deploy_before(since?).filter(|d| !f.reason.contains(&d.version))?;
                let came = format!("Deploy {} at {} came shortly before.", deploy.version, deploy.at.format("%H:%MZ"));
                // What helps comes first.
                let helps = matches!(f.about, About::Customers(_));
                Some(if helps { format!("{} {came}", f.reason) } else { format!("{came} {}", f.reason) })
            })
            .collect();
        for (finding, reason) in findings.iter_mut().zip(named) {
            if let Some(reason) = reason {
                finding.reason = reason;
            }
        }
    }

    fn interrupted(&self, cx: &Context) -> Vec<Interrupted> {
        let me = cx.env.map(|e| e.operator.as_str()).unwrap_or_default();
        let left = |r: &&RunSummary| !r.is_finished() && !r.held && cx.going.get(&r.run).is_none_or(|g| g.calls());
        let open = self.runs.iter().filter(left);
        open.map(|r| Interrupted {
            run: r.run,
            name: short(r.run),
            operator: (r.operator != me).then(|| r.operator.clone()),
            step: r.attempts.last().map(|(a, _)| step_title(&a.step).to_string()),
            here: cx.going.get(&r.run).map(|g| match g {
                Going::Unknown => Here::InDoubt,
                Going::Paused => Here::Paused,
                Going::Running | Going::Watching | Going::Waiting | Going::Over | Going::Asking => Here::Asks,
            }),
            state: match r.state {
                RunState::Open => "Nothing was sent.",
                RunState::Unknown => "Whether it took effect is unknown.",
                RunState::Acted | RunState::Closed(_) => "It acted, and the proof is missing.",
            }
            .into(),
            last: r.last,
        })
        .collect()
    }
}

/// Whom a more telling finding names than their case does: each is counted once.
struct Told<'a> {
    silence: BTreeSet<&'a StripeId>,
    profiles: BTreeSet<&'a SubjectKey>,
    /// Customers and profiles that have drifted: that says more than that their case cannot be judged.
    drifted: BTreeSet<&'a str>,
}

impl<'a> Told<'a> {
    fn by(silence: Option<&'a Finding>, judged: &'a [Judged], drifted: &[Group<'a>]) -> Self {
        let silence: BTreeSet<&StripeId> = match silence.map(|f| &f.about) {
            Some(About::Webhooks { customers, .. }) => customers.iter().collect(),
            _ => BTreeSet::new(),
        };
        let theirs = judged.iter().filter(|j| silence.contains(&j.customer));
        let profiles = theirs.filter_map(|j| j.subject.as_ref()).map(|s| &s.key).collect();
        let named = drifted.iter().flat_map(|g| &g.named);
        let of = |d: &&'a Drifted| [d.customer.as_ref().map(StripeId::as_str), d.subject.as_ref().map(SubjectKey::as_str)];
        Self { silence, profiles, drifted: named.flat_map(of).flatten().collect() }
    }

    fn elsewhere(&self, j: &Judged) -> bool {
        let profile = j.subject.as_ref().map(|s| &s.key);
        let of_silence = self.silence.contains(&j.customer) || profile.is_some_and(|p| self.profiles.contains(p));
        let has_drifted = self.drifted.contains(j.customer.as_str()) || profile.is_some_and(|p| self.drifted.contains(p.as_str()));
        of_silence || j.diagnosis.word == Word::Unknown && has_drifted
    }
}

/// Sources that are set up and cannot be relied on; stale ones recover or go down within seconds, and the status line has them.
fn silent(cx: &Context) -> Vec<Silent> {
    let judge = |(source, f): (&Source, &crate::protocol::freshness::Freshness)| {
        let health = f.health(cx.now);
        let trouble = match health {
            Health::Down => Trouble::Down,
            Health::Auth => Trouble::Refused,
            Health::Limit => Trouble::Limited,
            Health::Full => Trouble::Full,
            Health::Ok | Health::Stale | Health::Connecting | Health::NotSetUp => return None,
        };
        let reason = f.last_fault.as_ref().map_or_else(|| "No answer, and no refusal either.".to_string(), |x| x.say.clone());
        Some(Silent { source: *source, trouble, seconds: f.age(cx.now), reason })
    };
    cx.sources.iter().filter_map(judge).collect()
}
