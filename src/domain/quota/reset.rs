//! What a reset may touch: whether a feature's use begins anew with each period, or is a stock that no period empties.

use crate::domain::entitlement::Entitlement;
use crate::domain::row::Counter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The counters of one subject as a reset needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterSheet {
    pub counters: Vec<Counter>,
    /// Our role may change them.
    pub writable: bool,
    /// What the configuration says of features: whether they reset.
    pub configured: BTreeMap<String, bool>,
}

/// Whether a feature's use begins anew with each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resets {
    Yes,
    /// A stock: it counts what is there.
    No,
    /// Nobody says; only whoever names the feature has it reset.
    Unknown,
}

/// Whether the feature resets, and who says so: the configuration, else the application, else a counter without an end of its period.
#[must_use]
pub fn resets(feature: &str, sheet: &CounterSheet, app: Option<&Entitlement>) -> (Resets, &'static str) {
    let word = |resets: bool| if resets { Resets::Yes } else { Resets::No };
    if let Some(said) = sheet.configured.get(feature) {
        return (word(*said), "the configuration says so");
    }
    if let Some(said) = app.and_then(|a| a.features.get(feature)).and_then(|f| f.resets) {
        return (word(said), "the app says so");
    }
    match sheet.counters.iter().find(|c| c.feature == feature) {
        Some(counter) if counter.period_end.is_none() => (Resets::No, "its counter has no end of a period"),
        _ => (Resets::Unknown, "nobody says whether it resets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::At;
    use crate::domain::entitlement::FeatureUse;

    #[test]
    fn the_configuration_outweighs_the_application_and_that_the_row() {
        let counter = |feature: &str, end: Option<i64>| Counter {
            feature: feature.into(),
            used: 5,
            period_start: None,
            period_end: end.and_then(|s| At::from_timestamp(s, 0)),
        };
        let mut sheet =
            CounterSheet { counters: vec![counter("seats", None), counter("searches", Some(1_800_000_000))], ..CounterSheet::default() };
        assert_eq!(resets("seats", &sheet, None).0, Resets::No);
        assert_eq!(resets("searches", &sheet, None).0, Resets::Unknown);
        assert_eq!(resets("exports", &sheet, None).0, Resets::Unknown);
        let known = FeatureUse { value: 5, used: Some(5), resets: Some(true) };
        let app = Entitlement { tier: "PRO".into(), features: BTreeMap::from([("seats".into(), known)]) };
        assert_eq!(resets("seats", &sheet, Some(&app)).0, Resets::Yes);
        sheet.configured.insert("seats".into(), false);
        assert_eq!(resets("seats", &sheet, Some(&app)).0, Resets::No);
    }
}
