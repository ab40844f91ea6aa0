//! The list of events: what is filtered, sorted, put together and marked, and where the selection stands. Nothing moves under the cursor.

use super::index::{Bucket, By, FIELDS, Fixes, Index, Sort, fixes};
use crate::console::widgets::form::TextField;
use crate::console::widgets::table::Cursor;
use crate::domain::At;
use crate::domain::filter::{Fields, Filter, quoted};
use crate::domain::ids::StripeId;
use crate::domain::webhooks::feed::{Group, Line, RawEvent};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Events {
    pub field: TextField,
    pub focused: bool,
    pub sort: Sort,
    pub by: Option<By>,
    /// Shared, since the state is copied whenever a key may be the first of a paste; made anew from the lines where it is missing.
    #[serde(skip)]
    index: Arc<Index>,
    #[serde(skip)]
    rows: Arc<Vec<u32>>,
    #[serde(skip)]
    buckets: Vec<Bucket>,
    /// Places of the raw elements that pass.
    raw: Vec<usize>,
    cursor: Cursor,
    /// What the selection stands on, wherever that moves.
    anchor: Option<StripeId>,
    /// The newest event that has been let in: newer ones wait.
    newest: Option<(At, StripeId)>,
    waiting: usize,
    pub marked: BTreeSet<StripeId>,
    /// Those of them whose effect is missing, in the order of the list.
    #[serde(default)]
    lacking: Vec<StripeId>,
}

/// What a row of the list is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Row<'a> {
    /// Could not be read as an event: shown as it is.
    Raw(&'a RawEvent),
    Event(&'a Line),
    Bucket(&'a Bucket, &'a Line),
}

impl Events {
    /// Looks through the lines as they are now. What has come since the operator last looked waits, unless the list rests at its top
    /// with nothing selected on purpose.
    pub fn sync(&mut self, lines: &[Line], raw: &[RawEvent], groups: &[Group], now: At) {
        Index::follow(&mut self.index, lines);
        let at_rest = self.cursor.at == 0 && self.marked.is_empty() && self.field.is_empty() && self.sort == Sort::Newest;
        if self.newest.is_none() || at_rest {
            self.accept(lines);
        }
        self.waiting = self.newest.as_ref().map_or(0, |(at, id)| lines.iter().take_while(|l| l.at >= *at && l.id != *id).count());
        // The mark itself may have left the range: then everything older than it stands.
        let filter = Filter::parse(self.field.text());
        let fixes = if filter.names("fix") { fixes(groups) } else { Fixes::new() };
        self.rows = Arc::new(self.index.chosen(lines, self.waiting, &filter, &fixes, self.sort, now));
        self.raw = (0..raw.len()).filter(|i| filter.accepts(&Unread(&raw[*i]))).collect();
        self.buckets = self.by.map(|by| self.index.buckets(lines, &self.rows, by)).unwrap_or_default();
        let followed = self.anchor.as_ref().filter(|_| self.by.is_none()).and_then(|id| {
            let same = |row: &u32| lines[place(*row)].id == *id;
            // Where it stood before is where it most likely still stands.
            let near = self.cursor.at.saturating_sub(self.raw.len());
            let here = self.rows.get(near).is_some_and(same);
            if here { Some(near) } else { self.rows.iter().position(same) }
        });
        if let Some(at) = followed {
            self.cursor.at = at + self.raw.len();
        }
        self.cursor.clamp(self.len());
        self.hold_marks(lines);
        self.remember(lines, raw);
    }

    /// Lets in what waits.
    pub fn accept(&mut self, lines: &[Line]) {
        self.newest = lines.first().map(|l| (l.at, l.id.clone()));
    }

    /// Moves by so many rows.
    pub fn by(&mut self, rows: isize, lines: &[Line], raw: &[RawEvent]) {
        self.cursor.by(rows, self.len());
        self.remember(lines, raw);
    }

    /// Marks what is selected, or takes the mark back, and goes on to the next.
    pub fn mark(&mut self, lines: &[Line], raw: &[RawEvent]) {
        let Some(Row::Event(line)) = self.selected(lines, raw) else { return };
        let id = line.id.clone();
        if !self.marked.remove(&id) {
            self.marked.insert(id);
        }
        self.hold_marks(lines);
        self.by(1, lines, raw);
    }

    /// Marks everything that is shown and whose effect is missing, at most so many; or takes all marks back.
    pub fn mark_shown(&mut self, lines: &[Line], at_most: usize) {
        self.marked = self.lacking_shown(lines).take(at_most).cloned().collect();
        self.hold_marks(lines);
    }

    pub fn unmark(&mut self) {
        self.marked.clear();
        self.lacking.clear();
    }

    /// What is marked and has no effect, in the order of the list.
    #[must_use]
    pub fn lacking(&self) -> &[StripeId] {
        &self.lacking
    }

    /// What is shown and has no effect, in the order of the list.
    pub fn lacking_shown<'a>(&self, lines: &'a [Line]) -> impl Iterator<Item = &'a StripeId> {
        self.rows.iter().filter_map(|row| lines.get(place(*row))).filter(|l| l.verdict.is_failure()).map(|l| &l.id)
    }

    /// Marks are of what is shown: nothing unseen is taken into a fix. While a filter is being typed nobody knows yet what it will show.
    fn hold_marks(&mut self, lines: &[Line]) {
        if self.focused || self.marked.is_empty() {
            self.lacking.clear();
            return;
        }
        let marked: HashSet<&StripeId> = self.marked.iter().collect();
        let shown = self.rows.iter().filter_map(|row| lines.get(place(*row))).filter(|l| marked.contains(&l.id));
        let shown: Vec<(StripeId, bool)> = shown.map(|l| (l.id.clone(), l.verdict.is_failure())).collect();
        self.lacking = shown.iter().filter(|(_, lacks)| *lacks).map(|(id, _)| id.clone()).collect();
        self.marked = shown.into_iter().map(|(id, _)| id).collect();
    }

    /// Narrows to what is selected in a list that is put together.
    pub fn narrow(&mut self, lines: &[Line], raw: &[RawEvent]) {
        let Some(by) = self.by else { return };
        let Some(Row::Bucket(_, line)) = self.selected(lines, raw) else { return };
        let value = match by {
            By::Kind => line.kind.to_string(),
            By::Customer => line.customer.as_ref().map(ToString::to_string).unwrap_or_default(),
            By::Verdict => line.verdict.word().to_string(),
        };
        let text = format!("{} {}:{}", self.field.text(), by.field(), quoted(&value));
        self.look(text.trim());
    }

    /// The list through this filter, one row an event, from its top.
    pub fn look(&mut self, text: &str) {
        self.field.set(text);
        (self.by, self.focused, self.anchor) = (None, false, None);
        self.cursor = Cursor::default();
    }

    /// From the top again, for an order that has changed.
    pub fn begin_at_top(&mut self) {
        (self.cursor, self.anchor) = (Cursor::default(), None);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.len() + if self.by.is_some() { self.buckets.len() } else { self.rows.len() }
    }

    /// Events that pass, whatever they are put together by.
    #[must_use]
    pub fn passing(&self) -> usize {
        self.rows.len()
    }

    /// New events that wait to be let in.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The row at this place. Nothing where the lines are no longer those that were looked through.
    #[must_use]
    pub fn row<'a>(&'a self, at: usize, lines: &'a [Line], raw: &'a [RawEvent]) -> Option<Row<'a>> {
        if let Some(i) = self.raw.get(at) {
            return raw.get(*i).map(Row::Raw);
        }
        let at = at - self.raw.len();
        if self.by.is_some() {
            let bucket = self.buckets.get(at)?;
            return lines.get(place(bucket.first)).map(|line| Row::Bucket(bucket, line));
        }
        lines.get(place(*self.rows.get(at)?)).map(Row::Event)
    }

    #[must_use]
    pub fn selected<'a>(&'a self, lines: &'a [Line], raw: &'a [RawEvent]) -> Option<Row<'a>> {
        self.row(self.cursor.at, lines, raw)
    }

    /// A field in the filter that events do not have.
    #[must_use]
    pub fn stranger(&self) -> Option<String> {
        Filter::parse(self.field.text()).stranger(FIELDS).map(ToString::to_string)
    }

    fn remember(&mut self, lines: &[Line], raw: &[RawEvent]) {
        self.anchor = match self.selected(lines, raw) {
            // At the very top one follows the top, and not what happens to stand there.
            Some(Row::Event(line)) if self.cursor.at > 0 => Some(line.id.clone()),
            _ => None,
        };
    }
}

fn place(row: u32) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

struct Unread<'a>(&'a RawEvent);

impl Fields for Unread<'_> {
    fn any(&self, needle: &str) -> bool {
        self.0.text.to_lowercase().contains(needle)
    }

    fn has(&self, field: &str, needle: &str) -> bool {
        field == "id" && self.0.id.as_ref().is_some_and(|id| id.to_lowercase().contains(needle))
    }

    fn number(&self, _field: Option<&str>) -> Option<i64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::webhooks::cause::Cause;
    use crate::domain::webhooks::verdict::Verdict;
    use chrono::{Duration, TimeZone, Utc};

    fn at(minutes: i64) -> At {
        Utc.with_ymd_and_hms(2026, 11, 22, 3, 0, 0).single().expect("a moment") - Duration::minutes(minutes)
    }

    fn line(n: i64, verdict: Verdict) -> Line {
        let id = |text: String| StripeId::parse(&text).expect("an id");
        let kind = if n % 2 == 0 { "customer.subscription.updated" } else { "invoice.payment_failed" };
        Line {
            id: id(format!("evt_Event{n:04}")),
            kind: kind.into(),
            at: at(n),
            object: Some(id(format!("sub_Object{n:04}"))),
            customer: Some(id(format!("cus_Person{:03}", n % 3))),
            subscription: None,
            pending: false,
            verdict,
            cause: verdict.is_failure().then_some(Cause::ApiVersion),
        }
    }

    fn lines(from: i64, to: i64) -> Vec<Line> {
        (from..to).map(|n| line(n, if n % 5 == 0 { Verdict::Missing } else { Verdict::Applied })).collect()
    }

    fn ids(events: &Events, lines: &[Line]) -> Vec<String> {
        (0..events.len())
            .filter_map(|i| match events.row(i, lines, &[])? {
                Row::Event(line) => Some(line.id.to_string()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn filters_by_text_field_age_and_verdict() {
        let all = lines(0, 40);
        let mut events = Events::default();
        for (filter, count) in [
            ("", 40),
            ("evt_event0007", 1),
            ("type:invoice", 20),
            ("!type:invoice verdict:missing", 4),
            ("cause:api", 8),
            ("api version", 8),
            ("\"api version\"", 8),
            (">29", 10),
            ("customer:person001 <10m", 3),
            ("object:cus_", 0),
        ] {
            events.look(filter);
            events.sync(&all, &[], &[], at(0));
            assert_eq!(events.passing(), count, "{filter}");
        }
        events.look("custmer:x");
        assert_eq!(events.stranger().as_deref(), Some("custmer"));
    }

    #[test]
    fn the_selection_follows_its_event_and_new_ones_wait() {
        let mut events = Events::default();
        let old = lines(10, 30);
        events.sync(&old, &[], &[], at(0));
        events.by(3, &old, &[]);
        let selected = |e: &Events, all: &[Line]| match e.selected(all, &[]) {
            Some(Row::Event(line)) => line.id.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(selected(&events, &old), "evt_Event0013");
        let grown = lines(4, 34);
        events.sync(&grown, &[], &[], at(0));
        assert_eq!((events.waiting(), events.passing(), events.cursor().at), (6, 24, 3), "nothing moved");
        assert_eq!(selected(&events, &grown), "evt_Event0013");
        events.accept(&grown);
        events.sync(&grown, &[], &[], at(0));
        assert_eq!((events.waiting(), events.cursor().at), (0, 9), "let in, and the selection went with its event");
        assert_eq!(selected(&events, &grown), "evt_Event0013");
        // What it stood on has left the range: it stays in the list.
        let later = lines(0, 5);
        events.sync(&later, &[], &[], at(0));
        assert!(events.cursor().at < events.len().max(1));
    }

    #[test]
    fn a_list_at_rest_shows_the_newest_by_itself() {
        let mut events = Events::default();
        events.sync(&lines(10, 30), &[], &[], at(0));
        events.sync(&lines(4, 30), &[], &[], at(0));
        assert_eq!((events.waiting(), events.passing()), (0, 26));
    }

    #[test]
    fn orders_and_groups() {
        let all = lines(0, 30);
        let mut events = Events::default();
        let shown = |events: &mut Events, sort, by| {
            (events.sort, events.by) = (sort, by);
            events.sync(&all, &[], &[], at(0));
            ids(events, &all)
        };
        assert_eq!(shown(&mut events, Sort::Oldest, None)[0], "evt_Event0029");
        assert_eq!(shown(&mut events, Sort::Verdict, None)[..2], ["evt_Event0000", "evt_Event0005"]);
        assert_eq!(shown(&mut events, Sort::Kind, None)[0], "evt_Event0000");
        assert_eq!(shown(&mut events, Sort::Customer, None)[..2], ["evt_Event0000", "evt_Event0003"]);
        shown(&mut events, Sort::Newest, Some(By::Verdict));
        let Some(Row::Bucket(bucket, line)) = events.row(0, &all, &[]) else { panic!("a bucket") };
        assert_eq!((bucket.events, bucket.failing, line.verdict), (6, 6, Verdict::Missing));
        events.narrow(&all, &[]);
        events.sync(&all, &[], &[], at(0));
        assert_eq!((events.field.text(), events.passing()), ("verdict:missing", 6));
        shown(&mut events, Sort::Newest, Some(By::Customer));
        assert_eq!(events.len(), 3);
    }

    #[test]
    fn what_cannot_be_read_stands_in_the_list_and_can_be_filtered() {
        let raw = vec![RawEvent { id: Some("evt_Odd".into()), text: "{\"object\":\"even\"}".into() }];
        let all = lines(0, 3);
        let mut events = Events::default();
        events.sync(&all, &raw, &[], at(0));
        assert_eq!(events.len(), 4);
        assert!(matches!(events.row(0, &all, &raw), Some(Row::Raw(_))));
        events.look("even\"");
        events.sync(&all, &raw, &[], at(0));
        assert_eq!(events.len(), 4, "a quote belongs to the filter's own language");
        events.look("evt_event");
        events.sync(&all, &raw, &[], at(0));
        assert_eq!(events.len(), 3);
    }
}
