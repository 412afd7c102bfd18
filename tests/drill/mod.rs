//! `oncepay drill`, as a process: what it finds, what it leaves behind, and that it fails when it should.

mod careless;

use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    net::{SocketAddr, TcpStream},
    process::{Command, Output, Stdio},
};

use careless::{Careless, Vice};
use oncepay::{
    environment::Environment,
    sandbox::{FaultKind, FaultRule, Sandbox, SandboxConfig},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::API_KEY;

/// The program, with a folder of its own for whatever is temporary.
fn oncepay(temporary: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncepay"));
    command
        .args(args)
        .env_clear()
        .env("TMPDIR", temporary.path())
        .current_dir(temporary.path())
        .stdin(Stdio::null());
    command
}

async fn run(temporary: &TempDir, args: &[&str]) -> Output {
    let mut command = oncepay(temporary, args);
    let running = tokio::task::spawn_blocking(move || command.output());
    running.await.unwrap().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn expect_nothing_left(temporary: &TempDir) {
    let left: Vec<_> = temporary.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn sandbox() -> Sandbox {
    let environment = Environment::of_the_machine();
    let (clock, any_port) = (environment.clone(), SocketAddr::from(([127, 0, 0, 1], 0)));
    let now = std::sync::Arc::new(move || clock.now().as_micros());
    let seed = u64::from_le_bytes(environment.random_bytes());
    Sandbox::start(SandboxConfig::new(any_port, seed, now))
        .await
        .unwrap()
}

/// The arguments that point a drill of these rows at a running server.
fn against(server: SocketAddr, sandbox: &Sandbox, rows: &str) -> Vec<String> {
    let control = sandbox.control_address();
    let (server, control) = (format!("http://{server}"), format!("http://{control}"));
    let arguments = [
        "drill",
        "--url",
        &server,
        "--sandbox-url",
        &control,
        "--key",
        API_KEY,
    ];
    let size = ["--payments", "12", "--clients", "4", "--only", rows];
    arguments
        .iter()
        .chain(&size)
        .map(|text| (*text).to_owned())
        .collect()
}

async fn run_against(server: SocketAddr, sandbox: &Sandbox, rows: &str) -> Output {
    let arguments = against(server, sandbox, rows);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    run(&tempfile::tempdir().unwrap(), &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throw_away_world_charges_once_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let rows = "none,twice,declined,refuses,database_cut";
    let size = ["--payments", "22", "--clients", "4", "--only", rows];
    let args: Vec<_> = ["drill"].into_iter().chain(size).collect();

    let drilled = run(&temporary, &args).await;

    assert_eq!(
        drilled.status.code(),
        Some(0),
        "{}{}",
        out(&drilled),
        err(&drilled)
    );
    let table: Vec<Vec<&str>> = out(&drilled)
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    let headings = "FAILURE ASKED PAID CHARGES ANSWERS STRUCK SETTLED VERDICT";
    assert_eq!(table[0].join(" "), headings);
    // Two of 22 cards are declined.
    assert_eq!(table[1][..4], ["nothing fails", "22", "20", "20"]);
    let twice = "the same request twice, at once and later";
    assert_eq!(table[2][..4], [twice, "22", "20", "20"]);
    assert!(table[2][4].contains("40x201"), "{:?}", table[2]);
    assert_eq!(table[3][..4], ["the provider declines", "22", "0", "0"]);
    assert!(table[3][4].contains("22x402"), "{:?}", table[3]);
    let refused = &table[4];
    assert_eq!(refused[0], "the provider refuses connections, then heals");
    assert!(refused[4].contains("x503"), "{refused:?}");
    let database = "the connections to the database are cut";
    assert_eq!(
        table[5],
        [database, "-", "-", "-", "-", "-", "-", "skipped"]
    );
    for row in &table[1..5] {
        assert_eq!(row.last(), Some(&"once"), "{row:?}");
    }
    // Not on a terminal: no bar, and a line for each row.
    let told: Vec<_> = err(&drilled).lines().collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(told[1], "1/5 nothing fails: once");
    expect_nothing_left(&temporary);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_there_is_taken_away() {
    let temporary = tempfile::tempdir().unwrap();
    let size = ["--payments", "120", "--clients", "4"];
    let arguments = [&["drill", "--json", "--only", "redis"], &size[..]].concat();
    let mut command = oncepay(&temporary, &arguments);
    // Where redis-server is found.
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let running = tokio::task::spawn_blocking(move || command.output());
    let drilled = running.await.unwrap().unwrap();
    assert_eq!(drilled.status.code(), Some(0), "{}", err(&drilled));
    let told: Value = serde_json::from_str(out(&drilled)).unwrap();
    let row = &told["rows"][0];
    assert_eq!(
        (&row["verdict"], &row["struck"]),
        (&"once".into(), &3.into())
    );
    expect_nothing_left(&temporary);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_its_word_fails_the_drill() {
    let table = [
        (Vice::None, "none", None),
        (Vice::ChargesTwice, "none", Some("was charged 2 times")),
        (
            Vice::NeverCharges,
            "none",
            Some("succeeded, and there is no charge"),
        ),
        (
            Vice::ChargesTheDeclined,
            "declined",
            Some("is failed, and was charged"),
        ),
        (
            Vice::AnswersAnew,
            "twice",
            Some("got different definite answers"),
        ),
    ];
    for (vice, rows, expected) in table {
        let sandbox = sandbox().await;
        let careless = Careless::start(vice, &sandbox).await;

        let drilled = run_against(careless.address, &sandbox, rows).await;

        let said = out(&drilled);
        let code = i32::from(expected.is_some());
        assert_eq!(
            drilled.status.code(),
            Some(code),
            "{vice:?}: {said}{}",
            err(&drilled)
        );
        let found = expected.unwrap_or("once: ");
        assert!(said.contains(found), "{vice:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_tells_the_same_to_a_machine() {
    let sandbox = sandbox().await;
    let careless = Careless::start(Vice::ChargesTwice, &sandbox).await;
    let mut arguments = against(
        careless.address,
        &sandbox,
        "declined,none,killed_after,error_stored",
    );
    arguments.push("--json".to_owned());
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();

    let drilled = run(&tempfile::tempdir().unwrap(), &arguments).await;

    assert_eq!(drilled.status.code(), Some(1), "{}", err(&drilled));
    let report: Value = serde_json::from_slice(&drilled.stdout).unwrap();
    assert_eq!(report["verdict"], "failed");
    let [declined, none, killed, stored] = &report["rows"].as_array().unwrap()[..] else {
        panic!("{report}");
    };
    assert_eq!(
        (&declined["name"], &declined["verdict"]),
        (&"declined".into(), &"once".into())
    );
    assert_eq!(
        (&declined["asked"], &declined["charges"]),
        (&12.into(), &0.into())
    );
    assert_eq!(declined["answers"], serde_json::json!({"402": 12}));
    // One of 12 cards is declined.
    assert_eq!(
        (&none["succeeded"], &none["charges"]),
        (&11.into(), &22.into())
    );
    assert_eq!(none["findings"].as_array().unwrap().len(), 11);
    assert_eq!(killed["verdict"], "skipped");
    let why = killed["skipped"].as_str().unwrap();
    assert!(why.contains("not ours to kill"), "{why}");
    // Whoever runs that server has set when such a payment counts as never made.
    let why = stored["skipped"].as_str().unwrap();
    assert!(why.contains("key_retention_s"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_provider_is_not_drilled() {
    let (its_own, another) = (sandbox().await, sandbox().await);
    let careless = Careless::start(Vice::None, &its_own).await;

    let drilled = run_against(careless.address, &another, "none").await;

    assert_eq!(drilled.status.code(), Some(1));
    let said = err(&drilled);
    assert!(
        said.contains("not among the charges of the sandbox"),
        "{said}"
    );
}

/// Faults of an earlier drill that was killed would be taken for the server's own.
#[tokio::test(flavor = "multi_thread")]
async fn no_fault_is_left_at_the_sandbox_nor_taken_over() {
    let sandbox = sandbox().await;
    sandbox
        .set_faults(FaultRule::new(FaultKind::ErrorBefore))
        .await;
    let careless = Careless::start(Vice::None, &sandbox).await;

    let drilled = run_against(careless.address, &sandbox, "none").await;

    assert_eq!(
        drilled.status.code(),
        Some(0),
        "{}{}",
        out(&drilled),
        err(&drilled)
    );
    assert!(sandbox.faults_fired().is_empty());
}

#[test]
fn what_makes_no_sense_is_a_matter_of_usage() {
    let temporary = tempfile::tempdir().unwrap();
    let live = API_KEY.replace("test", "live");
    let (url, sandbox) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
    let table: [(&[&str], &str); 6] = [
        (&["--url", url], "--sandbox-url"),
        (&["--key", API_KEY], "--url"),
        (&["--only", "nowhere"], "killed_after"),
        (&["--payments", "0"], "1..=100000"),
        (
            &["--url", url, "--sandbox-url", sandbox, "--key", &live],
            "must be a test key",
        ),
        (
            &[
                "--url",
                "ftp://x",
                "--sandbox-url",
                sandbox,
                "--key",
                API_KEY,
            ],
            "http://",
        ),
    ];
    for (args, expected) in table {
        let output = oncepay(&temporary, &["drill"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            err(&output).contains(expected),
            "{args:?}: {}",
            err(&output)
        );
        assert!(!err(&output).contains(&live));
    }
}

#[test]
fn ctrl_c_takes_the_whole_world_down() {
    let temporary = tempfile::tempdir().unwrap();
    let args = ["drill", "--payments", "100000"];
    let mut drill = oncepay(&temporary, &args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(drill.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(
        first.starts_with("a throw-away server on SQLite"),
        "{first}"
    );
    let folder = temporary
        .path()
        .read_dir()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let addresses = ["serve.log", "sandbox.log"].map(|log| {
        let text = std::fs::read_to_string(folder.path().join(log)).unwrap();
        let address = text.split("http://").nth(1).unwrap();
        let end = address.find([',', '\n']).unwrap();
        address[..end].parse::<SocketAddr>().unwrap()
    });
    let connections = addresses.map(|address| TcpStream::connect(address).unwrap());

    let pid = drill.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());

    assert_eq!(drill.wait().unwrap().code(), Some(1));
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert!(
        rest.join("\n").contains("the drill was interrupted"),
        "{rest:?}"
    );
    // Others may have been given the ports: what tells is that the connections ended with the programs.
    for mut connection in connections {
        connection.set_nonblocking(true).unwrap();
        let ended = connection.read_to_end(&mut Vec::new());
        let lives = ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(!lives, "{connection:?}");
    }
    expect_nothing_left(&temporary);
}
