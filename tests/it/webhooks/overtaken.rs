//! Rows that were right and are written over: by Stripe's own retry of an older event, long after somebody has put them right.

use super::survey::Watch;
use crate::fixtures::*;
use chrono::Duration;
use nightdesk::domain::fault::Fault;
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::stripe::{StripeEvent, Subscription};
use nightdesk::domain::webhooks::cause::Cause;
use nightdesk::domain::webhooks::judge::Received;
use nightdesk::domain::webhooks::verdict::Verdict;
use nightdesk::procedures::survey::Survey;
use nightdesk::protocol::query::{Query, Reply};

const OLDER: &str = "evt_Overtaken001";
const NEWER: &str = "evt_Overtaken002";

/// A subscription that changed 200 and 100 minutes ago; the row says what it was before both.
struct Night {
    world: World,
    begun: Subscription,
    older: Subscription,
    newer: Subscription,
    /// The application's own record of events; `None`: it keeps none.
    received: Option<Vec<Received>>,
}

impl Night {
    fn fell() -> Self {
        let mut begun = subscription(SUBSCRIPTION, CUSTOMER);
        begun.created = ago(600);
        let older = Subscription { cancel_at_period_end: true, ..begun.clone() };
        let mut newer = older.clone();
        newer.items[0].price = price("price_ent_month", Some("ENTERPRISE"));
        let mut world = World::empty();
        let change = |name: &str, minutes: i64, from: &Subscription, to: &Subscription| {
            let mut update = event(name, "customer.subscription.updated", to, ago(minutes));
            update.previous = Some(Box::new(from.clone()));
            StripeEvent { pending_webhooks: 1, ..update }
        };
        world.events = vec![change(NEWER, 100, &older, &newer), change(OLDER, 200, &begun, &older)];
        world.customers.push(customer(CUSTOMER, None));
        world.subscriptions.push(newer.clone());
        let mut night = Self { world, begun, older, newer, received: None };
        night.holds(&night.begun.clone(), Duration::minutes(-600));
        night
    }

    /// The row is as that state demands, and was written then, counted from the beginning of the test.
    fn holds(&mut self, state: &Subscription, written: Duration) {
        let mut row = right_row(PROFILE, state);
        row.image.insert(Field::UpdatedAt, Value::Time(now() + written));
        self.world.records = vec![record(PROFILE, None, Some(row))];
    }

    fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        match query {
            Query::Received(of) => {
                let kept = self.received.clone();
                Ok(Reply::Received(kept.map(|all| all.into_iter().filter(|r| of.contains(&r.event)).collect())))
            }
            _ => self.world.answer(query),
        }
    }

    fn look(&self, watch: &mut Watch) {
        for _ in 0..3 {
            watch.look(|q| Some(self.answer(q)));
            watch.pass(1);
        }
    }
}

#[track_caller]
fn expect(survey: &Survey, event: &str, verdict: Verdict) {
    assert_eq!(survey.verdict(&id(event)), Some(verdict), "{:?}", survey.judgement(&id(event)));
}

#[test]
fn what_was_put_right_and_written_over_is_missing_again_in_the_next_round() {
    let mut night = Night::fell();
    let mut watch = Watch::new(now());
    night.look(&mut watch);
    expect(&watch.survey, NEWER, Verdict::Missing);
    let (older, newer) = (night.older.clone(), night.newer.clone());
    night.holds(&newer, Duration::seconds(5));
    watch.survey.written([id(CUSTOMER)].iter());
    night.look(&mut watch);
    expect(&watch.survey, NEWER, Verdict::Applied);
    // Once more it is read as right, with nothing new at Stripe; then Stripe delivers the older event again by itself.
    watch.pass(20);
    night.look(&mut watch);
    night.holds(&older, Duration::seconds(40));
    watch.pass(20);
    night.look(&mut watch);
    expect(&watch.survey, NEWER, Verdict::Missing);
    expect(&watch.survey, OLDER, Verdict::Applied);
    // And where it is put right by whatever else, it is right.
    night.holds(&newer, Duration::seconds(65));
    watch.pass(20);
    night.look(&mut watch);
    expect(&watch.survey, NEWER, Verdict::Applied);
}

#[test]
fn the_record_of_the_older_event_tells_that_it_came_later() {
    let mut night = Night::fell();
    let older = night.older.clone();
    night.holds(&older, Duration::minutes(-50));
    let noted = |event: &str, minutes: i64| Received { event: id(event), processed: Some(true), processed_at: Some(ago(minutes)) };
    for (of_the_older, cause) in [(50, Cause::OlderApplied), (199, Cause::WrittenOver)] {
        night.received = Some(vec![noted(OLDER, of_the_older), noted(NEWER, 99)]);
        let mut watch = Watch::new(now());
        night.look(&mut watch);
        let causes: Vec<Cause> = watch.survey.groups().iter().map(|g| g.cause).collect();
        assert_eq!(causes, [cause], "{:?}", watch.survey.groups());
    }
}

#[test]
fn what_is_processed_while_it_is_looked_at_is_not_called_written_over() {
    let mut night = Night::fell();
    let noted = |seconds: i64| Received { event: id(NEWER), processed: Some(true), processed_at: Some(now() + Duration::seconds(seconds)) };
    let unstamped = Received { processed_at: None, ..noted(0) };
    for received in [noted(1), unstamped] {
        // The effect comes after the rows were read, and the application's own record is read after that.
        let (mut watch, mut sent) = (Watch::new(now()), false);
        night.holds(&night.begun.clone(), Duration::minutes(-600));
        night.received = Some(vec![received.clone()]);
        for _ in 0..3 {
            watch.look(|q| {
                if matches!(q, Query::Received(_)) && !sent {
                    sent = true;
                    let newer = night.newer.clone();
                    night.holds(&newer, Duration::seconds(1));
                }
                Some(night.answer(q))
            });
            watch.pass(1);
        }
        assert!(sent, "the record was read");
        expect(&watch.survey, NEWER, Verdict::Applied);
        assert!(watch.survey.groups().is_empty(), "{:?}", watch.survey.groups());
    }
    // A row that was read after it, and is as before, has been written over.
    night.holds(&night.begun.clone(), Duration::minutes(-600));
    night.received = Some(vec![noted(-600)]);
    let mut watch = Watch::new(now());
    night.look(&mut watch);
    let over = watch.survey.groups().iter().find(|g| g.cause == Cause::WrittenOver);
    assert_eq!(over.map(|g| g.events.clone()), Some(vec![id(NEWER)]), "{:?}", watch.survey.groups());
}

#[test]
fn whoever_is_owed_a_delivery_is_looked_at_in_every_round() {
    let cus = |n: u32| id(&format!("cus_Owed{n:06}"));
    let mut world = World::empty();
    for n in 0..1_200u32 {
        let s = subscription(&format!("sub_Owed{n:06}"), cus(n).as_str());
        let happened = ago(60) - Duration::seconds(n.into());
        let update = event(&format!("evt_Owed{n:06}"), "customer.subscription.updated", &s, happened);
        world.events.push(StripeEvent { pending_webhooks: u64::from(n == 1_199), ..update });
        world.records.push(record(&format!("00000000-0000-4000-8000-{n:012}"), None, Some(right_row("a profile", &s))));
    }
    let mut watch = Watch::of(&world);
    assert!(watch.survey.groups().is_empty() && watch.survey.lines().len() == 1_200);
    watch.asked.clear();
    watch.pass(16);
    watch.look(|q| Some(world.answer(q)));
    let read = |customer: &StripeId| watch.asked.iter().any(|q| matches!(q, Query::RowsOf(of) if of.contains(customer)));
    assert!(read(&cus(1_199)), "what is owed can come at any time");
    assert!(!read(&cus(1_198)), "the others come in turn");
}

#[test]
fn what_stripe_owes_is_told_as_it_is_by_now() {
    let mut night = Night::fell();
    let mut watch = Watch::new(now());
    night.look(&mut watch);
    let owed = |watch: &Watch| watch.survey.lines().iter().map(|l| l.pending).collect::<Vec<_>>();
    assert_eq!(owed(&watch), [true, true]);
    night.world.events.iter_mut().for_each(|e| e.pending_webhooks = 0);
    watch.pass(16);
    night.look(&mut watch);
    assert_eq!(owed(&watch), [false, true], "the head of the list was read again");
    for _ in 0..5 {
        watch.pass(16);
        night.look(&mut watch);
    }
    assert_eq!(owed(&watch), [false, false], "Stripe was asked which are owed");
    assert!(watch.survey.judgement(&id(OLDER)).expect("judged").evidence.iter().any(|l| l.contains("answered with success")));
    let asked = |watch: &Watch| watch.asked.iter().filter(|q| matches!(q, Query::EventPage(range) if range.undelivered_only)).count();
    let before = asked(&watch);
    watch.pass(120);
    night.look(&mut watch);
    assert_eq!(asked(&watch), before, "nothing is owed");
}
