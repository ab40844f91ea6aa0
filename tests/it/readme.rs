//! What the README says about keys and variables is what the program does.

const README: &str = include_str!("../../README.md");

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
