//! The list of sessions by harm: what is filtered, sorted, folded and marked, and where the selection stands.

use crate::console::pool::Seen;
use crate::console::widgets::form::TextField;
use crate::console::widgets::table::Cursor;
use crate::domain::filter::{Fields, Filter};
use crate::domain::sessions::{Class, Session, SessionId};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct List {
    pub field: TextField,
    pub focused: bool,
    pub sort: Sort,
    /// Healthy sessions have a row each too.
    pub unfolded: bool,
    pub marked: BTreeSet<SessionId>,
    /// Places of the sessions that pass, in their order. Shared, since the state is copied whenever a key may be the first of a paste.
    #[serde(skip)]
    rows: Arc<Vec<u32>>,
    /// How many healthy ones share the last row.
    folded: usize,
    cursor: Cursor,
    /// What the selection stands on, once it was moved; before that it is on the worst.
    anchor: Option<SessionId>,
}

/// How the list is ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    #[default]
    Harm,
    Age,
    Transaction,
    Blocks,
    Application,
}

/// The fields that a filter may name.
pub const FIELDS: &[&str] = &["app", "role", "db", "client", "state", "class", "wait", "pid", "age", "tx", "blocks"];

/// What tells the session from all others, as far as our role sees it.
#[must_use]
pub fn key(session: &Session) -> SessionId {
    session.id().unwrap_or(SessionId { pid: session.pid, began_us: 0 })
}

impl Sort {
    pub const ALL: [Sort; 5] = [Sort::Harm, Sort::Age, Sort::Transaction, Sort::Blocks, Sort::Application];

    /// How a title says it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Sort::Harm => "worst first",
            Sort::Age => "longest in its state first",
            Sort::Transaction => "oldest transaction first",
            Sort::Blocks => "most waiting for it first",
            Sort::Application => "by application",
        }
    }
}

impl List {
    /// Looks through the sessions as they are now.
    pub fn sync(&mut self, seen: &Seen) {
        let filter = Filter::parse(self.field.text());
        let open = self.unfolded || !filter.is_empty();
        let sessions = &seen.activity.sessions;
        let listed = |i: usize| open || seen.classes[i].is_harmful() || seen.classes[i] == Class::Active;
        let mut rows: Vec<usize> = (0..sessions.len()).filter(|i| listed(*i) && filter.accepts(&Entry { seen, at: *i })).collect();
        self.folded = if open { 0 } else { sessions.len() - rows.len() };
        let victims = |i: usize| Reverse(seen.blocking.victims(sessions[i].pid));
        // Where there is no such time, it comes behind those that have one.
        let late = |at: Option<crate::domain::At>| (at.is_none(), at);
        match self.sort {
            Sort::Harm => rows.sort_by_key(|i| (seen.classes[*i], victims(*i), late(sessions[*i].state_change), sessions[*i].pid)),
            Sort::Age => rows.sort_by_key(|i| (late(sessions[*i].state_change), sessions[*i].pid)),
            Sort::Transaction => rows.sort_by_key(|i| (late(sessions[*i].xact_start), sessions[*i].pid)),
            Sort::Blocks => rows.sort_by_key(|i| (victims(*i), seen.classes[*i], sessions[*i].pid)),
            Sort::Application => {
                rows.sort_by(|a, b| {
                    let key = |i: usize| (&sessions[i].application, seen.classes[i], sessions[i].pid);
                    key(*a).cmp(&key(*b))
                });
            }
        }
        self.rows = Arc::new(rows.into_iter().filter_map(|i| u32::try_from(i).ok()).collect());
        let same = |at: &usize| self.row(*at, seen).is_some_and(|s| Some(key(s)) == self.anchor);
        let here = Some(self.cursor.at).filter(same);
        if let Some(at) = here.or_else(|| self.anchor.and_then(|_| (0..self.rows.len()).find(same))) {
            self.cursor.at = at;
        }
        self.cursor.clamp(self.len());
        self.marked.retain(|id| seen.activity.find(*id).is_some());
    }

    /// Rows: a session each, and one for all that are folded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() + usize::from(self.folded > 0)
    }

    /// How many sessions have a row of their own.
    #[must_use]
    pub fn passing(&self) -> usize {
        self.rows.len()
    }

    #[must_use]
    pub fn folded(&self) -> usize {
        self.folded
    }

    /// The last row stands for those that are folded.
    #[must_use]
    pub fn is_fold(&self, at: usize) -> bool {
        self.folded > 0 && at == self.rows.len()
    }

    /// The session in this row.
    #[must_use]
    pub fn row<'a>(&self, at: usize, seen: &'a Seen) -> Option<&'a Session> {
        self.place(at).and_then(|i| seen.activity.sessions.get(i))
    }

    /// The place of that session among all.
    #[must_use]
    pub fn place(&self, at: usize) -> Option<usize> {
        self.rows.get(at).and_then(|i| usize::try_from(*i).ok())
    }

    #[must_use]
    pub fn selected<'a>(&self, seen: &'a Seen) -> Option<&'a Session> {
        self.row(self.cursor.at, seen)
    }

    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Moves by so many rows.
    pub fn by(&mut self, rows: isize, seen: &Seen) {
        self.cursor.by(rows, self.len());
        self.anchor = self.selected(seen).map(key);
    }

    /// Marks what is selected, or takes the mark back, and goes on to the next.
    pub fn mark(&mut self, seen: &Seen) {
        let Some(id) = self.selected(seen).and_then(Session::id) else { return };
        if !self.marked.remove(&id) {
            self.marked.insert(id);
        }
        self.by(1, seen);
    }

    /// The list through this filter, from its top.
    pub fn look(&mut self, text: &str) {
        self.field.set(text);
        self.focused = false;
        self.begin_at_top();
    }

    /// From the top again, for an order that has changed.
    pub fn begin_at_top(&mut self) {
        (self.cursor, self.anchor) = (Cursor::default(), None);
    }

    /// The filter and the order have a line, where they are not what one starts with.
    #[must_use]
    pub fn has_filter_line(&self) -> bool {
        self.focused || !self.field.is_empty() || self.sort != Sort::Harm
    }

    /// The first field that the filter names and no session has.
    #[must_use]
    pub fn stranger(&self) -> Option<String> {
        Filter::parse(self.field.text()).stranger(FIELDS).map(String::from)
    }
}

/// A session as a filter asks it.
struct Entry<'a> {
    seen: &'a Seen,
    at: usize,
}

impl Entry<'_> {
    fn session(&self) -> &Session {
        &self.seen.activity.sessions[self.at]
    }

    fn field(&self, field: &str) -> Option<String> {
        let s = self.session();
        let text = |label: &Option<crate::domain::sessions::Label>| label.as_ref().map_or("", |l| l).to_lowercase();
        Some(match field {
            "app" => s.application.to_lowercase(),
            "role" => text(&s.role),
            "db" => text(&s.database),
            "client" => s.client.as_ref().map_or_else(|| "local".to_string(), |c| c.to_lowercase()),
            "state" => s.state.map_or("hidden", |state| state.word()).to_string(),
            "class" => self.seen.classes[self.at].word().to_string(),
            "wait" => s.wait.as_ref().map(|(kind, event)| format!("{kind}:{event}").to_lowercase()).unwrap_or_default(),
            "pid" => s.pid.to_string(),
            _ => return None,
        })
    }
}

impl Fields for Entry<'_> {
    fn any(&self, needle: &str) -> bool {
        ["app", "role", "db", "client", "state", "class", "pid"].iter().any(|field| self.has(field, needle))
    }

    fn has(&self, field: &str, needle: &str) -> bool {
        self.field(field).is_some_and(|text| text.contains(needle))
    }

    fn number(&self, field: Option<&str>) -> Option<i64> {
        let (s, now) = (self.session(), self.seen.activity.at);
        match field {
            None | Some("age") => s.age_in_state(now).map(|age| age.num_minutes()),
            Some("tx") => s.age_of_transaction(now).map(|age| age.num_minutes()),
            Some("blocks") => i64::try_from(self.seen.blocking.victims(s.pid)).ok(),
            Some("pid") => Some(i64::from(s.pid)),
            Some(_) => None,
        }
    }
}
