//! Seven healthy days: an application that works, with a queue, duplicates and disorder, read again and again. Nothing may be called a failure.

use super::survey::Watch;
use crate::fixtures::{free_row, item, price, shape, subscription};
use chrono::Duration;
use nightdesk::domain::At;
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::row::{Field, Subject, SubscriptionRow, Value};
use nightdesk::domain::stripe::{Status, StripeEvent, Subscription};
use nightdesk::domain::webhooks::verdict::Verdict;
use nightdesk::protocol::query::{Query, Reply};
use std::collections::{BTreeMap, HashMap};

/// Small, fast, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// What happened: the event, and when the application has written its effect.
struct Happened {
    event: StripeEvent,
    listed: At,
    applied: At,
}

struct Days {
    begin: At,
    /// Oldest first.
    all: Vec<Happened>,
    customers: usize,
}

const PEOPLE: usize = 9_000;

fn customer_of(n: usize) -> String {
    format!("cus_Healthy{n:05}")
}

/// The days: everybody begins before them or in them, and then is renewed, changed, warned, ended and begun again. Written without any of
/// the console's rules: the only thing both know is what Stripe's objects look like.
fn days(events: usize, slow: bool) -> Days {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let begin = At::from_timestamp(1_790_000_000, 0).expect("in range");
    let mut people: Vec<Option<Subscription>> = vec![None; PEOPLE];
    let mut serial = 0;
    let mut all = Vec::with_capacity(events);
    let week = Duration::days(7).num_seconds();
    for k in 0..events {
        let at = begin + Duration::seconds(week * i64::try_from(k).expect("small") / i64::try_from(events).expect("small"));
        let n = usize::try_from(dice.roll(PEOPLE as u64)).expect("small");
        let (kind, snapshot) = match &mut people[n] {
            none @ None => {
                serial += 1;
                let mut s = subscription(&format!("sub_Healthy{serial:06}"), &customer_of(n));
                s.created = at;
                let tier = if dice.roll(3) == 0 { "ENTERPRISE" } else { "PRO" };
                s.items = vec![item(&format!("si_{serial}"), price(&format!("price_{tier}"), Some(tier)), at)];
                s.status = if dice.roll(20) == 0 { Status::Incomplete } else { Status::Active };
                *none = Some(s.clone());
                ("created", s)
            }
            Some(s) if s.status == Status::Incomplete => {
                s.status = Status::Active;
                ("updated", s.clone())
            }
            some => {
                let s = some.as_mut().expect("there is one");
                match dice.roll(10) {
                    0 => {
                        (s.status, s.ended_at, s.canceled_at) = (Status::Canceled, Some(at), Some(at));
                        let ended = s.clone();
                        *some = None;
                        ("deleted", ended)
                    }
                    1 | 2 => {
                        s.cancel_at_period_end = !s.cancel_at_period_end;
                        ("updated", s.clone())
                    }
                    3 => {
                        s.status = if s.status == Status::PastDue { Status::Active } else { Status::PastDue };
                        ("updated", s.clone())
                    }
                    4 => {
                        let tier = if s.items[0].price.id.as_str().contains("PRO") { "ENTERPRISE" } else { "PRO" };
                        s.items[0].price = price(&format!("price_{tier}"), Some(tier));
                        ("updated", s.clone())
                    }
                    _ => {
                        let period = s.items[0].period.as_mut().expect("a period");
                        (period.start, period.end) = (at, at + Duration::days(30));
                        ("updated", s.clone())
                    }
                }
            }
        };
        // A queue: seconds as a rule, half a minute now and then; a slow one takes two minutes always.
        let took = match (slow, dice.roll(50)) {
            (true, _) => 100 + dice.roll(20),
            (false, 0) => 20 + dice.roll(25),
            (false, _) => dice.roll(8),
        };
        let listed = at + Duration::seconds(i64::try_from(dice.roll(3)).expect("small"));
        let event = crate::fixtures::event(&format!("evt_Healthy{k:06}"), &format!("customer.subscription.{kind}"), &snapshot, at);
        all.push(Happened { event, listed, applied: at + Duration::seconds(i64::try_from(took).expect("small")) });
    }
    Days { begin, all, customers: PEOPLE }
}

/// The application's tables as they stand at a moment, kept up as time goes on.
struct Application {
    rows: HashMap<StripeId, SubscriptionRow>,
    written: HashMap<StripeId, At>,
    waiting: Vec<usize>,
    taken: usize,
}

impl Application {
    fn new(days: &Days) -> Self {
        let rows = (0..days.customers).map(|n| {
            let customer = customer_of(n);
            (crate::fixtures::id(&customer), free_row(&format!("00000000-0000-4000-9000-{n:012}"), &customer))
        });
        Self { rows: rows.collect(), written: HashMap::new(), waiting: Vec::new(), taken: 0 }
    }

    fn until(&mut self, days: &Days, now: At) {
        while days.all.get(self.taken).is_some_and(|h| h.event.created <= now) {
            self.waiting.push(self.taken);
            self.taken += 1;
        }
        let mut due: Vec<usize> = self.waiting.extract_if(.., |k| days.all[*k].applied <= now).collect();
        due.sort_by_key(|k| days.all[*k].applied);
        for k in due {
            self.write(&days.all[k]);
        }
    }

    /// As any handler does it that looks at the event's time: what is older than what was written last is left out.
    fn write(&mut self, h: &Happened) {
        let s = h.event.subscription.as_deref().expect("a snapshot");
        let last = self.written.entry(s.customer.clone()).or_insert(h.event.created);
        if *last > h.event.created {
            return;
        }
        *last = h.event.created;
        let row = &mut self.rows.get_mut(&s.customer).expect("everybody has one").image;
        let text = |word: &str| Value::text(word);
        row.insert(Field::Status, text(s.status.word()));
        row.insert(Field::CancelAtPeriodEnd, Value::Bool(s.cancel_at_period_end));
        row.insert(Field::UpdatedAt, Value::Time(h.applied));
        if s.status == Status::Canceled {
            row.insert(Field::Tier, text("FREE"));
            return;
        }
        let period = s.items[0].period.expect("a period");
        let tier = s.items[0].price.id.as_str().trim_start_matches("price_");
        row.insert(Field::Tier, text(if s.status == Status::Incomplete { "FREE" } else { tier }));
        row.insert(Field::Subscription, text(s.id.as_str()));
        row.insert(Field::Interval, text("month"));
        row.insert(Field::PeriodStart, Value::Time(period.start));
        row.insert(Field::PeriodEnd, Value::Time(period.end));
    }
}

/// Reads the days at so many moments, and holds that nothing was ever called a failure.
fn no_false_alarm(events: usize, moments: usize, slow: bool) {
    let days = days(events, slow);
    let mut application = Application::new(&days);
    let mut dice = Dice(77);
    // The first look is well into them.
    let mut watch = Watch::new(days.begin + Duration::hours(6));
    watch.survey.set_range(8 * 24, watch.at);
    let step = (Duration::days(7) - Duration::hours(6)).num_seconds() / i64::try_from(moments).expect("small");
    let (mut retrieved, mut last) = (0, watch.at);
    for _ in 0..moments {
        application.until(&days, watch.at);
        let now = watch.at;
        last = now;
        let known = days.all.partition_point(|h| h.event.created <= now);
        let list = &days.all[..known];
        watch.look(|q| Some(Ok(answer(q, list, &application, now, &mut dice))));
        retrieved = watch.asked.iter().filter(|q| matches!(q, Query::Subscription(_) | Query::SubscriptionsOf(_))).count();
        let false_alarms: Vec<_> = watch.survey.lines().iter().filter(|l| l.verdict.is_failure()).collect();
        assert!(
            false_alarms.is_empty(),
            "at {now}: {} of {}: {:?} {:?}",
            false_alarms.len(),
            watch.survey.lines().len(),
            false_alarms[0],
            watch.survey.judgement(&false_alarms[0].id)
        );
        assert!(watch.survey.silence_finding().is_none());
        assert_eq!(watch.survey.slower_finding(watch.at), None, "at {now}");
        let seconds = step - 20 + i64::try_from(dice.roll(40)).expect("small");
        watch.pass(seconds.max(16));
    }
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    watch.survey.lines().iter().for_each(|l| *verdicts.entry(l.verdict.word()).or_default() += 1);
    println!("{} events listed: {verdicts:?}; {retrieved} subscriptions asked for", watch.survey.lines().len());
    let read = days.all.partition_point(|h| h.listed <= last);
    assert_eq!(watch.survey.lines().len(), read, "each once");
    let applied = verdicts.get("applied").copied().unwrap_or(0) + verdicts.get("superseded").copied().unwrap_or(0);
    let odd = watch.survey.lines().iter().find(|l| l.verdict == Verdict::Unknown && last - l.at > Duration::hours(1));
    assert!(applied * 1_000 >= read * 998, "{verdicts:?} {odd:?} {:?}", odd.and_then(|l| watch.survey.judgement(&l.id)));
}

fn answer(query: &Query, list: &[Happened], application: &Application, now: At, dice: &mut Dice) -> Reply {
    match query {
        Query::Shape => Reply::Shape(Box::new(shape())),
        Query::EventPage(range) => {
            let end = range
                .after
                .as_ref()
                .map_or(list.len(), |a| a.as_str().trim_start_matches("evt_Healthy").parse().expect("its number is its place"));
            let within =
                |h: &&Happened| h.listed <= now && h.event.created >= range.since && range.until.is_none_or(|u| h.event.created <= u);
            let mut page: Vec<StripeEvent> = list[..end].iter().rev().filter(within).take(101).map(|h| h.event.clone()).collect();
            let more = page.len() > 100;
            page.truncate(100);
            let next = page.last().filter(|_| more).map(|e| e.id.clone());
            // A page may be given twice over.
            if dice.roll(40) == 0 {
                page.extend(page.clone());
            }
            Reply::EventPage { events: page, raw: Vec::new(), next, clock_ahead: None }
        }
        Query::RowsOf(customers) => {
            let row = |c: &StripeId| application.rows.get(c).cloned();
            let subject = |r: &SubscriptionRow| Subject { key: r.subject.clone(), email: None, name: None, created_at: None };
            Reply::Rows(customers.iter().filter_map(row).map(|r| (r.clone(), subject(&r))).collect())
        }
        Query::Subscription(id) => Reply::Subscriptions(newest(list, |s| s.id == *id)),
        Query::SubscriptionsOf(customer) => Reply::Subscriptions(newest(list, |s| s.customer == *customer)),
        Query::Customer(id) => Reply::Customers(vec![crate::fixtures::customer(id.as_str(), None)]),
        Query::CustomersFor { .. } | Query::CustomerOf(_) => Reply::Customers(Vec::new()),
        Query::SessionsOf(_) => Reply::Sessions(Vec::new()),
        Query::InvoicesOf(_) => Reply::Invoices(Vec::new()),
        Query::Records(locator) => Reply::Records(match locator {
            nightdesk::protocol::query::Locator::CustomerId(c) => {
                let row = StripeId::parse(c).ok().and_then(|c| application.rows.get(&c).cloned());
                row.map(|r| crate::fixtures::record(&r.subject.0.clone(), None, Some(r))).into_iter().collect()
            }
            _ => Vec::new(),
        }),
        // What is enforced is right too, and no record of events is kept.
        Query::Entitlement(_) => Reply::Entitlement(None),
        Query::Received(_) => Reply::Received(None),
        Query::Runs => Reply::Runs(Vec::new()),
        other => panic!("{other:?} is not asked on healthy days"),
    }
}

/// The newest state of each matching subscription.
fn newest(list: &[Happened], which: impl Fn(&Subscription) -> bool) -> Vec<Subscription> {
    let mut found: Vec<Subscription> = Vec::new();
    for s in list.iter().rev().filter_map(|h| h.event.subscription.as_deref()).filter(|s| which(s)) {
        if !found.iter().any(|f| f.id == s.id) {
            found.push(s.clone());
        }
    }
    found
}

#[test]
fn seven_healthy_days_of_a_hundred_thousand_events_raise_no_alarm() {
    no_false_alarm(100_000, 60, false);
}

#[test]
fn a_queue_that_takes_two_minutes_is_learned_and_raises_no_alarm() {
    no_false_alarm(20_000, 60, true);
}

#[test]
fn an_application_that_becomes_slow_is_named_until_it_is_quick_again() {
    let mut days = days(20_000, false);
    let (slow, quick) = (days.begin + Duration::hours(7), days.begin + Duration::hours(7) + Duration::minutes(12));
    for h in days.all.iter_mut().filter(|h| (slow..quick).contains(&h.event.created)) {
        h.applied = h.event.created + Duration::seconds(40);
    }
    let mut application = Application::new(&days);
    let mut dice = Dice(78);
    let mut watch = Watch::new(slow - Duration::minutes(5));
    watch.survey.set_range(24, watch.at);
    let mut named = Vec::new();
    while watch.at < quick + Duration::minutes(12) {
        application.until(&days, watch.at);
        let now = watch.at;
        let known = days.all.partition_point(|h| h.event.created <= now);
        watch.look(|q| Some(Ok(answer(q, &days.all[..known], &application, now, &mut dice))));
        assert!(watch.survey.lines().iter().all(|l| !l.verdict.is_failure()));
        named.extend(watch.survey.slower_finding(now).map(|finding| (now, finding)));
        watch.pass(15);
    }
    let (first, finding) = named.first().expect("it is named");
    assert!((slow..slow + Duration::minutes(8)).contains(first), "{first}");
    assert!(finding.sentence.starts_with("Effects take 40 s here; they used to take "), "{finding:?}");
    let (last, _) = named.last().expect("it was named");
    assert!((quick - Duration::minutes(2)..quick + Duration::minutes(8)).contains(last), "{last}");
}
