//! Adds keys, checks and grants to filled tables, on two connections where the server allows it; knows no table.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use sqlx::PgConnection;

use super::run;

/// Statements that belong together and run one after the other.
type Job = String;

/// Memory for sorting a million keys and for joining a million rows; per worker, and only while it works.
const SETTINGS: &str = "SET maintenance_work_mem = '256MB'; SET work_mem = '128MB'; SET max_parallel_maintenance_workers = 0";

/// Runs the statements of the templates' second part: indexes, then foreign keys, then statistics, then everything else.
pub async fn add(owner: &mut PgConnection, workers: &mut [PgConnection; 2], text: &str) -> Result<(), sqlx::Error> {
    let mut rest = Vec::new();
    let mut indexes: BTreeMap<&str, Job> = BTreeMap::new();
    let mut foreign = Vec::new();
    for statement in statements(text) {
        match statement.strip_prefix("ALTER TABLE ").and_then(|s| s.split_once(' ')) {
            Some((table, what)) if what.starts_with("ADD FOREIGN KEY") => foreign.push((table, statement)),
            Some((table, _)) => *indexes.entry(table).or_default() += &format!("{statement};"),
            None => rest.push(statement),
        }
    }
    for worker in &mut *workers {
        run(worker, SETTINGS.into()).await?;
    }
    let largest = sizes(owner).await?;
    let by_size = |table: &str| largest.iter().position(|t| t == table);
    let mut indexes: Vec<(&str, Job)> = indexes.into_iter().collect();
    indexes.sort_by_key(|(table, _)| by_size(table));
    side_by_side(workers, indexes.into_iter().map(|(_, job)| job)).await?;

    // To add a foreign key locks the table it points to against others that do the same; to check one afterwards does not.
    let partitioned: HashSet<String> = names(owner, "relkind = 'p'").await?.into_iter().collect();
    let mut checks: Vec<Job> = Vec::new();
    for (table, statement) in foreign {
        if partitioned.contains(table) {
            // These can only be added and checked in one.
            checks.push(statement.to_string());
        } else {
            run(owner, format!("{statement} NOT VALID")).await?;
        }
    }
    checks.extend(unchecked(owner).await?);
    side_by_side(workers, checks).await?;
    side_by_side(workers, largest.into_iter().map(|table| format!("ANALYZE {table}"))).await?;
    for statement in rest {
        run(owner, statement.to_string()).await?;
    }
    Ok(())
}

fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(";\n").map(|s| s.trim().trim_end_matches(';')).filter(|s| !s.is_empty())
}

/// Each connection takes the next job when it has done one; the first error ends both.
async fn side_by_side(workers: &mut [PgConnection; 2], jobs: impl IntoIterator<Item = Job>) -> Result<(), sqlx::Error> {
    let jobs: Mutex<VecDeque<Job>> = Mutex::new(jobs.into_iter().collect());
    let work = async |worker: &mut PgConnection| {
        while let Some(job) = next(&jobs) {
            run(worker, job).await?;
        }
        Ok::<(), sqlx::Error>(())
    };
    let [one, two] = workers;
    tokio::try_join!(work(one), work(two)).map(drop)
}

fn next(jobs: &Mutex<VecDeque<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// The tables, the largest first, partitioned ones last.
async fn sizes(owner: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    names(owner, "relkind IN ('r', 'p')").await
}

async fn names(owner: &mut PgConnection, which: &'static str) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND {which}
         ORDER BY pg_table_size(oid) DESC, relname"
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(owner).await
}

/// A job per table that checks its foreign keys, the largest first.
async fn unchecked(owner: &mut PgConnection) -> Result<Vec<Job>, sqlx::Error> {
    let sql = "SELECT format('ALTER TABLE %s ', conrelid::regclass) || string_agg(format('VALIDATE CONSTRAINT %I', conname), ', ')
               FROM pg_constraint WHERE contype = 'f' AND NOT convalidated AND connamespace = 'public'::regnamespace
               GROUP BY conrelid ORDER BY pg_table_size(conrelid) DESC, conrelid::regclass::text";
    sqlx::query_scalar(sql).fetch_all(owner).await
}
