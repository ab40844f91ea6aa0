//! What the quota pane knows: what is asked for, the pages that have come, the totals behind them, use by tier. Never polled.

use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::console::widgets::form::TextField;
use crate::console::widgets::table::Cursor;
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::filter::{Fields, Filter, words};
use crate::domain::mask;
use crate::domain::quota::{NearKey, NearPage, NearRow, PAGE as PER_PAGE, QuotaFilter, QuotaTotal, ServedBy, Threshold, TierUse};
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub(super) tab: Tab,
    /// The filter: `tier:`, `feature:` and `from:` are asked of the database, other words of what has been read.
    pub(super) field: TextField,
    pub(super) focused: bool,
    pub(super) wanted: Wanted,
    pub(super) list: Option<List>,
    /// Since when a page is being read, in milliseconds.
    pub(super) reading: Option<u64>,
    /// Why the last page did not come.
    pub(super) fault: Option<Fault>,
    pub(super) totals: Known<Vec<QuotaTotal>>,
    pub(super) cursor: Cursor,
    pub(super) usage: Known<Vec<TierUse>>,
    pub(super) usage_reading: Option<u64>,
    /// Why use by tier could not be read anew.
    pub(super) usage_fault: Option<Fault>,
    pub(super) tier: Cursor,
    /// When something failed last, in milliseconds.
    failed: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    #[default]
    Near,
    ByTier,
}

/// What the database is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub threshold: Threshold,
    pub filter: QuotaFilter,
}

/// The pages that have come, as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    pub rows: Vec<NearRow>,
    /// Where the next page begins; `None`: these are all.
    pub next: Option<NearKey>,
    pub by: ServedBy,
    pub limits_known: bool,
    /// When the first page came.
    pub at: At,
}

const PAGE: Slot = Slot::Quota(0);
const TOTALS: Slot = Slot::Quota(1);
const USAGE: Slot = Slot::Quota(2);

/// More rows than this are not read into the list: a file takes all of them.
pub const MOST: usize = 2_000;
/// The next page is asked for once the selection is this near the end of what has come.
const AHEAD: usize = 20;
/// After a failure that passes it is asked again no sooner than this, in milliseconds.
const RETRY: u64 = 5_000;

/// What the filter knows of a row.
pub const FIELDS: &[&str] = &["tier", "feature", "state", "from", "claim", "used", "limit", "percent"];
/// Who has renewed, and is blocked by a counter that was not reset.
const RENEWED: &str = "claim:renewed from:100";

impl Tab {
    pub const ALL: [Tab; 2] = [Tab::Near, Tab::ByTier];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Tab::Near => "Near the limit",
            Tab::ByTier => "By tier",
        }
    }
}

impl Model {
    /// The pane comes on screen: what was read before stays, with its age.
    pub fn entered(&mut self, cx: &Context) -> Vec<Ask> {
        if cx.env.is_none() {
            return Vec::new();
        }
        match self.tab {
            Tab::Near if self.list.is_none() && self.reading.is_none() => self.read(cx),
            Tab::ByTier if self.usage.value().is_none() && self.usage_reading.is_none() => self.read(cx),
            _ => Vec::new(),
        }
    }

    /// An answer to one of its reads: only those that are still wanted arrive.
    pub fn replied(&mut self, slot: Slot, query: &Query, result: &Result<Reply, Fault>, cx: &Context) -> Vec<Ask> {
        if result.is_err() {
            self.failed = cx.tick;
        }
        match (slot, query, result) {
            (PAGE, Query::NearLimit { after, .. }, Ok(Reply::NearLimit(page))) => return self.came(page.clone(), after.is_some(), cx),
            (PAGE, _, Err(fault)) => (self.reading, self.fault) = (None, Some(fault.clone())),
            (TOTALS, _, Ok(Reply::QuotaTotals(totals))) => self.totals = Known::Is { value: totals.clone(), at: cx.now },
            (TOTALS, _, Err(fault)) => self.totals = Known::Failed(fault.clone()),
            (USAGE, _, Ok(Reply::TierUsage(usage))) => {
                (self.usage, self.usage_reading, self.usage_fault) = (Known::Is { value: usage.clone(), at: cx.now }, None, None);
                self.tier.clamp(self.uses().len());
            }
            (USAGE, _, Err(fault)) => (self.usage_reading, self.usage_fault) = (None, Some(fault.clone())),
            _ => {}
        }
        Vec::new()
    }

    /// Once a second: what failed while the database was away is asked again when it is back.
    pub fn ticked(&mut self, on_screen: bool, cx: &Context) -> Vec<Ask> {
        let fault = if self.tab == Tab::Near { &self.fault } else { &self.usage_fault };
        // A time-out is not repeated unasked: what was too long once is so again, and costs the server each time.
        let away = fault.as_ref().is_some_and(|f| f.passes() && f.kind != FaultKind::Timeout);
        let due = cx.tick.saturating_sub(self.failed) >= RETRY;
        if on_screen && away && due && cx.health(Source::Database) == Health::Ok { self.read(cx) } else { Vec::new() }
    }

    /// A text field has the focus: keys go to `edit`.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        self.focused
    }

    /// Counters were written: what has been read of them is read again at once, on screen or not.
    pub fn written(&mut self, cx: &Context) -> Vec<Ask> {
        if cx.env.is_none() {
            return Vec::new();
        }
        let mut asks = if self.list.is_some() || self.reading.is_some() { self.read_near(cx) } else { Vec::new() };
        // Use by tier goes through all counters: of that only what is looked at is read at once, and the rest when it is looked at.
        match self.tab {
            Tab::ByTier if self.usage.value().is_some() => asks.extend(self.read(cx)),
            _ => self.usage = Known::Waiting,
        }
        asks
    }

    /// Takes this for the filter, and asks the database where that changes what it is asked for.
    pub fn look(&mut self, filter: &str, cx: &Context) -> Vec<Ask> {
        self.field.set(filter);
        self.focused = false;
        self.apply(cx)
    }

    /// Lists who renewed and was not reset, as it is now.
    pub fn look_at_renewed(&mut self, cx: &Context) -> Vec<Ask> {
        self.tab = Tab::Near;
        let asks = self.look(RENEWED, cx);
        if asks.is_empty() && cx.env.is_some() { self.read_near(cx) } else { asks }
    }

    /// What was typed may be somebody's name: for a screen that is handed on it reads as the rows do.
    pub fn mask(&mut self) {
        let masked = |w: String| if w.contains([':', '>', '<']) { w } else { mask::name(&w) };
        let text: Vec<String> = words(self.field.text()).into_iter().map(masked).collect();
        self.field.set(&text.join(" "));
    }

    /// The filter as it stands goes to the database, where it asks for something else than before.
    pub(super) fn apply(&mut self, cx: &Context) -> Vec<Ask> {
        let wanted = self.typed();
        (self.cursor, self.tier) = (Cursor::default(), Cursor::default());
        if wanted == self.wanted {
            return Vec::new();
        }
        self.wanted = wanted;
        // Rows that answer another question must not stand under this one.
        (self.list, self.totals, self.fault) = (None, Known::Waiting, None);
        if cx.env.is_none() { Vec::new() } else { self.read_near(cx) }
    }

    /// The rows that the filter lets through, of those that have come.
    #[must_use]
    pub(super) fn rows(&self) -> Vec<&NearRow> {
        let filter = self.words();
        self.list.iter().flat_map(|l| &l.rows).filter(|r| filter.accepts(&Near(r))).collect()
    }

    #[must_use]
    pub(super) fn uses(&self) -> Vec<&TierUse> {
        let filter = filter_of_words(words(self.field.text()).into_iter().filter(|w| of_line(w)));
        self.usage.value().into_iter().flatten().filter(|u| filter.accepts(&Use(u))).collect()
    }

    /// The filter has words that say nothing of a tier and its feature: use by tier passes over them.
    #[must_use]
    pub(super) fn passes_over(&self) -> bool {
        words(self.field.text()).iter().any(|w| !of_line(w))
    }

    /// The filter leaves out rows that the database would give for what it is asked: a file holds them all the same.
    #[must_use]
    pub(super) fn narrows_what_was_read(&self) -> bool {
        self.list.as_ref().is_some_and(|l| self.rows().len() < l.rows.len())
    }

    /// How many the database has for what it is asked, where that is known.
    #[must_use]
    pub(super) fn all(&self) -> Option<usize> {
        let read_to_its_end = self.list.as_ref().filter(|l| l.next.is_none()).map(|l| l.rows.len());
        let counted =
            || self.totals.value().map(|t| t.iter().map(|t| t.near + t.blocked).sum::<i64>()).and_then(|n| usize::try_from(n).ok());
        read_to_its_end.or_else(counted)
    }

    #[must_use]
    pub(super) fn selected(&self) -> Option<&NearRow> {
        self.rows().get(self.cursor.at).copied()
    }

    /// Everything of this tab anew.
    pub(super) fn read(&mut self, cx: &Context) -> Vec<Ask> {
        if self.tab == Tab::Near {
            return self.read_near(cx);
        }
        (self.usage_reading, self.usage_fault) = (Some(cx.tick), None);
        vec![Ask::Read { slot: USAGE, query: Query::TierUsage(QuotaFilter::default()) }]
    }

    /// The next page, where the selection has come near the end of what there is.
    pub(super) fn more(&mut self, cx: &Context) -> Vec<Ask> {
        let shown = self.rows().len();
        let Some(list) = &self.list else { return Vec::new() };
        let near_the_end = self.cursor.at + AHEAD >= shown && list.rows.len() < MOST;
        match list.next.clone() {
            Some(after) if near_the_end && self.reading.is_none() && self.fault.is_none() => self.page(Some(after), cx),
            _ => Vec::new(),
        }
    }

    fn read_near(&mut self, cx: &Context) -> Vec<Ask> {
        let mut asks = vec![Ask::Cancel(TOTALS)];
        asks.extend(self.page(None, cx));
        asks
    }

    fn page(&mut self, after: Option<NearKey>, cx: &Context) -> Vec<Ask> {
        (self.reading, self.fault) = (Some(cx.tick), None);
        let Wanted { threshold, filter } = self.wanted.clone();
        vec![Ask::Read { slot: PAGE, query: Query::NearLimit { threshold, filter, after } }]
    }

    /// A page has come. Behind the first one the totals are asked for; they take longer.
    fn came(&mut self, page: NearPage, follows: bool, cx: &Context) -> Vec<Ask> {
        self.reading = None;
        if let (true, Some(list)) = (follows, &mut self.list) {
            // What has moved between two pages stands once.
            let known = |r: &NearRow| list.rows.iter().any(|k| (&k.subject, &k.feature) == (&r.subject, &r.feature));
            let fresh: Vec<NearRow> = page.rows.into_iter().filter(|r| !known(r)).collect();
            list.rows.extend(fresh);
            list.next = page.next;
            return Vec::new();
        }
        let on = self.selected().filter(|_| self.cursor.at > 0).map(|r| (r.subject.clone(), r.feature.clone()));
        let any = !page.rows.is_empty();
        self.list = Some(List { rows: page.rows, next: page.next, by: page.by, limits_known: page.limits_known, at: cx.now });
        let rows = self.rows();
        let at = on.and_then(|(subject, feature)| rows.iter().position(|r| r.subject == subject && r.feature == feature));
        let len = rows.len();
        self.cursor.at = at.unwrap_or(self.cursor.at);
        self.cursor.clamp(len);
        if !any {
            self.totals = Known::Is { value: Vec::new(), at: cx.now };
            return Vec::new();
        }
        // Those who pay may be few: the others, who cost as much again, are read on behind them.
        let short = self.list.as_ref().is_some_and(|l| l.rows.len() < usize::from(PER_PAGE));
        let mut asks = if short { self.more(cx) } else { Vec::new() };
        let Wanted { threshold, filter } = self.wanted.clone();
        asks.push(Ask::Read { slot: TOTALS, query: Query::QuotaTotals { threshold, filter } });
        asks
    }

    /// What of the filter is asked of the database. Names are meant as they are written there, whatever case they are typed in.
    fn typed(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for word in words(self.field.text()) {
            match word.split_once(':') {
                Some((_, "")) => {}
                Some(("tier", tier)) => wanted.filter.tier = Some(self.as_written(tier, |t| &t.0)),
                Some(("feature", feature)) => wanted.filter.feature = Some(self.as_written(feature, |t| &t.1)),
                Some(("from", share)) => wanted.threshold = Threshold::parse(share).unwrap_or_default(),
                _ => {}
            }
        }
        wanted
    }

    fn as_written(&self, typed: &str, of: impl Fn(&(String, String)) -> &String) -> String {
        let seen = self.list.iter().flat_map(|l| &l.rows).map(|r| (r.tier.clone(), r.feature.clone()));
        let used = self.usage.value().into_iter().flatten().map(|u| (u.tier.clone(), u.feature.clone()));
        let asked = (self.wanted.filter.tier.clone().unwrap_or_default(), self.wanted.filter.feature.clone().unwrap_or_default());
        let mut known: Vec<String> = seen.chain(used).chain([asked]).map(|pair| of(&pair).clone()).filter(|n| !n.is_empty()).collect();
        known.sort();
        known.dedup();
        let exactly = known.iter().find(|n| n.eq_ignore_ascii_case(typed));
        // A beginning is enough where it is only one's.
        let begins: Vec<&String> = known.iter().filter(|n| n.to_lowercase().starts_with(&typed.to_lowercase())).collect();
        match (exactly, begins.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [one]) => (*one).clone(),
            _ => typed.to_string(),
        }
    }

    /// The filter without the threshold, which is no property of a row.
    fn words(&self) -> Filter {
        filter_of_words(words(self.field.text()).into_iter().filter(|w| !w.starts_with("from:")))
    }

    /// Why the filter is not what somebody meant.
    #[must_use]
    pub(super) fn mistake(&self) -> Option<String> {
        if let Some(stranger) = Filter::parse(self.field.text()).stranger(FIELDS) {
            return Some(format!("no field {stranger}: there are {}", FIELDS.join(", ")));
        }
        let shares = words(self.field.text()).into_iter().filter_map(|w| w.strip_prefix("from:").map(String::from));
        shares.filter(|s| !s.is_empty()).find_map(|s| Threshold::parse(&s).err())
    }
}

fn filter_of_words(kept: impl Iterator<Item = String>) -> Filter {
    Filter::parse(&kept.map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" "))
}

/// The word is about a tier or a feature: the others are about somebody.
fn of_line(word: &str) -> bool {
    let word = word.strip_prefix('!').unwrap_or(word);
    word.starts_with("tier:") || word.starts_with("feature:")
}

/// A row as the filter asks it.
struct Near<'a>(&'a NearRow);

impl Fields for Near<'_> {
    fn any(&self, needle: &str) -> bool {
        let r = self.0;
        let texts =
            [r.email.as_deref(), r.name.as_deref(), Some(r.subject.as_str()), Some(&r.tier), Some(&r.feature), Some(r.state.word())];
        texts.into_iter().flatten().any(|t| t.to_lowercase().contains(needle))
    }

    fn has(&self, field: &str, needle: &str) -> bool {
        let text = match field {
            "tier" => &self.0.tier,
            "feature" => &self.0.feature,
            "state" => self.0.state.word(),
            "claim" => self.0.claim.word(),
            _ => return false,
        };
        text.to_lowercase().contains(needle)
    }

    fn number(&self, field: Option<&str>) -> Option<i64> {
        match field {
            None | Some("percent") => Some(self.0.percent()),
            Some("used") => Some(self.0.used),
            Some("limit") => Some(self.0.limit),
            Some(_) => None,
        }
    }
}

/// A line of use by tier: only its tier and its feature can be asked for.
struct Use<'a>(&'a TierUse);

impl Fields for Use<'_> {
    fn any(&self, _: &str) -> bool {
        false
    }

    fn has(&self, field: &str, needle: &str) -> bool {
        match field {
            "tier" => self.0.tier.to_lowercase().contains(needle),
            "feature" => self.0.feature.to_lowercase().contains(needle),
            _ => false,
        }
    }

    fn number(&self, _: Option<&str>) -> Option<i64> {
        None
    }
}
