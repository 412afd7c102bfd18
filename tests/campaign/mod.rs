//! `oncepay drill --nemesis`, as a process: that a short campaign is survived, that a careless world is
//! not, and what is left behind.

mod short;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::eventually;

/// The program, with a folder of its own for whatever is temporary, through which PostgreSQL gets, which
/// does not run as root.
fn campaign(temporary: &TempDir, args: &[&str]) -> Command {
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_oncepay"));
    command
        .args(["drill", "--nemesis"])
        .args(args)
        .env("TMPDIR", temporary.path())
        .current_dir(temporary.path())
        .stdin(Stdio::null());
    command
}

async fn run(temporary: &TempDir, args: &[&str]) -> Output {
    let mut command = campaign(temporary, args);
    let running = tokio::task::spawn_blocking(move || command.output());
    running.await.unwrap().unwrap()
}

/// The report, and beside it all that is needed to see what went wrong.
fn report(output: &Output) -> (Value, String) {
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let said = said.join("\n");
    let report = serde_json::from_slice(&output.stdout);
    (
        report.unwrap_or_else(|error| panic!("{error}: {said}")),
        said,
    )
}

/// Processes that work in the folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let in_it = processes.filter(|process| {
        let works_in = fs::read_link(process.path().join("cwd"));
        let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let named = String::from_utf8_lossy(&command).contains(folder.to_str().unwrap());
        named || works_in.is_ok_and(|works_in| works_in.starts_with(folder))
    });
    in_it
        .map(|process| process.file_name().into_string().unwrap())
        .collect()
}

/// Waits until no process works in the folder: what was killed may end a moment later.
async fn ended(folder: &Path) {
    eventually("every process has ended", || async {
        processes_in(folder).is_empty().then_some(())
    })
    .await;
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap().flatten();
    entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// Another plan with every run; the report tells the seed of one that fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_campaign_charges_once_and_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let duration = format!("{}s", short::SHORT_S);
    let args = ["--duration", &duration, "--clients", "12", "--json"];

    let output = run(&temporary, &args).await;

    let (report, said) = report(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(report["verdict"], "once", "{said}");
    let count = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    assert!(count("/succeeded") > 10, "{said}");
    assert!(count("/duplicates") > 10, "{said}");
    assert!(report["settled_ms"].is_u64(), "{said}");
    let survived = report["survived"].as_object().unwrap();
    for part in ["node", "PostgreSQL", "HAProxy", "way to", "provider"] {
        assert!(
            survived.keys().any(|kind| kind.contains(part)),
            "{part}: {said}"
        );
    }
    assert_eq!(entries(temporary.path()), Vec::<String>::new());
    ended(temporary.path()).await;
}

/// What everything rests on is broken on purpose: nobody can survive that, and a campaign that does
/// judges nothing. With the seed of the forgetful provider, for some seconds it charges and either does not
/// answer or answers with an error, at every call, and is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_careless_world_is_caught_with_evidence() {
    let table = [
        ("forgetful-provider", "1397", "was charged "),
        ("two-databases", "1", "has two payments"),
    ];
    for (careless, seed, expected) in table {
        let temporary = tempfile::tempdir().unwrap();
        let args = [
            "--seed",
            seed,
            "--duration",
            "12s",
            "--clients",
            "8",
            "--json",
        ];
        let args: Vec<_> = args.into_iter().chain(["--careless", careless]).collect();

        let output = run(&temporary, &args).await;

        let (report, said) = report(&output);
        assert_eq!(output.status.code(), Some(1), "{careless}: {said}");
        assert_eq!(report["verdict"], "failed");
        let findings = report["findings"].as_array().unwrap();
        let is_found = |finding: &Value| finding.as_str().unwrap().contains(expected);
        let found = findings.iter().find(|finding| is_found(finding));
        let found = found.unwrap_or_else(|| panic!("{careless}: {said}"));
        let folder = Path::new(report["folder"].as_str().unwrap());
        let evidence = fs::read_to_string(folder.join("findings.txt")).unwrap();
        let (_, own) = evidence.split_once(found.as_str().unwrap()).unwrap();
        let (own, _) = own.split_once("\n\n").unwrap();
        assert!(own.contains("Create "), "its history: {own}");
        for name in [
            "plan.txt",
            "history.jsonl",
            "node1.1.log",
            "haproxy.1.log",
            "postgres.log",
        ] {
            assert!(folder.join(name).is_file(), "{name}");
        }
        ended(temporary.path()).await;
    }
}

/// Without its provider nothing can be judged: then that is the verdict, with the evidence of all that
/// came before.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_breaks_off_has_a_verdict_and_leaves_its_evidence() {
    let temporary = tempfile::tempdir().unwrap();
    let args = ["--seed", "2", "--duration", "10s", "--json"];
    let mut drill = campaign(&temporary, &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_clients_pay(&mut drill);
    let folder = temporary.path().join(&entries(temporary.path())[0]);
    let id = fs::read_to_string(folder.join("sandbox.pid")).unwrap();
    let id = Pid::from_raw(id.parse().unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();

    let output = tokio::task::spawn_blocking(|| drill.wait_with_output());
    let output = output.await.unwrap().unwrap();

    let (report, said) = report(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(report["verdict"], "failed", "{said}");
    assert_eq!(report["folder"], folder.to_str().unwrap());
    let finding = report["findings"][0].as_str().unwrap();
    let expected = "the campaign could not go on: the sandbox at ";
    assert!(finding.starts_with(expected), "{said}");
    let evidence = fs::read_to_string(folder.join("findings.txt")).unwrap();
    assert!(evidence.contains(finding), "{evidence}");
    let history = fs::read_to_string(folder.join("history.jsonl")).unwrap();
    assert!(history.lines().count() > 1, "{said}");
    assert!(folder.join("plan.txt").is_file());
    ended(temporary.path()).await;
}

fn wait_until_clients_pay(drill: &mut Child) {
    let lines = BufReader::new(drill.stderr.take().unwrap()).lines();
    let paying = lines
        .map_while(Result::ok)
        .any(|line| line.contains("clients pay"));
    assert!(paying);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_killed_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut drill = campaign(&temporary, &["--seed", "3", "--duration", "60s"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_clients_pay(&mut drill);
    let folder = temporary.path();
    assert!(
        processes_in(folder).len() >= 5,
        "nodes, balancer, sandbox, database"
    );

    drill.kill().unwrap();
    drill.wait().unwrap();

    eventually("nothing is left", || async {
        (entries(folder).is_empty() && processes_in(folder).is_empty()).then_some(())
    })
    .await;
}

#[test]
fn what_makes_no_sense_is_a_matter_of_usage() {
    let table: [(&[&str], &str); 4] = [
        (&["drill", "--seed", "1"], "--nemesis"),
        (&["drill", "--duration", "60s"], "--nemesis"),
        (&["drill", "--nemesis", "--duration", "5s"], "10s to 1440m"),
        (
            &["drill", "--nemesis", "--only", "none"],
            "cannot be used with",
        ),
    ];
    for (args, expected) in table {
        let output = Command::new(env!("CARGO_BIN_EXE_oncepay"))
            .args(args)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
