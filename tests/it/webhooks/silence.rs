//! Since when nothing is applied: what is right without the application's doing neither ends the silence nor hides its beginning.

use super::survey::Watch;
use crate::fixtures::*;
use chrono::Duration;
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::stripe::Subscription;
use nightdesk::procedures::survey::Survey;

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
    fn put_right(mut self) -> Self {
        let mut row = right_row(&profile(8), &self.all[8]);
        row.image.insert(Field::UpdatedAt, Value::Time(ago(10)));
        self.world.records[8].row = Some(row);
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
    assert_eq!(finding.sentence, format!("Nothing Stripe sent was applied, at least since {}", ago(55).format("%H:%M")));
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
