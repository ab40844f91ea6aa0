//! The documented test cards: what each is called, what it looks like, and how payments with it end. It makes no payment itself.

use serde_json::Value;

use super::failure::Failure;
use crate::sandbox::population::ids::{digits, mix};

/// How the bank behind a card answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Every payment succeeds.
    Pays,
    /// Every payment succeeds, and its money is available at once.
    PaysAtOnce,
    /// Cannot be attached to a customer, and every payment is declined.
    Declines(Decline),
    /// Can be attached to a customer; every payment is declined.
    DeclinesLater(Decline),
    /// The customer has to authenticate a payment; off session it is declined, where that is asked for too.
    Authenticates {
        /// Whether payments off session need it as well.
        off_session: bool,
        /// What becomes of the payment once it is authenticated; `None`: it succeeds.
        then: Option<Decline>,
    },
    /// The payment succeeds and is disputed.
    Disputed {
        /// Stripe's word.
        reason: &'static str,
        /// An inquiry first: no money leaves.
        inquiry: bool,
    },
    /// The payment succeeds; a refund begins as `pending` and succeeds later.
    RefundPends,
    /// The payment succeeds; a refund begins as `succeeded` and fails later.
    RefundFails,
}

/// Why a payment is declined, in Stripe's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decline {
    pub code: &'static str,
    pub decline_code: Option<&'static str>,
    pub message: &'static str,
}

/// One of the documented cards.
#[derive(Debug, PartialEq, Eq)]
pub struct Card {
    /// What follows `pm_card_` and `tok_`.
    pub name: &'static str,
    pub number: &'static str,
    pub brand: &'static str,
    pub funding: &'static str,
    pub country: &'static str,
    pub behaviour: Behaviour,
}

impl Decline {
    pub const GENERIC: Self = Self::coded("generic_decline", "Your card was declined.");
    pub const INSUFFICIENT_FUNDS: Self = Self::coded("insufficient_funds", "Your card has insufficient funds.");
    pub const AUTHENTICATION_REQUIRED: Self = Self {
        code: "authentication_required",
        decline_code: Some("authentication_required"),
        message: "Your card was declined. This transaction requires authentication.",
    };
    pub const AUTHENTICATION_FAILED: Self = Self::plain(
        "payment_intent_authentication_failure",
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
    );
    /// A number that is nobody's test card.
    pub const LIVE_CARD: Self = Self::coded(
        "test_mode_live_card",
        "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test cards, visit: https://stripe.com/docs/testing.",
    );
    pub const INCORRECT_NUMBER: Self = Self::plain("incorrect_number", "Your card number is incorrect.");
    pub const INVALID_MONTH: Self = Self::plain("invalid_expiry_month", "Your card's expiration month is invalid.");
    pub const INVALID_YEAR: Self = Self::plain("invalid_expiry_year", "Your card's expiration year is invalid.");

    /// The refusal as the API answers it: 402, `card_error`.
    pub fn failure(self) -> Failure {
        let mut failure = Failure::new(402, self.message).code(self.code);
        failure.kind = "card_error";
        if let Some(code) = self.decline_code {
            failure = failure.with("decline_code", code);
        }
        match self.code {
            "incorrect_number" => failure.param("number"),
            "incorrect_cvc" => failure.param("cvc"),
            "invalid_expiry_month" | "expired_card" => failure.param("exp_month"),
            "invalid_expiry_year" => failure.param("exp_year"),
            _ => failure,
        }
    }

    const fn coded(decline_code: &'static str, message: &'static str) -> Self {
        Self { code: "card_declined", decline_code: Some(decline_code), message }
    }

    const fn plain(code: &'static str, message: &'static str) -> Self {
        Self { code, decline_code: None, message }
    }
}

impl Card {
    const fn visa(name: &'static str, number: &'static str, behaviour: Behaviour) -> Self {
        Self { name, number, brand: "visa", funding: "credit", country: "US", behaviour }
    }

    const fn paying(name: &'static str, number: &'static str, brand: &'static str, funding: &'static str, country: &'static str) -> Self {
        Self { name, number, brand, funding, country, behaviour: Behaviour::Pays }
    }

    pub fn last4(&self) -> &'static str {
        &self.number[self.number.len() - 4..]
    }

    /// The same for every payment method with this card's number: by it the card is known again.
    pub fn fingerprint(&self) -> String {
        digits(self.number.bytes().fold(0xF1A6, |hash, byte| mix(hash, u64::from(byte))), 16)
    }

    /// By the id of a shared test payment method (`pm_card_visa`) or token (`tok_visa`).
    pub fn named(id: &str) -> Option<&'static Card> {
        let name = id.strip_prefix("pm_card_").or_else(|| id.strip_prefix("tok_"))?;
        // The declined ones are documented with their brand, and understood without it.
        CARDS.iter().find(|c| c.name == name || c.name.strip_prefix("visa_") == Some(name))
    }

    pub fn numbered(number: &str) -> Option<&'static Card> {
        CARDS.iter().find(|c| c.number == number)
    }

    /// The card of a payment method's JSON.
    pub fn of(payment_method: &Value) -> Option<&'static Card> {
        let print = payment_method["card"]["fingerprint"].as_str()?;
        CARDS.iter().find(|c| c.fingerprint() == print)
    }
}

use Behaviour::{Authenticates, Declines, DeclinesLater, Disputed, Pays, PaysAtOnce, RefundFails, RefundPends};

/// What people pay with where nothing else is said.
pub const USUAL: &Card = &CARDS[0];
/// What those pay with whose bank has begun to refuse.
pub const FAILING: &Card = &CARDS[1];

const CARDS: &[Card] = &[
    Card::visa("visa", "4242424242424242", Pays),
    Card::visa("chargeCustomerFail", "4000000000000341", DeclinesLater(Decline::GENERIC)),
    Card::paying("visa_debit", "4000056655665556", "visa", "debit", "US"),
    Card::paying("mastercard", "5555555555554444", "mastercard", "credit", "US"),
    Card::paying("mastercard_debit", "5200828282828210", "mastercard", "debit", "US"),
    Card::paying("mastercard_prepaid", "5105105105105100", "mastercard", "prepaid", "US"),
    Card::paying("amex", "378282246310005", "amex", "credit", "US"),
    Card::paying("discover", "6011111111111117", "discover", "credit", "US"),
    Card::paying("diners", "3056930009020004", "diners", "credit", "US"),
    Card::paying("jcb", "3566002020360505", "jcb", "credit", "JP"),
    Card::paying("unionpay", "6200000000000005", "unionpay", "credit", "CN"),
    Card::paying("us", "4242424242424242", "visa", "credit", "US"),
    Card::paying("at", "4000000400000008", "visa", "credit", "AT"),
    Card::paying("be", "4000000560000004", "visa", "credit", "BE"),
    Card::paying("ch", "4000007560000009", "visa", "credit", "CH"),
    Card::paying("de", "4000002760000016", "visa", "credit", "DE"),
    Card::paying("es", "4000007240000007", "visa", "credit", "ES"),
    Card::paying("fr", "4000002500000003", "visa", "credit", "FR"),
    Card::paying("gb", "4000008260000000", "visa", "credit", "GB"),
    Card::paying("ie", "4000003720000005", "visa", "credit", "IE"),
    Card::paying("it", "4000003800000008", "visa", "credit", "IT"),
    Card::paying("nl", "4000005280000002", "visa", "credit", "NL"),
    Card::visa("visa_chargeDeclined", "4000000000000002", Declines(Decline::GENERIC)),
    Card::visa("visa_chargeDeclinedInsufficientFunds", "4000000000009995", Declines(Decline::INSUFFICIENT_FUNDS)),
    Card::visa("visa_chargeDeclinedLostCard", "4000000000009987", Declines(Decline::coded("lost_card", "Your card was declined."))),
    Card::visa("visa_chargeDeclinedStolenCard", "4000000000009979", Declines(Decline::coded("stolen_card", "Your card was declined."))),
    Card::visa(
        "visa_chargeDeclinedVelocityLimitExceeded",
        "4000000000006975",
        Declines(Decline::coded(
            "card_velocity_exceeded",
            "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        )),
    ),
    Card::visa("visa_chargeDeclinedFraudulent", "4100000000000019", Declines(Decline::coded("fraudulent", "Your card was declined."))),
    Card::visa("radarBlock", "4100000000000019", Declines(Decline::coded("fraudulent", "Your card was declined."))),
    Card::visa("chargeDeclinedExpiredCard", "4000000000000069", Declines(Decline::plain("expired_card", "Your card has expired."))),
    Card::visa(
        "chargeDeclinedIncorrectCvc",
        "4000000000000127",
        Declines(Decline::plain("incorrect_cvc", "Your card's security code is incorrect.")),
    ),
    Card::visa(
        "chargeDeclinedProcessingError",
        "4000000000000119",
        Declines(Decline::plain("processing_error", "An error occurred while processing your card. Try again in a little bit.")),
    ),
    Card::visa("authenticationRequired", "4000002760003184", Authenticates { off_session: true, then: None }),
    // Authenticated once while it is set up, it is good for payments off session.
    Card::visa("authenticationRequiredOnSetup", "4000002500003155", Authenticates { off_session: false, then: None }),
    Card::visa("authenticationRequiredSetupForOffSession", "4000003800000446", Authenticates { off_session: false, then: None }),
    Card::visa(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        Authenticates { off_session: true, then: Some(Decline::INSUFFICIENT_FUNDS) },
    ),
    Card::visa("threeDSecure2Required", "4000000000003220", Authenticates { off_session: true, then: None }),
    Card::visa("threeDSecureRequiredChargeDeclined", "4000008400001629", Authenticates { off_session: true, then: Some(Decline::GENERIC) }),
    Card::visa("threeDSecureOptional", "4000000000003055", Pays),
    Card::visa("createDispute", "4000000000000259", Disputed { reason: "fraudulent", inquiry: false }),
    Card::visa("createDisputeProductNotReceived", "4000000000002685", Disputed { reason: "product_not_received", inquiry: false }),
    Card::visa("createDisputeInquiry", "4000000000001976", Disputed { reason: "general", inquiry: true }),
    Card::visa("pendingRefund", "4000000000007726", RefundPends),
    Card::visa("refundFail", "4000000000005126", RefundFails),
    Card::visa("bypassPending", "4000000000000077", PaysAtOnce),
    Card::visa("bypassPendingInternational", "4000003720000278", PaysAtOnce),
    Card::visa("riskLevelElevated", "4000000000009235", Pays),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_known_by_name_token_number_and_fingerprint() {
        for id in ["pm_card_visa_chargeDeclined", "pm_card_chargeDeclined", "tok_chargeDeclined"] {
            assert_eq!(Card::named(id).map(|c| c.number), Some("4000000000000002"), "{id}");
        }
        assert_eq!(Card::named("pm_card_nothing"), None);
        for card in CARDS {
            let made = serde_json::json!({ "card": { "fingerprint": card.fingerprint() } });
            assert_eq!(Card::of(&made).map(|c| (c.number, c.behaviour)), Some((card.number, card.behaviour)), "{}", card.name);
        }
        assert_eq!((USUAL.name, FAILING.name), ("visa", "chargeCustomerFail"));
    }
}
