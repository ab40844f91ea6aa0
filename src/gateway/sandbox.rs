//! The sandbox's own server, as any client sees it: which incidents there are, starting one and ending it.

use super::http::{self, segment};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::text::clean;
use crate::protocol::event::KnownIncident;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const LIST: Duration = Duration::from_secs(3);
/// An incident writes rows and objects for many people.
const START: Duration = Duration::from_secs(30);

/// All incidents.
///
/// # Errors
/// Where the sandbox does not answer.
pub async fn incidents(base: &str) -> Result<Vec<KnownIncident>, Fault> {
    let request = http::client(Source::Application, base)?.get(format!("{base}/incidents")).timeout(LIST);
    let answer = json(request).await?;
    let text = |value: &Value| value.as_str().map(clean);
    let all = answer["incidents"].as_array().into_iter().flatten();
    let known = |i: &Value| Some(KnownIncident { name: text(&i["name"])?, title: text(&i["title"])?, ends: i["ends"].as_bool()? });
    Ok(all.filter_map(known).collect())
}

/// Starts an incident; what it did, in a few words.
///
/// # Errors
/// Where the sandbox does not answer, or has nobody left to break.
pub async fn start(base: &str, name: &str) -> Result<String, Fault> {
    let request = http::client(Source::Application, base)?.post(format!("{base}/incidents/{}", segment(name))).timeout(START);
    let answer = json(request).await?;
    Ok(match hit(&answer) {
        // Of an outage nobody can say whom it will hit.
        0 => "under way".into(),
        1 => "one customer hit".into(),
        many => format!("{many} customers hit"),
    })
}

/// Ends what a restart or a change of configuration would end; no row is repaired.
///
/// # Errors
/// Where the sandbox does not answer, or there is nothing of that kind.
pub async fn end(base: &str, name: &str) -> Result<String, Fault> {
    let request = http::client(Source::Application, base)?.delete(format!("{base}/incidents/{}", segment(name))).timeout(START);
    json(request).await?;
    Ok("ended; the rows that it broke stay as they are".into())
}

/// People with a label that is not only about what stayed right.
fn hit(answer: &Value) -> usize {
    let labels = answer["labels"].as_array().into_iter().flatten();
    let hurt = labels.filter(|l| !matches!(l["truth"].as_str(), Some("fine" | "superseded")));
    hurt.filter_map(|l| l["number"].as_u64()).collect::<BTreeSet<_>>().len()
}

async fn json(request: reqwest::RequestBuilder) -> Result<Value, Fault> {
    let response = request.send().await.map_err(|e| http::fault(Source::Application, &e))?;
    let status = response.status();
    let body = http::body(response).await.map_err(|e| http::fault(Source::Application, &e))?;
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let why = value["error"].as_str().map_or_else(|| format!("the sandbox answered {}", status.as_u16()), str::to_string);
    Err(Fault::new(Source::Application, FaultKind::Refused, why))
}
