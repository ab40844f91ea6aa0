//! What is sent again and what is copied, how far back is looked, and what is left to settle: from answers made by hand.

mod owed;
mod prices;
mod unsent;

use super::events::listed;
use super::facts::reads;
use super::*;
use crate::domain::diagnosis::SETTLING_SECONDS;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::row::{Field, Image, Subject, SubscriptionRow, Value};
use crate::domain::shape::{IntervalWords, KeyType, Shape, Trust};
use crate::domain::stripe::{Interval, Item, Metadata, Period, Price, Status, StripeEvent, Subscription};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::log::LogLine;
use crate::protocol::command::Command;
use crate::protocol::environment::{Offers, Writer};
use crate::protocol::query::Reply;
use crate::protocol::record::{Closed, RunState, RunSummary};
use crate::protocol::run::{Attempt, Selection, step_id};
use chrono::Duration;

fn now() -> At {
    At::from_timestamp(1_800_000_000, 0).expect("in range")
}

fn id(text: &str) -> StripeId {
    StripeId::parse(text).expect("a sound id")
}

fn customer(n: usize) -> StripeId {
    id(&format!("cus_Some{n:010}"))
}

/// The subscription of the nth customer, whose tier its product tells, or its price.
fn subscription(n: usize, ends: bool, price_tells: bool) -> Subscription {
    let tier = Metadata::from([("tier".to_string(), "PRO".to_string())]);
    let (metadata, product_metadata) = if price_tells { (tier, Metadata::new()) } else { (Metadata::new(), tier) };
    let start = now() - Duration::days(3);
    Subscription {
        id: id(&format!("sub_Some{n:010}")),
        customer: customer(n),
        status: Status::Active,
        items: vec![Item {
            id: id(&format!("si_Some{n:010}")),
            price: Price {
                id: id("price_Pro0000001"),
                lookup_key: None,
                interval: Some(Interval::Month),
                interval_count: 1,
                unit_amount: None,
                product: None,
                metadata,
                product_metadata,
            },
            quantity: 1,
            period: Some(Period { start, end: start + Duration::days(30) }),
        }],
        period: None,
        created: start,
        cancel_at: None,
        cancel_at_period_end: ends,
        canceled_at: None,
        ended_at: None,
        trial_end: None,
        pause: None,
        schedule: None,
        metadata: Metadata::new(),
        latest_invoice: None,
    }
}

fn event(n: usize, minutes_ago: i64, shows: Subscription) -> StripeEvent {
    StripeEvent {
        id: id(&format!("evt_Some{n:010}")),
        kind: "customer.subscription.updated".into(),
        created: now() - Duration::minutes(minutes_ago),
        object: Some(shows.id.clone()),
        customer: Some(shows.customer.clone()),
        subscription_id: Some(shows.id.clone()),
        subscription: Some(Box::new(shows)),
        previous: None,
        profile: None,
        api_version: None,
        pending_webhooks: 0,
        livemode: false,
    }
}

fn unpaid(n: usize, minutes_ago: i64, of: usize) -> StripeEvent {
    let kind = "invoice.payment_failed".to_string();
    StripeEvent { kind, subscription: None, ..event(n, minutes_ago, subscription(of, false, true)) }
}

/// Stripe's list in pages, what Stripe says of single subscriptions, and the customers whose rows are as due.
#[derive(Default)]
struct Told {
    pages: Vec<Vec<StripeEvent>>,
    now: Vec<Subscription>,
    applied: Vec<Subscription>,
    /// How long after its event each of those was written.
    took: Option<Duration>,
    runs: Vec<RunSummary>,
    team: Vec<RunSummary>,
    tiers: TierRules,
    log: Vec<LogLine>,
}

fn shape() -> Shape {
    Shape {
        server: "PostgreSQL".into(),
        database: "test".into(),
        profiles_in_json: true,
        naive_timestamps: true,
        key: KeyType::Uuid,
        interval: IntervalWords::stripes_own(),
        status_words: None,
        plan_features: true,
        updatable: true,
        mirror: false,
        trust: Trust::Full,
        replica_lag: None,
    }
}

fn env() -> Environment {
    Environment {
        name: "test".into(),
        production: false,
        operator: "ada".into(),
        tiers: TierRules::default(),
        writer: Writer::Sql,
        set_up: [Source::Stripe, Source::Database].into(),
        sandbox: true,
        webhook_url: None,
        offers: Offers::default(),
        contacts: Vec::new(),
    }
}

/// As Stripe gives it when it is asked for by its id; of its object only what it is about.
fn whole(e: &StripeEvent) -> String {
    let object = serde_json::json!({ "object": "subscription", "id": e.object, "customer": e.customer });
    serde_json::json!({ "type": e.kind, "created": e.created.timestamp(), "data": { "object": object } }).to_string()
}

impl Told {
    fn env(&self) -> Environment {
        Environment { tiers: self.tiers.clone(), ..env() }
    }

    fn row(&self, customer: &StripeId) -> (SubscriptionRow, Subject) {
        let key = SubjectKey(customer.to_string());
        let mut image = match self.applied.iter().find(|s| s.customer == *customer) {
            Some(s) => crate::domain::expected::expected(s, &self.tiers, &shape(), None).expect("a tier").image,
            None => Image::from([
                (Field::Tier, Value::text("FREE")),
                (Field::Customer, Value::text(customer.as_str())),
                (Field::Subscription, Value::Null),
                (Field::CancelAtPeriodEnd, Value::Bool(false)),
            ]),
        };
        let newest = self.pages.iter().flatten().find(|e| e.customer.as_ref() == Some(customer));
        if let (Some(took), Some(event)) = (self.took, newest.filter(|_| self.applied.iter().any(|s| s.customer == *customer))) {
            image.insert(Field::UpdatedAt, Value::Time(event.created + took));
        }
        let subject = Subject { key: key.clone(), email: None, name: None, created_at: None };
        (SubscriptionRow { subject: key, image }, subject)
    }

    fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        Ok(match query {
            Query::Shape => Reply::Shape(Box::new(shape())),
            Query::Endpoints => Reply::Endpoints(vec![Endpoint {
                id: id("we_Main00000001"),
                url: "https://app.acme.example/webhooks/stripe".into(),
                enabled: true,
                api_version: None,
                events: vec!["*".into()],
                livemode: false,
            }]),
            Query::EventPage(range) => {
                let last = |p: &Vec<StripeEvent>| p.last().map(|e| e.id.clone());
                let at = range
                    .after
                    .as_ref()
                    .map_or(0, |after| 1 + self.pages.iter().position(|p| last(p).as_ref() == Some(after)).expect("the end of a page"));
                let events = self.pages.get(at).cloned().unwrap_or_default();
                let next = last(&events).filter(|_| at + 1 < self.pages.len());
                Reply::EventPage { events, raw: Vec::new(), next, clock_ahead: None }
            }
            Query::Event(id) => Reply::Event(self.pages.iter().flatten().find(|e| e.id == *id).map(whole)),
            Query::Logs(_) if !self.log.is_empty() => {
                Reply::Logs { lines: self.log.clone(), complete: true, covers: Some(now() - Duration::days(30)), note: None }
            }
            Query::Runs => Reply::Runs(self.runs.clone()),
            Query::TeamRuns => Reply::Runs(self.team.clone()),
            Query::RowsOf(ids) => Reply::Rows(ids.iter().map(|c| self.row(c)).collect()),
            Query::Subscription(id) => Reply::Subscriptions(self.now.iter().filter(|s| s.id == *id).cloned().collect()),
            Query::SubscriptionsOf(of) => Reply::Subscriptions(self.now.iter().filter(|s| s.customer == *of).cloned().collect()),
            other => return Err(Fault::new(other.source(), FaultKind::NotSetUp, "not here")),
        })
    }

    fn answers(&self, inputs: &Inputs) -> Answers {
        let mut answers = Answers::default();
        loop {
            let wanted = reads(inputs, &answers, Some(&self.tiers));
            if wanted.is_empty() {
                return answers;
            }
            wanted.into_iter().for_each(|q| answers.put(q.clone(), self.answer(&q), now()));
        }
    }

    fn plan(&self, inputs: &Inputs) -> Result<Plan, Refusal> {
        FailedWebhook.plan(inputs, &self.answers(inputs), &self.env(), now())
    }

    fn pages_read(&self) -> usize {
        let answers = self.answers(&Inputs::about(Selection::SinceLastApplied));
        answers.all().filter(|(q, _)| matches!(q, Query::EventPage(_))).count()
    }
}

/// The events that the plan sends again, in its first acts.
fn resent(plan: &Plan) -> Vec<String> {
    let sent = |c: &Command| match c {
        Command::ResendEvent { event, .. } => Some(event.to_string()),
        _ => None,
    };
    plan.first_acts().filter_map(|s| sent(s.command.as_ref()?)).collect()
}

fn window(minutes: i64, until: Option<i64>) -> Inputs {
    let ago = |m| now() - Duration::minutes(m);
    Inputs::about(Selection::Window { from: ago(minutes), until: until.map(ago) })
}

#[test]
fn the_newest_event_is_sent_again_also_where_only_the_product_tells_the_tier() {
    for price_tells in [true, false] {
        let mut told = Told { pages: vec![vec![event(1, 30, subscription(1, true, price_tells))]], ..Told::default() };
        told.now = vec![subscription(1, true, price_tells)];
        if !price_tells {
            let shown = told.pages[0][0].subscription.as_mut().expect("a snapshot");
            shown.items[0].price.product_metadata.clear();
        }
        let plan = told.plan(&window(60, None)).expect("a plan");
        assert_eq!(resent(&plan), ["evt_Some0000000001"], "{price_tells}");
    }
}

#[test]
fn an_older_event_is_never_sent_where_a_newer_state_is_known() {
    let older = event(1, 50, subscription(1, false, true));
    // A newer event of it lies outside of what was selected.
    let newer = event(2, 10, subscription(1, true, true));
    let listed = Told { pages: vec![vec![newer, older.clone()]], ..Told::default() };
    // The newer one says nothing of its own; Stripe was not asked.
    let billed = Told { pages: vec![vec![unpaid(3, 10, 1), older]], ..Told::default() };
    // Nothing newer is listed, but Stripe says otherwise by now.
    let mut shown = subscription(1, false, false);
    shown.items[0].price.product_metadata.clear();
    let changed = Told { pages: vec![vec![event(1, 50, shown)]], now: vec![subscription(1, true, false)], ..Told::default() };
    for told in [listed, billed, changed] {
        let plan = told.plan(&window(60, Some(40))).expect("a plan");
        assert_eq!(resent(&plan), Vec::<String>::new());
        assert!(plan.first_acts().all(|s| s.id.starts_with("apply-")), "{:?}", plan.steps);
        assert!(plan.notes.iter().any(|n| n.contains("older values")), "{:?}", plan.notes);
    }
}

#[test]
fn only_an_effect_ends_the_search_for_the_last_one() {
    let right = |n| subscription(n, false, true);
    let applied = vec![right(1), right(2)];
    // What an event of the newest page has superseded, whatever its row says; then invoices; then a newest state in its row.
    let pages = vec![
        vec![event(9, 10, right(3))],
        vec![event(8, 20, right(3)), event(7, 21, subscription(3, true, true))],
        vec![unpaid(6, 30, 2)],
        vec![event(5, 40, right(1))],
        vec![event(4, 50, right(2))],
    ];
    let told = Told { pages, applied, ..Told::default() };
    assert_eq!(told.pages_read(), 4);
    // One that fails beside one that is applied: things were not in order yet.
    let pages = vec![vec![event(9, 10, right(1)), event(8, 20, right(3))], vec![event(7, 30, right(2))], vec![event(6, 40, right(2))]];
    let mut told = Told { pages, ..told };
    assert_eq!(told.pages_read(), 2);
    // The tier counts: everything else is as due in the row of the second page, whose price buys another by now.
    told.applied[1].items[0].price.metadata.insert("tier".into(), "ENTERPRISE".into());
    assert_eq!(told.pages_read(), 3);
}

#[test]
fn many_by_their_ids_are_all_met_and_what_is_not_is_said() {
    let events: Vec<StripeEvent> = (0..60).map(|n| event(n, 10 + n as i64, subscription(n, false, true))).collect();
    // In the order of their ids neither the first nor the last is the oldest.
    let mut ids: Vec<StripeId> = events.iter().skip(5).take(30).map(|e| e.id.clone()).collect();
    ids.rotate_left(11);
    let told = Told { pages: events.chunks(10).map(<[_]>::to_vec).collect(), ..Told::default() };
    let inputs = Inputs::about(Selection::Events(ids.clone()));
    let answers = told.answers(&inputs);
    let all = listed(&inputs, &answers, None);
    assert_eq!((all.selected.len(), all.unmet.len()), (30, 0));
    assert_eq!(answers.all().filter(|(q, _)| matches!(q, Query::EventPage(_))).count(), 4, "no further than the oldest");
    ids.push(id("evt_Nowhere0000001"));
    let plan = told.plan(&Inputs::about(Selection::Events(ids))).expect("a plan");
    assert_eq!(resent(&plan).len(), 30);
    assert!(plan.notes.iter().any(|n| n.starts_with("1 event not found") && n.contains("evt_Nowhere0000001")), "{:?}", plan.notes);
}

#[test]
fn what_may_still_be_on_its_way_is_left_to_settle() {
    let told = Told { pages: vec![vec![event(1, 2, subscription(1, false, true))]], ..Told::default() };
    assert_eq!(resent(&told.plan(&window(60, None)).expect("older than a minute")).len(), 1);
    let slow = Inputs { allowance_seconds: Some(180), ..window(60, None) };
    let Err(Refusal::AlreadyRight(say)) = told.plan(&slow) else { panic!("sent within the time that effects take here") };
    assert!(say.contains("1 younger than 180 s"), "{say}");
    let mut begun = subscription(1, false, true);
    begun.created = now() - Duration::seconds(SETTLING_SECONDS - 1);
    let of = Inputs::about(Selection::Customers(vec![customer(1)]));
    let young = Told { now: vec![begun], ..Told::default() };
    assert!(matches!(young.plan(&of), Err(Refusal::AlreadyRight(say)) if say.contains("left to settle")));
    assert!(Told { now: vec![subscription(1, false, true)], ..Told::default() }.plan(&of).is_ok());
}

#[test]
fn single_subscriptions_are_asked_for_round_by_round() {
    // Of an unpaid invoice nothing tells what is due.
    let told = Told { pages: vec![(0..250).map(|n| unpaid(n, 30, n)).collect()], ..Told::default() };
    let inputs = window(60, None);
    let mut answers = Answers::default();
    let mut rounds = Vec::new();
    loop {
        let wanted = reads(&inputs, &answers, None);
        if wanted.is_empty() {
            break;
        }
        rounds.push(wanted.iter().filter(|q| matches!(q, Query::Subscription(_))).count());
        wanted.iter().for_each(|q| answers.asked(q.clone()));
        assert!(reads(&inputs, &answers, None).is_empty(), "nothing while answers are under way");
        wanted.into_iter().for_each(|q| answers.put(q.clone(), told.answer(&q), now()));
    }
    rounds.retain(|n| *n > 0);
    assert_eq!(rounds, [100, 100, 50]);
}

/// A run that has sent the nth event.
fn run(operator: &str, n: usize, state: RunState) -> RunSummary {
    let id = uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_7f3a);
    RunSummary {
        run: id,
        procedure: "failed-webhook".into(),
        operator: operator.into(),
        opened: now(),
        last: now(),
        inputs: None,
        who: None,
        state,
        attempts: vec![(Attempt { run: id, step: step_id("resend", &format!("evt_Some{n:010}")), attempt: 1 }, None)].into(),
        commands: vec![None].into(),
        subject: None,
        undoes: None,
        proven: Vec::new(),
        held: false,
    }
}

#[test]
fn what_another_run_has_sent_is_copied_and_not_sent_again() {
    let lost = || vec![vec![event(1, 30, subscription(1, false, true)), event(2, 31, subscription(2, false, true))]];
    let given_up = Told { pages: lost(), runs: vec![run("ada", 1, RunState::Closed(Closed::HandedOver))], ..Told::default() };
    let of_eve = Told { pages: lost(), team: vec![run("eve", 1, RunState::Acted)], ..Told::default() };
    for (told, name) in [(given_up, "by run 7f3a already"), (of_eve, "by run 7f3a of eve already")] {
        let plan = told.plan(&window(60, None)).expect("a plan");
        assert_eq!(resent(&plan), ["evt_Some0000000002"]);
        assert_eq!(plan.first_acts().count(), 2, "the other one is copied");
        assert!(plan.notes.iter().any(|n| n.contains(name)), "{:?}", plan.notes);
    }
    let over = Told { pages: lost(), runs: vec![run("ada", 1, RunState::Closed(Closed::Halted))], ..Told::default() };
    assert_eq!(resent(&over.plan(&window(60, None)).expect("a plan")).len(), 2, "a run that came to its end binds nobody");
}

#[test]
fn what_rows_tell_of_the_time_that_effects_take_counts_wherever_it_is_begun() {
    let mut events = vec![event(1, 2, subscription(1, false, true))];
    events.extend((2..40).map(|n| event(n, 30, subscription(n, false, true))));
    let applied = (2..40).map(|n| subscription(n, false, true)).collect();
    let mut told = Told { pages: vec![events], applied, ..Told::default() };
    assert_eq!(resent(&told.plan(&window(60, None)).expect("a plan")).len(), 1);
    told.took = Some(Duration::seconds(120));
    let Err(Refusal::AlreadyRight(say)) = told.plan(&window(60, None)) else { panic!("sent within the time that effects take here") };
    assert!(say.contains("1 younger than 180 s"), "{say}");
    // Named by its id, the same; where the caller knows how long effects take, the list is not asked.
    let by_id = Inputs::about(Selection::Events(vec![id("evt_Some0000000001")]));
    let Err(Refusal::AlreadyRight(say)) = told.plan(&by_id) else { panic!("sent within the time that effects take here") };
    assert!(say.contains("1 younger than 180 s"), "{say}");
    told.now = vec![subscription(1, false, true)];
    let given = Inputs { allowance_seconds: Some(60), ..by_id };
    assert_eq!(told.plan(&given).expect("a plan").first_acts().count(), 1);
    assert!(told.answers(&given).all().all(|(q, _)| !matches!(q, Query::EventPage(_))));
}

#[test]
fn a_long_list_is_followed_to_its_end_and_each_subscription_is_one_act() {
    const EVENTS: usize = 25_000;
    const SUBSCRIPTIONS: usize = 1_500;
    let events: Vec<StripeEvent> = (0..EVENTS)
        .map(|n| StripeEvent {
            created: now() - Duration::seconds(120 + n as i64),
            ..event(n, 0, subscription(n % SUBSCRIPTIONS, false, true))
        })
        .collect();
    let told = Told { pages: events.chunks(100).map(<[_]>::to_vec).collect(), ..Told::default() };
    let plan = told.plan(&window(60 * 24 * 7, None)).expect("a plan");
    assert_eq!(plan.first_acts().count(), SUBSCRIPTIONS);
    assert_eq!(resent(&plan)[..2], ["evt_Some0000001499", "evt_Some0000001498"], "oldest first, and of each the newest");
    assert!(plan.notes.iter().any(|n| n.contains("25000 events are 1,500 changes of subscriptions")), "{:?}", plan.notes);
    assert!(!plan.notes.iter().any(|n| n.contains("not in this plan")), "{:?}", plan.notes);
}
