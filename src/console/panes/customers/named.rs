//! Who the people of a list are that came with ids alone: asked of the database, then of Stripe for those whom no row names. Searches are the model's.

use crate::domain::fault::Fault;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::row::Field;
use crate::protocol::query::{Hit, Query, Reply};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The questions that are still open about a list, one after another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Naming {
    asked: Option<Query>,
    open: VecDeque<Query>,
    failed: bool,
}

/// What can be said of somebody without a name or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nameless {
    /// Their name is being read.
    Reading,
    /// A source that may know it did not answer.
    Unread,
    /// Whoever was asked knows none.
    None,
}

/// As many rows are asked for at once as a list holds of one class.
const ROWS: usize = 100;
/// About as many as stand on a screen are asked for at Stripe, which answers one by one.
const AT_STRIPE: usize = 20;

impl Naming {
    /// All that is to be asked about these.
    #[must_use]
    pub fn of(hits: &[Hit]) -> Self {
        let nameless: Vec<&Hit> = hits.iter().filter(|h| is_nameless(h)).take(ROWS).collect();
        let subjects: Vec<_> = nameless.iter().filter_map(|h| h.subject.clone()).collect();
        let customers: Vec<StripeId> = nameless.iter().filter_map(|h| at_stripe(h)).collect();
        let mut open = VecDeque::new();
        if !subjects.is_empty() {
            open.push_back(Query::RowsNaming { subscriptions: Vec::new(), subjects });
        }
        if nameless.iter().any(|h| h.subject.is_none()) && !customers.is_empty() {
            open.push_back(Query::RowsOf(customers.clone()));
        }
        open.extend(customers.into_iter().take(AT_STRIPE).map(Query::Customer));
        Self { asked: None, open, failed: false }
    }

    /// The next question that still matters.
    pub fn next(&mut self, hits: &[Hit]) -> Option<Query> {
        let wanted = |query: &Query| match query {
            Query::Customer(id) => hits.iter().any(|h| is_nameless(h) && h.customer.as_deref() == Some(id.as_str())),
            _ => true,
        };
        while let Some(query) = self.open.pop_front() {
            if wanted(&query) {
                self.asked = Some(query.clone());
                return Some(query);
            }
        }
        self.asked = None;
        None
    }

    /// An answer, and whether it was asked for here.
    pub fn replied(&mut self, query: &Query, result: &Result<Reply, Fault>, hits: &mut [Hit]) -> bool {
        if self.asked.as_ref() != Some(query) {
            return false;
        }
        self.asked = None;
        match result {
            Ok(Reply::Rows(rows)) => {
                for (row, subject) in rows {
                    let held = row.text(Field::Customer);
                    let of = |h: &&mut Hit| h.subject.as_ref() == Some(&subject.key) || (held.is_some() && h.customer.as_deref() == held);
                    for hit in hits.iter_mut().filter(of) {
                        hit.email = hit.email.take().or_else(|| subject.email.clone());
                        hit.name = hit.name.take().or_else(|| subject.name.clone());
                        hit.subject.get_or_insert_with(|| subject.key.clone());
                    }
                }
            }
            Ok(Reply::Customers(customers)) => {
                for customer in customers {
                    for hit in hits.iter_mut().filter(|h| h.customer.as_deref() == Some(customer.id.as_str())) {
                        hit.email = hit.email.take().or_else(|| customer.email.clone());
                        hit.name = hit.name.take().or_else(|| customer.name.clone());
                    }
                }
            }
            Ok(_) => {}
            Err(fault) => {
                // Who did not answer once is not asked for each of them.
                self.failed = true;
                self.open.retain(|q| q.source() != fault.source);
            }
        }
        true
    }

    #[must_use]
    pub fn nameless(&self) -> Nameless {
        match (self.asked.is_some() || !self.open.is_empty(), self.failed) {
            (true, _) => Nameless::Reading,
            (false, true) => Nameless::Unread,
            (false, false) => Nameless::None,
        }
    }
}

fn is_nameless(hit: &Hit) -> bool {
    hit.email.is_none() && hit.name.is_none()
}

/// The id by which Stripe knows them.
fn at_stripe(hit: &Hit) -> Option<StripeId> {
    let id = StripeId::parse(hit.customer.as_deref()?).ok()?;
    (id.kind() == StripeKind::Customer).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::facts::Handle;
    use crate::domain::fault::{FaultKind, Source};
    use crate::domain::ids::SubjectKey;
    use crate::domain::row::{Subject, SubscriptionRow};
    use crate::domain::stripe::Customer;
    use std::collections::BTreeMap;

    fn hit(customer: &str, subject: Option<&str>) -> Hit {
        let id = StripeId::parse(customer).expect("an id");
        Hit {
            source: Source::Stripe,
            handle: Handle::Stripe(id),
            name: None,
            email: None,
            subject: subject.map(|s| SubjectKey(s.into())),
            customer: Some(customer.into()),
            note: String::new(),
            rank: 0,
        }
    }

    fn row(key: &str, email: &str) -> (SubscriptionRow, Subject) {
        let key = SubjectKey(key.into());
        let row = SubscriptionRow { subject: key.clone(), image: BTreeMap::new() };
        (row, Subject { key, email: Some(email.into()), name: None, created_at: None })
    }

    #[test]
    fn rows_name_most_of_them_and_stripe_whom_no_row_names() {
        let mut hits = vec![hit("cus_11111111", Some("p1")), hit("cus_22222222", None)];
        let mut naming = Naming::of(&hits);
        assert_eq!(naming.nameless(), Nameless::Reading);
        let first = naming.next(&hits).expect("rows are asked for");
        assert!(matches!(&first, Query::RowsNaming { subjects, .. } if subjects.len() == 1), "{first:?}");
        assert!(!naming.replied(&Query::Shape, &Ok(Reply::Rows(Vec::new())), &mut hits), "not its question");
        assert!(naming.replied(&first, &Ok(Reply::Rows(vec![row("p1", "jane@acme.com")])), &mut hits));
        assert_eq!(hits[0].email.as_deref(), Some("jane@acme.com"));
        let rows = naming.next(&hits).expect("rows by their customer");
        assert!(naming.replied(&rows, &Ok(Reply::Rows(Vec::new())), &mut hits));
        let last = naming.next(&hits).expect("Stripe knows the other");
        assert_eq!(last, Query::Customer(StripeId::parse("cus_22222222").expect("an id")), "whoever has a name is not asked for");
        let customer = Customer {
            id: StripeId::parse("cus_22222222").expect("an id"),
            deleted: false,
            email: Some("joe@acme.com".into()),
            name: None,
            created: crate::domain::At::UNIX_EPOCH,
            livemode: false,
            metadata: Default::default(),
        };
        assert!(naming.replied(&last, &Ok(Reply::Customers(vec![customer])), &mut hits));
        assert_eq!((hits[1].email.as_deref(), naming.next(&hits)), (Some("joe@acme.com"), None));
        assert_eq!(naming.nameless(), Nameless::None);
    }

    #[test]
    fn who_does_not_answer_is_asked_once() {
        let mut hits = vec![hit("cus_11111111", Some("p1")), hit("cus_22222222", Some("p2"))];
        let mut naming = Naming::of(&hits);
        let first = naming.next(&hits).expect("rows");
        let silent = |source| Err(Fault::new(source, FaultKind::Timeout, "no answer"));
        assert!(naming.replied(&first, &silent(Source::Database), &mut hits));
        let stripe = naming.next(&hits).expect("Stripe may know");
        assert_eq!(stripe.source(), Source::Stripe);
        assert!(naming.replied(&stripe, &silent(Source::Stripe), &mut hits));
        assert_eq!((naming.next(&hits), naming.nameless()), (None, Nameless::Unread));
    }
}
