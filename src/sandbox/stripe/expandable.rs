//! Which properties can be expanded, by kind of object. Expanding them is `expand.rs`.

/// What stands at an expandable path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The id of an object of one of these kinds; of none: the simulator has no such objects, and the property is always null.
    Id(&'static [&'static str]),
    /// A list of objects of that kind.
    List(&'static str),
    /// An object of that kind, always shown whole.
    Whole(&'static str),
    /// Something that is no object and is shown only on request.
    Extra,
}

use Part::{Extra, Id, List, Whole};

type Parts = &'static [(&'static str, Part)];

/// Value of `object`, then dotted paths within it; `[]`s are left out of the paths, as they are in requests.
const TABLE: &[(&str, Parts)] = &[
    (
        "account",
        &[
            ("external_accounts", Id(&[])),
            ("settings.branding.icon", Id(&[])),
            ("settings.branding.logo", Id(&[])),
            ("settings.invoices.default_account_tax_ids", Id(&[])),
        ],
    ),
    ("balance_transaction", &[("source", Id(&["charge", "dispute", "refund"]))]),
    (
        "charge",
        &[
            ("application", Id(&[])),
            ("application_fee", Id(&[])),
            ("balance_transaction", Id(&["balance_transaction"])),
            ("customer", Id(&["customer"])),
            ("failure_balance_transaction", Id(&["balance_transaction"])),
            ("on_behalf_of", Id(&["account"])),
            ("outcome.rule", Id(&[])),
            ("payment_intent", Id(&["payment_intent"])),
            ("payment_method_details.card.mandate", Id(&[])),
            ("refunds", List("refund")),
            ("review", Id(&[])),
            ("source", Id(&[])),
            ("source_transfer", Id(&[])),
            ("transfer", Id(&[])),
            ("transfer_data.destination", Id(&["account"])),
        ],
    ),
    (
        "checkout.session",
        &[
            ("automatic_tax.liability.account", Id(&["account"])),
            ("customer", Id(&["customer"])),
            ("discounts.coupon", Id(&[])),
            ("discounts.promotion_code", Id(&[])),
            ("invoice", Id(&["invoice"])),
            ("invoice_creation.invoice_data.account_tax_ids", Id(&[])),
            ("invoice_creation.invoice_data.issuer.account", Id(&["account"])),
            ("line_items", List("item")),
            ("payment_intent", Id(&["payment_intent"])),
            ("payment_link", Id(&[])),
            ("setup_intent", Id(&[])),
            ("shipping_cost.shipping_rate", Id(&[])),
            ("shipping_options.shipping_rate", Id(&[])),
            ("subscription", Id(&["subscription"])),
        ],
    ),
    (
        "customer",
        &[
            ("default_source", Id(&[])),
            ("invoice_settings.default_payment_method", Id(&["payment_method"])),
            ("sources", List("")),
            ("subscriptions", List("subscription")),
            ("tax_ids", List("")),
            ("test_clock", Id(&[])),
        ],
    ),
    (
        "dispute",
        &[
            ("balance_transactions", Whole("balance_transaction")),
            ("charge", Id(&["charge"])),
            ("evidence.cancellation_policy", Id(&[])),
            ("evidence.customer_communication", Id(&[])),
            ("evidence.customer_signature", Id(&[])),
            ("evidence.duplicate_charge_documentation", Id(&[])),
            ("evidence.receipt", Id(&[])),
            ("evidence.refund_policy", Id(&[])),
            ("evidence.service_documentation", Id(&[])),
            ("evidence.shipping_documentation", Id(&[])),
            ("evidence.uncategorized_file", Id(&[])),
            ("payment_intent", Id(&["payment_intent"])),
        ],
    ),
    (
        "invoice",
        &[
            ("account_tax_ids", Id(&[])),
            ("application", Id(&[])),
            ("automatic_tax.liability.account", Id(&["account"])),
            ("customer", Id(&["customer"])),
            ("default_payment_method", Id(&["payment_method"])),
            ("default_source", Id(&[])),
            ("discounts", Id(&[])),
            ("from_invoice.invoice", Id(&["invoice"])),
            ("issuer.account", Id(&["account"])),
            ("last_finalization_error.payment_intent", Whole("payment_intent")),
            ("last_finalization_error.payment_method", Whole("payment_method")),
            ("latest_revision", Id(&["invoice"])),
            ("lines", List("line_item")),
            ("on_behalf_of", Id(&["account"])),
            ("parent.subscription_details.subscription", Id(&["subscription"])),
            ("payments", List("invoice_payment")),
            ("shipping_cost.shipping_rate", Id(&[])),
            ("test_clock", Id(&[])),
            ("total_discount_amounts.discount", Id(&[])),
            ("total_pretax_credit_amounts.credit_balance_transaction", Id(&[])),
            ("total_pretax_credit_amounts.discount", Id(&[])),
        ],
    ),
    (
        "invoice_payment",
        &[
            ("invoice", Id(&["invoice"])),
            ("payment.charge", Id(&["charge"])),
            ("payment.payment_intent", Id(&["payment_intent"])),
            ("payment.payment_record", Id(&[])),
        ],
    ),
    (
        "invoiceitem",
        &[
            ("customer", Id(&["customer"])),
            ("discounts", Id(&[])),
            ("invoice", Id(&["invoice"])),
            ("pricing.price_details.price", Id(&["price"])),
            ("proration_details.discount_amounts.discount", Id(&[])),
            ("test_clock", Id(&[])),
        ],
    ),
    ("item", &[("price", Whole("price"))]),
    (
        "line_item",
        &[
            ("discount_amounts.discount", Id(&[])),
            ("discounts", Id(&[])),
            ("pretax_credit_amounts.credit_balance_transaction", Id(&[])),
            ("pretax_credit_amounts.discount", Id(&[])),
            ("pricing.price_details.price", Id(&["price"])),
            ("subscription", Id(&["subscription"])),
        ],
    ),
    (
        "payment_intent",
        &[
            ("amount_details.line_items", List("")),
            ("application", Id(&[])),
            ("customer", Id(&["customer"])),
            ("last_payment_error.payment_method", Whole("payment_method")),
            ("latest_charge", Id(&["charge"])),
            ("on_behalf_of", Id(&["account"])),
            ("payment_method", Id(&["payment_method"])),
            ("payment_record", Id(&[])),
            ("review", Id(&[])),
            ("source", Id(&[])),
            ("transfer_data.destination", Id(&["account"])),
        ],
    ),
    ("payment_method", &[("card.generated_from.setup_attempt", Id(&[])), ("customer", Id(&["customer"]))]),
    ("plan", &[("product", Id(&["product"])), ("tiers", Extra)]),
    ("price", &[("currency_options", Extra), ("product", Id(&["product"])), ("tiers", Extra)]),
    ("privacy.redaction_job", &[("validation_errors", List("privacy.redaction_job_validation_error"))]),
    ("product", &[("default_price", Id(&["price"])), ("tax_code", Id(&[]))]),
    (
        "refund",
        &[
            ("balance_transaction", Id(&["balance_transaction"])),
            ("charge", Id(&["charge"])),
            ("customer", Id(&["customer"])),
            ("failure_balance_transaction", Id(&["balance_transaction"])),
            ("payment_intent", Id(&["payment_intent"])),
            ("payment_method", Id(&["payment_method"])),
            ("source_transfer_reversal", Id(&[])),
            ("transfer_reversal", Id(&[])),
        ],
    ),
    (
        "subscription",
        &[
            ("application", Id(&[])),
            ("automatic_tax.liability.account", Id(&["account"])),
            ("billing_schedules.applies_to.price", Id(&["price"])),
            ("cancellation_details.feedback_option", Id(&[])),
            ("customer", Id(&["customer"])),
            ("default_payment_method", Id(&["payment_method"])),
            ("default_source", Id(&[])),
            ("discounts", Id(&[])),
            ("invoice_settings.account_tax_ids", Id(&[])),
            ("invoice_settings.issuer.account", Id(&["account"])),
            ("items", List("subscription_item")),
            ("latest_invoice", Id(&["invoice"])),
            ("on_behalf_of", Id(&["account"])),
            ("pending_setup_intent", Id(&[])),
            ("pending_update.discounts", Id(&[])),
            ("pending_update.subscription_items", Whole("subscription_item")),
            ("schedule", Id(&[])),
            ("test_clock", Id(&[])),
            ("transfer_data.destination", Id(&["account"])),
        ],
    ),
    ("subscription_item", &[("discounts", Id(&[])), ("plan", Whole("plan")), ("price", Whole("price"))]),
];

/// What the elements of a list at that URL are, by its last segment.
const LISTED: [(&str, &str); 21] = [
    ("balance_transactions", "balance_transaction"),
    ("charges", "charge"),
    ("customers", "customer"),
    ("disputes", "dispute"),
    ("events", "event"),
    ("invoice_payments", "invoice_payment"),
    ("invoiceitems", "invoiceitem"),
    ("invoices", "invoice"),
    ("line_items", "item"),
    ("lines", "line_item"),
    ("payment_intents", "payment_intent"),
    ("payment_methods", "payment_method"),
    ("prices", "price"),
    ("products", "product"),
    ("redaction_jobs", "privacy.redaction_job"),
    ("refunds", "refund"),
    ("sessions", "checkout.session"),
    ("subscription_items", "subscription_item"),
    ("subscriptions", "subscription"),
    ("validation_errors", "privacy.redaction_job_validation_error"),
    ("webhook_endpoints", "webhook_endpoint"),
];

/// Whether a path can be expanded in an object of that kind.
pub fn allows(kind: &str, path: &[&str]) -> bool {
    let parts = TABLE.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, parts)| parts);
    parts.iter().any(|(place, part)| {
        let place: Vec<&str> = place.split('.').collect();
        let Some(rest) = path.strip_prefix(&place[..]) else { return false };
        match (part, rest) {
            (_, []) => true,
            // What is never there cannot be looked into either.
            (Id(kinds), rest) => kinds.iter().any(|kind| allows(kind, rest)),
            (List(_), ["data"]) => true,
            (List(kind), ["data", rest @ ..]) => allows(kind, rest),
            (Whole(kind), rest) => allows(kind, rest),
            _ => false,
        }
    })
}

/// The kind of a list's elements, also where it has none.
pub fn listed(url: &str) -> &'static str {
    let place = url.trim_end_matches("/search").rsplit('/').next().unwrap_or_default();
    LISTED.iter().find(|(name, _)| *name == place).map_or("", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_followed_from_object_to_object() {
        for (kind, path, allowed) in [
            ("subscription", "latest_invoice.payments", true),
            ("subscription", "latest_invoice.payments.data.payment", false),
            ("invoice", "payments.data.payment.payment_intent", true),
            ("invoice", "payments.data.payment.payment_intent.customer", true),
            ("invoice", "parent", false),
            ("invoice", "parent.subscription_details.subscription", true),
            ("subscription", "items.data.price.product", true),
            ("subscription", "status", false),
            ("charge", "payment_method", false),
            ("customer", "invoice_settings", false),
            ("customer", "default_source.customer", false),
            ("event", "data.object", false),
            ("nothing", "customer", false),
        ] {
            assert_eq!(allows(kind, &path.split('.').collect::<Vec<_>>()), allowed, "{kind} {path}");
        }
        assert_eq!((listed("/v1/checkout/sessions/cs_1/line_items"), listed("/v1/customers/search")), ("item", "customer"));
    }
}
