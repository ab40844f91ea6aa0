//! What somebody near a limit has paid for, as an expression over counter and subscription row. It orders the lists; it judges nobody.

use super::super::found::{ColumnFound, CounterFound, Found};
use crate::domain::quota::Claim;
use crate::domain::row::Field;

/// The columns that tell whether a counter goes on with the use of a period before the one that was paid for.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Of the counter.
    pub starts: ColumnFound,
    pub ends: ColumnFound,
    /// Of the subscription row: the period that was paid for.
    pub from: ColumnFound,
    pub to: ColumnFound,
}

impl Renewal {
    /// `None` where the tables hold no periods on both sides, or hold them inside documents, which no trigger can name.
    pub fn of(found: &Found, counter: &CounterFound) -> Option<Self> {
        let renewal = Self {
            starts: counter.period_start.clone()?,
            ends: counter.period_end.clone()?,
            from: found.subscription.field(Field::PeriodStart)?.clone(),
            to: found.subscription.field(Field::PeriodEnd)?.clone(),
        };
        [&renewal.starts, &renewal.ends, &renewal.from, &renewal.to].iter().all(|c| !c.is_json()).then_some(renewal)
    }

    /// The counter's period began before the one that was paid for, and covers it. Where a counter goes on unreset it covers two of them;
    /// one of a longer rhythm (a year's beside a month's payment, a stock's) covers more, and is as it should be.
    pub fn condition(&self, c: &str, s: &str) -> String {
        let times = [&self.starts, &self.ends, &self.from, &self.to];
        // Compared as they stand where they are of one type: there may be hundreds of thousands of them.
        let alike = times.iter().all(|t| t.sql_type == times[0].sql_type);
        let time = |column: &ColumnFound, alias: &str| {
            if alike { format!("{alias}.{}", super::super::names::ident(&column.name)) } else { column.time(alias) }
        };
        let ([starts, ends], [from, to]) = ([&self.starts, &self.ends].map(|t| time(t, c)), [&self.from, &self.to].map(|t| time(t, s)));
        format!("{starts} < {from} AND {ends} >= {to} AND {ends} - {starts} <= ({to} - {from}) * 2.5")
    }
}

/// The rank of [`Claim`], where `free` is the condition that nobody pays.
pub fn rank(free: &str, renewal: Option<&Renewal>, c: &str, s: &str) -> String {
    let renewed = renewal.map(|r| format!("WHEN {} THEN {} ", r.condition(c, s), Claim::Renewed.rank())).unwrap_or_default();
    format!("(CASE WHEN {free} THEN {} {renewed}ELSE {} END)::smallint", Claim::Free.rank(), Claim::Paying.rank())
}
