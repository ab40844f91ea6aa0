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

/// A shell that still has a sandbox's variables.
fn leftover(name: &str) -> Option<String> {
    let value = match name {
        "DATABASE_URL" | "ADMIN_DATABASE_URL" => "postgres://console:x@127.0.0.1:5433/app",
        "STRIPE_API_BASE" => "http://127.0.0.1:4242",
        "STRIPE_SECRET_KEY" => "sk_test_sandbox",
        "STRIPE_WEBHOOK_SECRET" => "whsec_sandbox",
        "APP_URL" => "http://127.0.0.1:4243",
        "APP_WEBHOOK_URL" => "http://127.0.0.1:4243/webhooks/stripe",
        "APP_ADMIN_TOKEN" => "sandbox-token",
        "APP_LOG" => "/tmp/sandbox/app.log",
        "NIGHTDESK_SANDBOX_URL" => "http://127.0.0.1:4244",
        "PROD_STRIPE_KEY" => "sk_live_abc",
        "PROD_TOKEN" => "s3cret",
        _ => return None,
    };
    Some(value.into())
}

fn beside_a_sandbox(text: &str) -> Result<Config, ConfigError> {
    let file = parse(text).expect("it parses");
    let (name, env) = choose(&file, None, "f").expect("one");
    Config::assemble(name, env, file, &leftover)
}

#[test]
fn in_production_no_variable_fills_anything() {
    let config = beside_a_sandbox(
        "[env.prod]\nproduction = true\nstripe_key = { env = \"PROD_STRIPE_KEY\" }\nadmin_token = { env = \"PROD_TOKEN\" }\n",
    )
    .expect("enough");
    assert_eq!(config.stripe_base, STRIPE_BASE);
    assert_eq!((config.app_url.as_deref(), config.webhook_url.as_deref(), config.sandbox_url.as_deref()), (None, None, None));
    assert!(config.database_url.is_none() && config.admin_url.is_none() && config.webhook_secret.is_none() && config.logs.is_empty());
    let file = "[env.prod]\nproduction = true\n";
    let path = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(path.path(), file).expect("written");
    let err = Config::load(Some(path.path()), None, &leftover).expect_err("nothing is named");
    assert!(err.to_string().contains("{ env = \"DATABASE_URL\" }"), "{err}");
}

#[test]
fn a_secret_of_the_file_goes_to_no_address_of_a_variable_nor_the_reverse() {
    let config = beside_a_sandbox("[env.staging]\nadmin_token = { env = \"PROD_TOKEN\" }\n").expect("enough");
    assert_eq!((config.app_url.as_deref(), config.webhook_url.as_deref()), (None, None));
    assert!(config.webhook_secret.is_none());
    assert_eq!(config.stripe_base, "http://127.0.0.1:4242", "of Stripe the file says nothing");
    let config = beside_a_sandbox("[env.staging]\napp_url = \"https://staging.example\"\n").expect("enough");
    assert!(config.admin_token.is_none() && config.logs.is_empty());
    let config = beside_a_sandbox("[env.staging]\nstripe_base = \"https://stripe.example\"\n").expect("enough");
    assert!(config.stripe_key.is_none() && config.database_url.is_some());
    let config = beside_a_sandbox("[env.staging]\ndatabase_url = \"postgres://console@db/app\"\n").expect("enough");
    assert!(config.admin_url.is_none(), "migrate would set up another database");
    let config = beside_a_sandbox("[env.sandbox]\noperator = \"ada\"\n").expect("enough");
    assert!(config.sandbox_url.is_some() && config.app_url.is_some() && config.stripe_key.is_some(), "the sandbox's own file");
}

#[test]
fn a_live_key_is_sent_nowhere_in_the_clear() {
    let with = |key: &'static str, base: &'static str| {
        Config::load(None, None, &move |name| match name {
            "STRIPE_SECRET_KEY" => Some(key.into()),
            "STRIPE_API_BASE" => Some(base.into()),
            _ => None,
        })
    };
    for key in ["sk_live_abc", "rk_live_abc", " sk_live_abc"] {
        for base in ["http://127.0.0.1:4242", "http://stripe.example"] {
            let err = with(key, base).expect_err("in the clear").to_string();
            assert!(err.starts_with("STRIPE_API_BASE: ") && err.contains("https") && !err.contains("live_abc"), "{err}");
        }
        assert!(with(key, "https://stripe.example").is_ok());
        assert!(with(key, "").is_ok());
    }
    assert!(with("sk_test_abc", "http://127.0.0.1:4242").is_ok());
    let named = beside_a_sandbox("[env.a]\nstripe_key = { env = \"PROD_STRIPE_KEY\" }\nstripe_base = \"http://127.0.0.1:1\"\n");
    assert!(named.expect_err("in the clear").to_string().starts_with("stripe_base: "));
}

#[test]
fn the_sandbox_is_on_this_machine() {
    let with = |sandbox: &'static str| {
        Config::load(None, None, &move |name| match name {
            "APP_URL" => Some("https://api.example".into()),
            "NIGHTDESK_SANDBOX_URL" => Some(sandbox.into()),
            _ => None,
        })
    };
    assert_eq!(with("http://127.0.0.1:4244/").expect("loopback").sandbox_url.as_deref(), Some("http://127.0.0.1:4244"));
    for elsewhere in ["https://evil.example", "http://10.0.0.1:4244", "http://127.0.0.1@evil.example", "evil"] {
        let err = with(elsewhere).expect_err(elsewhere).to_string();
        assert!(err.starts_with("NIGHTDESK_SANDBOX_URL: ") && err.contains("not on this machine"), "{err}");
    }
}
