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

#[test]
fn what_one_command_needs_is_fetched_by_that_command_alone() {
    let text = "[env.prod]\ndatabase_url = \"postgres://console@localhost/x\"\nadmin_url = { command = [\"/nonexistent/vault\"] }\n\
                webhook_secret = { env = \"NOT_SET\" }\n";
    let assembled = |text: &str| {
        let file = parse(text).expect("it parses");
        Config::assemble("prod".into(), file.env["prod"].clone(), file, &none)
    };
    let config = assembled(text).expect("nobody needs them to look");
    let refused = config.admin_url.expect("configured").resolve("admin_url", &none).expect_err("no such program");
    assert!(refused.to_string().starts_with("admin_url: /nonexistent/vault could not be run"), "{refused}");
    let err = assembled("[env.prod]\nadmin_url = \"postgres://admin:secret@localhost/x\"\n").expect_err("a password");
    assert!(err.to_string().starts_with("admin_url: a secret does not stand in this file"), "{err}");

    let given = |name: &str| match name {
        "DATABASE_URL" | "ADMIN_DATABASE_URL" => Some("postgres://admin:secret@localhost/x".to_string()),
        _ => None,
    };
    let config = Config::load(None, None, &given).expect("enough");
    let admin = config.admin_url.expect("from the variable").resolve("admin_url", &given).expect("it is set");
    assert_eq!(admin.expose(), "postgres://admin:secret@localhost/x");
    assert!(config.webhook_secret.is_none());
}

#[test]
fn keys_that_do_nothing_are_unknown() {
    for line in ["rescue_key = { env = \"X\" }", "logs = [{ path = \"/var/log/app.log\" }]"] {
        let err = parse(&format!("[env.prod]\n{line}\n")).expect_err(line);
        assert!(err.to_string().contains("unknown field"), "{err}");
    }
}

#[test]
fn logs_are_files_or_commands() {
    let logs = |text: &str, variable: Option<&str>| {
        let file = parse(&format!("[env.prod]\n{text}\n")).expect("it parses");
        let given = |name: &str| variable.filter(|_| name == "APP_LOG").map(str::to_string);
        Config::assemble("prod".into(), file.env["prod"].clone(), file, &given).map(|c| c.logs)
    };
    let both = "[[env.prod.logs]]\nfile = \"/var/log/app.log\"\n[[env.prod.logs]]\ncommand = [\"docker\", \"logs\", \"-f\", \"api\"]";
    let argv = ["docker", "logs", "-f", "api"].map(str::to_string).to_vec();
    assert_eq!(logs(both, Some("/x")), Ok(vec![LogSource::File("/var/log/app.log".into()), LogSource::Command(argv)]));
    assert_eq!(logs("", Some("/x")), Ok(vec![LogSource::File("/x".into())]), "a variable fills what the file leaves out");
    for bad in ["logs = [{}]", "logs = [{ command = [] }]", "logs = [{ file = \"a\", command = [\"b\"] }]"] {
        let err = logs(bad, None).expect_err(bad).to_string();
        assert!(err.starts_with("[[env.NAME.logs]]: "), "{err}");
    }
}

#[test]
fn hooks_are_argv_and_policies_are_off_until_they_are_on() {
    let assembled = |text: &str| {
        let file = parse(text).expect("it parses");
        Config::assemble("prod".into(), file.env["prod"].clone(), file, &none)
    };
    let plain = assembled("[env.prod]\n").expect("nothing is needed");
    assert_eq!((plain.policy, plain.hooks.restart_app.is_none(), plain.stripe_resends_per_s), (Policy::default(), true, 2));
    let full = assembled(
        "[env.prod]\n[policy]\nsigned_probe = true\ndeliver = true\n[stripe]\nresends_per_s = 4\n[hooks]\nrestart_app = [\"sv\", \"restart\"]\ntimeout_s = 5\n",
    )
    .expect("well formed");
    assert!(full.policy.signed_probe && full.policy.deliver);
    assert_eq!((full.hooks.restart_app.as_deref().map(<[_]>::len), full.hooks.limit.as_secs(), full.stripe_resends_per_s), (Some(2), 5, 4));
    for (text, words) in [
        ("[hooks]\ndeploys = []\n", "[hooks] deploys: it is empty"),
        ("[hooks]\nrestart_app = [\" \"]\n", "[hooks] restart_app: it is empty"),
        ("[hooks]\ntimeout_s = 0\n", "[hooks] timeout_s: 0 is not within"),
        ("[policy]\nwriter = \"command\"\n", "[policy] writer: `command` needs [hooks] resync"),
    ] {
        let err = assembled(&format!("[env.prod]\n{text}")).expect_err(words);
        assert!(err.to_string().starts_with(words), "{err}");
    }
    assert!(parse("[env.prod]\n[hooks]\nrestart_app = \"sv restart\"\n").is_err(), "no shell line");
    assert!(assembled("[env.prod]\nstripe_write_key = \"sk_live_abc\"\n").is_err(), "no secret in the file");
}

#[test]
fn what_is_kept_in_a_variable_is_found_without_asking_again() {
    let given = |name: &str| match name {
        "DATABASE_URL" => Some("postgres://console@localhost/x".to_string()),
        "STRIPE_WEBHOOK_SECRET" => Some("whsec_abc".to_string()),
        _ => None,
    };
    let config = Config::load(None, None, &given).expect("enough");
    assert_eq!(config.webhook_secret.expect("set").resolve().expect("held").expose(), "whsec_abc");
}
