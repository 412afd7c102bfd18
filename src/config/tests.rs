mod bounds;
mod providers;

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
        (
            "postgres://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write",
            "PostgreSQL at h1:5432,h2:5433/d",
        ),
        ("postgres://u:p@ss@h/d", "PostgreSQL"),
        ("postgres:///d", "PostgreSQL at a local socket/d"),
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
