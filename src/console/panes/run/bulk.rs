//! How a run of many acts looks: its stages in the line of steps, and how far it came.

use super::view::{INDENT, Line};
use crate::console::widgets::paint::wrap;
use crate::console::widgets::theme::Theme;
use crate::procedures::engine::bulk::Progress;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::run::{Plan, Step, StepKind, StepState};

/// Its checks, then the first one, the rest, and the effects.
pub fn stages(run: &Run, plan: &Plan) -> Vec<Step> {
    let mut steps: Vec<Step> = plan.steps.iter().filter(|s| s.kind == StepKind::Check).cloned().collect();
    let progress = run.progress();
    let ended = !run.is_open();
    let state = |begun: bool, over: bool, well: bool| match (begun, over, well) {
        (_, true, true) => StepState::Passed,
        (_, true, false) => StepState::Failed("came to nothing".into()),
        (true, false, _) => StepState::Running,
        (false, false, _) => StepState::Pending,
    };
    let well = matches!(run.phase, Phase::Done(_));
    let (canary, rest) = progress.as_ref().map_or((StepState::Pending, StepState::Pending), |p| {
        let through = p.canary.is_some();
        (state(true, through, p.canary == Some(true)), state(p.canary == Some(true), ended, well))
    });
    let effects = state(progress.as_ref().is_some_and(|p| p.applied > 0), ended && progress.is_some(), well);
    // The acts are behind it, and something else is being asked.
    let past = run.bulk.is_none() && plan.first_acts().next().is_none();
    let [canary, rest, effects] = [canary, rest, effects].map(|s| if past { StepState::Passed } else { s });
    let stage = |id: &str, state| Step::new(id, StepKind::Act, id, "").in_state(state);
    steps.push(stage("plan", if run.bulk.is_some() || past { StepState::Passed } else { StepState::Running }));
    let acts = plan.steps.iter().filter(|s| s.command.is_some() && s.instead_of.is_none()).count();
    if plan.first_acts().count() > 1 || (past && acts > 1) || progress.as_ref().is_some_and(|p| p.total > 1) {
        steps.push(stage("canary", canary));
        steps.push(stage("rest", rest));
    } else {
        steps.push(stage("act", canary));
    }
    // Where it is told what became of those who waited, that is the effect.
    if plan.steps.iter().all(|s| s.id != "waiters") {
        steps.push(stage("effects", effects));
    }
    // What is proven of all of them together comes last.
    let last = if ended && progress.is_some() { state(true, true, well) } else { StepState::Pending };
    let after = plan.steps.iter().rposition(|s| s.command.is_some()).map_or(0, |at| at + 1);
    let later = plan.steps[after..].iter().filter(|s| s.id == "drift" || matches!(s.id.as_str(), "waiters" | "advice" | "watch"));
    steps.extend(later.cloned().map(|s| match (s.id.as_str(), &last) {
        ("waiters", _) if past => s.in_state(StepState::Passed),
        // The figure is a result: it stands there once it was read, with those whose rows were read for it.
        ("drift", StepState::Passed) => {
            let read = progress.as_ref().map_or(0, |p| p.total);
            Step { title: format!("drift 0 of {read}"), ..s }.in_state(StepState::Passed)
        }
        _ => s.in_state(last.clone()),
    }));
    steps
}

/// `canary ✓ · 127 of 300 effects applied · 3 failed · 2 skipped`.
pub fn lines(run: &Run, p: &Progress, theme: &Theme, room: u16) -> Vec<Line> {
    if !run.is_open() {
        return Vec::new();
    }
    let counted = run.plan.as_ref().map_or("effects applied", Plan::counted);
    let mut parts = Vec::new();
    if p.total > 1 {
        parts.push(match p.canary {
            None => format!("canary {}", theme.current()),
            Some(true) => format!("canary {}", theme.done()),
            Some(false) => "canary FAIL".to_string(),
        });
    }
    parts.push(format!("{} of {} {counted}", p.applied, p.total));
    parts.extend((p.failed > 0).then(|| format!("{} failed", p.failed)));
    parts.extend((p.skipped > 0).then(|| format!("{} skipped", p.skipped)));
    let mut lines: Vec<Line> = wrap(&parts.join(" · "), room).into_iter().map(|l| vec![(INDENT, l, theme.bold())]).collect();
    let (say, style) = match (&p.paused, p.cancelled) {
        (Some(None), _) => ("Paused. Nothing more begins.".to_string(), theme.warn()),
        (Some(Some(why)), _) => (format!("Paused: {why}"), theme.warn()),
        (None, true) => (format!("Cancelled. What is under way ({}) is followed to its effect.", p.under_way), theme.warn()),
        (None, false) => (going(p), theme.dim()),
    };
    lines.extend(wrap(&say, room).into_iter().map(|l| vec![(INDENT, l, style)]));
    lines
}

/// What is on its way, and how long what has not begun will take to begin.
fn going(p: &Progress) -> String {
    match (p.under_way, p.seconds_left) {
        (0, 0) => "Nothing is left to begin.".to_string(),
        (n, 0) => format!("{n} under way, none left to begin."),
        (0, s) => format!("About {s} s to begin the rest."),
        (n, s) => format!("{n} under way, about {s} s to begin the rest."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_zero_is_said() {
        let p = |under_way, seconds_left| Progress {
            total: 9,
            applied: 4,
            instead: 0,
            right: 0,
            failed: 0,
            skipped: 0,
            changed: 0,
            under_way,
            canary: Some(true),
            paused: None,
            cancelled: false,
            seconds_left,
        };
        for (under_way, left, says) in [
            (0, 0, "Nothing is left to begin."),
            (2, 0, "2 under way, none left to begin."),
            (0, 7, "About 7 s to begin the rest."),
            (4, 7, "4 under way, about 7 s to begin the rest."),
        ] {
            assert_eq!(going(&p(under_way, left)), says);
        }
    }
}
