//! How often the console was right: precision and recall of both kinds of failure, and the share of right causes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nightdesk::domain::webhooks::cause::Cause as Named;
use nightdesk::domain::webhooks::verdict::Verdict;
use nightdesk::procedures::survey::Survey;
use nightdesk::sandbox::incidents::{Cause, Label, Truth};

#[derive(Debug, Default)]
pub struct Score {
    /// Labelled events.
    pub events: usize,
    pub missing: Count,
    pub contradicted: Count,
    /// Failures that are labelled, and those of them whose cause was named rightly.
    failures: usize,
    named: usize,
    /// Events that are right and were called missing or contradicted, labelled or not.
    pub false_alarms: usize,
    pub wrong: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    right: usize,
    said: usize,
    there: usize,
}

impl Count {
    pub fn precision(self) -> f64 {
        share(self.right, self.said)
    }

    pub fn recall(self) -> f64 {
        share(self.right, self.there)
    }

    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.said += other.said;
        self.there += other.there;
    }

    fn count(&mut self, said: bool, there: bool) {
        self.said += usize::from(said);
        self.there += usize::from(there);
        self.right += usize::from(said && there);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand events")]
fn share(of: usize, all: usize) -> f64 {
    if all == 0 { 1.0 } else { of as f64 / all as f64 }
}

/// What the console may call a cause that the sandbox labels so.
fn accepted(cause: Cause) -> &'static [Named] {
    match cause {
        Cause::BadSignature => &[Named::BadSignature],
        Cause::ClockSkew => &[Named::ClockSkew],
        Cause::DatabaseError => &[Named::Database],
        Cause::NoRowForCustomer => &[Named::NoRowForCustomer],
        Cause::OlderObjectLast => &[Named::OlderApplied],
        Cause::EndpointDisabled => &[Named::EndpointDisabled, Named::NeverSent],
        Cause::NotSubscribed => &[Named::NotSubscribed],
        Cause::WrongPath => &[Named::WrongPath],
        Cause::Redirect => &[Named::Redirect],
        // Refused connections, and a proxy with nobody behind it: nothing is there that takes events.
        Cause::EndpointDown => &[Named::Down],
        // No debt of a delivery was ever made, as Stripe leaves what happens while an endpoint is off: that is what the sandbox makes.
        Cause::NotSent => &[Named::NeverSent],
        // The flaw of the version is that it reads a subscription's period where today's API version does not have it any more.
        Cause::BrokenVersion => &[Named::ApiVersion],
        // In both the effect was there once; who took it away is not in any log.
        Cause::EffectLost | Cause::WrittenByHand => &[Named::WrittenOver],
        // These break no event's effect.
        Cause::None
        | Cause::TimeOut
        | Cause::StripeDown
        | Cause::AskedFor
        | Cause::LeakedTransaction
        | Cause::ResetNotRun
        | Cause::RunCutShort
        | Cause::DatabaseRestart => &[],
    }
}

impl Score {
    pub fn of(labels: &[Label], survey: &Survey) -> Self {
        let lines: BTreeMap<&str, _> = survey.lines().iter().map(|l| (l.id.as_str(), l)).collect();
        let mut score = Self::default();
        let mut labelled = BTreeSet::new();
        let hurt: BTreeSet<&str> = labels.iter().filter(|l| l.hurts()).filter_map(|l| l.subject.customer.as_deref()).collect();
        for label in labels {
            let (Some(event), Some(truth)) = (label.subject.event.as_deref(), label.truth) else { continue };
            // A label may be about a type that changes no row by itself.
            let Some(line) = lines.get(event) else {
                if matches!(truth, Truth::Missing | Truth::Contradicted) {
                    score.wrong.push(format!("{:?}: {event} is not in the list", label.incident));
                    score.failures += 1;
                    score.missing.count(false, truth == Truth::Missing);
                    score.contradicted.count(false, truth == Truth::Contradicted);
                }
                continue;
            };
            labelled.insert(event);
            score.events += 1;
            score.missing.count(line.verdict == Verdict::Missing, truth == Truth::Missing);
            score.contradicted.count(line.verdict == Verdict::Contradicted, truth == Truth::Contradicted);
            let fails = matches!(truth, Truth::Missing | Truth::Contradicted);
            let right = matches!((truth, line.verdict), (Truth::Missing, Verdict::Missing) | (Truth::Contradicted, Verdict::Contradicted));
            score.false_alarms += usize::from(line.verdict.is_failure() && !fails);
            if fails {
                score.failures += 1;
                let named = line.cause.is_some_and(|c| accepted(label.cause).contains(&c));
                score.named += usize::from(named);
                if !named || !right {
                    let judged = survey.judgement(&line.id).map(|j| j.because).unwrap_or_default();
                    let said = line.cause.map_or("none", Named::word);
                    let (incident, broke, cause) = (label.incident, &label.broke, label.cause);
                    score.wrong.push(format!(
                        "{incident:?} {event}: {truth:?} by {cause:?} ({broke}), said {} by {said}: {judged} [{}]",
                        line.verdict.word(),
                        format_args!("{:?}", survey.evidence(line).held)
                    ));
                }
            } else if line.verdict.is_failure() {
                score.wrong.push(format!("{:?} {event}: {truth:?}, said {}", label.incident, line.verdict.word()));
            }
        }
        // What nobody broke must not be called broken; other events of those who are hurt share their row.
        for line in survey.lines().iter().filter(|l| l.verdict.is_failure() && !labelled.contains(l.id.as_str())) {
            if line.customer.as_ref().is_none_or(|c| !hurt.contains(c.as_str())) {
                score.false_alarms += 1;
                score.wrong.push(format!("{} {}: nobody broke it, said {}", line.kind, line.id, line.verdict.word()));
            }
        }
        score
    }

    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.missing.add(other.missing);
        self.contradicted.add(other.contradicted);
        self.failures += other.failures;
        self.named += other.named;
        self.false_alarms += other.false_alarms;
        self.wrong.extend(other.wrong);
    }

    /// The share of failures whose cause was named rightly.
    pub fn cause(&self) -> f64 {
        share(self.named, self.failures)
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (m, c) = (self.missing, self.contradicted);
        write!(
            f,
            "{} events, {} failures; missing: precision {:.3}, recall {:.3}; contradicted: precision {:.3}, recall {:.3}; right cause {:.3}; \
             false alarms {}",
            self.events,
            self.failures,
            m.precision(),
            m.recall(),
            c.precision(),
            c.recall(),
            self.cause(),
            self.false_alarms
        )
    }
}
