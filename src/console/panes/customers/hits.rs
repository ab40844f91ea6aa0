//! Hits of both sources made one list: each person once, with the sources that know them, exact before prefix before the rest.

use crate::domain::facts::Handle;
use crate::domain::fault::Source;
use crate::protocol::query::Hit;

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub hit: Hit,
    /// Who knows this person.
    pub sources: Vec<Source>,
}

impl Found {
    #[must_use]
    pub fn of(hit: &Hit) -> Self {
        Self { hit: hit.clone(), sources: vec![hit.source] }
    }

    /// What the selection holds on to while rows come in.
    #[must_use]
    pub fn identity(&self) -> Handle {
        self.hit.handle.clone()
    }
}

/// Both lists as one: merged by profile or by customer id, ranked, otherwise in the order of their sources.
#[must_use]
pub fn merged(database: &[Hit], stripe: &[Hit]) -> Vec<Found> {
    let mut rows: Vec<Found> = database.iter().map(Found::of).collect();
    for hit in stripe {
        let same = |f: &&mut Found| {
            let by = |a: Option<&str>, b: Option<&str>| a.is_some() && a == b;
            by(f.hit.customer.as_deref(), hit.customer.as_deref())
                || by(f.hit.subject.as_ref().map(|s| s.as_str()), hit.subject.as_ref().map(|s| s.as_str()))
        };
        match rows.iter_mut().find(same) {
            Some(found) => join(found, hit),
            None => rows.push(Found::of(hit)),
        }
    }
    rows.sort_by_key(|f| f.hit.rank);
    rows
}

/// The profile opens the case; what Stripe adds fills gaps.
fn join(found: &mut Found, hit: &Hit) {
    found.hit.rank = found.hit.rank.min(hit.rank);
    found.hit.name = found.hit.name.take().or_else(|| hit.name.clone());
    found.hit.email = found.hit.email.take().or_else(|| hit.email.clone());
    found.hit.customer = found.hit.customer.take().or_else(|| hit.customer.clone());
    if !found.sources.contains(&hit.source) {
        found.sources.push(hit.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{StripeId, SubjectKey};

    fn hit(source: Source, rank: u8, subject: Option<&str>, customer: Option<&str>) -> Hit {
        let handle = match (source, subject, customer) {
            (Source::Database, Some(s), _) => Handle::Subject(SubjectKey(s.into())),
            (_, _, Some(c)) => Handle::Stripe(StripeId::parse(c).expect("an id")),
            _ => Handle::Email("x@y.z".into()),
        };
        let (subject, customer) = (subject.map(|s| SubjectKey(s.into())), customer.map(String::from));
        Hit { source, handle, name: None, email: None, subject, customer, note: String::new(), rank }
    }

    #[test]
    fn one_person_is_one_row_and_the_exact_one_stands_first() {
        let database =
            [hit(Source::Database, 2, Some("p1"), Some("cus_temp_1")), hit(Source::Database, 1, Some("p2"), Some("cus_22222222"))];
        let stripe = [
            hit(Source::Stripe, 0, None, Some("cus_22222222")),
            hit(Source::Stripe, 1, Some("p1"), Some("cus_11111111")),
            hit(Source::Stripe, 2, None, Some("cus_33333333")),
        ];
        let rows = merged(&database, &stripe);
        let shown: Vec<_> = rows.iter().map(|f| (f.hit.subject.as_ref().map(|s| s.as_str()), f.sources.len(), f.hit.rank)).collect();
        assert_eq!(shown, [(Some("p2"), 2, 0), (Some("p1"), 2, 1), (None, 1, 2)]);
        assert_eq!(rows[0].hit.handle, Handle::Subject(SubjectKey("p2".into())), "the profile opens the case");
    }
}
