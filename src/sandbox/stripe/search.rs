//! Search of customers and subscriptions, with the index that lags behind. The query language itself is not here.

use serde_json::{Value, json};

use super::expand;
use super::failure::Failure;
use super::form::Bounds;
use super::query::{Clause, Field, Grammar, Join, Query, Test, Type};
use super::route::Call;
use super::state::State;
use super::timeline::{Collection, Direction, Key, People, Selection};
use crate::sandbox::population::Billing;

/// What differs between the resources that can be searched.
struct Searchable {
    grammar: Grammar,
    url: &'static str,
    collection: Collection,
    /// `object` in its JSON.
    object: &'static str,
    /// The only people the clause can hold for, by number, where the clause itself tells.
    only: fn(&State, &Clause) -> Option<Vec<u64>>,
    /// Whether the clause can hold for a person, by facts cheaper than the object. Most people are ruled out here.
    may_hold: fn(&State, &Clause, u64, Billing) -> bool,
}

const CUSTOMERS: Searchable = Searchable {
    grammar: Grammar {
        resource: "customers",
        fields: &[("created", Type::Number), ("email", Type::Text), ("name", Type::Text), ("phone", Type::Text)],
    },
    url: "/v1/customers/search",
    collection: Collection::Customers,
    object: "customer",
    only: |state, clause| match (&clause.field, &clause.test) {
        (Field::Named("email"), Test::Is(email)) => Some(state.population.email_number(email).into_iter().collect()),
        // The population's customers have neither.
        (Field::Named("phone") | Field::Metadata(_), _) => Some(Vec::new()),
        _ => None,
    },
    may_hold: |state, clause, number, _| match clause.field {
        Field::Named("email") => clause.admits(&state.population.name_and_email(number).1),
        Field::Named("name") => clause.admits(&state.population.name_and_email(number).0),
        _ => joined_within(state, clause, number),
    },
};

const SUBSCRIPTIONS: Searchable = Searchable {
    grammar: Grammar { resource: "subscriptions", fields: &[("created", Type::Number), ("status", Type::Token)] },
    url: "/v1/subscriptions/search",
    collection: Collection::Subscriptions,
    object: "subscription",
    only: |state, clause| match (&clause.field, &clause.test) {
        (Field::Metadata(key), Test::Is(reference)) if key == "profileId" => Some(state.profile_number(reference).into_iter().collect()),
        (Field::Metadata(_), _) => Some(Vec::new()),
        _ => None,
    },
    may_hold: |state, clause, number, billing| match (&clause.field, billing) {
        (Field::Named("status"), Billing::Paid(cycle)) => clause.admits(cycle.status),
        _ => joined_within(state, clause, number),
    },
};

pub fn customers(state: &State, call: &Call) -> Result<Value, Failure> {
    CUSTOMERS.answer(state, call)
}

pub fn subscriptions(state: &State, call: &Call) -> Result<Value, Failure> {
    SUBSCRIPTIONS.answer(state, call)
}

impl Searchable {
    fn answer(&self, state: &State, call: &Call) -> Result<Value, Failure> {
        let text = call.params.text("query");
        let text = text.ok_or_else(|| Failure::new(400, "Missing required param: query.").code("parameter_missing").param("query"))?;
        let query = Query::parse(text, &self.grammar)?;
        let limit = call.params.limit()?;
        let beyond = match call.params.text("page") {
            Some(token) => Some(Key::read(token).ok_or_else(|| Failure::new(400, format!("Invalid page token: {token}")).param("page"))?),
            None => None,
        };
        let told: Vec<Option<Vec<u64>>> = query.clauses.iter().map(|c| (self.only)(state, c)).collect();
        let may_match = |n: u64, billing: Billing| {
            // A changed person's facts no longer tell anything: the object has to be looked at.
            state.is_touched(n)
                || query.join.over(query.clauses.iter().zip(&told).map(|(clause, only)| match only {
                    Some(numbers) => numbers.contains(&n),
                    None => (self.may_hold)(state, clause, n, billing),
                }))
        };
        let people = match candidates(query.join, &told) {
            Some(numbers) => People::Only(state.touched_and(numbers)),
            None => People::Where(&may_match),
        };
        let selection = Selection { bounds: bounds(&query), direction: Direction::NewestFirst, beyond, ordinals: u8::MAX, people };
        let indexed = call.now.timestamp() - state.search_lag;
        let mut found: Vec<(Key, Value)> = state
            .walk(self.collection, selection)
            .filter(|(key, _)| key.made == 0 || key.at <= indexed)
            .filter_map(|(key, id)| Some((key, state.live(&id, self.object)?)))
            .filter(|(_, object)| query.matches(object))
            .take(limit + 1)
            .collect();
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(key, _)| key.write());
        let mut data: Vec<Value> = found.into_iter().map(|(_, v)| v).collect();
        expand::elements(state, call, &mut data)?;
        Ok(json!({ "object": "search_result", "data": data, "has_more": has_more, "next_page": next, "url": self.url }))
    }
}

/// The only people a query can hold for, where one of its clauses (with OR: all of them) tells.
fn candidates(join: Join, told: &[Option<Vec<u64>>]) -> Option<Vec<u64>> {
    match join {
        Join::And => told.iter().flatten().next().cloned(),
        Join::Or => told.iter().cloned().collect::<Option<Vec<_>>>().map(|all| all.concat()),
    }
}

/// Customer and subscription are made the moment a person joins.
fn joined_within(state: &State, clause: &Clause, number: u64) -> bool {
    match clause.test {
        Test::Within(bounds) => bounds.contain(state.population.joined(number).timestamp()),
        Test::Is(_) | Test::Contains(_) => false,
    }
}

/// When everything that the query holds for was made. The only numbers searched by are times of making.
fn bounds(query: &Query) -> Bounds {
    let mut within = Bounds::ALL;
    if query.join == Join::And {
        for clause in &query.clauses {
            if let Test::Within(bounds) = clause.test {
                within = Bounds { from: within.from.max(bounds.from), to: within.to.min(bounds.to) };
            }
        }
    }
    within
}
