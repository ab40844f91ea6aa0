//! What the pool's pane knows besides the watch over the sessions: its tab, what is selected in each, what is frozen, what sessions run.

use super::list::{List, key};
use super::tell;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::pool::Seen;
use crate::console::widgets::table::Cursor;
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::domain::sessions::{By, Group, Label, Session, SessionId, groups};
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(super) tab: Tab,
    pub(super) list: List,
    /// The place among [`CRITERIA`].
    pub(super) by: usize,
    #[serde(skip)]
    pub(super) groups: Vec<Group>,
    pub(super) group: Cursor,
    /// What the selection among the groups stands on, once it was moved; the same for the tree of blockers.
    group_anchor: Option<Vec<Label>>,
    pub(super) blocker: Cursor,
    blocker_anchor: Option<i32>,
    /// The sessions as they were when the operator froze them.
    #[serde(skip)]
    frozen: Option<Arc<Seen>>,
    /// What sessions run, literals hidden, with the start of that statement: another start is another statement.
    #[serde(skip)]
    texts: Arc<BTreeMap<SessionId, (Option<At>, String)>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    #[default]
    Sessions,
    Groups,
    Blockers,
    History,
}

/// What connections are counted by, one after another.
pub const CRITERIA: [&[By]; 5] = [&[By::Application, By::Role, By::Client], &[By::Role], &[By::Database], &[By::Client], &[By::State]];
/// So many statements are asked for at once.
const TEXTS: usize = 200;

impl Tab {
    pub const ALL: [Tab; 4] = [Tab::Sessions, Tab::Groups, Tab::Blockers, Tab::History];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Tab::Sessions => "Sessions",
            Tab::Groups => "By application",
            Tab::Blockers => "Blockers",
            Tab::History => "History",
        }
    }
}

impl Model {
    /// The pane comes on screen, there is an answer, or the selection has moved: the statements that lack are asked for.
    pub fn looked(&mut self, cx: &Context) -> Vec<Ask> {
        self.sync(cx);
        let Some(seen) = self.seen(cx).cloned() else { return Vec::new() };
        let lacks = |s: &&Session| s.id().is_some_and(|id| self.texts.get(&id).is_none_or(|(began, _)| *began != s.query_start));
        let wanted = self.visible(&seen, cx).into_iter().filter(lacks).filter_map(Session::id);
        let wanted: Vec<SessionId> = wanted.take(TEXTS).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        vec![Ask::Read { slot: Slot::SessionText, query: Query::SessionTexts(wanted) }]
    }

    /// What sessions run has been read. One that has none any more is not asked for again.
    pub fn told(&mut self, query: &Query, result: &Result<Reply, Fault>, cx: &Context) {
        let (Query::SessionTexts(asked), Ok(Reply::SessionTexts(told))) = (query, result) else { return };
        let Some(seen) = self.seen(cx).cloned() else { return };
        let texts = Arc::make_mut(&mut self.texts);
        texts.retain(|id, _| seen.activity.find(*id).is_some());
        for id in asked {
            let Some(session) = seen.activity.find(*id) else { continue };
            let text = told.iter().find(|(of, _)| of == id).map(|(_, text)| text.clone()).unwrap_or_default();
            texts.insert(*id, (session.query_start, text));
        }
    }

    /// Takes in the sessions as they are now; each selection stays on what it stands on.
    pub fn sync(&mut self, cx: &Context) {
        let Some(seen) = self.seen(cx).cloned() else { return };
        self.list.sync(&seen);
        if self.tab == Tab::Groups {
            self.groups = groups(&seen.activity, CRITERIA[self.by % CRITERIA.len()]);
        }
        let at = self.group_anchor.as_ref().and_then(|keys| self.groups.iter().position(|g| g.keys == *keys));
        self.group.at = at.unwrap_or(self.group.at);
        self.group.clamp(self.groups.len());
        let at = self.blocker_anchor.and_then(|pid| seen.tree.iter().position(|row| row.pid == pid));
        self.blocker.at = at.unwrap_or(self.blocker.at);
        self.blocker.clamp(seen.tree.len());
    }

    /// What is on screen: the frozen sessions, or those last read.
    #[must_use]
    pub fn seen<'a>(&'a self, cx: &Context<'a>) -> Option<&'a Arc<Seen>> {
        self.frozen.as_ref().or(cx.pool.seen())
    }

    /// When it was frozen, where it is.
    #[must_use]
    pub fn frozen(&self) -> Option<At> {
        self.frozen.as_ref().map(|seen| seen.at)
    }

    /// Freezes what is shown, or goes on.
    pub(super) fn freeze(&mut self, cx: &Context) {
        self.frozen = if self.frozen.is_some() { None } else { cx.pool.seen().cloned() };
        self.sync(cx);
    }

    /// A text field has the focus: keys go to `edit`.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        self.list.focused
    }

    #[must_use]
    pub fn tab(&self) -> Tab {
        self.tab
    }

    pub(super) fn turn(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|t| *t == self.tab).unwrap_or(0);
        self.tab = Tab::ALL[(at + by) % Tab::ALL.len()];
    }

    /// Moves the selection of the tab on screen.
    pub(super) fn by(&mut self, rows: isize, cx: &Context) {
        let Some(seen) = self.seen(cx).cloned() else { return };
        match self.tab {
            Tab::Sessions => self.list.by(rows, &seen),
            Tab::Groups => {
                self.group.by(rows, self.groups.len());
                self.group_anchor = self.groups.get(self.group.at).map(|g| g.keys.clone());
            }
            Tab::Blockers => {
                self.blocker.by(rows, seen.tree.len());
                self.blocker_anchor = seen.tree.get(self.blocker.at).map(|row| row.pid);
            }
            Tab::History => {}
        }
    }

    /// Counts by the next criterion, from its largest on.
    pub(super) fn next_criterion(&mut self) {
        self.by = (self.by + 1) % CRITERIA.len();
        (self.group, self.group_anchor) = (Cursor::default(), None);
    }

    /// What there is to say about this session now; `None`: it has ended.
    #[must_use]
    pub fn about(&self, of: SessionId, cx: &Context) -> Option<Vec<String>> {
        let seen = self.seen(cx)?;
        seen.activity.get(of.pid).filter(|s| key(s) == of).map(|s| tell::about(self, seen, s))
    }

    /// The session under the cursor.
    #[must_use]
    pub(super) fn session<'a>(&self, seen: &'a Seen) -> Option<&'a Session> {
        match self.tab {
            Tab::Sessions => self.list.selected(seen),
            Tab::Blockers => seen.tree.get(self.blocker.at).and_then(|row| seen.activity.get(row.pid)),
            Tab::Groups | Tab::History => None,
        }
    }

    /// What it runs, as far as that was read. Empty: it never ran anything.
    #[must_use]
    pub(super) fn text(&self, session: &Session) -> Option<&str> {
        self.texts.get(&key(session)).map(|(_, text)| text.as_str())
    }

    /// Rows of the list that fit under the head.
    #[must_use]
    pub(super) fn fit(&self, seen: &Seen, cx: &Context) -> usize {
        let above = tell::head(seen, cx.pool, cx.columns).height() + 1 + if self.has_filter_line() { 2 } else { 0 };
        usize::from(cx.rows.saturating_sub(5).saturating_sub(above)).max(1)
    }

    #[must_use]
    pub(super) fn has_filter_line(&self) -> bool {
        self.tab == Tab::Sessions && self.list.has_filter_line()
    }

    fn visible<'a>(&self, seen: &'a Seen, cx: &Context) -> Vec<&'a Session> {
        let fit = self.fit(seen, cx);
        match self.tab {
            Tab::Sessions => {
                let first = self.list.cursor().first(self.list.len(), fit);
                (first..first + fit).filter_map(|at| self.list.row(at, seen)).collect()
            }
            Tab::Blockers => {
                let first = self.blocker.first(seen.tree.len(), fit);
                seen.tree.iter().skip(first).take(fit).filter_map(|row| seen.activity.get(row.pid)).collect()
            }
            Tab::Groups | Tab::History => Vec::new(),
        }
    }
}
