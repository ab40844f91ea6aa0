//! `nightdesk quota`: who is near a limit, use by tier, the list as a file; and `run quota-reset`, one subject's counters.

use super::args::{How, QuotaReset};
use super::case::{Found, locate, not_found};
use super::drive::drive;
use super::hands::Hands;
use super::procedures::{confirm_and_finish, report};
use super::{End, print_json};
use crate::domain::export::Format;
use crate::domain::fault::Source;
use crate::domain::ids::SubjectKey;
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::quota::{Claim, NearKey, NearPage, NearRow, PAGE, QuotaFilter, QuotaTotal, ServedBy, Threshold, TierUse};
use crate::domain::shape::Trust;
use crate::gateway::export;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::answers::assemble;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::Detail;
use crate::protocol::run::{Features, Inputs};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use uuid::Uuid;

#[derive(Debug, Args)]
pub struct QuotaArgs {
    /// From which share of a limit on somebody is near it: a whole number of percent.
    #[arg(long, value_name = "PERCENT", default_value = "80", value_parser = Threshold::parse)]
    pub threshold: Threshold,
    /// Only this tier.
    #[arg(long, value_name = "TIER")]
    pub tier: Option<String>,
    /// Only this feature.
    #[arg(long, value_name = "FEATURE")]
    pub feature: Option<String>,
    /// How much each tier uses of each feature, instead of who is near.
    #[arg(long)]
    pub by_tier: bool,
    /// Write everybody near their limit to this file; its ending says how: .csv, .json or .jsonl.
    #[arg(long, value_name = "FILE", conflicts_with = "by_tier")]
    pub export: Option<PathBuf>,
    /// E-mail addresses and names in the file as they are; goes into the journal. Without it they are masked.
    #[arg(long, requires = "export")]
    pub unmasked: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Answer {
    threshold: u8,
    /// How the list was found: from the plain tables, or by an index that the database's owner keeps.
    by: ServedBy,
    near: i64,
    blocked: i64,
    /// Why not everybody may be seen: hidden rows, a replica.
    doubts: Vec<String>,
    totals: Vec<QuotaTotal>,
    /// The fullest; `more`: there are others behind them.
    fullest: Vec<ShownNear>,
    more: bool,
}

#[derive(Serialize)]
struct ShownNear {
    profile: String,
    who: Option<String>,
    tier: String,
    claim: Claim,
    feature: String,
    used: i64,
    limit: i64,
    percent: i64,
    resets: Option<crate::domain::At>,
    state: crate::domain::quota::QuotaState,
}

#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    rows: u64,
    /// Why it may lack somebody.
    doubts: Vec<String>,
}

/// Answers what was asked. Somebody who has reached a limit is a finding.
///
/// # Errors
/// Bad input, or a database that does not answer: one sentence.
pub async fn run(hands: &Hands, args: &QuotaArgs) -> Result<End, String> {
    let threshold = args.threshold;
    let filter = QuotaFilter { tier: args.tier.clone(), feature: args.feature.clone() };
    if let Some(path) = &args.export {
        return write(hands, path, threshold, filter, args).await;
    }
    if args.by_tier {
        return by_tier(hands, filter, args.json).await;
    }
    let page = page(hands, threshold, &filter).await?;
    if !page.limits_known {
        return Err(export::NO_LIMITS.into());
    }
    let doubts = doubts(hands).await?;
    let doubtful = !doubts.is_empty();
    let totals = match hands.ask(Query::QuotaTotals { threshold, filter }).await {
        Ok(Reply::QuotaTotals(totals)) => totals,
        Ok(_) => Vec::new(),
        Err(fault) => return Err(fault.say),
    };
    let (near, blocked) = totals.iter().fold((0, 0), |(n, b), t| (n + t.near, b + t.blocked));
    if args.json {
        let (fullest, more) = (page.rows.iter().map(shown).collect(), page.next.is_some());
        print_json(&Answer { threshold: threshold.percent(), by: page.by, near, blocked, doubts, totals, fullest, more });
    } else {
        print(&page, &totals, (near, blocked), threshold);
        tell(&doubts);
    }
    Ok(ended(blocked > 0 || doubtful))
}

fn ended(badly: bool) -> End {
    if badly { End::Badly } else { End::Well }
}

/// Why rows may be hidden from our role, or late.
async fn doubts(hands: &Hands) -> Result<Vec<String>, String> {
    match hands.ask(Query::Shape).await {
        Ok(Reply::Shape(shape)) => Ok(shape.trust.reasons().to_vec()),
        Ok(_) => Err("the answer does not fit the question".into()),
        Err(fault) => Err(fault.say),
    }
}

/// What stands against the figures, on standard error: standard output may be a file.
fn tell(doubts: &[String]) {
    for doubt in doubts {
        eprintln!("not everybody may be seen: {doubt}");
    }
}

/// The first rows, as many as make a page.
async fn page(hands: &Hands, threshold: Threshold, filter: &QuotaFilter) -> Result<NearPage, String> {
    let ask = async |after: Option<NearKey>| match hands.ask(Query::NearLimit { threshold, filter: filter.clone(), after }).await {
        Ok(Reply::NearLimit(page)) => Ok(page),
        Ok(_) => Err("the answer does not fit the question".to_string()),
        Err(fault) => Err(fault.say),
    };
    let mut page = ask(None).await?;
    // Those who pay may be fewer than that: then the others follow.
    while page.rows.len() < usize::from(PAGE)
        && let Some(after) = page.next.take()
    {
        let mut more = ask(Some(after)).await?;
        page.rows.append(&mut more.rows);
        page.next = more.next;
    }
    if page.rows.len() > usize::from(PAGE) {
        page.rows.truncate(PAGE.into());
        page.next = page.rows.last().map(NearRow::key);
    }
    Ok(page)
}

async fn write(hands: &Hands, path: &std::path::Path, threshold: Threshold, filter: QuotaFilter, args: &QuotaArgs) -> Result<End, String> {
    let format = match Format::of_path(&path.to_string_lossy()) {
        Ok(format) => format,
        Err(why) => return Ok(End::Wrong(why)),
    };
    if args.unmasked {
        let detail = Detail(serde_json::json!({ "export": "near limit", "file": path, "threshold": threshold.percent() }));
        hands.reveal(detail).await.map_err(|f| f.say)?;
    }
    let doubts = doubts(hands).await?;
    let rows = export::near_limit(|query| hands.ask(query), path, format, threshold, filter, !args.unmasked, |_| ()).await?;
    let doubtful = !doubts.is_empty();
    if args.json {
        print_json(&Exported { file: path.to_path_buf(), rows, doubts });
    } else {
        println!("{} written to {}", rows_of(rows), path.display());
        tell(&doubts);
    }
    Ok(ended(doubtful))
}

fn rows_of(n: u64) -> String {
    if n == 1 { "1 row".into() } else { format!("{} rows", group(n)) }
}

async fn by_tier(hands: &Hands, filter: QuotaFilter, json: bool) -> Result<End, String> {
    let doubts = doubts(hands).await?;
    let uses = match hands.ask(Query::TierUsage(filter)).await {
        Ok(Reply::TierUsage(uses)) => uses,
        Ok(_) => Vec::new(),
        Err(fault) => return Err(fault.say),
    };
    // Scripts get the list itself: what stands against it goes to standard error, and into the exit code.
    tell(&doubts);
    let ended = ended(!doubts.is_empty());
    if json {
        print_json(&uses);
        return Ok(ended);
    }
    if uses.is_empty() {
        println!("Nothing is used, and no limits are known.");
    }
    let row = |cells: [&str; 9]| {
        println!(
            "{:<12} {:<14} {:>10} {:>10} {:>12} {:>9} {:>9} {:>9} {:>9}",
            cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7], cells[8]
        );
    };
    if !uses.is_empty() {
        row(["tier", "feature", "limit", "users", "average", "median", "p95", "max", "blocked"]);
    }
    for u in &uses {
        let average = format!("{}.{}", u.average_milli / 1000, u.average_milli % 1000 / 100);
        let n = |n: i64| n.to_string();
        row([&u.tier, &u.feature, &limit(u), &n(u.users), &average, &n(u.median), &n(u.p95), &n(u.max), &n(u.blocked)]);
    }
    Ok(ended)
}

fn limit(u: &TierUse) -> String {
    match u.limit {
        None => "not known".into(),
        Some(-1) => "unlimited".into(),
        Some(0) => "not in plan".into(),
        Some(n) => n.to_string(),
    }
}

fn print(page: &NearPage, totals: &[QuotaTotal], (near, blocked): (i64, i64), threshold: Threshold) {
    let count = |n: i64| group(u64::try_from(n).unwrap_or(0));
    println!("{} blocked, {} near their limit (from {threshold} on)", count(blocked), count(near));
    for t in totals {
        println!("  {:<12} {:<14} {:>9} blocked {:>9} near", t.tier, t.feature, count(t.blocked), count(t.near));
    }
    if let ServedBy::Watch(name) = &page.by {
        println!("  found by {name}");
    }
    if page.rows.is_empty() {
        return;
    }
    println!();
    for r in &page.rows {
        let resets = match (r.claim, r.resets) {
            (Claim::Renewed, _) => "renewed, not reset".into(),
            (_, Some(at)) => at.format("%Y-%m-%d %H:%MZ").to_string(),
            (_, None) => "no period".to_string(),
        };
        let who = who(r).unwrap_or_default();
        println!(
            "{:<8} {:>4}%  {:>9} of {:<9} {:<12} {:<12} {}  {resets}  {who}",
            r.state.word(),
            r.percent(),
            r.used,
            r.limit,
            r.feature,
            r.tier,
            r.subject
        );
    }
    if page.next.is_some() {
        println!("and more: narrow it with --tier or --feature, or write all of them with --export");
    }
}

fn who(row: &NearRow) -> Option<String> {
    row.email.as_deref().map(mask::email).or_else(|| row.name.as_deref().map(mask::name))
}

fn shown(row: &NearRow) -> ShownNear {
    ShownNear {
        profile: row.subject.to_string(),
        who: who(row),
        tier: row.tier.clone(),
        claim: row.claim,
        feature: row.feature.clone(),
        used: row.used,
        limit: row.limit,
        percent: row.percent(),
        resets: row.resets,
        state: row.state,
    }
}

/// Procedure 2.
///
/// # Errors
/// Bad input: nobody is named, or more than one could be meant.
pub async fn reset(hands: &Hands, args: &QuotaReset) -> Result<End, String> {
    let handle = match locate(hands, &args.who).await? {
        Found::Exactly(handle) => handle,
        Found::Several(hits) => {
            let names: Vec<String> = hits.into_iter().take(5).filter_map(|h| h.subject.map(|s| s.0)).collect();
            return Err(format!("`{}` could be {}; name one of them", args.who, names.join(", ")));
        }
        Found::Nobody => return Err(not_found(&args.who)),
    };
    let features = (!args.feature.is_empty()).then(|| Features::parse(&args.feature.join(",")));
    let inputs = Inputs { subject: args.subject.clone().map(SubjectKey), features, ..Inputs::of(handle) };
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "quota-reset", inputs);
    drive(&mut run, effects, hands, &hands.env).await;
    if let Some(why) = unable(&run, &args.how) {
        return Err(why);
    }
    confirm_and_finish(hands, run, &args.how).await
}

/// Why a draft could not even be judged: the database gave no answer. That is no verdict.
fn unable(run: &Run, how: &How) -> Option<String> {
    let Phase::Halted(says) = &run.phase else { return None };
    let silent = run.answers.faults().any(|f| f.source != Source::Application && f.say == *says);
    if !silent && !names_nobody(run) {
        return None;
    }
    if how.json {
        report(run, how);
    }
    Some(says.clone())
}

/// The rows can be trusted, and none is of whoever was named.
fn names_nobody(run: &Run) -> bool {
    let Some(handle) = &run.inputs.handle else { return false };
    let case = assemble(handle, run.inputs.subject.as_ref(), &run.answers);
    case.shape.value().is_some_and(|s| s.trust == Trust::Full) && case.record().is_none()
}
