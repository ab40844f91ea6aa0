//! Whom an incident finds: people of a kind whom nothing has happened to yet. What happens to them is the incident's.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};

use super::{Ground, Incident, IncidentError};
use crate::sandbox::population::{Billing, Cycle};

/// Whether people with this kind of billing can be struck.
pub(super) type Suits<'a> = &'a dyn Fn(Billing) -> bool;

/// Whether its period lasts for another day: a renewal would change a row while somebody looks after it.
pub(super) fn outlasts(cycle: Cycle, present: DateTime<Utc>) -> bool {
    cycle.period_end - present > Duration::days(1)
}

impl Ground {
    /// The newest people whom nothing has happened to and whom it suits: what went wrong tonight went wrong for them. They are taken now.
    pub(super) fn pick(&self, incident: Incident, wanted: usize, suits: Suits) -> Result<Vec<u64>, IncidentError> {
        Ok(self.pick_each(incident, &[(wanted, suits)])?.swap_remove(0))
    }

    /// As [`Self::pick`], for several kinds of people at once: all of them, or nobody.
    pub(super) fn pick_each(&self, incident: Incident, kinds: &[(usize, Suits)]) -> Result<Vec<Vec<u64>>, IncidentError> {
        let mut taken = self.taken();
        let mut picked: Vec<Vec<u64>> = vec![Vec::new(); kinds.len()];
        let mut lacking: usize = kinds.iter().map(|(wanted, _)| wanted).sum();
        let wanted = lacking;
        for number in (0..self.population().len()).rev().filter(|n| !taken.contains(n)) {
            if lacking == 0 {
                break;
            }
            let billing = self.population().billing(number);
            // Of the kinds that still lack somebody, the one that lacks most: so that kinds with the same people share them.
            let open = kinds.iter().zip(&mut picked).filter(|((wanted, suits), got)| got.len() < *wanted && suits(billing));
            if let Some((_, got)) = open.max_by_key(|((wanted, _), got)| wanted - got.len()) {
                got.push(number);
                lacking -= 1;
            }
        }
        if lacking > 0 {
            return Err(IncidentError::NobodyLeft { incident, found: wanted - lacking, wanted });
        }
        taken.extend(picked.iter().flatten());
        Ok(picked)
    }

    pub(super) fn is_taken(&self, number: u64) -> bool {
        self.taken().contains(&number)
    }

    /// Takes one person: nothing else is to happen to them.
    pub(super) fn take(&self, number: u64) {
        self.taken().insert(number);
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
