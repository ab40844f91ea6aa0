//! What the operator chooses where a procedure asks: the choice becomes an input, or is attested to, and what it leaves open is asked. It confirms nothing.

use super::{Goal, Phase, Run};
use crate::domain::At;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::procedures::pool_exhausted::SETTING;
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::run::Features;
use std::collections::BTreeSet;

impl Run {
    /// The operator chose; an index that is not there changes nothing.
    pub fn decide(&mut self, index: usize, env: &Environment, now: At) -> Vec<Effect> {
        let Phase::Deciding(decision) = &self.phase else { return Vec::new() };
        let Some(choice) = decision.options.get(index) else { return Vec::new() };
        let value = choice.value.clone();
        self.take(value, env, now)
    }

    /// The operator chose several at once: those of them that are there. Where only one may be taken this changes nothing.
    pub fn decide_several(&mut self, chosen: &BTreeSet<usize>, env: &Environment, now: At) -> Vec<Effect> {
        let Phase::Deciding(decision) = &self.phase else { return Vec::new() };
        let values: Vec<&str> = chosen.iter().filter_map(|i| decision.options.get(*i)).map(|c| c.value.as_str()).collect();
        if !decision.takes_several() || values.is_empty() {
            return Vec::new();
        }
        let value = values.join(",");
        self.take(value, env, now)
    }

    fn take(&mut self, value: String, env: &Environment, now: At) -> Vec<Effect> {
        let Phase::Deciding(decision) = &self.phase else { return Vec::new() };
        let mut effects = Vec::new();
        match decision.id.as_str() {
            "subject" => self.inputs.subject = Some(SubjectKey(value)),
            "subscription" => self.inputs.subscription = StripeId::parse(&value).ok(),
            "feature" => self.inputs.features = Some(Features::parse(&value)),
            "probe" => drop(self.inputs.attested.insert("probe".into(), value)),
            // Whoever takes the run up is not asked again.
            id @ SETTING => effects.push(self.attest_to(id.to_string(), value, now)),
            _ => self.inputs.tier = Some(value),
        }
        self.phase = Phase::Gathering;
        self.goal = Goal::Review;
        effects.extend(self.go_on(env, now));
        effects
    }
}
