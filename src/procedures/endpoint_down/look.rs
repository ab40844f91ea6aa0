//! What stands between the events and their effects, from the probe and from why effects are missing: what a restart mends, what hands have to.

use super::{PROBE, SEND};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::fault::Fault;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::log::LogLine;
use crate::domain::webhooks::probe::{Assessment, Came, Finding, Found, Probed, Shot, Surroundings, accepts_signatures, assess};
use crate::procedures::failed_webhook;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::Inputs;

/// All that was looked at besides the events.
pub struct Look {
    /// `None`: the operator left the probe out.
    pub probe: Option<Result<(Probed, Assessment), Fault>>,
    /// Lines of the application's that speak about webhooks, newest first.
    pub lines: Vec<LogLine>,
}

/// What has to be done before events can have effects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The application is down, or not well: a restart may bring it back.
    Restart(String),
    /// Something that only hands can change; what is wrong, and what to change where.
    Mend { wrong: String, helps: String },
}

impl Look {
    pub fn of(answers: &Answers, env: &Environment) -> Self {
        let endpoints = match answers.get(&Query::Endpoints) {
            Some(Known::Is { value: Reply::Endpoints(endpoints), .. }) => Some(endpoints.as_slice()),
            _ => None,
        };
        let probe = match answers.get(&Query::Probe) {
            Some(Known::Is { value: Reply::Probed(probed), .. }) => Some(Ok((probed.clone(), assessed(probed, endpoints, env)))),
            Some(Known::Failed(fault)) => Some(Err(fault.clone())),
            _ => None,
        };
        let logs = |q: &Query, k: &Known<Reply>| match (q, k) {
            (Query::Logs(_), Known::Is { value: Reply::Logs { lines, .. }, .. }) => Some(lines.clone()),
            _ => None,
        };
        let lines = answers.all().find_map(|(q, k)| logs(q, k)).unwrap_or_default();
        Self { probe, lines }
    }

    /// The worst thing that the probe found.
    pub fn worst(&self) -> Option<&Found> {
        self.probe.as_ref().and_then(|p| p.as_ref().ok()).map(|(_, found)| found.worst())
    }

    /// What stands in the way, by the probe first, then by why the effects are missing.
    pub fn blocked(&self, inputs: &Inputs, found: Option<&failed_webhook::Found>) -> Option<Blocked> {
        let by_probe = self.probe.as_ref().and_then(|p| p.as_ref().ok()).and_then(|(probed, a)| {
            let harmless = only_forgeries_fail(probed);
            a.found.iter().filter(|f| f.finding != Finding::Fails || !harmless).find_map(blocks)
        });
        if by_probe.is_some() {
            return by_probe;
        }
        let refused = found.is_some_and(|f| {
            let lost = f.lost.iter().map(|l| (l.event.as_ref().map(|told| told.at), l.cause));
            self.refuses_signatures(&lost.collect::<Vec<_>>(), f.accepted)
        });
        (refused && !inputs.attested.contains_key("mend")).then(|| Blocked::Mend {
            wrong: "The application refuses the signatures: it verifies with another secret than the endpoint's.".into(),
            helps: "In Stripe: Developers, Webhooks, this endpoint, Signing secret. Put it into STRIPE_WEBHOOK_SECRET of the application, \
                    and restart it."
                .into(),
        })
    }

    /// Whether signatures are refused now. `lost`: when each event without its effect happened, and why that is missing; `accepted`: when
    /// the application last took an event.
    pub fn refuses_signatures(&self, lost: &[(Option<At>, Cause)], accepted: Option<At>) -> bool {
        let probed = self.probe.as_ref().and_then(|p| p.as_ref().ok()).and_then(|(probed, _)| accepts_signatures(probed));
        // A right signature that was accepted a moment ago outranks whatever was refused before.
        if probed == Some(true) {
            return false;
        }
        // Without a signed request the probe cannot see a wrong secret: the causes of what is missing can, as far as nothing was accepted
        // since. What was changed after that shows in the first event that is sent.
        let younger = lost.iter().filter(|(at, _)| accepted.is_none_or(|accepted| at.is_some_and(|at| at > accepted)));
        let bad = younger.clone().filter(|(_, cause)| *cause == Cause::BadSignature).count();
        bad > 0 && bad * 2 >= younger.count()
    }
}

/// Whether it is known if the probe may be sent.
pub fn probe_is_decided(inputs: &Inputs) -> bool {
    inputs.attested.contains_key(PROBE)
}

/// Whether it was sent.
pub fn probe_was_wanted(inputs: &Inputs) -> bool {
    inputs.attested.get(PROBE).is_some_and(|said| said == SEND)
}

fn assessed(probed: &Probed, endpoints: Option<&[Endpoint]>, env: &Environment) -> Assessment {
    assess(probed, &Surroundings { endpoints, configured: env.webhook_url.as_deref() })
}

/// Many a handler throws at a forgery, and answers 5xx to it and to nothing else: no restart changes that. A right signature that was taken
/// says that it is so; where none was sent, that the application calls itself ready has to do.
fn only_forgeries_fail(probed: &Probed) -> bool {
    let status = |shot| match probed.came(shot) {
        Some(Came::Answer { status, .. }) => Some(*status),
        _ => None,
    };
    match probed.came(Shot::Signed) {
        None | Some(Came::NotSent(_)) => status(Shot::Ready).is_some_and(|s| (200..300).contains(&s)),
        Some(_) => accepts_signatures(probed) == Some(true),
    }
}

fn blocks(found: &Found) -> Option<Blocked> {
    match found.finding {
        Finding::Refused | Finding::Timeout | Finding::Broken | Finding::BadGateway | Finding::NotReady | Finding::Fails => {
            Some(Blocked::Restart(found.sentence.clone()))
        }
        Finding::Dns
        | Finding::Tls
        | Finding::WrongPath
        | Finding::Redirects
        | Finding::AuthProxy
        | Finding::Disabled
        | Finding::NotRegistered
        | Finding::ClockOff
        | Finding::WrongSecret => {
            let helps = found.helps.clone().unwrap_or_else(|| "change it, then say what was changed".into());
            Some(Blocked::Mend { wrong: found.sentence.clone(), helps })
        }
        // Worth a word, and no reason why an event could have no effect.
        _ => None,
    }
}
