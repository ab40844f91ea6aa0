//! Words in whatever form people type them: endings dropped, synonyms made one, words that say nothing left out.

/// Words that say nothing about which procedure is meant.
const EMPTY: &[&str] = &[
    "a", "an", "and", "are", "but", "by", "do", "does", "for", "has", "have", "in", "is", "it", "my", "of", "on", "the", "to", "was",
    "when", "with",
];

/// Words that mean the same tonight; the first of each row stands for all. Stems, not words.
const SAME: &[&[&str]] = &[
    &["pay", "paid", "payment", "charg", "bought", "purchas"],
    &["user", "customer", "subscriber", "client", "account", "profil", "somebody", "someone"],
    &["webhook", "hook", "event", "deliver", "delivery"],
    &["fail", "failur", "broken", "broke", "lost", "miss", "drop"],
    &["free", "lock", "downgrad", "unpaid"],
    &["tier", "plan", "level"],
    &["updat", "chang", "repair", "fix", "correct", "sync", "resync"],
    &["databas", "db", "row"],
    &["unlink", "placehold", "temp"],
    &["not", "never", "no", "isn", "wasn"],
];

/// The words of a text as stems, in order.
pub fn stems(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty() && !EMPTY.contains(w))
        .map(|w| {
            let stem = stem(w);
            SAME.iter().find(|row| row.contains(&stem.as_str())).map_or(stem, |row| row[0].to_string())
        })
        .collect()
}

/// Whether every word typed is one of these stems or begins one. Nothing typed but empty words finds nothing.
pub fn all_found(typed: &str, stems_of_text: &[String]) -> bool {
    let typed = stems(typed);
    !typed.is_empty()
        && typed.iter().all(|t| stems_of_text.iter().any(|s| s.starts_with(t.as_str()) || (s.len() > 3 && t.starts_with(s.as_str()))))
}

/// The word without its ending: `fails`, `failed` and `failing` are one.
fn stem(word: &str) -> String {
    for ending in ["ings", "ing", "ed", "es", "s", "e"] {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 3
            && !stem.ends_with('s')
        {
            return stem.to_string();
        }
    }
    word.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_synonyms_are_one() {
        for (a, b) in [("fails", "failed"), ("failing", "failure"), ("webhooks", "webhook"), ("updated", "update"), ("paid", "payments")] {
            assert_eq!(stems(a), stems(b), "{a} {b}");
        }
        assert_ne!(stems("refund"), stems("fund"));
        assert_eq!(stems("When the webhook fails"), ["webhook", "fail"]);
    }

    #[test]
    fn all_words_have_to_be_there() {
        let text = stems("user paid but tier not updated in database");
        for typed in ["user has paid", "customers paid", "payment not updated", "tier not updating", "paid, not in the db"] {
            assert!(all_found(typed, &text), "{typed}");
        }
        for typed in ["refund", "user refunded", "the", ""] {
            assert!(!all_found(typed, &text), "{typed}");
        }
    }
}
