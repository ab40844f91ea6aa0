//! `nightdesk drift`: the drift scan without a screen, with its progress on standard error, and what it found as text or JSON.

use super::args::{Drift, DriftFix};
use super::drive::{drive, now};
use super::hands::Hands;
use super::procedures::confirm_and_finish;
use super::{End, print_json};
use crate::config::place;
use crate::domain::At;
use crate::domain::desk::DeskState;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::findings::whole;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::webhooks::drift::{Class, Drifted, Group};
use crate::gateway::journal::Compared;
use crate::procedures::drift_scan::{Progress, Scan, Scope, Standing};
use crate::procedures::engine::Run;
use crate::protocol::desk::DeskWrite;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Inputs, Selection};
use chrono::{DateTime, Duration, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use uuid::Uuid;

/// So many of a class are named in text.
const NAMED: usize = 20;

#[derive(Serialize)]
struct Report<'a> {
    scope: &'static str,
    since: Option<At>,
    began: At,
    ended: Option<At>,
    progress: &'a Progress,
    classes: Vec<ShownGroup<'a>>,
}

#[derive(Serialize)]
struct ShownGroup<'a> {
    class: &'static str,
    subjects: u64,
    /// In the smallest unit of each currency.
    monthly: Vec<(&'a str, i64)>,
    named: Vec<ShownDrift<'a>>,
}

#[derive(Serialize)]
struct ShownDrift<'a> {
    profile: Option<&'a str>,
    customer: Option<&'a str>,
    says: &'a str,
    fields: Vec<&'static str>,
}

/// Scans, and prints what has drifted.
///
/// # Errors
/// One sentence: bad input, an interrupted scan, or a source without which nothing can be compared.
pub async fn run(hands: &Hands, args: &Drift) -> Result<End, String> {
    let classes = match args.class.iter().map(|c| class(c)).collect::<Result<Vec<_>, _>>() {
        Ok(classes) => classes,
        Err(why) => return Ok(End::Wrong(why)),
    };
    if let Some(customer) = &args.accept {
        return accept(hands, customer, &classes, args).await;
    }
    let shown = |group: &Group| classes.is_empty() || classes.contains(&group.class);
    let whole_account = args.resume || args.full;
    let mut compared = Compared { account: None, database: database(hands) };
    let mut scan = if args.resume {
        let silent = |_| "Stripe does not say whose account this is, so that nothing can be taken up: try again when it answers";
        compared.account = Some(tokio::time::timeout(PATIENCE, account(hands)).await.map_err(silent)?);
        let mut scan: Scan = hands.journal().map_err(|f| f.say)?.kept_scan(&compared).map_err(|e| e.to_string())?;
        scan.reopen();
        scan
    } else {
        Scan::new(if args.full { Scope::Account } else { Scope::Since(since(&args.since, now())?) }, now())
    };
    let ended = if whole_account { answer_and_learn(hands, &mut scan, &mut compared).await } else { answer(hands, &mut scan).await };
    if whole_account {
        keep(hands, &compared, &scan);
    }
    match scan.standing() {
        Standing::Failed(fault) => return Err(format!("{}; nothing was compared further, {}", fault.say, go_on(&scan))),
        _ => match ended {
            Ended::Through => {}
            Ended::Interrupted => return Err(format!("interrupted, {}", go_on(&scan))),
            Ended::Silence(fault) => {
                return Err(format!("{}; {} was not compared to its end, {}", gave_up(&fault), what(&scan), go_on(&scan)));
            }
        },
    }
    // Without an answer nothing counts as accepted.
    let desk = if let Ok(Reply::Desk(desk)) = hands.ask(Query::Desk).await { desk } else { DeskState::default() };
    let accepted = |d: &Drifted| d.customer.as_ref().is_some_and(|c| desk.accepted(c, d.class, now()).is_some());
    let all = scan.found().groups().into_iter().filter(shown);
    let groups: Vec<Group> = all.filter_map(|group| group.without(accepted)).collect();
    if args.json {
        print_json(&report(&scan, &groups));
    } else {
        print(&scan, &groups, args.unmasked);
    }
    let progress = scan.progress();
    if groups.is_empty() && progress.unread > 0 {
        let why = progress.unread_because.as_deref().unwrap_or("no reason was given");
        return Err(format!("{} customer(s) could not be compared: {why}", progress.unread));
    }
    Ok(if groups.is_empty() && progress.unknown == 0 { End::Well } else { End::Badly })
}

/// `nightdesk run drift-fix`: the customers' rows, under one review.
///
/// # Errors
/// Bad input, or a review that cannot be confirmed here.
pub async fn fix(hands: &Hands, args: &DriftFix) -> Result<End, String> {
    let customers = args.customer.iter().map(|c| customer_id(c)).collect::<Result<Vec<_>, _>>()?;
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "drift-fix", Inputs::about(Selection::Customers(customers)));
    drive(&mut run, effects, hands, &hands.env).await;
    confirm_and_finish(hands, run, &args.how).await
}

/// As on screen, in days.
const ACCEPTED_AT_MOST: i64 = 90;

async fn accept(hands: &Hands, customer: &str, classes: &[Class], args: &Drift) -> Result<End, String> {
    let customer = customer_id(customer)?;
    let [class] = classes else { return Err("one class at a time is accepted: give --class once".into()) };
    let until = until(args.until.as_deref().unwrap_or_default(), now())?;
    if until > now() + Duration::days(ACCEPTED_AT_MOST) {
        return Err(format!("drift is accepted for {ACCEPTED_AT_MOST} days at most: what is right for longer belongs into the data"));
    }
    exists(hands, &customer).await?;
    let reason = mask::addresses(&args.reason.clone().unwrap_or_default());
    hands.say(&DeskWrite::AcceptDrift { customer: customer.clone(), class: *class, until, reason }).await?;
    if args.json {
        print_json(&serde_json::json!({ "accepted": customer.as_str(), "class": class.word(), "until": until }));
    } else {
        println!("accepted until {}: {customer}, {}", until.format("%-d %b %Y %H:%MZ"), class.word());
    }
    Ok(End::Well)
}

/// Stripe or a row knows them: what names nobody would silence nothing, and its slip of the pen would never be seen.
async fn exists(hands: &Hands, customer: &StripeId) -> Result<(), String> {
    let (stripe, rows) = tokio::join!(hands.ask(Query::Customer(customer.clone())), hands.ask(Query::RowsOf(vec![customer.clone()])));
    match (stripe, rows) {
        (Ok(Reply::Customers(found)), _) if !found.is_empty() => Ok(()),
        (_, Ok(Reply::Rows(found))) if !found.is_empty() => Ok(()),
        (Err(fault), _) | (_, Err(fault)) => Err(format!("cannot tell whether there is a customer {customer}: {}", fault.say)),
        _ => Err(format!(
            "neither Stripe nor the database has a customer {customer}: nothing was accepted; copy the id from nightdesk drift --unmasked"
        )),
    }
}

fn customer_id(text: &str) -> Result<StripeId, String> {
    StripeId::of(StripeKind::Customer, text).ok_or_else(|| format!("`{text}` is not a customer's id (cus_…)"))
}

fn go_on(scan: &Scan) -> &'static str {
    if scan.scope() == Scope::Account { "go on with nightdesk drift --full --resume" } else { "run it again" }
}

/// How a scan without a screen came to its end.
enum Ended {
    Through,
    /// By the operator.
    Interrupted,
    /// Stripe has said nothing for longer than [`PATIENCE`].
    Silence(Fault),
}

/// So long a Stripe that does not answer is asked again, in seconds. What was compared stays, and a scan of the account can be taken up.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// As [`answer`], and asks meanwhile whose account it is.
async fn answer_and_learn(hands: &Hands, scan: &mut Scan, compared: &mut Compared) -> Ended {
    let (scanning, learning) = (answer(hands, scan), account(hands));
    tokio::pin!(scanning, learning);
    loop {
        tokio::select! {
            ended = &mut scanning => return ended,
            told = &mut learning, if compared.account.is_none() => compared.account = Some(told),
        }
    }
}

/// The account behind the key, and its mode: both modes have one id. Asked until Stripe tells.
async fn account(hands: &Hands) -> String {
    loop {
        if let Ok(Reply::Account(account)) = hands.ask(Query::Account).await {
            return format!("{}, {}", account.id, if account.livemode { "live" } else { "test" });
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// What tells the database from another one.
fn database(hands: &Hands) -> Option<String> {
    hands.sources().config.database_url.as_ref().and_then(|url| place::of(url.expose()))
}

/// Answers the scan's questions until it is through, interrupted, or Stripe has been silent for too long.
async fn answer(hands: &Hands, scan: &mut Scan) -> Ended {
    type Answered = (u16, Query, Result<Reply, Fault>);
    let mut under_way = FuturesUnordered::new();
    let ask = async |slot: u16, query: Query| -> Answered {
        let result = hands.ask_in_background(query.clone()).await;
        (slot, query, result)
    };
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut second = tokio::time::interval(std::time::Duration::from_secs(1));
    let mut line = Line::new();
    let (mut heard, mut silent) = (tokio::time::Instant::now(), None::<Fault>);
    loop {
        for (slot, query) in scan.advance(hands.stripe_now()) {
            under_way.push(ask(slot, query));
        }
        if !scan.is_under_way() {
            line.end();
            return Ended::Through;
        }
        // While it stands back for the database nothing is asked of Stripe either.
        if matches!(scan.standing(), Standing::Held(_)) {
            heard = tokio::time::Instant::now();
        }
        if let Some(fault) = silent.take_if(|_| heard.elapsed() >= PATIENCE) {
            line.end();
            return Ended::Silence(fault);
        }
        tokio::select! {
            Some((slot, query, result)) = under_way.next(), if !under_way.is_empty() => {
                if query.source() == Source::Stripe {
                    match &result {
                        Err(fault) if matches!(fault.kind, FaultKind::Timeout | FaultKind::Unreachable | FaultKind::Tls) => {
                            if silent.replace(fault.clone()).is_none() {
                                line.tell(&format!("Stripe does not answer ({}): it is asked again for {} s", fault.say, PATIENCE.as_secs()));
                            }
                        }
                        _ => (heard, silent) = (tokio::time::Instant::now(), None),
                    }
                }
                scan.replied(slot, &query, &result, &hands.env.tiers, hands.stripe_now());
            }
            _ = second.tick() => line.show(scan, silent.is_some()),
            _ = &mut interrupt => {
                line.end();
                return Ended::Interrupted;
            }
        }
    }
}

fn gave_up(fault: &Fault) -> String {
    format!("Stripe does not answer ({}): given up after {} s", fault.say, PATIENCE.as_secs())
}

fn what(scan: &Scan) -> &'static str {
    if scan.scope() == Scope::Account { "the account" } else { "what has changed since then" }
}

/// The progress on standard error: one line that replaces itself on a terminal, one in ten seconds elsewhere.
struct Line {
    terminal: bool,
    ticks: u64,
    drawn: bool,
}

impl Line {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), ticks: 0, drawn: false }
    }

    fn show(&mut self, scan: &Scan, silent: bool) {
        self.ticks += 1;
        if !self.terminal && !self.ticks.is_multiple_of(10) {
            return;
        }
        let text = said(scan, silent);
        if self.terminal {
            eprint!("\r\x1b[2K{text}");
            // A line that is not shown in time is shown a second later.
            let _ = std::io::stderr().flush();
            self.drawn = true;
        } else {
            eprintln!("{text}");
        }
    }

    /// Something that is not to wait for the next line.
    fn tell(&mut self, text: &str) {
        self.end();
        self.drawn = false;
        eprintln!("{text}");
    }

    fn end(&self) {
        if self.drawn {
            eprintln!();
        }
    }
}

/// `silent`: Stripe answers nothing at the moment.
fn said(scan: &Scan, silent: bool) -> String {
    let p = scan.progress();
    let mut text = format!(
        "{} subscriptions, {} rows, {} looked at, {} wait; {} drifted",
        group(p.subscriptions),
        group(p.rows),
        group(p.looked),
        p.waiting,
        group(scan.found().len())
    );
    if silent {
        text.push_str("; Stripe does not answer");
    } else if let Standing::Held(reason) = scan.standing() {
        text.push_str(&format!("; stands still: {reason}"));
    } else if let Some(trouble) = &p.trouble {
        text.push_str(&format!("; asks again: {trouble}"));
    }
    text
}

fn class(word: &str) -> Result<Class, String> {
    let known = || Class::ALL.map(Class::id).join(", ");
    Class::ALL.into_iter().find(|c| c.id() == word).ok_or_else(|| format!("`{word}` is no class of drift; there are {}", known()))
}

/// A point in time, or how long ago.
fn since(text: &str, now: At) -> Result<At, String> {
    let odd = || format!("`{text}` is no time: write 90m, 24h, 7d, or 2026-01-31T02:00:00Z");
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.with_timezone(&Utc),
        Err(_) => now - length(text).ok_or_else(odd)?,
    };
    if now - at > Duration::days(30) {
        return Err("Stripe keeps events for 30 days: for longer ago compare everything, with --full".into());
    }
    Ok(at)
}

/// A point in time, a day, or in how long.
fn until(text: &str, now: At) -> Result<At, String> {
    let odd = || format!("`{text}` is no time to come: write 14d, 2026-02-28, or 2026-02-28T08:00:00Z");
    let day = || text.parse::<chrono::NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|t| t.and_utc());
    let at = DateTime::parse_from_rfc3339(text).ok().map(|t| t.with_timezone(&Utc)).or_else(day).or_else(|| Some(now + length(text)?));
    at.filter(|at| *at > now).ok_or_else(odd)
}

/// `90m`, `24h`, `7d`.
fn length(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let n: i64 = text.strip_suffix(unit)?.parse().ok().filter(|n| (1..=100_000).contains(n))?;
    match unit {
        'm' => Some(Duration::minutes(n)),
        'h' => Some(Duration::hours(n)),
        'd' => Some(Duration::days(n)),
        _ => None,
    }
}

/// Keeps a scan that has not come to its end, for this operator to take up; removes what was kept of one that has.
fn keep(hands: &Hands, compared: &Compared, scan: &Scan) {
    let kept = hands.journal().map_err(|f| f.say).and_then(|journal| {
        let kept = if *scan.standing() == Standing::Done { journal.drop_scan() } else { journal.keep_scan(compared, scan) };
        kept.map_err(|e| e.to_string())
    });
    if let Err(why) = kept {
        eprintln!("nightdesk: the scan is not kept: {why}");
    }
}

fn report<'a>(scan: &'a Scan, groups: &'a [Group<'a>]) -> Report<'a> {
    let (scope, since) = match scan.scope() {
        Scope::Account => ("account", None),
        Scope::Since(at) => ("since", Some(at)),
    };
    let drift = |d: &&'a Drifted| ShownDrift {
        profile: d.subject.as_ref().map(|s| s.as_str()),
        customer: d.customer.as_ref().map(|c| c.as_str()),
        says: &d.sentence,
        fields: d.differs.iter().map(|c| c.field.contract_name()).collect(),
    };
    let classes = groups.iter().map(|g| ShownGroup {
        class: g.class.id(),
        subjects: g.subjects,
        monthly: g.monthly.iter().map(|m| (m.currency.as_str(), m.minor)).collect(),
        named: g.named.iter().map(drift).collect(),
    });
    Report { scope, since, began: scan.began(), ended: scan.ended(), progress: scan.progress(), classes: classes.collect() }
}

fn print(scan: &Scan, groups: &[Group], unmasked: bool) {
    let p = scan.progress();
    let seconds = (scan.ended().unwrap_or_else(now) - scan.began()).num_seconds();
    println!("{} subscriptions and {} rows compared in {seconds} s", group(p.subscriptions), group(p.rows));
    for (n, what) in [
        (p.settling, "changed just now: look again in a minute"),
        (p.unknown, "differ, and our role may not see the rows that are there: nightdesk check"),
        (p.unread, p.unread_because.as_deref().unwrap_or("could not be read")),
        (p.unreadable, "elements of Stripe's list are no subscriptions that can be read"),
    ] {
        if n > 0 {
            println!("  {n} {what}");
        }
    }
    if groups.is_empty() {
        println!("no drift");
    }
    for g in groups {
        let money = g.monthly.iter().map(|m| format!("{}/mo", whole(m))).collect::<Vec<_>>().join(" + ");
        println!("\n{:<28} {:>7}  {money}", g.class.word(), group(g.subjects));
        let most = if unmasked { usize::MAX } else { NAMED };
        for d in g.named.iter().take(most) {
            let id = |text: &str| if unmasked { text.to_string() } else { mask::id(text) };
            let profile = d.subject.as_ref().map_or("-".into(), |s| id(s.as_str()));
            let customer = d.customer.as_ref().map_or("-".into(), |c| id(c.as_str()));
            println!("  {profile:<9}  {customer:<10}  {}", d.sentence);
        }
        let rest = g.subjects - g.named.len().min(most) as u64;
        if rest > 0 {
            println!("  and {} more", group(rest));
        }
    }
    if !groups.is_empty() {
        println!("\nfix one   nightdesk run tier-update --customer cus_…");
        println!("fix many  nightdesk run drift-fix --customer cus_… --customer cus_…");
    }
}
