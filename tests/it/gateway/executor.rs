//! The executor: what hangs delays nothing else, the newest question wins, what returns answers again, writes go their one way.

use super::proxy::{Manner, Proxy, place};
use super::{config_with, database, image, open, paying, record};
use crate::bench::{Bench, Options, until};
use chrono::Utc;
use nightdesk::config::Config;
use nightdesk::domain::facts::Handle as Subject;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::ids::{StripeId, SubjectKey};
use nightdesk::domain::policy::Writes;
use nightdesk::domain::row::{Change, Field, Value};
use nightdesk::gateway::executor::{Executor, Handle};
use nightdesk::gateway::reader::Reader;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::{Event, KnownIncident};
use nightdesk::protocol::query::{Locator, Query, Reply};
use nightdesk::protocol::record::{Closed, Detail, Entry, OpenedDetail, RunState};
use nightdesk::protocol::run::{Attempt, Inputs, Perform};
use nightdesk::protocol::ticket::{Slot, Ticket};
use nightdesk::sandbox::stripe::{Effect as Strike, Rule, When};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

struct Desk {
    handle: Handle,
    events: mpsc::Receiver<Event>,
    _state: TempDir,
}

impl Desk {
    fn start(bench: &Bench, replaced: &[(&str, &str)]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let (sender, events) = mpsc::channel(64);
        let handle = Executor::start_in(Arc::new(config_with(bench, replaced)), sender, state.path());
        Self { handle, events, _state: state }
    }

    /// The first event that the test looks for; ten seconds' patience.
    async fn wait<T>(&mut self, what: &str, mut take: impl FnMut(Event) -> Option<T>) -> T {
        let patience = async {
            loop {
                let event = self.events.recv().await.expect("the executor lives");
                if let Some(found) = take(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(15), patience).await.unwrap_or_else(|_| panic!("not within fifteen seconds: {what}"))
    }

    fn read(&self, slot: Slot, generation: u64, query: Query) {
        self.handle.submit(Effect::Read { ticket: Ticket { slot, generation }, query });
    }

    async fn reply(&mut self, slot: Slot) -> (u64, Result<Reply, Fault>) {
        let take = |event| match event {
            Event::ReplyArrived { ticket, result, .. } if ticket.slot == slot => Some((ticket.generation, result)),
            _ => None,
        };
        self.wait("a reply", take).await
    }

    async fn reported(&mut self, of: Source, wanted: impl Fn(&Result<(), Fault>) -> bool) -> Result<(), Fault> {
        let take = |event| match event {
            Event::SourceReported { source, result } if source == of && wanted(&result) => Some(result),
            _ => None,
        };
        self.wait(of.word(), take).await
    }
}

fn customer(bench: &Bench) -> StripeId {
    StripeId::parse(&paying(bench).customer.expect("paying")).expect("an id")
}

fn subject(bench: &Bench) -> SubjectKey {
    SubjectKey(paying(bench).profile.to_string())
}

#[tokio::test]
async fn a_start_tells_where_it_is_and_how_the_sources_are() {
    let bench = Bench::start(Options::default()).await;
    let mut desk = Desk::start(&bench, &[]);
    let mut seen = std::collections::BTreeSet::new();
    let mut account = None;
    let mut environment = None;
    let mut take = |event| {
        match event {
            Event::EnvironmentChanged(e) => environment = Some(e),
            Event::AccountKnown { livemode, database, .. } => account = Some((livemode, database)),
            Event::SourceReported { source, result: Ok(()) } => drop(seen.insert(source)),
            _ => {}
        }
        (account.is_some() && seen.len() == 5).then_some(())
    };
    desk.wait("all sources", &mut take).await;
    assert_eq!(account, Some((false, bench.database.clone())));
    let set_up = environment.expect("it comes first").set_up;
    assert_eq!(set_up, [Source::Stripe, Source::Database, Source::Application, Source::Log, Source::Store].into());
    let begun = Instant::now();
    desk.handle.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn every_source_answers_through_the_reader() {
    let bench = Bench::start(Options::default()).await;
    let state = tempfile::tempdir().unwrap();
    let reader = Reader::open(Arc::new(config_with(&bench, &[])), state.path());
    let Reply::Records(records) = reader.ask(Query::Records(Locator::Subjects(vec![subject(&bench)]))).await.expect("records") else {
        panic!()
    };
    let Reply::Entitlement(Some(entitlement)) = reader.ask(Query::Entitlement(subject(&bench))).await.expect("an entitlement") else {
        panic!()
    };
    assert_eq!(records[0].row.as_ref().and_then(|r| r.text(Field::Tier)), Some(entitlement.tier.as_str()));
    assert!(entitlement.features.contains_key("searches"));
    let nobody = SubjectKey(Uuid::nil().to_string());
    assert_eq!(reader.ask(Query::Entitlement(nobody)).await.expect("an answer"), Reply::Entitlement(None));
    let Reply::Subscriptions(all) = reader.ask(Query::SubscriptionsOf(customer(&bench))).await.expect("subscriptions") else { panic!() };
    assert!(!all.is_empty());
    assert_eq!(reader.ask(Query::Runs).await.expect("no runs"), Reply::Runs(Vec::new()));
    let report = reader.sources().application().expect("configured").report().await;
    assert!(matches!((report.health, report.ready), (Ok(200), Ok(200))) && report.admin.is_ok());
    reader.close().await;
}

#[tokio::test]
async fn a_hung_stripe_delays_nothing_else() {
    let bench = Bench::start(Options::default()).await;
    let mut desk = Desk::start(&bench, &[]);
    desk.reported(Source::Stripe, Result::is_ok).await.expect("it answers at first");
    bench.simulator.faults().add(Rule::always("/v1/*", Strike::Hang));
    for n in 0..8 {
        desk.read(Slot::Case(n), 1, Query::InvoicesOf(customer(&bench)));
    }
    let begun = Instant::now();
    desk.read(Slot::Case(20), 1, Query::Records(Locator::Subjects(vec![subject(&bench)])));
    desk.read(Slot::Case(21), 1, Query::Entitlement(subject(&bench)));
    let (_, database) = desk.reply(Slot::Case(20)).await;
    assert!(database.is_ok() && begun.elapsed() < Duration::from_secs(2), "{database:?} {:?}", begun.elapsed());
    let (_, stripe) = desk.reply(Slot::Case(0)).await;
    assert_eq!(stripe.expect_err("hung").kind, FaultKind::Timeout);
    bench.simulator.faults().clear();
    desk.handle.submit(Effect::Refresh);
    desk.reported(Source::Stripe, Result::is_ok).await.expect("it answers again");
    desk.read(Slot::Case(0), 2, Query::InvoicesOf(customer(&bench)));
    assert!(desk.reply(Slot::Case(0)).await.1.is_ok());
}

#[tokio::test]
async fn a_stopped_postgres_delays_nothing_else_and_comes_back_without_a_restart() {
    let bench = Bench::start(Options::default()).await;
    let url = bench.variable("DATABASE_URL");
    let proxy = Proxy::start(place(&url), false).await;
    let mut desk = Desk::start(&bench, &[("DATABASE_URL", &proxy.url(&url))]);
    desk.reported(Source::Database, Result::is_ok).await.expect("it answers at first");
    proxy.set(Manner::Frozen);
    desk.handle.submit(Effect::Refresh);
    let begun = Instant::now();
    desk.read(Slot::Case(0), 1, Query::Records(Locator::Subjects(vec![subject(&bench)])));
    desk.read(Slot::Case(1), 1, Query::Customer(customer(&bench)));
    assert!(desk.reply(Slot::Case(1)).await.1.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let fault = desk.reported(Source::Database, Result::is_err).await.expect_err("silent");
    assert_eq!(fault.kind, FaultKind::Timeout);
    proxy.set(Manner::Open);
    let begun = Instant::now();
    let mut generation = 2;
    loop {
        desk.read(Slot::Case(0), generation, Query::Records(Locator::Subjects(vec![subject(&bench)])));
        if desk.reply(Slot::Case(0)).await.1.is_ok() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "it answers again");
        generation += 1;
    }
    desk.handle.submit(Effect::Refresh);
    desk.reported(Source::Database, Result::is_ok).await.expect("so does the poll");
}

#[tokio::test]
async fn the_newest_question_of_a_slot_is_the_one_that_is_answered() {
    let bench = Bench::start(Options::default()).await;
    let mut desk = Desk::start(&bench, &[]);
    desk.reported(Source::Stripe, Result::is_ok).await.expect("it answers");
    bench.simulator.faults().add(Rule::always("/v1/invoices", Strike::Hang).when(When::First(1)));
    desk.read(Slot::Case(0), 1, Query::InvoicesOf(customer(&bench)));
    until("the first has been sent", async || bench.simulator.requests().iter().any(|r| r.path.ends_with("/invoices"))).await;
    let begun = Instant::now();
    desk.read(Slot::Case(0), 2, Query::Customer(customer(&bench)));
    let (generation, result) = desk.reply(Slot::Case(0)).await;
    assert_eq!(generation, 2);
    assert!(result.is_ok() && begun.elapsed() < Duration::from_secs(2), "{result:?}");
    // An older one that comes late is not asked at all.
    desk.read(Slot::Case(0), 1, Query::InvoicesOf(customer(&bench)));
    desk.read(Slot::Case(1), 1, Query::Customer(customer(&bench)));
    let first = desk.wait("any reply", |e| if let Event::ReplyArrived { ticket, .. } = e { Some(ticket) } else { None }).await;
    assert_eq!(first.slot, Slot::Case(1));
}

#[tokio::test]
async fn behind_a_pooler_every_question_is_answered_all_the_same() {
    let bench = Bench::start(Options::default()).await;
    let url = bench.variable("DATABASE_URL");
    let proxy = Proxy::start(place(&url), true).await;
    let database = open(config_with(&bench, &[("DATABASE_URL", &proxy.url(&url))]));
    let report = database.report().await.expect("a report");
    assert!(report.pooler && report.shape.is_ok(), "{report:?}");
    let person = paying(&bench);
    let before = record(&bench, &database, &person).await;
    let (hits, _) = super::find(&database, &person.email).await;
    assert_eq!(hits.len(), 1);
    let change = Change { field: Field::Tier, from: image(&before)[&Field::Tier].clone(), to: Value::text("FREE") };
    let outcome = database.set_subscription_row(before.subject.key.clone(), image(&before), vec![change]).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    let named = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'idle in transaction'";
    let (open,): (i64,) = sqlx::query_as(named).bind(&bench.database).fetch_one(&bench.admin).await.unwrap();
    assert_eq!(open, 0, "no transaction is left open");
}

#[tokio::test]
async fn a_write_goes_through_gate_and_journal_and_changes_its_row() {
    let bench = Bench::start(Options::default()).await;
    let mut desk = Desk::start(&bench, &[]);
    let (before, run) = (record(&bench, &database(&bench), &paying(&bench)).await, Uuid::now_v7());
    let shown = image(&before);
    let change = Change { field: Field::Tier, from: shown[&Field::Tier].clone(), to: Value::text("FREE") };
    let command = Command::SetSubscriptionRow { subject: subject(&bench), shown, changes: vec![change] };
    let perform = |attempt| {
        let attempt = Attempt { run, step: "apply".into(), attempt };
        Effect::Perform(Box::new(Perform { attempt, command: command.clone(), undo: None, confirmed_at: Utc::now() }))
    };
    let performed = |event| if let Event::Performed(p) = event { Some(p) } else { None };
    desk.wait("the mode", |e| matches!(e, Event::AccountKnown { .. }).then_some(())).await;
    desk.handle.submit(perform(1));
    let refused = desk.wait("refused", performed).await;
    assert!(matches!(refused.outcome, Outcome::NotDone(_)), "no run is open: {refused:?}");
    let inputs = Inputs::of(Subject::Subject(subject(&bench)));
    let detail = Detail::of(&OpenedDetail { inputs, subject: Some(subject(&bench)), who: "j•••".into(), undoes: None });
    desk.handle.submit(Effect::OpenRun { run, procedure: "tier-update".into(), detail });
    desk.wait("opened", |e| if let Event::RunOpened { result, .. } = e { Some(result) } else { None }).await.expect("it opens");
    desk.handle.submit(perform(1));
    let refused = desk.wait("read-only", performed).await;
    assert!(matches!(&refused.outcome, Outcome::NotDone(_)), "writes are off: {refused:?}");
    desk.handle.submit(Effect::TurnWritesOn { reason: "ticket 4411".into() });
    let writes = desk.wait("writes", |e| if let Event::WritesChanged(w) = e { Some(w) } else { None }).await;
    assert!(matches!(writes, Writes::On { .. }));
    desk.handle.submit(perform(1));
    let done = desk.wait("performed", performed).await;
    assert!(matches!(done.outcome, Outcome::Done { .. }) && done.unrecorded.is_none(), "{done:?}");
    assert_eq!(image(&record(&bench, &database(&bench), &paying(&bench)).await)[&Field::Tier], Value::text("FREE"));
    desk.handle.submit(Effect::Record { run: Some(run), entry: Entry::RunClosed { run, how: Closed::Done }, detail: Detail::none() });
    desk.handle.submit(Effect::TurnWritesOff);
    desk.wait("off", |e| matches!(e, Event::WritesChanged(Writes::Off)).then_some(())).await;
    let Reply::Runs(runs) = desk.handle.reader().ask(Query::Runs).await.expect("runs") else { panic!() };
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Closed(Closed::Done)));
    desk.handle.shutdown().await;
}

#[tokio::test]
async fn incidents_are_listed_and_started_over_http() {
    use axum::routing::{get, post};
    let list = || async {
        axum::Json(serde_json::json!({ "incidents": [{ "name": "missed-webhooks", "title": "never arrived", "ends": false }] }))
    };
    let strike = |axum::extract::Path(name): axum::extract::Path<String>| async move {
        let (status, body) = match name.as_str() {
            "missed-webhooks" => {
                let hurt = |number| serde_json::json!({ "number": number, "truth": "missing" });
                let fine = serde_json::json!({ "number": 9, "truth": "fine" });
                (201, serde_json::json!({ "labels": [hurt(7), hurt(8), hurt(8), fine] }))
            }
            "stripe-down" => (201, serde_json::json!({ "labels": [{}] })),
            _ => (409, serde_json::json!({ "ok": false, "error": "nobody is left" })),
        };
        (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(body))
    };
    let lift = |axum::extract::Path(name): axum::extract::Path<String>| async move {
        let status = if name == "wrong-secret" { 200 } else { 409 };
        (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(serde_json::json!({ "error": "there is nothing to end" })))
    };
    let router = axum::Router::new().route("/incidents", get(list)).route("/incidents/{name}", post(strike).delete(lift));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let mut desk = Desk::start(&bench, &[("NIGHTDESK_SANDBOX_URL", &url)]);
    let known = desk.wait("the list", |e| if let Event::IncidentsKnown(known) = e { Some(known) } else { None }).await;
    let missed = KnownIncident { name: "missed-webhooks".into(), title: "never arrived".into(), ends: false };
    assert_eq!(known, [missed]);
    let started = |e| if let Event::IncidentWent { result, .. } = e { Some(result) } else { None };
    desk.handle.submit(Effect::StartIncident { name: "missed-webhooks".into() });
    assert_eq!(desk.wait("started", started).await.expect("it starts"), "2 customers hit");
    desk.handle.submit(Effect::StartIncident { name: "stripe-down".into() });
    assert_eq!(desk.wait("started", started).await.expect("it starts"), "under way");
    desk.handle.submit(Effect::StartIncident { name: "other".into() });
    assert_eq!(desk.wait("refused", started).await.expect_err("it does not").say, "nobody is left");
    desk.handle.submit(Effect::EndIncident { name: "wrong-secret".into() });
    assert!(desk.wait("ended", started).await.expect("it ends").starts_with("ended"));
    desk.handle.submit(Effect::EndIncident { name: "missed-webhooks".into() });
    assert_eq!(desk.wait("refused", started).await.expect_err("it does not").say, "there is nothing to end");
}

#[tokio::test]
async fn what_was_recorded_before_the_end_is_in_the_journal_at_the_end() {
    let config = Config::load(None, None, &|name| (name == "APP_URL").then(|| "http://127.0.0.1:1".into())).expect("enough");
    let state = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let (sender, _events) = mpsc::channel(64);
        let handle = Executor::start_in(Arc::new(config.clone()), sender, state.path());
        for _ in 0..30 {
            handle.submit(Effect::Record { run: None, entry: Entry::Revealed, detail: Detail::none() });
        }
        handle.shutdown().await;
        let head = handle.reader().journal().expect("a journal").head().await.expect("readable").expect("records");
        assert_eq!(head.seq, round * 30);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_written_to_a_file_and_one_that_is_stopped_stays_partial() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let mut desk = Desk::start(&bench, &[]);
    let place = tempfile::tempdir().unwrap();
    let ended = |e| if let Event::ExportEnded { export, result } = e { Some((export, result)) } else { None };
    let order = |n: u128, name: &str| Effect::Export {
        export: Uuid::from_u128(n),
        file: place.path().join(name).display().to_string(),
        format: nightdesk::domain::export::Format::Csv,
        threshold: nightdesk::domain::quota::Threshold::new(1).unwrap(),
        filter: nightdesk::domain::quota::QuotaFilter::default(),
    };
    desk.handle.submit(order(1, "all.csv"));
    let (export, result) = desk.wait("the file", ended).await;
    let done = result.expect("it is complete");
    let lines = std::fs::read_to_string(&done.path).expect("it is where it was said").lines().count();
    assert_eq!((export, lines as u64), (Uuid::from_u128(1), done.rows + 1));
    assert!(done.rows > 0 && !place.path().join("all.csv.partial").exists());
    // With the counters locked no page comes: the file begins and ends there.
    let mut lock = bench.admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE rate_limits IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    desk.handle.submit(order(2, "stopped.csv"));
    let begun = place.path().join("stopped.csv.partial");
    while !begun.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    desk.handle.submit(Effect::CancelExport { export: Uuid::from_u128(2) });
    let (_, result) = desk.wait("the end", ended).await;
    let why = result.expect_err("it is not complete");
    assert!(why.contains("stopped.csv.partial"), "{why}");
    assert!(begun.exists() && !place.path().join("stopped.csv").exists());
    lock.rollback().await.unwrap();
    desk.handle.shutdown().await;
}
