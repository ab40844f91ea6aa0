//! Search, with the index that lags behind. The query language itself is not here, and what is cheap to know of people is `searchable.rs`.

use serde_json::{Value, json};

use super::expand;
use super::failure::Failure;
use super::form::Bounds;
use super::query::{Clause, Join, Query, Subject, Test};
use super::route::{Call, Route, Run};
use super::searchable::{self, Searchable};
use super::state::State;
use super::timeline::{Direction, Key, People, Selection};
use crate::sandbox::population::Billing;

const PARAMS: &[&str] = &["expand[]", "limit", "page", "query"];

pub const ROUTES: &[Route] = &[
    Route { method: "GET", path: "charges/search", permission: "rak_charge_read", params: PARAMS, run: Run::Read(charges) },
    Route { method: "GET", path: "customers/search", permission: "rak_customer_read", params: PARAMS, run: Run::Read(customers) },
    Route { method: "GET", path: "invoices/search", permission: "rak_invoice_read", params: PARAMS, run: Run::Read(invoices) },
    Route {
        method: "GET",
        path: "payment_intents/search",
        permission: "rak_payment_intent_read",
        params: PARAMS,
        run: Run::Read(payment_intents),
    },
    Route { method: "GET", path: "prices/search", permission: "rak_plan_read", params: PARAMS, run: Run::Read(prices) },
    Route { method: "GET", path: "products/search", permission: "rak_product_read", params: PARAMS, run: Run::Read(products) },
];

/// Up to so many matches are counted.
const COUNTED: usize = 10_000;

fn charges(state: &State, call: &Call) -> Result<Value, Failure> {
    searchable::CHARGES.answer(state, call)
}

fn customers(state: &State, call: &Call) -> Result<Value, Failure> {
    searchable::CUSTOMERS.answer(state, call)
}

fn invoices(state: &State, call: &Call) -> Result<Value, Failure> {
    searchable::INVOICES.answer(state, call)
}

fn payment_intents(state: &State, call: &Call) -> Result<Value, Failure> {
    searchable::PAYMENT_INTENTS.answer(state, call)
}

fn prices(state: &State, call: &Call) -> Result<Value, Failure> {
    searchable::PRICES.answer(state, call)
}

fn products(state: &State, call: &Call) -> Result<Value, Failure> {
    searchable::PRODUCTS.answer(state, call)
}

pub fn subscriptions(state: &State, call: &Call) -> Result<Value, Failure> {
    searchable::SUBSCRIPTIONS.answer(state, call)
}

impl Searchable {
    fn answer(&self, state: &State, call: &Call) -> Result<Value, Failure> {
        let text = call.params.text("query").ok_or_else(|| Failure::missing_parameter("query"))?;
        let query = Query::parse(text, &self.grammar)?;
        let limit = call.params.limit()?;
        let beyond = match call.params.text("page") {
            Some(token) => Some(Key::read(token).ok_or_else(|| Failure::new(400, format!("Invalid page token: {token}")).param("page"))?),
            None => None,
        };
        let mut found = self.found(state, call, &query, beyond, limit + 1);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(key, _)| key.write());
        let mut data: Vec<Value> = found.into_iter().map(|(_, v)| v).collect();
        let url = format!("/v1/{}/search", self.grammar.resource);
        expand::found(state, call, &url, &mut data)?;
        let mut page = json!({ "object": "search_result", "data": data, "has_more": has_more, "next_page": next, "url": url });
        if call.params.list("expand").contains(&"total_count") {
            page["total_count"] = json!(self.found(state, call, &query, None, COUNTED).len());
        }
        Ok(page)
    }

    fn found(&self, state: &State, call: &Call, query: &Query, beyond: Option<Key>, most: usize) -> Vec<(Key, Value)> {
        let told: Vec<Option<Vec<u64>>> = query.clauses.iter().map(|c| self.told(state, c)).collect();
        let may_match = |n: u64, billing: Billing| {
            // A changed person's facts no longer tell anything: the object has to be looked at.
            state.is_touched(n)
                || query.join.over(query.clauses.iter().zip(&told).map(|(clause, only)| match only {
                    Some(numbers) => numbers.contains(&n),
                    None => (self.known)(state, &clause.subject, n, billing).is_none_or(|value| clause.holds(&value)),
                }))
        };
        let people = match candidates(query.join, &told) {
            Some(numbers) => People::Only(state.touched_and(numbers)),
            None => People::Where(&may_match),
        };
        let selection = Selection { bounds: bounds(query), direction: Direction::NewestFirst, beyond, ordinals: u8::MAX, people };
        let indexed = call.now.timestamp() - state.search_lag;
        let everything: Box<dyn Iterator<Item = (Key, String)>> = if self.few {
            Box::new(state.places(self.collection).into_iter().filter(move |(key, _)| selection.admits(*key)))
        } else {
            Box::new(state.walk(self.collection, selection))
        };
        everything
            .filter(|(key, _)| key.made == 0 || key.at <= indexed)
            .filter_map(|(key, id)| Some((key, state.live(&id, self.object)?)))
            .filter(|(_, object)| query.matches(object))
            .take(most)
            .collect()
    }

    /// The only people the clause can hold for, by number, where the clause itself tells.
    fn told(&self, state: &State, clause: &Clause) -> Option<Vec<u64>> {
        match &clause.test {
            Test::Is(wanted) if !clause.negated => (self.only)(state, &clause.subject, wanted),
            _ => None,
        }
    }
}

/// The only people a query can hold for, where one of its clauses (with OR: all of them) tells.
fn candidates(join: Join, told: &[Option<Vec<u64>>]) -> Option<Vec<u64>> {
    match join {
        Join::And => told.iter().flatten().min_by_key(|numbers| numbers.len()).cloned(),
        Join::Or => told.iter().cloned().collect::<Option<Vec<_>>>().map(|all| all.concat()),
    }
}

/// When everything that the query holds for was made.
fn bounds(query: &Query) -> Bounds {
    let mut within = Bounds::ALL;
    if query.join == Join::And {
        for clause in query.clauses.iter().filter(|c| !c.negated && matches!(&c.subject, Subject::Field(f) if f.name == "created")) {
            if let Test::Within(bounds) = clause.test {
                within = Bounds { from: within.from.max(bounds.from), to: within.to.min(bounds.to) };
            }
        }
    }
    within
}
