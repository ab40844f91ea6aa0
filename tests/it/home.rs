//! Home tells what is true now: after a repair, beside other findings, and of sources that are gone.

use super::console_review::{review, writes_on};
use super::fixtures::*;
use super::panes::findings::unserved;
use super::script::*;
use chrono::Duration;
use nightdesk::console::screen::Screen;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::row::{Field, Record};
use nightdesk::domain::webhooks::probe::Probed;
use nightdesk::procedures::engine::Phase;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::event::Event;
use nightdesk::protocol::freshness::Health;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::protocol::record::{Closed, RunState, RunSummary};
use nightdesk::protocol::run::Attempt;
use nightdesk::protocol::ticket::{Slot, Ticket};
use uuid::Uuid;

/// The whole account was compared, and Home is on screen.
fn compared(world: World) -> Script {
    let mut script = Script::connected(world);
    script.keys("2");
    script.key(Key::Tab);
    script.key(Key::Tab);
    script.key(Key::Enter);
    script.seconds(5);
    script.keys("1");
    script.seconds(1);
    script
}

#[test]
fn what_a_run_has_put_right_is_no_finding_any_more() {
    let mut world = World::empty();
    [8, 9].into_iter().for_each(|n| unserved(&mut world, n, 60 * 24 * 9));
    world.events.clear();
    let mut script = compared(world);
    script.sees("2 customers paid and are not served");
    script.paste("cus_Number000008");
    script.seconds(1);
    script.key(Key::Enter);
    script.seconds(1);
    script.keys("f");
    writes_on(&mut script);
    script.keys("y");
    let Screen::Run(run) = script.state.screens.top() else { panic!("{:?}", script.state.screens.top()) };
    let phase = script.state.tasks.get(run).map(|r| r.run.phase.clone());
    assert!(matches!(phase, Some(Phase::Done(_))), "{phase:?}");
    let scan = script.state.world.drift.scan().expect("it was compared");
    assert_eq!(scan.found().len(), 1, "compared again at once, without a new scan");
    assert!(!scan.is_under_way());
    while script.state.screens.top() != Screen::Home {
        script.key(Key::Esc);
    }
    script.seconds(1);
    script.sees("1 customer paid and is not served");
    script.does_not_see("2 customers");
}

/// A run of another console, or of the command line, that has copied these rows; what it wrote is known where its payloads are here.
fn copied(world: &World, these: &[&str], payloads: bool) -> RunSummary {
    let run = Uuid::from_u128(0x7f3a);
    let of = |customer: &&str| {
        let held = |r: &&Record| r.row.as_ref().and_then(|r| r.text(Field::Customer)) == Some(*customer);
        let subject = world.records.iter().find(held).expect("a row").subject.key.clone();
        payloads.then(|| (Command::ResyncByHttp { subject, customer: (*customer).into() }, None))
    };
    let attempt = |n: usize| Attempt { run, step: format!("apply-{n}"), attempt: 1 };
    RunSummary {
        run,
        procedure: "drift-fix".into(),
        operator: "eve".into(),
        opened: now(),
        last: now() + Duration::seconds(1),
        inputs: None,
        who: None,
        state: RunState::Closed(Closed::Done),
        attempts: (0..these.len()).map(|n| (attempt(n), Some(Outcome::done(String::new())))).collect(),
        commands: these.iter().map(of).collect(),
        subject: None,
        undoes: None,
        proven: Vec::new(),
        held: false,
    }
}

#[test]
fn what_another_console_has_put_right_is_no_finding_any_more_either() {
    for here in [true, false] {
        let mut world = World::empty();
        [8, 9].into_iter().for_each(|n| unserved(&mut world, n, 60 * 24 * 9));
        world.events.clear();
        let mut script = compared(world);
        script.sees("2 customers paid and are not served");
        let right = script.world.subscriptions[0].clone();
        let run = copied(&script.world, &[right.customer.as_str()], here);
        let theirs = |r: &&mut Record| r.row.as_ref().is_some_and(|row| row.text(Field::Customer) == Some(right.customer.as_str()));
        let record = script.world.records.iter_mut().find(theirs).expect("a record");
        record.row = Some(right_row(&record.subject.key.0, &right));
        if here {
            script.world.runs.push(run);
        } else {
            script.world.team.push(run);
        }
        script.seconds(32);
        let scan = script.state.world.drift.scan().expect("it was compared");
        assert_eq!(scan.found().len(), 1, "compared again without a new scan");
        script.sees("1 customer paid and is not served");
    }
}

#[test]
fn the_run_screen_says_what_is_true_after_the_confirmation_and_the_end_first() {
    let mut script = review(World::placeholder());
    writes_on(&mut script);
    script.silent = true;
    script.keys("y");
    script.sees("Confirmed. The facts are read once more");
    script.does_not_see("before you confirm");

    let mut script = review(World::placeholder());
    writes_on(&mut script);
    script.keys("y");
    let Screen::Run(run) = script.state.screens.top() else { panic!("a run") };
    script.state.tasks.get_mut(run).expect("the run").run.note = Some("The application was not heard.".into());
    let screen = script.screen();
    let (done, note) = (screen.find("DONE"), screen.find("The application was not heard"));
    assert!(done.is_some() && done < note, "{screen}");
}

#[test]
fn an_application_that_is_gone_stays_so_while_others_answer_beside_it() {
    let mut script = Script::connected(World::healthy());
    for _ in 0..3 {
        let fault = Fault::new(Source::Application, FaultKind::Unreachable, "connection refused");
        script.event(Event::SourceReported { source: Source::Application, result: Err(fault) });
    }
    let down = |script: &Script| script.state.world.context().health(Source::Application) == Health::Down;
    assert!(down(&script));
    let answers = [
        (Query::Deploys, Reply::Deploys(Vec::new())),
        (Query::Probe, Reply::Probed(Probed { url: "http://127.0.0.1:9/billing/webhooks/stripe".into(), shots: Vec::new() })),
    ];
    for (query, reply) in answers {
        let ticket = Ticket { slot: Slot::Probe, generation: 0 };
        script.event(Event::ReplyArrived { ticket, query, result: Ok(reply) });
        assert!(down(&script), "a list of deploys, or what a probe met, is none of its answers");
    }
}
