//! A statement's text without its values: what stands in literals may be personal or secret, and is never shown. No parser of SQL.

use crate::domain::text::is_hostile;

/// The statement with strings and numbers replaced by `?`, comments cut out, white space drawn together, at most `limit` characters.
/// Text that the server has cut in the middle of a literal is hidden to its end.
#[must_use]
pub fn hide_literals(text: &str, limit: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Out { text: String::new(), left: limit, gap: false };
    let mut i = 0;
    while i < chars.len() && !out.is_full() {
        let rest = &chars[i..];
        i += match rest {
            ['-', '-', ..] => out.gap_over(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
            ['/', '*', ..] => out.gap_over(comment(rest)),
            ['\'', ..] => out.hidden(quoted(rest, 0, false)),
            ['e' | 'E', '\'', ..] if starts_word(&chars, i) => out.hidden(quoted(rest, 1, true)),
            ['b' | 'B' | 'x' | 'X' | 'n' | 'N', '\'', ..] if starts_word(&chars, i) => out.hidden(quoted(rest, 1, false)),
            ['u' | 'U', '&', '\'', ..] if starts_word(&chars, i) => out.hidden(quoted(rest, 2, false)),
            ['"', ..] => {
                let end = closing(rest, '"');
                out.shown(&rest[..end])
            }
            ['$', ..] => match tag(rest) {
                Some(tag) => out.hidden(dollar(rest, tag)),
                // A parameter.
                None => out.shown(&rest[..1 + rest[1..].iter().take_while(|c| c.is_ascii_digit()).count()]),
            },
            [digit, ..] if digit.is_ascii_digit() => out.hidden(number(rest)),
            ['.', digit, ..] if digit.is_ascii_digit() && starts_word(&chars, i) => out.hidden(number(rest)),
            [c, ..] if is_word(*c) => out.shown(&rest[..rest.iter().take_while(|c| is_word(**c) || **c == '$').count()]),
            [c, ..] if c.is_whitespace() => out.gap_over(1),
            _ => out.shown(&rest[..1]),
        };
    }
    if i < chars.len() && out.is_full() {
        out.text.push('…');
    }
    out.text
}

struct Out {
    text: String,
    /// Characters that may still come.
    left: usize,
    /// White space is due before whatever comes next.
    gap: bool,
}

impl Out {
    fn is_full(&self) -> bool {
        self.left == 0
    }

    fn shown(&mut self, chars: &[char]) -> usize {
        if std::mem::take(&mut self.gap) && !self.text.is_empty() {
            self.put(' ');
        }
        for c in chars {
            self.put(if is_hostile(*c) { '\u{FFFD}' } else { *c });
        }
        chars.len()
    }

    fn hidden(&mut self, length: usize) -> usize {
        self.shown(&['?']);
        length
    }

    fn gap_over(&mut self, length: usize) -> usize {
        self.gap = true;
        length
    }

    fn put(&mut self, c: char) {
        if self.left > 0 {
            self.left -= 1;
            self.text.push(c);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether no word goes on here: `type'…'` has a prefix of its own only at its beginning.
fn starts_word(chars: &[char], i: usize) -> bool {
    i == 0 || !(is_word(chars[i - 1]) || chars[i - 1] == '$')
}

/// How long a comment is, comments within it counted; one that never ends goes to the end.
fn comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        match &rest[i..] {
            ['/', '*', ..] => {
                depth += 1;
                i += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    rest.len()
}

/// How long a string is whose quote stands at `prefix`.
fn quoted(rest: &[char], prefix: usize, escapes: bool) -> usize {
    let mut i = prefix + 1;
    while i < rest.len() {
        match &rest[i..] {
            ['\\', _, ..] if escapes => i += 2,
            ['\'', '\'', ..] => i += 2,
            ['\'', ..] => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

fn closing(rest: &[char], quote: char) -> usize {
    rest.iter().skip(1).position(|c| *c == quote).map_or(rest.len(), |at| at + 2)
}

/// `$$` or `$name$` at the beginning.
fn tag(rest: &[char]) -> Option<&[char]> {
    let end = 1 + rest[1..].iter().position(|c| *c == '$')?;
    let name = &rest[1..end];
    let is_name = name.iter().all(|c| is_word(*c)) && !name.first().is_some_and(char::is_ascii_digit);
    is_name.then_some(&rest[..=end])
}

fn dollar(rest: &[char], tag: &[char]) -> usize {
    let body = &rest[tag.len()..];
    body.windows(tag.len()).position(|w| w == tag).map_or(rest.len(), |at| at + 2 * tag.len())
}

fn number(rest: &[char]) -> usize {
    let mut i = 0;
    while let Some(c) = rest.get(i) {
        let exponent = matches!(c, '+' | '-') && matches!(rest[i - 1], 'e' | 'E') && rest.get(i + 1).is_some_and(char::is_ascii_digit);
        if !(is_word(*c) || *c == '.' || (i > 0 && exponent)) {
            break;
        }
        i += 1;
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(text: &str) -> String {
        hide_literals(text, 400)
    }

    #[test]
    fn values_are_hidden_and_names_stay() {
        let cases = [
            ("SELECT * FROM profiles WHERE email = 'jane@acme.example'", "SELECT * FROM profiles WHERE email = ?"),
            ("SELECT 'it''s', E'it\\'s', b'01', U&'\\0041', N'x', x'ff'", "SELECT ?, ?, ?, ?, ?, ?"),
            ("SELECT 1, 2.5, .5, 1e-3, 0xFF, 1_000 FROM t1 WHERE a2=$1", "SELECT ?, ?, ?, ?, ?, ? FROM t1 WHERE a2=$1"),
            ("DO $$ secret $$; DO $b$ a $x$ b $b$ LANGUAGE sql", "DO ?; DO ? LANGUAGE sql"),
            ("SELECT /* jane /* inner */ doe */ 1 -- jane\n FROM t", "SELECT ? FROM t"),
            ("ALTER ROLE app PASSWORD 'hunter2'", "ALTER ROLE app PASSWORD ?"),
            ("SELECT \"it's 1\" FROM \"t\"\"x\"", "SELECT \"it's 1\" FROM \"t\"\"x\""),
            ("SELECT date'2026-01-01'", "SELECT date?"),
            ("SELECT -5", "SELECT -?"),
            ("  SELECT\n\t1  ", "SELECT ?"),
        ];
        for (text, expected) in cases {
            assert_eq!(hide(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_server_cut_shows_nothing_either() {
        for text in ["SELECT 'jane@ac", "SELECT E'jane\\", "SELECT $q$jane", "SELECT 1 /* jane", "SELECT 1 -- jane", "SELECT 12345"] {
            let hidden = hide(text);
            assert!(!hidden.contains("jane") && !hidden.contains("123"), "{text}: {hidden}");
        }
        assert_eq!(hide("SELECT $"), "SELECT $");
        assert_eq!(hide("SELECT \"a"), "SELECT \"a");
    }

    #[test]
    fn it_is_bounded_and_harmless() {
        assert_eq!(hide_literals("SELECT abc FROM def", 10), "SELECT abc…");
        assert_eq!(hide_literals("SELECT abc", 10), "SELECT abc");
        assert!(!hide("SELECT \u{202E}\x1b[2J x").chars().any(is_hostile));
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in r#"[ -~\n$'"/*éE]{0,80}"#) {
            let hidden = hide_literals(&text, 40);
            proptest::prop_assert!(hidden.chars().count() <= 41);
            // However the text is cut, what stands in a string is not shown.
            let secret = format!("{}'jane doe", hidden.replace(['\'', '"', '$', '/', '-'], " "));
            proptest::prop_assert!(!hide(&secret).contains("jane"));
        }
    }
}
