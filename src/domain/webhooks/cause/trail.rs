//! The application's log lines around a range of events, by time and by the ids they name. It reads no log.

use super::saying::{Saying, saying};
use crate::domain::At;
use crate::domain::webhooks::log::LogLine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lines that say something about webhooks, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    lines: Vec<LogLine>,
    /// Positions of the lines that name an id.
    by_id: BTreeMap<String, Vec<usize>>,
    /// From when on every such line is there. `None`: some may be lacking anywhere.
    since: Option<At>,
}

impl Trail {
    /// `since`: from when on no line is lacking; `None` where the search was cut.
    #[must_use]
    pub fn new(lines: impl IntoIterator<Item = LogLine>, since: Option<At>) -> Self {
        let mut lines: Vec<LogLine> = lines.into_iter().filter(|l| saying(&l.text).is_some() || !l.ids.is_empty()).collect();
        // A line without a time stands where nothing near a moment is looked for.
        lines.sort_by_key(|l| l.at);
        let mut by_id: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (position, line) in lines.iter().enumerate() {
            for id in &line.ids {
                by_id.entry(id.clone()).or_default().push(position);
            }
        }
        Self { lines, by_id, since }
    }

    /// Every line that names the id, oldest first.
    pub fn naming<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a LogLine> + use<'a> {
        self.by_id.get(id).into_iter().flatten().filter_map(|position| self.lines.get(*position))
    }

    /// The lines between two moments, both included, that name no event: what they say is about whatever came then.
    pub fn unnamed(&self, from: At, to: At) -> impl Iterator<Item = &LogLine> {
        let first = self.lines.partition_point(|l| l.at.is_none_or(|at| at < from));
        let within = self.lines.iter().skip(first).take_while(move |l| l.at.is_some_and(|at| at <= to));
        within.filter(|l| !l.ids.iter().any(|id| id.starts_with("evt_")))
    }

    /// Whether silence about an event of that time means something: every line is here, and the application names events in its log.
    #[must_use]
    pub fn would_name(&self, at: At) -> bool {
        self.since.is_some_and(|since| since <= at)
            && self.by_id.range("evt_".to_string()..).next().is_some_and(|(id, _)| id.starts_with("evt_"))
    }

    /// The last start of the process that is no younger than the moment, and not half an hour older.
    #[must_use]
    pub fn started_before(&self, at: At) -> Option<At> {
        let starts = self.lines.iter().filter(|l| saying(&l.text) == Some(Saying::Started)).filter_map(|l| l.at);
        starts.filter(|start| *start <= at && (at - *start).num_minutes() < 30).max()
    }
}
