//! The layering law, read off the sources: who may import whom, and which crates stay outside the pure modules.

use std::fs;
use std::path::{Path, PathBuf};

/// One row of the law: files under `place` may name only these modules of the crate, and none of these crates.
struct Law {
    place: &'static str,
    may: &'static [&'static str],
    never: &'static [&'static str],
}

const IO: &[&str] = &["tokio", "tokio_util", "sqlx", "reqwest", "ratatui", "crossterm", "axum", "std::fs", "std::net", "std::process"];
const CLOCK: &[&str] = &["Utc::now(", "Local::now(", "SystemTime::now(", "Instant::now(", "Uuid::now_v7(", "Uuid::new_v4("];

/// First match wins, so narrower places stand first.
const LAWS: &[Law] = &[
    Law { place: "src/domain/", may: &["domain"], never: IO },
    Law { place: "src/protocol/", may: &["domain", "protocol"], never: IO },
    Law { place: "src/procedures/", may: &["domain", "protocol", "procedures"], never: IO },
    Law { place: "src/checklists/", may: &["domain", "protocol", "checklists"], never: IO },
    Law {
        place: "src/console/widgets/",
        may: &["domain", "protocol", "console::widgets"],
        never: &["tokio", "sqlx", "reqwest", "crossterm"],
    },
    Law {
        place: "src/console/",
        may: &["domain", "protocol", "procedures", "checklists", "console"],
        never: &["tokio", "sqlx", "reqwest", "crossterm", "std::fs", "std::net", "std::process"],
    },
    Law { place: "src/gateway/", may: &["domain", "protocol", "config", "gateway"], never: &["ratatui", "crossterm"] },
    Law { place: "src/sandbox/", may: &["domain::ids", "domain::money", "config", "sandbox"], never: &["ratatui", "crossterm"] },
    Law { place: "src/shell/", may: &["console", "gateway", "protocol", "domain", "config", "shell"], never: &[] },
    Law {
        place: "src/cli/",
        may: &["procedures", "checklists", "gateway", "sandbox", "protocol", "domain", "config", "cli"],
        never: &["ratatui", "crossterm"],
    },
    Law { place: "src/config", may: &["domain", "config"], never: &["ratatui", "crossterm", "tokio", "sqlx"] },
];

/// Modules that may neither read the clock nor make ids: time and ids come in with the event.
const TIMELESS: &[&str] = &["src/domain/", "src/protocol/", "src/procedures/", "src/checklists/", "src/console/"];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file without comments, so that prose may name what code may not.
fn code(text: &str) -> String {
    text.lines().map(|l| if l.trim_start().starts_with("//") { "" } else { l }).collect::<Vec<_>>().join("\n")
}

/// Every `crate::…` path of the file, `use crate::{a, b}` taken apart.
fn crate_paths(code: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        if let Some(inner) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in inner.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        out.push(item.trim().to_string());
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                item.push(c);
            }
            out.push(item.trim().to_string());
        } else {
            out.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect());
        }
    }
    out.retain(|p| !p.is_empty());
    out
}

fn allowed(path: &str, may: &[&str]) -> bool {
    may.iter().any(|m| path == *m || path.strip_prefix(m).is_some_and(|rest| rest.starts_with("::")))
}

fn names_crate(code: &str, name: &str) -> bool {
    if name.contains("::") {
        return code.contains(name);
    }
    code.match_indices(&format!("{name}::")).any(|(i, _)| {
        let before = code[..i].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn every_file_imports_only_what_its_layer_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    assert!(files.len() > 10, "the sources were found");
    let mut broken = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).expect("under the root").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&file).expect("readable");
        let code = code(&text);
        let Some(law) = LAWS.iter().find(|l| name.starts_with(l.place)) else { continue };
        for path in crate_paths(&code) {
            if !allowed(&path, law.may) {
                broken.push(format!("{name} imports crate::{path}"));
            }
        }
        for extern_ in law.never {
            if names_crate(&code, extern_) {
                broken.push(format!("{name} names {extern_}"));
            }
        }
        if TIMELESS.iter().any(|t| name.starts_with(t)) {
            for call in CLOCK {
                if code.contains(call) {
                    broken.push(format!("{name} calls {call})"));
                }
            }
        }
        if let Some(pane) = name.strip_prefix("src/console/panes/") {
            broken.extend(pane_law(&name, pane, &code));
        }
    }
    assert!(broken.is_empty(), "the layering law is broken:\n  {}", broken.join("\n  "));
}

/// A pane's model and keys draw nothing; its view knows no other pane; no pane imports another.
fn pane_law(name: &str, pane: &str, code: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let Some((own, file)) = pane.split_once('/') else { return broken };
    if matches!(file, "model.rs" | "keys.rs" | "mod.rs") && names_crate(code, "ratatui") {
        broken.push(format!("{name} names ratatui"));
    }
    if file != "tests.rs" {
        for path in crate_paths(code) {
            if let Some(other) = path.strip_prefix("console::panes::") {
                let other = other.split("::").next().unwrap_or_default();
                if other != own && other.chars().next().is_some_and(char::is_lowercase) {
                    broken.push(format!("{name} imports the pane {other}"));
                }
            }
        }
    }
    broken
}

#[test]
fn every_file_says_what_it_owns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let silent: Vec<_> = files
        .iter()
        .filter(|f| !fs::read_to_string(f).expect("readable").starts_with("//!"))
        .map(|f| f.strip_prefix(root).expect("under the root").display().to_string())
        .collect();
    assert!(silent.is_empty(), "no `//!` at the top of: {}", silent.join(", "));
}

#[test]
fn the_law_bites() {
    let bad = crate_paths("use crate::{gateway::executor, domain::{ids, money}};\nlet x = crate::console::State;");
    assert_eq!(bad, ["gateway::executor", "domain::{ids, money}", "console::State"]);
    assert!(!allowed("gateway::executor", &["domain", "protocol"]));
    assert!(!allowed("domain::{ids, money}", &["domain::ids"]), "a narrow allowance is not widened by braces");
    assert!(names_crate("tokio::spawn", "tokio") && !names_crate("my_tokio::spawn", "tokio"));
}
