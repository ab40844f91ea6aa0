//! Idempotency keys: one key, one result, replayed for a day. Which requests may carry a key is the server's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::failure::Failure;

const KEPT_SECONDS: i64 = 86_400;

/// Results by idempotency key: there is one account and one mode, and keys are theirs, whichever API key brought them.
#[derive(Default)]
pub struct Idempotency(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    entries: HashMap<String, Entry>,
    /// Every key with the time of its first use, oldest first: what is over a day old stands in front.
    ages: VecDeque<(i64, String)>,
}

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
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.expire(now);
        let Kept { entries, ages } = &mut *kept;
        let Some(entry) = entries.get(name) else {
            entries.insert(name.to_string(), Entry { fingerprint: fingerprint.clone(), at: now, result: None });
            ages.push_back((now, name.to_string()));
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
        if let Some(entry) = self.0.lock().unwrap_or_else(PoisonError::into_inner).entries.get_mut(name) {
            entry.result = Some(result);
        }
    }

    /// Frees a key whose request did nothing; a finished one stays.
    pub fn release(&self, name: &str) {
        let entries = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner).entries;
        if entries.get(name).is_some_and(|e| e.result.is_none()) {
            entries.remove(name);
        }
    }
}

impl Kept {
    /// Looks at those whose day is over, and at no others.
    fn expire(&mut self, now: i64) {
        while let Some((_, name)) = self.ages.pop_front_if(|(at, _)| now - *at >= KEPT_SECONDS) {
            match self.entries.get(&name) {
                // Its first request still runs: it is looked at again in a day.
                Some(entry) if entry.result.is_none() => self.ages.push_back((now, name)),
                // Freed and used anew since then.
                Some(entry) if now - entry.at < KEPT_SECONDS => {}
                _ => {
                    self.entries.remove(&name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lasts_a_day_and_as_long_as_its_request_runs() {
        let keys = Idempotency::default();
        let begin = |name: &str, now: i64| keys.begin(name, &Fingerprint { path: "/v1/x".into(), params: String::new() }, now);
        let stored = || Stored { status: 200, body: String::new(), request: "req_1".into() };
        assert_eq!(begin("done", 0).ok(), Some(None));
        keys.finish("done", stored());
        assert_eq!(begin("runs", 1).ok(), Some(None));
        assert_eq!(begin("freed", 1).ok(), Some(None));
        keys.release("freed");
        assert_eq!(begin("freed", 50_000).ok(), Some(None));
        keys.finish("freed", stored());
        assert_eq!(begin("done", KEPT_SECONDS - 1).ok(), Some(Some(stored())));
        assert_eq!(begin("done", KEPT_SECONDS + 1).ok(), Some(None), "another day, another request");
        assert!(begin("runs", KEPT_SECONDS + 1).is_err());
        assert_eq!(begin("freed", KEPT_SECONDS + 1).ok(), Some(Some(stored())), "of its second use");
        assert_eq!(begin("freed", KEPT_SECONDS + 50_000).ok(), Some(None));
        keys.finish("runs", stored());
        assert_eq!(begin("runs", 2 * KEPT_SECONDS + 1).ok(), Some(None));
    }
}
