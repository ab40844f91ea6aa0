//! What the command line says about logs.

use super::{ago, pino};
use crate::command::Desk;
use chrono::Utc;
use serde_json::Value;

fn desk(log: &std::path::Path) -> Desk {
    // Nothing listens there.
    Desk::with(vec![("APP_URL".into(), "http://127.0.0.1:9".into()), ("APP_LOG".into(), log.to_string_lossy().into_owned())])
}

fn logs(lines: &Value, key: &str) -> Vec<Value> {
    lines.as_array().expect("lines").iter().filter(|l| l[key] == "log").cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_check_tell_how_each_log_stands() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    std::fs::write(&path, pino(Utc::now(), 30, "ready")).unwrap();
    let desk = desk(&path);
    let status = logs(&desk.say(&["status", "--json"]).await.json()["sources"], "source");
    assert!(status.len() == 1 && status[0]["state"] == "ok", "{status:?}");
    assert!(status[0]["says"].as_str().unwrap().starts_with("app.log · JSON lines, "), "{status:?}");

    // Written now, and its own clock says ten minutes ago.
    std::fs::write(&path, pino(ago(10), 30, "ready")).unwrap();
    let check = logs(&desk.say(&["check", "--json"]).await.json(), "what");
    assert!(check.len() == 1 && check[0]["verdict"] == "fail", "{check:?}");
    assert!(
        check[0]["says"].as_str().unwrap().contains("its clock is 10 min behind ours: Stripe's signatures are refused there"),
        "{check:?}"
    );

    std::fs::remove_file(&path).unwrap();
    let check = logs(&desk.say(&["check", "--json"]).await.json(), "what");
    assert!(check[0]["verdict"] == "fail" && check[0]["says"].as_str().unwrap().contains("is not there"), "{check:?}");
    let none = desk.but("APP_LOG", "");
    let status = logs(&none.say(&["status", "--json"]).await.json()["sources"], "source");
    assert_eq!(status[0]["state"], "not_set_up", "{status:?}");

    let command = none.configured("[env.prod]\n[[env.prod.logs]]\ncommand = [\"sh\", \"-c\", \"echo 'no such unit' >&2; exit 1\"]");
    let check = logs(&command.say(&["check", "--json"]).await.json(), "what");
    assert!(check[0]["verdict"] == "fail" && check[0]["says"].as_str().unwrap().contains("no such unit"), "{check:?}");
}
