//! Errors in Stripe's words and shape. It decides no status of its own: whoever refuses names one.

use serde_json::{Map, Value, json};

/// One refusal, as the API words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub status: u16,
    pub kind: &'static str,
    pub code: Option<String>,
    pub param: Option<String>,
    pub message: String,
    /// The `Stripe-Should-Retry` header; absent where Stripe leaves the choice to the client.
    pub should_retry: Option<bool>,
    /// The `Stripe-Rate-Limited-Reason` header.
    pub rate_limited: Option<&'static str>,
    /// What else the error says: `decline_code`, `payment_intent`, …
    pub more: Option<Box<Map<String, Value>>>,
}

impl Failure {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        let should_retry = (400..=404).contains(&status).then_some(false);
        Self {
            status,
            kind: "invalid_request_error",
            code: None,
            param: None,
            message: message.into(),
            should_retry,
            rate_limited: None,
            more: None,
        }
    }

    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.code = Some(code.to_string());
        self
    }

    #[must_use]
    pub fn param(mut self, param: &str) -> Self {
        self.param = Some(param.to_string());
        self
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.get_or_insert_default().insert(name.to_string(), value.into());
        self
    }

    /// No such object, named in the URL (404).
    pub fn missing(noun: &str, id: &str) -> Self {
        Self::new(404, format!("No such {noun}: '{id}'")).code("resource_missing").param("id")
    }

    /// No such object, named by a parameter (400).
    pub fn missing_in(param: &str, noun: &str, id: &str) -> Self {
        Self::new(400, format!("No such {noun}: '{id}'")).code("resource_missing").param(param)
    }

    pub fn empty_parameter(name: &str) -> Self {
        let message = format!(
            "You passed an empty string for '{name}'. We assume empty values are an attempt to unset a field; however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
        );
        Self::new(400, message).code("parameter_invalid_empty").param(name)
    }

    /// Something went wrong on Stripe's side.
    pub fn internal() -> Self {
        let mut failure = Self::new(500, "Sorry! There was an error while talking to one of our backends. Support has been notified.");
        failure.kind = "api_error";
        failure
    }

    pub fn missing_parameter(name: &str) -> Self {
        Self::new(400, format!("Missing required param: {name}.")).code("parameter_missing").param(name)
    }

    /// Too many requests, of the kind the header names.
    pub fn rate_limited(reason: &'static str) -> Self {
        let mut failure =
            Self::new(429, "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.")
                .code("rate_limit");
        failure.rate_limited = Some(reason);
        failure
    }

    pub fn lock_timeout() -> Self {
        Self::new(429, "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. If you see this error intermittently, retry the request. If you see this error frequently and are making multiple concurrent requests to a single object, make your requests serially or at a lower rate. For more details, see https://stripe.com/docs/rate-limits#object-lock-timeouts.")
            .code("lock_timeout")
    }

    /// Whether it is the parameters themselves that were refused, before anything was attempted with them.
    pub fn is_validation(&self) -> bool {
        self.status == 400 && self.code.as_deref().is_none_or(|code| code.starts_with("parameter_"))
    }

    pub fn unknown_parameter(name: &str) -> Self {
        Self::new(400, format!("Received unknown parameter: {name}")).code("parameter_unknown").param(name)
    }

    pub fn invalid_integer(name: &str, message: impl Into<String>) -> Self {
        Self::new(400, message).code("parameter_invalid_integer").param(name)
    }

    pub fn body(&self, request: &str, account: &str) -> Value {
        let mut error = self.more.as_deref().cloned().unwrap_or_default();
        if let Some(code) = &self.code {
            error.insert("code".into(), json!(code));
            error.insert("doc_url".into(), json!(format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"))));
        }
        error.insert("message".into(), json!(self.message));
        if let Some(param) = &self.param {
            error.insert("param".into(), json!(param));
        }
        error.insert("request_log_url".into(), json!(format!("https://dashboard.stripe.com/{account}/test/logs/{request}")));
        error.insert("type".into(), json!(self.kind));
        json!({ "error": error })
    }
}
