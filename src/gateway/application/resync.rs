//! Repairs that somebody else writes: admin paths of the application, or a configured command. What happened is told, never guessed.

use super::{Shared, fault};
use crate::config::Writer;
use crate::config::secret::Credential;
use crate::domain::fault::{FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::gateway::http::{self, segment};
use crate::protocol::command::Outcome;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const HTTP: Duration = Duration::from_secs(10);

pub async fn by_http(application: &Shared, subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
    let Shared { base, token, writer } = application;
    let Writer::Http { path } = writer else { return not_set_up("[policy] writer is not http") };
    let Some(token) = token else { return not_set_up("the application's admin path needs admin_token") };
    let path = path.replace("{subject}", &segment(subject.as_str())).replace("{customer}", &segment(customer));
    post(base, token, &path, key).await
}

/// The documented reset of all counters that reset.
pub async fn reset(application: &Shared, subject: &SubjectKey, key: &str) -> Outcome {
    let Some(token) = &application.token else { return not_set_up("the application's admin API needs admin_token") };
    post(&application.base, token, &format!("admin/licensing/entitlements/{}/reset", segment(subject.as_str())), key).await
}

async fn post(base: &str, token: &Credential, path: &str, key: &str) -> Outcome {
    let client = match http::client(Source::Application, base) {
        Ok(client) => client,
        Err(fault) => return Outcome::NotDone(fault),
    };
    let url = format!("{base}/{}", path.trim_start_matches('/'));
    let request = client.post(url).timeout(HTTP).bearer_auth(token.expose()).header("Idempotency-Key", key);
    let response = match request.send().await {
        Ok(response) => response,
        // Nobody took the request, so nobody acted on it.
        Err(error) if error.is_connect() => return Outcome::NotDone(http::fault(Source::Application, &error)),
        Err(error) => return Outcome::Unknown(http::fault(Source::Application, &error)),
    };
    let status = response.status().as_u16();
    match http::body(response).await {
        Ok(body) => outcome(status, &body),
        // The status came, and what it was about did not: a failure may have been told there.
        Err(error) => Outcome::Unknown(http::fault(Source::Application, &error)),
    }
}

/// What the application's answer says of what it did.
fn outcome(status: u16, body: &[u8]) -> Outcome {
    let refused = |say: String| fault(FaultKind::Refused, &say);
    match status {
        200..=299 => {
            let failed = serde_json::from_slice::<Value>(body).is_ok_and(|v| v["ok"] == false);
            if failed {
                // How far it came before it failed is its own secret.
                return Outcome::Unknown(refused(format!("the application answered {status}, and that it failed")));
            }
            Outcome::done(format!("the application answered {status}"))
        }
        401 | 403 => Outcome::NotDone(fault(FaultKind::Auth, "the application does not accept the admin token: check admin_token")),
        // The same request may have been taken before, by the application or by what stands in front of it, and still be at work.
        408 | 409 | 425 | 429 => {
            Outcome::Unknown(refused(format!("the application answered {status}: it may be at work on this request all the same")))
        }
        400..=499 => Outcome::NotDone(refused(format!("the application refused with {status}"))),
        _ => Outcome::Unknown(refused(format!("the application answered {status}"))),
    }
}

pub async fn by_command(writer: &Writer, subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
    let Writer::Command { argv, limit } = writer else { return not_set_up("[policy] writer is not command") };
    let filled: Vec<String> = argv.iter().map(|a| a.replace("{subject}", subject.as_str()).replace("{customer}", customer)).collect();
    let Some((program, arguments)) = filled.split_first() else { return not_set_up("[hooks] resync is empty") };
    let spawned = Command::new(program)
        .args(arguments)
        .env("NIGHTDESK_IDEMPOTENCY_KEY", key)
        // Its words would land in the middle of the screen.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C and a hang-up end us, not what was begun.
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Outcome::NotDone(fault(FaultKind::Refused, &format!("{program} could not be run: {error}"))),
    };
    match tokio::time::timeout(*limit, child.wait()).await {
        Ok(Ok(status)) if status.success() => Outcome::done(format!("`{program}` succeeded")),
        Ok(Ok(status)) => {
            Outcome::Unknown(fault(FaultKind::Refused, &format!("{program} ended with {status}; how far it came is unknown")))
        }
        Ok(Err(error)) => Outcome::Unknown(fault(FaultKind::Refused, &format!("{program} was lost: {error}"))),
        // It goes on: what was begun is not broken off.
        Err(_) => Outcome::Unknown(fault(FaultKind::Timeout, &format!("{program} has not ended after {} s", limit.as_secs()))),
    }
}

fn not_set_up(say: &str) -> Outcome {
    Outcome::NotDone(fault(FaultKind::NotSetUp, say))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_refusal_is_certain_to_have_done_nothing() {
        for status in [400, 401, 403, 404, 410, 422] {
            assert!(matches!(outcome(status, b"{}"), Outcome::NotDone(_)), "{status}");
        }
        for status in [302, 408, 409, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(outcome(status, b"{}"), Outcome::Unknown(_)), "{status}");
        }
        assert!(matches!(outcome(200, b"{\"ok\":true}"), Outcome::Done { .. }));
        assert!(matches!(outcome(200, b"{\"ok\":false}"), Outcome::Unknown(_)));
    }
}
