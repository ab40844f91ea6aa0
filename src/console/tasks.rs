//! The runs of this process and those that the journal shows unfinished.

use super::acted::Acted;
use super::exports::Exports;
use super::panes::run;
use crate::domain::shared::Shared;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::query::Reply;
use crate::protocol::record::RunSummary;
use crate::protocol::run::short;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tasks {
    /// Oldest first.
    pub runs: Vec<run::Model>,
    /// Unfinished runs of earlier processes, as the journal last told.
    pub unfinished: Shared<Vec<RunSummary>>,
    /// How far the journal's runs had come.
    #[serde(default)]
    pub(super) acted: Acted,
    /// Files being written, and the last that were.
    pub exports: Exports,
}

/// What a run that is open here is doing: the journal cannot tell one that this process holds from one left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Going {
    Running,
    Watching,
    /// It goes on by itself when a source answers, or when its time has come.
    Waiting,
    /// It waits for the operator's answer.
    Asking,
    /// It stands still until somebody says that it may go on.
    Paused,
    /// Whether its last act took effect is not known.
    Unknown,
    /// It is done; what was read of the journal may not say so yet.
    Over,
}

impl Going {
    /// Whether somebody has to look at it.
    #[must_use]
    pub fn calls(self) -> bool {
        matches!(self, Self::Asking | Self::Paused | Self::Unknown)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Watching => "watching",
            Self::Waiting => "waiting",
            Self::Asking => "asks",
            Self::Paused => "paused",
            Self::Unknown => "unknown",
            Self::Over => "done",
        }
    }
}

/// Finished runs that can still be looked at, and undone.
const FINISHED_KEPT: usize = 20;
/// Reviews with nothing confirmed that can be gone back to: each holds the facts it rests on, and they grow old.
const DRAFTS_KEPT: usize = 3;

impl Tasks {
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&run::Model> {
        self.runs.iter().find(|r| r.run.id == id)
    }

    pub fn get_mut(&mut self, id: Uuid) -> Option<&mut run::Model> {
        self.runs.iter_mut().find(|r| r.run.id == id)
    }

    pub fn add(&mut self, run: Run) {
        self.runs.push(run::Model::of(run));
        self.forget_old();
    }

    /// What is finished holds personal data: of those only the newest are kept.
    fn forget_old(&mut self) {
        let finished = self.runs.iter().filter(|r| !r.run.is_open()).count();
        let mut surplus = finished.saturating_sub(FINISHED_KEPT);
        self.runs.retain(|r| {
            let goes = surplus > 0 && !r.run.is_open();
            surplus -= usize::from(goes);
            !goes
        });
    }

    /// Reviews that were left for other screens longest ago, beyond those that are kept.
    #[must_use]
    pub fn old_drafts(&self) -> Vec<Uuid> {
        let drafts = self.runs.iter().rev().filter(|r| r.is_draft() && r.run.is_open());
        drafts.skip(DRAFTS_KEPT).map(|r| r.run.id).collect()
    }

    pub fn remove(&mut self, id: Uuid) {
        self.runs.retain(|r| r.run.id != id);
    }

    pub fn told(&mut self, reply: &Reply) {
        if let Reply::Runs(runs) = reply {
            self.unfinished = runs.iter().filter(|r| !r.is_finished()).cloned().collect();
        }
    }

    /// Runs that are still going on here, and those that wait in the journal and are not open here.
    #[must_use]
    pub fn interrupted(&self) -> Vec<&RunSummary> {
        self.unfinished.iter().filter(|u| self.get(u.run).is_none()).collect()
    }

    /// The runs that are open here or were done here, and what each is doing.
    #[must_use]
    pub fn going(&self) -> BTreeMap<Uuid, Going> {
        let doing = |r: &Run| match r.phase {
            _ if r.is_watching() => Going::Watching,
            _ if r.is_paused() => Going::Paused,
            Phase::Deciding(_) | Phase::Review => Going::Asking,
            Phase::Unknown(_) => Going::Unknown,
            Phase::Waiting(_) => Going::Waiting,
            Phase::Done(_) => Going::Over,
            _ => Going::Running,
        };
        let known = |r: &&run::Model| r.run.is_open() || matches!(r.run.phase, Phase::Done(_));
        self.runs.iter().filter(known).map(|r| (r.run.id, doing(&r.run))).collect()
    }

    /// What is said about runs and files in passing; `None` where nothing is going on.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        self.runs_line().or_else(|| self.exports.line())
    }

    /// The same about runs alone.
    #[must_use]
    pub fn runs_line(&self) -> Option<String> {
        let busy: Vec<&run::Model> = self.runs.iter().filter(|r| r.is_busy()).collect();
        match busy.as_slice() {
            [] => None,
            [one] => Some(format!("run {} {}", short(one.run.id), word(&one.run))),
            many => Some(format!("{} runs going on", many.len())),
        }
    }
}

/// Where the run stands, as one word.
#[must_use]
pub fn word(run: &Run) -> &'static str {
    match run.phase {
        _ if run.is_paused() => "paused",
        Phase::Gathering => "reading",
        Phase::Deciding(_) => "asks",
        Phase::Review => "in review",
        Phase::Running => "running",
        Phase::Verifying => "verifying",
        Phase::Done(_) => "done",
        Phase::Halted(_) => "halted",
        Phase::Unknown(_) => "unknown",
        Phase::Waiting(_) if run.is_watching() => "watching",
        Phase::Waiting(_) => "waiting",
    }
}

impl Tasks {
    /// The newest run that can be taken back.
    #[must_use]
    pub fn undoable(&self, now: crate::domain::At) -> Option<&run::Model> {
        self.runs.iter().rev().find(|r| r.run.can_undo(now))
    }
}
