//! What was received and what was applied in the last day, by the quarter of an hour; and since when nothing was.

use super::rows::MOVES_WITHIN;
use super::{HOURS, PAUSE, Present, Survey};
use crate::domain::At;
use crate::domain::diagnosis::Word;
use crate::domain::findings::{About, Finding};
use crate::domain::ids::StripeId;
use crate::domain::money::group;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::course::Stand;
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::feed::Line;
use crate::domain::webhooks::verdict::Verdict;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Columns of the day that received and applied events are counted in.
pub const COLUMNS: usize = 96;

/// The counts of the last day, oldest column first. Empty until something was compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub received: Vec<u32>,
    pub applied: Vec<u32>,
    pub last_applied: Option<At>,
    pub settling: usize,
    /// Every event since then that can be judged is a failure.
    pub silence: Option<Silence>,
    version: u64,
    at: i64,
    tick: u64,
}

/// Nothing was applied since then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub since: At,
    /// It may be longer: of an effect before then it cannot be told whether the application brought it about.
    pub at_least: bool,
    /// Events since then, those that cannot be judged yet included.
    pub received: usize,
    /// How many of them have no effect; others consoles have put right since.
    pub failed: usize,
    /// Whom that hurts, those of the newest events first.
    pub customers: Vec<StripeId>,
    /// When the application was last seen to apply anything, as far back as was looked.
    pub last: Option<At>,
    /// The types that it goes on applying, where that is so: nothing of the others has an effect.
    #[serde(default)]
    pub besides: BTreeSet<String>,
}

/// What an effect that is there tells of the application.
pub(super) enum Witness {
    /// It applied something then.
    Worked(At),
    /// Nothing: the row was right anyway, or somebody else put it right.
    None,
    /// A console has put it right, since the application had not.
    Repaired,
    /// Whose doing it is cannot be told: the row does not say when it was written.
    Open,
}

/// An event that the application has not applied.
struct Unapplied<'a> {
    line: &'a Line,
    /// So many events there are from it on.
    later: usize,
    /// It has no effect to this day.
    failed: bool,
}

/// So many effects of which it cannot be told are looked behind.
const FAR: usize = 50;
/// And behind so many that say nothing: it is done again with every answer.
pub(super) const FARTHEST: usize = 2_000;
/// How far Stripe's clock and the database's may be apart.
pub(super) const CLOCKS: Duration = Duration::seconds(5);
/// What is written so near to a moment was written then.
const SHORTLY: Duration = Duration::seconds(30);
/// Fewer customers than this are a matter of their own, not of the endpoint.
pub(super) const SEVERAL: usize = 2;

impl Silence {
    /// What of it is not applied, where some of it is.
    fn of_what(&self) -> &'static str {
        let of_subscriptions = |kind: &str| kind.ends_with("subscription.deleted") || kind.starts_with("invoice.");
        if self.besides.iter().all(|kind| of_subscriptions(kind)) {
            "No subscription change was applied since"
        } else {
            "Not every kind of event is applied, since"
        }
    }
}

impl Series {
    /// All events of the day, and how many of them are in the database.
    #[must_use]
    pub fn totals(&self) -> (u32, u32) {
        (self.received.iter().sum(), self.applied.iter().sum())
    }

    /// Nothing was counted yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }
}

impl Survey {
    /// Counts anew where anything has changed.
    pub(super) fn settle(&mut self, m: &Present) {
        if !self.reading.has_seen_both() || self.shape.is_waiting() {
            return;
        }
        let minute = m.now.timestamp() / 60;
        let same = self.series.version == self.version && self.series.at == minute && !self.series.is_empty();
        if same && !self.older.restless && !self.reading.proving {
            return;
        }
        // While much is being read, each answer changes a little of everything: then it is counted and gathered twice a second.
        if self.is_crowded() && self.is_busy() && m.tick.saturating_sub(self.series.tick) < PAUSE && !self.series.is_empty() {
            return;
        }
        self.group(m);
        let (mut received, mut applied) = (vec![0u32; COLUMNS], vec![0u32; COLUMNS]);
        let (mut last_applied, mut settling) = (None, 0);
        let column_minutes = HOURS * 60 / i64::try_from(COLUMNS).expect("invariant: a small constant");
        let day = m.now - Duration::hours(HOURS);
        for line in self.feed.lines.iter().take_while(|l| l.at >= day).filter(|l| HANDLED.contains(&&*l.kind)) {
            let back = usize::try_from((m.now - line.at).num_minutes().max(0) / column_minutes).unwrap_or(COLUMNS);
            let Some(column) = COLUMNS.checked_sub(back + 1) else { continue };
            received[column] += 1;
            match line.verdict {
                // What a console has copied, nobody applied.
                Verdict::Applied | Verdict::Superseded if self.was_copied(line) => {}
                Verdict::Applied | Verdict::Superseded => {
                    applied[column] += 1;
                    last_applied = last_applied.max(Some(line.at));
                }
                Verdict::Settling => settling += 1,
                _ => {}
            }
        }
        self.series =
            Series { received, applied, last_applied, settling, silence: self.silence(), version: self.version, at: minute, tick: m.tick };
        self.note_copied(m);
        self.reading.proving &= self.reading.rows_left() > 0;
    }

    /// Since when nothing is applied: the newest events are failures, of several customers whose rows could have been found. What is right
    /// without the application's doing neither ends it nor belongs to it.
    fn silence(&self) -> Option<Silence> {
        let (mut longest, mut bound) = self.silence_besides(&BTreeSet::new())?;
        let Some(cause) = self.main_cause(longest.since) else { return Some(longest) };
        // A handler that takes one type of event proves nothing about another: for the same cause it may have begun before that.
        let failing: BTreeSet<&str> = self.failing(longest.since).map(|l| &*l.kind).collect();
        let mut besides = BTreeSet::new();
        while let Some(kind) = bound.take().filter(|kind| !failing.contains(kind)) {
            besides.insert(kind);
            let Some((longer, before)) = self.silence_besides(&besides) else { break };
            let earlier = self.failing(longer.since).filter(|l| l.at < longest.since);
            if longer.since > longest.since || earlier.map(|l| l.cause).any(|of| of != Some(cause)) {
                break;
            }
            bound = before;
            if longer.since < longest.since {
                longest = longer;
            }
        }
        Some(longest)
    }

    /// What came to nothing since then and says something about the endpoint, the newest first.
    pub(super) fn failing(&self, since: At) -> impl Iterator<Item = &Line> {
        let failed = self.feed.lines.iter().take_while(move |l| l.at >= since).filter(|l| l.verdict.is_failure());
        failed.filter(|l| self.could_be_found(l) && !self.is_another_story(l))
    }

    /// The same, whatever becomes of events of these types; with the type of the event before it that was applied.
    fn silence_besides<'a>(&'a self, besides: &BTreeSet<&'a str>) -> Option<(Silence, Option<&'a str>)> {
        let mut unapplied: Vec<Unapplied> = Vec::new();
        // How many of those are younger than the first effect of which nobody can tell whose it is; and how many of those effects there are.
        let (mut sure, mut open) = (None, 0);
        let (mut later, mut last, mut bound, mut idle) = (0, None, None, 0);
        let swallows = self.swallows();
        for line in self.feed.lines.iter().filter(|l| HANDLED.contains(&&*l.kind) && !besides.contains(&*l.kind)) {
            if open > FAR || idle > FARTHEST || last.is_some_and(|worked| line.at <= worked) {
                break;
            }
            later += 1;
            match line.verdict {
                Verdict::Applied | Verdict::Superseded => match self.witness(line, swallows) {
                    Witness::Worked(at) => {
                        (last, bound) = if last < Some(at) { (Some(at), Some(&*line.kind)) } else { (last, bound) };
                        unapplied.retain(|u| u.line.at > at);
                    }
                    Witness::Open => {
                        open += 1;
                        sure.get_or_insert(unapplied.len());
                    }
                    Witness::Repaired => {
                        idle += 1;
                        unapplied.push(Unapplied { line, later, failed: false });
                    }
                    Witness::None => idle += 1,
                },
                // A row that nobody linked would not be found on the best of days either: it says nothing about the endpoint.
                Verdict::Missing | Verdict::Contradicted if self.could_be_found(line) && !self.is_another_story(line) => {
                    unapplied.push(Unapplied { line, later, failed: true });
                }
                _ => {}
            }
        }
        let certain = sure.map_or(unapplied.len(), |n| n.min(unapplied.len()));
        let at_least = certain < unapplied.len() || idle > FARTHEST;
        unapplied.truncate(certain);
        let oldest = unapplied.last()?;
        let failed = || unapplied.iter().filter(|u| u.failed);
        let mut met = BTreeSet::new();
        let hurt = failed().filter_map(|u| u.line.customer.as_ref()).filter(|c| met.insert(*c));
        let customers: Vec<StripeId> = hurt.cloned().collect();
        let silence = Silence {
            since: oldest.line.at,
            at_least,
            received: oldest.later,
            failed: failed().count(),
            customers,
            last,
            besides: besides.iter().map(ToString::to_string).collect(),
        };
        (silence.customers.len() >= SEVERAL).then_some((silence, bound))
    }

    /// Most of what has come to nothing since the application was last seen at work was answered with success: then none of it is delivered a
    /// second time. By most, since some may never have been sent at all, wherever they stand among the others.
    pub(super) fn swallows(&self) -> bool {
        let (mut answered, mut owed, mut idle) = (0usize, 0usize, 0usize);
        for line in self.feed.lines.iter().filter(|l| HANDLED.contains(&&*l.kind)) {
            match line.verdict {
                Verdict::Applied | Verdict::Superseded => {
                    idle += 1;
                    if idle > FARTHEST || matches!(self.witness(line, true), Witness::Worked(_)) {
                        break;
                    }
                }
                Verdict::Missing | Verdict::Contradicted if self.could_be_found(line) && !self.is_another_story(line) => {
                    if line.pending {
                        owed += 1;
                    } else {
                        answered += 1;
                    }
                }
                _ => {}
            }
        }
        answered > owed
    }

    /// What an event whose effect is there says about the application. `swallows`: it answers events with success that come to nothing, so
    /// that none of them is delivered a second time.
    pub(super) fn witness(&self, line: &Line, swallows: bool) -> Witness {
        let Some(h) = line.subscription.as_ref().and_then(|s| self.feed.courses.get(s)) else { return Witness::Open };
        let idle = || if self.says_processed(line) { Witness::Worked(line.at) } else { Witness::None };
        match h.written.filter(|_| self.stamps_move) {
            // Its case was read after a run here had mended the row, and the row itself not yet.
            Some(written) if written < line.at - CLOCKS && self.is_mended_unread(h) => Witness::Repaired,
            // It was right before the event came. What the event changed cannot have been there shortly before: unless a clock is off.
            Some(written) if written < line.at - CLOCKS => {
                let odd = line.at - written <= MOVES_WITHIN && !h.demanded_nothing(&line.id);
                if odd { Witness::Open } else { idle() }
            }
            // Copied from Stripe by a console.
            Some(written) if self.is_by_hand(&h.customer, written) => Witness::Repaired,
            Some(written) if written <= line.at + self.allowance() => Witness::Worked(line.at),
            // Long after, and the application says itself that it processed the event then: it was sent again.
            Some(written) if self.processed_at(line).is_some_and(|at| (at - written).abs() <= SHORTLY) => Witness::Worked(written),
            // Long after: a delivery that Stripe repeated, or somebody's hands.
            Some(_) if line.pending || swallows => Witness::None,
            Some(written) => Witness::Worked(written),
            None if h.demanded_nothing(&line.id) => idle(),
            None => match h.stand {
                Some(Stand::At(_) | Stand::Current) => Witness::Open,
                _ => Witness::None,
            },
        }
    }

    /// The application itself says that it processed the event.
    pub(super) fn says_processed(&self, line: &Line) -> bool {
        let noted = self.received.get(&line.id).is_some_and(|r| r.said.processed == Some(true) || r.said.processed_at.is_some());
        noted || self.scene.log.as_ref().is_some_and(|t| t.processed(line.id.as_str()).is_some())
    }

    /// When it says that it did, where it says when.
    fn processed_at(&self, line: &Line) -> Option<At> {
        let noted = self.received.get(&line.id).and_then(|r| r.said.processed_at);
        let logged = self.scene.log.as_ref().and_then(|t| t.processed(line.id.as_str()));
        noted.max(logged)
    }

    /// The endpoint was off when it happened and is on now, or the application did apply it: it says nothing about what is sent today.
    fn is_another_story(&self, line: &Line) -> bool {
        line.cause.is_some_and(|cause| self.says_nothing_of_now(cause, &line.kind))
    }

    /// What came to nothing for this cause says nothing about what is sent today.
    pub(super) fn says_nothing_of_now(&self, cause: Cause, kind: &str) -> bool {
        match cause {
            Cause::NeverSent => self.scene.endpoint().is_some_and(|e| e.enabled && e.subscribes_to(kind)),
            Cause::WrittenOver | Cause::OlderApplied | Cause::Duplicate => true,
            _ => false,
        }
    }

    pub(super) fn could_be_found(&self, line: &Line) -> bool {
        line.customer.as_ref().is_some_and(|c| self.rows.contains_key(c))
    }

    /// The cause of the silence; unknown where nothing tells. `None`: events are applied.
    #[must_use]
    pub fn silence_cause(&self) -> Option<Cause> {
        let silence = self.series.silence.as_ref()?;
        Some(self.main_cause(silence.since).unwrap_or(Cause::Unknown))
    }

    /// The finding that nothing is applied any more, with the likely cause below it.
    #[must_use]
    pub fn silence_finding(&self) -> Option<Finding> {
        let silence = self.series.silence.as_ref()?;
        let hurt = silence.customers.len();
        // While some are still looked at, each that turns out to be hurt may make it longer and more.
        let (read, of) = self.cases();
        let unsure = read < of || self.feed.suspects().next().is_some();
        let counted = |n: usize, of: &str| format!("{} {of}{}", group(n as u64), if n == 1 { "" } else { "s" });
        let mut evidence = vec![format!(
            "{} since {}, {} of them without effect",
            counted(silence.received, "event"),
            stamp(silence.since),
            group(silence.failed as u64)
        )];
        evidence.extend(silence.last.map(|at| format!("the application was last seen to apply one at {}", stamp(at))));
        if silence.at_least {
            evidence.push(
                "rows do not say when they were written: what is right before then may be the application's work or somebody's".into(),
            );
        }
        evidence.extend((read < of).then(|| format!("{} of {} were looked at closer so far", group(read as u64), group(of as u64))));
        evidence.extend(self.not_grouped());
        evidence.extend(self.groups.iter().flat_map(|g| g.evidence.iter().cloned()).take(12));
        let what = match (silence.at_least, silence.besides.is_empty()) {
            (true, true) => "Nothing was applied, at least since",
            (false, true) => "Nothing Stripe sent was applied since",
            (_, false) => silence.of_what(),
        };
        if !silence.besides.is_empty() {
            let besides: Vec<&str> = silence.besides.iter().map(String::as_str).collect();
            evidence.push(format!("{} goes on being applied: another handler", besides.join(", ")));
        }
        // Before the log was read, a cause would be a guess.
        let likely = if self.is_still_looking_why() { String::new() } else { self.likely(silence.since) };
        let open = unsure || likely.is_empty();
        Some(Finding {
            word: Word::Fail,
            sentence: format!("{what} {}", silence.since.format("%H:%M")),
            size: format!("{}{} hurt", group(hurt as u64), if unsure { "+" } else { "" }),
            reason: match (open, likely.is_empty()) {
                (true, true) => "Still looking why: the application's log is being read.".into(),
                (true, false) => format!("{likely} Still looking: it may be longer, and hurt more."),
                _ => likely,
            },
            about: About::Webhooks { since: silence.since, customers: silence.customers.clone() },
            evidence,
        })
    }
}

pub(super) fn stamp(at: At) -> String {
    at.format("%-d %b %H:%M:%SZ").to_string()
}
