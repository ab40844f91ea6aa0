//! The truth table as data: what Stripe demands, what the database holds, what the application enforces, line by line.

use crate::console::widgets::format::moment;
use crate::domain::At;
use crate::domain::expected::{Expected, expected, tier_due};
use crate::domain::facts::{Case, Known};
use crate::domain::fault::{FaultKind, Source};
use crate::domain::findings::whole;
use crate::domain::mask;
use crate::domain::quota::{QuotaState, quota_lines};
use crate::domain::row::{Field, Value, same};
use crate::domain::tiers::TierRules;

/// A line of the table. Empty text is an empty cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub label: &'static str,
    pub stripe: String,
    pub database: String,
    pub app: String,
    /// The database does not hold what Stripe demands.
    pub differs: bool,
    /// The application does not enforce what the database holds.
    pub app_differs: bool,
}

/// So many columns a cell has on a screen of eighty.
const CELL: usize = 17;
/// Always shown; the others only where they differ or say something.
const ALWAYS: [Field; 6] = [Field::Tier, Field::Customer, Field::Subscription, Field::Interval, Field::PeriodEnd, Field::Status];
const SOMETIMES: [Field; 3] = [Field::PeriodStart, Field::CancelAt, Field::CancelAtPeriodEnd];

#[must_use]
pub fn table(case: &Case, rules: &TierRules, now: At) -> Vec<Line> {
    let demanded = case.subscription().zip(case.shape.value()).and_then(|(s, shape)| expected(s, rules, shape, None).ok());
    let mut lines: Vec<Line> = ALWAYS.iter().map(|f| line(case, demanded.as_ref(), *f, now)).collect();
    let end_differs = lines.iter().any(|l| l.differs && l.label == Field::PeriodEnd.label());
    let telling = |l: &Line| match l.label == Field::PeriodStart.label() {
        // Where both ends differ, one of them says it.
        true => l.differs && !end_differs,
        false => l.differs || says_something(l),
    };
    lines.extend(SOMETIMES.iter().map(|f| line(case, demanded.as_ref(), *f, now)).filter(telling));
    let tier = &mut lines[0];
    if let (None, Some(s)) = (&demanded, case.subscription()) {
        tier.stripe = tier_due(s, rules).unwrap_or_else(|_| "open".into());
    }
    tier.app = app_tier(case);
    let held = case.record().and_then(|r| r.row.as_ref()).and_then(|r| r.text(Field::Tier));
    let enforced = case.entitlement.value().and_then(Option::as_ref).map(|e| e.tier.as_str());
    tier.app_differs = held.zip(enforced).is_some_and(|(h, e)| h != e);
    lines.push(last_payment(case, now));
    lines
}

fn line(case: &Case, demanded: Option<&Expected>, field: Field, now: At) -> Line {
    let row = case.record().and_then(|r| r.row.as_ref());
    let held = row.and_then(|r| r.get(field));
    let wanted = demanded.and_then(|e| e.image.get(&field));
    let differs = held.zip(wanted).is_some_and(|(h, w)| !same(h, w));
    let database = match (&case.record, held) {
        (_, Some(v)) => shown(field, v, now),
        (Known::Waiting, None) => "…".into(),
        // The database was asked, and has nobody by this name: whose it is, Stripe's silence leaves open.
        (Known::Failed(f), None) if f.source == Source::Stripe && field == Field::Tier => "not known".into(),
        (Known::Failed(f), None) if f.source == Source::Stripe => String::new(),
        (Known::Failed(_), None) => "no answer".into(),
        (Known::Is { value: Some(r), .. }, None) if r.row.is_some() => "not mapped".into(),
        // Checkout sessions could still name a profile.
        (Known::Is { value: None, .. }, None) if case.sessions_unread.is_some() && field == Field::Tier => "not known".into(),
        (Known::Is { .. }, None) if field == Field::Tier => "no row".into(),
        (Known::Is { .. }, None) => String::new(),
    };
    Line {
        label: field.label(),
        stripe: stripe_side(case, demanded, field, now),
        database,
        app: String::new(),
        differs,
        app_differs: false,
    }
}

fn stripe_side(case: &Case, demanded: Option<&Expected>, field: Field, now: At) -> String {
    let wanted = demanded.and_then(|e| e.image.get(&field));
    match (&case.subscriptions, field) {
        // The customer is there before its subscriptions are.
        (_, Field::Customer) => match &case.customer {
            Known::Waiting => "…".into(),
            Known::Failed(_) => "no answer".into(),
            Known::Is { value, .. } => value.as_ref().map_or_else(|| "none".into(), |c| mask::id(c.id.as_str())),
        },
        (Known::Waiting, _) => "…".into(),
        (Known::Failed(_), _) => "no answer".into(),
        (Known::Is { .. }, _) => {
            let Some(s) = case.subscription() else {
                let several = case.live_subscriptions().len();
                return match field {
                    Field::Subscription if several > 1 => format!("{several} live ones"),
                    Field::Subscription => "none".into(),
                    _ => String::new(),
                };
            };
            let item = demanded.map_or_else(|| s.items.first(), |e| e.item_of(s));
            match (field, wanted) {
                (Field::Interval, _) => item
                    .and_then(|i| i.price.interval.map(|w| (w, i.price.interval_count)))
                    .map_or_else(|| "none".into(), |(w, n)| if n > 1 { format!("every {n} {}s", w.word()) } else { w.word().to_string() }),
                (Field::PeriodEnd, None) => s.period_of(item).map_or_else(|| "none".into(), |p| when(p.end, now)),
                (Field::Status, _) => s.status.word().to_string(),
                (Field::Subscription, _) => mask::id(s.id.as_str()),
                (Field::Tier, None) => "open".into(),
                (_, Some(v)) => shown(field, v, now),
                (_, None) => String::new(),
            }
        }
    }
}

fn shown(field: Field, value: &Value, now: At) -> String {
    match (field, value) {
        (Field::Customer | Field::Subscription, Value::Text(t)) => mask::id(t),
        (_, Value::Time(at)) => when(*at, now),
        (_, v) => v.to_string(),
    }
}

/// The year leaves no cell for the mark of the zone: every time here is UTC.
fn when(at: At, now: At) -> String {
    let text = moment(at, now);
    if text.chars().count() > CELL { text.trim_end_matches('Z').to_string() } else { text }
}

fn says_something(line: &Line) -> bool {
    !matches!(line.stripe.as_str(), "" | "none" | "no" | "…" | "no answer")
}

fn app_tier(case: &Case) -> String {
    match &case.entitlement {
        Known::Waiting => "…".into(),
        Known::Failed(f) => match f.kind {
            FaultKind::NotSetUp => "not set up".into(),
            // Whom to ask about is the database's to say.
            _ if f.source != Source::Application => "not asked".into(),
            _ => "no answer".into(),
        },
        Known::Is { value: None, .. } if case.record().is_none() => "not asked".into(),
        Known::Is { value: None, .. } => "knows nobody".into(),
        Known::Is { value: Some(e), .. } => e.tier.clone(),
    }
}

/// What was paid last, and beside it the quota that hurts most.
fn last_payment(case: &Case, now: At) -> Line {
    let newest = case.invoices.value().and_then(|all| all.iter().max_by_key(|i| i.created));
    let stripe = match (&case.invoices, newest) {
        (Known::Waiting, _) => "…".into(),
        (Known::Failed(_), _) => "no answer".into(),
        (_, None) => "none".into(),
        (_, Some(i)) if i.status == "paid" => {
            let at = i.paid_at.unwrap_or(i.created);
            let same_day = at.date_naive() == now.date_naive();
            let at = at.format(if same_day { "%H:%M" } else { "%-d %b" }).to_string();
            // Whole first, and the time before the figure.
            let fits = |text: &String| text.chars().count() <= CELL;
            let all = [format!("{} {at}", i.amount_paid), format!("{} {at}", whole(&i.amount_paid))];
            all.into_iter().find(fits).unwrap_or_else(|| i.amount_paid.to_string())
        }
        (_, Some(i)) => format!("{} {}", i.total, i.status),
    };
    let app = case.record().and_then(|r| {
        let app = case.entitlement.value().and_then(Option::as_ref);
        let lines = quota_lines(&r.counters, &r.limits, app, now);
        let worst = lines
            .iter()
            .filter(|l| matches!(l.state, QuotaState::Near | QuotaState::Blocked))
            .max_by_key(|l| (l.state == QuotaState::Blocked, l.used))?;
        let word = if worst.state == QuotaState::Blocked { "full" } else { "near" };
        Some(format!("{} {}/{} {word}", worst.feature, worst.used, worst.limit.unwrap_or_default()))
    });
    Line { label: "last payment", stripe, database: String::new(), app: app.unwrap_or_default(), differs: false, app_differs: false }
}
