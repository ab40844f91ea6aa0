//! How dangerous a write is, and what it takes to let it through. The rules; the gate applies them.

use super::At;
use serde::{Deserialize, Serialize};

/// What a write can break, and so what its confirmation costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// A read.
    T0,
    /// Reversible, one subject: review, one key.
    T1,
    /// Money, several subjects, disruptive: type the amount or count.
    T2,
    /// Irreversible: reason, phrase, perhaps a second person.
    T3,
}

/// Which world the console is connected to. Mixed worlds never write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Test keys, and a database not marked as production.
    Test,
    /// Live keys and a production database.
    Live,
    /// One of each.
    Mixed,
    /// The key's mode is not known yet.
    Unknown,
}

/// Whether writes are on. They are off at every start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writes {
    Off,
    On { until: At, reason: String },
}

/// What stands at the moment of asking: everything the gate judges by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub mode: Mode,
    pub writes: Writes,
    pub now: At,
    /// The plan that holds this command was reviewed and confirmed, with the text its tier asks for.
    pub confirmed: bool,
    /// The local journal can be written. No journal, no write.
    pub journal: bool,
}

/// Why a write was not let through: what to do, in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Denied {
    #[error("read-only: turn writes on with w and a reason")]
    ReadOnly,
    #[error("writes were on until {0}; turn them on again with w and a reason")]
    Expired(String),
    #[error("a live key with a database not marked production, or the reverse: writes stay off until the configuration agrees with itself")]
    Mixed,
    #[error("the account's mode is not known yet: writes need Stripe's answer first")]
    ModeUnknown,
    #[error("not confirmed: the review comes first")]
    Unconfirmed,
    #[error("the journal cannot be written, and nothing is done without it")]
    NoJournal,
    #[error("tier T3 needs the shared store and a second person, and neither is set up")]
    Irreversible,
}

impl Mode {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Mode::Test => "TEST",
            Mode::Live => "LIVE",
            Mode::Mixed => "MIXED",
            Mode::Unknown => "…",
        }
    }

    /// From the key's mode, once known, and the configuration's word about the database.
    #[must_use]
    pub fn of(livemode: Option<bool>, production: bool) -> Self {
        match (livemode, production) {
            (Some(true), true) => Mode::Live,
            (Some(false), false) => Mode::Test,
            (Some(_), _) => Mode::Mixed,
            (None, _) => Mode::Unknown,
        }
    }
}

/// Whether a write of this tier may pass.
///
/// # Errors
/// The first rule that forbids it.
pub fn judge(tier: Tier, standing: &Standing) -> Result<(), Denied> {
    if tier == Tier::T0 {
        return Ok(());
    }
    match standing.mode {
        Mode::Mixed => return Err(Denied::Mixed),
        Mode::Unknown => return Err(Denied::ModeUnknown),
        Mode::Test | Mode::Live => {}
    }
    match &standing.writes {
        Writes::Off => return Err(Denied::ReadOnly),
        Writes::On { until, .. } if *until <= standing.now => return Err(Denied::Expired(until.format("%H:%MZ").to_string())),
        Writes::On { .. } => {}
    }
    if tier == Tier::T3 {
        return Err(Denied::Irreversible);
    }
    if !standing.confirmed {
        return Err(Denied::Unconfirmed);
    }
    if !standing.journal {
        return Err(Denied::NoJournal);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        let now = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let writes = Writes::On { until: now + chrono::Duration::minutes(15), reason: "ticket 4411".into() };
        Standing { mode: Mode::Test, writes, now, confirmed: true, journal: true }
    }

    #[test]
    fn everything_must_stand_for_a_write_to_pass() {
        assert_eq!(judge(Tier::T1, &standing()), Ok(()));
        assert_eq!(judge(Tier::T1, &Standing { writes: Writes::Off, ..standing() }), Err(Denied::ReadOnly));
        assert_eq!(judge(Tier::T1, &Standing { mode: Mode::Mixed, ..standing() }), Err(Denied::Mixed));
        assert_eq!(judge(Tier::T1, &Standing { confirmed: false, ..standing() }), Err(Denied::Unconfirmed));
        assert_eq!(judge(Tier::T1, &Standing { journal: false, ..standing() }), Err(Denied::NoJournal));
        let late = Standing { now: standing().now + chrono::Duration::minutes(16), ..standing() };
        assert!(matches!(judge(Tier::T1, &late), Err(Denied::Expired(_))));
    }
}
