//! Rate and concurrency limits, by the machine's time, and objects held by somebody else. Off until they are set.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::route::{Call, Route, Run};

/// What is allowed; `None` is no limit. Each allowance may be used up at once and then grows back evenly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub account_per_s: Option<u32>,
    /// Method and path, whatever the id in it.
    pub endpoint_per_s: Option<u32>,
    /// All searches together.
    pub search_per_s: Option<u32>,
    pub account_at_once: Option<u32>,
    pub endpoint_at_once: Option<u32>,
    /// Ids of objects that another process holds: a write that names one is refused with `lock_timeout`.
    pub locked: Vec<String>,
}

/// Keeps the limits.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<Inner>);

/// A request's place among those being served; given back when dropped.
pub struct Slot {
    limiter: Arc<Limiter>,
    name: Name,
}

type Name = (&'static str, &'static str);

#[derive(Debug, Default)]
struct Inner {
    limits: Limits,
    account: Bucket,
    search: Bucket,
    endpoints: HashMap<Name, Endpoint>,
    flying: u32,
}

#[derive(Debug, Default)]
struct Endpoint {
    bucket: Bucket,
    flying: u32,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Tokens, and when they were counted; `None`: full.
    level: Option<(f64, Instant)>,
}

impl Limits {
    /// A sandbox account's.
    pub fn test_mode() -> Self {
        Self { account_per_s: Some(25), ..Self::live_mode() }
    }

    /// A live account's.
    pub fn live_mode() -> Self {
        Self { account_per_s: Some(100), endpoint_per_s: Some(25), search_per_s: Some(20), ..Self::default() }
    }
}

impl Limiter {
    pub fn get(&self) -> Limits {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).limits.clone()
    }

    pub fn set(&self, limits: Limits) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.account = Bucket::default();
        inner.search = Bucket::default();
        inner.endpoints.values_mut().for_each(|e| e.bucket = Bucket::default());
        inner.limits = limits;
    }

    /// Lets a request in, or refuses it as too much; a refused one uses nothing up.
    pub fn admit(self: &Arc<Self>, route: &Route, now: Instant) -> Result<Slot, Failure> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { limits, account, search, endpoints, flying } = &mut *guard;
        let name = (route.method, route.path);
        let endpoint = endpoints.entry(name).or_default();
        let over = |limit: Option<u32>, flying: u32| limit.is_some_and(|limit| flying >= limit);
        let searches = route.path.ends_with("/search");
        let reason = if over(limits.account_at_once, *flying) {
            "global-concurrency"
        } else if over(limits.endpoint_at_once, endpoint.flying) {
            "endpoint-concurrency"
        } else if !account.has(limits.account_per_s, now) {
            "global-rate"
        } else if !endpoint.bucket.has(limits.endpoint_per_s, now) || searches && !search.has(limits.search_per_s, now) {
            "endpoint-rate"
        } else {
            account.take();
            endpoint.bucket.take();
            if searches {
                search.take();
            }
            *flying += 1;
            endpoint.flying += 1;
            return Ok(Slot { limiter: self.clone(), name });
        };
        Err(Failure::rate_limited(reason))
    }

    /// Refuses a write that names an object somebody else holds.
    pub fn check_locks(&self, route: &Route, call: &Call) -> Result<(), Failure> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |id: &String| call.id == *id || call.params.mentions(id);
        match matches!(route.run, Run::Write(_)) && inner.limits.locked.iter().any(held) {
            true => Err(Failure::lock_timeout()),
            false => Ok(()),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut inner = self.limiter.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.flying = inner.flying.saturating_sub(1);
        if let Some(endpoint) = inner.endpoints.get_mut(&self.name) {
            endpoint.flying = endpoint.flying.saturating_sub(1);
        }
    }
}

impl Bucket {
    /// Whether a token is there, after those that grew back.
    fn has(&mut self, per_s: Option<u32>, now: Instant) -> bool {
        let Some(per_s) = per_s.map(f64::from) else {
            self.level = None;
            return true;
        };
        let tokens = match self.level {
            None => per_s,
            Some((tokens, at)) => (tokens + now.saturating_duration_since(at).as_secs_f64() * per_s).min(per_s),
        };
        self.level = Some((tokens, now));
        tokens >= 1.0
    }

    fn take(&mut self) {
        if let Some((tokens, _)) = &mut self.level {
            *tokens -= 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sandbox::stripe::resources;

    fn route(method: &str, path: &str) -> &'static Route {
        resources::routes().find(|r| (r.method, r.path) == (method, path)).expect("served")
    }

    #[test]
    fn allowances_grow_back_and_refusals_are_free() {
        let limiter = Arc::new(Limiter::default());
        limiter.set(Limits { account_per_s: Some(30), endpoint_per_s: Some(10), search_per_s: Some(4), ..Limits::default() });
        let (now, events, search) = (Instant::now(), route("GET", "events"), route("GET", "customers/search"));
        let admitted = |route, now| (0..100).filter(|_| limiter.admit(route, now).is_ok()).count();
        assert_eq!(admitted(events, now), 10);
        assert_eq!(limiter.admit(events, now).err().and_then(|f| f.rate_limited), Some("endpoint-rate"));
        assert_eq!(admitted(search, now), 4, "and fourteen of the account's");
        assert_eq!(admitted(route("GET", "prices"), now) + admitted(route("GET", "products"), now), 16);
        assert_eq!(limiter.admit(route("GET", "balance"), now).err().and_then(|f| f.rate_limited), Some("global-rate"));
        assert_eq!(admitted(events, now + Duration::from_millis(500)), 5);
    }

    #[test]
    fn places_are_given_back() {
        let limiter = Arc::new(Limiter::default());
        limiter.set(Limits { endpoint_at_once: Some(1), account_at_once: Some(2), ..Limits::default() });
        let (now, events, prices) = (Instant::now(), route("GET", "events"), route("GET", "prices"));
        let held = limiter.admit(events, now).expect("the first");
        assert_eq!(limiter.admit(events, now).err().and_then(|f| f.rate_limited), Some("endpoint-concurrency"));
        let other = limiter.admit(prices, now);
        assert_eq!(limiter.admit(route("GET", "balance"), now).err().and_then(|f| f.rate_limited), Some("global-concurrency"));
        drop((held, other));
        assert!(limiter.admit(events, now).is_ok());
    }
}
