//! One subscription of a replay: whether its effect is lacking, why, and what would bring it about. Reads and plans nothing.

use super::events::{Listed, Told, follows, is_handled};
use super::facts::{Found, Lost};
use super::link;
use crate::domain::At;
use crate::domain::diagnosis::changed_at;
use crate::domain::expected::{Expected, expected};
use crate::domain::facts::Known;
use crate::domain::ids::{StripeId, is_placeholder};
use crate::domain::row::{Field, SubscriptionRow, Value, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::{Status, Subscription};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::cause::{Attributed, Cause, Evidence, Held, Named, Receipt, Remedy, Scene, attribute};
use crate::domain::webhooks::demand::{Demand, Due};
use crate::domain::webhooks::verdict::Verdict;
use crate::protocol::answers::Answers;
use crate::protocol::query::{Query, Reply};
use chrono::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// For so long Stripe tries again by itself what was not taken.
const TRIED_FOR: Duration = Duration::days(3);

/// All that was read, as one subscription after the other is judged by it.
pub struct Look<'a> {
    pub answers: &'a Answers,
    /// Those of the configuration, and what products have told.
    pub rules: &'a TierRules,
    pub now: At,
    /// What effects are given to come.
    pub allowance: Duration,
    pub shape: Shape,
    pub rows: BTreeMap<StripeId, SubscriptionRow>,
    pub scene: Scene,
    pub listed: &'a Listed<'a>,
    /// The selected events of each subscription, newest first.
    pub behind: BTreeMap<&'a StripeId, Vec<&'a Told>>,
    pub recovered: BTreeMap<&'a str, At>,
    /// What the application's own record says of those without effect, where it keeps one.
    pub receipts: BTreeMap<&'a StripeId, Receipt>,
}

impl Look<'_> {
    /// The subscription as Stripe has it now: asked for, else its newest snapshot.
    fn truth(&self, id: &StripeId) -> Option<Subscription> {
        match self.answers.get(&Query::Subscription(id.clone())) {
            Some(Known::Is { value: Reply::Subscriptions(found), .. }) => found.first().cloned(),
            _ => self.listed.newest.get(id).map(|(_, s)| (*s).clone()),
        }
    }

    /// A customer who was named instead of an event.
    pub fn customer(&self, customer: &StripeId, lost: &mut Vec<Lost>, found: &mut Found) {
        let all = match self.answers.get(&Query::SubscriptionsOf(customer.clone())) {
            Some(Known::Is { value: Reply::Subscriptions(all), .. }) => all,
            _ => return,
        };
        let live: Vec<_> = all.iter().filter(|s| s.status.is_live() && s.status != Status::Incomplete).collect();
        match (live.as_slice(), all.first()) {
            ([one], _) => self.compare((*one).clone(), None, lost, found),
            ([], Some(last)) => self.compare(last.clone(), None, lost, found),
            ([], None) => {
                found.skipped.push((customer.to_string(), "Stripe has no subscription for them: there is nothing to copy".into()))
            }
            _ => {
                let why = format!("{} subscriptions are live: open the customer and choose the one that counts", live.len());
                found.skipped.push((customer.to_string(), why));
            }
        }
    }

    /// A subscription that selected events are about; `told`: the newest of them.
    pub fn judge(&self, id: &StripeId, told: Option<&Told>, lost: &mut Vec<Lost>, found: &mut Found) {
        if told.is_some_and(|t| self.is_young(t.at)) {
            found.settling += 1;
            return;
        }
        match self.truth(id) {
            Some(truth) => self.compare(truth, told, lost, found),
            None => found.skipped.push((id.to_string(), "Stripe no longer has this subscription: there is nothing to copy".into())),
        }
    }

    /// What happened then may still be on its way.
    fn is_young(&self, at: At) -> bool {
        self.now - at < self.allowance
    }

    fn compare(&self, truth: Subscription, told: Option<&Told>, lost: &mut Vec<Lost>, found: &mut Found) {
        let customer = truth.customer.clone();
        let due = expected(&truth, self.rules, &self.shape, None);
        let free = self.rules.free();
        let (row, unlinked) = match self.rows.get(&customer) {
            Some(row) => (row.clone(), false),
            // Nobody has what nobody is owed.
            None if due.as_ref().is_ok_and(|d| d.tier == free) => {
                found.right += 1;
                return;
            }
            None => match link::row(&customer, self.answers) {
                Ok((_, row)) => (row, true),
                Err(why) => {
                    found.skipped.push((customer.to_string(), why));
                    return;
                }
            },
        };
        let due = match due {
            Ok(due) => due,
            Err(why) => {
                found.skipped.push((customer.to_string(), why.to_string()));
                return;
            }
        };
        let changes = diff(&row.image, &due.image);
        if changes.is_empty() || self.follows_another(&row, &truth) {
            found.right += 1;
            return;
        }
        if told.is_none() && self.is_young(changed_at(&truth, due.item_of(&truth), None, self.now)) {
            found.settling += 1;
            return;
        }
        if let Some(other) = self.live_other(&row, &truth) {
            let why = format!("the row follows {other}, which is live too: open the customer and choose the one that counts");
            found.skipped.push((customer.to_string(), why));
            return;
        }
        let Attributed { cause, because, helps, remedy, .. } = self.attribute(&truth, told, &row, unlinked, &due);
        if let Remedy::Skip(why) = &remedy {
            found.skipped.push((customer.to_string(), why.clone()));
            return;
        }
        let events = self.behind.get(&truth.id).map_or(0, Vec::len);
        let on_trial = matches!(remedy, Remedy::Resend | Remedy::Deliver) && told.is_some_and(|t| !self.is_over(t));
        let owed = self.owed(&truth.id, told);
        // Who refuses a signature says so to Stripe, or nothing of it is owed to anybody.
        let refused = matches!(cause, Cause::BadSignature | Cause::ClockSkew);
        let unsent = refused && told.is_some_and(|t| !t.pending && !self.is_seen(t));
        lost.push(Lost {
            customer,
            subscription: truth,
            row,
            due,
            changes,
            event: told.cloned(),
            events,
            cause,
            because,
            helps,
            remedy,
            on_trial,
            unlinked,
            owed,
            unsent,
        });
    }

    /// What ended is of no concern to a row that follows another subscription by now.
    fn follows_another(&self, row: &SubscriptionRow, truth: &Subscription) -> bool {
        let named = row.text(Field::Subscription).filter(|n| *n != truth.id.as_str());
        named.is_some() && (!truth.status.is_live() || truth.status == Status::Incomplete)
    }

    fn live_other(&self, row: &SubscriptionRow, truth: &Subscription) -> Option<StripeId> {
        let named = row.text(Field::Subscription).filter(|n| *n != truth.id.as_str())?;
        let other = StripeId::parse(named).ok()?;
        let live = self.truth(&other).is_some_and(|s| s.status.is_live() && s.status != Status::Incomplete);
        live.then_some(other)
    }

    fn attribute(&self, truth: &Subscription, told: Option<&Told>, row: &SubscriptionRow, unlinked: bool, due: &Expected) -> Attributed {
        let held = match row.text(Field::Customer) {
            _ if !unlinked => Held::Customer,
            Some(id) if is_placeholder(id) => Held::Placeholder(id.into()),
            other => Held::Other(other.map(String::from)),
        };
        let Some(told) = told else {
            let remedy = if unlinked { Remedy::Link } else { Remedy::Apply };
            return Attributed {
                cause: Cause::Unknown,
                rule: String::new(),
                because: format!("{} is due, and the row says otherwise", due.tier),
                helps: "Copying from Stripe helps whatever the cause.".into(),
                remedy,
                raw: None,
                evidence: Vec::new(),
            };
        };
        let mut evidence = Evidence::of(told.id.clone(), &told.kind, told.at, Verdict::Missing);
        evidence.names = [Some(truth.id.clone()), Some(truth.customer.clone())].into_iter().flatten().collect();
        evidence.api_version = told.api_version.clone();
        evidence.livemode = told.livemode;
        evidence.pending = told.pending;
        evidence.named = if unlinked { Named::Profile(row.subject.clone()) } else { Named::Unknown };
        evidence.held = held;
        evidence.written_since = match row.get(Field::UpdatedAt).filter(|_| !unlinked) {
            Some(Value::Time(at)) => Some(*at > told.at),
            _ => None,
        };
        evidence.older_in_row = self.older_in_row(truth, told, row);
        evidence.receipt = self.receipts.get(&told.id).copied().unwrap_or_default();
        evidence.recovered = self.is_over(told);
        // Whether what stood in the way is over, the first one sent shows: until then nothing says that it is not.
        evidence.canary = true;
        let mut attributed = attribute(&evidence, &self.scene, self.now);
        if matches!(attributed.remedy, Remedy::Resend | Remedy::Deliver) && self.is_outdated(told, truth) {
            attributed.remedy = Remedy::Apply;
            attributed.helps = "Stripe has changed since this event: sent again it would bring the older values; copying helps.".into();
        }
        attributed
    }

    /// How many of its older events Stripe goes on trying by itself: taken late, each brings its own state.
    fn owed(&self, subscription: &StripeId, told: Option<&Told>) -> usize {
        let listed = self.listed.owed.get(subscription).into_iter().flatten().map(|(at, id)| (*at, *id));
        let selected = self.behind.get(subscription).into_iter().flatten().filter(|t| t.pending && is_handled(&t.kind));
        let all: BTreeMap<&StripeId, At> = listed.chain(selected.map(|t| (t.at, &t.id))).map(|(at, id)| (id, at)).collect();
        let last = self.listed.last.get(subscription);
        // Of those of one second the list has the newest first.
        let newest = match told {
            Some(told) if last.is_none_or(|at| told.at > *at) => Some(&told.id),
            _ => self.listed.head.get(subscription).copied(),
        };
        all.into_iter().filter(|(id, at)| Some(*id) != newest && self.now - *at < TRIED_FOR).count()
    }

    /// The application has said something of this very event.
    fn is_seen(&self, told: &Told) -> bool {
        matches!(self.receipts.get(&told.id), Some(Receipt::Taken | Receipt::Processed(_)))
            || self.scene.log.as_ref().is_some_and(|trail| trail.naming(told.id.as_str()).next().is_some())
    }

    /// Something of the same kind was applied since.
    fn is_over(&self, told: &Told) -> bool {
        self.recovered.get(told.kind.as_str()).is_some_and(|at| *at > told.at)
    }

    /// The older event whose state the row holds.
    fn older_in_row(&self, truth: &Subscription, told: &Told, row: &SubscriptionRow) -> Option<StripeId> {
        let holds = |own: &Subscription| follows(row, own, &self.shape, Some(self.rules));
        let older = self.behind.get(&truth.id)?.iter().filter(|t| t.at < told.at);
        older.filter(|t| self.listed.own.get(&t.id).is_some_and(|own| holds(own))).map(|t| t.id.clone()).next()
    }

    /// Something newer than this event is known: sent again, it would bring older values.
    fn is_outdated(&self, told: &Told, truth: &Subscription) -> bool {
        told.newest == Some(false)
            || self.listed.last.get(&truth.id).is_some_and(|at| *at > told.at)
            || self.listed.own.get(&told.id).is_some_and(|own| !self.says_the_same(own, truth))
    }

    /// Both demand the same row. What a price buys may be told only by its product, which no event carries: so prices are compared
    /// instead of tiers.
    fn says_the_same(&self, one: &Subscription, other: &Subscription) -> bool {
        let prices = |s: &Subscription| s.items.iter().map(|i| i.price.id.clone()).collect::<BTreeSet<_>>();
        let but_tier = |s: &Subscription| Demand::of(s, self.rules).with_tier(Due::Tier("".into()));
        prices(one) == prices(other) && but_tier(one) == but_tier(other)
    }
}
