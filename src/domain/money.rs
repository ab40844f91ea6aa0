//! Money as Stripe counts it: an integer of the currency's smallest unit.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount in minor units (`4900` EUR is `EUR 49.00`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    pub minor: i64,
    /// ISO 4217, upper case. Unknown codes are kept and shown with two decimals.
    pub currency: String,
}

/// Stripe's zero-decimal currencies; the three-decimal ones stand in [`THREE`].
const ZERO: &[&str] = &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"];
const THREE: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];

impl Money {
    #[must_use]
    pub fn new(minor: i64, currency: &str) -> Self {
        Self { minor, currency: crate::domain::text::clean(currency).to_ascii_uppercase() }
    }

    /// How many digits stand behind the point.
    #[must_use]
    pub fn decimals(&self) -> usize {
        let code = self.currency.as_str();
        if ZERO.contains(&code) {
            0
        } else if THREE.contains(&code) {
            3
        } else {
            2
        }
    }

    /// The figure without its currency, as an operator types it: `49.00`.
    #[must_use]
    pub fn figure(&self) -> String {
        let digits = self.decimals();
        let sign = if self.minor < 0 { "-" } else { "" };
        let unit = 10u64.pow(u32::try_from(digits).expect("invariant: at most three decimals"));
        let (whole, part) = (self.minor.unsigned_abs() / unit, self.minor.unsigned_abs() % unit);
        let grouped = group(whole);
        if digits == 0 { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{part:0digits$}") }
    }
}

/// Thousands apart by commas: `1,204`.
#[must_use]
pub fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.figure())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_the_currency() {
        assert_eq!(Money::new(4900, "eur").to_string(), "EUR 49.00");
        assert_eq!(Money::new(199_000, "eur").to_string(), "EUR 1,990.00");
        assert_eq!(Money::new(500, "jpy").to_string(), "JPY 500");
        assert_eq!(Money::new(-1_005, "KWD").to_string(), "KWD -1.005");
    }
}
