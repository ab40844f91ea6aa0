//! The account and its balance: whose money this is, and in which mode.

use serde_json::{Value, json};

use super::super::expand;
use super::super::failure::Failure;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::balance_transactions;

/// The product the sandbox pretends to be.
pub const DISPLAY_NAME: &str = "Paperlight (sandbox)";

pub const ROUTES: &[Route] = &[
    Route { method: "GET", path: "account", permission: "rak_account_read", params: &["expand[]"], run: Run::Read(account) },
    Route { method: "GET", path: "balance", permission: "rak_balance_read", params: &["expand[]"], run: Run::Read(balance) },
];

fn account(state: &State, call: &Call) -> Result<Value, Failure> {
    let account = json!({
        "id": state.account,
        "object": "account",
        "business_profile": {
            "annual_revenue": null,
            "estimated_worker_count": null,
            "mcc": "5734",
            "minority_owned_business_designation": null,
            "name": DISPLAY_NAME,
            "product_description": null,
            "specified_commercial_transactions_act_url": null,
            "support_address": null,
            "support_email": "support@example.com",
            "support_phone": null,
            "support_url": null,
            "url": "https://app.example.com"
        },
        "business_type": "company",
        "capabilities": { "card_payments": "active", "transfers": "active" },
        "charges_enabled": true,
        "controller": { "type": "account" },
        "country": "DE",
        "created": (state.population.born() - chrono::Duration::days(900)).timestamp(),
        "default_currency": "eur",
        "details_submitted": true,
        "email": "billing@example.com",
        "metadata": {},
        "payouts_enabled": true,
        "settings": {
            "bacs_debit_payments": { "display_name": null, "service_user_number": null },
            "branding": { "icon": null, "logo": null, "primary_color": null, "secondary_color": null },
            "card_issuing": { "tos_acceptance": { "date": null, "ip": null } },
            "card_payments": {
                "decline_on": { "avs_failure": false, "cvc_failure": false },
                "statement_descriptor_prefix": null,
                "statement_descriptor_prefix_kana": null,
                "statement_descriptor_prefix_kanji": null
            },
            "dashboard": { "display_name": DISPLAY_NAME, "timezone": "Europe/Berlin" },
            "payments": {
                "statement_descriptor": "PAPERLIGHT",
                "statement_descriptor_kana": null,
                "statement_descriptor_kanji": null,
                "statement_descriptor_prefix_kana": null,
                "statement_descriptor_prefix_kanji": null
            },
            "payouts": {
                "debit_negative_balances": true,
                "schedule": { "delay_days": 7, "interval": "daily" },
                "statement_descriptor": null
            },
            "sepa_debit_payments": {}
        },
        "type": "standard"
    });
    expand::one(state, call, account)
}

fn balance(state: &State, call: &Call) -> Result<Value, Failure> {
    // What the population's past left after its payouts, and what was made since.
    let mut sums = balance_transactions::sums(state, call.now);
    let euros = sums.entry("eur".to_string()).or_default();
    *euros = (euros.0 + 1_284_300, euros.1 + 219_100);
    let amounts = |part: fn(&(i64, i64)) -> i64| -> Value {
        let one = |(currency, sum)| json!({ "amount": part(sum), "currency": currency, "source_types": { "card": part(sum) } });
        sums.iter().map(one).collect()
    };
    let balance = json!({
        "object": "balance",
        "available": amounts(|sum| sum.0),
        "connect_reserved": [{ "amount": 0, "currency": "eur" }],
        "livemode": false,
        "pending": amounts(|sum| sum.1),
        "refund_and_dispute_prefunding": { "available": [], "pending": [] }
    });
    expand::one(state, call, balance)
}
