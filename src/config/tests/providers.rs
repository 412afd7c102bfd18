//! Providers and their routing.

use super::*;

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
