//! The record's form: one JSON object a line, bound to the one before by its hash. Bytes in, bytes out; files are [`super::file`]'s.

use crate::domain::At;
use crate::protocol::record::Entry;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The version of the form. Readers refuse what is newer.
pub const VERSION: u32 = 1;

/// A record without its own hash, in the order in which it is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub v: u32,
    /// Which chain this is: one operator may keep several, on several machines.
    pub chain: Uuid,
    /// From 1, without gaps.
    pub seq: u64,
    pub at: At,
    pub operator: String,
    pub environment: String,
    /// Keyed hash of whom it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    pub entry: Entry,
    /// Salted hash of what stands beside the chain.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload: Option<String>,
    /// The hash of the record before; of the first, [`genesis`].
    pub prev: String,
}

/// A record as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub body: Body,
    pub hash: String,
}

/// What a line can be wrong in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("it does not end in a hash")]
    NoHash,
    #[error("its content does not match its hash")]
    Altered,
    #[error("it is not a record: {0}")]
    NotARecord(String),
    #[error("it has form version {0}, and this program reads up to {VERSION}")]
    Newer(u32),
}

/// What the first record of a chain holds in place of a predecessor's hash.
#[must_use]
pub fn genesis(chain: Uuid) -> String {
    hex::encode(Sha256::digest(format!("nightdesk journal v{VERSION} {chain}")))
}

/// The line for this body, without its line break, and its hash. The hash is that of the body's own bytes, so that no
/// re-serialisation can break the chain.
#[must_use]
pub fn render(body: &Body) -> (String, String) {
    let mut text = serde_json::to_string(body).expect("invariant: a record is plain data");
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    text.pop();
    text.push_str(",\"hash\":\"");
    text.push_str(&hash);
    text.push_str("\"}");
    (text, hash)
}

/// # Errors
/// [`Malformed`]: what is wrong with it.
pub fn parse(line: &str) -> Result<Line, Malformed> {
    let tail = line.len().checked_sub(TAIL).filter(|at| line.is_char_boundary(*at)).ok_or(Malformed::NoHash)?;
    let (body, rest) = line.split_at(tail);
    let hash = rest.strip_prefix(",\"hash\":\"").and_then(|r| r.strip_suffix("\"}")).ok_or(Malformed::NoHash)?;
    let body = format!("{body}}}");
    if hex::encode(Sha256::digest(body.as_bytes())) != hash {
        return Err(Malformed::Altered);
    }
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    let not_a_record = |e: serde_json::Error| Malformed::NotARecord(e.to_string());
    let version = serde_json::from_str::<Versioned>(&body).map_err(not_a_record)?.v;
    if version > VERSION {
        return Err(Malformed::Newer(version));
    }
    Ok(Line { body: serde_json::from_str(&body).map_err(not_a_record)?, hash: hash.to_string() })
}

/// `,"hash":"` and 64 digits and `"}`.
const TAIL: usize = 9 + 64 + 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Body {
        let chain = Uuid::from_u128(7);
        let at = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let entry = Entry::RunOpened { run: Uuid::from_u128(9), procedure: "tier-update".into() };
        let (operator, environment) = ("ada".into(), "prod".into());
        Body { v: 1, chain, seq: 1, at, operator, environment, subject: None, entry, payload: None, prev: genesis(chain) }
    }

    #[test]
    fn a_line_reads_back_and_names_any_change() {
        let (line, hash) = render(&body());
        assert_eq!(parse(&line), Ok(Line { body: body(), hash }));
        assert_eq!(parse(&line.replace("ada", "eve")), Err(Malformed::Altered));
        assert_eq!(parse(&line[..line.len() - 3]), Err(Malformed::NoHash));
        assert_eq!(parse("{}"), Err(Malformed::NoHash));
    }

    #[test]
    fn a_newer_form_is_refused_by_name() {
        let (line, _) = render(&Body { v: 2, ..body() });
        assert_eq!(parse(&line), Err(Malformed::Newer(2)));
    }
}
