//! What was read of the chain so far: its runs, and how far it goes, so that nothing is read twice. Whether the whole chain is sound is
//! [`super::verify`]'s to say.

use super::file::{self, Mark};
use super::payloads::{self, Payload};
use super::runs::Fold;
use super::{FINISHED_LISTED, Inner, JournalError, Line, Places, format, locks, runs};
use crate::protocol::record::RunSummary;
use std::collections::HashMap;
use std::sync::PoisonError;
use uuid::Uuid;

/// The runs as far as they were read. What was removed from the payloads meanwhile is forgotten here too: then all is read anew.
#[derive(Debug, Default)]
pub(super) struct Known {
    chain: Mark,
    payloads: Mark,
    /// Read before its record: payloads are written first.
    early: HashMap<String, Payload>,
    /// The hash of the last sound record: the next one follows from it.
    last: Option<String>,
    fold: Fold,
}

impl Known {
    /// Reads what has come since.
    pub(super) fn catch_up(&mut self, places: &Places) -> Result<(), JournalError> {
        let (lines, chain, chain_anew) = file::lines_since(&places.chain, self.chain)?;
        // After the lines, so that no record lacks what was written before it.
        let (fresh, payloads, payloads_anew) = file::lines_since(&places.payloads, self.payloads)?;
        // A line that is no sound record tells of no run.
        let records: Vec<format::Line> = lines.iter().filter_map(|l| format::parse(l).ok()).collect();
        let follows = self.last.as_ref().zip(records.first()).is_none_or(|(last, next)| next.body.prev == *last);
        let replaced = !follows || (chain_anew && self.chain != Mark::default()) || (payloads_anew && self.payloads != Mark::default());
        if replaced {
            *self = Self::default();
            return self.catch_up(places);
        }
        (self.chain, self.payloads) = (chain, payloads);
        self.early.extend(payloads::parse(&fresh));
        for record in records {
            let payload = record.body.payload.as_ref().and_then(|hash| self.early.remove(hash));
            self.fold.take(&record.body, payload.as_ref());
            self.last = Some(record.hash);
        }
        self.fold.forget_old(FINISHED_LISTED);
        Ok(())
    }

    pub(super) fn runs(&self) -> Vec<RunSummary> {
        self.fold.all().cloned().collect()
    }

    pub(super) fn run(&self, run: Uuid) -> Option<&RunSummary> {
        self.fold.get(run)
    }
}

impl Inner {
    pub(super) fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.catch_up(&self.places)?;
        let mut runs = known.runs();
        drop(known);
        self.look_who_holds(&mut runs)?;
        runs::sort(&mut runs, FINISHED_LISTED);
        Ok(runs)
    }

    pub(super) fn run(&self, id: Uuid) -> Result<Option<RunSummary>, JournalError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.catch_up(&self.places)?;
        let found = known.run(id).cloned();
        drop(known);
        let mut found: Vec<RunSummary> = match found {
            Some(run) => vec![run],
            None => self.long_ended(id)?.into_iter().collect(),
        };
        self.look_who_holds(&mut found)?;
        Ok(found.pop())
    }

    /// A run that no list shows any more, from the whole chain.
    fn long_ended(&self, id: Uuid) -> Result<Option<RunSummary>, JournalError> {
        let lines = file::lines(&self.places.chain)?;
        let payloads = payloads::read(&self.places.payloads)?;
        let mut fold = Fold::default();
        for record in lines.iter().filter_map(|l| format::parse(l).ok()).filter(|l| l.body.entry.run() == Some(id)) {
            fold.take(&record.body, record.body.payload.as_ref().and_then(|hash| payloads.get(hash)));
        }
        Ok(fold.get(id).cloned())
    }

    fn look_who_holds(&self, runs: &mut [RunSummary]) -> Result<(), JournalError> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for run in runs.iter_mut().filter(|r| !r.is_finished() && !own.contains(&r.run)) {
            run.held = locks::held(&self.run_lock(run.run))?;
        }
        Ok(())
    }

    pub(super) fn after(&self, seq: u64, limit: usize) -> Result<Vec<(Line, String)>, JournalError> {
        let mut shipped = self.shipped.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mark = shipped.take().filter(|(behind, _)| *behind == seq).map_or_else(Mark::default, |(_, mark)| mark);
        let mut found = Vec::new();
        // Lines that are no sound records are nothing to ship.
        while found.len() < limit {
            let (lines, next, anew) = file::lines_of(&self.places.chain, mark, limit - found.len())?;
            if anew && mark != Mark::default() {
                // Another file stands there by now: from its beginning.
                found.clear();
            }
            mark = next;
            if lines.is_empty() {
                break;
            }
            let records = lines.into_iter().filter_map(|text| format::parse(&text).ok().map(|line| (line, text)));
            found.extend(records.filter(|(line, _)| line.body.seq > seq));
        }
        *shipped = Some((found.last().map_or(seq, |(line, _)| line.body.seq), mark));
        Ok(found)
    }
}
