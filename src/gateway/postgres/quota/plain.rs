//! The statements for who is near a limit, as text: over the plain tables, and over an index of the owner's. They are run elsewhere.

use super::super::found::same_key;
use super::super::names::{ident, literal};
use super::claim::{self, Renewal};
use super::{Ground, Scope, WatchFound};
use crate::domain::quota::{Claim, PAGE, Threshold};
use crate::domain::row::Field;
use std::collections::BTreeMap;

/// Beyond this a thousandfold leaves the type of the product; nobody's page depends on the order up there.
const LARGEST: i64 = 9_000_000_000_000_000;

impl Ground<'_> {
    /// A page over the plain tables. Limits stand in it as constants: a row is left behind as soon as its own two columns are read, and
    /// who pays for what is looked up for the few that remain, among those alone who pay for something.
    pub(super) fn page_of_tables(&self, threshold: Threshold, filter: &Scope, beyond: &dyn Fn(&str) -> String) -> String {
        let c = self.counter;
        let (key, feature, value) = (c.subject.key("c"), c.feature.comparable("c"), self.by_tier_and_feature(filter, &|limit| limit));
        let share = format!("(least({}, {LARGEST})::bigint * 1000 / {value})", self.used());
        // Beside the counter stand only those who pay, with the period that they paid for.
        let renewal = Renewal::of(self.found, c).map(|mut r| {
            (r.from.name, r.to.name) = ("starts".into(), "ends".into());
            r
        });
        let claim = claim::rank("s.tier IS NULL", renewal.as_ref(), "c", "s");
        let order = format!("{claim}, {share}, {key}, {feature}");
        self.dressed(&format!(
            "SELECT {key} AS k, {} AS feature, {}::bigint AS used, {} AS ends, coalesce(s.tier, {}) AS tier, {value}::bigint AS value,
                    {claim} AS rank, {claim} AS claim, {share} AS permille, {feature} AS f, true AS lives
             {} {} ORDER BY {claim} DESC, {share} DESC, {key} DESC, {feature} DESC LIMIT {PAGE}",
            c.feature.text("c"),
            self.used(),
            self.ends(),
            literal(self.free),
            self.near_rows(threshold, filter),
            beyond(&order),
        ))
    }

    pub(super) fn totals_of_tables(&self, threshold: Threshold, filter: &Scope) -> String {
        let (used, value) = (self.used(), self.by_tier_and_feature(filter, &|limit| limit));
        format!(
            "SELECT coalesce(s.tier, {}) AS tier, {} AS feature, count(*) FILTER (WHERE {used} < {value}) AS near,
                    count(*) FILTER (WHERE {used} >= {value}) AS blocked
             {} GROUP BY 1, 2 ORDER BY 1, 2",
            literal(self.free),
            self.counter.feature.text("c"),
            self.near_rows(threshold, filter)
        )
    }

    /// A page by the owner's index, behind a row of claim `after`: it says where to look, and the tables what is so. Each claim is a range
    /// of it, read by itself: those of one who are not near enough stand between it and the next.
    pub(super) fn page_of_watch(
        &self,
        watch: &WatchFound,
        threshold: Threshold,
        filter: &Scope,
        after: Option<Claim>,
        beyond: &dyn Fn(&str) -> String,
    ) -> String {
        let c = self.counter;
        let (key, feature) = (watch.key.key("w"), watch.feature.comparable("w"));
        let of_tier = |claim: Claim| match &filter.tier {
            Some(tier) => (tier == self.free) == (claim == Claim::Free),
            None => !(filter.paying && claim == Claim::Free),
        };
        let left = Claim::ALL.into_iter().filter(|claim| after.is_none_or(|a| *claim <= a) && of_tier(*claim));
        let ranges = left.map(|claim| {
            format!(
                "(SELECT {key} AS k, {} AS feature, {feature} AS f, w.claim AS rank, w.permille::bigint AS permille FROM {} AS w
                  WHERE w.claim = {} AND {}{} ORDER BY w.permille DESC, {key} DESC, {feature} DESC LIMIT {PAGE})",
                watch.feature.text("w"),
                watch.sql,
                claim.rank(),
                self.watched(watch, threshold, filter),
                if after == Some(claim) { beyond(&format!("w.claim, w.permille, {key}, {feature}")) } else { String::new() },
            )
        });
        let inner = format!(
            "SELECT * FROM ({}) AS w ORDER BY w.rank DESC, w.permille DESC, w.k DESC, w.f DESC LIMIT {PAGE}",
            ranges.collect::<Vec<_>>().join(" UNION ALL ")
        );
        let free = format!("{} = {}", self.tier(), literal(self.free));
        let claim = claim::rank(&free, Renewal::of(self.found, c).as_ref(), "c", "s");
        self.dressed(&format!(
            "SELECT w.k, w.feature, {}::bigint AS used, {} AS ends, l.tier AS tier, l.value AS value, w.rank, {claim} AS claim, w.permille, w.f,
                    {} AS lives
             FROM ({inner}) AS w LEFT JOIN {} AS c ON {key} = w.k AND {feature} = w.f {}
             LEFT JOIN {} ON l.tier = {} AND l.feature = w.feature",
            self.used(),
            self.ends(),
            Self::lives_now(c.period_end.as_ref(), "c"),
            c.table.sql,
            self.join_row(),
            self.floors(threshold, filter),
            self.tier(),
            key = c.subject.key("c"),
            feature = c.feature.comparable("c"),
        ))
    }

    pub(super) fn totals_from_watch(&self, watch: &WatchFound, threshold: Threshold, filter: &Scope) -> String {
        let tier = watch.tier.as_ref().expect("invariant: asked only of an index that knows tiers").text("w");
        let feature = watch.feature.text("w");
        format!(
            "SELECT {tier} AS tier, {feature} AS feature, count(*) FILTER (WHERE w.permille < 1000) AS near,
                    count(*) FILTER (WHERE w.permille >= 1000) AS blocked
             FROM {} AS w WHERE {} GROUP BY 1, 2 ORDER BY 1, 2",
            watch.sql,
            self.watched(watch, threshold, filter)
        )
    }

    fn watched(&self, watch: &WatchFound, threshold: Threshold, filter: &Scope) -> String {
        let mut all =
            vec![format!("w.permille >= {}", u16::from(threshold.percent()) * 10), Self::lives_now(watch.period_end.as_ref(), "w")];
        if let Some(feature) = &filter.feature {
            all.push(format!("{} = {}", watch.feature.comparable("w"), literal(feature)));
        }
        if let (Some(tier), Some(column)) = (&filter.tier, &watch.tier) {
            all.push(format!("{} = {}", column.comparable("w"), literal(tier)));
        }
        all.join(" AND ")
    }

    /// Counters and the tiers of those who pay, narrowed to what has reached its floor in a period that runs.
    fn near_rows(&self, threshold: Threshold, filter: &Scope) -> String {
        let (used, feature) = (self.used(), self.counter.feature.comparable("c"));
        let mut least: BTreeMap<&str, i64> = BTreeMap::new();
        for limit in self.finite(filter) {
            let floor = threshold.floor(limit.value);
            least.entry(&limit.feature).and_modify(|l| *l = floor.min(*l)).or_insert(floor);
        }
        // The number first: it is compared more quickly than the name.
        let any: Vec<String> = least.iter().map(|(f, floor)| format!("({used} >= {floor} AND {feature} = {})", literal(f))).collect();
        format!(
            "FROM {} AS c {} WHERE ({}) AND {} AND {used} >= {}",
            self.counter.table.sql,
            self.who_pays(filter),
            any.join(" OR "),
            self.lives(self.counter.period_end.as_ref(), "c"),
            self.by_tier_and_feature(filter, &|limit| threshold.floor(limit)),
        )
    }

    /// The tiers of those who pay beside their counters, as `s`: whoever is not among them has the tier that nobody pays for. So most
    /// people's rows never get into the hash table.
    pub(super) fn who_pays(&self, filter: &Scope) -> String {
        let row = &self.found.subscription;
        let tier = row.field(Field::Tier).map_or("NULL::text".into(), |c| c.text("s"));
        let (join, which) = match filter.tier.as_deref() {
            Some(only) if only != self.free => ("JOIN", format!("= {}", literal(only))),
            None if filter.paying => ("JOIN", format!("<> {}", literal(self.free))),
            _ => ("LEFT JOIN", format!("<> {}", literal(self.free))),
        };
        let mut key = row.subject.clone();
        key.name = "k".into();
        let period = Renewal::of(self.found, self.counter)
            .map(|r| format!(", s.{} AS starts, s.{} AS ends", ident(&r.from.name), ident(&r.to.name)))
            .unwrap_or_default();
        format!(
            "{join} (SELECT s.{} AS k, {tier} AS tier{period} FROM {} AS s WHERE {tier} {which}) AS s ON {}",
            ident(&row.subject.name),
            row.table.sql,
            same_key(&key, "s", &self.counter.subject, "c"),
        )
    }

    /// A number for each tier and feature whose limit can be come near, NULL for all others.
    fn by_tier_and_feature(&self, filter: &Scope, number: &dyn Fn(i64) -> i64) -> String {
        let feature = self.counter.feature.comparable("c");
        let mut tiers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for limit in self.finite(filter) {
            tiers.entry(&limit.tier).or_default().push(format!("WHEN {} THEN {}", literal(&limit.feature), number(limit.value)));
        }
        let tiers = tiers.iter().map(|(tier, features)| {
            let is = if *tier == self.free { "s.tier IS NULL".to_string() } else { format!("s.tier = {}", literal(tier)) };
            format!("WHEN {is} THEN CASE {feature} {} END", features.join(" "))
        });
        format!("CASE {} END", tiers.collect::<Vec<_>>().join(" "))
    }

    /// The limits that can be come near, with the use from which on they are, as a table `l`.
    fn floors(&self, threshold: Threshold, filter: &Scope) -> String {
        let rows: Vec<String> = self
            .finite(filter)
            .map(|l| format!("({}, {}, {}::bigint, {}::bigint)", literal(&l.tier), literal(&l.feature), l.value, threshold.floor(l.value)))
            .collect();
        format!("(VALUES {}) AS l(tier, feature, value, floor)", rows.join(", "))
    }

    fn ends(&self) -> String {
        self.counter.period_end.as_ref().map_or("NULL::timestamptz".into(), |c| c.time("c"))
    }

    /// Names beside the rows of a page, looked up for those alone.
    fn dressed(&self, page: &str) -> String {
        let subject = &self.found.subject;
        let text = |c: &Option<super::ColumnFound>| c.as_ref().map_or("NULL::text".into(), |c| c.text("p"));
        // The page's key has the type of the counter's own column, under another name.
        let mut own = self.counter.subject.clone();
        own.name = "k".into();
        format!(
            "SELECT n.k::text AS key, n.feature, n.used, n.ends, n.tier, n.value, n.rank, n.claim, n.permille, n.lives,
                    {} AS email, {} AS name
             FROM ({page}) AS n LEFT JOIN {} AS p ON {} ORDER BY n.rank DESC, n.permille DESC, n.{} DESC, n.f DESC",
            text(&subject.email),
            text(&subject.name),
            subject.table.sql,
            same_key(&own, "n", &subject.key, "p"),
            ident("k"),
        )
    }
}
