//! The review that ends sessions, from the pool's pane: confirmed by its count, watched, and with a warning for healthy ones.

use super::pool::{healthy, night, open};
use crate::panes_desk::Desk;
use chrono::TimeDelta;
use nightdesk::domain::fault::Source;
use nightdesk::domain::policy::Writes;
use nightdesk::domain::sessions::State;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;
use nightdesk::protocol::run::Performed;

/// Plays the outside for the run on screen: it is opened, and each session ends that is to.
fn carry_out(desk: &mut Desk) {
    for _ in 0..12 {
        for effect in std::mem::take(&mut desk.effects) {
            match effect {
                Effect::OpenRun { run, .. } => desk.event(Event::RunOpened { run, result: Ok(()) }),
                Effect::Perform(perform) => {
                    let Command::EndSession { session, .. } = &perform.command else { panic!("{:?}", perform.command) };
                    let pool = desk.world.pool.as_mut().expect("it answers");
                    pool.sessions.retain(|s| s.id() != Some(*session));
                    pool.room.used -= 1;
                    // Who waits for nobody any more goes on, and whoever waited for them.
                    let mut free = vec![session.pid];
                    while let Some(gone) = free.pop() {
                        for s in pool.sessions.iter_mut().filter(|s| s.blocked_by.contains(&gone)) {
                            s.blocked_by.retain(|pid| *pid != gone);
                            if s.blocked_by.is_empty() {
                                (s.wait, s.state) = (None, Some(State::Idle));
                                free.push(s.pid);
                            }
                        }
                    }
                    let outcome = Outcome::done("ended".into());
                    desk.event(Event::Performed(Performed { attempt: perform.attempt, outcome, unrecorded: None }));
                }
                _ => {}
            }
        }
        desk.settle();
        desk.pass(1);
    }
}

fn writes_on(desk: &mut Desk) {
    let until = desk.at + TimeDelta::minutes(15);
    desk.event(Event::WritesChanged(Writes::On { until, reason: "ticket 4411".into() }));
    desk.wait(1_000);
    desk.event(Event::Painted);
    desk.wait(1_000);
}

#[test]
fn what_leaks_is_ended_from_the_pane_in_a_review_that_no_key_confirms() {
    let mut desk = open(night());
    desk.keys("f");
    desk.settle();
    desk.snapshot("pool_review");
    desk.expect("End 3 sessions of report-worker, which sit idle in a transaction");
    desk.expect("w turns writes on");
    writes_on(&mut desk);
    desk.keys("y2");
    desk.key(Key::Enter);
    assert!(!desk.effects.iter().any(|e| matches!(e, Effect::OpenRun { .. } | Effect::Perform(_))), "not the count");
    desk.key(Key::Backspace);
    desk.key(Key::Backspace);
    desk.keys("3");
    desk.key(Key::Enter);
    desk.settle();
    carry_out(&mut desk);
    desk.snapshot("pool_settings");
    desk.expect("3 of 3 sessions let go.");
    desk.expect("Nobody waits for a lock: 35 of 97 connections are taken.");
    desk.wait(1_000);
    desk.event(Event::Painted);
    desk.wait(1_000);
    desk.key(Key::Char('j'));
    desk.key(Key::Enter);
    carry_out(&mut desk);
    desk.snapshot("pool_watch");
    desk.expect("what leaks anew is offered here");
    desk.keys("a");
    desk.expect("end the watch here");
    desk.keys("x");
    desk.expect("watched to the end.");
    assert_eq!(desk.shown().matches("sessions let go").count(), 1, "the end says it, and nothing says it again: {}", desk.shown());
}

#[test]
fn the_marked_are_ended_healthy_ones_with_a_warning() {
    let mut desk = open(healthy());
    desk.keys("f");
    desk.expect("no session leaks: Space marks what is to be ended");
    desk.key(Key::Enter);
    desk.keys("  f");
    desk.settle();
    desk.expect("End 2 sessions of api, idle in a pool");
    desk.snapshot("pool_review_marked");
    assert!(desk.screen(120, 36).contains("WARNING: 2 idle connections of api"), "{}", desk.screen(120, 36));
}

#[test]
fn sessions_are_ended_while_stripe_is_silent() {
    let mut desk = open(night());
    desk.world.down = vec![Source::Stripe];
    desk.pass(40);
    desk.keys("f");
    desk.settle();
    writes_on(&mut desk);
    desk.keys("3");
    desk.key(Key::Enter);
    desk.settle();
    assert!(desk.effects.iter().any(|e| matches!(e, Effect::OpenRun { .. })), "{}", desk.shown());
}
