//! Taking a quota reset back: the former counts, where nobody has counted since and their period still runs.

use super::facts::figure;
use super::plan::{enforced, witness};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::ids::SubjectKey;
use crate::domain::mask;
use crate::domain::quota::live;
use crate::domain::row::{Counter, Record};
use crate::procedures::words::{Witness, count, how, machine};
use crate::procedures::{ENTITLEMENT, ROW};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Locator, Query, Reply};
use crate::protocol::run::{Plan, Refusal, Step, StepKind, StepState};

/// `acted`: this undo has sent something already. Before that, a counter that holds as much as it did was counted up to there by its owner.
pub fn plan(subject: &SubjectKey, former: &[Counter], acted: bool, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
    let record = record(subject, answers)?;
    let holds = |c: &Counter| record.counters.iter().find(|n| n.feature == c.feature).map(|n| n.used);
    let app = match answers.get(&Query::Entitlement(subject.clone())) {
        Some(Known::Is { value: Reply::Entitlement(e), at }) => Known::Is { value: e.clone(), at: *at },
        Some(Known::Failed(fault)) => Known::Failed(fault.clone()),
        _ => return Err(Refusal::Because("What the app enforces has not been read yet.".into())),
    };
    let proof = witness(&app, env, &|feature, used| former.iter().all(|c| c.feature != feature || used >= c.used || !live(c, now)));
    let features: Vec<&str> = former.iter().map(|c| c.feature.as_str()).collect();
    if acted && former.iter().all(|c| holds(c).is_some_and(|used| used >= c.used)) {
        let told = enforced(app.value().and_then(Option::as_ref), &features);
        return Err(match proof {
            Witness::Agrees => Refusal::AlreadyRight(format!("Taken back: the counters hold what they held, and the app enforces {told}.")),
            Witness::NotSetUp => Refusal::AlreadyRight("Taken back: the counters hold what they held. No app is set up to ask.".into()),
            Witness::Differs(what) => Refusal::Because(format!("The counters hold what they held; the app answers {what}. It may cache.")),
            Witness::Silent(why) => Refusal::Because(format!("The counters hold what they held; the app does not answer: {why}")),
            Witness::Waiting => Refusal::Because("What the app enforces has not been read yet.".into()),
        });
    }
    for counter in former {
        let say = match holds(counter) {
            Some(0) => continue,
            Some(used) => format!("{} was used {used} since the reset: giving back the old count would lose that.", counter.feature),
            None => format!("The counter of {} is gone; there is nothing to give back to.", counter.feature),
        };
        return Err(Refusal::Because(say));
    }
    if former.iter().all(|c| !live(c, now)) {
        return Err(Refusal::Because("The period of these counters has passed: what they held limits nobody any more.".into()));
    }
    let command = Command::RestoreCounters { subject: subject.clone(), counters: former.to_vec() };
    Ok(Plan {
        summary: format!("Give {} back what they held", features.join(", ")),
        subject: Some(subject.clone()),
        who: record.subject.email.as_deref().map_or_else(|| mask::id(subject.as_str()), mask::email),
        blast: format!("1 customer · {} · no money · 1 statement", count(former.len(), "counter")),
        diff: Vec::new(),
        notes: former.iter().map(|c| format!("{}: 0 → {}", c.feature, figure(c.used, record.limits.get(&c.feature).copied()))).collect(),
        evidence: vec!["database: nobody has counted since the reset".into()],
        afterwards: None,
        machine: machine(&command),
        steps: steps(command, &proof, former),
        typed: None,
        pace: None,
    })
}

fn steps(command: Command, proof: &Witness, former: &[Counter]) -> Vec<Step> {
    let mut undo = Step::new("undo", StepKind::Act, "undo", how(&command));
    undo.command = Some(command);
    let due: Vec<String> = former.iter().map(|c| format!("{} {}", c.feature, c.used)).collect();
    let mut app = Step::new(ENTITLEMENT, StepKind::Verify, "enforced", format!("The app counts {} as used", due.join(", ")));
    if *proof == Witness::NotSetUp {
        app.state = StepState::Skipped("the application is not set up".into());
    }
    vec![undo, Step::new(ROW, StepKind::Verify, "counters", "Each counter holds what it held before"), app]
}

fn record<'a>(subject: &SubjectKey, answers: &'a Answers) -> Result<&'a Record, Refusal> {
    match answers.get(&Query::Records(Locator::Subjects(vec![subject.clone()]))) {
        Some(Known::Is { value: Reply::Records(records), .. }) => records
            .iter()
            .find(|r| r.subject.key == *subject)
            .ok_or_else(|| Refusal::Because("The profile is gone; there is nothing to give back to.".into())),
        Some(Known::Failed(fault)) => Err(Refusal::Because(fault.say.clone())),
        _ => Err(Refusal::Because("The counters have not been read yet.".into())),
    }
}
