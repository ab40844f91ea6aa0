//! The quota pane: both tabs in every state, pages as one scrolls, the filter, the ways to a reset and to a file.

use crate::fixtures::*;
use crate::panes_desk::Desk;
use nightdesk::console::screen::Screen;
use nightdesk::domain::export::Format;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::quota::{Claim, NearPage, NearRow, QuotaFilter, QuotaState, QuotaTotal, ServedBy, Threshold, TierUse};
use nightdesk::domain::shape::Trust;
use nightdesk::procedures::engine::{Phase, Run, Try};
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::{Event, Exported};
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::protocol::run::{Attempt, Choice, Decision, Features, Inputs, Plan, Step, StepKind};
use nightdesk::protocol::ticket::Slot;
use uuid::Uuid;

const PAGE: Slot = Slot::Quota(0);
const TOTALS: Slot = Slot::Quota(1);
const USAGE: Slot = Slot::Quota(2);

fn row(n: i64, tier: &str, feature: &str, used: i64, limit: i64) -> NearRow {
    NearRow {
        subject: key(&format!("{n:08x}-0000-4000-8000-{n:012}")),
        email: (n % 5 != 4).then(|| format!("person{n}@firm{n}.com")),
        name: (n % 5 == 4).then(|| "Grace Hopper".into()),
        tier: tier.into(),
        claim: if tier == "FREE" { Claim::Free } else { Claim::Paying },
        feature: feature.into(),
        used,
        limit,
        resets: (n % 3 != 2).then(|| now() + chrono::Duration::days(n % 28)),
        state: QuotaState::of(used, Some(limit)),
    }
}

fn some() -> Vec<NearRow> {
    vec![
        row(1, "FREE", "searches", 61, 5),
        row(2, "PRO", "api_calls", 1_250_000, 1_000_000),
        row(3, "FREE", "searches", 5, 5),
        row(4, "ENTERPRISE", "seats", 45, 50),
        row(5, "FREE", "exports", 8, 10),
    ]
}

fn page(rows: Vec<NearRow>, more: bool) -> Reply {
    let next = rows.last().filter(|_| more).map(NearRow::key);
    Reply::NearLimit(NearPage { rows, next, by: ServedBy::Tables, limits_known: true })
}

fn total(tier: &str, feature: &str, near: i64, blocked: i64) -> QuotaTotal {
    QuotaTotal { tier: tier.into(), feature: feature.into(), near, blocked }
}

fn uses() -> Vec<TierUse> {
    let line = |tier: &str, feature: &str, limit, users, median, p95, max, blocked| TierUse {
        tier: tier.into(),
        feature: feature.into(),
        limit,
        users,
        active: users / 2,
        average_milli: median * 1_000 + 340,
        median,
        p95,
        max,
        blocked,
    };
    vec![
        line("ENTERPRISE", "api_calls", Some(-1), 1_204, 90_210, 1_234_567, 9_876_543, 0),
        line("ENTERPRISE", "seats", Some(50), 1_204, 12, 44, 50, 3),
        line("FREE", "exports", Some(0), 912_331, 0, 0, 0, 0),
        line("FREE", "searches", Some(5), 912_331, 1, 5, 61, 48_112),
        line("PRO", "beta", None, 86_465, 0, 2, 9, 0),
    ]
}

/// Answers what is out in this slot.
fn answer(desk: &mut Desk, slot: Slot, result: Result<Reply, Fault>) -> Query {
    let at = desk.out.iter().position(|(t, _)| t.slot == slot).unwrap_or_else(|| panic!("nothing asked in {slot:?}: {:?}", desk.out));
    let (ticket, query) = desk.out.remove(at);
    desk.event(Event::ReplyArrived { ticket, query: query.clone(), result });
    query
}

fn asked(desk: &Desk, slot: Slot) -> bool {
    desk.out.iter().any(|(t, _)| t.slot == slot)
}

fn slow() -> Fault {
    Fault::new(Source::Database, FaultKind::Timeout, "The database did not answer within 3 s.")
}

fn opened() -> Desk {
    let mut desk = Desk::settled(World::healthy());
    desk.keys("4");
    desk
}

fn ready() -> Desk {
    let mut desk = opened();
    answer(&mut desk, PAGE, Ok(page(some(), false)));
    answer(&mut desk, TOTALS, Ok(Reply::QuotaTotals(vec![total("FREE", "searches", 1, 2), total("PRO", "api_calls", 1, 1)])));
    desk
}

#[test]
fn near_the_limit_in_every_state() {
    let mut desk = opened();
    desk.pass(3);
    desk.expect("Reading from the database: all from 80%");
    assert!(!asked(&desk, TOTALS), "the first page comes before the totals");
    desk.snapshot("quota_near_loading");
    answer(&mut desk, PAGE, Ok(page(Vec::new(), false)));
    desk.expect("Nobody has used 80% of a limit.");
    desk.snapshot("quota_near_empty");
    let mut desk = ready();
    desk.expect("BLOCKED");
    desk.expect("3 blocked, 2 near");
    desk.expect("1220");
    desk.expect_not("person1@");
    desk.snapshot("quota_near_ready");
    let small = desk.screen(60, 20);
    let whole = |l: &&str| l.contains("searches") && l.contains("1220") && l.contains("23 Nov 03:12") && l.ends_with("BLOCKED");
    assert!(small.lines().any(|l| whole(&l)), "what makes somebody stand here is on the smallest screen too: {small}");
    desk.world.down = vec![Source::Database];
    desk.pass(12);
    desk.expect("db STALE");
    desk.expect("BLOCKED");
    desk.snapshot("quota_near_stale");
    let mut desk = opened();
    answer(&mut desk, PAGE, Err(slow()));
    desk.expect("db time-out: The database did not answer");
    desk.snapshot("quota_near_failed");
    desk.pass(30);
    assert!(!asked(&desk, PAGE), "what was too slow is not repeated unasked");
    desk.keys("r");
    assert!(asked(&desk, PAGE));
    let mut desk = opened();
    let unknown = NearPage { rows: Vec::new(), next: None, by: ServedBy::Tables, limits_known: false };
    answer(&mut desk, PAGE, Ok(Reply::NearLimit(unknown)));
    desk.expect("No limits are known");
}

#[test]
fn use_by_tier_in_every_state() {
    let mut desk = ready();
    desk.key(Key::Tab);
    desk.pass(2);
    desk.expect("Reading all counters of all tiers");
    desk.snapshot("quota_tiers_loading");
    answer(&mut desk, USAGE, Ok(Reply::TierUsage(uses())));
    for word in ["UNLIMITED", "NOT IN PLAN", "NOT KNOWN", "48.1k"] {
        desk.expect(word);
    }
    desk.snapshot("quota_tiers_ready");
    desk.keys("r");
    answer(&mut desk, USAGE, Err(slow()));
    desk.expect("db time-out");
    desk.expect("UNLIMITED");
    desk.snapshot("quota_tiers_stale");
    desk.keys("jj");
    desk.key(Key::Enter);
    desk.expect("there is no limit here");
    desk.keys("j");
    desk.key(Key::Enter);
    let query = answer(&mut desk, PAGE, Ok(page(some(), false)));
    let filter = QuotaFilter { tier: Some("FREE".into()), feature: Some("searches".into()) };
    assert_eq!(query, Query::NearLimit { threshold: Threshold::default(), filter, after: None });
    let mut desk = ready();
    desk.key(Key::Tab);
    answer(&mut desk, USAGE, Err(slow()));
    desk.snapshot("quota_tiers_failed");
    let mut desk = ready();
    desk.key(Key::Tab);
    answer(&mut desk, USAGE, Ok(Reply::TierUsage(Vec::new())));
    desk.expect("Nothing is used, and no limits are known");
    desk.snapshot("quota_tiers_empty");
}

#[test]
fn pages_come_as_one_scrolls_and_totals_after_the_first() {
    let first: Vec<NearRow> = (0..100).map(|n| row(n, "FREE", "searches", 200 - n, 5)).collect();
    let mut second: Vec<NearRow> = (100..150).map(|n| row(n, "FREE", "searches", 200 - n, 5)).collect();
    second.push(first[99].clone());
    let mut desk = opened();
    answer(&mut desk, PAGE, Ok(page(first.clone(), true)));
    desk.expect("100 read; further down reads on");
    desk.keys("jj");
    assert!(!asked(&desk, PAGE), "the next page waits until it is wanted");
    answer(&mut desk, TOTALS, Ok(Reply::QuotaTotals(vec![total("FREE", "searches", 0, 150)])));
    desk.expect("100 read, 150 in all; further down reads on");
    desk.keys("/person1");
    desk.key(Key::Enter);
    desk.expect("shown of 100 read, 150 in all");
    desk.keys("a");
    desk.expect("write all 150 from 80%, not just the ");
    desk.key(Key::Esc);
    desk.keys("/");
    desk.key(Key::Esc);
    desk.keys("G");
    desk.pass(2);
    desk.expect("100 rows so far, reading… 2s");
    desk.snapshot("quota_near_partial");
    desk.keys("kj");
    let query = answer(&mut desk, PAGE, Err(slow()));
    assert!(matches!(&query, Query::NearLimit { after: Some(after), .. } if *after == first[99].key()), "{query:?}");
    desk.expect("db time-out");
    desk.expect("BLOCKED");
    desk.keys("r");
    answer(&mut desk, PAGE, Ok(page(first, true)));
    desk.keys("G");
    answer(&mut desk, PAGE, Ok(page(second, false)));
    answer(&mut desk, TOTALS, Err(slow()));
    desk.expect("totals: time-out");
    desk.keys("G");
    assert!(!asked(&desk, PAGE), "there are no more");
    let all = desk.screen(80, 200);
    assert_eq!(all.matches(" 2020 ").count(), 1, "what moved between two pages stands once\n{all}");
}

#[test]
fn the_filter_narrows_at_once_and_asks_the_database_at_enter() {
    let mut desk = ready();
    desk.keys("/");
    desk.keys("tier:fr from:95");
    desk.expect_not("api_calls");
    assert!(!asked(&desk, PAGE));
    desk.key(Key::Enter);
    let query = answer(&mut desk, PAGE, Ok(page(some(), false)));
    let filter = QuotaFilter { tier: Some("FREE".into()), feature: None };
    assert_eq!(query, Query::NearLimit { threshold: Threshold::new(95).expect("a share"), filter: filter.clone(), after: None });
    desk.expect("from 95%");
    desk.snapshot("quota_near_filtered");
    desk.keys("/");
    desk.keys("person3");
    desk.key(Key::Enter);
    assert!(!asked(&desk, PAGE), "words are looked for in what was read");
    desk.expect("1 of 5 pass the filter");
    desk.keys("/");
    desk.keys("from:0");
    desk.key(Key::Enter);
    desk.expect("1 to 100");
    desk.key(Key::Esc);
    let query = answer(&mut desk, PAGE, Ok(page(some(), false)));
    assert_eq!(query, Query::NearLimit { threshold: Threshold::default(), filter: QuotaFilter::default(), after: None });
    desk.keys("ab");
    let query = answer(&mut desk, PAGE, Ok(page(some(), false)));
    assert!(matches!(query, Query::NearLimit { threshold, .. } if threshold.percent() == 100), "{query:?}");
}

#[test]
fn a_row_leads_to_its_customer_and_to_the_reset_of_its_counter() {
    let mut desk = ready();
    desk.keys("j");
    desk.key(Key::Enter);
    assert_eq!(desk.state.screens.top(), Screen::Customer);
    desk.key(Key::Esc);
    desk.expect("Near the limit");
    desk.keys("f");
    assert!(matches!(desk.state.screens.top(), Screen::Run(_)));
    let run = &desk.state.tasks.runs[0].run;
    assert_eq!((run.procedure.as_str(), &run.inputs.features), ("quota-reset", &Some(Features::These(vec!["api_calls".into()]))));
    assert_eq!(run.inputs.handle, Some(nightdesk::domain::facts::Handle::Subject(some()[1].subject.clone())));
}

#[test]
fn no_letter_of_the_pane_writes() {
    for tab in 0..2 {
        for letter in "abcdefghijklmnoprstuvxyz0 ,.;".chars() {
            let mut desk = ready();
            (0..tab).for_each(|_| desk.key(Key::Tab));
            desk.key(Key::Char(letter));
            assert!(
                !desk.effects.iter().any(|e| matches!(e, Effect::Perform(_) | Effect::OpenRun { .. } | Effect::Export { .. })),
                "{letter}: {:?}",
                desk.effects
            );
        }
    }
}

fn exporting() -> (Desk, Uuid) {
    let mut desk = ready();
    desk.keys("av");
    let Some(Effect::Export { export, file, format, .. }) = desk.effects.last().cloned() else { panic!("{:?}", desk.effects) };
    assert_eq!(format, Format::Csv);
    assert!(file.starts_with("nightdesk-near-limit-") && file.ends_with(".csv") && !file.contains('/'), "{file}");
    (desk, export)
}

#[test]
fn the_menu_writes_a_file_that_the_drawer_knows() {
    let (mut desk, export) = exporting();
    desk.event(Event::ExportWent { export, rows: 1_200 });
    desk.pass(9);
    desk.expect("export 1,200 rows, : tasks");
    desk.key(Key::Char(':'));
    desk.key(Key::Enter);
    desk.expect("writing");
    desk.expect("1,200 rows");
    desk.snapshot("quota_export_drawer");
    desk.key(Key::Enter);
    desk.expect("stop writing");
    desk.keys("x");
    assert_eq!(desk.effects.last(), Some(&Effect::CancelExport { export }));
    desk.event(Event::ExportEnded { export, result: Err("Stopped; /home/ada/x.csv.partial is not complete".into()) });
    desk.expect("x.csv.partial is not complete");
    let (mut desk, export) = exporting();
    let done = Exported { path: "/home/ada/near.csv".into(), rows: 4_312 };
    desk.event(Event::ExportEnded { export, result: Ok(done) });
    desk.expect("4,312 rows in /home/ada/near.csv");
}

#[test]
fn keys_that_turn_out_to_be_a_paste_leave_no_file_behind() {
    let mut desk = ready();
    desk.keys("a");
    desk.event(Event::Painted);
    desk.wait(1_000);
    for c in "v12x".chars() {
        desk.wait(10);
        desk.event(Event::Key(Key::Char(c)));
    }
    desk.wait(200);
    desk.event(Event::KeysPaused);
    assert!(!desk.effects.iter().any(|e| matches!(e, Effect::Export { .. })), "{:?}", desk.effects);
}

#[test]
fn who_renewed_without_a_reset_stands_out_and_can_be_listed_alone() {
    let mut desk = opened();
    let mut rows = some();
    rows.insert(0, NearRow { claim: Claim::Renewed, ..row(6, "PRO", "searches", 100, 100) });
    answer(&mut desk, PAGE, Ok(page(rows.clone(), false)));
    desk.expect("not reset");
    desk.snapshot("quota_near_renewed");
    desk.keys("/");
    desk.keys("claim:renewed");
    desk.key(Key::Enter);
    assert!(!asked(&desk, PAGE));
    desk.expect("1 of 6 pass the filter");
    desk.keys("e");
    desk.expect("First who renewed and was not reset");
}

#[test]
fn what_is_asked_of_somebody_is_not_asked_of_a_tier() {
    let mut desk = ready();
    desk.keys("/");
    desk.keys("claim:renewed person3 tier:pro");
    desk.key(Key::Tab);
    desk.key(Key::Tab);
    let query = answer(&mut desk, PAGE, Ok(page(some(), false)));
    assert!(matches!(&query, Query::NearLimit { filter, .. } if filter.tier.as_deref() == Some("PRO")), "{query:?}");
    answer(&mut desk, USAGE, Ok(Reply::TierUsage(uses())));
    desk.expect("only tier: and feature: apply to use by tier");
    desk.expect("PRO");
    desk.expect_not("passes the filter");
}

#[test]
fn where_rows_may_be_hidden_the_title_says_so() {
    let mut world = World::healthy();
    world.shape.trust = Trust::Limited(vec!["row-level security is active for our role on rate_limits: rows may be hidden".into()]);
    let mut desk = Desk::settled(world);
    desk.keys("4");
    answer(&mut desk, PAGE, Ok(page(some(), false)));
    desk.expect("rows may be hidden or late");
    desk.keys("e");
    desk.expect("row-level security is active");
}

/// What Home is told at its next question.
fn told(desk: &mut Desk, told: Option<NearPage>) {
    desk.pass(31);
    let at = desk.out.iter().position(|(_, q)| *q == Query::Unreset).expect("it is asked");
    let (ticket, query) = desk.out.remove(at);
    desk.event(Event::ReplyArrived { ticket, query, result: Ok(Reply::Unreset(told)) });
}

#[test]
fn home_tells_of_who_renewed_and_is_blocked_where_that_is_cheap_to_know() {
    let renewed = |n| NearRow { claim: Claim::Renewed, ..row(n, "PRO", "searches", 100, 100) };
    let of = |rows: Vec<NearRow>, more: bool| {
        let next = rows.last().filter(|_| more).map(NearRow::key);
        Some(NearPage { rows, next, by: ServedBy::Watch("quota_watch".into()), limits_known: true })
    };
    let mut desk = Desk::settled(World::healthy());
    desk.expect_not("quota");
    told(&mut desk, None);
    desk.expect_not(" quota ");
    told(&mut desk, of(Vec::new(), false));
    desk.expect("quota");
    told(&mut desk, of(vec![renewed(1), renewed(2), NearRow { feature: "exports".into(), ..renewed(2) }], false));
    desk.expect("2 customers renewed and are held to the old period's use");
    desk.keys("e");
    desk.expect("exports, searches; found by quota_watch");
    desk.key(Key::Esc);
    desk.key(Key::Enter);
    assert_eq!(desk.state.screens.top(), Screen::Quota);
    let query = answer(&mut desk, PAGE, Ok(page(vec![renewed(1), row(9, "PRO", "exports", 50, 50)], false)));
    assert!(matches!(&query, Query::NearLimit { threshold, .. } if *threshold == Threshold::ALL), "{query:?}");
    desk.expect("1 of 2 pass the filter");
    desk.key(Key::Esc);
    told(&mut desk, of((0..100).map(renewed).collect(), true));
    desk.expect("100 or more customers renewed");
    desk.world.down = vec![Source::Database];
    desk.pass(90);
    assert!(!desk.out.iter().any(|(_, q)| *q == Query::Unreset), "nobody is asked who does not answer");
}

#[test]
fn one_feature_some_or_all_are_chosen_with_marks() {
    let mut desk = ready();
    let inputs = Inputs::of(nightdesk::domain::facts::Handle::Subject(key(PROFILE)));
    let (mut run, _) = Run::draft(Uuid::from_u128(7), "quota-reset", inputs);
    let option = |value: &str| Choice { value: value.into(), say: value.into(), evidence: "5 of 5 used".into() };
    let options = ["all", "api_calls", "exports", "messages", "searches"].map(option).to_vec();
    run.phase = Phase::Deciding(Decision { id: "feature".into(), question: "4 features are used. Which are reset?".into(), options });
    let id = run.id;
    desk.state.tasks.runs.push(nightdesk::console::panes::run::Model::of(run));
    desk.state.screens.open(Screen::Run(id));
    desk.pass(2);
    desk.event(Event::Painted);
    desk.pass(1);
    desk.expect("space marks several");
    desk.keys("j ");
    desk.expect("all of them is an answer of its own");
    desk.keys("jj j");
    desk.keys("j ");
    desk.keys("k");
    desk.expect("2 marked: enter takes them");
    desk.snapshot("quota_reset_marked");
    desk.keys("k k");
    desk.key(Key::Enter);
    let run = &desk.state.tasks.get(id).expect("it is there").run;
    assert_eq!(run.inputs.features, Some(Features::These(vec!["searches".into()])), "one mark was taken back");
}

#[test]
fn counters_that_a_run_has_written_are_read_again_at_once() {
    let mut desk = ready();
    desk.keys("1");
    desk.pass(2);
    desk.out.retain(|(_, q)| *q != Query::Unreset);
    let inputs = Inputs::of(nightdesk::domain::facts::Handle::Subject(key(PROFILE)));
    let (mut run, _) = Run::draft(Uuid::from_u128(7), "quota-reset", inputs);
    let attempt = Attempt { run: run.id, step: "reset".into(), attempt: 1 };
    let command = Some(Command::ResetEntitlement { subject: key(PROFILE) });
    let outcome = Some(Outcome::done(String::new()));
    run.tries.push(Try { attempt, command, undo: None, outcome, unrecorded: false });
    run.plan = Some(Plan {
        summary: "Reset".into(),
        subject: Some(key(PROFILE)),
        who: String::new(),
        blast: String::new(),
        diff: Vec::new(),
        notes: Vec::new(),
        afterwards: None,
        evidence: Vec::new(),
        machine: Vec::new(),
        steps: vec![Step::new("watch", StepKind::Wait, "watch", "")],
        typed: None,
        pace: None,
    });
    run.phase = Phase::Waiting("until it ends".into());
    let id = run.id;
    desk.state.tasks.runs.push(nightdesk::console::panes::run::Model::of(run));
    desk.state.screens.open(Screen::Run(id));
    desk.pass(2);
    assert!(!asked(&desk, PAGE));
    desk.keys("ax");
    assert!(matches!(desk.state.tasks.get(id).expect("it is there").run.phase, Phase::Done(_)));
    assert!(asked(&desk, PAGE) && desk.out.iter().any(|(_, q)| *q == Query::Unreset), "{:?}", desk.out);
}
