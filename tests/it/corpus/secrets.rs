//! A wrong secret and a clock that is off, as they go on: everything is delivered, nothing is applied, and the console says since when and why.

use chrono::{DateTime, Duration, Utc};
use nightdesk::domain::diagnosis::Word;
use nightdesk::domain::webhooks::cause::Cause;
use nightdesk::domain::webhooks::verdict::Verdict;
use nightdesk::procedures::survey::Survey;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::population::Billing;
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use serde_json::Value;

use super::look::{self, Sight};
use crate::bench::{self, http};

const SIGHT: Sight = Sight { log: true, probe: false, hours: 24, ahead: 0 };

async fn struck(incident: Incident, manner: Manner) -> Sandbox {
    let options = SandboxOptions { customers: 400, manner, background: false, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, bench::executable().to_path_buf()).await.unwrap();
    sandbox.ground().strike(incident, 6).await.unwrap();
    sandbox
}

/// The events that Stripe lists as not delivered.
async fn undelivered(sandbox: &Sandbox) -> usize {
    let url = format!("{}/v1/events?limit=100&delivery_success=false", sandbox.simulator().base_url());
    let page: Value = http().get(url).bearer_auth(sandbox.simulator().secret_key()).send().await.unwrap().json().await.unwrap();
    page["data"].as_array().unwrap().len()
}

/// Of the events that the incident kept from their effect: when the first happened, and how many there are.
fn kept(sandbox: &Sandbox, incident: Incident) -> (DateTime<Utc>, usize) {
    let labels = sandbox.ground().labels(incident);
    let of_rows: Vec<_> = labels.iter().filter(|l| l.truth.is_some()).collect();
    (of_rows.iter().map(|l| l.at).min().unwrap(), of_rows.len())
}

async fn look(sandbox: &Sandbox, log: bool) -> Survey {
    look::at(sandbox, None, Sight { log, ..SIGHT }).await
}

fn named(survey: &Survey) -> Vec<Cause> {
    let mut causes: Vec<Cause> = survey.lines().iter().filter_map(|l| l.cause).collect();
    causes.sort_unstable();
    causes.dedup();
    causes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_named_where_a_log_line_says_it_and_unknown_without() {
    for manner in [Manner::Swallowing, Manner::Honest] {
        let sandbox = struck(Incident::WrongSecret, manner).await;
        let (first, many) = kept(&sandbox, Incident::WrongSecret);
        // By status there is nothing to see where errors are swallowed.
        assert_eq!(undelivered(&sandbox).await > 0, manner == Manner::Honest);
        let with_log = look(&sandbox, true).await;
        assert_eq!(named(&with_log), [Cause::BadSignature], "{manner:?}");
        let group = &with_log.groups()[0];
        assert_eq!((group.events.len(), group.customers, group.first), (many, many, first), "{group:?}");
        assert!(group.helps.contains("secret") && group.helps.contains("resending does not"), "{group:?}");
        let without = look(&sandbox, false).await;
        assert_eq!(named(&without), [Cause::Unknown], "{manner:?}");
        assert_eq!(without.groups()[0].events.len(), many, "the effect is missed all the same");
        sandbox.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_minutes_off_is_named_as_the_cause() {
    let sandbox = struck(Incident::ClockSkew, Manner::Swallowing).await;
    let survey = look(&sandbox, true).await;
    assert_eq!(named(&survey), [Cause::ClockSkew]);
    assert!(survey.groups()[0].helps.contains("clock"), "{:?}", survey.groups());
    sandbox.stop().await;
}

/// A minute is given to every effect; Home's sentence follows within the next.
#[tokio::test(flavor = "multi_thread")]
async fn since_when_nothing_is_applied_is_said_with_its_cause_within_a_minute_of_settling() {
    let sandbox = struck(Incident::WrongSecret, Manner::Swallowing).await;
    let began = Utc::now();
    let population = sandbox.ground().population();
    let labels = sandbox.ground().labels(Incident::WrongSecret);
    let untouched = (0..population.len()).filter(|n| labels.iter().all(|l| l.subject.number != Some(*n)));
    let paying = untouched.filter_map(|n| match population.billing(n) {
        Billing::Paid(c) if c.status == "active" && !c.cancel_at_period_end => population.person(n).plan,
        _ => None,
    });
    for plan in paying.take(3) {
        sandbox.simulator().cancel_at_period_end(&plan.subscription, true, Utc::now()).unwrap();
    }
    sandbox.simulator().deliveries_done().await;
    let fresh =
        |survey: &Survey| survey.lines().iter().filter(|l| l.at >= began - Duration::seconds(1)).map(|l| l.verdict).collect::<Vec<_>>();
    let early = look::at(&sandbox, None, Sight { ahead: 30, ..SIGHT }).await;
    assert_eq!(fresh(&early), [Verdict::Settling; 3], "never an alarm before its time");
    let late = look::at(&sandbox, None, Sight { ahead: 75, ..SIGHT }).await;
    assert_eq!(fresh(&late), [Verdict::Missing; 3]);
    let finding = late.silence_finding().expect("nothing is applied any more");
    assert_eq!(finding.word, Word::Fail);
    assert!(finding.sentence.starts_with("Nothing Stripe sent was applied since "), "{finding:?}");
    assert!(finding.reason.starts_with("Likely the signing secret"), "{finding:?}");
    let blind = look::at(&sandbox, None, Sight { ahead: 75, log: false, ..SIGHT }).await;
    let finding = blind.silence_finding().expect("the effects are missed all the same");
    assert!(!finding.reason.contains("secret"), "{finding:?}");
    sandbox.stop().await;
}
