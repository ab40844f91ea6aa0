//! Since when nothing is applied: what is right without the application's doing neither ends the silence nor hides its beginning.

use super::survey::Watch;
use crate::fixtures::*;
use chrono::Duration;
use nightdesk::domain::fault::Source;
use nightdesk::domain::row::{Change, Field, Value};
use nightdesk::domain::stripe::{Status, Subscription};
use nightdesk::domain::webhooks::log::{Level, LogLine};
use nightdesk::procedures::survey::Survey;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::query::Query;
use nightdesk::protocol::record::{Closed, RunState, RunSummary};
use nightdesk::protocol::run::Attempt;
use uuid::Uuid;

/// Twelve customers, each with a change, five minutes apart from 100 minutes ago on. From the seventh on, 70 minutes ago, nothing came through.
struct Night {
    world: World,
    all: Vec<Subscription>,
    /// Whether a failure is answered with success.
    swallows: bool,
}

impl Night {
    fn fell(swallows: bool) -> Self {
        let mut world = World::empty();
        let mut all = Vec::new();
        for n in 0..12u32 {
            let cus = format!("cus_Silent{n:04}");
            let mut s = subscription(&format!("sub_Silent{n:08}"), &cus);
            s.created = ago(300);
            let old = s.clone();
            s.cancel_at_period_end = true;
            let at = ago(100 - i64::from(n) * 5);
            let mut row = right_row(&profile(n), if n < 6 { &s } else { &old });
            let written = if n < 6 { at + Duration::seconds(2) } else { ago(60 * 24 * 2) };
            row.image.insert(Field::UpdatedAt, Value::Time(written));
            world.customers.push(customer(&cus, None));
            world.records.push(record(&profile(n), None, Some(row)));
            let mut update = event(&format!("evt_Silent{n:04}"), "customer.subscription.updated", &s, at);
            update.previous = Some(Box::new(old));
            update.pending_webhooks = u32::from(n >= 6 && !swallows).into();
            world.events.insert(0, update);
            world.subscriptions.push(s.clone());
            all.push(s);
        }
        Self { world, all, swallows }
    }

    /// A change of the first customer's that no row has a field for, 20 minutes ago.
    fn changes_nothing(mut self) -> Self {
        let s = &self.all[0];
        let mut update = event("evt_Nothing0001", "customer.subscription.updated", s, ago(20));
        update.previous = Some(Box::new(s.clone()));
        update.pending_webhooks = u32::from(!self.swallows).into();
        self.world.events.insert(0, update);
        self
    }

    /// The ninth customer, whose event of 60 minutes ago came to nothing, was put right ten minutes ago.
    fn put_right(self) -> Self {
        self.puts_right(8)
    }

    fn puts_right(mut self, n: u32) -> Self {
        let at = n as usize;
        let mut row = right_row(&profile(n), &self.all[at]);
        row.image.insert(Field::UpdatedAt, Value::Time(ago(10)));
        self.world.records[at].row = Some(row);
        self
    }

    /// A console's run has copied these rows ten minutes ago, as the journal has it.
    fn copied_by_a_run(mut self, these: &[u32]) -> Self {
        let run = Uuid::from_u128(0x7f3a);
        let copy = |n: &u32| Command::ResyncByHttp { subject: key(&profile(*n)), customer: self.all[*n as usize].customer.to_string() };
        self.world.runs = vec![RunSummary {
            run,
            procedure: "failed-webhook".into(),
            operator: "oncall".into(),
            opened: ago(11),
            last: ago(10),
            inputs: None,
            who: None,
            state: RunState::Closed(Closed::Done),
            attempts: these.iter().map(|n| (attempt(run, *n), Some(Outcome::done(String::new())))).collect(),
            commands: these.iter().map(|n| Some((copy(n), None))).collect(),
            subject: None,
            undoes: None,
            proven: Vec::new(),
            held: false,
        }];
        these.iter().fold(self, |night, n| night.puts_right(*n))
    }

    /// Stripe never sent these: it owes no delivery of them.
    fn unsent(mut self, these: &[u32]) -> Self {
        for event in &mut self.world.events {
            if these.iter().any(|n| event.id.as_str() == format!("evt_Silent{n:04}")) {
                event.pending_webhooks = 0;
            }
        }
        self
    }

    /// No column says when a row was written.
    fn unstamped(mut self) -> Self {
        for row in self.world.records.iter_mut().filter_map(|r| r.row.as_mut()) {
            row.image.remove(&Field::UpdatedAt);
        }
        self
    }

    fn survey(&self) -> Survey {
        Watch::of(&self.world).survey
    }
}

fn attempt(run: Uuid, n: u32) -> Attempt {
    Attempt { run, step: format!("apply-{n}"), attempt: 1 }
}

fn profile(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn since(survey: &Survey) -> Option<(i64, bool)> {
    let silence = survey.series().silence.as_ref()?;
    Some(((now() - silence.since).num_minutes(), silence.at_least))
}

#[test]
fn what_had_nothing_to_change_or_was_put_right_by_somebody_does_not_end_it() {
    for swallows in [true, false] {
        assert_eq!(since(&Night::fell(swallows).survey()), Some((70, false)), "swallows {swallows}");
        assert_eq!(since(&Night::fell(swallows).changes_nothing().survey()), Some((70, false)), "swallows {swallows}");
        assert_eq!(since(&Night::fell(swallows).put_right().survey()), Some((70, false)), "swallows {swallows}");
        let both = Night::fell(swallows).put_right().changes_nothing().survey();
        assert_eq!(since(&both), Some((70, false)), "swallows {swallows}");
        let finding = both.silence_finding().expect("said");
        let began = ago(70).format("%H:%M");
        assert_eq!(finding.sentence, format!("Nothing Stripe sent was applied since {began}"));
        let seen = format!("last seen to apply one at {}", ago(75).format("%-d %b %H:%M:%SZ"));
        assert!(finding.evidence.iter().any(|l| l.contains(&seen)), "{finding:?}");
    }
}

#[test]
fn a_partial_repair_by_hand_moves_no_beginning_whoever_is_put_right_first() {
    for swallows in [true, false] {
        for n in 6..12 {
            // Of the oldest nothing tells that it had come to nothing, unless the journal has it.
            let began = if n == 6 { 65 } else { 70 };
            assert_eq!(since(&Night::fell(swallows).puts_right(n).survey()), Some((began, false)), "swallows {swallows}, {n}");
            assert_eq!(since(&Night::fell(swallows).copied_by_a_run(&[n]).survey()), Some((70, false)), "swallows {swallows}, {n}");
        }
        let newest = Night::fell(swallows).puts_right(11).puts_right(10).puts_right(9);
        assert_eq!(since(&newest.survey()), Some((70, false)), "swallows {swallows}");
    }
    // Two among those that were refused were never sent, and a run has copied them: nothing was delivered late.
    let copied = Night::fell(false).unsent(&[8, 11]).copied_by_a_run(&[8, 11]);
    assert_eq!(since(&copied.survey()), Some((70, false)));
    let mut unknown = Night::fell(false).unsent(&[8, 11]).copied_by_a_run(&[8, 11]);
    unknown.world.runs.clear();
    assert_eq!(since(&unknown.survey()), None, "without the journal it may be a late delivery");
}

#[test]
fn what_a_run_that_is_open_has_had_sent_again_moves_no_beginning() {
    for swallows in [true, false] {
        let mut night = Night::fell(swallows).copied_by_a_run(&[6, 7, 8]);
        let run = &mut night.world.runs[0];
        for (n, command) in [6, 7, 8].iter().zip(run.commands.iter_mut()) {
            let resent = Command::ResendEvent { event: id(&format!("evt_Silent{n:04}")), endpoint: id("we_Endpoint0001"), subject: None };
            *command = Some((resent, None));
        }
        run.state = RunState::Acted;
        for event in
            night.world.events.iter_mut().filter(|e| ["evt_Silent0006", "evt_Silent0007", "evt_Silent0008"].contains(&e.id.as_str()))
        {
            event.pending_webhooks = 0;
        }
        let survey = night.survey();
        assert_eq!(since(&survey), Some((70, false)), "swallows {swallows}: it is half done");
        assert_eq!(survey.series().totals().1, 6, "and counts as nobody's doing yet");
        night.world.runs[0].state = RunState::Closed(Closed::Done);
        let over = night.survey();
        assert_eq!(over.series().totals().1, 9, "afterwards it is the application's");
        if !swallows {
            assert_eq!(since(&over), None, "which works again");
        }
    }
}

#[test]
fn what_a_run_of_this_process_does_is_its_doing_before_the_journal_is_read() {
    let resend = |n: u32| Command::ResendEvent { event: id(&format!("evt_Silent{n:04}")), endpoint: id("we_Endpoint0001"), subject: None };
    let mut night = Night::fell(false).puts_right(7).puts_right(8);
    for event in night.world.events.iter_mut().filter(|e| ["evt_Silent0007", "evt_Silent0008"].contains(&e.id.as_str())) {
        event.pending_webhooks = 0;
    }
    let mut watch = Watch::of(&night.world);
    assert_eq!(since(&watch.survey), None, "two late deliveries");
    let run = Uuid::from_u128(0x7f3a);
    watch.survey.at_work(run, [resend(7), resend(8)].iter(), ago(11));
    watch.settle(&night.world);
    assert_eq!(since(&watch.survey), Some((70, false)));
    night.world = Night { world: night.world, ..Night::fell(false) }.copied_by_a_run(&[]).world;
    watch.pass(20);
    watch.settle(&night.world);
    assert_eq!(since(&watch.survey), None, "the journal has it as over");
}

#[test]
fn a_type_that_goes_on_being_applied_ends_nothing_that_another_has_come_to() {
    let mut night = Night::fell(true);
    // The ninth is canceled at once, and the handler of that works.
    let s = &mut night.all[8];
    s.status = Status::Canceled;
    s.canceled_at = Some(ago(60));
    let mut row = right_row(&profile(8), s);
    row.image.insert(Field::UpdatedAt, Value::Time(ago(60) + Duration::seconds(2)));
    night.world.records[8].row = Some(row);
    night.world.subscriptions[8] = s.clone();
    let gone = night.world.events.iter_mut().find(|e| e.id.as_str() == "evt_Silent0008").expect("there");
    gone.kind = "customer.subscription.deleted".into();
    gone.subscription = Some(Box::new(s.clone()));
    let unknown = night.survey();
    assert_eq!(since(&unknown), Some((55, false)), "of an unknown cause nothing more can be said");
    let refused = |n: u32| LogLine {
        at: Some(ago(100 - i64::from(n) * 5) + Duration::seconds(1)),
        level: Some(Level::Error),
        text: "Failed to sync webhook to DB: permission denied for table subscriptions".into(),
        source: "app.log".into(),
        ids: vec![format!("evt_Silent{n:04}")],
    };
    night.world.logs = [6, 7, 9, 10, 11].map(refused).into();
    let mut watch = Watch::new(now());
    watch.env.set_up.insert(Source::Log);
    watch.settle(&night.world);
    let survey = &watch.survey;
    assert_eq!(since(survey), Some((70, false)));
    let finding = survey.silence_finding().expect("said");
    assert_eq!(finding.sentence, format!("No subscription change was applied since {}", ago(70).format("%H:%M")));
    assert_eq!(finding.size, "5 hurt");
    assert!(finding.evidence.iter().any(|l| l.contains("customer.subscription.deleted goes on being applied")), "{finding:?}");
}

#[test]
fn no_cause_is_named_before_the_log_was_read() {
    let night = Night::fell(true);
    let mut watch = Watch::new(now());
    watch.env.set_up.insert(Source::Log);
    for _ in 0..4 {
        watch.look(|q| (!matches!(q, Query::Logs(_))).then(|| night.world.answer(q)));
        watch.pass(1);
    }
    let finding = watch.survey.silence_finding().expect("said");
    assert_eq!(finding.reason, "Still looking why: the application's log is being read.");
    watch.pass(20);
    watch.settle(&night.world);
    let finding = watch.survey.silence_finding().expect("said");
    assert!(!finding.reason.contains("Still looking"), "{finding:?}");
}

#[test]
fn a_delivery_that_stripe_repeated_ends_it() {
    // Stripe owes nothing of the ninth's any more, while it owes all the others: the application took it ten minutes ago.
    let mut night = Night::fell(false).put_right();
    for event in night.world.events.iter_mut().filter(|e| e.id.as_str() == "evt_Silent0008") {
        event.pending_webhooks = 0;
    }
    assert_eq!(since(&night.survey()), None);
}

#[test]
fn where_rows_do_not_say_when_they_were_written_it_says_no_more_than_it_knows() {
    assert_eq!(
        since(&Night::fell(true).unstamped().changes_nothing().survey()),
        Some((70, false)),
        "what demanded nothing is seen all the same"
    );
    let survey = Night::fell(true).unstamped().put_right().survey();
    assert_eq!(since(&survey), Some((55, true)));
    let finding = survey.silence_finding().expect("said");
    assert_eq!(finding.sentence, format!("Nothing was applied, at least since {}", ago(55).format("%H:%M")));
    assert!(finding.evidence.iter().any(|l| l.contains("do not say when they were written")), "{finding:?}");
}

#[test]
fn stamps_that_never_move_say_nothing() {
    let mut night = Night::fell(true).put_right();
    for row in night.world.records.iter_mut().filter_map(|r| r.row.as_mut()) {
        row.image.insert(Field::UpdatedAt, Value::Time(ago(60 * 24 * 2)));
    }
    assert_eq!(since(&night.survey()), Some((55, true)));
}

#[test]
fn a_database_whose_clock_is_behind_makes_no_false_alarm() {
    let mut night = Night::fell(true);
    let mut row = right_row(&profile(11), &night.all[11]);
    row.image.insert(Field::UpdatedAt, Value::Time(ago(45) - Duration::seconds(30)));
    night.world.records[11].row = Some(row);
    assert_eq!(since(&night.survey()), None, "it was applied, whatever the stamp says");
}

#[test]
fn what_consoles_alone_have_copied_is_no_quiet_night() {
    let all = [6, 7, 8, 9, 10, 11];
    for swallows in [true, false] {
        let survey = Night::fell(swallows).copied_by_a_run(&all).survey();
        assert_eq!(since(&survey), None, "nothing fails any more");
        let copied = survey.copied().expect("the application has applied nothing since");
        assert_eq!((copied.since, copied.customers, copied.last), (ago(70), 6, Some(ago(75))), "swallows {swallows}");
        let finding = survey.copied_finding().expect("said");
        assert_eq!(finding.sentence, format!("The application itself has applied nothing since {}", ago(70).format("%H:%M")));
        assert!(finding.reason.contains("What was missing was copied"), "{finding:?}");
        assert_eq!(survey.series().totals(), (12, 6), "what was copied is not counted as applied");
    }
    assert!(Night::fell(true).copied_by_a_run(&[11]).survey().copied().is_none(), "five still fail: that is said");
}

#[test]
fn an_event_that_the_application_applies_ends_that() {
    let mut night = Night::fell(true).copied_by_a_run(&[6, 7, 8, 9, 10, 11]);
    let mut row = right_row(&profile(11), &night.all[11]);
    row.image.insert(Field::UpdatedAt, Value::Time(ago(45) + Duration::seconds(2)));
    night.world.records[11].row = Some(row);
    assert!(night.survey().copied().is_none());
}

#[test]
fn what_was_never_sent_or_could_not_be_found_says_nothing_of_the_next_event() {
    let mut linked = Night::fell(true).copied_by_a_run(&[6, 7, 8, 9, 10, 11]);
    for (command, _) in linked.world.runs[0].commands.iter_mut().flatten() {
        let Command::ResyncByHttp { subject, customer } = command.clone() else { panic!("a copy") };
        let changes = vec![Change { field: Field::Customer, from: Value::Null, to: Value::Text(customer) }];
        *command = Command::SetSubscriptionRow { subject, shown: Default::default(), changes };
    }
    assert!(linked.survey().copied().is_none(), "the application could not have found these rows");
}
