//! The runbook pane: the book, the runs of this operator and of others, the contacts; and whom to call from any screen.

use super::fixtures::*;
use super::panes::interrupted;
use super::panes_desk::{Desk, environment};
use nightdesk::console::screen::Screen;
use nightdesk::console::widgets::theme::{Colour, Glyphs, Theme};
use nightdesk::domain::fault::Source;
use nightdesk::domain::runbook::book;
use nightdesk::procedures;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::Contact;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;
use nightdesk::protocol::record::{Closed, Concluded, Entry, Recorded, RunState, RunSummary};
use nightdesk::protocol::run::{Attempt, Plan, Step, StepKind, step_id};
use uuid::Uuid;

const FINISHED: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_c0de);

fn world() -> World {
    let mut world = World::healthy();
    let other = |run: u128, operator: &str, state, held| RunSummary {
        run: Uuid::from_u128(run),
        operator: operator.into(),
        state,
        held,
        inputs: None,
        who: None,
        last: ago(7),
        ..interrupted()
    };
    world.runs = vec![interrupted(), RunSummary { run: FINISHED, state: RunState::Closed(Closed::Done), last: ago(90), ..interrupted() }];
    world.team = vec![
        other(0x0199_0000_0000_7000_8000_0000_0000_ee01, "eve", RunState::Acted, true),
        other(0x0199_0000_0000_7000_8000_0000_0000_ee02, "eve", RunState::Closed(Closed::Halted), false),
    ];
    let attempt = Attempt { run: FINISHED, step: "apply".into(), attempt: 1 };
    let records = [
        (Entry::RunOpened { run: FINISHED, procedure: "tier-update".into() }, None),
        (Entry::Intended { attempt: attempt.clone(), command: "set-subscription-row".into(), key: "nd-1".into() }, None),
        (Entry::Concluded { attempt, result: Concluded::Done }, Some("one row changed")),
        (Entry::Verified { run: FINISHED, step: "row".into(), holds: true }, None),
        (Entry::RunClosed { run: FINISHED, how: Closed::Done }, None),
    ];
    let recorded =
        |(entry, said): (Entry, Option<&str>)| Recorded { at: ago(90), operator: "oncall".into(), entry, said: said.map(Into::into) };
    world.recorded = records.into_iter().map(recorded).collect();
    world
}

fn with_contacts() -> Event {
    let contacts = book().contacts.iter();
    let contacts = contacts.map(|c| Contact { issue: c.issue.clone(), contact: c.contact.clone(), responds: c.responds.clone() }).collect();
    Event::EnvironmentChanged(Box::new(nightdesk::protocol::environment::Environment { contacts, ..environment() }))
}

fn desk(world: World) -> Desk {
    let mut desk = Desk::settled(world);
    desk.event(with_contacts());
    desk.settle();
    desk
}

fn on_runs(world: World) -> Desk {
    let mut desk = desk(world);
    desk.key(Key::Char('6'));
    desk.key(Key::Tab);
    desk
}

#[test]
fn the_book_lists_what_can_be_done_in_its_own_words_and_what_differs() {
    let mut desk = desk(world());
    desk.key(Key::Char('6'));
    let done: Vec<_> = book().sections.iter().filter(|s| procedures::by_id(&s.procedure).is_some()).collect();
    assert!(done.len() >= 3, "{done:?}");
    for section in done {
        desk.expect(&section.title);
    }
    for section in book().sections.iter().filter(|s| procedures::by_id(&s.procedure).is_none()) {
        desk.expect_not(&section.title);
    }
    desk.snapshot("book");
    desk.key(Key::Char('e'));
    desk.expect("differs");
    desk.expect("more below");
}

#[test]
fn a_section_starts_its_procedure_by_way_of_finding_the_customer() {
    let mut desk = desk(world());
    desk.keys("6G");
    while !desk.shown().contains("Verify payment in Stripe Dashboard") {
        desk.key(Key::Char('k'));
    }
    desk.key(Key::Enter);
    assert_eq!(desk.state.screens.top(), Screen::Customers);
    desk.expect("Manual tier update: find the customer, then f");
}

#[test]
fn a_procedure_of_the_book_about_the_customer_on_screen_starts_at_once() {
    let mut desk = desk(world());
    desk.event(Event::Pasted(CUSTOMER.into()));
    desk.key(Key::Enter);
    desk.settle();
    desk.keys(":manual tier");
    desk.key(Key::Enter);
    assert!(matches!(desk.state.screens.top(), Screen::Run(_)), "{}", desk.shown());
}

#[test]
fn runs_of_mine_and_of_the_team_interrupted_first() {
    let mut desk = on_runs(world());
    desk.expect("Reading the journal");
    desk.snapshot("runs_loading");
    desk.settle();
    desk.snapshot("runs");
    let shown = desk.shown();
    let at = |word: &str| shown.find(word).unwrap_or_else(|| panic!("no {word} on\n{shown}"));
    assert!(at("7f3a") < at("ee01") && at("ee01") < at("ee02") && at("ee02") < at("c0de"), "{shown}");
}

#[test]
fn enter_resumes_what_was_interrupted_and_tells_what_was_done_in_the_others() {
    let mut desk = on_runs(world());
    desk.settle();
    desk.key(Key::Char('G'));
    desk.key(Key::Enter);
    desk.settle();
    desk.expect("apply, try 1: done: one row changed");
    desk.expect("row: proven");
    desk.key(Key::Esc);
    // The team's: its records are elsewhere.
    desk.key(Key::Char('k'));
    desk.key(Key::Enter);
    desk.settle();
    desk.expect("its records are not in this journal");
    desk.key(Key::Char('g'));
    desk.key(Key::Enter);
    assert!(desk.effects.iter().any(|e| matches!(e, Effect::ResumeRun { run } if *run == interrupted().run)), "{:?}", desk.effects);
}

#[test]
fn a_selected_run_is_followed_to_where_it_goes() {
    let mut desk = on_runs(world());
    desk.settle();
    desk.key(Key::Char('G'));
    let finished = desk.world.runs.pop().expect("the finished one");
    desk.world.runs = vec![RunSummary { last: ago(1), ..finished }];
    desk.pass(11);
    desk.settle();
    let shown = desk.shown();
    let row = shown.lines().find(|l| l.contains("c0de")).expect("it is there");
    assert!(row.starts_with('›'), "{shown}");
}

/// A run that has acted and is not finished, as the journal shows it.
fn acted() -> RunSummary {
    let attempt = Attempt { run: interrupted().run, step: step_id("end", "app_rw 4711"), attempt: 1 };
    let done = Outcome::done("signalled".into());
    RunSummary { state: RunState::Acted, attempts: vec![(attempt, Some(done))].into(), ..interrupted() }
}

#[test]
fn a_run_that_is_watched_here_is_not_told_as_one_left_behind() {
    let mut world = world();
    world.runs = vec![acted()];
    let mut desk = desk(world);
    desk.pass(2);
    desk.expect("stopped at step end");
    desk.expect_not(&step_id("end", "app_rw 4711"));
    let (mut run, _) = Run::resume(&acted());
    run.phase = Phase::Waiting("Watched until 04:40:00Z".into());
    let wait = Step::new("watch", StepKind::Wait, "watch", "Watched until 04:40:00Z");
    run.plan = Some(Plan {
        summary: "End 1 session".into(),
        subject: None,
        who: String::new(),
        blast: String::new(),
        diff: Vec::new(),
        notes: Vec::new(),
        afterwards: None,
        evidence: Vec::new(),
        steps: vec![wait],
        machine: Vec::new(),
        typed: None,
        pace: None,
    });
    assert!(run.is_watching());
    desk.state.tasks.add(run);
    desk.pass(2);
    desk.expect_not("stopped at step");
    desk.key(Key::Char('6'));
    desk.key(Key::Tab);
    desk.settle();
    desk.expect("watching");
    desk.expect_not("unverified");
    desk.expect_not("resume");
    desk.key(Key::Enter);
    assert_eq!(desk.state.screens.top(), Screen::Run(interrupted().run), "its screen opens");
    let run = |desk: &mut Desk, phase| desk.state.tasks.get_mut(interrupted().run).expect("it is here").run.phase = phase;
    run(&mut desk, Phase::Unknown("The answer never came.".into()));
    desk.keys("1");
    desk.pass(2);
    desk.expect("may or may not have taken effect");
    desk.keys("6");
    desk.settle();
    desk.expect("unknown");
    run(&mut desk, Phase::Done("It holds.".into()));
    desk.keys("1");
    desk.pass(2);
    desk.expect_not("7f3a");
    run(&mut desk, Phase::Halted("The proof is missing.".into()));
    desk.keys("1");
    desk.pass(2);
    desk.expect("stopped at step end");
}

#[test]
fn no_runs_and_no_journal_are_said() {
    let mut desk = on_runs(World::healthy());
    desk.settle();
    desk.snapshot("runs_empty");
    let mut world = world();
    world.down.push(Source::Store);
    let mut desk = on_runs(world);
    desk.settle();
    desk.snapshot("runs_failed");
}

#[test]
fn runs_that_were_read_stay_when_reading_again_fails() {
    let mut desk = on_runs(world());
    desk.settle();
    desk.world.down.push(Source::Store);
    desk.pass(11);
    desk.settle();
    desk.expect("7f3a");
    desk.expect("As last read");
    desk.snapshot("runs_stale");
}

#[test]
fn the_books_four_contacts_and_a_message_to_one() {
    let mut desk = desk(world());
    desk.key(Key::Char('6'));
    desk.key(Key::Tab);
    desk.settle();
    desk.key(Key::Tab);
    desk.snapshot("contacts");
    desk.key(Key::Char('j'));
    desk.key(Key::Enter);
    desk.expect("To DevOps team: Database issues");
    let copied = desk.effects.iter().find_map(|e| if let Effect::Copy { text } = e { Some(text.clone()) } else { None });
    assert!(copied.is_some_and(|t| t.starts_with("To DevOps team")), "{:?}", desk.effects);
}

#[test]
fn escalating_from_a_customer_names_ids_and_no_person() {
    let mut desk = desk(World::placeholder());
    desk.event(Event::Pasted(CUSTOMER.into()));
    desk.key(Key::Enter);
    desk.settle();
    desk.key(Key::Char('!'));
    desk.key(Key::Enter);
    let copied = desk.effects.iter().find_map(|e| if let Effect::Copy { text } = e { Some(text.clone()) } else { None });
    let text = copied.expect("it was copied");
    for word in
        ["To support@stripe.com: Payment failures", "LIVE prod (acme, prod-primary)", "FAIL", CUSTOMER, PROFILE, "Since", "On call: oncall"]
    {
        assert!(text.contains(word), "no `{word}` in\n{text}");
    }
    for word in ["jane", "j•••", "acme.com"] {
        assert!(!text.contains(word), "`{word}` in\n{text}");
    }
}

#[test]
fn plain_letters_say_the_same() {
    let mut desk = desk(world());
    desk.state.theme = Theme { colour: Colour::Never, glyphs: Glyphs::Ascii };
    desk.key(Key::Char('6'));
    assert!(desk.shown().is_ascii() || desk.shown().chars().filter(|c| !c.is_ascii()).all(|c| "→".contains(c)), "{}", desk.shown());
    desk.key(Key::Tab);
    desk.settle();
    insta::assert_snapshot!("runs_ascii_60x20", desk.screen(60, 20));
}

#[test]
fn what_is_wanted_of_a_run_is_given_up_with_the_pane() {
    let mut desk = on_runs(world());
    assert!(desk.out.iter().any(|(_, q)| *q == Query::TeamRuns));
    desk.key(Key::Ctrl('c'));
    desk.expect("given up");
}

#[test]
fn an_unfinished_run_is_given_up_with_a_reason() {
    let mut sure = world();
    sure.runs[0].state = RunState::Acted;
    let mut desk = on_runs(sure);
    desk.settle();
    desk.key(Key::Char('a'));
    desk.expect("give it up for good");
    desk.key(Key::Char('x'));
    desk.expect("Why? The reason is journaled.");
    desk.event(Event::Painted);
    desk.keys("ticket 4411");
    desk.event(Event::Painted);
    desk.wait(500);
    desk.key(Key::Enter);
    let given_up = Effect::GiveUpRun { run: interrupted().run, by_hand: false, reason: "ticket 4411".into() };
    assert!(desk.effects.contains(&given_up), "{:?}", desk.effects);
    desk.event(Event::RunGivenUp { run: interrupted().run, result: Ok(Closed::HandedOver) });
    desk.expect("is given up");
    let mut unknown = world();
    unknown.runs[0].state = RunState::Unknown;
    unknown.runs[0].inputs = Some(nightdesk::protocol::run::Inputs::default());
    let mut desk = on_runs(unknown);
    desk.settle();
    desk.keys("a");
    desk.key(Key::Char('x'));
    desk.expect("is not known");
}
