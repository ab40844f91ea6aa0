//! What `--json` prints of plans, decisions and verdicts: names that scripts may rely on, whatever the types inside are called.

use crate::domain::At;
use crate::domain::diagnosis::{Cause, Class, Diagnosis, Word};
use crate::domain::ids::SubjectKey;
use crate::domain::policy::Tier;
use crate::domain::row::{Change, Value};
use crate::protocol::run::{Decision, Plan, Step, StepKind, StepState};
use serde::Serialize;

#[derive(Serialize)]
pub struct ShownPlan<'a> {
    summary: &'a str,
    /// `null` where it is about several.
    profile: Option<&'a str>,
    /// Masked.
    who: &'a str,
    /// `t1`, `t2`, …: what its writes can break.
    tier: &'static str,
    blast: &'a str,
    changes: Vec<ShownChange>,
    notes: &'a [String],
    evidence: &'a [String],
    steps: Vec<ShownStep<'a>>,
    statements: &'a [String],
    /// What `--confirm` must say; `null` where `--yes` is enough.
    confirm: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownChange {
    /// As the configuration calls it: `stripe_customer_id`.
    field: &'static str,
    from: serde_json::Value,
    to: serde_json::Value,
}

#[derive(Serialize)]
struct ShownStep<'a> {
    id: &'a str,
    kind: &'static str,
    title: &'a str,
    says: &'a str,
    state: &'static str,
    /// Why it failed, was skipped or is unknown.
    why: Option<&'a str>,
}

#[derive(Serialize)]
pub struct ShownDecision<'a> {
    /// Also the argument that makes it: `--tier`.
    id: &'a str,
    question: &'a str,
    options: Vec<ShownChoice<'a>>,
}

#[derive(Serialize)]
struct ShownChoice<'a> {
    value: &'a str,
    says: &'a str,
    evidence: &'a str,
}

#[derive(Serialize)]
pub struct ShownDiagnosis<'a> {
    word: &'static str,
    class: &'static str,
    cause: &'static str,
    sentence: &'a str,
    reason: Option<&'a str>,
    since: Option<At>,
    evidence: &'a [String],
    fix: Option<ShownFix<'a>>,
}

#[derive(Serialize)]
struct ShownFix<'a> {
    procedure: &'a str,
    says: &'a str,
    undoable: bool,
}

#[derive(Serialize)]
pub struct ShownProgress {
    total: usize,
    /// Effects that were read in the database.
    applied: usize,
    /// Of those, copied from Stripe where the first act had no effect.
    instead: usize,
    failed: usize,
    skipped: usize,
}

impl ShownProgress {
    pub fn of(p: crate::procedures::engine::bulk::Progress) -> Self {
        Self { total: p.total, applied: p.applied, instead: p.instead, failed: p.failed, skipped: p.skipped }
    }
}

impl<'a> ShownPlan<'a> {
    pub fn of(plan: &'a Plan) -> Self {
        Self {
            summary: &plan.summary,
            profile: plan.subject.as_ref().map(SubjectKey::as_str),
            who: &plan.who,
            tier: match plan.tier() {
                Tier::T0 => "t0",
                Tier::T1 => "t1",
                Tier::T2 => "t2",
                Tier::T3 => "t3",
            },
            blast: &plan.blast,
            changes: plan.diff.iter().map(change).collect(),
            notes: &plan.notes,
            evidence: &plan.evidence,
            steps: plan.steps.iter().map(step).collect(),
            statements: &plan.machine,
            confirm: plan.typed.as_deref(),
        }
    }
}

impl<'a> ShownDecision<'a> {
    pub fn of(decision: &'a Decision) -> Self {
        let options = decision.options.iter().map(|o| ShownChoice { value: &o.value, says: &o.say, evidence: &o.evidence });
        Self { id: &decision.id, question: &decision.question, options: options.collect() }
    }
}

impl<'a> ShownDiagnosis<'a> {
    pub fn of(d: &'a Diagnosis) -> Self {
        Self {
            word: match d.word {
                Word::Reading => "reading",
                Word::Ok => "ok",
                Word::Settling => "settling",
                Word::Unknown => "unknown",
                Word::Warn => "warn",
                Word::Fail => "fail",
            },
            class: match d.class {
                Class::Fine => "fine",
                Class::PaidNotServed => "paid_not_served",
                Class::ServedNotPaid => "served_not_paid",
                Class::WrongTier => "wrong_tier",
                Class::Differs => "differs",
                Class::Unlinked => "unlinked",
                Class::SeveralLive => "several_live",
                Class::NoPlan => "no_plan",
                Class::NotFound => "not_found",
                Class::Undecided => "undecided",
            },
            cause: match d.cause {
                Cause::None => "none",
                Cause::Placeholder => "placeholder",
                Cause::OtherCustomer => "other_customer",
                Cause::Unapplied => "unapplied",
                Cause::NoProfile => "no_profile",
            },
            sentence: &d.sentence,
            reason: d.reason.as_deref(),
            since: d.since,
            evidence: &d.evidence,
            fix: d.fix.as_ref().map(|f| ShownFix { procedure: &f.procedure, says: &f.say, undoable: f.undoable }),
        }
    }
}

/// The state of a step in one word.
pub fn word(state: &StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::Running => "running",
        StepState::Passed => "passed",
        StepState::Failed(_) => "failed",
        StepState::Skipped(_) => "skipped",
        StepState::Unknown(_) => "unknown",
    }
}

fn change(change: &Change) -> ShownChange {
    ShownChange { field: change.field.contract_name(), from: value(&change.from), to: value(&change.to) }
}

/// The value itself, times as RFC 3339.
fn value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Text(text) => text.as_str().into(),
        Value::Time(at) => at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into(),
        Value::Bool(flag) => (*flag).into(),
    }
}

fn step(step: &Step) -> ShownStep<'_> {
    let kind = match step.kind {
        StepKind::Check => "check",
        StepKind::Decide => "decide",
        StepKind::Act => "act",
        StepKind::Verify => "verify",
        StepKind::Wait => "wait",
        StepKind::Manual => "manual",
        StepKind::Note => "note",
    };
    let why = match &step.state {
        StepState::Failed(why) | StepState::Skipped(why) | StepState::Unknown(why) => Some(why.as_str()),
        StepState::Pending | StepState::Running | StepState::Passed => None,
    };
    ShownStep { id: &step.id, kind, title: &step.title, says: &step.say, state: word(&step.state), why }
}
