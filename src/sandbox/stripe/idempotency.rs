//! Idempotency keys: one key, one result, replayed for a day. Which requests may carry a key is the server's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::failure::Failure;

const KEPT_SECONDS: i64 = 86_400;

/// Results by idempotency key: there is one account and one mode, and keys are theirs, whichever API key brought them.
#[derive(Default)]
pub struct Idempotency(Mutex<HashMap<String, Entry>>);

/// What a request asked for: an idempotency key stands for this and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub path: String,
    pub params: String,
}

/// What a request gave, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub status: u16,
    pub body: String,
    /// The id of the request that did the work.
    pub request: String,
}

struct Entry {
    /// Of the first use.
    fingerprint: Fingerprint,
    /// Unix seconds.
    at: i64,
    /// `None` while the first request runs.
    result: Option<Stored>,
}

impl Idempotency {
    /// `Ok(None)`: the key is ours now, and must be settled by [`Self::finish`] or [`Self::release`].
    pub fn begin(&self, name: &str, fingerprint: &Fingerprint, now: i64) -> Result<Option<Stored>, Failure> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, e| e.result.is_none() || now - e.at < KEPT_SECONDS);
        let Some(entry) = entries.get(name) else {
            entries.insert(name.to_string(), Entry { fingerprint: fingerprint.clone(), at: now, result: None });
            return Ok(None);
        };
        if entry.fingerprint != *fingerprint {
            let used = if entry.fingerprint.path == fingerprint.path {
                "with the same parameters they were first used with".to_string()
            } else {
                format!("for the same endpoint they were first used for ('{}')", entry.fingerprint.path)
            };
            let mut failure = Failure::new(
                400,
                format!(
                    "Keys for idempotent requests can only be used {used}. Try using a key other than '{name}' if you meant to execute a different request."
                ),
            );
            failure.kind = "idempotency_error";
            return Err(failure);
        }
        match &entry.result {
            Some(stored) => Ok(Some(stored.clone())),
            None => {
                let mut failure = Failure::new(
                    409,
                    format!("There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): {name}. Please try again later."),
                )
                .code("idempotency_key_in_use");
                failure.kind = "idempotency_error";
                failure.should_retry = Some(true);
                Err(failure)
            }
        }
    }

    pub fn finish(&self, name: &str, result: Stored) {
        if let Some(entry) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            entry.result = Some(result);
        }
    }

    /// Frees a key whose request did nothing; a finished one stays.
    pub fn release(&self, name: &str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.get(name).is_some_and(|e| e.result.is_none()) {
            entries.remove(name);
        }
    }
}
