//! What the process writes to, gone or unread: no answer, no record and no end depends on it. The signals that end it.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::database::Database;
use crate::folder::Folder;
use crate::server::{BINARY, Server, Start, signal};

const QUESTION: &str = "Is my deposit FDIC insured, and up to how much?";
/// More than an end takes on a machine that does much else.
const END_MAX: Duration = Duration::from_secs(20);

/// A server whose log is a pipe.
fn piped(start: &Start) -> Server {
    let server = start.launch_into(Stdio::piped(), |port| start.command(port));
    server.wait_until("the server is ready", || {
        server.get("/health/ready").is_ok_and(|ready| ready.status == 200).then_some(())
    });
    server
}

fn ends_well(server: &mut Server) {
    let status = server.wait_exit(END_MAX).expect("it ends");
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_log_whose_reader_is_gone_costs_no_answer_and_no_record() {
    let config = Folder::without_articles();
    config.change("mainstay.toml", "durability = \"commit\"", "durability = \"async\"");
    let start = Start { log: "debug", ..Start::with(&Arc::new(config)) };
    let mut server = piped(&start);
    drop(server.take_log());
    for _ in 0..3 {
        assert_eq!(server.get("/nowhere").expect("a reply").status, 404);
        assert_eq!(server.post("/query", &serde_json::json!({ "query": 5 })).status, 400);
    }
    let id = server.query(QUESTION)["interaction_id"].as_str().expect("an id").to_owned();
    server.terminate();
    ends_well(&mut server);
    let recorded = Database::open(&start.data()).ids("interactions");
    assert!(recorded.contains_key(&id), "{id} is not among {recorded:?}");
}

#[test]
fn a_log_that_nobody_reads_holds_no_request_up() {
    let start = Start { log: "trace", ..Start::plain() };
    let mut server = piped(&start);
    let mut unread = server.take_log();
    for n in 0..2_000 {
        let reply = server.get("/nowhere").unwrap_or_else(|error| panic!("request {n}: {error}"));
        assert_eq!(reply.status, 404, "request {n}");
    }
    server.terminate();
    ends_well(&mut server);
    let mut said = String::new();
    unread.read_to_string(&mut said).expect("text");
    assert!(said.contains("mainstay"), "what fitted is there: {said}");
}

#[test]
fn a_hangup_ends_the_server_as_gently_as_a_term() {
    let start = Start::plain();
    // Whoever runs the tests may ignore hang-ups, and children inherit that.
    let launched_by = |shell: &[&str]| {
        let server = start.launch_by(|port| {
            let served = start.command(port);
            let mut command = Command::new(shell[0]);
            command.current_dir(start.data.path()).args(&shell[1..]);
            command.arg(served.get_program()).args(served.get_args());
            command
        });
        server.wait_until("the server is ready", || {
            server.get("/health/ready").is_ok_and(|ready| ready.status == 200).then_some(())
        });
        server
    };
    let mut server = launched_by(&["env", "--default-signal=HUP"]);
    signal(server.pid(), "HUP");
    ends_well(&mut server);
    assert!(server.log().contains("stopped"), "{}", server.log());

    let server = launched_by(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]);
    signal(server.pid(), "HUP");
    for _ in 0..20 {
        assert_eq!(server.get("/health/ready").expect("a reply").status, 200, "nohup keeps it");
    }
}

/// A command whose output goes to `out`.
fn into(out: &str, arguments: &str) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("bash");
    let script = match out {
        "a closed pipe" => format!("set -o pipefail; (sleep 0.1; exec '{BINARY}' {arguments}) | true"),
        file => format!("'{BINARY}' {arguments} > {file}"),
    };
    command.current_dir(folder.path()).args(["-c", &script]).output().expect("a shell")
}

#[test]
fn a_result_that_nobody_reads_ends_the_command_quietly() {
    for arguments in
        ["models list", "models list --json", "doctor --url http://127.0.0.1:1", "check", "init new"]
    {
        let output = into("a closed pipe", arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_ref()), (Some(141), ""), "{arguments}");
    }
    let output = into("/dev/full", "models list");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("mainstay: could not write the result: "), "{said}");
}

#[test]
fn few_open_files_are_a_warning_only_for_who_asked_for_more() {
    for (setting, level) in [("connections_max = 10_000", " INFO "), ("connections_max = 9_000", " WARN ")] {
        let config = Folder::without_articles();
        config.change("mainstay.toml", "[server]", &format!("[server]\n{setting}"));
        let start = Start::with(&Arc::new(config));
        let server = start.launch_by(|port| {
            let served = start.command(port);
            let mut command = Command::new("sh");
            command.current_dir(start.data.path()).args(["-c", "ulimit -n 1024; exec \"$@\"", "sh"]);
            command.arg(served.get_program()).args(served.get_args());
            command
        });
        let told = || server.log().lines().find(|line| line.contains("1024 open files")).map(str::to_owned);
        let told = server.wait_until("it tells of its files", told);
        assert!(told.contains(level), "{setting}: {told}");
    }
}
