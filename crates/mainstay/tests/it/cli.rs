//! Commands for people and scripts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{BINARY, Start, run};

const QUESTION: &str = "Is my deposit FDIC insured, and up to how much?";
const GROUNDED: &str = "FDIC deposit insurance covers up to $250,000 per depositor, per insured bank, for each \
                        ownership category.";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn ask_without_a_server_answers_by_itself() {
    let output = run(&["ask", QUESTION, "--url", NOWHERE, "--model", "none"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("1-800-555-0142"), "{}", stdout(&output));
    assert!(stderr(&output).contains("degraded"), "{}", stderr(&output));
    assert!(stderr(&output).contains("the answer is made here"), "{}", stderr(&output));
    let output = run(&["ask", QUESTION, "--url", NOWHERE, "--model", "none", "--json"]);
    let reply: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&reply["outcome"], &reply["model_used"]),
        (&json!("degraded"), &json!("DEGRADED_SERVICE")),
        "{reply}"
    );
}

#[test]
fn ask_and_bench_use_a_running_server() {
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(GROUNDED)));
    let config = Folder::with_articles(&ladder(&[&upstream], ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    let output = run(&["ask", QUESTION, "--url", &server.url()]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(said.starts_with(GROUNDED), "{said}");
    assert!(said.contains("Sources:") && said.contains("[1] Deposit insurance"), "{said}");
    assert_eq!(said.matches("$250,000").count(), 1, "the text is not printed twice: {said}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let suite = folder.path().join("suite.jsonl");
    let lines = [
        json!({ "id": "right", "question": QUESTION, "expect": ["250,000|250000"], "forbid": ["100,000"] }),
        json!({ "id": "wrong", "question": QUESTION, "expect": ["ownership"], "forbid": ["250,000"] }),
    ];
    std::fs::write(&suite, lines.map(|line| line.to_string()).join("\n")).expect("writable");
    let output =
        run(&["bench", "run", "--suite", &suite.display().to_string(), "--url", &server.url(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!((&lines[0]["id"], &lines[0]["verdict"]), (&json!("right"), &json!("right")), "{lines:?}");
    assert_eq!((&lines[1]["id"], &lines[1]["verdict"]), (&json!("wrong"), &json!("wrong")), "{lines:?}");
    let summary = &lines[2]["summary"];
    assert_eq!((&summary["right"], &summary["wrong"]), (&json!(1), &json!(1)), "{summary}");

    std::fs::write(&suite, "{\"id\": \"a\"}\n").expect("writable");
    let output = run(&["bench", "run", "--suite", &suite.display().to_string(), "--url", &server.url()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("suite.jsonl"), "{}", stderr(&output));
    let output = run(&["bench", "run", "--suite", "nowhere.jsonl", "--url", NOWHERE]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn models_and_doctor_speak_json() {
    let output = run(&["models", "list", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let models = listed["models"].as_array().expect("a list");
    let smallest =
        models.iter().find(|model| model["name"] == "smollm2-135m").expect("it is in the catalogue");
    assert_eq!((&smallest["kind"], &smallest["here"]), (&json!("chat"), &json!(false)), "{smallest}");
    assert_eq!(smallest["sha256"].as_str().map(str::len), Some(64));
    assert!(listed["choice"].is_string(), "{listed}");

    let output = run(&["doctor", "--json", "--url", NOWHERE]);
    assert_eq!(state_of(&output, "server"), json!("off"), "{}", stdout(&output));
    assert_eq!(state_of(&output, "configuration"), json!("works"));
    let start = Start::plain();
    let server = start.serve();
    let mut command = Command::new(BINARY);
    command.args(["doctor", "--json", "--wait-ready", "--url", &server.url(), "--data"]).arg(start.data());
    let output = command.current_dir(start.data.path()).output().expect("the binary was built");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    for (name, state) in [
        ("server", "works"),
        ("server: store", "works"),
        ("server: embedded model", "off"),
        ("data folder", "works"),
    ] {
        assert_eq!(state_of(&output, name), json!(state), "{name}: {}", stdout(&output));
    }
}

fn state_of(output: &Output, name: &str) -> Value {
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = said["findings"].as_array().expect("a list");
    let found = findings.iter().find(|finding| finding["name"] == name);
    found.unwrap_or_else(|| panic!("no `{name}`: {said}"))["state"].clone()
}

/// Something else than Mainstay: it answers every request with `body`. It lives as long as the tests.
fn stranger(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request);
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn what_is_no_mainstay_server_is_not_believed() {
    for body in ["{\"status\": \"ok\"}", "<html>hello</html>", "[1]"] {
        let url = stranger(body);
        for (arguments, code) in [
            (&["breakers", "list"][..], 2),
            (&["breakers", "list", "--json"], 2),
            (&["breakers", "reset", "a/b"], 2),
            (&["doctor"], 1),
            (&["doctor", "--wait-ready"], 2),
            (&["ask", QUESTION], 2),
        ] {
            let output = run(&[arguments, &["--url", &url]].concat());
            let said = stdout(&output) + &stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
            assert!(said.contains("is not a Mainstay server"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn no_error_says_a_thing_twice() {
    for (arguments, want) in [
        (&["breakers", "list", "--url", NOWHERE][..], "could not connect"),
        (&["check", "/nowhere/at/all"], "os error 2"),
        (&["breakers", "list", "--url", "foo"], "--url `foo`: this is not an address"),
        (&["breakers", "list", "--url", "ftp://127.0.0.1"], "begins with http:// or https://"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stderr(&output).matches(want).count(), 1, "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("base_url"), "{}", stderr(&output));
    }
}

#[test]
fn doctor_believes_a_running_server_about_its_keys() {
    let upstream = Upstream::start(Behaviour::Answer(Answer::of(GROUNDED)));
    let config = Folder::with_settings(&ladder(&[&upstream], ""));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let mut server = start.serve();
    let line = |name: &str, said: &str| {
        let found = said.lines().find(|line| line.contains(name)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("no `{name}`: {said}"))
    };
    let key = line("key of provider", &server.doctor());
    assert!(key.starts_with("works") && key.contains("the server that runs has it"), "{key}");
    server.terminate();
    server.wait_exit(Duration::from_secs(20)).expect("it ends");
    let said = server.doctor();
    let key = line("key of provider", &said);
    assert!(key.starts_with("broken") && key.contains("in this shell"), "{key}");
    assert!(line("data folder", &said).starts_with("works"), "{said}");

    let database = start.data().join("mainstay.db");
    let whole = std::fs::read(&database).expect("a database");
    let mut damaged = whole.clone();
    damaged[4_096..].fill(0xff);
    for damaged in [damaged, b"this is no database\n".repeat(1_000)] {
        std::fs::write(&database, damaged).expect("writable");
        let data = line("data folder", &server.doctor());
        assert!(data.starts_with("broken") && data.contains("mainstay.db"), "{data}");
    }
}

#[test]
fn init_overwrites_nothing() {
    let folder = Folder::without_articles();
    folder.write("contact.toml", "mine");
    let output = run(&["init", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("contact.toml"), "it does not say what it kept: {}", stderr(&output));
    assert_eq!(folder.read("contact.toml"), "mine");
}

#[test]
fn wrong_commands_are_explained() {
    for arguments in [
        &["nothing"][..],
        &["serve", "--port", "1"],
        &["ask"],
        &["--log", "=loud=", "check"],
        &["--log", "inf", "check"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}
