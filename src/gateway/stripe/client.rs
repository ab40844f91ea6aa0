//! Our own Stripe client: one request in, status, request id and raw bytes out; retries of reads, the rate budget, time-outs. Knows no object.

use super::fault;
use crate::config::Config;
use crate::config::secret::Credential;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::gateway::http;
use bytes::Bytes;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use stripe_client_core::{CustomizedStripeRequest, RequestBuilder, StripeClient, StripeClientErr, StripeMethod, StripeRequest, VERSION};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

/// Who is waiting for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody at the keyboard: at most six at once, at no other rate.
    Interactive,
    /// A scan or a poll: so many a second as the configuration allows.
    Background,
}

/// An answer that came, good or bad.
pub struct Answer {
    pub status: u16,
    /// `req_…`: what Stripe's support asks for first.
    pub request_id: Option<String>,
    /// The server's own word on whether trying again makes sense.
    should_retry: Option<bool>,
    retry_after: Option<Duration>,
    pub body: Bytes,
}

/// The client for one key.
pub struct Client {
    base: String,
    key: Credential,
    interactive: Semaphore,
    budget: Mutex<Budget>,
    resends: Mutex<Budget>,
    /// How far Stripe's clock is ahead of ours, in seconds; [`UNKNOWN`] before its first answer.
    ahead: AtomicI64,
    rest: std::sync::Mutex<Rest>,
}

/// A client as one of its users sees it.
#[derive(Clone, Copy)]
pub struct Lane<'a> {
    pub client: &'a Client,
    pub priority: Priority,
}

/// So many requests begin within so long, and no more: counted as they begin, so that no second sees more than were allowed.
struct Budget {
    most: usize,
    within: Duration,
    /// When the last of them began, or will; oldest first.
    begun: VecDeque<Instant>,
}

/// A second, and what a request may be late by on its way: what is counted at the other end counts too.
const SECOND: Duration = Duration::from_millis(1_020);
const UNKNOWN: i64 = i64::MIN;
/// How long the background leaves Stripe alone after it said 429 to anybody here.
#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    /// How often it has said so since a background request was last answered.
    refusals: u32,
}

/// One attempt's time, its body included.
const ATTEMPT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 3;
const AT_ONCE: usize = 6;
/// Longer than this nobody is kept waiting for another attempt, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The background is kept waiting longer, but not for ever.
const LONGEST_REST: Duration = Duration::from_secs(30);
const BACKGROUND_ATTEMPTS: u32 = 6;

/// Who sends a request.
struct Whom<'a> {
    key: &'a Credential,
    idempotency: Option<&'a str>,
}

impl Client {
    /// # Errors
    /// [`FaultKind::NotSetUp`] without a key.
    pub fn of(config: &Config) -> Result<Self, Fault> {
        let missing = || format!("no Stripe key is configured: set stripe_key{}", config.or_variable("STRIPE_SECRET_KEY"));
        Ok(Self {
            base: config.stripe_base.clone(),
            key: config.stripe_key.clone().ok_or_else(|| Fault::new(Source::Stripe, FaultKind::NotSetUp, missing()))?,
            interactive: Semaphore::new(AT_ONCE),
            // A page or two at once is what a screen asks for.
            budget: Mutex::new(Budget::new(config.stripe_background_per_s, SECOND)),
            // One by one: each has an effect in the application, which bears them better so.
            resends: Mutex::new(Budget::new(1, SECOND / config.stripe_resends_per_s.max(1))),
            ahead: AtomicI64::new(UNKNOWN),
            rest: std::sync::Mutex::default(),
        })
    }

    /// How far Stripe's clock is ahead of ours, in whole seconds; `None` before its first answer.
    pub fn ahead(&self) -> Option<i64> {
        Some(self.ahead.load(Ordering::Relaxed)).filter(|ahead| *ahead != UNKNOWN)
    }

    /// Sends a write under its idempotency key, at the rate of resends. Repeated only where it was turned away for its rate, which
    /// is certain to have done nothing; and then under the same key.
    ///
    /// # Errors
    /// No answer came; whether nobody took the request, so that it did nothing.
    pub async fn write(&self, request: &RequestBuilder, key: Option<&Credential>, idempotency: &str) -> Result<Answer, (Fault, bool)> {
        let client = http::client(Source::Stripe, &self.base).map_err(|fault| (fault, true))?;
        let as_whom = Whom { key: key.unwrap_or(&self.key), idempotency: Some(idempotency) };
        let mut tried = 0;
        loop {
            {
                // Held while waiting: those behind wait their turn.
                let mut budget = self.resends.lock().await;
                let wait = budget.take(Instant::now());
                tokio::time::sleep(wait).await;
            }
            let result = self.attempt(client, request, &as_whom).await;
            tried += 1;
            if let Ok(answer) = &result {
                // What is refused to a resend is as much a reason for the background to rest.
                self.heed(answer, Priority::Interactive, Instant::now());
            }
            match result {
                Ok(answer) if answer.status == 429 && tried < ATTEMPTS => {
                    tokio::time::sleep(answer.pause(Duration::from_millis(150 << tried))).await;
                }
                Ok(answer) => return Ok(answer),
                Err(error) => return Err((http::fault(Source::Stripe, &error), error.is_connect())),
            }
        }
    }

    /// Whether nobody on the way reads what is sent.
    pub fn is_encrypted(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// The mode that the key's own prefix claims; `None` for a key of no known kind.
    pub fn claims_livemode(&self) -> Option<bool> {
        self.key.claims_livemode()
    }

    async fn pass(&self, priority: Priority) -> Option<tokio::sync::SemaphorePermit<'_>> {
        match priority {
            Priority::Interactive => Some(self.interactive.acquire().await.expect("invariant: the semaphore is never closed")),
            Priority::Background => {
                // Held while waiting: those behind wait their turn.
                let mut budget = self.budget.lock().await;
                while let Some(until) = self.resting(Instant::now()) {
                    tokio::time::sleep_until(until).await;
                    // Nothing was saved up meanwhile: it goes on as slowly as it began.
                    budget.spread(Instant::now());
                }
                let wait = budget.take(Instant::now());
                tokio::time::sleep(wait).await;
                None
            }
        }
    }

    /// Until when the background rests; `None`: it does not.
    fn resting(&self, now: Instant) -> Option<Instant> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).until.filter(|until| *until > now)
    }

    /// Takes note of how an attempt was answered.
    fn heed(&self, answer: &Answer, priority: Priority, now: Instant) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.status == 429 {
            rest.refused(answer.retry_after, now);
        } else if priority == Priority::Background {
            rest.refusals = 0;
        }
    }

    async fn attempt(&self, client: &reqwest::Client, request: &RequestBuilder, whom: &Whom<'_>) -> Result<Answer, reqwest::Error> {
        let url = format!("{}/v1{}", self.base, request.path);
        let url = request.query.as_ref().filter(|q| !q.is_empty()).map_or(url.clone(), |q| format!("{url}?{q}"));
        let builder = match request.method {
            StripeMethod::Get => client.get(url),
            StripeMethod::Post => client.post(url),
            StripeMethod::Delete => client.delete(url),
        };
        let mut builder = builder.timeout(ATTEMPT).bearer_auth(whom.key.expose()).header("Stripe-Version", VERSION.as_str());
        if let Some(key) = whom.idempotency {
            builder = builder.header("Idempotency-Key", key);
        }
        if let Some(body) = &request.body {
            builder = builder.header("Content-Type", "application/x-www-form-urlencoded").body(body.clone());
        }
        let response = builder.send().await?;
        if let Some(date) = http::date(&response) {
            self.ahead.store((date - chrono::Utc::now()).num_seconds(), Ordering::Relaxed);
        }
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
        let (status, request_id) = (response.status().as_u16(), header("request-id"));
        let should_retry = header("stripe-should-retry").and_then(|v| v.parse().ok());
        let retry_after = header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs);
        let body = http::body(response).await?;
        Ok(Answer { status, request_id, should_retry, retry_after, body })
    }
}

impl Budget {
    fn new(most: u32, within: Duration) -> Self {
        Self { most: most.max(1) as usize, within, begun: VecDeque::new() }
    }

    /// Lets one more begin; how long it has to wait for that.
    fn take(&mut self, now: Instant) -> Duration {
        while self.begun.front().is_some_and(|then| *then + self.within <= now) {
            self.begun.pop_front();
        }
        let at = self.begun.len().checked_sub(self.most).map_or(now, |before| self.begun[before] + self.within);
        self.begun.push_back(at);
        at.saturating_duration_since(now)
    }

    /// As if they had begun evenly until now: what comes next does not come all at once.
    fn spread(&mut self, now: Instant) {
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        self.begun = (0..most).rev().filter_map(|nth| now.checked_sub(self.within / most * nth)).collect();
    }
}

impl Rest {
    /// As long as the server asks for, and longer each time that it has to say so again.
    fn refused(&mut self, retry_after: Option<Duration>, now: Instant) {
        let own = Duration::from_secs(1 << self.refusals.min(5));
        self.refusals = self.refusals.saturating_add(1);
        let until = now + retry_after.unwrap_or(own).max(own).min(LONGEST_REST);
        self.until = self.until.max(Some(until));
    }
}

impl Lane<'_> {
    /// Sends the request and gives back whatever was answered. Reads are tried three times where trying again can help.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn send(&self, request: &RequestBuilder) -> Result<Answer, Fault> {
        let client = http::client(Source::Stripe, &self.client.base)?;
        let may_repeat = matches!(request.method, StripeMethod::Get);
        let mut tried = 0;
        loop {
            let pass = self.client.pass(self.priority).await;
            let result = self.client.attempt(client, request, &Whom { key: &self.client.key, idempotency: None }).await;
            drop(pass);
            tried += 1;
            let pause = Duration::from_millis(150 << tried);
            if let Ok(answer) = &result {
                self.client.heed(answer, self.priority, Instant::now());
            }
            // Nobody waits for the background: what it is refused for its rate it asks again at its own.
            let patient = self.priority == Priority::Background && result.as_ref().is_ok_and(|a| a.status == 429);
            let again = may_repeat && tried < if patient { BACKGROUND_ATTEMPTS } else { ATTEMPTS };
            match result {
                Ok(answer) if again && answer.worth_repeating() => tokio::time::sleep(answer.pause(pause)).await,
                Ok(answer) => return Ok(answer),
                // A silent server will be as silent the second time; a connection that broke may have been an idle one.
                Err(error) if again && !error.is_timeout() && !error.is_connect() => tokio::time::sleep(pause).await,
                Err(error) => return Err(http::fault(Source::Stripe, &error)),
            }
        }
    }

    /// The answer to one of the library's requests, as JSON.
    ///
    /// # Errors
    /// The fault of the way, or the one that Stripe's error names.
    pub async fn json(&self, request: &impl StripeRequest) -> Result<Value, Fault> {
        self.raw(&request.build()).await
    }

    /// As [`Lane::json`], for what the library has no request for.
    ///
    /// # Errors
    /// As there.
    pub async fn raw(&self, request: &RequestBuilder) -> Result<Value, Fault> {
        let answer = self.send(request).await?;
        let body = serde_json::from_slice::<Value>(&answer.body);
        match (answer.status, body) {
            (200..=299, Ok(value)) => Ok(value),
            (_, body) => Err(fault::of(answer.status, answer.request_id.as_deref(), body.ok().as_ref())),
        }
    }

    /// As [`Lane::json`]; `None` where Stripe says that there is no such thing.
    ///
    /// # Errors
    /// As there.
    pub async fn maybe(&self, request: &impl StripeRequest) -> Result<Option<Value>, Fault> {
        self.maybe_raw(&request.build()).await
    }

    /// # Errors
    /// As [`Lane::json`].
    pub async fn maybe_raw(&self, request: &RequestBuilder) -> Result<Option<Value>, Fault> {
        match self.raw(request).await {
            Ok(value) => Ok(Some(value)),
            Err(fault) if fault.kind == FaultKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

impl Answer {
    fn worth_repeating(&self) -> bool {
        self.should_retry.unwrap_or(matches!(self.status, 409 | 424 | 429 | 500..=504))
    }

    /// How long to wait before the next attempt: what the server asks for, within reason, and never less than `least`.
    fn pause(&self, least: Duration) -> Duration {
        self.retry_after.unwrap_or(least).clamp(least, LONGEST_PAUSE)
    }
}

/// What the library's typed requests fail with.
#[derive(Debug)]
pub struct Failed(pub Fault);

impl StripeClientErr for Failed {
    fn deserialize_err(msg: impl std::fmt::Display) -> Self {
        Failed(Fault::new(
            Source::Stripe,
            FaultKind::Schema,
            format!("Stripe's answer has another shape than its API version promises: {msg}"),
        ))
    }
}

impl StripeClient for Lane<'_> {
    type Err = Failed;

    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, Failed> {
        let (request, _) = request.into_pieces();
        let answer = self.send(&request).await.map_err(Failed)?;
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let body = serde_json::from_slice::<Value>(&answer.body).ok();
        Err(Failed(fault::of(answer.status, answer.request_id.as_deref(), body.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_than_the_budget() {
        let start = Instant::now();
        let mut budget = Budget::new(5, SECOND);
        let begun: Vec<Duration> = (0..15).map(|_| budget.take(start)).collect();
        assert_eq!(begun[..5], [Duration::ZERO; 5], "a page or two at once is what a screen asks for");
        for (nth, at) in begun.iter().enumerate().skip(5) {
            assert!(*at >= begun[nth - 5] + Duration::from_secs(1), "{begun:?}");
        }
        let later = start + Duration::from_secs(60);
        assert_eq!((0..6).filter(|_| budget.take(later) == Duration::ZERO).count(), 5, "nothing is saved up");
    }

    #[test]
    fn after_a_rest_it_goes_on_one_by_one() {
        let now = Instant::now() + Duration::from_secs(60);
        let mut budget = Budget::new(5, SECOND);
        budget.spread(now);
        let waits: Vec<Duration> = (0..5).map(|_| budget.take(now)).collect();
        assert!(waits.windows(2).all(|w| w[1] - w[0] >= Duration::from_millis(200)), "{waits:?}");
        let mut resends = Budget::new(1, SECOND / 2);
        assert_eq!([resends.take(now), resends.take(now)], [Duration::ZERO, SECOND / 2]);
    }

    #[test]
    fn the_background_rests_longer_each_time_it_is_refused() {
        let (mut rest, now) = (Rest::default(), Instant::now());
        rest.refused(None, now);
        assert_eq!(rest.until, Some(now + Duration::from_secs(1)));
        rest.refused(Some(Duration::from_secs(7)), now);
        assert_eq!(rest.until, Some(now + Duration::from_secs(7)));
        rest.refused(None, now);
        assert_eq!(rest.until, Some(now + Duration::from_secs(7)), "an earlier wish still holds");
        rest.refused(Some(Duration::from_secs(3_600)), now);
        assert_eq!(rest.until, Some(now + LONGEST_REST));
    }

    #[test]
    fn a_server_s_wish_to_be_left_alone_is_heeded_within_reason() {
        let least = Duration::from_millis(300);
        let pause = |seconds: Option<u64>| {
            let retry_after = seconds.map(Duration::from_secs);
            Answer { status: 429, request_id: None, should_retry: None, retry_after, body: Bytes::new() }.pause(least)
        };
        assert_eq!(pause(None), least);
        assert_eq!(pause(Some(0)), least);
        assert_eq!(pause(Some(1)), Duration::from_secs(1));
        assert_eq!(pause(Some(3_600)), LONGEST_PAUSE);
    }
}
