//! Commands for people and scripts.

use std::process::{Command, Output};

use serde_json::{Value, json};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{BINARY, Start, run};

const QUESTION: &str = "Is my deposit FDIC insured, and up to how much?";
const GROUNDED: &str = "Yes. FDIC deposit insurance covers up to $250,000 per depositor, per insured bank, for each \
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
    let config = Folder::with_settings(&ladder(&[&upstream], ""));
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
    let start = Start::bare();
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

#[test]
fn init_overwrites_nothing() {
    let folder = Folder::init();
    folder.write("contact.toml", "mine");
    let output = run(&["init", &folder.path().display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("contact.toml"), "it does not say what it kept: {}", stderr(&output));
    assert_eq!(folder.read("contact.toml"), "mine");
}

#[test]
fn wrong_commands_are_explained() {
    for arguments in [&["nothing"][..], &["serve", "--port", "1"], &["ask"], &["--log", "=loud=", "check"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}
