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
    Law {
        place: "src/console/widgets/",
        may: &["domain", "protocol", "console::widgets"],
        never: &["tokio", "sqlx", "reqwest", "crossterm"],
    },
    Law {
        place: "src/console/",
        may: &["domain", "protocol", "procedures", "console"],
        never: &["tokio", "sqlx", "reqwest", "crossterm", "std::fs", "std::net", "std::process"],
    },
    Law { place: "src/gateway/", may: &["domain", "protocol", "config", "gateway"], never: &["ratatui", "crossterm"] },
    Law { place: "src/sandbox/", may: &["domain::ids", "domain::money", "config", "sandbox"], never: &["ratatui", "crossterm"] },
    Law { place: "src/shell/", may: &["console", "gateway", "protocol", "domain", "config", "shell"], never: &[] },
    Law {
        place: "src/cli/",
        may: &["procedures", "gateway", "sandbox", "protocol", "domain", "config", "cli"],
        never: &["ratatui", "crossterm"],
    },
    Law { place: "src/config/", may: &["domain", "config"], never: &["ratatui", "crossterm", "tokio", "sqlx"] },
    Law { place: "src/lib.rs", may: &[], never: &[] },
    // Wires everything, and knows the rules of nothing.
    Law {
        place: "src/main.rs",
        may: &["cli", "config", "console", "gateway", "protocol", "sandbox", "shell"],
        never: &["ratatui", "crossterm", "sqlx", "reqwest"],
    },
];

/// Where commands come from, where they are told, and where they are carried out: nobody else makes one.
const MAKE_COMMANDS: &[&str] = &["src/procedures/", "src/protocol/", "src/gateway/"];

/// Modules that may neither read the clock nor make ids: time and ids come in with the event.
const TIMELESS: &[&str] = &["src/domain/", "src/protocol/", "src/procedures/", "src/console/"];

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

/// The file's code before its own tests, in which `super` is the file itself.
fn outside_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod tests {").map_or(code, |at| &code[..at])
}

/// The module that a file is: `src/console/panes/pool/view.rs` is `console::panes::pool::view`.
fn module_of(file: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = file.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
        parts.pop();
    }
    parts
}

/// Every path into the crate that the file names, whole and from the crate's root: `crate::…`, `super::…` and, in the binary, `nightdesk::…`;
/// groups in braces taken apart.
fn crate_paths(file: &str, code: &str) -> Vec<String> {
    let mut out = Vec::new();
    for root in ["crate::", "nightdesk::"] {
        for at in beginnings(code, root) {
            grow(&[], &code[at + root.len()..], &mut out);
        }
    }
    let code = outside_tests(code);
    let module = module_of(file);
    for at in beginnings(code, "super::") {
        let (mut up, mut rest) = (0, &code[at..]);
        while let Some(further) = rest.strip_prefix("super::") {
            (up, rest) = (up + 1, further);
        }
        let base = module.len().checked_sub(up).unwrap_or_else(|| panic!("{file}: `super` leads out of the crate"));
        grow(&module[..base], rest, &mut out);
    }
    out.retain(|p| !p.is_empty());
    out
}

/// Where a path begins with this word: not in the middle of another path or name.
fn beginnings<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let within = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| !code[..*at].chars().next_back().is_some_and(within))
}

/// The paths of one tree of names: `a::{b, c::{d, e}}` has three. What stands behind it in `text`.
fn grow<'a>(base: &[&str], text: &'a str, out: &mut Vec<String>) -> &'a str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (path, mut rest) = text.split_at(end);
    let mut whole: Vec<&str> = base.to_vec();
    whole.extend(path.split("::").filter(|part| !part.is_empty()));
    let Some(inner) = rest.strip_prefix('{').filter(|_| path.is_empty() || path.ends_with("::")) else {
        out.push(whole.join("::"));
        return rest;
    };
    rest = inner;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if let Some(behind) = rest.strip_prefix('}') {
            return behind;
        }
        if rest.is_empty() {
            return rest;
        }
        let before = rest.len();
        rest = grow(&whole, rest, out);
        // `a as b`, `*`: nothing that is named by itself.
        rest = rest.trim_start_matches(|c: char| c != ',' && c != '}');
        assert!(rest.len() < before || rest.starts_with('}'), "a group that does not end: {before}");
    }
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
        let Some(law) = LAWS.iter().find(|l| name.starts_with(l.place)) else {
            broken.push(format!("{name} stands under no law"));
            continue;
        };
        for path in crate_paths(&name, &code) {
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
        if !MAKE_COMMANDS.iter().any(|place| name.starts_with(place)) {
            broken.extend(made_commands(outside_tests(&code)).map(|made| format!("{name} makes a {made}")));
        }
    }
    assert!(broken.is_empty(), "the layering law is broken:\n  {}", broken.join("\n  "));
}

/// Only a pane's views draw, and they change nothing; no pane imports another.
fn pane_law(name: &str, pane: &str, code: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let Some((own, file)) = pane.split_once('/') else { return broken };
    let is_view = file == "view.rs" || file.starts_with("view_");
    if !is_view && names_crate(code, "ratatui") {
        broken.push(format!("{name} names ratatui: what draws is called view.rs or view_….rs"));
    }
    if is_view && code.contains("&mut Model") {
        broken.push(format!("{name} changes the model that it draws"));
    }
    for path in crate_paths(name, code) {
        let other = path.strip_prefix("console::panes::").and_then(|rest| rest.split("::").next()).unwrap_or(own);
        if other != own {
            broken.push(format!("{name} imports the pane {other}"));
        }
    }
    broken
}

/// Values of `Command` or `Perform` that the code builds. Where it looks at one, it leaves the rest of the fields out, or leads on with an arrow.
fn made_commands(code: &str) -> impl Iterator<Item = String> + '_ {
    let commands = beginnings(code, "Command::").filter(|at| code[at + 9..].starts_with(char::is_uppercase)).map(|at| (at, at + 9));
    let performs = beginnings(code, "Perform ").map(|at| (at, at));
    commands.chain(performs).filter_map(|(at, name)| {
        let open = name + code[name..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ' '))?;
        let inner = code[open..].strip_prefix('{')?;
        let close = inner.find('}')?;
        let looks = inner[..close].trim_end().ends_with("..") || inner[close + 1..].trim_start().starts_with("=>");
        (!looks).then(|| code[at..open].trim().to_string())
    })
}

#[test]
fn every_law_is_about_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = LAWS.iter().map(|l| l.place).chain(TIMELESS.iter().copied()).chain(MAKE_COMMANDS.iter().copied());
    let missing: Vec<_> = places.filter(|place| !root.join(place).exists()).collect();
    assert!(missing.is_empty(), "nothing stands at {}", missing.join(", "));
    let modules = LAWS.iter().flat_map(|l| l.may).filter(|m| {
        let path = root.join("src").join(m.replace("::", "/"));
        !path.exists() && !path.with_extension("rs").exists()
    });
    let unknown: Vec<_> = modules.collect();
    assert!(unknown.is_empty(), "there is no module {unknown:?}");
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
    let bad = crate_paths("src/shell/mod.rs", "use crate::{gateway::executor, domain::{ids, money as m}};\nlet x = crate::console::State;");
    assert_eq!(bad, ["gateway::executor", "domain::ids", "domain::money", "console::State"]);
    assert_eq!(
        crate_paths("src/console/panes/home/view.rs", "use super::super::pool::{Model, view::draw};"),
        ["console::panes::pool::Model", "console::panes::pool::view::draw"]
    );
    assert_eq!(
        crate_paths("src/console/panes/home/mod.rs", "pub(super) use super::super::{State, panes::{pool}};"),
        ["console::State", "console::panes::pool"]
    );
    assert_eq!(crate_paths("src/main.rs", "use nightdesk::cli::{self, args};"), ["cli::self", "cli::args"]);
    assert!(!allowed("gateway::executor", &["domain", "protocol"]) && !allowed("domain::facts", &["domain::ids"]));
    assert!(names_crate("tokio::spawn", "tokio") && !names_crate("my_tokio::spawn", "tokio"));
    let pane = |file: &str, code: &str| pane_law(&format!("src/console/panes/home/{file}"), &format!("home/{file}"), code).len();
    assert_eq!(pane("list.rs", "use ratatui::buffer::Buffer;"), 1);
    assert_eq!(pane("view_list.rs", "use ratatui::buffer::Buffer;"), 0);
    assert_eq!(pane("view.rs", "fn draw(m: &mut Model) {}"), 1);
    assert_eq!(pane("keys.rs", "use crate::console::{panes::{pool::Model}};"), 1);
    let made = |code: &str| made_commands(code).count();
    assert_eq!(made("let c = Command::RunHook { hook: text };"), 1);
    assert_eq!(made("Effect::Perform(Box::new(Perform { attempt, command }))"), 1);
    assert_eq!(made("matches!(c, Command::RunHook { .. } | Command::Escalate { to, .. })"), 0);
    assert_eq!(made("match c { Command::RunHook { hook } => hook }"), 0);
    assert_eq!(made("std::process::Command::new(program); Effect::Perform(perform) => {}"), 0);
}
