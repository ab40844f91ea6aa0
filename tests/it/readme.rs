//! What the README and the pages behind it say about keys, variables, commands and switches is what the program does.

use clap::CommandFactory;
use nightdesk::cli::args::Cli;
use nightdesk::sandbox::stripe::Rule;
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

#[test]
fn the_readme_lists_the_key_table() {
    let table = nightdesk::console::keymap::markdown();
    assert!(README.contains(table.trim()), "README.md should hold this table:\n{table}");
}

#[test]
fn the_readme_names_the_variables_that_are_read() {
    for name in nightdesk::config::VARIABLES.iter().filter(|n| !n.starts_with("NIGHTDESK")) {
        assert!(README.contains(&format!("`{name}`")), "{name}");
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
