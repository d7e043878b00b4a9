//! The end of the server, sudden and gentle: what was answered is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::client::Request;
use crate::figures::rounds;
use crate::folder::{EMBEDDED_TIER, Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start};

const N_CLIENTS: usize = 8;

/// A client that asks one question after the other in one session.
#[derive(Debug, Default)]
struct Client {
    name: usize,
    session: Option<Value>,
    n_sent: usize,
    /// Interactions of 2xx replies.
    answered: Vec<String>,
    /// The message that got no reply.
    open: Option<Value>,
}

impl Client {
    /// Asks until `stop`, or until the server is gone.
    fn ask(&mut self, server: &Server, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let message = self.open.take().unwrap_or_else(|| self.next_message());
            // Asked again after a crash, a message keeps its id.
            let Ok(response) = Request::post("/query", message.to_string()).send(server.address) else {
                self.open = Some(message);
                return;
            };
            assert_eq!(response.status, 200, "{}", response.text());
            let Ok(body) = serde_json::from_slice::<Value>(&response.body) else {
                self.open = Some(message);
                return;
            };
            assert_eq!(body.get("recorded"), None, "{body}");
            self.answered.push(body["interaction_id"].as_str().expect("an id").to_owned());
            self.session = Some(body["session_id"].clone());
        }
    }

    fn next_message(&mut self) -> Value {
        self.n_sent += 1;
        let id = format!("c{}-m{}", self.name, self.n_sent);
        let mut message = json!({
            "query": "Is my deposit FDIC insured, and up to how much?",
            "user_id": format!("u{}", self.name),
            "message_id": id,
            "metadata": { "message": id },
        });
        if let Some(session) = &self.session {
            message["session_id"] = session.clone();
        }
        message
    }
}

#[test]
fn what_was_answered_survives_kill_9_and_nothing_stands_twice() {
    let start = Start::plain();
    let mut clients: Vec<Client> = (0..N_CLIENTS).map(|name| Client { name, ..Client::default() }).collect();
    for round in 0..rounds(5) {
        let mut server = start.serve();
        let before: usize = clients.iter().map(|client| client.answered.len()).sum();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in &mut clients {
                let (server, stop) = (&server, &stop);
                scope.spawn(move || client.ask(server, stop));
            }
            std::thread::sleep(Duration::from_millis(400 + 37 * u64::try_from(round).expect("few")));
            crate::server::signal(server.pid(), "KILL");
        });
        server.kill();
        let after: usize = clients.iter().map(|client| client.answered.len()).sum();
        assert!(
            after > before + N_CLIENTS,
            "round {round}: only {} answers, so nothing was tested",
            after - before
        );

        let server = start.serve();
        for id in clients.iter().flat_map(|client| client.answered.iter().rev().take(20)) {
            assert_eq!(server.interaction(id).status, 200, "round {round}: {id} is lost");
        }
    }
    // The clients end well, each asking its open message again.
    let server = start.serve();
    for client in &mut clients {
        if client.open.is_some() {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| client.ask(&server, &stop));
                std::thread::sleep(Duration::from_millis(20));
                stop.store(true, Ordering::Relaxed);
            });
        }
    }
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for entry in server.interactions() {
        *counts.entry(entry["interaction_id"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "listed twice");
    let mut messages: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for id in clients.iter().flat_map(|client| &client.answered) {
        assert!(counts.contains_key(id), "{id} is lost");
        let whole = server.interaction(id);
        assert_eq!(whole.status, 200, "{id} is lost");
    }
    for id in counts.keys() {
        let message = server.interaction(id).json()["metadata"]["message"].as_str().expect("kept").to_owned();
        messages.entry(message).or_default().push(id);
    }
    // The first message of a client has no session yet: asked again it is a new conversation.
    let doubled: Vec<_> =
        messages.iter().filter(|(message, ids)| ids.len() > 1 && !message.ends_with("-m1")).collect();
    assert!(doubled.is_empty(), "asked once, answered twice: {doubled:?}");
}

#[test]
fn asked_to_stop_it_answers_what_it_has_accepted() {
    let slow = Answer { delay: Duration::from_millis(1_500), ..Answer::of("We are glad to help you save.") };
    let upstream = Upstream::start(Behaviour::Answer(slow));
    let config = Folder::with_settings(&ladder(&[&upstream], EMBEDDED_TIER));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let mut server = start.serve();
    let body = json!({ "prompt": "Write a greeting.", "use_case": "personalized_outreach" }).to_string();
    let (plain, streamed) =
        (Request::post("/generate", body.clone()), Request::post("/generate", body).streamed());
    let answered: Vec<String> = std::thread::scope(|scope| {
        let address = server.address;
        let asking: Vec<_> = (0..N_CLIENTS)
            .map(|n| {
                let request = if n % 2 == 0 { &plain } else { &streamed };
                scope.spawn(move || {
                    let opened = request.open(address).expect("it was accepted");
                    assert_eq!(opened.status, 200);
                    let id = opened.header("x-mainstay-interaction").expect("an id").to_owned();
                    if opened.header("content-type") == Some("text/event-stream") {
                        let events = opened.events().expect("a stream that ends well");
                        assert_eq!(events.last().expect("events").name, "answer");
                    }
                    id
                })
            })
            .collect();
        server.wait_until("all calls are under way", || {
            (upstream.calls_in_flight() == N_CLIENTS).then_some(())
        });
        server.terminate();
        server.wait_until("the port is closed", || server.get("/health/live").is_err().then_some(()));
        assert_eq!(upstream.calls_in_flight(), N_CLIENTS, "they are not ended with it");
        asking.into_iter().map(|asking| asking.join().expect("a reply")).collect()
    });
    let status = server.wait_exit(Duration::from_secs(35)).expect("it stops within 35 s");
    assert!(status.success(), "{status}: {}", server.log());
    let server = start.serve();
    for id in &answered {
        assert_eq!(server.interaction(id).status, 200, "{id} is lost");
    }
    assert_eq!(server.interactions().len(), N_CLIENTS);
}

#[test]
fn under_load_a_stop_breaks_no_reply() {
    let start = Start::plain();
    let mut server = start.serve();
    let address = server.address;
    let stopping = AtomicBool::new(false);
    let replies: Vec<String> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..N_CLIENTS)
            .map(|_| {
                let stopping = &stopping;
                scope.spawn(move || {
                    let mut ids = Vec::new();
                    loop {
                        let request = Request::post("/query", r#"{"query":"Is my deposit insured?"}"#);
                        match request.send(address) {
                            Ok(response) => {
                                assert_eq!(response.status, 200, "{}", response.text());
                                ids.push(
                                    response.json()["interaction_id"].as_str().expect("an id").to_owned(),
                                );
                            }
                            Err(error) => {
                                // A reply that has begun is whole: only a connection that was never taken may fail.
                                assert!(stopping.load(Ordering::SeqCst), "{error}");
                                return ids;
                            }
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        stopping.store(true, Ordering::SeqCst);
        server.terminate();
        asking.into_iter().flat_map(|asking| asking.join().expect("a client")).collect()
    });
    let status = server.wait_exit(Duration::from_secs(35)).expect("it stops within 35 s");
    assert!(status.success(), "{status}: {}", server.log());
    let server = start.serve();
    let mut kept: Vec<String> = server
        .interactions()
        .iter()
        .map(|entry| entry["interaction_id"].as_str().expect("an id").to_owned())
        .collect();
    let mut replies = replies;
    kept.sort();
    replies.sort();
    assert_eq!(
        kept.len(),
        replies.len(),
        "a turn was recorded whose reply did not arrive, or the other way round"
    );
    assert_eq!(kept, replies);
}
