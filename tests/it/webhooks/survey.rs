//! The survey as a machine: questions out, answers in, in a simulated world, and what its lines then say.

use crate::fixtures::*;
use crate::panes_desk::environment;
use chrono::Duration;
use nightdesk::domain::At;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::stripe::{Status, StripeEvent, Subscription};
use nightdesk::domain::webhooks::cause::Cause;
use nightdesk::domain::webhooks::feed::RawEvent;
use nightdesk::domain::webhooks::judge::Received;
use nightdesk::domain::webhooks::verdict::Verdict;
use nightdesk::procedures::survey::{Moment, Survey};
use nightdesk::protocol::environment::Environment;
use nightdesk::protocol::query::{Query, Reply};
use std::collections::{BTreeMap, VecDeque};

/// A survey with its clock.
pub struct Watch {
    pub survey: Survey,
    pub at: At,
    pub tick: u64,
    pub asked: Vec<Query>,
    pub env: Environment,
}

impl Watch {
    pub fn new(at: At) -> Self {
        Self { survey: Survey::default(), at, tick: 1_000, asked: Vec::new(), env: environment() }
    }

    pub fn pass(&mut self, seconds: i64) {
        self.at += Duration::seconds(seconds);
        self.tick += u64::try_from(seconds).expect("forward") * 1_000;
    }

    /// One tick, and everything that follows from it.
    pub fn look(&mut self, answer: impl FnMut(&Query) -> Option<Result<Reply, Fault>>) {
        self.look_timed(answer, &mut |_, _| {});
    }

    /// The same, and how long the survey took over each answer.
    pub fn look_timed(
        &mut self,
        mut answer: impl FnMut(&Query) -> Option<Result<Reply, Fault>>,
        took: &mut dyn FnMut(&'static str, std::time::Duration),
    ) {
        let (env, sources) = (self.env.clone(), BTreeMap::new());
        let m = Moment { now: self.at, tick: self.tick, env: &env, sources: &sources };
        let began = std::time::Instant::now();
        let mut queue: VecDeque<Query> = self.survey.ticked(&m).into();
        took("a tick", began.elapsed());
        let mut rounds = 0;
        while let Some(query) = queue.pop_front() {
            rounds += 1;
            assert!(rounds < 60_000, "it never comes to rest: {query:?}");
            if let Some(result) = answer(&query) {
                let began = std::time::Instant::now();
                queue.extend(self.survey.replied(&query, &result, &m));
                let what = match &query {
                    Query::EventPage(_) => "a page",
                    Query::RowsOf(_) => "rows",
                    Query::Subscription(_) => "a subscription",
                    _ => "anything else",
                };
                took(what, began.elapsed());
            }
            self.asked.push(query);
        }
    }

    pub fn of(world: &World) -> Self {
        let mut watch = Self::new(now());
        watch.settle(world);
        watch
    }

    /// Looks as often as it takes to read everything, and once more for what explains it.
    pub fn settle(&mut self, world: &World) {
        for _ in 0..3 {
            self.look(|q| Some(world.answer(q)));
            self.pass(1);
        }
    }

    #[track_caller]
    fn expect(&self, event: &str, verdict: Verdict) {
        let line = self.survey.lines().iter().find(|l| l.id.as_str() == event).expect("listed");
        assert_eq!(line.verdict, verdict, "{line:?} {:?}", self.survey.judgement(&id(event)));
    }

    fn counted(&self, of: impl Fn(&Query) -> bool) -> usize {
        self.asked.iter().filter(|q| of(q)).count()
    }
}

/// So many minutes ago, and what was done to the subscription.
type Turn<'a> = (i64, &'a dyn Fn(&mut Subscription));

/// A world of one linked customer, whose subscription went through these states at those minutes ago.
fn course(states: &[Turn]) -> (World, Vec<Subscription>) {
    let mut w = World::healthy();
    (w.runs, w.events) = (Vec::new(), Vec::new());
    let mut s = w.subscriptions[0].clone();
    s.created = ago(600);
    s.items[0].period.as_mut().expect("a period").start = ago(600);
    let mut all = Vec::new();
    for (n, (minutes, change)) in states.iter().enumerate() {
        change(&mut s);
        let kind = if n == 0 { "created" } else { "updated" };
        let kind = if s.status == Status::Canceled { "deleted" } else { kind };
        w.events.push(event(&format!("evt_{n}Pabcdefghij"), &format!("customer.subscription.{kind}"), &s, ago(*minutes)));
        all.push(s.clone());
    }
    w.events.reverse();
    w.subscriptions[0] = s;
    (w, all)
}

fn hold(w: &mut World, s: &Subscription) {
    w.records[0].row = Some(right_row(PROFILE, s));
}

const NTH: [&str; 4] = ["evt_0Pabcdefghij", "evt_1Pabcdefghij", "evt_2Pabcdefghij", "evt_3Pabcdefghij"];

fn nothing(_: &mut Subscription) {}
fn leaves(s: &mut Subscription) {
    s.cancel_at_period_end = true;
}
fn stays(s: &mut Subscription) {
    s.cancel_at_period_end = false;
}
fn ends(s: &mut Subscription) {
    s.status = Status::Canceled;
}

#[test]
fn each_event_of_a_course_has_its_own_verdict() {
    let (mut w, all) = course(&[(300, &nothing), (200, &leaves), (100, &ends)]);
    hold(&mut w, &all[2]);
    // The application keeps the period of what has ended.
    let watch = Watch::of(&w);
    watch.expect(NTH[0], Verdict::Superseded);
    watch.expect(NTH[1], Verdict::Superseded);
    watch.expect(NTH[2], Verdict::Applied);
    assert_eq!(watch.counted(|q| q.source() == Source::Stripe), 1, "one page, and nothing else: {:?}", watch.asked);
    hold(&mut w, &all[1]);
    let watch = Watch::of(&w);
    watch.expect(NTH[0], Verdict::Superseded);
    watch.expect(NTH[1], Verdict::Applied);
    watch.expect(NTH[2], Verdict::Missing);
    let mut odd = right_row(PROFILE, &all[0]);
    odd.image.insert(Field::Tier, Value::text("ENTERPRISE"));
    w.records[0].row = Some(odd);
    let watch = Watch::of(&w);
    watch.expect(NTH[0], Verdict::Superseded);
    watch.expect(NTH[1], Verdict::Superseded);
    watch.expect(NTH[2], Verdict::Contradicted);
}

#[test]
fn a_change_that_was_taken_back_is_applied_with_the_one_before_it() {
    let (mut w, all) = course(&[(300, &nothing), (200, &leaves), (100, &stays)]);
    hold(&mut w, &all[2]);
    let watch = Watch::of(&w);
    watch.expect(NTH[0], Verdict::Applied);
    watch.expect(NTH[1], Verdict::Superseded);
    watch.expect(NTH[2], Verdict::Applied);
}

#[test]
fn the_object_itself_decides_where_event_and_row_differ() {
    // The newest event is not in the list yet: the row is ahead of the list.
    let (mut w, all) = course(&[(300, &nothing), (200, &leaves)]);
    hold(&mut w, &all[1]);
    w.events.remove(0);
    let watch = Watch::of(&w);
    watch.expect(NTH[0], Verdict::Superseded);
    assert!(watch.survey.groups().is_empty());
}

#[test]
fn a_failed_payment_is_judged_by_the_snapshot_beside_it_or_by_asking() {
    let late = |s: &mut Subscription| s.status = Status::PastDue;
    let (mut w, all) = course(&[(300, &nothing), (100, &late)]);
    let failed =
        StripeEvent { subscription: None, ..event("evt_9Pabcdefghij", "invoice.payment_failed", &all[1], ago(100) + Duration::seconds(2)) };
    w.events.insert(0, failed);
    hold(&mut w, &all[1]);
    let watch = Watch::of(&w);
    watch.expect("evt_9Pabcdefghij", Verdict::Applied);
    assert_eq!(watch.counted(|q| matches!(q, Query::Subscription(_) | Query::SubscriptionsOf(_))), 0, "the snapshot tells");
    hold(&mut w, &all[0]);
    let watch = Watch::of(&w);
    watch.expect("evt_9Pabcdefghij", Verdict::Missing);
    watch.expect(NTH[1], Verdict::Missing);
    watch.expect(NTH[0], Verdict::Applied);
    // Without its snapshot, Stripe is asked.
    w.events.retain(|e| e.id.as_str() != NTH[1]);
    Watch::of(&w).expect("evt_9Pabcdefghij", Verdict::Missing);
    hold(&mut w, &all[1]);
    Watch::of(&w).expect("evt_9Pabcdefghij", Verdict::Applied);
}

#[test]
fn a_repair_is_seen_in_the_next_round_and_the_group_is_gone() {
    let (mut w, all) = course(&[(300, &nothing), (200, &leaves)]);
    hold(&mut w, &all[0]);
    let mut watch = Watch::of(&w);
    watch.expect(NTH[1], Verdict::Missing);
    assert_eq!(watch.survey.groups().len(), 1);
    assert_eq!(watch.survey.groups()[0].events, [id(NTH[1])]);
    assert!(watch.survey.lines()[0].cause.is_some());
    let version = watch.survey.version();
    hold(&mut w, &all[1]);
    watch.pass(16);
    watch.settle(&w);
    watch.expect(NTH[1], Verdict::Applied);
    assert!(watch.survey.groups().is_empty() && watch.survey.version() > version);
    assert_eq!(watch.survey.lines()[0].cause, None);
    assert_eq!(watch.survey.last_applied(), Some(ago(200)));
}

#[test]
fn a_placeholder_is_found_with_its_cause() {
    let watch = Watch::of(&World::placeholder());
    watch.expect("evt_1Pabcdefghijka", Verdict::Missing);
    let group = &watch.survey.groups()[0];
    assert_eq!((group.cause, group.customers), (Cause::NoRowForCustomer, 1), "{group:?}");
    assert!(watch.survey.silence_finding().is_none(), "one unlinked row says nothing about the endpoint");
}

#[test]
fn what_cannot_be_read_stands_beside_the_others_and_pages_go_on() {
    let (w, _) = course(&[(300, &nothing), (200, &leaves), (100, &stays)]);
    let mut watch = Watch::new(now());
    let raw = RawEvent { id: Some("evt_broken".into()), text: "{}".into() };
    let mut pages = 0;
    watch.look(|q| {
        let Query::EventPage(range) = q else { return Some(w.answer(q)) };
        pages += 1;
        let from = range.after.as_ref().map_or(0, |a| w.events.iter().position(|e| e.id == *a).expect("a known one") + 1);
        let next = (from + 1 < w.events.len()).then(|| w.events[from].id.clone());
        Some(Ok(Reply::EventPage { events: vec![w.events[from].clone()], raw: vec![raw.clone()], next, clock_ahead: None }))
    });
    assert_eq!(pages, 3);
    assert_eq!(watch.survey.raw(), [raw]);
    assert_eq!(watch.survey.progress().pages, 3);
    assert!(watch.survey.is_whole());
    let at: Vec<At> = watch.survey.lines().iter().map(|l| l.at).collect();
    assert_eq!(at, [ago(100), ago(200), ago(300)]);
}

#[test]
fn a_longer_range_is_read_on_and_a_shorter_one_lets_go() {
    let (w, _) = course(&[(60 * 40, &nothing), (200, &leaves)]);
    let mut watch = Watch::of(&w);
    assert_eq!(watch.survey.lines().len(), 1, "a day");
    watch.survey.set_range(48, watch.at);
    watch.settle(&w);
    assert_eq!(watch.survey.lines().len(), 2);
    watch.survey.set_range(24, watch.at);
    assert_eq!(watch.survey.lines().len(), 1);
    watch.survey.set_range(9_999, watch.at);
    assert_eq!(watch.survey.hours(), 30 * 24, "as far as Stripe goes");
}

#[test]
fn it_says_since_when_nothing_was_applied() {
    let mut w = World::empty();
    for n in 0..12u32 {
        let (profile, cus) = (format!("00000000-0000-4000-8000-{n:012}"), format!("cus_Silent{n:04}"));
        let mut s = subscription(&format!("sub_Silent{n:08}"), &cus);
        s.created = ago(300);
        let minutes = 100 - i64::from(n) * 5;
        let before = right_row(&profile, &s);
        w.customers.push(customer(&cus, None));
        let old = s.clone();
        leaves(&mut s);
        // From the seventh on nothing came through.
        let row = if n < 6 { right_row(&profile, &s) } else { before };
        w.records.push(record(&profile, None, Some(row)));
        let mut update = event(&format!("evt_Silent{n:04}"), "customer.subscription.updated", &s, ago(minutes));
        update.previous = Some(Box::new(old));
        w.events.insert(0, update);
        w.subscriptions.push(s);
    }
    let watch = Watch::of(&w);
    let silence = watch.survey.series().silence.clone().expect("nothing is applied any more");
    assert_eq!((silence.since, silence.failed, silence.customers.len()), (ago(70), 6, 6));
    let finding = watch.survey.silence_finding().expect("said");
    assert_eq!(finding.sentence, format!("Nothing Stripe sent was applied since {}", ago(70).format("%H:%M")));
    assert_eq!(finding.size, "6 hurt");
    assert!(!finding.reason.is_empty());
    // One that came through since ends it.
    let last = w.subscriptions[11].clone();
    w.records[11].row = Some(right_row("00000000-0000-4000-8000-000000000011", &last));
    assert!(Watch::of(&w).survey.silence_finding().is_none());
}

#[test]
fn it_survives_being_written_down_and_ignores_what_it_did_not_ask() {
    let mut watch = Watch::of(&World::placeholder());
    let text = serde_json::to_string(&watch.survey).expect("plain data");
    let back: Survey = serde_json::from_str(&text).expect("the same");
    assert_eq!(back, watch.survey);
    let before = watch.survey.clone();
    let stranger = Query::Subscription(StripeId::parse("sub_Stranger1234").expect("an id"));
    let (env, sources) = (environment(), BTreeMap::new());
    let m = Moment { now: watch.at, tick: watch.tick, env: &env, sources: &sources };
    let follow = watch.survey.replied(&stranger, &Ok(Reply::Subscriptions(Vec::new())), &m);
    assert!(follow.is_empty());
    assert_eq!(watch.survey, before);
}

/// A world whose one event lost its effect so many seconds ago, read by a console whose clock is that far ahead of Stripe's.
fn lost(seconds: i64, wrong: i64) -> Watch {
    let (mut w, all) = course(&[(300, &nothing)]);
    let mut gone = all[0].clone();
    leaves(&mut gone);
    let mut update = event(NTH[1], "customer.subscription.updated", &gone, now() - Duration::seconds(seconds));
    update.previous = Some(Box::new(all[0].clone()));
    (w.events, w.subscriptions[0]) = (vec![update], gone);
    hold(&mut w, &all[0]);
    let mut watch = Watch::new(now() + Duration::seconds(wrong));
    watch.look(|q| {
        let mut reply = w.answer(q);
        if let Ok(Reply::EventPage { clock_ahead, .. }) = &mut reply {
            *clock_ahead = Some(-wrong);
        }
        Some(reply)
    });
    watch
}

#[test]
fn a_clock_that_is_off_makes_no_false_verdict_and_is_named() {
    for wrong in [-600, -3, 0, 3, 600] {
        lost(30, wrong).expect(NTH[1], Verdict::Settling);
        let watch = lost(90, wrong);
        watch.expect(NTH[1], Verdict::Missing);
        let said = watch.survey.clock_finding().map(|f| f.sentence);
        let expected = match wrong {
            -600 => Some("This machine's clock is 10 min behind Stripe's"),
            600 => Some("This machine's clock is 10 min ahead of Stripe's"),
            _ => None,
        };
        assert_eq!(said.as_deref(), expected, "{wrong}");
    }
}

#[test]
fn what_is_enforced_is_asked_for_suspects_alone_and_said_beside_the_verdict() {
    let (mut w, all) = course(&[(300, &nothing), (200, &ends)]);
    hold(&mut w, &all[1]);
    let asked = |q: &Query| matches!(q, Query::Entitlement(_));
    assert_eq!(Watch::of(&w).counted(asked), 0, "nothing is wrong");
    hold(&mut w, &all[0]);
    w.entitlements.clear();
    let watch = Watch::of(&w);
    watch.expect(NTH[1], Verdict::Missing);
    assert!(watch.counted(asked) > 0);
    let enforced = |tier: &str| nightdesk::domain::entitlement::Entitlement { tier: tier.into(), features: BTreeMap::new() };
    for (tier, served) in [("FREE", true), ("PRO", false)] {
        w.entitlements = BTreeMap::from([(key(PROFILE), enforced(tier))]);
        let watch = Watch::of(&w);
        watch.expect(NTH[1], Verdict::Missing);
        let judged = watch.survey.judgement(&id(NTH[1])).expect("judged");
        assert!(judged.evidence.contains(&format!("app: enforces {tier}")), "{judged:?}");
        assert_eq!(judged.because.contains("The application enforces FREE all the same."), served, "{judged:?}");
    }
}

#[test]
fn a_replicas_lag_is_added_to_what_effects_are_given() {
    let (mut w, _) = course(&[(300, &nothing)]);
    assert_eq!(Watch::of(&w).survey.allowance(), Duration::seconds(60));
    w.shape.replica_lag = Some(45);
    assert_eq!(Watch::of(&w).survey.allowance(), Duration::seconds(105));
    w.shape.replica_lag = Some(86_400);
    assert_eq!(Watch::of(&w).survey.allowance(), Duration::seconds(660), "nothing was written for a day");
}

#[test]
fn the_applications_own_record_teaches_how_long_effects_take() {
    let (mut w, all) = course(&[(300, &nothing), (200, &leaves), (100, &stays)]);
    hold(&mut w, &all[2]);
    // No column of the row says when it was written.
    w.records[0].row.as_mut().expect("a row").image.remove(&Field::UpdatedAt);
    let answer = |q: &Query| match q {
        Query::Received(of) => Ok(Reply::Received(Some(
            of.iter()
                .map(|event| {
                    let at = w.events.iter().find(|e| e.id == *event).expect("one of them").created;
                    // One of them failed at first, and was sent again.
                    let took = Duration::seconds(if event.as_str() == NTH[0] { 500 } else { 100 });
                    Received { event: event.clone(), processed: Some(true), processed_at: Some(at + took) }
                })
                .collect(),
        ))),
        _ => w.answer(q),
    };
    let mut watch = Watch::new(now());
    for _ in 0..3 {
        watch.look(|q| Some(answer(q)));
        watch.pass(16);
    }
    assert_eq!(watch.survey.allowance(), Duration::seconds(150), "half as much again as the slowest took");
}

#[test]
fn a_database_that_does_not_answer_makes_nothing_missing() {
    let (w, _) = course(&[(300, &nothing)]);
    let mut watch = Watch::new(now());
    let late = || Fault::new(Source::Database, FaultKind::Timeout, "the database did not answer in time");
    watch.look(|q| Some(if q.source() == Source::Database { Err(late()) } else { w.answer(q) }));
    watch.expect(NTH[0], Verdict::Unknown);
    assert!(watch.survey.fault().is_some_and(|f| f.say.contains("did not answer")));
    assert!(watch.survey.judgement(&id(NTH[0])).expect("judged").because.contains("has not been read"));
}

#[test]
fn what_stripe_answers_counts_as_of_its_question() {
    let (mut w, all) = course(&[(300, &nothing), (200, &leaves)]);
    hold(&mut w, &all[0]);
    let mut watch = Watch::new(now());
    let of_subscriptions = |q: &Query| matches!(q, Query::Subscription(_) | Query::SubscriptionsOf(_));
    let mut held = Vec::new();
    watch.look(|q| {
        if of_subscriptions(q) {
            held.push(q.clone());
            return None;
        }
        Some(w.answer(q))
    });
    assert!(!held.is_empty(), "Stripe is asked what is due");
    let late: Vec<_> = held.iter().map(|q| (q.clone(), w.answer(q))).collect();
    // It is taken back while the answer is on its way, and the event of that is listed before the answer comes.
    let mut back = all[1].clone();
    stays(&mut back);
    w.events.insert(0, event(NTH[2], "customer.subscription.updated", &back, now() + Duration::seconds(5)));
    w.subscriptions[0] = back;
    watch.pass(20);
    watch.look(|q| (!of_subscriptions(q)).then(|| w.answer(q)));
    let (env, sources) = (environment(), BTreeMap::new());
    let m = Moment { now: watch.at, tick: watch.tick, env: &env, sources: &sources };
    for (query, result) in late {
        watch.survey.replied(&query, &result, &m);
    }
    watch.pass(1);
    watch.look(|q| (!of_subscriptions(q)).then(|| w.answer(q)));
    watch.expect(NTH[2], Verdict::Applied);
    assert!(!watch.survey.lines()[1].verdict.is_failure(), "the answer is older than what is due: {:?}", watch.survey.lines()[1]);
}
