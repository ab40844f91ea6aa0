//! The plan from sessions made by hand: whom it ends, whom it leaves and why, and what follows once they are gone.

use super::*;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::policy::Tier;
use crate::domain::sessions::tests::{now, session};
use crate::domain::sessions::{Kind, Ours, Room, Session, Sight, State};
use crate::domain::tiers::TierRules;
use crate::protocol::command::Command;
use crate::protocol::environment::{Offers, Writer};
use crate::protocol::run::{Ran, ShownSession, StepKind, StepState};
use chrono::{Duration, TimeDelta};

fn env(restart_app: bool) -> Environment {
    Environment {
        name: "prod".into(),
        production: true,
        operator: "ada".into(),
        tiers: TierRules::default(),
        writer: Writer::Sql,
        set_up: [Source::Stripe, Source::Database].into(),
        sandbox: false,
        webhook_url: None,
        offers: Offers { restart_app, ..Offers::default() },
        contacts: Vec::new(),
    }
}

fn leak(pid: i32, seconds: i64) -> Session {
    let since = Some(now() - TimeDelta::seconds(seconds));
    let state = Some(State::IdleInTransaction);
    Session { application: "report-worker".into(), state, state_change: since, xact_start: since, ..session(pid) }
}

fn waiter(pid: i32, blocked_by: &[i32]) -> Session {
    let wait = Some(("Lock".into(), "transactionid".into()));
    let blocked_by = blocked_by.to_vec();
    Session { application: "checkout".into(), state: Some(State::Active), wait, blocked_by, ..session(pid) }
}

fn activity(sessions: Vec<Session>) -> Activity {
    let used = u32::try_from(sessions.len()).expect("few");
    Activity {
        at: now(),
        database: "app".into(),
        sessions,
        room: Room { max_connections: 100, superuser_reserved: 3, reserved: 0, used, limits: Vec::new() },
        sight: Sight { superuser: false, reads_all: true, signals: true, lacking: Vec::new() },
        standby: false,
        version: 150_018,
    }
}

/// Three leaks that hold what three wait for, and fourteen healthy idle ones.
fn night() -> Vec<Session> {
    let mut all: Vec<Session> = (100..114).map(session).collect();
    all.extend([leak(1, 840), leak(2, 540), leak(3, 31), waiter(11, &[2]), waiter(12, &[2]), waiter(13, &[1])]);
    all
}

fn answers(activity: Activity, inputs: &Inputs) -> Answers {
    let mut answers = Answers::default();
    loop {
        let wanted = PoolExhausted.reads(inputs, &answers);
        if wanted.is_empty() {
            return answers;
        }
        for query in wanted {
            let reply = match &query {
                Query::Activity => Reply::Activity(Box::new(activity.clone())),
                Query::SessionTexts(ids) => Reply::SessionTexts(ids.iter().map(|id| (*id, "SELECT $1".to_string())).collect()),
                other => panic!("asks {other:?}"),
            };
            answers.put(query, Ok(reply), now());
        }
    }
}

fn planned(sessions: Vec<Session>, inputs: &Inputs) -> Result<Plan, Refusal> {
    let answers = answers(activity(sessions), inputs);
    PoolExhausted.plan(inputs, &answers, &env(false), now())
}

fn refused(sessions: Vec<Session>, inputs: &Inputs) -> String {
    match planned(sessions, inputs) {
        Err(Refusal::Because(say) | Refusal::AlreadyRight(say)) => say,
        other => panic!("{other:?}"),
    }
}

fn ended(plan: &Plan) -> Vec<i32> {
    let pid = |c: &&Command| if let Command::EndSession { session, .. } = c { session.pid } else { panic!("{c:?}") };
    plan.commands().iter().map(pid).collect()
}

fn these(sessions: &[Session], pids: &[i32]) -> Inputs {
    let all = activity(sessions.to_vec());
    let these = pids.iter().map(|p| shown(all.get(*p).expect("it is there"), &all).expect("it is seen")).collect();
    Inputs::about(Selection::Sessions { these, chosen: true })
}

/// The run has ended its sessions a moment ago.
fn acted(inputs: Inputs, seconds: i64) -> Inputs {
    let ended = match &inputs.selection {
        Some(Selection::Sessions { these, .. }) => these.len(),
        _ => 0,
    };
    Inputs { acted: Some(now() - Duration::seconds(seconds)), ended, ..inputs }
}

#[test]
fn those_that_leak_are_recommended_and_no_healthy_one() {
    let plan = planned(night(), &Inputs::default()).expect("a plan");
    assert_eq!(ended(&plan), [2, 1, 3], "the one that most wait for goes first");
    assert_eq!((plan.tier(), plan.typed.as_deref()), (Tier::T2, Some("3")));
    assert_eq!(plan.pace.map(|p| p.canary), Some(1));
    assert_eq!(plan.summary, "End 3 sessions of report-worker, which sit idle in a transaction");
    assert!(plan.blast.starts_with("3 connections · 3 that wait go on · "), "{}", plan.blast);
    let notes = plan.notes.join("\n");
    assert!(notes.contains("The runbook's query would end 14 sessions (14 healthy in pools), and leave the 3 that leak."), "{notes}");
    assert!(notes.contains("57P01") && notes.contains("handles no error"), "{notes}");
    assert!(
        plan.evidence[0]
            .starts_with("process 2: report-worker, role app, 10.0.0.3, idle in transaction for 9 min, 2 wait for it; last: SELECT $1")
    );
    assert!(plan.machine.join("\n").contains("pid = 2 AND backend_start = "), "{:?}", plan.machine);
    let Command::EndSession { states, at_least_ms, reach, .. } = plan.commands()[0] else { panic!("no session") };
    assert_eq!((states.as_slice(), *at_least_ms, reach.other_databases), (&[State::IdleInTransaction][..], 540_000, false));
}

#[test]
fn one_is_named_by_its_process_id() {
    let plan = planned(vec![leak(43_217, 60), session(5)], &Inputs::default()).expect("a plan");
    assert_eq!(plan.typed.as_deref(), Some("3217"));
}

#[test]
fn the_healthy_are_ended_only_where_they_are_chosen_and_with_a_warning() {
    let plan = planned(night(), &these(&night(), &[100, 101])).expect("a plan");
    assert_eq!(ended(&plan), [100, 101]);
    let warning = plan.notes.iter().find(|n| n.starts_with("WARNING: 2 idle connections of api")).expect("a warning");
    assert!(warning.contains("pool.on('error')") && warning.contains("exits"), "{warning}");
}

#[test]
fn what_did_something_since_it_was_shown_is_left_and_what_ended_is_told() {
    let before = night();
    let inputs = these(&before, &[1, 2, 3]);
    let mut after: Vec<Session> = before.into_iter().filter(|s| s.pid != 3).collect();
    after.iter_mut().find(|s| s.pid == 1).expect("there").state_change = Some(now() - TimeDelta::seconds(40));
    let plan = planned(after.clone(), &inputs).expect("a plan");
    assert_eq!(ended(&plan), [2]);
    let notes = plan.notes.join("\n");
    assert!(notes.contains("Process 1 has done something since it was shown, and is left alone."), "{notes}");
    assert!(notes.contains("1 session ended by itself since."), "{notes}");
    // Its number is another session's now.
    after.iter_mut().find(|s| s.pid == 2).expect("there").began = Some(now() - TimeDelta::minutes(1));
    let say = refused(after, &inputs);
    assert!(say.starts_with("Nothing was ended. Process 1 has") && say.contains("2 sessions ended by themselves since."), "{say}");
}

#[test]
fn what_was_chosen_lives_and_has_moved_on_is_a_refusal() {
    let before = night();
    let mut after = before.clone();
    after.iter_mut().find(|s| s.pid == 1).expect("there").state_change = Some(now() - TimeDelta::seconds(2));
    let refused = planned(after.clone(), &these(&before, &[1]));
    let Err(Refusal::Because(say)) = refused else { panic!("{refused:?}") };
    assert!(say.starts_with("Nothing was ended. Process 1 has done something since it was shown, and is left alone."), "{say}");
    // Nobody chose those that leaked: they leak no more, and that is all that was wanted.
    let Some(Selection::Sessions { these, .. }) = these(&before, &[1]).selection else { panic!("chosen") };
    let recommended = Inputs::about(Selection::Sessions { these, chosen: false });
    assert!(matches!(planned(after, &recommended), Err(Refusal::AlreadyRight(_))));
}

#[test]
fn each_of_whom_none_may_be_ended_says_why() {
    type Change = fn(&mut Session);
    let cases: [(&str, Change); 7] = [
        ("it is this console's own connection", |s| s.ours = Ours::This),
        ("it is a console's", |s| s.ours = Ours::Console),
        ("a replica or a change feed hangs on it", |s| s.kind = Some(Kind::Walsender)),
        ("it is the server's own process (autovacuum worker)", |s| s.kind = Some(Kind::Internal("autovacuum worker".into()))),
        ("only a superuser may end it", |s| s.superuser = true),
        ("that takes pg_signal_backend: grant it to our role", |s| s.may_signal = false),
        ("pg_monitor would show its start", |s| s.began = None),
    ];
    for (words, change) in cases {
        let mut sessions = vec![leak(1, 600), waiter(11, &[1])];
        let chosen = these(&sessions, &[1]);
        change(&mut sessions[0]);
        // Where it is hidden, nothing tells it from a later one with its number.
        let say = if sessions[0].began.is_none() { refused(sessions, &Inputs::default()) } else { refused(sessions, &chosen) };
        assert!(say.contains(words) || say.contains("hidden from our role"), "{words}: {say}");
    }
}

#[test]
fn another_database_s_sessions_are_left_unless_they_are_chosen() {
    let mut sessions = vec![leak(1, 600), leak(2, 600)];
    sessions[1].database = Some("crm".into());
    let plan = planned(sessions.clone(), &Inputs::default()).expect("a plan");
    assert_eq!(ended(&plan), [1]);
    assert!(
        plan.notes.iter().any(|n| n == "Left alone, process 2: it works in another database, crm, which was not chosen."),
        "{:?}",
        plan.notes
    );
    let plan = planned(sessions.clone(), &these(&sessions, &[2])).expect("a plan");
    assert!(matches!(plan.commands()[0], Command::EndSession { reach, .. } if reach.other_databases));
}

#[test]
fn a_superuser_s_session_is_never_recommended_and_ended_only_where_it_is_chosen() {
    let mut there = activity(vec![leak(1, 600), Session { superuser: true, ..leak(2, 600) }]);
    there.sight.superuser = true;
    let by = |inputs: &Inputs, there: &Activity| PoolExhausted.plan(inputs, &answers(there.clone(), inputs), &env(false), now());
    let plan = by(&Inputs::default(), &there).expect("a plan");
    assert_eq!(ended(&plan), [1]);
    let why = "Left alone, process 2: it is a superuser's, and is ended only where it is chosen.";
    assert!(plan.notes.iter().any(|n| n == why), "{:?}", plan.notes);
    assert_eq!(ended(&by(&these(&there.sessions, &[2]), &there).expect("a plan")), [2]);
    there.sessions.remove(0);
    assert!(matches!(by(&Inputs::default(), &there), Err(Refusal::Because(say)) if say.contains(why)));
}

#[test]
fn a_standby_an_older_version_and_a_blind_role_are_told() {
    let mut there = activity(night());
    there.standby = true;
    there.sight.lacking = vec!["backend_type".into()];
    there.version = 90_624;
    let inputs = Inputs::default();
    let plan = PoolExhausted.plan(&inputs, &answers(there, &inputs), &env(false), now()).expect("a plan");
    let notes = plan.notes.join("\n");
    assert!(notes.contains("This is a standby") && notes.contains("A server of version 9.6"), "{notes}");
    let blind = |s: Session| Session { began: None, kind: None, state: None, state_change: None, query_start: None, wait: None, ..s };
    let say = refused(night().into_iter().map(blind).collect(), &inputs);
    assert!(say.contains("hidden from our role") && say.contains("pg_monitor"), "{say}");
}

#[test]
fn a_database_that_does_not_answer_is_a_refusal() {
    let mut answers = Answers::default();
    answers.put(Query::Activity, Err(Fault::new(Source::Database, FaultKind::Unreachable, "Connection refused")), now());
    let refused = PoolExhausted.plan(&Inputs::default(), &answers, &env(false), now());
    assert_eq!(refused.err(), Some(Refusal::Because("Connection refused".into())));
}

#[test]
fn a_quiet_pool_needs_nothing() {
    assert!(refused(vec![session(1)], &Inputs::default()).starts_with("No session leaks."));
}

#[test]
fn what_was_reviewed_stays_what_it_was_while_more_leak() {
    let inputs = Inputs::default();
    let reviewed = planned(night(), &inputs).expect("a plan");
    let pinned = PoolExhausted.pin(&inputs, &answers(activity(night()), &inputs));
    let mut more = night();
    more.push(leak(4, 90));
    let again = planned(more.clone(), &pinned).expect("a plan");
    assert_eq!(again.digest(), reviewed.digest());
    // Once those are gone, the new one is next.
    more.retain(|s| ![1, 2, 3, 11, 12, 13].contains(&s.pid));
    let next = planned(more.clone(), &acted(pinned.clone(), 30)).expect("a plan");
    assert_eq!(ended(&next), [4]);
    let by_itself = |plan: &Plan| plan.notes.iter().filter(|n| n.contains("ended by") || n.contains("gone.")).cloned().collect::<Vec<_>>();
    assert_eq!(by_itself(&next), Vec::<String>::new(), "this run has ended them");
    let two = Inputs { ended: 2, ..acted(pinned.clone(), 30) };
    assert_eq!(by_itself(&planned(more.clone(), &two).expect("a plan")), ["1 more session that was shown is gone."]);
    // Where they were chosen one by one, nobody else is added.
    let Some(Selection::Sessions { these, .. }) = pinned.selection else { panic!("pinned") };
    let chosen = acted(Inputs::about(Selection::Sessions { these, chosen: true }), 30);
    assert!(matches!(planned(more, &chosen), Err(Refusal::Decide(_))));
}

#[test]
fn settings_are_to_be_copied_with_their_sums_and_a_restart_follows_only_a_change() {
    let inputs = acted(these(&night(), &[1, 2, 3]), 30);
    let healthy: Vec<Session> = (100..114).map(session).collect();
    let Err(Refusal::Decide(decision)) = planned(healthy.clone(), &inputs) else { panic!("not asked") };
    assert!(decision.question.starts_with("Nobody waits for a lock: 14 of 97 connections are taken."), "{}", decision.question);
    let told: Vec<_> = decision.options.iter().map(|o| (o.value.as_str(), o.evidence.as_str())).collect();
    assert_eq!(told[1], ("timeout", "ALTER ROLE app SET idle_in_transaction_session_timeout = '60s';"));
    assert_eq!(told[2], ("limit", "ALTER ROLE app CONNECTION LIMIT 88;"));
    // The sums fit, and a leak was the cause: a larger pool would be held as well.
    assert_eq!(told[3], ("pool", "idleTimeoutMillis: 30000, connectionTimeoutMillis: 2000"));
    // Two of those that are there, and the one that was ended and connects again.
    assert!(decision.options[3].say.contains("fit (3 pools × 10 = 30 of 97): leave max as it is."), "{}", decision.options[3].say);

    let say = |setting: &str| {
        let mut inputs = inputs.clone();
        inputs.attested.insert(SETTING.into(), setting.into());
        inputs
    };
    let watch = planned(healthy.clone(), &say(NO_SETTING)).expect("a watch");
    assert!(watch.commands().is_empty() && watch.next_manual().is_none());
    // They were chosen one by one: what leaks anew is not offered.
    assert!(watch.waits().expect("it waits").say.ends_with("10 min more."), "{watch:?}");

    let by_hand = planned(healthy.clone(), &say("timeout")).expect("a restart");
    assert_eq!(by_hand.next_manual().map(|s| s.id.as_str()), Some("restart"));
    let by_command = PoolExhausted.plan(&say("pool"), &answers(activity(healthy.clone()), &inputs), &env(true), now()).expect("a restart");
    assert_eq!(by_command.typed.as_deref(), Some("restart"));
    assert!(matches!(by_command.commands()[..], [Command::RunHook { hook }] if hook == "restart_app"));
    let restarted = Inputs { ran: Ran::Done, ..say("pool") };
    let watch = planned(healthy.clone(), &restarted).expect("a watch");
    assert!(watch.waits().is_some() && watch.steps.iter().any(|s| s.id == "restart" && s.state == StepState::Passed));

    // Its command failed: whether it restarted is for somebody to look at, and it is not run again.
    let unsure = Inputs { ran: Ran::Unknown, ..say("pool") };
    let look = PoolExhausted.plan(&unsure, &answers(activity(healthy.clone()), &inputs), &env(true), now()).expect("a look");
    assert!(look.commands().is_empty() && look.typed.is_none());
    let step = look.next_manual().expect("by hand");
    assert!(step.id == "restarted" && step.say.starts_with("Nobody knows whether it restarted"), "{step:?}");
    let mut seen = unsure;
    seen.attested.insert("restarted".into(), "its pods are new".into());
    assert!(planned(healthy.clone(), &seen).expect("a watch").waits().is_some());

    let over = acted(say(NO_SETTING), 601);
    let Err(Refusal::AlreadyRight(say)) = planned(healthy, &over) else { panic!("not over") };
    assert!(say.starts_with("3 sessions let go, and it was watched for 10 minutes. Nobody waits"), "{say}");
    // Two of them had gone by themselves before a signal was sent.
    let one = Inputs { ended: 1, ..over };
    let told = refused((100..114).map(session).collect(), &one);
    assert!(told.starts_with("1 session let go, and it was watched"), "{told}");
}

#[test]
fn pools_that_do_not_fit_are_made_smaller_and_only_one_that_is_all_at_work_larger() {
    let options = |sessions: Vec<Session>, inputs: &Inputs| match planned(sessions, inputs) {
        Err(Refusal::Decide(decision)) => decision.options.into_iter().map(|o| (o.value, o.say, o.evidence)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let pool = |options: &[(String, String, String)]| options.iter().find(|o| o.0 == "pool").expect("offered").2.clone();
    let ended = acted(these(&night(), &[1, 2, 3]), 30);
    let many: Vec<Session> = (0..12).map(|n| Session { client: Some(format!("10.0.1.{n}").as_str().into()), ..session(200 + n) }).collect();
    assert!(pool(&options(many, &ended)).starts_with("max: 6, "), "13 pools");

    // No leak was ended, and the pool is all at work on a server with room.
    let at_work: Vec<Session> = (200..210).map(|pid| Session { state: Some(State::Active), ..session(pid) }).collect();
    let idle = acted(these(&night(), &[100]), 30);
    let told = options(at_work.clone(), &idle);
    assert!(pool(&told).starts_with("max: 20, "), "{told:?}");
    assert!(told.iter().all(|o| o.0 != "timeout"), "nobody leaked");
    assert!(!pool(&options(at_work, &ended)).contains("max:"), "a leak was the cause");
}

#[test]
fn what_waited_is_given_a_moment_to_go_on() {
    let chosen = these(&night(), &[1]);
    let still: Vec<Session> = vec![session(100), waiter(11, &[50]), Session { wait: None, ..waiter(50, &[]) }];
    assert_eq!(refused(still.clone(), &acted(chosen.clone(), 1)), "1 session waits for a lock still.");
    let mut told = acted(chosen.clone(), 0);
    told.attested.insert(SETTING.into(), NO_SETTING.into());
    assert!(planned(still.clone(), &told).expect("a watch").waits().is_some(), "what was asked is not taken back");
    let Err(Refusal::Decide(decision)) = planned(still, &acted(chosen, 6)) else { panic!("not asked") };
    assert!(decision.question.starts_with("1 session waits for a lock: "), "{}", decision.question);
}

#[test]
fn the_act_is_proven_by_the_session_and_kept_by_its_start() {
    let plan = planned(night(), &Inputs::default()).expect("a plan");
    let acts: Vec<_> = plan.steps.iter().filter(|s| s.kind == StepKind::Act).collect();
    assert!(acts.iter().all(|s| s.expect.is_some() && s.undo.is_none()));
    let one = ShownSession { at_least_ms: 1, ..shown(&leak(1, 60), &activity(vec![])).expect("seen") };
    assert_eq!(one.since, now() - TimeDelta::seconds(60));
}

#[test]
fn what_a_stage_has_done_is_told_by_who_is_gone_and_who_goes_on() {
    let confirmed = planned(night(), &Inputs::default()).expect("a plan");
    let said = |sessions: Vec<Session>| {
        let inputs = Inputs::default();
        PoolExhausted.achieved(&confirmed, &answers(activity(sessions), &inputs))
    };
    let freed = |pid: i32| Session { blocked_by: Vec::new(), wait: None, ..waiter(pid, &[]) };
    assert_eq!(said(vec![freed(11), freed(12), freed(13)]).as_deref(), Some("3 sessions ended, 3 that waited go on."));
    // Another leak has come, for which one of them waits now.
    let still = vec![freed(11), freed(12), leak(4, 90), waiter(13, &[4])];
    assert_eq!(said(still).as_deref(), Some("3 sessions ended, 2 of 3 that waited go on."));
    assert_eq!(said(night()), None, "nothing was ended");
}
