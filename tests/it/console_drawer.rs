//! The drawer of running tasks, the palette by the book's words, the screen as text.

use super::console::known;
use super::fixtures::*;
use super::script::*;
use nightdesk::console::screen::Screen;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::{Hit, Reply};
use nightdesk::protocol::record::{RunState, RunSummary};
use nightdesk::protocol::run::Inputs;
use uuid::Uuid;

fn left_behind(serial: u128, operator: &str, state: RunState, held: bool) -> RunSummary {
    RunSummary {
        run: Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + serial),
        procedure: "tier-update".into(),
        operator: operator.into(),
        opened: now() - chrono::Duration::minutes(40),
        last: now() - chrono::Duration::minutes(39),
        inputs: Some(Inputs::of(by_customer())),
        who: Some("j•••@a•••.com".into()),
        state,
        attempts: Vec::new().into(),
        commands: Vec::new().into(),
        subject: None,
        undoes: None,
        proven: Vec::new(),
        held,
    }
}

/// A confirmed repair of which nobody knows whether it took effect; the operator is back at Home.
fn in_doubt() -> Script {
    let mut script = Script::connected(World::placeholder());
    script.outcome = Some(Outcome::Unknown(Fault::new(Source::Database, FaultKind::Timeout, "no answer in time")));
    script.paste(CUSTOMER);
    script.key(Key::Enter);
    script.key(Key::Char('f'));
    script.key(Key::Char('w'));
    script.keys("ticket 4411");
    script.key(Key::Enter);
    script.key(Key::Char('y'));
    script.key(Key::Char('1'));
    script
}

#[test]
fn what_is_going_on_is_two_keys_away_on_every_screen() {
    let mut script = in_doubt();
    script.wait(10_000);
    script.event(Event::Ticked);
    let name = nightdesk::protocol::run::short(script.state.tasks.runs[0].run.id);
    for digit in ['1', '3'] {
        script.key(Key::Char(digit));
        if digit == '3' {
            script.key(Key::Tab);
        }
        script.sees(&format!("run {name} unknown, : tasks"));
        script.key(Key::Char(':'));
        script.key(Key::Enter);
        script.sees("Running tasks").sees("unknown").sees("j•••@a•••.com");
        script.key(Key::Enter);
        assert!(matches!(script.state.screens.top(), Screen::Run(_)), "Enter opens it");
        assert!(script.state.dialog.is_none());
    }
}

#[test]
fn the_drawer_lists_ones_own_unfinished_runs_and_counts_the_rest() {
    let mut script = Script::connected(World::placeholder());
    let runs = Reply::Runs(vec![
        left_behind(0x7f3a, "oncall", RunState::Unknown, false),
        left_behind(0x11b2, "oncall", RunState::Open, true),
        left_behind(0x22c3, "somebody", RunState::Acted, false),
    ]);
    script.state.tasks.told(&runs);
    script.silent = true;
    script.key(Key::Char(':'));
    script.keys("running tasks");
    script.key(Key::Enter);
    insta::assert_snapshot!("drawer", script.screen());
    insta::assert_snapshot!("drawer-smallest", script.screen_at(60, 20));
    let here = script.state.screens.top();
    script.key(Key::Char('j'));
    script.key(Key::Enter);
    assert_eq!(script.state.screens.top(), here, "what another console holds stays closed");
    script.sees("held elsewhere");
    // It ends elsewhere, and the list moves: the key that was meant for it opens nothing else.
    script.state.tasks.told(&Reply::Runs(vec![left_behind(0x7f3a, "oncall", RunState::Unknown, false)]));
    script.key(Key::Enter);
    assert_eq!(script.state.screens.top(), here);
    script.key(Key::Char('k'));
    let effects = script.key(Key::Enter);
    assert!(effects.iter().any(|e| matches!(e, Effect::ResumeRun { .. })), "{effects:?}");
}

#[test]
fn an_empty_drawer_says_so() {
    let mut script = Script::connected(World::empty());
    script.key(Key::Char(':'));
    script.keys("tasks");
    script.key(Key::Enter);
    script.sees("Nothing is running, and no run of yours was left unfinished.");
    script.key(Key::Enter);
    script.key(Key::Char('j'));
    script.key(Key::Esc);
    assert!(script.state.dialog.is_none());
}

#[test]
fn what_is_done_is_no_task_though_the_journal_told_otherwise_before() {
    let mut script = Script::connected(World::placeholder());
    script.paste(CUSTOMER);
    script.key(Key::Enter);
    script.key(Key::Char('f'));
    script.key(Key::Char('w'));
    script.keys("ticket 4411");
    script.key(Key::Enter);
    script.key(Key::Char('y'));
    script.sees(" DONE ");
    let mut told = left_behind(0, "oncall", RunState::Acted, false);
    told.run = script.state.tasks.runs[0].run.id;
    script.state.tasks.told(&Reply::Runs(vec![told]));
    script.key(Key::Char(':'));
    script.keys("running");
    script.sees("Running tasks").does_not_see("Running tasks: 1");
}

#[test]
fn the_books_words_find_the_procedure_in_any_form_and_break_nothing() {
    for words in ["webhook fails", "webhook failed", "user paid", "the user has paid", "customer paid but tier not updated"] {
        let mut script = Script::connected(World::placeholder());
        let incidents = vec![known("missed-webhooks", "customers paid, and the webhooks never arrived or failed; tier not updated")];
        script.event(Event::IncidentsKnown(incidents));
        script.key(Key::Char(':'));
        script.paste(words);
        script.key(Key::Enter);
        script.sees("Manual tier update: find the customer, then f");
        assert!(script.effects.iter().all(|e| !matches!(e, Effect::StartIncident { .. })), "{words}");
    }
}

#[test]
fn an_incident_called_by_its_name_is_found_first() {
    let mut script = Script::connected(World::placeholder());
    script.event(Event::IncidentsKnown(vec![known("missed-webhooks", "customers paid")]));
    script.key(Key::Char(':'));
    script.keys("missed-webhooks");
    assert_eq!(script.key(Key::Enter), [Effect::StartIncident { name: "missed-webhooks".into() }]);
}

#[test]
fn the_screen_is_copied_as_text_and_masked_even_while_it_is_not() {
    let mut world = World::placeholder();
    world.hits.push(Hit {
        source: Source::Database,
        handle: by_profile(),
        name: None,
        email: Some("jane@acme.com".into()),
        subject: Some(key(PROFILE)),
        customer: Some(CUSTOMER.into()),
        note: "FREE".into(),
        rank: 0,
    });
    let mut script = Script::connected(world);
    script.key(Key::Char('i'));
    script.keys("ticket 7");
    script.key(Key::Enter);
    let copied = |script: &mut Script| {
        script.key(Key::Char('c'));
        script.key(Key::End);
        script.sees("screen, masked");
        let effects = script.key(Key::Enter);
        script.sees("TEST acme").does_not_see("copy it from here by hand");
        script.key(Key::End);
        script.sees("If it did not arrive, copy it from here by hand.");
        script.key(Key::Esc);
        let [Effect::Copy { text }] = effects.as_slice() else { panic!("{effects:?}") };
        text.clone()
    };
    script.key(Key::Char('3'));
    script.keys("jane@acme.com");
    script.key(Key::Tab);
    script.sees("jane@acme.com").sees("REVEALED");
    let list = copied(&mut script);
    script.paste(CUSTOMER);
    script.key(Key::Enter);
    let customer = copied(&mut script);
    for text in [&list, &customer] {
        assert!(text.contains(" TEST  acme") && text.contains("j•••@a•••.com"), "{text}");
        assert!(!text.contains("jane") && !text.contains("REVEALED"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    assert!(customer.contains("Paid in Stripe, FREE in the app"), "{customer}");
    script.key(Key::Char('c'));
    script.does_not_see("SELECT");
}
