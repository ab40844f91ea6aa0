//! The counters of the world in memory: what is used, what resets it, what gives it back.

use super::{Manner, World};
use chrono::{Duration, Utc};
use nightdesk::domain::entitlement::FeatureUse;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::ids::SubjectKey;
use nightdesk::domain::quota::CounterSheet;
use nightdesk::domain::row::{Counter, Record};
use nightdesk::protocol::command::{Command, Outcome};
use std::collections::BTreeMap;

/// What the application says of these counters.
pub(super) fn enforced(record: &Record) -> BTreeMap<String, FeatureUse> {
    let of = |c: &Counter| (c.feature.clone(), FeatureUse { value: 100, used: Some(c.used), resets: Some(c.period_end.is_some()) });
    record.counters.iter().map(of).collect()
}

impl World {
    /// Two features used up, and a stock.
    pub fn spent() -> Self {
        let mut world = Self::missed();
        let end = Utc::now() + Duration::days(9);
        let counter = |feature: &str, end| Counter { feature: feature.into(), used: 100, period_start: None, period_end: end };
        world.records[0].counters = vec![counter("exports", Some(end)), counter("searches", Some(end)), counter("seats", None)];
        world
    }

    pub fn counter(&mut self, feature: &str) -> &mut Counter {
        self.records[0].counters.iter_mut().find(|c| c.feature == feature).expect("there is one")
    }

    pub(super) fn sheet(&self, key: &SubjectKey) -> CounterSheet {
        let counters = self.records.iter().find(|r| r.subject.key == *key).map(|r| r.counters.clone()).unwrap_or_default();
        CounterSheet { counters, writable: true, ..CounterSheet::default() }
    }

    /// What becomes of counters: reset by the application, or by compare-and-set, or given back where nobody has counted since.
    pub(super) fn count(&mut self, command: &Command) -> Outcome {
        self.sent += 1;
        if self.manner == Manner::LosesIt {
            return Outcome::Unknown(Fault::new(command.target(), FaultKind::Timeout, "no answer within 5 s"));
        }
        let refused = || Outcome::NotDone(Fault::new(Source::Database, FaultKind::Conflict, "a counter changed since it was shown"));
        let counters = &mut self.records[0].counters;
        match command {
            Command::ResetEntitlement { .. } => counters.iter_mut().filter(|c| c.period_end.is_some()).for_each(|c| c.used = 0),
            Command::ResetCounters { shown, .. } => {
                if !shown.iter().all(|s| counters.contains(s)) {
                    return refused();
                }
                counters.iter_mut().filter(|c| shown.contains(c)).for_each(|c| c.used = 0);
            }
            Command::RestoreCounters { counters: former, .. } => {
                for was in former {
                    match counters.iter_mut().find(|c| c.feature == was.feature) {
                        Some(counter) if counter.used == 0 => *counter = was.clone(),
                        _ => return refused(),
                    }
                }
            }
            other => panic!("nothing of counters: {other:?}"),
        }
        self.writes += 1;
        if self.manner == Manner::DoesAndFalls {
            self.down.insert(Source::Database);
        }
        match self.manner {
            Manner::DoesAndIsSilent | Manner::DoesAndFalls => {
                Outcome::Unknown(Fault::new(command.target(), FaultKind::Timeout, "no answer within 5 s"))
            }
            _ => Outcome::done("counted".into()),
        }
    }
}
