//! The mirror of a whole sandbox: asked for on the command line, set over HTTP, named by `check`.

use crate::bench::{executable, http};
use crate::command::Desk;
use nightdesk::sandbox::mirror::Layout;
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use serde_json::{Value, json};

async fn pace(base: &str, body: Value) -> (u16, Value) {
    let answer = http().post(format!("{base}/mirror")).json(&body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_mirror_and_the_sandbox_can_hold_it_up() {
    let options = SandboxOptions { customers: 200, mirror: Some(Layout::Documents), ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, executable().to_path_buf()).await.expect("it starts");
    let desk = Desk::with(sandbox.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect());
    let base = desk.variable("NIGHTDESK_SANDBOX_URL").to_string();
    let said = desk.say(&["check"]).await;
    let line = said.out.lines().find(|l| l.contains("stripe mirror")).unwrap_or_else(|| panic!("{}", said.out)).to_string();
    assert!(line.starts_with("OK") && line.contains("schema stripe") && line.contains("asked before Stripe about suspects"), "{line}");
    let grants = desk.say(&["check", "--grants"]).await.out;
    assert!(
        grants.contains("GRANT USAGE ON SCHEMA \"stripe\"") && grants.contains("ON \"stripe\".\"subscriptions\" TO nightdesk"),
        "{grants}"
    );
    assert_eq!(pace(&base, json!({ "stopped": true })).await, (200, json!({ "lag_seconds": 0, "stopped": true })));
    assert_eq!(pace(&base, json!({ "lag_seconds": 30 })).await, (200, json!({ "lag_seconds": 30, "stopped": true })));
    assert_eq!(pace(&base, json!({ "lag_seconds": -1 })).await.0, 400);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_layout_that_is_none_is_named_with_those_there_are() {
    let said = Desk::with(Vec::new()).say(&["sandbox", "--mirror=nonsense"]).await;
    assert!(said.code != Some(0) && said.err.contains("columns") && said.err.contains("documents"), "{said:?}");
}
