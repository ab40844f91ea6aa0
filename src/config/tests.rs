//! Bad configuration, each case one clear sentence; good configuration, filled from the variables.

use super::schema::Column;
use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn parse(text: &str) -> Result<File, ConfigError> {
    File::parse(text, "nightdesk.toml")
}

#[test]
fn an_unknown_key_is_an_error_with_its_place() {
    let err = parse("[env.prod]\nproduction = true\ndatabase_ulr = { env = \"X\" }\n").expect_err("misspelt");
    let ConfigError::Malformed { line, column, why, .. } = &err else { panic!("{err}") };
    assert_eq!((*line, *column), (3, 1), "{err}");
    assert!(why.contains("database_ulr"), "{err}");
}

#[test]
fn a_secret_in_the_file_is_refused() {
    let file = parse("[env.prod]\nstripe_key = \"sk_live_abc\"\n").expect("it parses");
    let err = Config::assemble("prod".into(), file.env["prod"].clone(), file, &none).expect_err("plain");
    assert!(err.to_string().contains("{ env ="), "{err}");
    assert!(!err.to_string().contains("sk_live"), "the secret is not repeated: {err}");
}

#[test]
fn a_missing_variable_is_named() {
    let file = parse("[env.prod]\nstripe_key = { env = \"PROD_KEY\" }\n").expect("it parses");
    let err = Config::assemble("prod".into(), file.env["prod"].clone(), file, &none).expect_err("not set");
    assert_eq!(err.to_string(), "stripe_key: the environment variable PROD_KEY is not set");
}

#[test]
fn variables_stand_in_for_a_file() {
    let given = |name: &str| (name == "DATABASE_URL").then(|| "postgres://u:p@localhost/x".to_string());
    let config = Config::load(None, None, &given).expect("enough");
    assert_eq!(config.name, "env");
    assert_eq!(config.schema.subscription.table, "subscriptions");
    assert!(!format!("{config:?}").contains("u:p"), "credentials are never printed");
    assert_eq!(Config::load(None, None, &none).expect_err("nothing"), ConfigError::Nothing);
}

#[test]
fn the_schema_map_takes_columns_json_and_off() {
    let file = parse(
        "[schema.subject]\ntable = \"accounts\"\nemail = { column = \"doc\", json = [\"contact\", \"email\"] }\n[schema.subscription]\nstatus = false\ntier = \"plan\"\n",
    )
    .expect("it parses");
    let map = file.schema.expect("given");
    assert_eq!(map.subject.email, Some(Column::Json { column: "doc".into(), path: vec!["contact".into(), "email".into()] }));
    assert_eq!(map.subscription.status, Column::Off);
    assert_eq!(map.subscription.tier, Column::Plain("plan".into()));
}

#[test]
fn several_environments_ask_which() {
    let file = parse("[env.a]\n[env.b]\n").expect("it parses");
    assert!(matches!(choose(&file, None, "f"), Err(ConfigError::WhichEnvironment { .. })));
    assert!(matches!(choose(&file, Some("c"), "f"), Err(ConfigError::NoSuchEnvironment { .. })));
}
