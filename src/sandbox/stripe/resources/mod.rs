//! One file per kind of object: how it looks, and the endpoints that serve it. Here only the table of all of them.

pub mod account;
pub mod balance_transactions;
pub mod charges;
pub mod customers;
pub mod disputes;
pub mod events;
mod fields;
pub mod invoice_items;
pub mod invoice_payments;
pub mod invoices;
pub mod payment_intents;
pub mod payment_methods;
pub mod prices;
pub mod products;
pub mod redaction_jobs;
pub mod refunds;
mod session_writes;
pub mod sessions;
pub mod subscription_items;
pub mod subscriptions;
pub mod webhook_endpoints;

use serde_json::{Map, Value};

use super::route::Route;
use super::search;

/// Every endpoint there is. Where two match (`/customers/search`, `/customers/{id}`), the first wins.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    [
        search::ROUTES,
        account::ROUTES,
        customers::ROUTES,
        subscriptions::ROUTES,
        subscription_items::ROUTES,
        prices::ROUTES,
        products::ROUTES,
        session_writes::ROUTES,
        sessions::ROUTES,
        invoices::ROUTES,
        invoice_items::ROUTES,
        invoice_payments::ROUTES,
        payment_intents::ROUTES,
        payment_methods::ROUTES,
        charges::ROUTES,
        balance_transactions::ROUTES,
        redaction_jobs::ROUTES,
        refunds::ROUTES,
        disputes::ROUTES,
        events::ROUTES,
        webhook_endpoints::ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// What there is to ask for: verb, path below `/v1/` (`{id}` for any id), and the patterns of the parameters it takes (see
/// [`Route::params`]).
pub fn endpoints() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    routes().map(|r| (r.method, r.path, r.params))
}

/// One object from several literals: a long one passes the depth of serde_json's macro.
fn merged<const N: usize>(parts: [Value; N]) -> Value {
    let mut all = Map::with_capacity(parts.iter().filter_map(Value::as_object).map(Map::len).sum());
    for part in parts {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}
