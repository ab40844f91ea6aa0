//! Personal data and ids, shortened for the screen: enough to recognise, not enough to leak.

use serde_json::Value;

/// Keys whose values are somebody's own data, wherever they stand.
const PERSONAL: &[&str] = &[
    "email",
    "customer_email",
    "receipt_email",
    "name",
    "customer_name",
    "phone",
    "customer_phone",
    "address",
    "customer_address",
    "shipping",
    "customer_shipping",
    "line1",
    "line2",
    "postal_code",
    "city",
    "ip",
    "ip_address",
    "last4",
    "fingerprint",
    "tax_id",
    "customer_tax_ids",
];
/// Keys under which a plain name is a product's, a plan's or a field's, and nobody's.
const THINGS: &[&str] = &["product", "plan", "price", "coupon", "custom_fields"];

/// `j•••@a•••.com`: the first letter of each part and the top-level domain stay.
#[must_use]
pub fn email(address: &str) -> String {
    let Some((local, host)) = address.split_once('@') else { return name(address) };
    let (domain, tld) = host.rsplit_once('.').map_or((host, String::new()), |(d, t)| (d, format!(".{t}")));
    format!("{}@{}{tld}", name(local), name(domain))
}

/// The text with every address in it masked; what is masked already stays.
#[must_use]
pub fn addresses(text: &str) -> String {
    let masks = |word: &str| word.contains('@') && !word.contains('•');
    text.split(' ').map(|word| if masks(word) { email(word) } else { word.to_string() }).collect::<Vec<_>>().join(" ")
}

/// `J•••`: the first character stays.
#[must_use]
pub fn name(text: &str) -> String {
    text.chars().next().map_or_else(String::new, |c| format!("{c}•••"))
}

/// An id with its middle cut: prefix, one character, `…`, the last two. Short ids stay whole.
#[must_use]
pub fn id(text: &str) -> String {
    let head = text.rfind('_').map_or(4, |i| i + 2).min(text.len());
    let chars: Vec<char> = text.chars().collect();
    if !text.is_ascii() || chars.len() <= head + 4 {
        return text.to_string();
    }
    format!("{}…{}", &text[..head], &text[text.len() - 2..])
}

/// The value with everything personal masked, however deep it stands: what may be shown, copied and handed on.
#[must_use]
pub fn json(value: &Value) -> Value {
    mask_in(value, "", "")
}

fn mask_in(value: &Value, key: &str, above: &str) -> Value {
    let personal = PERSONAL.contains(&key) && !(key == "name" && THINGS.contains(&above));
    match value {
        Value::Object(map) if personal => Value::Object(map.iter().map(|(k, v)| (k.clone(), all_masked(v))).collect()),
        Value::Array(list) if personal => Value::Array(list.iter().map(all_masked).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), mask_in(v, k, key))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(|v| mask_in(v, key, above)).collect()),
        Value::String(text) if text.contains('@') => Value::String(addresses(text)),
        Value::String(text) if !text.is_empty() && (personal || (above == "metadata" && may_be_name(key, text))) => {
            Value::String(name(text))
        }
        other => other.clone(),
    }
}

/// Under keys of others' choosing: what is called one, or is several words.
fn may_be_name(key: &str, text: &str) -> bool {
    text.contains(' ') || key.to_lowercase().ends_with("name")
}

fn all_masked(value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::String(text) => Value::String(name(text)),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), all_masked(v))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(all_masked).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_masked_is_still_recognisable() {
        assert_eq!(email("jane.doe@acme.example.com"), "j•••@a•••.com");
        assert_eq!(email("nonsense"), "n•••");
        assert_eq!(addresses("tell joe@acme.com, or j•••@a•••.com"), "tell j•••@a•••.com, or j•••@a•••.com");
        assert_eq!(id("cus_QxAbCdEf98d"), "cus_Q…8d");
        assert_eq!(id("7f3a5b7c-0000-4000-8000-000000000011"), "7f3a…11");
        assert_eq!(id("cus_temp_ab12"), "cus_temp_ab12");
    }

    #[test]
    fn what_is_personal_is_masked_at_any_depth() {
        let event = json!({
            "data": { "object": {
                "customer_email": "jane.doe@acme.com", "customer_name": "Jane Doe", "description": "for jane.doe@acme.com only",
                "address": { "line1": "1 Long Street", "city": "Basel" }, "plan": { "name": "Pro" }, "status": "active",
                "nested": [{ "shipping": { "name": "Jane Doe", "lines": ["Jane", "Doe"] }, "metadata": { "contact": "jane@acme.com", "buyer": "Jane Doe", "firstName": "Jane", "tier": "Pro" } }]
            } }
        });
        let shown = super::json(&event).to_string();
        for personal in ["jane", "Jane", "Doe", "Long", "Basel"] {
            assert!(!shown.contains(personal), "{personal}: {shown}");
        }
        for kept in ["Pro", "active", "j•••@a•••.com"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
    }
}
