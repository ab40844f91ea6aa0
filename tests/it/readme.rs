//! What the README and the pages behind it say about keys, variables, commands and switches is what the program does.

use clap::CommandFactory;
use nightdesk::cli::args::Cli;
use nightdesk::config::Config;
use nightdesk::config::file::File;
use nightdesk::sandbox::stripe::Rule;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const README: &str = include_str!("../../README.md");
/// A stranger reads so many lines; the rest has pages of its own.
const AT_MOST: usize = 300;

/// The README and every page in `docs/`, with their paths.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_dir(root.join("docs")).expect("there are pages");
    let paths = docs.map(|entry| entry.expect("readable").path()).chain([root.join("README.md")]);
    paths.map(|path| (path.clone(), std::fs::read_to_string(&path).expect("a page is text"))).collect()
}

/// One page of `docs/`.
fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).expect("there is such a page")
}

#[test]
fn the_readme_lists_the_key_table() {
    let table = nightdesk::console::keymap::markdown();
    assert!(README.contains(table.trim()), "README.md should hold this table:\n{table}");
}

/// Every variable that the configuration asks for.
fn variables() -> BTreeSet<String> {
    let asked = RefCell::new(BTreeSet::new());
    let nobody = |name: &str| {
        asked.borrow_mut().insert(name.to_string());
        None
    };
    Config::load(None, None, &nobody).expect_err("there is nothing to connect to");
    asked.into_inner()
}

#[test]
fn the_variables_that_are_read_are_named() {
    let page = page("configuration.md");
    let all = variables();
    assert!(all.len() > 10, "{all:?}");
    for name in &all {
        assert!(page.contains(&format!("`{name}`")), "docs/configuration.md: {name}");
        let ours = name.starts_with("NIGHTDESK") || ["USER", "LOGNAME"].contains(&name.as_str());
        assert!(ours || README.contains(&format!("`{name}`")), "README.md: {name}");
    }
}

/// The keys of a table of the file, as its refusal of an unknown one lists them; `None`: there is no such table, or it takes any key.
fn keys_of(table: &str) -> Option<Vec<String>> {
    let refused = File::parse(&format!("{table}\nno_such_key = 1\n"), "f").err()?.to_string();
    let (_, known) = refused.split_once("unknown field `no_such_key`, expected ")?;
    Some(known.split('`').skip(1).step_by(2).map(str::to_string).collect())
}

#[test]
fn every_key_of_the_configuration_file_is_documented_and_no_other() {
    let page = page("configuration.md");
    let toml: String = page.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect();
    let mut tables: Vec<String> = keys_of("").expect("the file has keys");
    let mut documented = 0;
    while let Some(table) = tables.pop() {
        let forms = [format!("[{table}]"), format!("[[{table}]]"), format!("[{table}.prod]")];
        if let Some((form, keys)) = forms.iter().find_map(|form| Some((form, keys_of(form)?))) {
            let name = form.trim_matches(['[', ']']);
            for key in keys {
                let inner = format!("{name}.{key}");
                if [format!("[{inner}]"), format!("[[{inner}]]")].iter().any(|form| keys_of(form).is_some()) {
                    tables.push(inner);
                    continue;
                }
                let said = toml.lines().any(|l| l.split_once('=').is_some_and(|(left, _)| left.trim() == key))
                    || page.contains(&format!("`{key}`"));
                assert!(said, "docs/configuration.md says nothing of {key} in {form}");
                documented += 1;
            }
        }
    }
    assert!(documented > 40, "{documented} keys");
    if let Err(error) = File::parse(&toml, "docs/configuration.md") {
        panic!("what is shown as the file is none: {error}");
    }
}

#[test]
fn the_readme_is_short_and_its_links_lead_somewhere() {
    assert!(README.lines().count() <= AT_MOST, "{} lines: what a stranger does not need belongs into docs/", README.lines().count());
    let mut led = 0;
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(page.with_file_name(file).exists(), "{}: {target}", page.display());
            led += 1;
        }
    }
    assert!(led > 10, "{led} links");
    for (page, _) in pages().iter().filter(|(page, _)| !page.ends_with("README.md")) {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        assert!(README.contains(&format!("](docs/{name})")), "nothing leads from the README to docs/{name}");
    }
}

#[test]
fn the_commands_that_are_shown_exist() {
    let cli = Cli::command();
    let mut shown = 0;
    for (page, text) in pages() {
        for line in text.lines().filter(|l| l.starts_with("nightdesk ")) {
            let mut words = line.split_whitespace().skip(1);
            let first = words.next().unwrap_or_default();
            let command = cli.find_subcommand(first).unwrap_or_else(|| panic!("{}: {line}", page.display()));
            if command.has_subcommands() && !line.starts_with("nightdesk runs  ") {
                let second = words.next().unwrap_or_default();
                assert!(command.find_subcommand(second).is_some(), "{}: {line}", page.display());
            }
            for flag in line.split('#').next().unwrap_or_default().split_whitespace().filter_map(|w| w.strip_prefix("--")) {
                let last = words_of(command, line);
                let known = last.get_arguments().any(|a| a.get_long() == Some(flag));
                assert!(known, "{}: --{flag} in {line}", page.display());
            }
            shown += 1;
        }
    }
    assert!(shown > 8, "{shown} commands");
}

/// The innermost subcommand that the line names.
fn words_of<'a>(command: &'a clap::Command, line: &str) -> &'a clap::Command {
    line.split_whitespace().nth(2).and_then(|second| command.find_subcommand(second)).unwrap_or(command)
}

#[test]
fn the_faults_that_are_shown_are_faults() {
    let mut shown = 0;
    for (page, text) in pages() {
        for line in text.lines().filter(|l| l.contains("/_sim/faults") && l.contains(" -d '")) {
            let body = line.split("-d '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
            serde_json::from_str::<Rule>(body).unwrap_or_else(|e| panic!("{}: {body}: {e}", page.display()));
            shown += 1;
        }
    }
    assert!(shown >= 2, "{shown}");
}
