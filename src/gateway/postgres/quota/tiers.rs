//! Use by tier and feature: a histogram on the server, so that medians cost no sort of all rows; who has no counter counts as nothing used.

use super::super::connect::Session;
use super::super::fault::Trouble;
use super::super::names::literal;
use super::{Ground, Scope};
use crate::domain::quota::TierUse;
use crate::domain::text::clean;
use sqlx::Row;
use std::collections::BTreeMap;

impl Ground<'_> {
    pub(super) async fn by_tier(&self, session: &mut Session, filter: &Scope) -> Result<Vec<TierUse>, Trouble> {
        let users = self.users(session).await?;
        let mut of: BTreeMap<(String, String), TierUse> = BTreeMap::new();
        // What nobody of a tier has used yet is a line too.
        for limit in self.within(filter) {
            if let Some(users) = users.get(&limit.tier).filter(|n| **n > 0) {
                let line = unused(&limit.tier, &limit.feature, Some(limit.value), *users);
                of.insert((limit.tier.clone(), limit.feature.clone()), line);
            }
        }
        let rows = session.sql(self.histogram(&users, filter)).fetch_all(&mut session.conn).await?;
        for row in rows {
            let (tier, feature): (String, String) = (row.try_get("tier")?, row.try_get("feature")?);
            let all = row.try_get("users")?;
            let line = of.entry((tier.clone(), feature.clone())).or_insert_with(|| unused(&tier, &feature, None, all));
            line.users = all;
            line.active = row.try_get("active")?;
            line.average_milli = row.try_get("average")?;
            line.median = row.try_get("median")?;
            line.p95 = row.try_get("p95")?;
            line.max = row.try_get("max")?;
            line.blocked = row.try_get("blocked")?;
        }
        Ok(of.into_values().map(|l| TierUse { tier: clean(&l.tier), feature: clean(&l.feature), ..l }).collect())
    }

    /// How many there are of each tier; whoever has no row has the tier that nobody pays for.
    async fn users(&self, session: &mut Session) -> Result<BTreeMap<String, i64>, Trouble> {
        let statement = format!(
            "SELECT {} AS tier, count(*) AS n FROM {} AS s GROUP BY 1 UNION ALL
             SELECT {}, greatest((SELECT count(*) FROM {}) - (SELECT count(*) FROM {}), 0)",
            self.tier(),
            self.found.subscription.table.sql,
            literal(self.free),
            self.found.subject.table.sql,
            self.found.subscription.table.sql,
        );
        let rows = session.sql(statement).fetch_all(&mut session.conn).await?;
        let mut users: BTreeMap<String, i64> = BTreeMap::new();
        for row in rows {
            *users.entry(row.try_get("tier")?).or_default() += row.try_get::<i64, _>("n")?;
        }
        Ok(users)
    }

    fn histogram(&self, users: &BTreeMap<String, i64>, filter: &Scope) -> String {
        // Beside the counters stand only those who pay.
        let (tier, feature, used) = (format!("coalesce(s.tier, {})", literal(self.free)), self.counter.feature.text("c"), self.used());
        let mut wanted = vec![format!("{used} > 0"), self.lives(self.counter.period_end.as_ref(), "c")];
        if let Some(of) = &filter.tier {
            wanted.push(format!("{tier} = {}", literal(of)));
        }
        if let Some(of) = &filter.feature {
            wanted.push(format!("{} = {}", self.counter.feature.comparable("c"), literal(of)));
        }
        // With no rows a list of values is none: one that fits nobody keeps the statement whole.
        let mut people: Vec<String> = users.iter().map(|(tier, n)| format!("({}, {n}::bigint)", literal(tier))).collect();
        people.push("(NULL::text, 0::bigint)".into());
        let mut limits: Vec<String> =
            self.finite(filter).map(|l| format!("({}, {}, {}::bigint)", literal(&l.tier), literal(&l.feature), l.value)).collect();
        limits.push("(NULL::text, NULL::text, NULL::bigint)".into());
        format!(
            "WITH used AS MATERIALIZED (
                 SELECT {tier} AS tier, {feature} AS feature, {used}::bigint AS used, count(*) AS n FROM {} AS c {} WHERE {} GROUP BY 1, 2, 3
             ), ranked AS (
                 SELECT u.tier, u.feature, u.used, u.n, sum(u.n) OVER (PARTITION BY u.tier, u.feature ORDER BY u.used) AS upto,
                        sum(u.n) OVER (PARTITION BY u.tier, u.feature) AS active, w.n AS everybody, l.value
                 FROM used AS u LEFT JOIN (VALUES {}) AS w(tier, n) ON w.tier = u.tier
                 LEFT JOIN (VALUES {}) AS l(tier, feature, value) ON l.tier = u.tier AND l.feature = u.feature
             ), counted AS (
                 SELECT *, greatest(coalesce(everybody, 0), active) AS users, greatest(coalesce(everybody, 0) - active, 0) AS idle FROM ranked
             )
             SELECT tier, feature, users::bigint, active::bigint, (sum(used::numeric * n) * 1000 / users)::bigint AS average, max(used) AS max,
                    CASE WHEN div(users + 1, 2) <= idle THEN 0 ELSE min(used) FILTER (WHERE upto >= div(users + 1, 2) - idle) END::bigint AS median,
                    CASE WHEN div(users * 95 + 99, 100) <= idle THEN 0
                         ELSE min(used) FILTER (WHERE upto >= div(users * 95 + 99, 100) - idle) END::bigint AS p95,
                    coalesce(sum(n) FILTER (WHERE used >= value), 0)::bigint AS blocked
             FROM counted GROUP BY tier, feature, users, active, idle ORDER BY tier, feature",
            self.counter.table.sql,
            self.who_pays(filter),
            wanted.join(" AND "),
            people.join(", "),
            limits.join(", "),
        )
    }
}

fn unused(tier: &str, feature: &str, limit: Option<i64>, users: i64) -> TierUse {
    TierUse { tier: tier.into(), feature: feature.into(), limit, users, active: 0, average_milli: 0, median: 0, p95: 0, max: 0, blocked: 0 }
}
