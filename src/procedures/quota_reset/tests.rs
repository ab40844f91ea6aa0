//! The plan of a quota reset over made-up facts: what is chosen, left out, performed by whom, and what proves it.

use super::QuotaReset;
use crate::domain::At;
use crate::domain::entitlement::{Entitlement, FeatureUse};
use crate::domain::facts::Handle;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::quota::CounterSheet;
use crate::domain::row::{Counter, Record, Subject};
use crate::domain::shape::{IntervalWords, KeyType, Shape, Trust};
use crate::domain::tiers::TierRules;
use crate::procedures::Procedure;
use crate::procedures::undo;
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::{Environment, Offers, Writer};
use crate::protocol::query::{Locator, Query, Reply};
use crate::protocol::run::{Features, Inputs, Plan, Refusal, StepState};
use chrono::Duration;
use std::collections::BTreeMap;

fn now() -> At {
    At::from_timestamp(1_800_000_000, 0).expect("in range")
}

fn key() -> SubjectKey {
    SubjectKey("7f3a5b7c-0000-4000-8000-000000000011".into())
}

fn env() -> Environment {
    Environment {
        name: "test".into(),
        production: false,
        operator: "ada".into(),
        tiers: TierRules::default(),
        writer: Writer::Sql,
        set_up: [Source::Database, Source::Application].into(),
        sandbox: false,
        webhook_url: None,
        offers: Offers::default(),
        contacts: Vec::new(),
    }
}

/// PRO, with searches and exports used up, one api call, and all five seats taken.
struct Case {
    sheet: CounterSheet,
    app: Result<Option<Entitlement>, Fault>,
}

fn counter(feature: &str, used: i64, days: Option<i64>) -> Counter {
    let end = days.map(|d| now() + Duration::days(d));
    Counter { feature: feature.into(), used, period_start: Some(now() - Duration::days(9)), period_end: end }
}

impl Case {
    fn new() -> Self {
        let counters = vec![
            counter("api_calls", 9, Some(-1)),
            counter("exports", 50, Some(9)),
            counter("searches", 100, Some(9)),
            counter("seats", 5, None),
        ];
        let sheet = CounterSheet { counters, writable: true, configured: BTreeMap::new() };
        let mut case = Self { sheet, app: Ok(None) };
        case.app_follows(Some(true));
        case
    }

    /// The application answers what the counters hold.
    fn app_follows(&mut self, says_resets: Option<bool>) {
        let used =
            |f: &str| self.sheet.counters.iter().find(|c| c.feature == f && c.period_end.is_none_or(|e| e > now())).map_or(0, |c| c.used);
        let of = |f: &str, value| {
            let resets = says_resets.map(|_| f != "seats");
            (f.to_string(), FeatureUse { value, used: Some(used(f)), resets })
        };
        let features = BTreeMap::from([of("api_calls", 10_000), of("exports", 50), of("searches", 100), of("seats", 5)]);
        self.app = Ok(Some(Entitlement { tier: "PRO".into(), features }));
    }

    fn set(&mut self, feature: &str, used: i64) {
        self.sheet.counters.iter_mut().find(|c| c.feature == feature).expect("there is one").used = used;
    }

    fn answers(&self) -> Answers {
        let mut answers = Answers::default();
        let shape = Shape {
            server: "PostgreSQL 15.18".into(),
            database: "app".into(),
            profiles_in_json: true,
            naive_timestamps: true,
            key: KeyType::Uuid,
            interval: IntervalWords::stripes_own(),
            status_words: None,
            plan_features: true,
            mirror: false,
            updatable: true,
            trust: Trust::Full,
            replica_lag: None,
        };
        let subject = Subject { key: key(), email: Some("jane@acme.com".into()), name: None, created_at: None };
        let limits = BTreeMap::from([("exports".to_string(), 60), ("searches".to_string(), 100), ("seats".to_string(), 5)]);
        let record = Record { subject, row: None, counters: self.sheet.counters.clone(), limits };
        answers.put(Query::Shape, Ok(Reply::Shape(Box::new(shape))), now());
        answers.put(Query::Records(Locator::Subjects(vec![key()])), Ok(Reply::Records(vec![record])), now());
        answers.put(Query::Counters(key()), Ok(Reply::Counters(Some(self.sheet.clone()))), now());
        answers.put(Query::Entitlement(key()), self.app.clone().map(Reply::Entitlement), now());
        answers
    }

    fn plan(&self, inputs: &Inputs) -> Result<Plan, Refusal> {
        let answers = self.answers();
        assert_eq!(QuotaReset.reads(inputs, &answers), [], "complete");
        QuotaReset.plan(inputs, &answers, &env(), now())
    }
}

fn of(features: Features) -> Inputs {
    Inputs { features: Some(features), ..Inputs::of(Handle::Subject(key())) }
}

fn these(names: &[&str]) -> Inputs {
    of(Features::These(names.iter().map(|n| (*n).to_string()).collect()))
}

#[track_caller]
fn command(plan: Result<Plan, Refusal>) -> Command {
    plan.expect("a plan").commands()[0].clone()
}

#[track_caller]
fn because(plan: Result<Plan, Refusal>) -> String {
    match plan {
        Err(Refusal::Because(say)) => say,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_goes_through_the_application_and_leaves_stocks_out_with_the_reason() {
    let plan = Case::new().plan(&of(Features::All)).expect("a plan");
    assert_eq!(plan.commands(), [&Command::ResetEntitlement { subject: key() }]);
    let notes = plan.notes.join("\n");
    for words in [
        "exports: 50 → 0 of 50",
        "searches: 100 → 0 of 100",
        "begins a new period",
        "Left out: seats",
        "the app says so",
        "plan's table says 60",
    ] {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    let Some(Command::RestoreCounters { counters, .. }) = plan.steps.iter().find_map(|s| s.undo.clone()) else { panic!("no undo") };
    assert_eq!(counters.iter().map(|c| (c.feature.as_str(), c.used)).collect::<Vec<_>>(), [("exports", 50), ("searches", 100)]);
    assert!(plan.typed.is_none() && plan.blast.contains("2 counters"), "{}", plan.blast);
}

#[test]
fn one_feature_or_some_go_through_the_database() {
    let Command::ResetCounters { shown, .. } = command(Case::new().plan(&these(&["searches"]))) else { panic!("not by the database") };
    assert_eq!(shown.iter().map(|c| c.feature.as_str()).collect::<Vec<_>>(), ["searches"]);
    let plan = Case::new().plan(&these(&["searches", "seats"])).expect("a plan");
    assert!(plan.notes.iter().any(|n| n.contains("Left out: seats")), "{:?}", plan.notes);
    assert!(because(Case::new().plan(&these(&["seats"]))).contains("a stock, which no period empties"));
    assert!(because(Case::new().plan(&these(&["dreams"]))).contains("they have api_calls, exports, searches, seats"));
}

#[test]
fn without_an_admin_api_all_goes_through_the_database_and_only_what_is_known_to_reset() {
    let mut case = Case::new();
    let fault = || Fault::new(Source::Application, FaultKind::NotSetUp, "No application is configured");
    case.app = Err(fault());
    assert!(because(case.plan(&of(Features::All))).contains("Nobody says which features reset"));
    case.sheet.configured.insert("searches".into(), true);
    let plan = case.plan(&of(Features::All)).expect("a plan");
    assert!(matches!(plan.commands()[0], Command::ResetCounters { shown, .. } if shown.len() == 1), "{plan:?}");
    assert!(plan.notes.iter().any(|n| n.contains("exports; nobody says whether it resets")), "{:?}", plan.notes);
    // Named, it is reset all the same.
    assert!(matches!(command(case.plan(&these(&["exports"]))), Command::ResetCounters { .. }));
    case.sheet.writable = false;
    assert!(because(case.plan(&these(&["exports"]))).contains("--grants"));
}

#[test]
fn a_stock_by_configuration_keeps_the_application_out() {
    let mut case = Case::new();
    case.sheet.configured.insert("exports".into(), false);
    let Command::ResetCounters { shown, .. } = command(case.plan(&of(Features::All))) else { panic!("the app would empty exports") };
    assert_eq!(shown.iter().map(|c| c.feature.as_str()).collect::<Vec<_>>(), ["searches"]);
}

#[test]
fn what_is_not_clear_is_asked_and_what_is_clear_is_not() {
    let Err(Refusal::Decide(decision)) = Case::new().plan(&Inputs::of(Handle::Subject(key()))) else { panic!("not asked") };
    assert_eq!(decision.id, "feature");
    assert_eq!(decision.options.iter().map(|o| o.value.as_str()).collect::<Vec<_>>(), ["all", "exports", "searches"]);
    let mut case = Case::new();
    case.set("exports", 0);
    case.app_follows(Some(true));
    assert!(matches!(command(case.plan(&Inputs::of(Handle::Subject(key())))), Command::ResetEntitlement { .. }));
    case.set("searches", 0);
    assert!(because(case.plan(&Inputs::of(Handle::Subject(key())))).contains("seats, 5 of 5; it is a stock"));
    case.set("seats", 0);
    assert!(matches!(case.plan(&Inputs::of(Handle::Subject(key()))), Err(Refusal::AlreadyRight(_))));
}

#[test]
fn it_is_proven_by_what_is_enforced_even_where_somebody_counts_on() {
    let mut case = Case::new();
    let pinned = QuotaReset.pin(&of(Features::All), &case.answers());
    assert_eq!(pinned.subject, Some(key()));
    case.set("exports", 0);
    case.set("searches", 3);
    // The counters are reset, and the application has not noticed.
    assert!(because(case.plan(&pinned)).contains("the app still answers exports 50 of 50"));
    case.app = Err(Fault::new(Source::Application, FaultKind::Timeout, "It does not answer"));
    assert!(because(case.plan(&pinned)).contains("nothing proves it yet"));
    case.app_follows(Some(true));
    let Err(Refusal::AlreadyRight(say)) = case.plan(&pinned) else { panic!("not proven") };
    assert!(say.contains("exports 0 of 50") && say.contains("searches 3 of 100"), "{say}");
    case.set("exports", 51);
    assert!(case.plan(&pinned).is_ok(), "that one was not reset");
}

#[test]
fn an_undo_gives_back_only_what_nobody_has_counted_on() {
    let mut case = Case::new();
    let former = vec![counter("searches", 100, Some(9))];
    let undo = Command::RestoreCounters { subject: key(), counters: former.clone() };
    let planned = |case: &Case, acted: bool, at: At| undo::plan(&undo, acted, &case.answers(), &env(), at);
    let take_back = |case: &Case, at: At| planned(case, false, at);
    case.set("searches", 0);
    case.app_follows(None);
    let plan = take_back(&case, now()).expect("a plan");
    assert_eq!(plan.commands(), [&undo]);
    assert!(plan.steps.iter().all(|s| !matches!(s.state, StepState::Failed(_))));
    assert!(because(take_back(&case, now() + Duration::days(30))).contains("period of these counters has passed"));
    case.set("searches", 2);
    assert!(because(take_back(&case, now())).contains("was used 2 since the reset"));
    for used in [100, 112] {
        case.set("searches", used);
        case.app_follows(None);
        assert!(because(take_back(&case, now())).contains(&format!("was used {used} since the reset")), "it was not this undo");
    }
    assert!(matches!(planned(&case, true, now()), Err(Refusal::AlreadyRight(say)) if say.contains("Taken back")));
}
