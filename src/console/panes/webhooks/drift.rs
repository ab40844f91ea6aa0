//! The drift tab as data: classes with their counts, and the subjects of one class. What has drifted is the scan's.

use crate::console::widgets::table::Cursor;
use crate::domain::webhooks::drift::{Class, Drifted, Group};
use crate::procedures::drift_scan::Scan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DriftList {
    /// Whose subjects are listed; `None`: the classes are.
    pub class: Option<Class>,
    pub cursor: Cursor,
    /// What the selection stands on.
    anchor: Option<String>,
    /// Subjects by what they are known by.
    pub marked: BTreeSet<String>,
}

/// What a row of the tab is.
#[derive(Debug, Clone)]
pub enum Row<'a> {
    Class(Group<'a>),
    Subject(&'a Drifted),
}

impl DriftList {
    #[must_use]
    pub fn rows<'a>(&self, scan: Option<&'a Scan>) -> Vec<Row<'a>> {
        let Some(scan) = scan else { return Vec::new() };
        match self.class {
            None => scan.found().groups().into_iter().map(Row::Class).collect(),
            Some(class) => scan.found().group(class).map(|g| g.named.into_iter().map(Row::Subject).collect()).unwrap_or_default(),
        }
    }

    #[must_use]
    pub fn selected<'a>(&self, scan: Option<&'a Scan>) -> Option<Row<'a>> {
        self.rows(scan).into_iter().nth(self.cursor.at)
    }

    /// The selection stays on what it stands on while the scan goes on finding.
    pub fn sync(&mut self, scan: Option<&Scan>) {
        let rows = self.rows(scan);
        if !self.marked.is_empty() {
            let there: BTreeSet<String> = rows.iter().map(Row::key).collect();
            self.marked.retain(|key| there.contains(key));
        }
        if let Some(at) = self.anchor.as_ref().and_then(|anchor| rows.iter().position(|r| r.key() == *anchor)) {
            self.cursor.at = at;
        }
        self.cursor.clamp(rows.len());
    }

    pub fn by(&mut self, rows: isize, scan: Option<&Scan>) {
        let all = self.rows(scan);
        self.cursor.by(rows, all.len());
        self.anchor = all.get(self.cursor.at).map(Row::key);
    }

    /// Into a class, or back to all of them. Marks are of the list that is open: nothing unseen is taken into a fix.
    pub fn show(&mut self, class: Option<Class>) {
        self.marked.clear();
        (self.class, self.cursor, self.anchor) = (class, Cursor::default(), None);
    }

    /// Marks the subject, or takes the mark back, and goes on to the next.
    pub fn mark(&mut self, scan: Option<&Scan>) {
        let Some(Row::Subject(d)) = self.selected(scan) else { return };
        let key = d.key().to_string();
        if !self.marked.remove(&key) {
            self.marked.insert(key);
        }
        self.by(1, scan);
    }

    /// The subjects that are marked, of the list that is open.
    #[must_use]
    pub fn marked<'a>(&self, scan: Option<&'a Scan>) -> Vec<&'a Drifted> {
        let open = scan.zip(self.class).and_then(|(scan, class)| scan.found().group(class));
        open.into_iter().flat_map(|g| g.named).filter(|d| self.marked.contains(d.key())).collect()
    }
}

impl Row<'_> {
    fn key(&self) -> String {
        match self {
            Row::Class(group) => group.class.id().to_string(),
            Row::Subject(d) => d.key().to_string(),
        }
    }
}
