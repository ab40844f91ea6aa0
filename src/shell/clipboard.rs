//! Text to the operator's clipboard through the terminal: OSC 52, raw or through a multiplexer.

/// What stands between us and the terminal that owns the clipboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    Raw,
    Tmux,
    Screen,
}

/// GNU screen drops longer pass-through strings; in bytes.
const SCREEN_CHUNK: usize = 512;

impl Wrap {
    #[must_use]
    pub fn of_environment() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        if is_set("TMUX") {
            Wrap::Tmux
        } else if is_set("STY") {
            Wrap::Screen
        } else {
            Wrap::Raw
        }
    }
}

/// The bytes that put this text on the clipboard. No terminal says whether it did.
#[must_use]
pub fn sequence(text: &str, wrap: Wrap) -> String {
    let raw = format!("\x1b]52;c;{}\x07", base64(text.as_bytes()));
    match wrap {
        Wrap::Raw => raw,
        // tmux takes the first where `set-clipboard` is on, and hands on the second where `allow-passthrough` is.
        Wrap::Tmux => format!("{raw}\x1bPtmux;{}\x1b\\", raw.replace('\x1b', "\x1b\x1b")),
        Wrap::Screen => {
            let chunks: Vec<&str> = raw.as_bytes().chunks(SCREEN_CHUNK).map(|c| std::str::from_utf8(c).unwrap_or_default()).collect();
            chunks.iter().map(|chunk| format!("\x1bP{chunk}\x1b\\")).collect()
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_and_wrapped() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(sequence("foo", Wrap::Raw), "\x1b]52;c;Zm9v\x07");
        assert!(sequence("foo", Wrap::Tmux).ends_with("\x1bPtmux;\x1b\x1b]52;c;Zm9v\x07\x1b\\"));
        let long = sequence(&"x".repeat(1_000), Wrap::Screen);
        assert!(long.split("\x1b\\").all(|part| part.len() <= SCREEN_CHUNK + 2), "no part is longer than screen hands on");
    }
}
