//! What became of the selected events: each subscription's newest state against its row, why the effect is missing, and what would bring it about.

use super::events::{Listed, Told, follows, is_handled, listed};
use super::look::Look;
use super::prices::{Asked, taught};
use super::{link, witness};
use crate::domain::At;
use crate::domain::expected::{Expected, tier_due};
use crate::domain::facts::Known;
use crate::domain::fault::FaultKind;
use crate::domain::ids::StripeId;
use crate::domain::row::{Change, Field, SubscriptionRow, Value};
use crate::domain::shape::Shape;
use crate::domain::stripe::Subscription;
use crate::domain::text::sentence;
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::cause::{Cause, Remedy, Trail};
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::lag;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Closed, RunState};
use crate::protocol::run::{Inputs, Refusal, Selection, short};
use chrono::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Stripe is asked about so many single subscriptions in a round.
const AT_ONCE: usize = 100;

/// One subscription whose newest state is not in its row.
#[derive(Debug, Clone)]
pub struct Lost {
    pub customer: StripeId,
    pub subscription: Subscription,
    pub row: SubscriptionRow,
    pub due: Expected,
    pub changes: Vec<Change>,
    /// The newest selected event of it; none where a customer was named.
    pub event: Option<Told>,
    /// How many selected events stand behind it.
    pub events: usize,
    pub cause: Cause,
    pub because: String,
    pub helps: String,
    pub remedy: Remedy,
    /// Nothing says that what stood in the way is over: whether sending helps, the first one shows.
    pub on_trial: bool,
    /// The row does not hold the customer yet.
    pub unlinked: bool,
    /// Older events of it that Stripe goes on trying by itself.
    pub owed: usize,
    /// Stripe owes nobody its event, as it would if that had been refused: it seems that it was never sent.
    pub unsent: bool,
}

/// What the selection came to.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Oldest first.
    pub lost: Vec<Lost>,
    /// Selected events in all.
    pub events: usize,
    /// Subscriptions whose row is as due.
    pub right: usize,
    /// Too young to be called missing.
    pub settling: usize,
    /// What is younger than this, in seconds.
    pub allowance_seconds: i64,
    /// When the application last accepted an event, by its log or by a row that was written in the usual time. `None`: nothing tells.
    pub accepted: Option<At>,
    /// What cannot be repaired from here: whose, and why.
    pub skipped: Vec<(String, String)>,
    pub gone: Vec<StripeId>,
    /// Selected by their ids, and not met in Stripe's list.
    pub unmet: Vec<StripeId>,
    pub unreadable: usize,
    /// Nothing older than this was looked at, though there is more.
    pub cut: Option<At>,
    /// What runs that were left unfinished, or given up, have sent: the step, and whose run it was.
    pub before: BTreeMap<String, String>,
    /// Runs of other operators that nobody works on, by name; or why those are not known.
    pub unfinished: Vec<String>,
    pub endpoint: Option<Endpoint>,
}

pub(super) fn reads(inputs: &Inputs, answers: &Answers, rules: Option<&TierRules>) -> Vec<Query> {
    // Round by round: the list is gone through once for all that a round brings, not once for each of its answers.
    if answers.outstanding().next().is_some() {
        return Vec::new();
    }
    let rules = rules.map(|r| taught(r, answers));
    let rules = rules.as_deref();
    let mut wanted = vec![Query::Shape, Query::Endpoints, Query::Runs, Query::TeamRuns];
    let mut listed = listed(inputs, answers, rules);
    wanted.append(&mut listed.next);
    wanted.extend(listed.batches.iter().filter(|b| !b.is_empty()).map(|b| Query::RowsOf(b.clone())));
    if let Some(Selection::Customers(ids)) = &inputs.selection {
        wanted.push(Query::RowsOf(ids.clone()));
        wanted.extend(ids.iter().cloned().map(Query::SubscriptionsOf));
    }
    if wanted.iter().all(|q| answers.get(q).is_some_and(|k| !k.is_waiting())) {
        wanted.extend(closer(inputs, &listed, answers, rules));
    }
    wanted.retain(|q| answers.get(q).is_none());
    let mut once: BTreeSet<Query> = BTreeSet::new();
    wanted.retain(|q| once.insert(q.clone()));
    wanted
}

/// With the events and their rows known: the subscriptions whose row does not show the effect, and whose newest snapshot does not tell what
/// is due; the customers without a row, what the application noted of those without effect, and the log of that time.
fn closer(inputs: &Inputs, listed: &Listed, answers: &Answers, rules: Option<&TierRules>) -> Vec<Query> {
    let mut wanted = Vec::new();
    let mut subscriptions = Vec::new();
    let rows = rows(answers);
    let mut customers: BTreeSet<&StripeId> = BTreeSet::new();
    let mut asked = Asked::before(answers);
    for (id, told) in by_subscription(listed) {
        customers.extend(told.customer.as_ref());
        let query = Query::Subscription((*id).clone());
        let row = told.customer.as_ref().and_then(|c| rows.get(c));
        let snapshot = listed.newest.get(id).filter(|(at, _)| *at + lag::LEAST >= told.at);
        let tells = snapshot.is_some_and(|(_, s)| {
            // What was retrieved itself is told, or never will be.
            row.is_some_and(|row| shows(row, s, answers, rules)) || answers.get(&query).is_some() || !asked.lacks(s, rules)
        });
        if !tells {
            subscriptions.push(query);
        }
        let named = row.and_then(|r| r.text(Field::Subscription));
        if let Some(other) = named.filter(|n| *n != id.as_str()).and_then(|n| StripeId::parse(n).ok())
            && !listed.newest.contains_key(&other)
        {
            subscriptions.push(Query::Subscription(other));
        }
    }
    wanted.extend(subscriptions.into_iter().filter(|q| answers.get(q).is_none()).take(AT_ONCE));
    if let Some(Selection::Customers(ids)) = &inputs.selection {
        customers.extend(ids);
    }
    wanted.extend(customers.into_iter().filter(|c| !rows.contains_key(*c)).take(link::AT_MOST).flat_map(|c| link::reads(c, answers)));
    wanted.extend(witness::receipts_of(&without_effect(listed, answers, &rows, rules)));
    wanted.extend(witness::reads(listed, answers));
    wanted
}

/// The row holds all that the snapshot demands, its tier among it.
fn shows(row: &SubscriptionRow, s: &Subscription, answers: &Answers, rules: Option<&TierRules>) -> bool {
    let Some(Known::Is { value: Reply::Shape(shape), .. }) = answers.get(&Query::Shape) else { return false };
    rules.is_some_and(|r| tier_due(s, r).is_ok()) && follows(row, s, shape, rules)
}

/// The newest selected event of each subscription whose row does not show its effect by the snapshots alone.
fn without_effect<'a>(
    listed: &'a Listed,
    answers: &Answers,
    rows: &BTreeMap<StripeId, SubscriptionRow>,
    rules: Option<&TierRules>,
) -> Vec<&'a Told> {
    let Some(Known::Is { value: Reply::Shape(shape), .. }) = answers.get(&Query::Shape) else { return Vec::new() };
    let is_there = |id: &StripeId, told: &Told| {
        let row = told.customer.as_ref().and_then(|c| rows.get(c));
        let snapshot = listed.newest.get(id).filter(|(at, _)| listed.last.get(id) == Some(at));
        row.zip(snapshot).is_some_and(|(row, (_, s))| follows(row, s, shape, rules))
    };
    by_subscription(listed).into_iter().filter(|(id, told)| !is_there(id, told)).map(|(_, told)| told).collect()
}

/// The newest selected event of each subscription.
fn by_subscription<'a>(listed: &'a Listed<'_>) -> BTreeMap<&'a StripeId, &'a Told> {
    let mut newest: BTreeMap<&StripeId, &Told> = BTreeMap::new();
    for told in listed.selected.iter().filter(|t| is_handled(&t.kind)) {
        if let Some(id) = &told.subscription {
            newest.entry(id).or_insert(told);
        }
    }
    newest
}

/// The rows that were read, by the customer that they hold.
fn rows(answers: &Answers) -> BTreeMap<StripeId, SubscriptionRow> {
    let mut all = BTreeMap::new();
    for (query, known) in answers.all() {
        if let (Query::RowsOf(_), Known::Is { value: Reply::Rows(rows), .. }) = (query, known) {
            let held = |r: &SubscriptionRow| r.text(Field::Customer).and_then(|c| StripeId::parse(c).ok());
            all.extend(rows.iter().filter_map(|(row, _)| Some((held(row)?, row.clone()))));
        }
    }
    all
}

/// What the selection came to, with every fact in.
///
/// # Errors
/// [`Refusal`]: a source did not answer, or rows cannot be trusted.
pub fn found(inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Found, Refusal> {
    let rules = &*taught(&env.tiers, answers);
    let listed = listed(inputs, answers, Some(rules));
    if let Some(fault) = &listed.fault {
        return Err(Refusal::Because(fault.say.clone()));
    }
    if !reads(inputs, answers, Some(&env.tiers)).is_empty() {
        return Err(Refusal::Because("Not everything has been read yet.".into()));
    }
    // The log is evidence where there is one; everything else is needed.
    let fault = answers.all().find_map(|(q, k)| k.fault().filter(|_| needed(q)));
    if let Some(fault) = fault {
        return Err(Refusal::Because(fault.say.clone()));
    }
    let shape = match answers.get(&Query::Shape) {
        Some(Known::Is { value: Reply::Shape(shape), .. }) => (**shape).clone(),
        _ => return Err(Refusal::Because("The shape of the database has not been read yet.".into())),
    };
    if let Some(reason) = shape.trust.reasons().first() {
        let say = format!("Nothing is called missing, and nothing sent, where rows may be hidden from us or late: {reason}");
        return Err(Refusal::Because(sentence(&say)));
    }
    let rows = rows(answers);
    let given = inputs.allowance_seconds.map_or(lag::LEAST, |s| Duration::seconds(s.into()));
    let came = effects(&listed, &rows, &shape, rules);
    let allowance = given.max(learned(&came));
    let scene = witness::scene(&listed, answers, env);
    // What was written later than effects take came by hands.
    let written = came.iter().filter(|(at, written)| at <= written && *written - *at <= allowance).map(|(_, written)| *written).max();
    let accepted = written.max(scene.log.as_ref().and_then(Trail::last_processed));
    let mut behind: BTreeMap<&StripeId, Vec<&Told>> = BTreeMap::new();
    listed.selected.iter().filter_map(|t| Some((t.subscription.as_ref()?, t))).for_each(|(id, t)| behind.entry(id).or_default().push(t));
    let recovered = recovered(&listed, &rows, &shape, rules, scene.log.as_ref());
    let receipts = witness::receipts(answers);
    let look = Look { answers, rules, now, allowance, shape, rows, scene, listed: &listed, behind, recovered, receipts };
    let (before, unfinished) = sent_before(answers, &env.operator);
    let mut found = Found {
        events: listed.selected.len(),
        gone: listed.gone.clone(),
        unmet: listed.unmet.clone(),
        allowance_seconds: allowance.num_seconds(),
        accepted,
        unreadable: listed.unreadable,
        cut: listed.cut,
        before,
        unfinished,
        endpoint: look.scene.endpoint().cloned(),
        ..Found::default()
    };
    let mut lost: Vec<Lost> = Vec::new();
    for (id, told) in by_subscription(&listed) {
        look.judge(id, Some(told), &mut lost, &mut found);
    }
    if let Some(Selection::Customers(ids)) = &inputs.selection {
        for customer in ids {
            look.customer(customer, &mut lost, &mut found);
        }
    }
    found.lost = one_per_row(lost, &mut found.skipped);
    tell_unsent(&mut found.lost);
    found.lost.sort_by(|a, b| a.event.as_ref().map(|t| t.at).cmp(&b.event.as_ref().map(|t| t.at)).then(a.customer.cmp(&b.customer)));
    Ok(found)
}

/// What Stripe does not owe may have been answered 200: that it was not sent at all is told only where refusals left most of a cause owed.
fn tell_unsent(lost: &mut [Lost]) {
    let mut of_cause: BTreeMap<Cause, (usize, usize)> = BTreeMap::new();
    for l in lost.iter() {
        let (owed, unsent) = of_cause.entry(l.cause).or_default();
        *owed += usize::from(l.event.as_ref().is_some_and(|t| t.pending));
        *unsent += usize::from(l.unsent);
    }
    for l in lost {
        l.unsent &= of_cause.get(&l.cause).is_some_and(|(owed, unsent)| owed >= unsent);
    }
}

/// What the plan cannot do without. Of the probe its own procedure judges.
fn needed(query: &Query) -> bool {
    let evidence = matches!(query, Query::Logs(_) | Query::SessionsOf(_) | Query::InvoicesOf(_) | Query::CustomersFor { .. });
    !evidence && !matches!(query, Query::Records(_) | Query::Runs | Query::TeamRuns | Query::Received(_) | Query::Probe)
}

/// When the newest events of the list happened, and when the rows that hold their state were written, where a column says so.
fn effects(listed: &Listed, rows: &BTreeMap<StripeId, SubscriptionRow>, shape: &Shape, rules: &TierRules) -> Vec<(At, At)> {
    let effect = |(id, (at, snapshot)): (&&StripeId, &(At, &Subscription))| {
        let row = rows.get(&snapshot.customer)?;
        let Some(Value::Time(written)) = row.get(Field::UpdatedAt) else { return None };
        (listed.last.get(*id) == Some(at) && follows(row, snapshot, shape, Some(rules))).then_some((*at, *written))
    };
    listed.newest.iter().filter_map(effect).collect()
}

/// By type, when the newest event happened whose effect is there: brought by the application itself, where its log tells.
fn recovered<'a>(
    listed: &Listed<'a>,
    rows: &BTreeMap<StripeId, SubscriptionRow>,
    shape: &Shape,
    rules: &TierRules,
    log: Option<&Trail>,
) -> BTreeMap<&'a str, At> {
    let log = log.filter(|t| t.tells_processed());
    let mut newest: BTreeMap<&str, At> = BTreeMap::new();
    for (id, (at, snapshot)) in &listed.newest {
        let Some((event, kind)) = listed.carried.get(id) else { continue };
        let is_there =
            listed.last.get(id) == Some(at) && rows.get(&snapshot.customer).is_some_and(|r| follows(r, snapshot, shape, Some(rules)));
        if is_there && log.is_none_or(|t| t.processed(event.as_str()).is_some()) {
            let latest = newest.entry(kind).or_insert(*at);
            *latest = (*latest).max(*at);
        }
    }
    newest
}

/// How long effects take here, by those that came.
fn learned(came: &[(At, At)]) -> Duration {
    let mut lag = lag::Lag::default();
    came.iter().for_each(|(at, written)| lag.found(*written - *at));
    lag.allowance()
}

/// What runs that are over without an end have sent, or may have: the steps by their ids, which are the same in every plan.
fn sent_before(answers: &Answers, operator: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut before, mut unfinished) = (BTreeMap::new(), Vec::new());
    for query in [Query::Runs, Query::TeamRuns] {
        let runs = match answers.get(&query) {
            Some(Known::Is { value: Reply::Runs(runs), .. }) => runs,
            Some(Known::Failed(fault)) if query == Query::TeamRuns && fault.kind != FaultKind::NotSetUp => {
                unfinished.push(sentence(&format!("Whether another operator has sent some of these is not known: {}", fault.say)));
                continue;
            }
            _ => continue,
        };
        for run in runs.iter().filter(|r| !r.is_finished() || r.state == RunState::Closed(Closed::HandedOver)) {
            let whose = if run.operator == operator { String::new() } else { format!(" of {}", run.operator) };
            let name = format!("run {}{whose}", short(run.run));
            if query == Query::TeamRuns && !run.held && !run.is_finished() && run.sent().next().is_some() {
                unfinished.push(format!("Unfinished, and nobody works on it: {name} ({}). What it sent is not sent again.", run.procedure));
            }
            before.extend(run.sent().map(|step| (step.to_string(), name.clone())));
        }
    }
    (before, unfinished)
}

/// Two subscriptions that would be written to one row: the live one, or nobody's choice but the operator's.
fn one_per_row(lost: Vec<Lost>, skipped: &mut Vec<(String, String)>) -> Vec<Lost> {
    let mut by_row: BTreeMap<_, Vec<Lost>> = BTreeMap::new();
    for one in lost {
        by_row.entry(one.row.subject.clone()).or_default().push(one);
    }
    let mut kept = Vec::new();
    for mut group in by_row.into_values() {
        if group.len() > 1 && group.iter().any(|l| l.subscription.status.is_live()) {
            group.retain(|l| l.subscription.status.is_live());
        }
        group.sort_by_key(|l| std::cmp::Reverse(l.subscription.created));
        if group.len() > 1 && group[0].subscription.status.is_live() {
            let why = format!("{} subscriptions are live: open the customer and choose the one that counts", group.len());
            skipped.push((group[0].customer.to_string(), why));
        } else {
            kept.extend(group.into_iter().next());
        }
    }
    kept
}
