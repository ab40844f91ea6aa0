//! What a drill ends with: what was broken, found, repaired and missed, and which writes were wrong; as text and as JSON.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::sandbox::incidents::{Check, Incident, Label};
use crate::sandbox::watch::judge::{Judged, Outcome, Ruling};

#[derive(Debug, Serialize)]
pub struct Report {
    pub drill: &'static str,
    pub title: &'static str,
    pub random: bool,
    pub seed: u64,
    pub customers: u64,
    /// How many subjects were asked for.
    pub count: usize,
    pub started: DateTime<Utc>,
    pub seconds: f64,
    pub counts: Counts,
    /// All was repaired, and nothing wrong was written.
    pub ok: bool,
    pub labels: Vec<Finding>,
    pub writes: Vec<Judged>,
    /// Why the record of the database could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Counts {
    /// What had to be repaired.
    pub broken: usize,
    pub found: usize,
    pub repaired: usize,
    pub missed: usize,
    pub wrong_writes: usize,
    pub undone_writes: usize,
}

/// What became of a label.
#[derive(Debug, Serialize)]
pub struct Finding {
    #[serde(flatten)]
    pub label: Label,
    pub ending: Ending,
    /// A run was begun about it, or somebody wrote there.
    pub found: bool,
    /// When its check held first, in seconds from the beginning.
    pub green_after: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Repaired,
    Missed,
    /// There was nothing to repair, and nobody harmed it.
    Fine,
    /// There was nothing to repair, until somebody did.
    Harmed,
}

impl Finding {
    pub fn new(outcome: Outcome, touched: bool, green: Option<Duration>) -> Self {
        let Outcome { label, holds, .. } = outcome;
        let ending = match (label.hurts(), holds) {
            (true, true) => Ending::Repaired,
            (true, false) => Ending::Missed,
            (false, true) => Ending::Fine,
            // What passes by itself may take longer than the drill.
            (false, false) if label.passes() => Ending::Fine,
            (false, false) => Ending::Harmed,
        };
        Self { label, ending, found: touched, green_after: green.map(|g| g.as_secs_f64()) }
    }

    fn broken(&self) -> bool {
        matches!(self.ending, Ending::Repaired | Ending::Missed)
    }
}

impl Report {
    pub fn new(
        incident: Incident,
        random: bool,
        (seed, customers, count): (u64, u64, usize),
        (started, took): (DateTime<Utc>, Duration),
        labels: Vec<Finding>,
        writes: Vec<Judged>,
        unread: Option<String>,
    ) -> Self {
        let ended = |ending: Ending| labels.iter().filter(|f| f.ending == ending).count();
        let counts = Counts {
            broken: labels.iter().filter(|f| f.broken()).count(),
            found: labels.iter().filter(|f| f.broken() && f.found).count(),
            repaired: ended(Ending::Repaired),
            missed: ended(Ending::Missed),
            wrong_writes: writes.iter().filter(|w| matches!(w.ruling, Ruling::Wrong { .. })).count(),
            undone_writes: writes.iter().filter(|w| w.ruling == Ruling::Undone).count(),
        };
        let ok = counts.missed == 0 && counts.wrong_writes == 0 && ended(Ending::Harmed) == 0 && unread.is_none();
        let (drill, title) = (incident.name(), incident.title());
        Self { drill, title, random, seed, customers, count, started, seconds: took.as_secs_f64(), counts, ok, labels, writes, unread }
    }
}

/// The most lines of one kind: a report is read at a glance.
const LINES: usize = 30;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counts;
        writeln!(f, "The drill is over after {}.", span(self.seconds))?;
        writeln!(f, "{}\n", folded(&format!("It was {}: {}.", self.drill, self.title), 0, 0))?;
        let shown: Vec<_> = self.labels.iter().filter(|l| l.ending != Ending::Fine).collect();
        for finding in shown.iter().take(LINES) {
            writeln!(f, "  {}", line(finding))?;
        }
        more(f, shown.len())?;
        if c.broken == 0 {
            writeln!(f, "  There was nothing to repair.")?;
        }
        let count = |number: usize, what: &str| format!("{number} {what}");
        let sums = [count(c.broken, "broken"), count(c.found, "found"), count(c.repaired, "repaired"), count(c.missed, "missed")];
        writeln!(f, "\n  {}", sums.join(", "))?;

        for (name, of) in [("Wrong writes", true), ("Undone writes", false)] {
            let these: Vec<_> = self.writes.iter().filter(|w| if of { wrong(w).is_some() } else { w.ruling == Ruling::Undone }).collect();
            if these.is_empty() {
                continue;
            }
            writeln!(f, "\n{name}:")?;
            for write in these.iter().take(LINES) {
                let why = wrong(write).map(|why| format!("\n{}", folded(why, 8, 8))).unwrap_or_default();
                writeln!(f, "{}{why}", folded(&format!("{} {}", write.by, write.what), 2, 4))?;
            }
            more(f, these.len())?;
        }
        if c.wrong_writes == 0 {
            writeln!(f, "\nNothing wrong was written.")?;
        }
        if let Some(why) = &self.unread {
            writeln!(f, "\n{}", folded(&format!("What was written could not be read in the end: {why}"), 0, 0))?;
        }
        let again = format!("nightdesk drill {} --seed {} --customers {} --count {}", self.drill, self.seed, self.customers, self.count);
        writeln!(f, "\nThe same night again:\n  {again}")
    }
}

fn more(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    if all > LINES { writeln!(f, "  … and {} more; --json lists all", all - LINES) } else { Ok(()) }
}

fn wrong(write: &Judged) -> Option<&'static str> {
    match write.ruling {
        Ruling::Wrong { why } => Some(why),
        Ruling::Right | Ruling::Undone => None,
    }
}

fn line(finding: &Finding) -> String {
    let (word, ending) = match (finding.ending, finding.found, finding.green_after) {
        (Ending::Repaired, true, Some(after)) => ("OK  ", format!("repaired after {}", span(after))),
        // Of itself, or together with something else.
        (Ending::Repaired, false, Some(after)) => ("OK  ", format!("right after {}", span(after))),
        (Ending::Repaired, _, None) => ("OK  ", "repaired at the very end".into()),
        (Ending::Missed, _, Some(after)) => ("MISS", format!("right after {}, and then no longer", span(after))),
        (Ending::Missed, true, None) => ("MISS", "found, not repaired".into()),
        (Ending::Missed, false, None) => ("MISS", "not found".into()),
        (Ending::Fine, ..) => ("OK  ", "nothing to repair".into()),
        (Ending::Harmed, ..) => ("FAIL", "was right before".into()),
    };
    let subject = &finding.label.subject;
    let whom = match &finding.label.check {
        Check::Session(session) => format!("backend {} of {}", session.pid, session.application),
        _ => [&subject.profile, &subject.customer, &subject.endpoint]
            .into_iter()
            .flatten()
            .next()
            .cloned()
            .unwrap_or_else(|| "the system".into()),
    };
    format!("{word}  {whom}  {ending}\n{}", folded(&finding.label.broke, 8, 8))
}

/// Where lines of prose end, in columns.
const WIDTH: usize = 80;

/// Prose in lines, broken between words: so far in the first line and so far in the others. A longer word stands alone, whole, since it
/// may be copied.
pub fn folded(text: &str, first: usize, others: usize) -> String {
    let mut out = " ".repeat(first);
    let mut used = first;
    for (nth, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        if nth > 0 && used + 1 + width > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(others));
            used = others;
        } else if nth > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += width;
    }
    out
}

/// `4 min 10 s`.
fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a drill is hours at most, and a clock runs forward")]
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::sandbox::incidents::{Cause, Expected, Subject, Truth};

    /// What becomes of the label of a row.
    fn finding(truth: Truth, holds: bool, touched: bool) -> Finding {
        let at = Utc::now();
        let label = Label {
            incident: Incident::SlowApplication,
            broke: "the effect of an event comes late, by itself".into(),
            at,
            cause: Cause::TimeOut,
            truth: Some(truth),
            subject: Subject::default(),
            check: Check::Row(Expected {
                profile: "7".into(),
                customer: "cus_7".into(),
                subscription: "sub_7".into(),
                tier: "PRO",
                status: "active".into(),
                interval: "month",
                period_start: at,
                period_end: at,
                cancel_at: None,
                cancel_at_period_end: false,
            }),
        };
        Finding::new(Outcome { label, holds, row_is_right: holds }, touched, holds.then_some(Duration::from_secs(4)))
    }

    fn report(labels: Vec<Finding>, writes: Vec<Judged>) -> Report {
        Report::new(Incident::SlowApplication, false, (7, 300, 1), (Utc::now(), Duration::from_secs(9)), labels, writes, None)
    }

    #[test]
    fn what_comes_late_by_itself_is_nothing_to_repair_whether_it_is_there_yet_or_not() {
        for holds in [true, false] {
            let report = report(vec![finding(Truth::Late, holds, false)], Vec::new());
            let c = &report.counts;
            assert_eq!((c.broken, c.found, c.repaired, c.missed, report.ok), (0, 0, 0, 0, true), "{report}");
            assert!(report.to_string().contains("There was nothing to repair."), "{report}");
        }
    }

    #[test]
    fn found_is_only_what_somebody_was_about() {
        let findings = [(true, true), (true, false), (false, true), (false, false)];
        let report = report(findings.map(|(holds, touched)| finding(Truth::Missing, holds, touched)).into(), Vec::new());
        assert!(report.to_string().contains("4 broken, 2 found, 2 repaired, 2 missed"), "{report}");
        assert!(!finding(Truth::Missing, true, false).found);
    }

    #[test]
    fn prose_ends_at_eighty_columns_and_a_report_with_a_line() {
        let key = "8229dff4-b076-4102-aa2b-a90d0f63fb39";
        let what =
            format!("changed subscriptions of {key}: status \"active\" → \"past_due\", current_period_end \"2026-11-22\" → \"2026-12-22\"");
        let why = "columns were changed that no repair changes";
        let write = Judged { by: "nightdesk (psql)".into(), what, ruling: Ruling::Wrong { why }, about: Vec::new() };
        let text = report(vec![finding(Truth::Missing, false, false)], vec![write]).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let said = format!("  nightdesk (psql) changed subscriptions of\n    {key}: status \"active\" →");
        assert!(text.contains(&said) && text.contains(&format!("\n        {why}\n")), "{text}");
        assert!(text.ends_with("--count 1\n"), "{text}");
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        assert_eq!([span(7.4), span(250.0), span(7_260.0)], ["7 s", "4 min 10 s", "2 h 1 min"]);
    }
}
