//! The application's log lines around a range of events, by time and by the ids they name. It reads no log.

use crate::domain::At;
use crate::domain::webhooks::log::{Level, LogLine};
use crate::domain::webhooks::saying::{Saying, is_general, saying};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The requests of one probe reach the application within so many seconds of each other.
const PROBE_SECONDS: i64 = 3;

/// So many lines are kept, the newest.
const AT_MOST: usize = 20_000;

/// Lines that say something about webhooks, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    lines: Vec<Heard>,
    /// Positions of the lines that name an id.
    by_id: BTreeMap<String, Vec<usize>>,
    /// What speaks of a failure and names no event, by what it says: when, and where it stands; oldest first.
    #[serde(default)]
    unnamed: BTreeMap<Saying, Vec<(At, usize)>>,
    /// From when on every such line is there. `None`: some may be lacking anywhere.
    since: Option<At>,
    /// It names events, so that its silence about one means something.
    names_events: bool,
    /// It says of events that they were processed.
    tells_processed: bool,
}

/// A line with what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Heard {
    said: Saying,
    /// It names no event, and is about webhooks all the same.
    general: bool,
    line: LogLine,
}

impl Trail {
    /// `since`: from when on no line is lacking; `None` where the search was cut.
    #[must_use]
    pub fn new(lines: impl IntoIterator<Item = LogLine>, since: Option<At>) -> Self {
        let heard = |line: LogLine| {
            // A failure in words that nobody foresaw is one all the same.
            let failed = || (line.level == Some(Level::Error) && names_event(&line)).then_some(Saying::Failed);
            let said = saying(&line.text).or_else(failed)?;
            let general = !names_event(&line) && is_general(said, &line.text);
            Some(Heard { said, general, line })
        };
        let mut trail = Self { lines: lines.into_iter().filter_map(heard).collect(), since, ..Self::default() };
        // A line without a time stands where nothing near a moment is looked for.
        trail.lines.sort_by_key(|h| h.line.at);
        trail.forget_probes();
        trail.index();
        trail
    }

    /// With what is known of before it begins: what speaks of a failure or a start, and what `matters` besides. Its silence about that time
    /// goes on meaning nothing.
    #[must_use]
    pub fn after(mut self, older: &Trail, matters: impl Fn(&LogLine) -> bool) -> Self {
        let own: BTreeSet<(Option<At>, &str)> = match self.since {
            Some(_) => BTreeSet::new(),
            None => self.lines.iter().map(|h| (h.line.at, h.line.text.as_str())).collect(),
        };
        let is_older = |h: &&Heard| match self.since {
            Some(since) => h.line.at.is_some_and(|at| at < since),
            None => !own.contains(&(h.line.at, h.line.text.as_str())),
        };
        let kept = |h: &&Heard| h.said.is_failure() || h.said == Saying::Started || matters(&h.line);
        let older: Vec<Heard> = older.lines.iter().filter(is_older).filter(kept).cloned().collect();
        if older.is_empty() {
            return self;
        }
        self.lines.extend(older);
        self.lines.sort_by_key(|h| h.line.at);
        let surplus = self.lines.len().saturating_sub(AT_MOST);
        self.lines.drain(..surplus);
        self.by_id.clear();
        self.unnamed.clear();
        self.index();
        self
    }

    /// From when on no such line is lacking.
    #[must_use]
    pub fn since(&self) -> Option<At> {
        self.since
    }

    fn index(&mut self) {
        let trail = self;
        for (position, heard) in trail.lines.iter().enumerate() {
            for id in &heard.line.ids {
                trail.by_id.entry(id.clone()).or_default().push(position);
            }
            if let Some(at) = heard.line.at.filter(|_| heard.general && heard.said.is_failure()) {
                trail.unnamed.entry(heard.said).or_default().push((at, position));
            }
            trail.names_events |= names_event(&heard.line);
            trail.tells_processed |= heard.said == Saying::Processed && names_event(&heard.line);
        }
    }

    /// Lets go of what a probe made the application say, whoever sent it: a refused signature and a refused time within seconds of each
    /// other. What Stripe sends to one application is refused for the one or for the other.
    fn forget_probes(&mut self) {
        let refused = |of: Saying| -> Vec<At> {
            let these = self.lines.iter().filter(|h| h.general && h.said == of);
            these.filter_map(|h| h.line.at).collect()
        };
        let (signatures, times) = (refused(Saying::Signature), refused(Saying::Tolerance));
        let beside = |others: &[At], at: At| {
            let next = others.partition_point(|other| *other < at - chrono::Duration::seconds(PROBE_SECONDS));
            others.get(next).is_some_and(|other| (*other - at).num_seconds() <= PROBE_SECONDS)
        };
        self.lines.retain(|h| match (h.said, h.line.at) {
            (Saying::Signature, Some(at)) if h.general => !beside(&times, at),
            (Saying::Tolerance, Some(at)) if h.general => !beside(&signatures, at),
            _ => true,
        });
    }

    /// Every line that names the id, oldest first, with what it says.
    pub fn naming<'a>(&'a self, id: &str) -> impl Iterator<Item = (Saying, &'a LogLine)> + use<'a> {
        self.by_id.get(id).into_iter().flatten().filter_map(|position| self.lines.get(*position)).map(|h| (h.said, &h.line))
    }

    /// What failures are spoken of without the name of an event: each is about whatever came then.
    pub fn unnamed(&self) -> impl Iterator<Item = Saying> {
        self.unnamed.keys().copied()
    }

    /// The first line that says so, names no event, and stands so many seconds after the moment; with its place in the log. What was said
    /// within `of_probe` seconds of a probe is passed over. Found by halves: thousands of events may ask a log of thousands of lines.
    pub fn first_unnamed(
        &self,
        said: Saying,
        at: At,
        seconds: &RangeInclusive<i64>,
        (probed, of_probe): (Option<At>, i64),
    ) -> Option<(usize, &LogLine)> {
        let these = self.unnamed.get(&said)?;
        let from = |next: usize| these.get(next).filter(|(of, _)| (*of - at).num_seconds() <= *seconds.end());
        let mut next = these.partition_point(|(of, _)| (*of - at).num_seconds() < *seconds.start());
        if let (Some(probed), Some((of, _))) = (probed, from(next))
            && (*of - probed).num_seconds().abs() <= of_probe
        {
            next = these.partition_point(|(of, _)| (*of - probed).num_seconds() <= of_probe);
        }
        let (_, place) = from(next)?;
        Some((*place, &self.lines.get(*place)?.line))
    }

    /// Whether silence about an event of that time means something: every line is here, and the application names events in its log.
    #[must_use]
    pub fn would_name(&self, at: At) -> bool {
        self.names_events && self.since.is_some_and(|since| since <= at)
    }

    /// When that event was processed last.
    #[must_use]
    pub fn processed(&self, event: &str) -> Option<At> {
        self.naming(event).filter(|(said, _)| *said == Saying::Processed).filter_map(|(_, line)| line.at).max()
    }

    /// When any event was processed last: its signature was accepted then.
    #[must_use]
    pub fn last_processed(&self) -> Option<At> {
        self.lines.iter().filter(|h| h.said == Saying::Processed).filter_map(|h| h.line.at).max()
    }

    /// Whether the log says which events were processed.
    #[must_use]
    pub fn tells_processed(&self) -> bool {
        self.tells_processed
    }

    /// The last start of the process that is no younger than the moment, and not half an hour older.
    #[must_use]
    pub fn started_before(&self, at: At) -> Option<At> {
        let starts = self.lines.iter().filter(|h| h.said == Saying::Started).filter_map(|h| h.line.at);
        starts.filter(|start| *start <= at && (at - *start).num_minutes() < 30).max()
    }
}

pub(super) fn names_event(line: &LogLine) -> bool {
    line.ids.iter().any(|id| id.starts_with("evt_"))
}
