//! One event as the rules look at it: what was said about it, what was said around it, and what its endpoint answers. It concludes nothing.

use super::evidence::{Evidence, Held, Named, Receipt, Scene};
use super::trail::{Trail, names_event};
use crate::domain::At;
use crate::domain::mask;
use crate::domain::webhooks::log::LogLine;
use crate::domain::webhooks::probe::{Came, Shot};
use crate::domain::webhooks::saying::{Saying, saying};
use std::ops::RangeInclusive;

/// The first delivery comes within seconds; a queue at Stripe's or a slow log may make it minutes. In seconds after the event.
const NEAR: RangeInclusive<i64> = -10..=600;
/// A line of a clock that is off stands where that clock stood when the event came: further away than a right one's would, by about the
/// tolerance or more, seldom by more than half an hour.
const SKEWED: [RangeInclusive<i64>; 2] = [-1_800..=-(TOLERANCE_SECONDS - 9), TOLERANCE_SECONDS - 9..=1_800];
/// What the application says around a probe is about the probe.
const PROBE_SECONDS: i64 = 15;
/// How far a clock may be off before signatures are refused.
pub(super) const TOLERANCE_SECONDS: i64 = 300;

pub(super) struct Look<'a> {
    pub e: &'a Evidence,
    pub scene: &'a Scene,
    pub now: At,
    /// What the application said last about this very event.
    said: Option<(Saying, &'a LogLine)>,
    /// When it said last that this event had failed.
    failed: Option<At>,
    /// Whether it ever said that it had processed it.
    processed: bool,
    /// What it said around that time about no event by name; the first of each kind.
    around: Vec<(Saying, &'a LogLine)>,
}

impl<'a> Look<'a> {
    pub fn new(e: &'a Evidence, scene: &'a Scene, now: At) -> Self {
        let mut look = Self { e, scene, now, said: None, failed: None, processed: false, around: Vec::new() };
        let Some(trail) = &scene.log else { return look };
        let by_name = trail.naming(e.event.as_str());
        // A line that names the customer and no event is about this event only where it was written then.
        let then = |(_, l): &(Saying, &LogLine)| l.at.is_some_and(|at| look.is_near(at)) && !names_event(l);
        let by_object = e.names.iter().flat_map(|id| trail.naming(id.as_str())).filter(then);
        let mut about: Vec<(Saying, &LogLine)> = by_name.chain(by_object).collect();
        about.sort_by_key(|(_, l)| l.at);
        look.failed = about.iter().filter(|(s, _)| s.is_failure()).filter_map(|(_, l)| l.at).max();
        look.processed = about.iter().any(|(s, _)| *s == Saying::Processed);
        look.said = about.into_iter().rfind(|(s, _)| *s != Saying::Duplicate || !look.processed);
        let first = |said: Saying| {
            let windows: &[RangeInclusive<i64>] = if said == Saying::Tolerance { &SKEWED } else { &[NEAR] };
            windows.iter().find_map(|seconds| trail.first_unnamed(said, e.at, seconds, (scene.probed_at, PROBE_SECONDS)))
        };
        let mut around: Vec<(usize, Saying, &LogLine)> =
            trail.unnamed().filter_map(|said| first(said).map(|(place, line)| (place, said, line))).collect();
        around.sort_unstable_by_key(|(place, ..)| *place);
        look.around = around.into_iter().map(|(_, said, line)| (said, line)).collect();
        look
    }

    fn is_near(&self, at: At) -> bool {
        NEAR.contains(&(at - self.e.at).num_seconds())
    }

    /// The line, where that was the last said about this event.
    pub fn said(&self, what: Saying) -> Option<&'a LogLine> {
        self.said.filter(|(s, _)| *s == what).map(|(_, l)| l)
    }

    /// The line, where that was said around the time of the event and about no event by name.
    pub fn around(&self, what: Saying) -> Option<&'a LogLine> {
        self.around.iter().find(|(s, _)| *s == what).map(|(_, l)| *l)
    }

    /// The body of the answer to our own delivery, where it says that.
    pub fn answered(&self, what: Saying) -> Option<String> {
        let answer = self.e.answer.as_ref()?;
        (saying(&answer.body) == Some(what)).then(|| format!("{} {}", answer.status, answer.body))
    }

    /// The application's handler had it in hand.
    pub fn is_seen(&self) -> bool {
        self.said.is_some() || matches!(self.e.receipt, Receipt::Taken | Receipt::Processed(_))
    }

    /// Stripe may never have sent it: no delivery is owed, nobody saw it, and as things stand now they have stood since.
    pub fn may_be_unsent(&self) -> bool {
        !self.e.pending && !self.is_seen() && !self.e.recovered
    }

    /// It never came as far as the handler, and silence proves it.
    pub fn is_unseen(&self) -> bool {
        !self.is_seen() && (self.e.receipt == Receipt::Absent || self.scene.log.as_ref().is_some_and(|t| t.would_name(self.e.at)))
    }

    /// The log as it was read does not reach back to the event.
    pub fn log_begins_later(&self) -> bool {
        self.scene.log.as_ref().and_then(Trail::since).is_some_and(|since| since > self.e.at)
    }

    /// The log would say something of an event that had come to the application at all, and says nothing: not that it was taken, not that
    /// anything was refused at the time.
    pub fn log_is_silent(&self) -> bool {
        !self.is_seen() && self.around.is_empty() && self.scene.log.as_ref().is_some_and(|t| t.would_name(self.e.at))
    }

    /// The older event whose demand the row holds was applied after the last that is known of this one, be it that it failed: what stood in its
    /// way then is not what stands in its way now.
    pub fn was_overtaken_since(&self) -> bool {
        let last = self.processed_at().max(self.failed);
        last.zip(self.older_processed_at()).is_some_and(|(last, older)| older > last)
    }

    /// The older event whose demand the row holds was applied after this one. Where neither log nor record tells when, the row was at least
    /// written after this event had happened.
    pub fn was_overtaken(&self) -> bool {
        if self.e.older_in_row.is_none() {
            return false;
        }
        match (self.processed_at(), self.older_processed_at()) {
            (Some(own), Some(older)) => older > own,
            // It was applied and is gone, and nothing says that the other came later.
            (Some(_), None) => false,
            (None, _) => !self.is_seen() && !self.is_unseen() && self.e.written_since == Some(true),
        }
    }

    /// When the event was processed last, by the log or else by the application's record.
    fn processed_at(&self) -> Option<At> {
        let of_record = match self.e.receipt {
            Receipt::Processed(at) => at,
            _ => None,
        };
        self.scene.log.as_ref().and_then(|t| t.processed(self.e.event.as_str())).or(of_record)
    }

    /// The same of the older event whose demand the row holds.
    fn older_processed_at(&self) -> Option<At> {
        let older = self.e.older_in_row.as_ref()?;
        self.scene.log.as_ref().and_then(|t| t.processed(older.as_str())).or(self.e.older_processed)
    }

    /// Its effect was there once, and is not in a row that was read later.
    pub fn was_applied(&self) -> bool {
        !self.e.processed_unread && (self.processed || matches!(self.e.receipt, Receipt::Processed(_)))
    }

    /// What came back from a request of the probe.
    pub fn came(&self, shot: Shot) -> Option<&'a Came> {
        // What stands in the way now says nothing about what stood in the way before something was applied again.
        let probe = self.scene.probe.as_ref().filter(|_| !self.e.recovered)?;
        probe.shots.iter().find(|(s, _)| *s == shot).map(|(_, came)| came)
    }

    /// What came back from the webhook path, whichever of the requests got there first.
    pub fn path(&self) -> Option<&'a Came> {
        [Shot::Signed, Shot::WronglySigned, Shot::Unsigned]
            .into_iter()
            .find_map(|shot| self.came(shot).filter(|c| !matches!(c, Came::NotSent(_))))
    }

    /// The status of the webhook path, and the body.
    pub fn path_answer(&self) -> Option<(u16, &'a str)> {
        match self.path()? {
            Came::Answer { status, body, .. } => Some((*status, body)),
            _ => None,
        }
    }

    /// How far the application's clock is off, where that is more than a signature allows.
    pub fn skew(&self) -> Option<i64> {
        let probe = self.scene.probe.as_ref().filter(|_| !self.e.recovered)?;
        let skews = probe.shots.iter().filter_map(|(_, came)| match came {
            Came::Answer { skew_seconds, .. } => *skew_seconds,
            _ => None,
        });
        skews.max_by_key(|s| s.abs()).filter(|s| s.abs() > TOLERANCE_SECONDS)
    }

    /// What was said or answered, in its own words: the last about the event, else around it, else by the endpoint.
    pub fn raw(&self) -> Option<String> {
        let line = self.said.map(|(_, l)| l).or_else(|| self.around.first().map(|(_, l)| *l)).map(|l| l.text.clone());
        let answer = || self.e.answer.as_ref().map(|a| format!("{} {}", a.status, a.body).trim().to_string());
        let probe = || self.path_answer().map(|(status, body)| format!("{status} {body}").trim().to_string());
        line.or_else(answer).or_else(probe)
    }

    /// Everything that is known, a line each, with its source.
    pub fn lines(&self) -> Vec<String> {
        let e = self.e;
        let mut out = vec![format!("stripe: {} {} at {}", e.kind, mask::id(e.event.as_str()), stamp(e.at))];
        if e.pending {
            out.push("stripe: still owes a delivery of it".into());
        }
        if let Some(version) = &e.api_version {
            out.push(format!("stripe: its object is in the shape of {version}"));
        }
        out.extend(match &e.held {
            Held::Unknown => None,
            Held::Customer => Some("database: the row holds this customer".to_string()),
            Held::Placeholder(id) => Some(format!("database: the row holds the placeholder {}", mask::id(id))),
            Held::Other(Some(id)) => Some(format!("database: the row holds another customer, {}", mask::id(id))),
            Held::Other(None) => Some("database: the row holds no customer".to_string()),
            Held::NoRow => Some("database: the profile has no subscription row".to_string()),
            Held::Nowhere => Some("database: no row holds the customer".to_string()),
        });
        out.extend(match &e.named {
            Named::Unknown => None,
            Named::Nobody => Some("stripe: nothing names a profile".to_string()),
            Named::Malformed(text) => Some(format!("stripe: metadata names `{}`, which is no key", cut(text))),
            Named::Gone(key) => Some(format!("database: there is no profile {}", mask::id(key.as_str()))),
            Named::Profile(key) => Some(format!("database: profile {}", mask::id(key.as_str()))),
        });
        out.extend(match e.receipt {
            Receipt::Unknown => None,
            Receipt::Absent => Some("database: the application's record of events does not have it".to_string()),
            Receipt::Taken => Some("database: the application recorded it, and not that it was processed".to_string()),
            Receipt::Processed(at) => {
                Some(at.map_or("database: recorded as processed".into(), |at| format!("database: recorded as processed at {}", stamp(at))))
            }
        });
        if let Some(tier) = &e.enforced {
            out.push(format!("app: enforces {tier}"));
        }
        let lines = self.said.iter().chain(&self.around).take(3);
        out.extend(lines.map(|(_, l)| format!("log: {}{}", l.at.map_or(String::new(), |at| format!("{} ", stamp(at))), cut(&l.text))));
        if let Some(answer) = &e.answer {
            out.push(format!("app: answered {} {} to our delivery", answer.status, cut(&answer.body)));
        }
        if let Some((status, body)) = self.path_answer() {
            out.push(format!("probe: the webhook path answers {status} {}", cut(body)));
        }
        out
    }
}

/// `02:38:07Z`, with the day in front.
fn stamp(at: At) -> String {
    at.format("%-d %b %H:%M:%SZ").to_string()
}

/// The first of a text, enough to recognise it.
pub(super) fn cut(text: &str) -> String {
    const MOST: usize = 160;
    if text.chars().count() <= MOST { text.to_string() } else { format!("{}…", text.chars().take(MOST).collect::<String>()) }
}
