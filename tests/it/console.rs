//! The console, walked by keys: frame, palette, dialogs, the paste rule, what is revealed.

use super::console_review::{review, writes_on};
use super::fixtures::*;
use super::made_runs;
use super::script::*;
use nightdesk::console::panes::run::Model;
use nightdesk::console::screen::Screen;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::policy::Writes;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::Environment;
use nightdesk::protocol::event::{Event, KnownIncident};
use nightdesk::protocol::key::Key;
use nightdesk::protocol::record::RunState;

#[test]
fn the_frame_says_where_one_is_at_every_stage() {
    let mut script = Script::started(World::empty());
    script.event(Event::Starting("Starting Postgres".into()));
    insta::assert_snapshot!("starting", script.screen());
    script.event(Event::StartFailed("No Postgres binaries found: install the postgresql package, or set PATH to where initdb is.".into()));
    insta::assert_snapshot!("start-failed", script.screen());
    let mut script = Script::connected(World::empty());
    script
        .sees(" TEST  acme · prod-primary")
        .sees("read-only  oncall 03:12Z")
        .sees("stripe 0s  db 0s  app 0s")
        .sees("›1 Home ── 2 Webhooks ── 3 Customers");
    script.does_not_see("log ");
}

#[test]
fn home_keeps_the_call_for_help_on_its_line_where_there_is_little_room() {
    let mut script = Script::connected(World::placeholder());
    script.seconds(3);
    script.sees("f fix   e why   : or paste an id   ! escalate");
    assert!(script.screen_at(120, 36).contains("! escalate   a actions"));
}

#[test]
fn what_is_longer_than_the_status_line_is_said_in_two() {
    let mut script = Script::connected(World::empty());
    script.event(Event::AccountKnown { name: "acme".into(), livemode: true, database: "staging".into() });
    script.key(Key::Char('w'));
    script.sees("a live key with a database not marked production").sees("configuration agrees with itself");
}

#[test]
fn a_small_terminal_is_told_so() {
    let mut script = Script::connected(World::empty());
    assert_eq!(script.screen_at(52, 14).lines().next(), Some("needs 60x20, has 52x14"));
    script.screen_at(60, 20);
    for (columns, rows) in [(0, 0), (1, 1), (3, 200), (300, 2), (60, 20), (200, 60)] {
        script.screen_at(columns, rows);
    }
}

#[test]
fn a_silent_source_turns_stale_and_down_on_screen() {
    let mut script = Script::connected(World::empty());
    script.wait(12_000);
    script.event(Event::SourceReported { source: Source::Stripe, result: Ok(()) });
    script.event(Event::SourceReported { source: Source::Application, result: Ok(()) });
    script.sees("db STALE 12s").sees("app 0s");
    script.wait(20_000);
    script.sees("db DOWN 32s");
    let fault = Fault::new(Source::Stripe, FaultKind::Auth, "Stripe refused the key");
    script.event(Event::SourceReported { source: Source::Stripe, result: Err(fault) });
    script.sees("stripe AUTH");
}

#[test]
fn mixed_worlds_say_so_and_never_write() {
    let mut script = Script::connected(World::empty());
    script.event(Event::AccountKnown { name: "acme".into(), livemode: true, database: "staging".into() });
    script.sees(" MIXED  acme · staging");
    script.key(Key::Char('w'));
    assert!(script.state.dialog.is_none());
    script.sees("a live key with a database not marked production");
}

#[test]
fn writes_ask_for_a_reason_and_go_off_by_themselves() {
    let mut script = Script::connected(World::empty());
    script.key(Key::Char('w'));
    insta::assert_snapshot!("writes-dialog", script.screen());
    assert!(script.key(Key::Enter).is_empty(), "no reason, no writes");
    script.keys("ticket 4411");
    assert_eq!(script.key(Key::Enter), [Effect::TurnWritesOn { reason: "ticket 4411".into() }]);
    script.sees("WRITES 15 min").sees("Writes are on until 03:");
    script.seconds(61);
    script.sees("WRITES 14 min");
    script.wait(15 * 60_000);
    script.event(Event::Ticked);
    script.sees("read-only");
    assert_eq!(script.state.world.writes, Writes::Off);
    writes_on(&mut script);
    assert_eq!(script.key(Key::Char('w')), [Effect::TurnWritesOff], "off at once, without a question");
}

#[test]
fn an_enter_that_comes_with_a_pasted_reason_turns_nothing_on() {
    let mut script = Script::connected(World::empty());
    script.key(Key::Char('w'));
    let effects = script.burst("ticket 4411\n");
    assert!(!effects.iter().any(|e| matches!(e, Effect::TurnWritesOn { .. })));
    script.sees("ticket 4411");
    assert_eq!(script.key(Key::Enter).len(), 1, "an Enter of its own does");
}

/// An incident that can be ended.
pub fn known(name: &str, title: &str) -> KnownIncident {
    KnownIncident { name: name.into(), title: title.into(), ends: true }
}

#[test]
fn a_name_typed_out_leads_to_what_has_it() {
    let mut script = Script::connected(World::placeholder());
    let incidents = [("endpoint-down", "the application is stopped"), ("wrong-secret", "the signing secret is another's")];
    script.state.world.incidents = incidents.map(|(n, d)| known(n, d)).to_vec();
    for (typed, first) in [
        ("endpoint-down", "incident  endpoint-down: the application is stopped"),
        ("wrong-secret", "incident  wrong-secret: the signing secret is"),
        // Less than the name, and what mends comes before what breaks.
        ("endpoint-d", "runbook   Webhook endpoint down"),
        ("endpoint down", "runbook   Webhook endpoint down"),
        ("drift-fix", "runbook   Fix drift"),
        ("end wrong", "incident  End wrong-secret: as its repair would"),
        ("webhooks", "pane      Webhooks"),
    ] {
        script.keys(&format!(":{typed}"));
        let screen = script.screen();
        let chosen = screen.lines().find(|l| l.starts_with("     › "));
        assert!(chosen.is_some_and(|l| l.contains(first)), "{typed}: {screen}");
        script.key(Key::Esc);
    }
}

#[test]
fn the_palette_finds_panes_procedures_incidents_and_ids() {
    let mut script = Script::connected(World::placeholder());
    script.event(Event::IncidentsKnown(vec![known("unlinked", "14 people paid and are still FREE")]));
    script.key(Key::Char(':'));
    insta::assert_snapshot!("palette", script.screen());
    script.keys("still fr");
    script.sees("Manual tier update").does_not_see("pane ");
    script.key(Key::Ctrl('u'));
    script.keys("incident");
    assert_eq!(script.key(Key::Enter), [Effect::StartIncident { name: "unlinked".into() }]);
    script.event(Event::IncidentWent { name: "unlinked".into(), result: Ok("14 rows unlinked".into()) });
    script.sees("unlinked: 14 rows unlinked");
    // What a restart would end can be ended by name, and is offered only where there is something to end.
    script.key(Key::Char(':'));
    script.keys("end unlin");
    assert_eq!(script.key(Key::Enter), [Effect::EndIncident { name: "unlinked".into() }]);
    script.event(Event::IncidentsKnown(vec![KnownIncident { ends: false, ..known("drift", "rows differ") }]));
    script.key(Key::Char(':'));
    script.keys("end drift");
    script.does_not_see("End drift");
    script.key(Key::Esc);
    script.key(Key::Char(':'));
    script.paste(CUSTOMER);
    script.sees("look up   cus_QxAbCdEf98d");
    script.key(Key::Enter);
    assert_eq!(script.state.screens.top(), Screen::Customers);
}

#[test]
fn help_lists_the_keys_of_this_screen_with_reasons_and_is_searchable() {
    let mut script = Script::connected(World::empty());
    script.key(Key::Char('?'));
    insta::assert_snapshot!("help", script.screen_at(80, 36));
    script.keys("undo");
    script.sees("Nothing here can be undone").does_not_see("escalate");
}

#[test]
fn escalation_is_filled_in_and_can_be_copied() {
    let mut script = Script::connected(World::empty());
    script.key(Key::Char('!'));
    insta::assert_snapshot!("escalate", script.screen());
    let effects = script.key(Key::Enter);
    let [Effect::Copy { text }] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(text.starts_with("To payments@acme.example: Stripe API down\nTEST sandbox (acme, "), "{text}");
    script.sees("If it did not arrive, copy it from here by hand.");
}

#[test]
fn esc_leads_home_and_home_asks_before_quitting() {
    let mut script = review(World::placeholder());
    for _ in 0..6 {
        script.key(Key::Esc);
        if script.state.dialog.is_some() {
            break;
        }
    }
    assert_eq!(script.state.screens.top(), Screen::Home);
    script.sees("Leave the console?");
    script.key(Key::Esc);
    assert!(script.effects.iter().all(|e| *e != Effect::Quit));
    script.key(Key::Char('q'));
    assert_eq!(script.key(Key::Char('y')), [Effect::Quit]);
    assert_eq!(Script::started(World::empty()).event(Event::HungUp), [Effect::Quit]);
}

#[test]
fn an_unbracketed_paste_acts_on_nothing_and_is_looked_up() {
    let mut script = Script::connected(World::placeholder());
    // `q` would ask to quit, `w` for writes, `1` go home: the first three act, the fourth takes them back.
    script.burst("qw1_nobody");
    assert_eq!((script.state.screens.top(), script.state.dialog.is_none()), (Screen::Customers, true));
    assert_eq!(script.effects, []);
    let mut script = Script::connected(World::placeholder());
    script.wait(500);
    for _ in 0..6 {
        script.wait(2);
        script.event(Event::Key(Key::Char('j')));
    }
    script.wait(60);
    script.event(Event::KeysPaused);
    assert_eq!(script.state.screens.top(), Screen::Home, "a key held down is no paste");
}

#[test]
fn what_was_revealed_is_audited_or_masked_again() {
    let mut script = Script::connected(World::placeholder());
    script.key(Key::Char('i'));
    insta::assert_snapshot!("reveal-dialog", script.screen());
    script.keys("ticket 7");
    script.silent = true;
    let effects = script.key(Key::Enter);
    assert!(matches!(effects.as_slice(), [Effect::Reveal { subject: None, .. }]), "{effects:?}");
    script.does_not_see("REVEALED");
    script.event(Event::Revealed { subject: None });
    script.sees("REVEALED");
    script.silent = false;
    script.event(Event::RecordFailed(Fault::new(Source::Store, FaultKind::Refused, "the journal's disk is full")));
    script.does_not_see("REVEALED").sees("Not journaled: the journal's disk is full");
    script.key(Key::Char('i'));
    script.keys("x");
    script.key(Key::Enter);
    script.wait(61_000);
    script.event(Event::Ticked);
    script.does_not_see("REVEALED");
}

#[test]
fn the_record_says_whose_data_is_shown_and_the_next_customer_is_masked() {
    let mut script = Script::connected(World::placeholder());
    script.paste(CUSTOMER);
    script.key(Key::Enter);
    assert_eq!(script.state.screens.top(), Screen::Customer);
    script.key(Key::Char('i'));
    script.keys("ticket 7");
    let effects = script.key(Key::Enter);
    let Some(Effect::Reveal { subject: Some(subject), detail }) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(subject.as_str(), PROFILE);
    assert_eq!(detail.0["screen"], "customer");
    script.sees("REVEALED");
    // Somebody else's data was not what the record says.
    script.paste("cus_Somebody000001");
    script.key(Key::Enter);
    script.does_not_see("REVEALED");
    script.event(Event::Revealed { subject: Some(subject.clone()) });
    script.does_not_see("REVEALED");
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut script = Script::connected(World::placeholder());
    script.silent = true;
    script.key(Key::Char('r'));
    script.key(Key::Char('r'));
    let reads: Vec<Effect> = script.unanswered.clone();
    let Some(Effect::Read { ticket, query }) = reads.first().cloned() else {
        // Nothing on this screen reads yet: nothing to be stale.
        return;
    };
    let mut stale = ticket;
    stale.generation = 0;
    let before = script.state.clone();
    let result = script.world.answer(&query);
    script.event(Event::ReplyArrived { ticket: stale, query, result });
    let mut after = script.state.clone();
    after.world = before.world.clone();
    assert_eq!(after, before);
}

#[test]
fn all_state_is_one_tree_that_can_be_written_down() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    script.key(Key::Char('e'));
    script.event(Event::Key(Key::Char('j')));
    let text = serde_json::to_string(&script.state).expect("serialisable");
    let back: nightdesk::console::State = serde_json::from_str(&text).expect("readable");
    assert_eq!(back, script.state);
}

#[test]
fn hostile_words_reach_no_cell() {
    let mut script = Script::connected(World::empty());
    let name = "\x1b[2J\x1b]0;owned\x07\u{202E}evil";
    script.event(Event::AccountKnown { name: name.into(), livemode: false, database: name.into() });
    script.event(Event::Starting(name.into()));
    let mut env: Environment = environment();
    env.operator = name.into();
    script.event(Event::EnvironmentChanged(Box::new(env)));
    script.event(Event::WritesRefused(name.into()));
    let screen = script.screen();
    assert!(!screen.chars().any(|c| c != '\n' && nightdesk::domain::text::is_hostile(c)), "{screen:?}");
}

#[test]
fn a_stranger_finds_the_procedure_by_the_books_words() {
    let mut script = Script::connected(World::placeholder());
    script.key(Key::Char(':'));
    script.keys("still free");
    script.key(Key::Enter);
    script.sees("Manual tier update: find the customer, then f");
}

#[test]
fn the_key_table_prints_as_markdown() {
    let text = nightdesk::console::keymap::markdown();
    assert!(text.contains("| `f` | review the recommended fix; never acts |"), "{text}");
}

/// Whether a copy of the console's state shares all that is long with it.
fn shares_its_runs(state: &nightdesk::console::State) -> bool {
    let copy = state.clone();
    let same = |(a, b): (&Model, &Model)| std::ptr::eq(&*a.run, &*b.run);
    state.tasks.runs.iter().zip(&copy.tasks.runs).all(same) && std::ptr::eq(&*state.tasks.unfinished, &*copy.tasks.unfinished)
}

#[test]
fn a_key_copies_no_run_and_time_touches_none_that_is_over() {
    let mut world = World::healthy();
    world.runs = vec![nightdesk::protocol::record::RunSummary { state: RunState::Acted, ..made_runs::listed(3, 50) }];
    let mut script = Script::connected(world);
    script.state.tasks.runs.extend([made_runs::finished(1, 50), made_runs::finished(2, 50)]);
    assert_eq!(script.state.tasks.unfinished.len(), 1);
    assert!(shares_its_runs(&script.state));
    // The first key of a burst keeps a copy of everything.
    let before: Vec<_> = script.state.tasks.runs.iter().map(|r| r.run.clone()).collect();
    script.key(Key::Char('j'));
    script.event(Event::Ticked);
    let untouched = script.state.tasks.runs.iter().zip(&before).all(|(now, then)| std::ptr::eq(&*now.run, &**then));
    assert!(untouched, "what is over was copied because time went on");
}

#[test]
fn the_end_of_an_incident_stands_before_what_its_words_only_resemble() {
    let mut script = Script::connected(World::placeholder());
    script.event(Event::IncidentsKnown(vec![known("stripe-down", "Stripe answers nobody")]));
    script.key(Key::Char(':'));
    script.keys("end stripe");
    assert_eq!(script.key(Key::Enter), [Effect::EndIncident { name: "stripe-down".into() }], "no emergency begins by it");
}
