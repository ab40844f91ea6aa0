//! The review of a run, walked by keys: what it shows, what confirms it and what never does, and what follows.

use super::fixtures::*;
use super::script::*;
use nightdesk::console::screen::Screen;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::command::Outcome;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::run::{Inputs, Selection, Step, StepKind};
use uuid::Uuid;

const RUN: Uuid = Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_7f3a);

/// A console with the review of the tier update on screen, read-only.
pub fn review(world: World) -> Script {
    review_of(world, by_customer())
}

fn review_of(world: World, handle: nightdesk::domain::facts::Handle) -> Script {
    let mut script = Script::connected(world);
    let (run, effects) = Run::draft(RUN, "tier-update", Inputs::of(handle));
    script.state.tasks.add(run);
    script.state.screens.open(Screen::Run(RUN));
    for effect in effects {
        let Effect::Read { ticket, query } = effect else { panic!("{effect:?}") };
        let result = script.world.answer(&query);
        script.event(Event::ReplyArrived { ticket, query, result });
    }
    script.event(Event::Painted);
    script
}

fn phase(script: &Script) -> &Phase {
    &script.state.tasks.get(RUN).expect("the run").run.phase
}

pub fn writes_on(script: &mut Script) {
    script.key(Key::Char('w'));
    script.keys("ticket 4411");
    script.key(Key::Enter);
}

fn performs(effects: &[Effect]) -> usize {
    effects.iter().filter(|e| matches!(e, Effect::Perform(_))).count()
}

#[test]
fn the_review_shows_everything_and_offers_writes() {
    let mut script = review(World::placeholder());
    assert_eq!(*phase(&script), Phase::Review);
    insta::assert_snapshot!("review", script.screen());
    insta::assert_snapshot!("review-wide", script.screen_at(120, 36));
    script.key(Key::Char('y'));
    script.sees("read-only: turn writes on with w and a reason");
    assert_eq!(performs(&script.effects), 0);
    script.key(Key::Char('e'));
    insta::assert_snapshot!("review-evidence", script.screen());
}

#[test]
fn a_confirmed_plan_is_done_proven_and_can_be_undone() {
    let mut script = review(World::placeholder());
    let before = script.world.records[0].row.clone();
    writes_on(&mut script);
    insta::assert_snapshot!("review-writes-on", script.screen());
    let effects = script.key(Key::Char('y'));
    assert_eq!(performs(&effects), 1, "{effects:?}");
    assert!(matches!(phase(&script), Phase::Done(_)), "{:?}", phase(&script));
    insta::assert_snapshot!("done", script.screen());
    script.key(Key::Char('u'));
    assert_eq!(performs(&script.effects), 1, "the undo is shown first");
    script.sees("Undo: Manual tier update");
    insta::assert_snapshot!("undo-review", script.screen());
    assert_eq!(performs(&script.key(Key::Char('y'))), 1);
    let after = script.world.records[0].row.clone();
    assert_eq!(
        after.map(|r| r.image.into_iter().filter(|(f, _)| *f != nightdesk::domain::row::Field::UpdatedAt).collect::<Vec<_>>()),
        before.map(|r| r.image.into_iter().filter(|(f, _)| *f != nightdesk::domain::row::Field::UpdatedAt).collect::<Vec<_>>()),
        "the row is as it was"
    );
}

#[test]
fn ten_minutes_later_nothing_is_undone_with_one_key() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    script.key(Key::Char('y'));
    script.wait(11 * 60_000);
    script.key(Key::Char('u'));
    script.sees("Nothing here can be undone");
}

#[test]
fn a_y_that_was_pressed_before_the_review_was_read_confirms_nothing() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    // A new question on screen: the world has changed under the review.
    let (run, effects) = Run::draft(Uuid::from_u128(0x99), "tier-update", Inputs::of(by_customer()));
    script.state.tasks.add(run);
    script.state.screens.open(Screen::Run(Uuid::from_u128(0x99)));
    for effect in effects {
        let Effect::Read { ticket, query } = effect else { panic!("{effect:?}") };
        let result = script.world.answer(&query);
        script.event(Event::ReplyArrived { ticket, query, result });
    }
    script.event(Event::Key(Key::Char('y')));
    script.wait(100);
    script.event(Event::KeysPaused);
    script.event(Event::Painted);
    script.wait(200);
    script.event(Event::Key(Key::Char('y')));
    script.wait(60);
    script.event(Event::KeysPaused);
    assert_eq!(performs(&script.effects), 0);
    script.wait(200);
    script.event(Event::Key(Key::Char('y')));
    script.wait(60);
    script.event(Event::KeysPaused);
    assert_eq!(performs(&script.effects), 1, "once it has been there for 300 ms it does");
}

#[test]
fn a_paste_confirms_nothing_with_brackets_and_without() {
    for text in ["y", "yvonne@acme.com", "yyy", "cus_QxAbCdEf98d", "y\n"] {
        let mut script = review(World::placeholder());
        writes_on(&mut script);
        script.paste(text);
        script.seconds(2);
        assert_eq!(performs(&script.effects), 0, "{text}");
    }
    for text in ["yvonne@acme.com", "cus_QxAbCdEf98d", "yy", "fy", "yxcv\n", "ya"] {
        let mut script = review(World::placeholder());
        writes_on(&mut script);
        script.burst(text);
        script.seconds(2);
        assert_eq!(performs(&script.effects), 0, "{text}");
    }
}

#[test]
fn stale_facts_confirm_nothing() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    script.wait(20_000);
    script.event(Event::SourceReported { source: Source::Database, result: Ok(()) });
    script.event(Event::SourceReported { source: Source::Application, result: Ok(()) });
    script.key(Key::Char('y'));
    assert_eq!(performs(&script.effects), 0);
    script.sees("stripe does not answer: the facts may be old");
}

#[test]
fn nobody_knows_is_a_state_that_reads_and_repeats_nothing() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    let fault = Fault::new(Source::Database, FaultKind::Timeout, "the database did not answer in time");
    script.outcome = Some(Outcome::Unknown(fault));
    script.silent = false;
    script.world.down = Vec::new();
    let effects = script.key(Key::Char('y'));
    assert_eq!(performs(&effects), 1);
    insta::assert_snapshot!("unknown", script.screen());
    script.seconds(3);
    assert_eq!(performs(&script.effects), 1);
}

#[test]
fn the_operator_decides_where_the_evidence_does_not() {
    let mut world = World::placeholder();
    world.sessions.clear();
    let mut script = review_of(world, by_customer());
    assert!(matches!(phase(&script), Phase::Deciding(_)), "{:?}", phase(&script));
    insta::assert_snapshot!("decision", script.screen());
    script.key(Key::Enter);
    assert!(matches!(phase(&script), Phase::Deciding(_)), "nothing is chosen by itself");
    script.key(Key::Down);
    insta::assert_snapshot!("decision-chosen", script.screen());
    script.key(Key::Enter);
    assert_eq!(*phase(&script), Phase::Review);
}

#[test]
fn a_typed_review_offers_letters_only_out_of_its_field() {
    let mut world = World::placeholder();
    let other = subscription("sub_Number000001", "cus_Number000001");
    world.records.push(record(OTHER, None, Some(free_row(OTHER, "cus_Number000001"))));
    world.customers.push(customer("cus_Number000001", None));
    world.subscriptions.push(other);
    let mut script = Script::connected(world);
    let both = Selection::Customers(vec![id(CUSTOMER), id("cus_Number000001")]);
    let (run, effects) = Run::draft(RUN, "failed-webhook", Inputs::about(both));
    script.state.tasks.add(run);
    script.state.screens.open(Screen::Run(RUN));
    for effect in effects {
        let Effect::Read { ticket, query } = effect else { panic!("{effect:?}") };
        let result = script.world.answer(&query);
        script.event(Event::ReplyArrived { ticket, query, result });
    }
    script.event(Event::Painted);
    assert_eq!(*phase(&script), Phase::Review);
    writes_on(&mut script);
    script.sees("enter sends   tab why, copy: out of the field").does_not_see("e why");
    script.keys("e");
    assert_eq!(script.state.tasks.get(RUN).expect("the run").typed.text(), "e", "in a field a letter is text");
    script.key(Key::Backspace);
    insta::assert_snapshot!("review-typed", script.screen());
    insta::assert_snapshot!("review-typed-wide", script.screen_at(120, 36));
    script.screen_at(80, 24);
    script.key(Key::Tab);
    script.sees("tab back to the field   e why   c copy");
    script.key(Key::Char('e'));
    script.sees("What is sent:");
    script.key(Key::Esc);
    script.key(Key::Tab);
    let typed = script.state.tasks.get(RUN).and_then(|r| r.run.plan.as_ref()).and_then(|p| p.typed.clone()).expect("a text");
    script.keys(&typed);
    // The database has not been heard of for a while: the field stays, so that no digit becomes a command, and Enter says why not.
    assert_eq!(performs(&script.key(Key::Enter)), 0);
    script.sees("does not answer").sees(&format!("Type {typed}"));
    script.fresh();
    // The same text as a terminal without brackets pastes it, with the end of its line.
    (0..typed.len()).for_each(|_| drop(script.key(Key::Backspace)));
    script.event(Event::Painted);
    assert_eq!(performs(&script.burst(&format!("{typed}\n"))), 0, "a paste confirms nothing");
    script.sees("came in as fast as a paste");
    let effects = script.key(Key::Enter);
    assert!(performs(&effects) > 0, "{}", script.screen());
}

/// A review that asks for something done by hand.
fn by_hand() -> Script {
    let mut script = review(World::placeholder());
    let model = script.state.tasks.get_mut(RUN).expect("the run");
    let plan = model.run.plan.as_mut().expect("its plan");
    (plan.steps, plan.typed, plan.machine) = (vec![Step::new("mend", StepKind::Manual, "mend", "Set the secret")], None, Vec::new());
    model.follow();
    script.event(Event::Painted);
    script.sees("Done by hand:");
    script
}

#[test]
fn what_was_done_by_hand_is_typed_into_its_field_from_wherever_the_focus_is() {
    let typed = |script: &Script| script.state.tasks.get(RUN).expect("the run").typed.text().to_string();
    let leave: [fn(&mut Script); 3] = [
        |script| drop(script.key(Key::Tab)),
        |script| {
            script.key(Key::Tab);
            script.key(Key::Char('e'));
        },
        |_| {},
    ];
    for leave in leave {
        for brackets in [true, false] {
            let mut script = by_hand();
            leave(&mut script);
            if brackets {
                script.paste("mended by the rota")
            } else {
                script.burst("mended by the rota")
            };
            script.seconds(1);
            assert_eq!(script.state.screens.top(), Screen::Run(RUN), "nothing is searched for");
            assert_eq!(typed(&script), "mended by the rota");
            script.sees("Done by hand: mended by the rota");
            if !brackets {
                script.key(Key::Tab);
                script.burst("twice, to be sure");
                script.sees("Done by hand: mended by the rota twice, to be sure");
            }
        }
    }
}

#[test]
fn what_confirms_is_typed_in_its_field_and_an_id_is_looked_up_from_beside_it() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    let plan = |script: &mut Script| script.state.tasks.get_mut(RUN).and_then(|r| r.run.plan.clone()).expect("a plan");
    let mut asks = plan(&mut script);
    asks.typed = Some("restart".into());
    let model = script.state.tasks.get_mut(RUN).expect("the run");
    model.run.plan = Some(asks);
    model.aside = true;
    script.burst("restart");
    script.seconds(1);
    assert_eq!(script.state.screens.top(), Screen::Run(RUN));
    script.sees("Not taken: what confirms is typed in its field");
    assert_eq!(script.state.tasks.get(RUN).expect("the run").typed.text(), "");
    script.paste("cus_QxAbCdEf98d");
    assert_eq!(script.state.screens.top(), Screen::Customers);
}

#[test]
fn the_probe_is_asked_about_on_live_alone() {
    for live in [true, false] {
        let mut script = Script::connected(World::placeholder());
        let webhook_url = Some("https://acme.example/webhooks/stripe".to_string());
        let env = nightdesk::protocol::environment::Environment { production: live, webhook_url, ..environment() };
        script.event(Event::EnvironmentChanged(Box::new(env)));
        script.event(Event::AccountKnown { name: "acme".into(), livemode: live, database: "prod-primary".into() });
        script.key(Key::Char('6'));
        script.key(Key::Enter);
        let run = &script.state.tasks.runs.last().expect("it began").run;
        assert_eq!(run.procedure, "endpoint-down");
        let asks = matches!(&run.phase, Phase::Deciding(d) if d.id == "probe" && d.question.starts_with("May the endpoint be probed"));
        assert_eq!((asks, run.inputs.attested.contains_key("probe")), (live, !live), "live: {live}, {:?}", run.phase);
    }
}

#[test]
fn leaving_gives_up_a_draft_and_keeps_what_was_sent() {
    let mut script = review(World::placeholder());
    script.key(Key::Esc);
    assert!(script.state.tasks.runs.is_empty());
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    script.key(Key::Char('y'));
    script.key(Key::Esc);
    assert_eq!(script.state.tasks.runs.len(), 1);
}

#[test]
fn only_the_newest_reviews_that_were_left_for_another_pane_are_kept() {
    let mut script = review(World::placeholder());
    let more = |n: u128| Uuid::from_u128(RUN.as_u128() + n);
    for n in 1..=4 {
        script.keys("1");
        let (run, _) = Run::draft(more(n), "tier-update", Inputs::of(by_customer()));
        script.state.tasks.add(run);
        script.state.screens.open(Screen::Run(more(n)));
    }
    script.keys("1");
    script.event(Event::Ticked);
    let left: Vec<Uuid> = script.state.tasks.runs.iter().map(|r| r.run.id).collect();
    assert_eq!(left, [more(2), more(3), more(4)]);
}

#[test]
fn what_was_taken_up_and_left_again_stays_open() {
    let mut world = World::healthy();
    let mut left = super::panes::interrupted();
    (left.attempts, left.commands, left.state) = (Vec::new().into(), Vec::new().into(), nightdesk::protocol::record::RunState::Open);
    world.runs = vec![left.clone()];
    let mut script = Script::connected(world);
    script.seconds(3);
    script.silent = true;
    let effects = script.key(Key::Enter);
    assert!(effects.contains(&Effect::ResumeRun { run: left.run }), "{effects:?}");
    script.key(Key::Esc);
    assert_eq!(script.state.tasks.runs.len(), 1, "its lock is still to come");
    let effects = script.event(Event::RunOpened { run: left.run, result: Ok(()) });
    let closed = |e: &Effect| matches!(e, Effect::Record { entry: nightdesk::protocol::record::Entry::RunClosed { .. }, .. });
    assert!(!effects.iter().any(closed), "nobody has asked for its end: {effects:?}");
    assert_eq!(script.state.tasks.runs.len(), 1, "it waits here, and is gone back to");
}

#[test]
fn leaving_what_waits_for_a_step_by_hand_leaves_it_open_and_its_actions_end_it() {
    let mut script = by_hand();
    script.burst("set the secret");
    script.seconds(1);
    let opens = script.key(Key::Enter);
    assert!(opens.iter().any(|e| matches!(e, Effect::OpenRun { .. })), "{opens:?}");
    script.event(Event::RunOpened { run: RUN, result: Ok(()) });
    script.seconds(1);
    let model = script.state.tasks.get_mut(RUN).expect("the run");
    let plan = model.run.plan.as_mut().expect("its plan");
    (plan.steps, plan.typed) = (vec![Step::new("mend", StepKind::Manual, "mend", "Set the secret")], None);
    model.run.phase = Phase::Review;
    model.follow();
    script.event(Event::Painted);
    script.sees("Done by hand:");
    let left = script.key(Key::Esc);
    let closes = |e: &Effect| matches!(e, Effect::Record { entry: nightdesk::protocol::record::Entry::RunClosed { .. }, .. });
    assert!(!left.iter().any(closes), "{left:?}");
    assert!(script.state.tasks.get(RUN).is_some_and(|m| m.run.is_open()), "it waits");
    script.state.screens.open(Screen::Run(RUN));
    script.event(Event::Painted);
    script.key(Key::Tab);
    script.key(Key::Char('a'));
    script.sees("give it up for good");
    script.key(Key::Char('x'));
    script.keys("somebody else has it");
    script.event(Event::Painted);
    script.seconds(1);
    let effects = script.key(Key::Enter);
    assert!(effects.iter().any(|e| matches!(e, Effect::GiveUpRun { run: RUN, .. })), "{effects:?}");
    script.event(Event::RunGivenUp { run: RUN, result: Ok(nightdesk::protocol::record::Closed::Abandoned) });
    assert!(!script.state.tasks.get(RUN).is_some_and(|m| m.run.is_open()));
}

#[test]
fn of_finished_runs_only_the_newest_are_kept() {
    let mut tasks = nightdesk::console::State::new(nightdesk::console::widgets::theme::Theme::mono(), now()).tasks;
    for n in 0..30 {
        let (mut run, _) = Run::draft(Uuid::from_u128(n), "tier-update", Inputs::of(by_customer()));
        if n != 3 {
            run.phase = Phase::Done("proven".into());
        }
        tasks.add(run);
    }
    let kept: Vec<u128> = tasks.runs.iter().map(|r| r.run.id.as_u128()).collect();
    assert_eq!(kept.len(), 21);
    assert!(kept.contains(&3), "what goes on stays, however old");
    assert!(!kept.contains(&9) && kept.contains(&10));
}

#[test]
fn a_journal_that_cannot_be_written_is_said_before_y() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    script.does_not_see("store");
    let full = Fault::new(Source::Store, FaultKind::Journal, "The journal's disk is full");
    for _ in 0..3 {
        script.event(Event::SourceReported { source: Source::Store, result: Err(full.clone()) });
    }
    script.sees("store DOWN").sees("cannot be journaled: The journal's disk is full");
    script.key(Key::Char('y'));
    assert_eq!(performs(&script.effects), 0);
    // The shared store's silence stops nobody: its records wait here.
    let silent = Fault::new(Source::Store, FaultKind::Unreachable, "The shared store cannot be reached");
    script.event(Event::SourceReported { source: Source::Store, result: Err(silent) });
    script.key(Key::Char('y'));
    assert_eq!(performs(&script.effects), 1);
}

#[test]
fn from_a_paste_to_a_proven_repair_in_five_keys_and_a_reason() {
    for bracketed in [true, false] {
        let mut script = Script::connected(World::placeholder());
        // 1: the paste. 2: the answer.
        if bracketed {
            script.paste(CUSTOMER)
        } else {
            script.burst(CUSTOMER)
        };
        assert_eq!(script.state.screens.top(), Screen::Customers);
        script.sees(CUSTOMER);
        script.key(Key::Enter);
        script.sees("Paid in Stripe, FREE in the app");
        // 3: the review. 4: writes, with a reason. 5: done.
        script.key(Key::Char('f'));
        script.sees("Link, then copy five fields from Stripe").sees("turns writes on, for a reason");
        script.key(Key::Char('w'));
        script.keys("ticket 4411");
        script.key(Key::Enter);
        assert_eq!(performs(&script.effects), 0);
        script.key(Key::Char('y'));
        assert_eq!(performs(&script.effects), 1);
        script.sees(" DONE  The row equals Stripe, and the app enforces PRO.");
        script.key(Key::Esc);
        script.sees("PRO until").does_not_see("FREE in the app");
    }
}

#[test]
fn a_runs_screen_and_the_frame_fit_every_size() {
    let mut script = review(World::placeholder());
    for (columns, rows) in [(60, 20), (80, 24), (100, 30), (120, 36), (250, 80)] {
        let screen = script.screen_at(columns, rows);
        assert!(screen.contains("turns writes on") && screen.contains("? keys"), "{screen}");
    }
}

#[test]
fn what_becomes_of_a_run_beside_its_steps_stands_on_its_screen_and_in_its_evidence() {
    let mut script = review(World::placeholder());
    let say = "no lease: the shared store did not answer";
    for _ in 0..2 {
        script.event(Event::RunNoted { run: RUN, say: say.into() });
    }
    script.sees("No lease: the shared store did not answer.");
    let run = &script.state.tasks.get(RUN).expect("the run").run;
    assert_eq!(run.plan.as_ref().expect("a plan").evidence.iter().filter(|e| *e == say).count(), 1);
    assert_eq!(run.note.as_deref().map(|n| n.matches("lease").count()), Some(1), "said once");
    // One that is not here any more.
    script.event(Event::RunNoted { run: Uuid::from_u128(9), say: "its end is journaled by now".into() });
    script.sees("Run 0009: its end is journaled by now");
}
