use std::{io::Write, path::PathBuf};

use secrecy::ExposeSecret;
use tempfile::NamedTempFile;

use super::{layers::Source, *};
use crate::payment::Mode;

fn load(env: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
    load_with(Flags::default(), env, file)
}

fn load_with(flags: Flags, env: &[(&str, &str)], text: &str) -> Result<Config, ConfigError> {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let env = env
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load(flags, env, Some(file.path().to_owned()))
}

fn refusal(env: &[(&str, &str)], file: &str) -> String {
    load(env, file).unwrap_err().to_string()
}

/// Two providers, of which the second is retired.
const TWO: &str = r#"
    [[providers]]
    name = "main"
    url = "https://api.stripe.com"
    secret = "sk_live_1"
    [[providers]]
    name = "old"
    url = "https://old.example"
    secret = "sk_live_2"
    retired = true
"#;

#[test]
fn without_any_source_the_defaults_hold_and_the_sandbox_is_the_provider() {
    let config = Config::load(Flags::default(), std::iter::empty(), None).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.database_url.expose_secret(),
        "sqlite://oncepay.db?mode=rwc"
    );
    assert!(config.uses_built_in_sandbox());
    assert_eq!(config.routing, ["sandbox"]);
    assert_eq!(config.providers[0].url, "http://127.0.0.1:8081");
    assert_eq!(config.providers[0].mode, None);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "listen = \"127.0.0.1:1\"\ndatabase_pool_max = 1\n[limits]\nin_flight_max = 1";
    let env = [
        ("ONCEPAY_LISTEN", "127.0.0.1:2"),
        ("ONCEPAY_LIMITS__IN_FLIGHT_MAX", "2"),
    ];
    let flags = Flags {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        ..Flags::default()
    };
    let config = load_with(flags, &env, file).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.limits.in_flight_max, 2);
    assert_eq!(config.database_pool_max, 1);
}

#[test]
fn the_database_s_own_variable_wins_over_the_common_one() {
    let common = ("DATABASE_URL", "postgres://common/db");
    let config = load(&[common], "database_url = \"file.db\"").unwrap();
    assert_eq!(config.database_url.expose_secret(), common.1);
    let own = ("ONCEPAY_DATABASE_URL", "postgres://own/db");
    assert_eq!(
        load(&[common, own], "")
            .unwrap()
            .database_url
            .expose_secret(),
        own.1
    );
}

#[test]
fn a_secret_that_looks_like_a_number_survives() {
    for secret in ["1e5", "00123", "true", " x,y"] {
        let url = ("ONCEPAY_PROVIDER_URL", "http://127.0.0.1:9");
        let loaded = load(&[url, ("ONCEPAY_PROVIDER_SECRET", secret)], "");
        if secret.starts_with(' ') {
            assert!(
                loaded
                    .unwrap_err()
                    .to_string()
                    .starts_with("provider_secret")
            );
        } else {
            assert_eq!(loaded.unwrap().providers[0].secret.expose_secret(), secret);
        }
    }
}

#[test]
fn an_unknown_setting_is_named_with_its_place() {
    let unknown = refusal(&[("ONCEPAY_CACHE_URL", "redis://x")], "");
    assert!(
        unknown.contains("environment variable ONCEPAY_CACHE_URL"),
        "{unknown}"
    );
    let nested = refusal(&[("ONCEPAY_LIMITS__LEASE", "60")], "");
    assert!(nested.contains("ONCEPAY_LIMITS__LEASE"), "{nested}");
    let in_file = refusal(&[], "[limits]\nleese_s = 60");
    assert!(
        in_file.contains("leese_s") && in_file.contains("configuration file /"),
        "{in_file}"
    );
    let of_a_provider = refusal(&[], &TWO.replace("retired", "retried"));
    assert!(of_a_provider.contains("retried"), "{of_a_provider}");
    let bootstrap = refusal(&[("ONCEPAY_BOOTSTRAP_KEY", "x")], "");
    assert!(
        bootstrap.starts_with("ONCEPAY_BOOTSTRAP_KEY is unknown"),
        "{bootstrap}"
    );
}

#[test]
fn a_value_that_cannot_be_read_is_named_with_its_place() {
    let number = refusal(&[("ONCEPAY_DATABASE_POOL_MAX", "many")], "");
    assert!(
        number.contains("environment variable ONCEPAY_DATABASE_POOL_MAX")
            && number.contains("many"),
        "{number}"
    );
    let address = refusal(&[], "listen = \"localhost\"");
    assert!(address.contains("listen"), "{address}");
    let negative = refusal(&[], "database_pool_max = -1");
    assert!(negative.contains("database_pool_max"), "{negative}");
    let format = refusal(&[("ONCEPAY_LOG__FORMAT", "xml")], "");
    assert!(format.contains("ONCEPAY_LOG__FORMAT"), "{format}");
}

#[test]
fn a_value_out_of_bounds_is_named_with_its_limit() {
    for (name, value, setting, limit) in [
        (
            "ONCEPAY_DATABASE_POOL_MAX",
            "0",
            "database_pool_max",
            "1 to 200",
        ),
        ("ONCEPAY_HTTP_WORKERS", "257", "http_workers", "1 to 256"),
        (
            "ONCEPAY_LIMITS__IN_FLIGHT_MAX",
            "0",
            "limits.in_flight_max",
            "1 to 1000000",
        ),
        (
            "ONCEPAY_LIMITS__BODY_BYTES_MAX",
            "9",
            "limits.body_bytes_max",
            "1024 to 1048576",
        ),
        (
            "ONCEPAY_LIMITS__DEADLINE_MS",
            "0",
            "limits.deadline_ms",
            "100 to 300000",
        ),
        (
            "ONCEPAY_LIMITS__SHUTDOWN_TIMEOUT_S",
            "601",
            "limits.shutdown_timeout_s",
            "0 to 600",
        ),
        (
            "ONCEPAY_LIMITS__BATCH_ROWS_MAX",
            "5000",
            "limits.batch_rows_max",
            "1 to 4096",
        ),
        (
            "ONCEPAY_LIMITS__DUPLICATES_MAX",
            "0",
            "limits.duplicates_max",
            "1 to 65536",
        ),
        (
            "ONCEPAY_LIMITS__QUEUE_WAIT_MS",
            "9",
            "limits.queue_wait_ms",
            "10 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__QUEUE_ROWS_MAX",
            "0",
            "limits.queue_rows_max",
            "1 to 1000000",
        ),
        (
            "ONCEPAY_LIMITS__CONNECTIONS_MAX",
            "0",
            "limits.connections_max",
            "1 to 1000000",
        ),
        (
            "ONCEPAY_LIMITS__HEAD_TIMEOUT_MS",
            "99",
            "limits.head_timeout_ms",
            "100 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__BODY_TIMEOUT_MS",
            "60001",
            "limits.body_timeout_ms",
            "100 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__SEND_TIMEOUT_MS",
            "99",
            "limits.send_timeout_ms",
            "100 to 60000",
        ),
        (
            "ONCEPAY_LIMITS__KEEP_ALIVE_S",
            "0",
            "limits.keep_alive_s",
            "1 to 3600",
        ),
        (
            "ONCEPAY_LIMITS__PROVIDER_CALLS_MAX",
            "0",
            "limits.provider_calls_max",
            "1 to 65536",
        ),
        (
            "ONCEPAY_LIMITS__PROVIDER_CALLS_MIN",
            "0",
            "limits.provider_calls_min",
            "1 to 65536",
        ),
        (
            "ONCEPAY_LIMITS__PENDING_TTL_S",
            "0",
            "limits.pending_ttl_s",
            "1 to 2592000",
        ),
        (
            "ONCEPAY_BREAKER__FAILURE_RATE_PERCENT",
            "101",
            "breaker.failure_rate_percent",
            "1 to 100",
        ),
        (
            "ONCEPAY_BREAKER__OPEN_MAX_S",
            "9",
            "breaker.open_max_s",
            "10 to 3600",
        ),
        (
            // The built-in sandbox's attempts take up to 10 s.
            "ONCEPAY_BREAKER__HALF_OPEN_MAX_S",
            "10",
            "breaker.half_open_max_s",
            "11 to 600",
        ),
        (
            "ONCEPAY_RETRY__BUDGET_PERCENT",
            "101",
            "retry.budget_percent",
            "0 to 100",
        ),
    ] {
        let text = refusal(&[(name, value)], "");
        assert_eq!(text, format!("{setting} is {value}, but must be {limit}"));
    }
}

/// Rule 13.
#[test]
fn rule_13_a_lease_outlasts_deadline_and_attempt_and_commit() {
    assert!(load(&[("ONCEPAY_LIMITS__LEASE_S", "45")], "").is_ok());
    let short = refusal(&[("ONCEPAY_LIMITS__LEASE_S", "44")], "");
    assert!(
        short.starts_with("limits.lease_s is 44, but must be 45 to 3600"),
        "{short}"
    );
    let slow = TWO.replace("retired = true", "attempt_timeout_ms = 20000");
    let short = refusal(&[("ONCEPAY_LIMITS__LEASE_S", "54")], &slow);
    assert!(short.contains("must be 55 to 3600"), "{short}");
}

#[test]
fn an_attempt_fits_into_the_deadline_and_connecting_into_the_attempt() {
    let slow = TWO.replace("retired = true", "attempt_timeout_ms = 20001");
    let text = refusal(&[], &slow);
    assert_eq!(
        text,
        "providers[1].attempt_timeout_ms is 20001, but must be 10 to 20000"
    );
    let quick = TWO.replace("retired = true", "attempt_timeout_ms = 500");
    let config = load(&[], &quick).unwrap();
    assert_eq!(config.providers[1].connect_timeout().as_millis(), 250);
    assert_eq!(config.providers[0].connect_timeout().as_millis(), 2_000);
    let text = refusal(&[], &quick.replace("500", "500\nconnect_timeout_ms = 500"));
    assert!(
        text.contains("connect_timeout_ms is 500, but must be 1 to 499"),
        "{text}"
    );
}

#[test]
fn routing_is_all_that_are_not_retired_unless_it_is_said() {
    assert_eq!(load(&[], TWO).unwrap().routing, ["main"]);
    let three = TWO.replace("retired = true", "");
    assert_eq!(load(&[], &three).unwrap().routing, ["main", "old"]);
    let env = [("ONCEPAY_ROUTING", "old, main")];
    assert_eq!(load(&env, &three).unwrap().routing, ["old", "main"]);
    assert!(refusal(&env, TWO).contains("names \"old\", which is retired"));
    let unknown = refusal(&[("ONCEPAY_ROUTING", "new")], TWO);
    assert!(
        unknown.contains("which is none of the providers"),
        "{unknown}"
    );
    assert!(refusal(&[("ONCEPAY_ROUTING", "main,main")], TWO).contains("twice"));
}

#[test]
fn the_secret_tells_the_mode_and_may_not_contradict_it() {
    assert_eq!(load(&[], TWO).unwrap().providers[0].mode, Some(Mode::Live));
    let text = refusal(&[], &TWO.replace("retired = true", "mode = \"test\""));
    assert_eq!(
        text,
        "providers[1].mode is test, but the secret is one of the live mode"
    );
    assert!(refusal(&[], &TWO.replace("retired = true", "mode = \"play\"")).contains("play"));
}

#[test]
fn a_provider_elsewhere_needs_a_secret_and_a_sandbox_beside_us_does_not() {
    let beside = ("ONCEPAY_PROVIDER_URL", "http://localhost:8081");
    let config = load(&[beside], "").unwrap();
    assert_eq!(
        (config.providers[0].mode, &*config.routing),
        (None, &["stripe".to_owned()][..])
    );
    assert!(!config.uses_built_in_sandbox());
    let elsewhere = refusal(&[("ONCEPAY_PROVIDER_URL", "https://api.stripe.com")], "");
    assert!(
        elsewhere.contains("set ONCEPAY_PROVIDER_SECRET"),
        "{elsewhere}"
    );
    let alone = refusal(&[("ONCEPAY_PROVIDER_SECRET", "sk_test_1")], "");
    assert!(alone.contains("provider_url is not"), "{alone}");
    let account = ("ONCEPAY_PROVIDER_ACCOUNT", "acct_1");
    let alone = refusal(&[account], "");
    assert!(alone.starts_with("provider_account is set"), "{alone}");
    let declared = load(&[beside, account], "").unwrap();
    assert_eq!(declared.providers[0].account.as_deref(), Some("acct_1"));
    assert!(refusal(&[beside], TWO).contains("both set"));
    let password = refusal(
        &[("ONCEPAY_PROVIDER_URL", "https://u:hidden@x.example")],
        "",
    );
    assert!(
        password.contains("its own setting") || password.contains("SECRET"),
        "{password}"
    );
    assert!(!password.contains("hidden"));
}

#[test]
fn a_live_secret_is_not_sent_in_the_clear() {
    let text = refusal(&[], &TWO.replace("https://old", "http://old"));
    assert_eq!(
        text,
        "providers[1].url must begin with https://, for the secret is a live one"
    );
}

#[test]
fn providers_are_set_in_a_file_only() {
    let text = refusal(&[("ONCEPAY_PROVIDERS__0__NAME", "x")], "");
    assert!(
        text.contains("ONCEPAY_PROVIDERS__0__NAME") && text.contains("file"),
        "{text}"
    );
}

#[test]
fn the_log_filter_has_a_short_name() {
    let config = load(
        &[("ONCEPAY_LOG", "warn,oncepay=debug")],
        "[log]\nformat = \"json\"",
    )
    .unwrap();
    assert_eq!(config.log.filter, "warn,oncepay=debug");
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = load(&[("DATABASE_URL", ""), ("ONCEPAY_HTTP_WORKERS", "")], "").unwrap();
    assert_eq!(config.http_workers, None);
}

#[test]
fn the_environment_may_name_the_file_and_a_missing_file_is_told() {
    let env = [(
        "ONCEPAY_CONFIG".to_owned(),
        "/nowhere/oncepay.toml".to_owned(),
    )];
    let error = Config::load(Flags::default(), env.into_iter(), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration file /nowhere/oncepay.toml cannot be read"
    );
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn bootstrap_keys_must_have_a_key_s_shape_and_the_right_prefix() {
    let body = "a".repeat(32);
    let (api, admin) = (format!("op_live_{body}"), format!("op_admin_{body}"));
    let config = load(
        &[
            ("ONCEPAY_BOOTSTRAP_API_KEY", &api),
            ("ONCEPAY_BOOTSTRAP_ADMIN_KEY", &admin),
        ],
        "",
    )
    .unwrap();
    assert_eq!(config.bootstrap.api_key.unwrap().expose(), api);
    assert_eq!(config.bootstrap.admin_key.unwrap().expose(), admin);
    for (name, value) in [
        ("ONCEPAY_BOOTSTRAP_API_KEY", admin.as_str()),
        ("ONCEPAY_BOOTSTRAP_ADMIN_KEY", &api),
        ("ONCEPAY_BOOTSTRAP_API_KEY", "op_test_short"),
    ] {
        let text = refusal(&[(name, value)], "");
        assert!(
            text.starts_with(name) && text.contains("32 letters"),
            "{text}"
        );
        assert!(!text.contains(value), "{text}");
    }
}

#[test]
fn neither_debug_nor_an_error_shows_a_secret() {
    let env = [
        (
            "DATABASE_URL",
            "postgres://user:hidden@db/pay?password=hidden",
        ),
        ("ONCEPAY_PROVIDER_URL", "https://api.stripe.com"),
        ("ONCEPAY_PROVIDER_SECRET", "sk_test_hidden"),
        (
            "ONCEPAY_BOOTSTRAP_API_KEY",
            "op_test_hiddenhiddenhiddenhiddenhiddenhidden",
        ),
    ];
    let config = load(&env, "").unwrap();
    assert!(!format!("{config:?} {config:#?}").contains("hidden"));
    assert_eq!(
        describe_database(&config.database_url),
        "PostgreSQL at db/pay"
    );

    for broken in [
        "[[providers]]\nname = \"a\"\nsecret = sk_live_hidden",
        "provider_secret = \"hidden\nlisten = 3",
        "provider_secret = [\"hidden\"]",
        "provider_secret = { a = \"hidden\" }",
    ] {
        let error = load(&[], broken).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hidden"),
            "{error:?}"
        );
    }
}

#[test]
fn a_database_is_described_without_its_parameters() {
    for (url, said) in [
        ("sqlite://oncepay.db?mode=rwc", "SQLite file oncepay.db"),
        ("sqlite:///var/pay.db", "SQLite file /var/pay.db"),
        ("pay.db", "SQLite file pay.db"),
        (
            "postgresql://h:5433/d?sslmode=require",
            "PostgreSQL at h:5433/d",
        ),
        ("mysql://u:p@h/d", "a database of an unknown kind"),
    ] {
        assert_eq!(describe_database(&url.into()), said);
    }
}

#[test]
fn a_source_is_named_so_that_one_finds_it() {
    let source = Source::File(PathBuf::from("/etc/oncepay.toml"));
    assert_eq!(source.to_string(), "configuration file /etc/oncepay.toml");
}
