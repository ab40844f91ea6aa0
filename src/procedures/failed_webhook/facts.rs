//! What became of the selected events: each subscription's newest state against its row, why the effect is missing, and what would bring it about.

use super::events::{Listed, Told, follows, is_handled, listed};
use super::{link, witness};
use crate::domain::At;
use crate::domain::diagnosis::changed_at;
use crate::domain::expected::{Expected, expected};
use crate::domain::facts::Known;
use crate::domain::fault::FaultKind;
use crate::domain::ids::{StripeId, is_placeholder};
use crate::domain::row::{Change, Field, SubscriptionRow, Value, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::{Status, Subscription};
use crate::domain::text::sentence;
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::cause::{Attributed, Cause, Evidence, Held, Named, Remedy, Scene, Trail, attribute};
use crate::domain::webhooks::demand::{Demand, Due};
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::lag;
use crate::domain::webhooks::verdict::Verdict;
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
    /// The row does not hold the customer yet.
    pub unlinked: bool,
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
    let mut wanted = vec![Query::Shape, Query::Endpoints, Query::Runs, Query::TeamRuns];
    let mut listed = listed(inputs, answers, rules);
    wanted.append(&mut listed.next);
    wanted.extend(listed.batches.iter().filter(|b| !b.is_empty()).map(|b| Query::RowsOf(b.clone())));
    if let Some(Selection::Customers(ids)) = &inputs.selection {
        wanted.push(Query::RowsOf(ids.clone()));
        wanted.extend(ids.iter().cloned().map(Query::SubscriptionsOf));
    }
    if wanted.iter().all(|q| answers.get(q).is_some_and(|k| !k.is_waiting())) {
        wanted.extend(closer(inputs, &listed, answers));
    }
    wanted.retain(|q| answers.get(q).is_none());
    let mut once: BTreeSet<Query> = BTreeSet::new();
    wanted.retain(|q| once.insert(q.clone()));
    wanted
}

/// With the events and their rows known: the subscriptions whose newest snapshot does not tell what is due, the customers without a
/// row, and the log of that time.
fn closer(inputs: &Inputs, listed: &Listed, answers: &Answers) -> Vec<Query> {
    let mut wanted = Vec::new();
    let mut subscriptions = Vec::new();
    let rows = rows(answers);
    let mut customers: BTreeSet<&StripeId> = BTreeSet::new();
    for (id, told) in by_subscription(listed) {
        customers.extend(told.customer.as_ref());
        let snapshot = listed.newest.get(id);
        let tells = snapshot.is_some_and(|(at, s)| *at + lag::LEAST >= told.at && s.items.iter().all(prices_itself));
        if !tells {
            subscriptions.push(Query::Subscription((*id).clone()));
        }
        let named = told.customer.as_ref().and_then(|c| rows.get(c)).and_then(|r| r.text(Field::Subscription));
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
    wanted.extend(witness::reads(listed, answers));
    wanted
}

/// Which tier it buys can be told without its product.
fn prices_itself(item: &crate::domain::stripe::Item) -> bool {
    item.price.lookup_key.is_some() || !item.price.metadata.is_empty()
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
    let listed = listed(inputs, answers, Some(&env.tiers));
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
    let came = effects(&listed, &rows, &shape, &env.tiers);
    let allowance = given.max(learned(&came));
    let scene = witness::scene(&listed, answers, env);
    // What was written later than effects take came by hands.
    let written = came.iter().filter(|(at, written)| at <= written && *written - *at <= allowance).map(|(_, written)| *written).max();
    let accepted = written.max(scene.log.as_ref().and_then(Trail::last_processed));
    let mut behind: BTreeMap<&StripeId, usize> = BTreeMap::new();
    listed.selected.iter().filter_map(|t| t.subscription.as_ref()).for_each(|id| *behind.entry(id).or_default() += 1);
    let look = Look { answers, env, now, allowance, shape, rows, scene, listed: &listed, behind };
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
    found.lost.sort_by(|a, b| a.event.as_ref().map(|t| t.at).cmp(&b.event.as_ref().map(|t| t.at)).then(a.customer.cmp(&b.customer)));
    Ok(found)
}

/// What the plan cannot do without. Of the probe its own procedure judges.
fn needed(query: &Query) -> bool {
    let evidence = matches!(query, Query::Logs(_) | Query::SessionsOf(_) | Query::InvoicesOf(_) | Query::CustomersFor { .. });
    !evidence && !matches!(query, Query::Records(_) | Query::Runs | Query::TeamRuns | Query::Probe)
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

struct Look<'a> {
    answers: &'a Answers,
    env: &'a Environment,
    now: At,
    /// What effects are given to come.
    allowance: Duration,
    shape: Shape,
    rows: BTreeMap<StripeId, SubscriptionRow>,
    scene: Scene,
    listed: &'a Listed<'a>,
    /// How many selected events each subscription has.
    behind: BTreeMap<&'a StripeId, usize>,
}

impl Look<'_> {
    /// The subscription as Stripe has it now: asked for, else its newest snapshot.
    fn truth(&self, id: &StripeId) -> Option<Subscription> {
        match self.answers.get(&Query::Subscription(id.clone())) {
            Some(Known::Is { value: Reply::Subscriptions(found), .. }) => found.first().cloned(),
            _ => self.listed.newest.get(id).map(|(_, s)| (*s).clone()),
        }
    }

    fn customer(&self, customer: &StripeId, lost: &mut Vec<Lost>, found: &mut Found) {
        let all = match self.answers.get(&Query::SubscriptionsOf(customer.clone())) {
            Some(Known::Is { value: Reply::Subscriptions(all), .. }) => all,
            _ => return,
        };
        let live: Vec<_> = all.iter().filter(|s| s.status.is_live() && s.status != Status::Incomplete).collect();
        match (live.as_slice(), all.first()) {
            ([one], _) => self.compare((*one).clone(), None, lost, found),
            ([], Some(last)) => self.compare(last.clone(), None, lost, found),
            ([], None) => {
                found.skipped.push((customer.to_string(), "Stripe has no subscription for them: there is nothing to copy".into()))
            }
            _ => {
                let why = format!("{} subscriptions are live: open the customer and choose the one that counts", live.len());
                found.skipped.push((customer.to_string(), why));
            }
        }
    }

    fn judge(&self, id: &StripeId, told: Option<&Told>, lost: &mut Vec<Lost>, found: &mut Found) {
        if told.is_some_and(|t| self.is_young(t.at)) {
            found.settling += 1;
            return;
        }
        match self.truth(id) {
            Some(truth) => self.compare(truth, told, lost, found),
            None => found.skipped.push((id.to_string(), "Stripe no longer has this subscription: there is nothing to copy".into())),
        }
    }

    /// What happened then may still be on its way.
    fn is_young(&self, at: At) -> bool {
        self.now - at < self.allowance
    }

    fn compare(&self, truth: Subscription, told: Option<&Told>, lost: &mut Vec<Lost>, found: &mut Found) {
        let customer = truth.customer.clone();
        let due = expected(&truth, &self.env.tiers, &self.shape, None);
        let free = self.env.tiers.free();
        let (row, unlinked) = match self.rows.get(&customer) {
            Some(row) => (row.clone(), false),
            // Nobody has what nobody is owed.
            None if due.as_ref().is_ok_and(|d| d.tier == free) => {
                found.right += 1;
                return;
            }
            None => match link::row(&customer, self.answers) {
                Ok((_, row)) => (row, true),
                Err(why) => {
                    found.skipped.push((customer.to_string(), why));
                    return;
                }
            },
        };
        let due = match due {
            Ok(due) => due,
            Err(why) => {
                found.skipped.push((customer.to_string(), why.to_string()));
                return;
            }
        };
        let changes = diff(&row.image, &due.image);
        if changes.is_empty() || self.follows_another(&row, &truth) {
            found.right += 1;
            return;
        }
        if told.is_none() && self.is_young(changed_at(&truth, due.item_of(&truth), None, self.now)) {
            found.settling += 1;
            return;
        }
        if let Some(other) = self.live_other(&row, &truth) {
            let why = format!("the row follows {other}, which is live too: open the customer and choose the one that counts");
            found.skipped.push((customer.to_string(), why));
            return;
        }
        let Attributed { cause, because, helps, remedy, .. } = self.attribute(&truth, told, &row, unlinked, &due);
        if let Remedy::Skip(why) = &remedy {
            found.skipped.push((customer.to_string(), why.clone()));
            return;
        }
        let events = self.behind.get(&truth.id).copied().unwrap_or_default();
        lost.push(Lost {
            customer,
            subscription: truth,
            row,
            due,
            changes,
            event: told.cloned(),
            events,
            cause,
            because,
            helps,
            remedy,
            unlinked,
        });
    }

    /// What ended is of no concern to a row that follows another subscription by now.
    fn follows_another(&self, row: &SubscriptionRow, truth: &Subscription) -> bool {
        let named = row.text(Field::Subscription).filter(|n| *n != truth.id.as_str());
        named.is_some() && (!truth.status.is_live() || truth.status == Status::Incomplete)
    }

    fn live_other(&self, row: &SubscriptionRow, truth: &Subscription) -> Option<StripeId> {
        let named = row.text(Field::Subscription).filter(|n| *n != truth.id.as_str())?;
        let other = StripeId::parse(named).ok()?;
        let live = self.truth(&other).is_some_and(|s| s.status.is_live() && s.status != Status::Incomplete);
        live.then_some(other)
    }

    fn attribute(&self, truth: &Subscription, told: Option<&Told>, row: &SubscriptionRow, unlinked: bool, due: &Expected) -> Attributed {
        let held = match row.text(Field::Customer) {
            _ if !unlinked => Held::Customer,
            Some(id) if is_placeholder(id) => Held::Placeholder(id.into()),
            other => Held::Other(other.map(String::from)),
        };
        let Some(told) = told else {
            let remedy = if unlinked { Remedy::Link } else { Remedy::Apply };
            return Attributed {
                cause: Cause::Unknown,
                rule: String::new(),
                because: format!("{} is due, and the row says otherwise", due.tier),
                helps: "Copying from Stripe helps whatever the cause.".into(),
                remedy,
                raw: None,
                evidence: Vec::new(),
            };
        };
        let mut evidence = Evidence::of(told.id.clone(), &told.kind, told.at, Verdict::Missing);
        evidence.names = [Some(truth.id.clone()), Some(truth.customer.clone())].into_iter().flatten().collect();
        evidence.api_version = told.api_version.clone();
        evidence.livemode = told.livemode;
        evidence.pending = told.pending;
        evidence.named = if unlinked { Named::Profile(row.subject.clone()) } else { Named::Unknown };
        evidence.held = held;
        // Whether what stood in the way is over, the first one sent shows: until then nothing says that it is not.
        evidence.recovered = true;
        let mut attributed = attribute(&evidence, &self.scene, self.now);
        if matches!(attributed.remedy, Remedy::Resend | Remedy::Deliver) && self.is_outdated(told, truth) {
            attributed.remedy = Remedy::Apply;
            attributed.helps = "Stripe has changed since this event: sent again it would bring the older values; copying helps.".into();
        }
        attributed
    }

    /// Something newer than this event is known: sent again, it would bring older values.
    fn is_outdated(&self, told: &Told, truth: &Subscription) -> bool {
        told.newest == Some(false)
            || self.listed.last.get(&truth.id).is_some_and(|at| *at > told.at)
            || self.listed.own.get(&told.id).is_some_and(|own| !self.says_the_same(own, truth))
    }

    /// Both demand the same row. What a price buys may be told only by its product, which no event carries: so prices are compared
    /// instead of tiers.
    fn says_the_same(&self, one: &Subscription, other: &Subscription) -> bool {
        let prices = |s: &Subscription| s.items.iter().map(|i| i.price.id.clone()).collect::<BTreeSet<_>>();
        let but_tier = |s: &Subscription| Demand::of(s, &self.env.tiers).with_tier(Due::Tier("".into()));
        prices(one) == prices(other) && but_tier(one) == but_tier(other)
    }
}
