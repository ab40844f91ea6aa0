//! What a round of the survey costs where it is dear: a hundred thousand events, five thousand of them without their effect. Printed, not judged.

use super::survey::Watch;
use crate::fixtures::{ago, event, id, now, right_row, shape, subscription};
use chrono::Duration;
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::row::{Subject, SubscriptionRow};
use nightdesk::domain::stripe::{StripeEvent, Subscription};
use nightdesk::protocol::query::{Query, Reply};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration as Took, Instant};

const EVENTS: usize = 100_000;
const CUSTOMERS: usize = 20_000;
/// Every fourth customer's newest event was lost.
const LOST: usize = 4;

struct Night {
    /// Newest first.
    events: Vec<StripeEvent>,
    places: HashMap<StripeId, usize>,
    rows: HashMap<StripeId, SubscriptionRow>,
    subscriptions: HashMap<StripeId, Subscription>,
}

fn night() -> Night {
    let mut night = Night { events: Vec::new(), places: HashMap::new(), rows: HashMap::new(), subscriptions: HashMap::new() };
    for n in 0..CUSTOMERS {
        let cus = format!("cus_Cost{n:06}");
        let mut s = subscription(&format!("sub_Cost{n:06}"), &cus);
        s.created = ago(2_000);
        night.rows.insert(id(&cus), right_row(&format!("00000000-0000-4000-8000-{n:012}"), &s));
        night.subscriptions.insert(s.id.clone(), s);
    }
    for k in 0..EVENTS {
        let n = k % CUSTOMERS;
        let s = night.subscriptions.get_mut(&id(&format!("sub_Cost{n:06}"))).expect("one of them");
        let before = s.clone();
        s.cancel_at_period_end = !s.cancel_at_period_end;
        let at = now() - Duration::seconds(300) - Duration::milliseconds(i64::try_from((EVENTS - k) * 800).expect("small"));
        let mut e = event(&format!("evt_Cost{k:06}"), "customer.subscription.updated", s, at);
        e.previous = Some(Box::new(before));
        night.events.push(e);
        if k + CUSTOMERS < EVENTS || !n.is_multiple_of(LOST) {
            night.rows.insert(s.customer.clone(), right_row(&format!("00000000-0000-4000-8000-{n:012}"), s));
        }
    }
    night.events.reverse();
    night.places = night.events.iter().enumerate().map(|(i, e)| (e.id.clone(), i)).collect();
    night
}

impl Night {
    fn answer(&self, query: &Query) -> Reply {
        match query {
            Query::Shape => Reply::Shape(Box::new(shape())),
            Query::EventPage(range) => {
                let from = range.after.as_ref().map_or(0, |a| self.places[a] + 1);
                let page: Vec<StripeEvent> = self.events[from..].iter().take(100).filter(|e| e.created >= range.since).cloned().collect();
                let next = page.last().filter(|_| page.len() == 100 && from + 100 < EVENTS).map(|e| e.id.clone());
                Reply::EventPage { events: page, raw: Vec::new(), next, clock_ahead: None }
            }
            Query::RowsOf(customers) => {
                let subject = |r: &SubscriptionRow| Subject { key: r.subject.clone(), email: None, name: None, created_at: None };
                let rows = customers.iter().filter_map(|c| self.rows.get(c));
                Reply::Rows(rows.map(|r| (r.clone(), subject(r))).collect())
            }
            Query::Subscription(id) => Reply::Subscriptions(self.subscriptions.get(id).cloned().into_iter().collect()),
            Query::SubscriptionsOf(c) => {
                let theirs = id(&c.as_str().replace("cus_", "sub_"));
                Reply::Subscriptions(self.subscriptions.get(&theirs).cloned().into_iter().collect())
            }
            Query::Customer(id) => Reply::Customers(vec![crate::fixtures::customer(id.as_str(), None)]),
            Query::CustomersFor { .. } | Query::CustomerOf(_) => Reply::Customers(Vec::new()),
            Query::SessionsOf(_) => Reply::Sessions(Vec::new()),
            Query::InvoicesOf(_) => Reply::Invoices(Vec::new()),
            Query::Records(nightdesk::protocol::query::Locator::CustomerId(c)) => {
                let row = self.rows.get(&id(c)).cloned();
                Reply::Records(row.map(|r| crate::fixtures::record(&r.subject.0.clone(), None, Some(r))).into_iter().collect())
            }
            Query::Records(_) => Reply::Records(Vec::new()),
            Query::Entitlement(_) => Reply::Entitlement(None),
            Query::Endpoints => Reply::Endpoints(Vec::new()),
            Query::Received(_) => Reply::Received(None),
            Query::Runs => Reply::Runs(Vec::new()),
            Query::Logs(_) => Reply::Logs { lines: Vec::new(), complete: true, covers: None, note: None },
            other => panic!("{other:?} is not asked"),
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn what_a_round_of_a_bad_night_costs() {
    let night = night();
    let mut watch = Watch::new(now());
    watch.survey.set_range(30, watch.at);
    for round in 0..4 {
        let mut costs: BTreeMap<&'static str, (u32, Took, Took)> = BTreeMap::new();
        watch.look_timed(|q| Some(Ok(night.answer(q))), &mut |what, took: Took| {
            let of = costs.entry(what).or_default();
            *of = (of.0 + 1, of.1 + took, of.2.max(took));
        });
        let failures = watch.survey.lines().iter().filter(|l| l.verdict.is_failure()).count();
        println!("round {round}: {} lines, {failures} failures, {:?}", watch.survey.lines().len(), watch.survey.progress());
        for (what, (n, all, most)) in costs {
            println!("    {what:<14} {n:>6} times, {all:>9.1?} in all, {:>9.1?} each, {most:>9.1?} at most", all / n);
        }
        let began = Instant::now();
        let copy = watch.survey.clone();
        println!("    a copy of it {:?}", began.elapsed());
        drop(copy);
        watch.pass(16);
    }
}

#[test]
fn every_failure_is_counted_where_they_are_more_than_are_looked_at_at_once() {
    let mut world = crate::fixtures::World::empty();
    for n in 0..7_500u32 {
        let cus = format!("cus_Many{n:06}");
        let old = subscription(&format!("sub_Many{n:06}"), &cus);
        let s = Subscription { cancel_at_period_end: true, ..old.clone() };
        let mut e = event(&format!("evt_Many{n:06}"), "customer.subscription.updated", &s, ago(60) - Duration::seconds(n.into()));
        e.previous = Some(Box::new(old.clone()));
        world.events.push(e);
        world.records.push(crate::fixtures::record("a profile", None, Some(right_row(&format!("00000000-0000-4000-8000-{n:012}"), &old))));
        world.subscriptions.push(s);
    }
    let places: HashMap<StripeId, usize> =
        world.events.iter().enumerate().map(|(i, e)| (e.subscription.as_ref().expect("one").id.clone(), i)).collect();
    let held: HashMap<StripeId, usize> = world.events.iter().enumerate().map(|(i, e)| (e.customer.clone().expect("one"), i)).collect();
    let answer = |q: &Query| match q {
        Query::Subscription(id) => Ok(Reply::Subscriptions(vec![world.subscriptions[places[id]].clone()])),
        Query::RowsOf(of) => Ok(Reply::Rows(
            of.iter().map(|c| &world.records[held[c]]).map(|r| (r.row.clone().expect("a row"), r.subject.clone())).collect(),
        )),
        _ => world.answer(q),
    };
    let mut watch = Watch::new(now());
    let mut beyond = Vec::new();
    for _ in 0..8 {
        watch.look(|q| Some(answer(q)));
        beyond.push(watch.survey.progress().beyond);
        watch.pass(1);
    }
    let groups = watch.survey.groups();
    let counted = |of: fn(&nightdesk::domain::webhooks::feed::Group) -> usize| groups.iter().map(of).sum::<usize>();
    assert_eq!((counted(|g| g.events.len()), counted(|g| g.customers), *beyond.last().expect("some")), (7_500, 7_500, 0), "{beyond:?}");
    assert_eq!(groups.iter().map(|g| g.first).min(), Some(ago(60) - Duration::seconds(7_499)));
    assert!(watch.survey.lines().iter().all(|l| l.cause.is_some()));
}
