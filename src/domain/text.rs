//! Text from outside made harmless: control characters, escape sequences and bidirectional marks never reach a screen.

/// The text with every character that could move a cursor, colour a screen or reorder a line replaced by `�`;
/// tabs and line breaks become one space each. Applied once, at the edge where the text comes in.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            c if is_hostile(c) => '\u{FFFD}',
            c => c,
        })
        .collect()
}

/// The text with a capital letter in front.
#[must_use]
pub fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// A sentence from a clause: capital letter, full stop.
#[must_use]
pub fn sentence(clause: &str) -> String {
    let stop = if clause.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{stop}", capitalised(clause))
}

/// Control characters, bidirectional controls, zero-width and interlinear marks, tags, private use.
#[must_use]
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E000}'..='\u{F8FF}' | '\u{E0000}'..='\u{E0FFF}' | '\u{F0000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_bidi_marks_are_neutralised() {
        let hostile = "\x1b[31m\x1b]52;c;aGk=\x07 \u{202E}evil\u{2066}\u{9b}2J";
        let shown = clean(hostile);
        assert!(!shown.chars().any(is_hostile), "{shown:?}");
        assert!(shown.contains("[31m"), "the readable part stays: {shown:?}");
    }

    #[test]
    fn a_clause_becomes_a_sentence_once() {
        assert_eq!(sentence("élan is gone"), "Élan is gone.");
        assert_eq!(sentence("Is it?"), "Is it?");
        assert_eq!(capitalised(""), "");
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["Zoë Müller", "李小龍", "O’Neill, Ltd.", "Ångström & søn"] {
            assert_eq!(clean(name), name);
        }
    }
}
