//! What the customers pane knows: the text being searched for, and what each source has answered to it.

use super::hits::{Found, merged};
use super::named::Naming;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::widgets::form::TextField;
use crate::console::widgets::table::Cursor;
use crate::domain::fault::{Fault, Source};
use crate::domain::mask;
use crate::domain::needle::Needle;
use crate::protocol::freshness::Health;
use crate::protocol::query::{Hit, NeedleText, Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(super) field: TextField,
    pub(super) focused: bool,
    pub(super) database: Side,
    pub(super) stripe: Side,
    /// Shown instead of a search: the customers behind a finding.
    pub(super) list: Option<(String, Vec<Hit>)>,
    /// Who they are, where the finding knew no more than their ids.
    #[serde(default)]
    pub(super) naming: Naming,
    pub(super) cursor: Cursor,
    /// The text that Stripe was last asked for, and when: it is asked at most a few times a second.
    asked_stripe: Option<(String, u64)>,
    /// What the mirror of Stripe says in its place, and the text it was asked for.
    #[serde(default)]
    pub(super) mirror: Vec<Hit>,
    #[serde(default)]
    asked_mirror: Option<String>,
    /// When the text was last looked up.
    looked: u64,
}

/// One source's part of the answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Side {
    #[default]
    Idle,
    Reading {
        since: u64,
    },
    Ready {
        hits: Vec<Hit>,
        truncated: bool,
    },
    Failed(Fault),
}

/// Hits asked for from each source.
const LIMIT: u32 = 50;
/// Stripe is asked again no sooner than this after the last time, in milliseconds; the database at every key.
const STRIPE_PAUSE: u64 = 300;
/// A source that failed and has recovered is asked again no sooner than this, in milliseconds.
const RETRY: u64 = 5_000;
/// So long Stripe may take before its mirror is looked into, in milliseconds.
const PATIENCE: u64 = 1_000;

impl Model {
    /// The pane comes on screen, or the environment has just been connected.
    pub fn entered(&mut self, cx: &Context) -> Vec<Ask> {
        // Coming back from a customer, the list goes on where it was; there is nothing else to do than type where there is none.
        self.focused = self.list.is_none() && self.field.is_empty();
        if self.list.is_none() && !self.field.is_empty() { self.look(cx) } else { Vec::new() }
    }

    /// An answer to one of its reads: only those that are still wanted arrive.
    pub fn replied(&mut self, _slot: Slot, query: &Query, result: &Result<Reply, Fault>, cx: &Context) -> Vec<Ask> {
        if let Some((_, hits)) = &mut self.list
            && self.naming.replied(query, result, hits)
        {
            return self.name().into_iter().collect();
        }
        let (Query::FindInDatabase { needle, .. } | Query::FindInStripe { needle, .. } | Query::FindInMirror { needle, .. }) = query else {
            return Vec::new();
        };
        if self.needle().as_ref() != Some(needle) {
            return Vec::new();
        }
        let selected = self.selected().map(|f| f.identity());
        let side = match result {
            Ok(Reply::Hits { hits, truncated }) => Side::Ready { hits: hits.clone(), truncated: *truncated },
            Ok(Reply::MirrorHits { hits, truncated, mirror }) => {
                let note = format!("mirror, {}", mirror.age_said(cx.stripe_now()));
                Side::Ready { hits: hits.iter().map(|hit| Hit { note: note.clone(), ..hit.clone() }).collect(), truncated: *truncated }
            }
            Ok(_) => return Vec::new(),
            Err(fault) => Side::Failed(fault.clone()),
        };
        match (query, side) {
            (Query::FindInMirror { .. }, Side::Ready { hits, .. }) => self.mirror = hits,
            // It stands in for Stripe: what Stripe's own side says of the silence is enough.
            (Query::FindInMirror { .. }, _) => self.mirror = Vec::new(),
            (Query::FindInStripe { .. }, side) => self.stripe = side,
            (_, side) => self.database = side,
        }
        // The selection stays on whom it stood; at the top it stays at the top, where better hits come in.
        let rows = self.rows();
        let moved = selected.filter(|_| self.cursor.at > 0).and_then(|id| rows.iter().position(|f| f.identity() == id));
        self.cursor.at = moved.unwrap_or(self.cursor.at);
        self.cursor.clamp(rows.len());
        self.ask_mirror(cx).into_iter().collect()
    }

    /// Once a second, on screen or not.
    pub fn ticked(&mut self, cx: &Context) -> Vec<Ask> {
        if self.list.is_some() || self.field.is_empty() {
            return Vec::new();
        }
        let back = |(source, side): &(Source, &Side)| matches!(side, Side::Failed(f) if f.passes()) && cx.health(*source) == Health::Ok;
        if self.sides().iter().any(back) && cx.tick.saturating_sub(self.looked) >= RETRY {
            return self.refresh(cx);
        }
        // The last keys may have come faster than Stripe is asked.
        self.ask_stripe(cx).into_iter().chain(self.ask_mirror(cx)).collect()
    }

    /// A text field has the focus: keys go to `edit`.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        self.focused
    }

    /// The field, ready to type in: the pane was gone to by its digit.
    pub fn focus(&mut self) {
        self.list = None;
        self.focused = true;
    }

    /// Looks this text up: typed in the palette, or pasted anywhere.
    pub fn search(&mut self, text: &str, cx: &Context) -> Vec<Ask> {
        self.field.set(text);
        self.focused = false;
        self.look(cx)
    }

    /// What was typed may be somebody's name or address: for a screen that is handed on it reads as the rows do.
    pub fn mask(&mut self) {
        let typed = self.field.text().trim().to_string();
        let masked = match Needle::parse(&typed) {
            Some(Needle::Email(address)) => mask::email(&address),
            Some(Needle::Words(words)) => words.split_whitespace().map(mask::name).collect::<Vec<_>>().join(" "),
            _ => return,
        };
        self.field.set(&masked);
    }

    /// Shows these instead of a search, and asks who they are where that is not known.
    pub fn fill(&mut self, title: String, hits: Vec<Hit>) -> Vec<Ask> {
        self.naming = Naming::of(&hits);
        self.list = Some((title, hits));
        self.focused = false;
        self.cursor = Cursor::default();
        self.name().into_iter().collect()
    }

    fn name(&mut self) -> Option<Ask> {
        let query = self.naming.next(self.list.as_ref().map_or(&[], |(_, hits)| hits.as_slice()))?;
        let slot = if query.source() == Source::Stripe { Slot::SearchStripe } else { Slot::SearchDatabase };
        Some(Ask::Read { slot, query })
    }

    /// The rows on screen, best first.
    #[must_use]
    pub fn rows(&self) -> Vec<Found> {
        if let Some((_, hits)) = &self.list {
            return hits.iter().map(Found::of).collect();
        }
        let hits = |side: &Side| if let Side::Ready { hits, .. } = side { hits.clone() } else { Vec::new() };
        let mut at_stripe = hits(&self.stripe);
        if !matches!(self.stripe, Side::Ready { .. }) {
            at_stripe.extend(self.mirror.iter().cloned());
        }
        merged(&hits(&self.database), &at_stripe)
    }

    #[must_use]
    pub fn selected(&self) -> Option<Found> {
        self.rows().into_iter().nth(self.cursor.at)
    }

    /// Asks both sources for the text as it stands now.
    pub(super) fn look(&mut self, cx: &Context) -> Vec<Ask> {
        self.list = None;
        self.cursor = Cursor::default();
        self.looked = cx.tick;
        (self.mirror, self.asked_mirror) = (Vec::new(), None);
        let Some(needle) = self.needle() else {
            (self.database, self.stripe, self.asked_stripe) = (Side::Idle, Side::Idle, None);
            return vec![Ask::Cancel(Slot::SearchDatabase), Ask::Cancel(Slot::SearchStripe), Ask::Cancel(Slot::SearchMirror)];
        };
        let mut asks = Vec::new();
        self.database = begin(&self.database, cx, Source::Database);
        if matches!(self.database, Side::Reading { .. }) {
            asks.push(Ask::Read { slot: Slot::SearchDatabase, query: Query::FindInDatabase { needle, limit: LIMIT } });
        }
        asks.extend(self.ask_stripe(cx));
        asks
    }

    /// Both sources anew, whatever they said before.
    pub(super) fn refresh(&mut self, cx: &Context) -> Vec<Ask> {
        self.asked_stripe = None;
        self.look(cx)
    }

    fn needle(&self) -> Option<NeedleText> {
        let text = self.field.text().trim();
        // One letter finds half of everybody.
        (text.chars().count() >= 2 && Needle::parse(text).is_some()).then(|| NeedleText(text.to_string()))
    }

    fn ask_stripe(&mut self, cx: &Context) -> Option<Ask> {
        let needle = self.needle()?;
        if self.asked_stripe.as_ref().is_some_and(|(text, _)| *text == needle.0) {
            return None;
        }
        // Stripe has never heard of a placeholder.
        if matches!(needle.needle(), Some(Needle::Placeholder(_))) {
            self.stripe = Side::Ready { hits: Vec::new(), truncated: false };
            return None;
        }
        // What Stripe said to another text is no answer to this one, even while it is not asked yet.
        self.stripe = begin(&self.stripe, cx, Source::Stripe);
        let too_soon = self.asked_stripe.as_ref().is_some_and(|(_, at)| cx.tick.saturating_sub(*at) < STRIPE_PAUSE);
        if too_soon || !matches!(self.stripe, Side::Reading { .. }) {
            return None;
        }
        self.asked_stripe = Some((needle.0.clone(), cx.tick));
        Some(Ask::Read { slot: Slot::SearchStripe, query: Query::FindInStripe { needle, limit: LIMIT } })
    }

    /// The mirror of Stripe, once for a text, where Stripe has failed or takes its time.
    fn ask_mirror(&mut self, cx: &Context) -> Option<Ask> {
        let silent = match &self.stripe {
            Side::Failed(_) => true,
            Side::Reading { since } => cx.tick.saturating_sub(*since) >= PATIENCE,
            Side::Idle | Side::Ready { .. } => false,
        };
        let needle = self.needle().filter(|_| silent && self.list.is_none() && cx.survey.has_mirror())?;
        if self.asked_mirror.as_ref() == Some(&needle.0) {
            return None;
        }
        self.asked_mirror = Some(needle.0.clone());
        Some(Ask::Read { slot: Slot::SearchMirror, query: Query::FindInMirror { needle, limit: LIMIT } })
    }

    /// Sources that are still being asked, and the longest wait in milliseconds.
    #[must_use]
    pub fn waiting(&self, tick: u64) -> (Vec<Source>, u64) {
        let mut waited = 0;
        let mut sources = Vec::new();
        for (source, side) in self.sides() {
            if let Side::Reading { since } = side {
                sources.push(source);
                waited = waited.max(tick.saturating_sub(*since));
            }
        }
        (sources, waited)
    }

    #[must_use]
    pub fn sides(&self) -> [(Source, &Side); 2] {
        [(Source::Database, &self.database), (Source::Stripe, &self.stripe)]
    }
}

/// A side that is about to be asked: old hits make way, and a source that is not there says so at once.
fn begin(side: &Side, cx: &Context, source: Source) -> Side {
    if cx.health(source) == Health::NotSetUp {
        let say = format!("{} is not set up", source.word());
        return Side::Failed(Fault::new(source, crate::domain::fault::FaultKind::NotSetUp, say));
    }
    match side {
        Side::Reading { since } => Side::Reading { since: *since },
        _ => Side::Reading { since: cx.tick },
    }
}
