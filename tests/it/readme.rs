//! What the README says about keys and commands is what the program does.

use nightdesk::console::keymap::TABLE;

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_lists_the_key_table() {
    for row in TABLE {
        let keys: Vec<String> = row.keys.iter().map(|k| format!("`{k}`")).collect();
        let line = format!("| {} | {} |", keys.join(", "), row.meaning);
        assert!(README.contains(&line), "README.md lacks the row\n{line}");
    }
    let listed = README.lines().skip_while(|l| *l != "| key | meaning |").skip(2).take_while(|l| l.starts_with('|')).count();
    assert_eq!(listed, TABLE.len(), "README.md lists a key that is not in the table");
}

#[test]
fn the_readme_names_the_variables_that_are_read() {
    for name in nightdesk::config::VARIABLES.iter().filter(|n| !n.starts_with("NIGHTDESK")) {
        assert!(README.contains(&format!("`{name}`")), "{name}");
    }
}
