//! Idempotency keys: one key, one result, replayed for a day. Which requests may carry a key is the server's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::failure::Failure;

const KEPT_SECONDS: i64 = 86_400;

/// Results by API key and idempotency key.
#[derive(Default)]
pub struct Idempotency(Mutex<HashMap<Name, Entry>>);

pub type Name = (String, String);

/// What a request gave, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub status: u16,
    pub body: String,
    /// The id of the request that did the work.
    pub request: String,
}

struct Entry {
    /// Method, path and parameters of the first use.
    fingerprint: String,
    /// Unix seconds.
    at: i64,
    /// `None` while the first request runs.
    result: Option<Stored>,
}

impl Idempotency {
    /// `Ok(None)`: the key is ours now, and must be settled by [`Self::finish`] or [`Self::release`].
    pub fn begin(&self, name: &Name, fingerprint: &str, now: i64) -> Result<Option<Stored>, Failure> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, e| e.result.is_none() || now - e.at < KEPT_SECONDS);
        let Some(entry) = entries.get(name) else {
            entries.insert(name.clone(), Entry { fingerprint: fingerprint.to_string(), at: now, result: None });
            return Ok(None);
        };
        if entry.fingerprint != fingerprint {
            let mut failure = Failure::new(
                400,
                format!(
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{}' if you meant to execute a different request.",
                    name.1
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
                    format!("There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): {}. Please try again later.", name.1),
                )
                .code("idempotency_key_in_use");
                failure.kind = "idempotency_error";
                failure.should_retry = Some(true);
                Err(failure)
            }
        }
    }

    pub fn finish(&self, name: &Name, result: Stored) {
        if let Some(entry) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            entry.result = Some(result);
        }
    }

    /// Frees a key whose request did nothing; a finished one stays.
    pub fn release(&self, name: &Name) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.get(name).is_some_and(|e| e.result.is_none()) {
            entries.remove(name);
        }
    }
}
