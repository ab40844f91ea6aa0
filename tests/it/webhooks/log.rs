//! A busy log: what explains a failure is read again, however far back it stands and whoever has read it before.

use super::same::by_a_replay;
use super::survey::Watch;
use crate::fixtures::*;
use crate::panes_desk::environment;
use chrono::Duration;
use nightdesk::domain::fault::{Fault, Source};
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::webhooks::cause::Cause;
use nightdesk::domain::webhooks::log::{Level, LogLine, LogSearch};
use nightdesk::protocol::query::{Query, Reply};

/// One customer whose change of 200 minutes ago was refused for its signature, and so many events that were processed in the hour before now.
fn refused(processed: u32) -> World {
    let mut world = World::empty();
    let mut s = subscription(SUBSCRIPTION, CUSTOMER);
    s.created = ago(600);
    let old = s.clone();
    s.cancel_at_period_end = true;
    let mut update = event("evt_Refused00001", "customer.subscription.updated", &s, ago(200));
    update.previous = Some(Box::new(old.clone()));
    let mut row = right_row(PROFILE, &old);
    row.image.insert(Field::UpdatedAt, Value::Time(ago(600)));
    world.customers.push(customer(CUSTOMER, None));
    world.records.push(record(PROFILE, None, Some(row)));
    world.events.push(update);
    world.subscriptions.push(s);
    world.logs = vec![line(ago(200) + Duration::seconds(1), Level::Error, "Webhook error: signature verification failed", None)];
    let busy = (0..processed).map(|n| {
        let at = ago(60) + Duration::milliseconds(i64::from(n) * 3_600_000 / i64::from(processed));
        line(at, Level::Info, "Webhook processed", Some(format!("evt_Busy{n:08}")))
    });
    world.logs.extend(busy);
    world
}

fn line(at: nightdesk::domain::At, level: Level, text: &str, id: Option<String>) -> LogLine {
    LogLine { at: Some(at), level: Some(level), text: text.into(), source: "app.log".into(), ids: id.into_iter().collect() }
}

/// As the logs are searched: so many from either end, and from when on none is lacking.
fn searched(logs: &[LogLine], search: &LogSearch) -> Reply {
    let limit = usize::try_from(search.limit).expect("few");
    let mut lines: Vec<LogLine> = logs.iter().filter(|l| l.at.is_some_and(|at| at >= search.since)).cloned().collect();
    let more = lines.len() > limit;
    if !search.oldest_first {
        lines.reverse();
    }
    lines.truncate(limit);
    let covers = if more { lines.last().and_then(|l| l.at).filter(|_| !search.oldest_first) } else { Some(search.since) };
    Reply::Logs { lines, complete: !more, covers, note: None }
}

fn answer(world: &World, query: &Query) -> Result<Reply, Fault> {
    match query {
        Query::Logs(search) => Ok(searched(&world.logs, search)),
        _ => world.answer(query),
    }
}

fn watch() -> Watch {
    let mut watch = Watch::new(now());
    watch.env.set_up.insert(Source::Log);
    watch
}

fn causes(watch: &Watch) -> Vec<Cause> {
    watch.survey.groups().iter().map(|g| g.cause).collect()
}

#[test]
fn a_new_process_names_the_cause_that_the_old_one_named() {
    for processed in [10, 6_000, 12_000] {
        let world = refused(processed);
        let mut watch = watch();
        for _ in 0..3 {
            watch.look(|q| Some(answer(&world, q)));
            watch.pass(1);
        }
        assert_eq!(causes(&watch), [Cause::BadSignature], "{processed} lines later");
        let searches = watch.asked.iter().filter(|q| matches!(q, Query::Logs(_))).count();
        assert!(searches <= 4, "{searches} for {processed} lines");
    }
}

#[test]
fn what_was_read_before_is_kept_when_newer_lines_crowd_it_out() {
    let (quiet, mut busy) = (refused(10), refused(6_000));
    // It is gone from the log itself meanwhile: rotated away.
    busy.logs.remove(0);
    let mut watch = watch();
    for world in [&quiet, &quiet, &quiet, &busy, &busy] {
        watch.look(|q| Some(answer(world, q)));
        watch.pass(16);
    }
    assert_eq!(causes(&watch), [Cause::BadSignature]);
}

#[test]
fn where_the_log_does_not_reach_back_that_is_said() {
    let mut world = refused(6_000);
    world.logs.remove(0);
    let mut watch = watch();
    for _ in 0..3 {
        watch.look(|q| Some(answer(&world, q)));
        watch.pass(1);
    }
    assert_eq!(causes(&watch), [Cause::Unknown]);
    let because = &watch.survey.groups()[0].because;
    assert!(because.contains("begins after it"), "{because}");
}

#[test]
fn a_replay_reads_as_far_back_as_its_events() {
    let world = refused(6_000);
    let mut env = environment();
    env.set_up.insert(Source::Log);
    assert_eq!(by_a_replay(&env, |q| answer(&world, q)), [Cause::BadSignature]);
}
