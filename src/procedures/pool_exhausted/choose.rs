//! Which sessions are to be ended: those that were chosen and still do what was shown, or those that leak. Why the others are left stands beside.

use crate::domain::sessions::{Activity, Blocking, Reach, Rules, Session, Spared, leaks, may_end};
use crate::protocol::run::{Inputs, Selection, ShownSession};
use std::cmp::Reverse;

/// Whom a plan ends, and whom not.
pub struct Chosen<'a> {
    /// Those that most others wait for first, then the oldest.
    pub targets: Vec<Target<'a>>,
    /// Left alone, and why.
    pub spared: Vec<(&'a Session, Spared)>,
    /// They did something since they were shown.
    pub moved: Vec<i32>,
    /// They ended since they were shown.
    pub gone: usize,
}

pub struct Target<'a> {
    pub session: &'a Session,
    pub shown: ShownSession,
    pub reach: Reach,
}

/// From the sessions as they are now. Nothing was chosen: those that leak. What leaks anew is added only once what was reviewed is over.
pub fn chosen<'a>(activity: &'a Activity, rules: &Rules, inputs: &Inputs) -> Chosen<'a> {
    let mut out = Chosen { targets: Vec::new(), spared: Vec::new(), moved: Vec::new(), gone: 0 };
    let blocking = Blocking::of(activity);
    let (these, by_operator) = match &inputs.selection {
        Some(Selection::Sessions { these, chosen }) => (these.as_slice(), *chosen),
        _ => (&[][..], false),
    };
    for shown in these {
        match activity.find(shown.session) {
            None => out.gone += 1,
            Some(s) if s.state != Some(shown.state) || s.state_change != Some(shown.since) => out.moved.push(s.pid),
            Some(s) => {
                // Whoever names a session of another database has chosen that one.
                let other_databases = by_operator && s.database.as_ref().is_some_and(|d| *d != activity.database);
                out.add(s, shown.clone(), Reach { other_databases }, activity);
            }
        }
    }
    let over = these.is_empty() || (inputs.acted.is_some() && out.targets.is_empty());
    if over && !by_operator {
        for session in leaks(activity, &blocking, rules) {
            match shown(session, activity) {
                // A superuser's open transaction may be a restore or a repair: it is nobody's to recommend.
                Some(_) if session.superuser && activity.sight.superuser => out.spared.push((session, Spared::SuperuserUnchosen)),
                Some(shown) => out.add(session, shown, Reach::default(), activity),
                None => out.spared.push((session, Spared::Hidden)),
            }
        }
    }
    out.targets.sort_by_key(|t| (Reverse(blocking.victims(t.session.pid)), t.session.state_change, t.session.pid));
    out
}

/// The session as it is shown now. `None` where our role does not see enough of it.
#[must_use]
pub fn shown(session: &Session, activity: &Activity) -> Option<ShownSession> {
    let since = session.state_change?;
    Some(ShownSession {
        session: session.id()?,
        state: session.state?,
        since,
        at_least_ms: u64::try_from((activity.at - since).num_milliseconds()).unwrap_or(0),
        application: session.application.to_string(),
        role: session.role.as_deref().unwrap_or_default().to_string(),
    })
}

impl<'a> Chosen<'a> {
    fn add(&mut self, session: &'a Session, shown: ShownSession, reach: Reach, activity: &Activity) {
        match may_end(session, activity, reach) {
            Ok(_) => self.targets.push(Target { session, shown, reach }),
            Err(why) => self.spared.push((session, why)),
        }
    }
}
