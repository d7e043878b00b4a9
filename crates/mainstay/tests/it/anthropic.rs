//! The door that Anthropic's SDKs know, over HTTP: bytes pass unchanged to Anthropic, any other provider answers in its
//! shape, errors and broken streams are told in it.

use domain::chat::Delivery::{self, Streamed, Whole};
use serde_json::{Value, json};
use testkit::{Behaviour, Upstream};

use crate::client::{Request, Response};
use crate::folder::{Folder, KEY_VARIABLE};
use crate::server::{Server, Start};

const MODEL: &str = "claude-sonnet-4-5";

/// A server before `anthropic` and `openai`.
fn serve(anthropic: &Upstream, openai: &Upstream) -> Server {
    let provider = |name: &str, kind: &str, upstream: &Upstream| {
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\nbase_url = \"{}\"\nkey = \"env::{KEY_VARIABLE}\"\nallow_private = true\n",
            upstream.base_url()
        )
    };
    let settings = format!(
        "schema = 1\n{}{}[models.\"one/alpha\"]\n[models.\"claude/{MODEL}\"]\n\
         [[routes.standard.tiers]]\nname = \"primary\"\ntargets = [{{ model = \"one/alpha\" }}]\n",
        provider("claude", "anthropic", anthropic),
        provider("one", "openai", openai),
    );
    let config = Folder::with_settings(&settings);
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }.serve()
}

fn body(model: &str, delivery: Delivery) -> String {
    let is_streamed = delivery == Delivery::Streamed;
    format!(
        r#"{{ "model": "{model}", "max_tokens": 99, "stream": {is_streamed}, "messages": [{{"role":"user","content":"Is \u0069t?"}}] }}"#
    )
}

fn post(server: &Server, path: &str, body: &str) -> Response {
    server.send(&Request::post(path, body).header("anthropic-version", "2023-06-01"))
}

/// The data of the events of a stream.
fn events(response: &Response) -> Vec<Value> {
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    let text = response.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

fn said(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect()
}

#[test]
fn bytes_pass_unchanged_both_ways() {
    let (anthropic, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&anthropic, &openai);
    for (path, asked, delivery) in [
        ("/v1/messages", MODEL, Whole),
        ("/v1/messages", MODEL, Streamed),
        ("/anthropic/v1/messages", "claude/claude-sonnet-4-5", Whole),
        ("/v1/messages/count_tokens", MODEL, Whole),
    ] {
        let own = path.trim_start_matches("/anthropic");
        let direct = Request::post(own, body(MODEL, delivery)).send(anthropic.address()).expect("a reply");
        let passed = post(&server, path, &body(asked, delivery));
        assert_eq!((passed.status, passed.text()), (200, direct.text()), "{path} {asked}");
        let relayed = anthropic.received().pop().expect("a call");
        assert_eq!(relayed.line, format!("POST {own}"));
        assert_eq!(String::from_utf8_lossy(&relayed.body), body(MODEL, delivery));
        assert_eq!(relayed.header("x-api-key"), Some("a-key"));
    }
    assert_eq!(openai.calls(), 0);
    let recorded = server.wait_until("all are recorded", || {
        let recorded = server.interactions();
        (recorded.len() == 4).then_some(recorded)
    });
    let doors: Vec<_> = recorded.iter().map(|turn| turn["door"].as_str()).collect();
    let messages = Some("messages");
    assert_eq!(doors, [Some("count_tokens"), messages, messages, messages], "newest first");
}

#[test]
fn another_provider_answers_in_its_shape() {
    let (anthropic, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&anthropic, &openai);
    let answer = post(&server, "/v1/messages", &body("one/alpha", Whole)).json();
    assert_eq!(
        (&answer["type"], &answer["stop_reason"]),
        (&json!("message"), &json!("end_turn")),
        "{answer}"
    );
    assert_eq!(answer["content"], json!([{ "type": "text", "text": Behaviour::TEXT }]));
    let stream = events(&post(&server, "/v1/messages", &body("one/alpha", Streamed)));
    let kinds: Vec<&str> = stream.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("message_start", "message_stop"));
    assert_eq!(said(&stream), Behaviour::TEXT);
    // Nobody but the model's own provider can count its tokens.
    let refused = post(&server, "/v1/messages/count_tokens", &body("one/alpha", Whole));
    assert_eq!((refused.status, &refused.json()["type"]), (400, &json!("error")), "{}", refused.text());
    assert!(refused.text().contains("token"), "{}", refused.text());
}

#[test]
fn errors_are_told_in_its_shape() {
    let (anthropic, openai) = (Upstream::start(Behaviour::default()), Upstream::start(Behaviour::default()));
    let server = serve(&anthropic, &openai);
    let shape = |error: &Value| {
        assert_eq!(error["type"], "error", "{error}");
        error["error"]["type"].as_str().unwrap_or_default().to_owned()
    };
    for (asked, status, kind) in
        [(body("two/beta", Whole), 404, "not_found_error"), ("{".to_owned(), 400, "invalid_request_error")]
    {
        let response = post(&server, "/v1/messages", &asked);
        assert_eq!(
            (response.status, shape(&response.json()).as_str()),
            (status, kind),
            "{}",
            response.text()
        );
    }
    for model in [MODEL, "one/alpha"] {
        anthropic.set_behaviour(Behaviour::Unfinished);
        openai.set_behaviour(Behaviour::Unfinished);
        let stream = events(&post(&server, "/v1/messages", &body(model, Streamed)));
        assert!(said(&stream).starts_with("This "), "{stream:?}");
        assert_eq!(shape(stream.last().expect("an event")), "api_error", "{stream:?}");
        assert!(stream.iter().all(|event| event["type"] != "message_stop"), "{stream:?}");
    }
}
