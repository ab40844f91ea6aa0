//! The search in the database: ids by equality and range, addresses and names by equality, prefix and substring, all bounded.

use super::compare::{LARGE, indexed, lowered};
use super::connect::Session;
use super::fault::Trouble;
use super::found::{self, ColumnFound, Found};
use super::names::like;
use super::records;
use crate::config::Config;
use crate::domain::facts::Handle;
use crate::domain::fault::Source;
use crate::domain::ids::StripeKind;
use crate::domain::needle::Needle;
use crate::domain::row::Field;
use crate::domain::shape::KeyType;
use crate::protocol::query::{Hit, Reply};
use sqlx::{AssertSqlSafe, Row};
use std::time::{Duration, Instant};

/// A search may take this long on the server, all looks together, and no helpers: whoever waits for it gives up a second later.
const BUDGET: Duration = Duration::from_secs(2);
const LIMITS: &str = "SET LOCAL statement_timeout = 2000; SET LOCAL max_parallel_workers_per_gather = 0";
/// In less nothing is read from end to end.
const TOO_LITTLE: Duration = Duration::from_millis(100);

/// A table up to so many rows is read from end to end before anybody notices.
const SMALL: f64 = 20_000.0;

/// No id is as long.
const LONGEST: usize = 64;

/// One way to look: a condition over subject `p` and row `s`, its parameters `$1`, `$2`, …, and how good its hits are.
#[derive(Clone)]
struct Look {
    condition: String,
    values: Vec<String>,
    rank: u8,
    /// Served by no ordinary index: asks the planner first where the table is large.
    scans: bool,
}

/// The hits for a needle, best first.
pub async fn find(session: &mut Session, config: &Config, needle: &Needle, limit: u32) -> Result<Reply, Trouble> {
    if needle.text().contains('\0') {
        return Ok(Reply::Hits { hits: Vec::new(), truncated: false });
    }
    let found = found::of(session, &config.schema).await?;
    let looks = looks(&found, needle);
    if session.pooled {
        sqlx::raw_sql(LIMITS).execute(&mut session.conn).await?;
        return run(session, &found, looks, limit).await;
    }
    session.begin(true, LIMITS).await?;
    let result = run(session, &found, looks, limit).await;
    session.finish(result).await
}

async fn run(session: &mut Session, found: &Found, looks: Vec<Look>, limit: u32) -> Result<Reply, Trouble> {
    let limit = limit as usize;
    let begun = Instant::now();
    let mut hits: Vec<Hit> = Vec::new();
    // Somebody was found without reading a table from end to end.
    let (mut truncated, mut by_index) = (false, false);
    for look in looks {
        if hits.len() >= limit {
            truncated = true;
            break;
        }
        // Whoever has exactly what was looked for is found, or whoever an index knows: others are not worth a scan.
        let worth = !by_index && (look.rank == 0 || hits.iter().all(|h| h.rank > 0));
        let left = BUDGET.saturating_sub(begun.elapsed());
        if look.scans && ((found.subject.table.rows > SMALL && !worth) || left < TOO_LITTLE) {
            truncated = true;
            break;
        }
        // One more than wanted tells whether there is more; the ones that are there already come again.
        let most = limit + hits.len() + 1;
        let statement = format!("SELECT {} FROM {} WHERE {} LIMIT {most}", records::columns(found), records::tables(found), look.condition);
        if look.scans && found.subject.table.rows > LARGE && scans(session, &statement, &look.values).await? {
            truncated = true;
            continue;
        }
        let mut query = session.sql(statement);
        for value in &look.values {
            query = query.bind(value);
        }
        if look.scans {
            let begin = format!("SAVEPOINT look; SET LOCAL statement_timeout = {}", left.as_millis());
            sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut session.conn).await?;
        }
        let rows = match query.fetch_all(&mut session.conn).await {
            Ok(rows) => rows,
            // What was found before its time was up stays found.
            Err(sqlx::Error::Database(e)) if look.scans && e.code().as_deref() == Some("57014") => {
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT look").execute(&mut session.conn).await?;
                truncated = true;
                break;
            }
            Err(error) => return Err(error.into()),
        };
        truncated |= rows.len() >= most;
        by_index |= !look.scans && !rows.is_empty();
        for row in &rows {
            let (subject, held) = (records::subject(row)?, records::row(row, found)?);
            if hits.iter().any(|h| h.subject.as_ref() == Some(&subject.key)) {
                continue;
            }
            let text = |field| held.as_ref().and_then(|r| r.text(field)).map(str::to_string);
            hits.push(Hit {
                source: Source::Database,
                handle: Handle::Subject(subject.key.clone()),
                name: subject.name,
                email: subject.email,
                subject: Some(subject.key),
                customer: text(Field::Customer),
                note: text(Field::Tier).unwrap_or_else(|| "no subscription row".into()),
                rank: look.rank,
            });
        }
    }
    truncated |= hits.len() > limit;
    hits.truncate(limit);
    Ok(Reply::Hits { hits, truncated })
}

/// Whether the planner would read a large table from end to end.
async fn scans(session: &mut Session, statement: &str, values: &[String]) -> Result<bool, Trouble> {
    let mut query = sqlx::query(AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {statement}"))).persistent(false);
    for value in values {
        query = query.bind(value);
    }
    let plan: serde_json::Value = query.fetch_one(&mut session.conn).await?.try_get(0)?;
    Ok(plan.to_string().contains("\"Seq Scan\""))
}

fn looks(found: &Found, needle: &Needle) -> Vec<Look> {
    match needle {
        Needle::Stripe(id) => column_for(found, id.kind()).map(|c| vec![exactly(c, id.as_str())]).unwrap_or_default(),
        Needle::StripePrefix { kind, text } => {
            column_for(found, *kind).map(|c| [vec![exactly(c, text)], beginning(c, "s", text)].concat()).unwrap_or_default()
        }
        Needle::Placeholder(text) => {
            column_for(found, StripeKind::Customer).map(|c| [vec![exactly(c, text)], beginning(c, "s", text)].concat()).unwrap_or_default()
        }
        Needle::Uuid(text) => keyed(found, text).into_iter().collect(),
        Needle::UuidPrefix(text) => {
            let mut looks = begun(found, text);
            looks.extend(words(found, text));
            looks
        }
        Needle::Number(text) => {
            let mut looks: Vec<Look> = keyed(found, text).into_iter().collect();
            looks.extend(begun(found, text));
            looks.extend(words(found, text));
            looks
        }
        Needle::Email(text) => {
            let mut looks = Vec::new();
            if let Some(column) = &found.subject.email {
                let (value, by_lowered) = lowered(found, column);
                // An index on the address as it stands knows it only as it stands: as it was typed, and in small letters.
                if !by_lowered && indexed(found, column) {
                    let values = vec![text.clone(), text.to_lowercase()];
                    let bare = column.comparable("p");
                    looks.push(Look { condition: format!("{bare} IN ($1, $2)"), values, rank: 0, scans: false });
                }
                let text = text.to_lowercase();
                looks.push(Look { condition: format!("{value} = $1"), values: vec![text.clone()], rank: 0, scans: !by_lowered });
                looks.push(Look { condition: format!("{value} LIKE $1"), values: vec![format!("{}%", like(&text))], rank: 1, scans: true });
            }
            looks
        }
        Needle::Words(text) => words(found, text),
    }
}

/// The column that holds ids of that kind.
fn column_for(found: &Found, kind: StripeKind) -> Option<&ColumnFound> {
    match kind {
        StripeKind::Customer => found.subscription.field(Field::Customer),
        StripeKind::Subscription => found.subscription.field(Field::Subscription),
        _ => None,
    }
}

fn exactly(column: &ColumnFound, text: &str) -> Look {
    Look { condition: format!("{} = $1", column.comparable("s")), values: vec![text.to_string()], rank: 0, scans: column.is_json() }
}

/// Beginning with the text: a range, since an ordinary index serves that. Exactly that range where the column compares byte by byte. In the
/// order of a language what begins so lies, in all but a few, between the text and the text with as many `z` as no id is long; there the
/// pattern decides who of them it is, and once more over all where they are few enough to be read.
fn beginning(column: &ColumnFound, alias: &str, text: &str) -> Vec<Look> {
    let value = column.comparable(alias);
    let pattern = format!("{}%", like(text));
    let everywhere = Look { condition: format!("{value} LIKE $1"), values: vec![pattern.clone()], rank: 1, scans: true };
    if column.is_json() {
        return vec![everywhere];
    }
    if let Some(end) = after(text).filter(|_| column.byte_ordered) {
        let condition = format!("{value} >= $1 AND {value} < $2");
        return vec![Look { condition, values: vec![text.to_string(), end], rank: 1, scans: false }];
    }
    let condition = format!("{value} >= $1 AND {value} <= $2 AND {value} LIKE $3");
    let values = vec![text.to_string(), format!("{text}{}", "z".repeat(LONGEST)), pattern];
    vec![Look { condition, values, rank: 1, scans: false }, everywhere]
}

/// The first text behind all that begin with this one; only for plain ASCII, where bytes and characters agree.
fn after(prefix: &str) -> Option<String> {
    let mut bytes = prefix.as_bytes().to_vec();
    let last = bytes.last_mut().filter(|b| **b < 0x7e)?;
    *last += 1;
    String::from_utf8(bytes).ok()
}

/// By the profile's key.
fn keyed(found: &Found, text: &str) -> Option<Look> {
    let (key, kind) = (&found.subject.key, found.subject.key.key_type());
    let text = found::well_formed(kind, text)?;
    let condition = format!("{} = $1::text::{}", key.key("p"), found::key_cast(kind));
    Some(Look { condition, values: vec![text], rank: 0, scans: false })
}

/// By the beginning of the profile's key.
fn begun(found: &Found, text: &str) -> Vec<Look> {
    let key = &found.subject.key;
    let value = key.key("p");
    let look = |condition, values| vec![Look { condition, values, rank: 1, scans: false }];
    match key.key_type() {
        KeyType::Uuid => {
            let Some((low, high)) = uuid_range(text) else { return Vec::new() };
            look(format!("{value} BETWEEN $1::text::uuid AND $2::text::uuid"), vec![low, high])
        }
        KeyType::BigInt => {
            let ranges = text.parse().map(number_ranges).unwrap_or_default();
            // Our own figures: nothing to bind.
            let parts: Vec<String> = ranges.iter().map(|(low, high)| format!("{value} BETWEEN {low} AND {high}")).collect();
            if parts.is_empty() { Vec::new() } else { look(format!("({})", parts.join(" OR ")), Vec::new()) }
        }
        KeyType::Text => beginning(key, "p", text),
    }
}

/// The smallest and the greatest uuid that begin so; hyphens count only where a uuid has them.
fn uuid_range(prefix: &str) -> Option<(String, String)> {
    const PATTERN: &str = "00000000-0000-0000-0000-000000000000";
    let hex: String = prefix.chars().filter(|c| *c != '-').collect();
    let hyphenated = PATTERN.bytes().zip(prefix.bytes()).all(|(p, c)| (p == b'-') == (c == b'-'));
    if hex.is_empty() || hex.len() > 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) || (prefix.contains('-') && !hyphenated) {
        return None;
    }
    let fill = |with: &str| uuid::Uuid::try_parse(&format!("{hex}{}", with.repeat(32 - hex.len()))).ok().map(|u| u.to_string());
    Some((fill("0")?, fill("f")?))
}

/// The longer numbers that begin with these digits, as ranges.
fn number_ranges(number: i64) -> Vec<(i64, i64)> {
    let longer = |(low, high): &(i64, i64)| low.checked_mul(10).zip(high.checked_mul(10).and_then(|h| h.checked_add(9)));
    // Nothing begins with a zero.
    std::iter::successors((number > 0).then_some((number, number)), longer).skip(1).collect()
}

/// A name or a piece of an address: first what begins with it, then what holds every word of it somewhere.
fn words(found: &Found, text: &str) -> Vec<Look> {
    let text = text.to_lowercase();
    let values: Vec<String> = [&found.subject.email, &found.subject.name].into_iter().flatten().map(|c| lowered(found, c).0).collect();
    if values.is_empty() {
        return Vec::new();
    }
    let any = |pattern: &dyn Fn(&str) -> String| format!("({})", values.iter().map(|v| pattern(v)).collect::<Vec<_>>().join(" OR "));
    let begins = Look { condition: any(&|v| format!("{v} LIKE $1")), values: vec![format!("{}%", like(&text))], rank: 1, scans: true };
    // Two letters are in everybody's name.
    if text.chars().count() < 3 {
        return vec![begins];
    }
    let pieces: Vec<String> = text.split_whitespace().take(4).map(|w| format!("%{}%", like(w))).collect();
    let each: Vec<String> = (1..=pieces.len()).map(|i| any(&|v| format!("{v} LIKE ${i}"))).collect();
    vec![begins, Look { condition: each.join(" AND "), values: pieces, rank: 2, scans: true }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_prefix_is_a_range() {
        let (low, high) = uuid_range("7f3a5b").expect("hex");
        assert_eq!(low, "7f3a5b00-0000-0000-0000-000000000000");
        assert_eq!(high, "7f3a5bff-ffff-ffff-ffff-ffffffffffff");
        assert!(uuid_range("7f3a5b7c-00").is_some());
        assert_eq!(uuid_range("7f3-a5b"), None, "no uuid has a hyphen there");
    }

    #[test]
    fn a_number_prefix_is_a_range_per_length() {
        let ranges = number_ranges(10);
        assert_eq!(ranges[..2], [(100, 109), (1_000, 1_099)]);
        assert!(ranges.iter().all(|(low, high)| low <= high));
        assert!(number_ranges(0).is_empty() && number_ranges(i64::MAX).is_empty());
    }

    #[test]
    fn the_end_of_a_prefix_range_is_behind_all_of_it() {
        assert_eq!(after("cus_Q").as_deref(), Some("cus_R"));
        assert_eq!(after("cus_é"), None);
    }
}
