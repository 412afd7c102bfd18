//! The program as a person starts it: arguments and environment in, two streams and a code out.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::harness::Reserved;

/// The program in an empty folder, with only those variables set.
fn oncepay(folder: &TempDir, args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oncepay"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .current_dir(folder.path())
        .output()
        .unwrap()
}

/// A process that is killed when the test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn help_names_every_command_and_is_no_error() {
    let output = oncepay(&folder(), &["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    for command in [
        "serve",
        "migrate",
        "merchants",
        "keys",
        "sandbox",
        "check",
        "drill",
    ] {
        assert!(
            out(&output).contains(&format!("\n  {command} ")),
            "{command}"
        );
    }
    assert_eq!(err(&output), "");
}

#[test]
fn version_is_the_package_s() {
    let output = oncepay(&folder(), &["--version"], &[]);
    assert_eq!(
        out(&output),
        concat!("oncepay ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn an_unknown_flag_is_a_matter_of_usage() {
    let output = oncepay(&folder(), &["serve", "--cache-url", "redis://x"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--cache-url"), "{}", err(&output));
    assert_eq!(out(&output), "");
}

#[test]
fn an_unknown_setting_stops_every_command_that_reads_settings() {
    for args in [
        &["serve"][..],
        &[],
        &["migrate"],
        &["keys", "list"],
        &["merchants", "list"],
    ] {
        let folder = folder();
        let output = oncepay(&folder, args, &[("ONCEPAY_CACHE_URL", "redis://x")]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = err(&output);
        assert!(
            said.contains("environment variable ONCEPAY_CACHE_URL"),
            "{said}"
        );
        assert!(said.contains("what to do: "), "{said}");
        assert_eq!(
            folder.path().read_dir().unwrap().count(),
            0,
            "nothing was made"
        );
    }
}

#[test]
fn a_value_out_of_bounds_is_told_with_its_limit() {
    let env = [("ONCEPAY_LIMITS__LEASE_S", "20")];
    let output = oncepay(&folder(), &["serve"], &env);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains("limits.lease_s is 20, but must be 45 to 3600"),
        "{said}"
    );
}

#[test]
fn a_setting_in_the_file_is_told_with_the_file() {
    let folder = folder();
    std::fs::write(folder.path().join("pay.toml"), "[limits]\nlease = 60\n").unwrap();
    let output = oncepay(&folder, &["serve", "--config", "pay.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains("pay.toml") && said.contains("`lease`"),
        "{said}"
    );
}

#[test]
fn a_missing_configuration_file_is_told_with_the_cause() {
    let output = oncepay(
        &folder(),
        &["keys", "list"],
        &[("ONCEPAY_CONFIG", "nowhere.toml")],
    );
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains("nowhere.toml") && said.contains("No such file"),
        "{said}"
    );
}

#[test]
fn check_finds_a_bad_configuration_and_exits_with_1() {
    let output = oncepay(&folder(), &["check"], &[("ONCEPAY_DATABASE_POOL_MAX", "0")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).starts_with("FAILED  configuration: "),
        "{}",
        out(&output)
    );
    assert!(out(&output).contains("database_pool_max is 0"));
}

#[test]
fn a_bootstrap_key_of_the_wrong_kind_is_refused_and_not_repeated() {
    let key = format!("op_admin_{}", "s".repeat(40));
    let output = oncepay(&folder(), &[], &[("ONCEPAY_BOOTSTRAP_API_KEY", &key)]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains("ONCEPAY_BOOTSTRAP_API_KEY must be op_test_ or op_live_"),
        "{said}"
    );
    assert!(!said.contains(&key));
}

#[test]
fn a_log_filter_that_is_not_understood_is_refused() {
    let output = oncepay(&folder(), &["serve"], &[("ONCEPAY_LOG", "oncepay=loud")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("oncepay=loud"), "{}", err(&output));
}

#[test]
fn a_revoked_key_s_id_must_be_an_id() {
    let output = oncepay(&folder(), &["keys", "revoke", "op_test_x"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("key_"), "{}", err(&output));
}

#[test]
fn a_sandbox_says_where_it_listens_and_ends_well_at_sigterm() {
    let child = Command::new(env!("CARGO_BIN_EXE_oncepay"))
        .args(["sandbox", "--listen", "127.0.0.1:0"])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let address = first.split("http://").nth(1).unwrap();
    let address = address.split(',').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /sandbox/charges HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"count\":0"), "{answer}");

    let pid = child.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = oncepay(&folder(), &["sandbox", "--listen", &address], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = err(&output);
    assert!(
        said.contains(&address) && said.contains("take another address"),
        "{said}"
    );
}

#[test]
fn a_server_whose_port_is_taken_makes_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder();
    let output = oncepay(&folder, &["serve", "--listen", &address], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = err(&output);
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert!(said.contains("take another --listen"), "{said}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    assert_eq!(out(&output), "");
}

#[test]
fn check_tells_which_provider_does_not_answer() {
    let nobody = Reserved::any();
    let url = format!("http://{}", nobody.address());
    let output = oncepay(&folder(), &["check", "--provider-url", &url], &[]);
    assert_eq!(output.status.code(), Some(1));
    let failed = format!("FAILED  provider stripe: {url}: ");
    assert!(
        out(&output).lines().any(|line| line.starts_with(&failed)),
        "{}",
        out(&output)
    );
}

mod with_a_store {
    use super::*;

    #[test]
    fn a_key_is_made_listed_and_revoked() {
        let folder = folder();
        let made = oncepay(&folder, &["keys", "create"], &[]);
        assert_eq!(made.status.code(), Some(0), "{}", err(&made));
        let key = out(&made).trim_end();
        assert!(
            key.starts_with("op_test_") && !key.contains(char::is_whitespace),
            "{key}"
        );
        assert!(!err(&made).contains(key));

        let listed = oncepay(&folder, &["keys", "list"], &[]);
        let row = out(&listed).lines().nth(1).unwrap();
        assert!(
            row.starts_with("key_") && row.contains(&key[..12]) && !row.contains(key),
            "{row}"
        );
        let id = row.split_whitespace().next().unwrap();
        let merchants = oncepay(&folder, &["merchants", "list"], &[]);
        assert!(out(&merchants).contains(" test "), "{}", out(&merchants));

        let revoked = oncepay(&folder, &["keys", "revoke", id], &[]);
        assert_eq!(revoked.status.code(), Some(0), "{}", err(&revoked));
        let unknown = "key_00000000000000000000000000";
        let unknown = oncepay(&folder, &["keys", "revoke", unknown], &[]);
        assert_eq!(unknown.status.code(), Some(1));
    }

    #[test]
    fn a_mistyped_database_path_makes_no_file() {
        let folder = folder();
        let output = oncepay(
            &folder,
            &["keys", "list", "--database-url", "sqlite://oops.db"],
            &[],
        );
        assert_eq!(output.status.code(), Some(1));
        let said = err(&output);
        assert!(
            said.contains("oops.db") && said.contains("?mode=rwc"),
            "{said}"
        );
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn check_with_no_settings_finds_all_well() {
        let folder = folder();
        let output = oncepay(&folder, &["check"], &[]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}{}",
            out(&output),
            err(&output)
        );
        assert!(
            out(&output).lines().all(|line| line.starts_with("ok ")),
            "{}",
            out(&output)
        );
        assert!(
            out(&output).contains("oncepay.db does not exist yet"),
            "{}",
            out(&output)
        );
        assert_eq!(
            folder.path().read_dir().unwrap().count(),
            0,
            "nothing was made"
        );
    }
}
