//! The gate: who may do what now. It owns the write lease and the mode; the rules themselves are the domain's.

use crate::domain::At;
use crate::domain::policy::{Denied, Mode, Standing, Writes};
use crate::domain::text::{clean, sentence};
use crate::protocol::command::Command;
use crate::protocol::gate::{CONFIRMATION_MINUTES, Permit, admit};
use chrono::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The one gate of a process. Writes are off at its start.
#[derive(Debug)]
pub struct Gate {
    production: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    livemode: Option<bool>,
    writes: Writes,
}

/// How long writes stay on, in minutes.
pub const LEASE_MINUTES: i64 = 15;

impl Gate {
    /// `production`: the configuration's word about the database.
    #[must_use]
    pub fn new(production: bool) -> Self {
        Self { production, state: Mutex::new(State { livemode: None, writes: Writes::Off }) }
    }

    /// Stripe has told which mode the key opens. A mode that contradicts the database's turns writes off.
    pub fn account_known(&self, livemode: bool) {
        let mut state = self.state();
        state.livemode = Some(livemode);
        if Mode::of(state.livemode, self.production) == Mode::Mixed {
            state.writes = Writes::Off;
        }
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode::of(self.state().livemode, self.production)
    }

    /// Until when writes would be on if they were turned on now.
    ///
    /// # Errors
    /// One sentence: the reason is missing, or the mode forbids writes.
    pub fn would_turn_on(&self, reason: &str, now: At) -> Result<At, String> {
        if reason.trim().is_empty() {
            return Err("Writes need a reason: a ticket, or a few words.".into());
        }
        match self.mode() {
            Mode::Mixed => Err(sentence(&Denied::Mixed.to_string())),
            Mode::Unknown => Err(sentence(&Denied::ModeUnknown.to_string())),
            Mode::Test | Mode::Live => Ok(now + Duration::minutes(LEASE_MINUTES)),
        }
    }

    /// Turns writes on for fifteen minutes; anew where they are on.
    ///
    /// # Errors
    /// As [`Gate::would_turn_on`].
    pub fn turn_on(&self, reason: &str, now: At) -> Result<Writes, String> {
        let until = self.would_turn_on(reason, now)?;
        let writes = Writes::On { until, reason: clean(reason.trim()) };
        self.state().writes = writes.clone();
        Ok(writes)
    }

    pub fn turn_off(&self) {
        self.state().writes = Writes::Off;
    }

    /// Whether writes are on at this moment. A lease that has run out is off.
    #[must_use]
    pub fn writes(&self, now: At) -> Writes {
        match &self.state().writes {
            Writes::On { until, .. } if *until <= now => Writes::Off,
            writes => writes.clone(),
        }
    }

    /// Whether a lease has run out since it was last looked at; it is off from here on.
    pub fn expire(&self, now: At) -> bool {
        let mut state = self.state();
        let over = matches!(&state.writes, Writes::On { until, .. } if *until <= now);
        if over {
            state.writes = Writes::Off;
        }
        over
    }

    /// Leave for this command, now. `confirmed_at`: when the plan that holds it was confirmed, and found the same by facts read after that.
    /// `journal`: it can be written.
    ///
    /// # Errors
    /// The first rule that forbids it.
    pub fn admit(&self, command: &Command, confirmed_at: Option<At>, journal: bool, now: At) -> Result<Permit, Denied> {
        let fresh = |at: At| now - at <= Duration::minutes(CONFIRMATION_MINUTES);
        let writes = self.state().writes.clone();
        let standing = Standing { mode: self.mode(), writes, now, confirmed: confirmed_at.is_some_and(fresh), journal };
        admit(command, &standing)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{StripeId, SubjectKey};
    use crate::domain::row::Image;
    use crate::domain::sessions::{Reach, SessionId, State};

    fn now() -> At {
        At::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    fn id(text: &str) -> StripeId {
        StripeId::parse(text).expect("an id")
    }

    /// One of every variant. A new one does not compile until it is listed here.
    fn every_command() -> Vec<Command> {
        let subject = SubjectKey("p1".into());
        let first = Command::SetSubscriptionRow { subject: subject.clone(), shown: Image::new(), changes: Vec::new() };
        let mut all = vec![first];
        loop {
            let next = match all.last().expect("not empty") {
                Command::SetSubscriptionRow { .. } => Command::ResyncByHttp { subject: subject.clone(), customer: "cus_1".into() },
                Command::ResyncByHttp { .. } => Command::ResyncByCommand { subject: subject.clone(), customer: "cus_1".into() },
                Command::ResyncByCommand { .. } => Command::ResendEvent { event: id("evt_1"), endpoint: id("we_1"), subject: None },
                Command::ResendEvent { .. } => Command::DeliverEvent { event: id("evt_1"), subject: Some(subject.clone()) },
                Command::DeliverEvent { .. } => Command::RunHook { hook: "restart_app".into() },
                Command::RunHook { .. } => Command::Escalate { to: "the rota".into(), text: "help".into() },
                Command::Escalate { .. } => Command::EndSession {
                    session: SessionId { pid: 1, began_us: 0 },
                    who: "api".into(),
                    states: vec![State::IdleInTransaction],
                    since: Some(At::UNIX_EPOCH),
                    at_least_ms: 1_000,
                    reach: Reach::default(),
                },
                Command::EndSession { .. } => Command::ResetEntitlement { subject: subject.clone() },
                Command::ResetEntitlement { .. } => Command::ResetCounters { subject: subject.clone(), shown: Vec::new() },
                Command::ResetCounters { .. } => Command::RestoreCounters { subject: subject.clone(), counters: Vec::new() },
                Command::RestoreCounters { .. } => return all,
            };
            all.push(next);
        }
    }

    fn open_gate() -> Gate {
        let gate = Gate::new(false);
        gate.account_known(false);
        gate.turn_on("ticket 4411", now()).expect("test mode");
        gate
    }

    #[test]
    fn read_only_lets_no_command_through() {
        let fresh = Gate::new(false);
        fresh.account_known(false);
        let off = open_gate();
        off.turn_off();
        let mixed = Gate::new(true);
        mixed.account_known(false);
        for command in every_command() {
            assert_eq!(fresh.admit(&command, Some(now()), true, now()).err(), Some(Denied::ReadOnly), "{}", command.name());
            assert_eq!(off.admit(&command, Some(now()), true, now()).err(), Some(Denied::ReadOnly), "{}", command.name());
            assert_eq!(mixed.admit(&command, Some(now()), true, now()).err(), Some(Denied::Mixed), "{}", command.name());
            assert_eq!(Gate::new(false).admit(&command, Some(now()), true, now()).err(), Some(Denied::ModeUnknown));
            let late = now() + Duration::minutes(LEASE_MINUTES);
            assert!(matches!(open_gate().admit(&command, Some(late), true, late).err(), Some(Denied::Expired(_))));
            assert_eq!(open_gate().admit(&command, None, true, now()).err(), Some(Denied::Unconfirmed));
            assert_eq!(open_gate().admit(&command, Some(now()), false, now()).err(), Some(Denied::NoJournal));
            assert!(open_gate().admit(&command, Some(now()), true, now()).is_ok(), "the test can fail: {}", command.name());
        }
    }

    #[test]
    fn an_old_confirmation_confirms_nothing() {
        let gate = open_gate();
        let command = &every_command()[0];
        let later = now() + Duration::minutes(CONFIRMATION_MINUTES) + Duration::seconds(1);
        assert_eq!(gate.admit(command, Some(now()), true, later).err(), Some(Denied::Unconfirmed));
    }

    #[test]
    fn writes_need_a_reason_and_end_by_themselves() {
        let gate = Gate::new(true);
        assert!(gate.turn_on("x", now()).is_err(), "the mode is not known");
        gate.account_known(true);
        assert!(gate.turn_on("  ", now()).is_err());
        let on = gate.turn_on("ticket 4411", now()).expect("live and production");
        assert_eq!(gate.writes(now()), on);
        let end = now() + Duration::minutes(LEASE_MINUTES);
        assert_eq!(gate.writes(end), Writes::Off);
        assert!(gate.expire(end) && !gate.expire(end), "said once");
    }

    #[test]
    fn a_key_of_the_other_mode_turns_writes_off() {
        let gate = open_gate();
        gate.account_known(true);
        assert_eq!((gate.mode(), gate.writes(now())), (Mode::Mixed, Writes::Off));
    }
}
