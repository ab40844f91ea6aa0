//! How far a run has gone, for whoever looks at it from outside: whether it was confirmed, whose rows it has written. Reads nothing.

use super::Run;
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::row::{Field, Image};
use crate::protocol::command::Outcome;
use crate::protocol::run::Expect;
use std::collections::BTreeMap;

impl Run {
    /// Its plan was confirmed, or it has acted already: from now on what it reads may be followed by a write.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed.is_some() || !self.tries.is_empty()
    }

    /// Whose rows it wrote or had written, as far as is known: by profile, with the customer that the row is to hold.
    #[must_use]
    pub fn touched(&self) -> Vec<(SubjectKey, Option<StripeId>)> {
        let steps = self.plan.iter().flat_map(|p| &p.steps);
        let expected: BTreeMap<&str, &Image> = steps
            .filter_map(|s| match &s.expect {
                Some(Expect::Row { image, .. }) => Some((s.id.as_str(), image)),
                _ => None,
            })
            .collect();
        let done = self.tries.iter().filter(|t| !matches!(t.outcome, Some(Outcome::NotDone(_))));
        let written: BTreeMap<SubjectKey, Option<StripeId>> = done
            .filter_map(|t| {
                let command = t.command.as_ref()?;
                let expected = expected.get(t.attempt.step.as_str()).and_then(|image| image.get(&Field::Customer)?.as_text());
                let customer = expected.or_else(|| command.customer());
                Some((command.subject()?.clone(), customer.and_then(|c| StripeId::of(StripeKind::Customer, c))))
            })
            .collect();
        written.into_iter().collect()
    }
}
