//! `/metrics` as Prometheus reads it: its own linter finds nothing, and no request can make series without end.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use testkit::{Behaviour, Upstream};

use crate::client::Request;
use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start};

/// A server that has counted something of everything.
fn busy(upstreams: &[&Upstream]) -> Server {
    let limits = "[limits.server]\nbudget = [\"100/day\"]\n";
    let more = format!("{limits}[telemetry]\nendpoint = \"http://127.0.0.1:9\"\nbatch_delay = \"20ms\"\n");
    let config = Folder::with_settings(&ladder(upstreams, &more));
    let server =
        Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }.serve();
    server.query("Is my deposit FDIC insured, and up to how much?");
    server.query("my password is hunter2");
    server.post("/generate", &json!({ "prompt": "Hello", "use_case": "personalized_outreach" }));
    for stream in [true, false] {
        ask(
            &server,
            &json!({ "model": "one/alpha", "stream": stream, "messages": [{ "role": "user", "content": "?" }] }),
        );
    }
    server
}

fn ask(server: &Server, body: &serde_json::Value) -> u16 {
    server.send(&Request::post("/v1/chat/completions", body.to_string())).status
}

fn text(server: &Server) -> String {
    let metrics = server.get("/metrics").expect("a reply");
    let kind = metrics.header("content-type").map(str::to_owned);
    assert_eq!(kind.as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    metrics.text()
}

#[test]
fn promtool_finds_nothing_to_mend() {
    let (broken, working) = (Upstream::start(Behaviour::status(503)), Upstream::start(Behaviour::default()));
    let server = busy(&[&broken, &working]);
    let text = text(&server);
    assert!(text.contains("mainstay_upstream_attempts_total{"), "{text}");
    let promtool = std::env::var_os("MAINSTAY_TEST_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let mut linter = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(
            "promtool, of the package `prometheus`: ./test fetches it and names it in MAINSTAY_TEST_PROMTOOL",
        );
    linter.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let found = linter.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&found.stdout) + String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success() && said.is_empty(), "{said}\n{text}");
}

/// Names and labels of all series.
fn series(server: &Server) -> BTreeSet<String> {
    let text = text(server);
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let names = samples.iter().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned());
    let series: BTreeSet<String> = names.collect();
    assert_eq!(series.len(), samples.len(), "a series stands twice");
    series
}

#[test]
fn what_callers_write_makes_no_series() {
    let upstream = Upstream::start(Behaviour::default());
    let server = busy(&[&upstream]);
    let ask_strangely = |n: u32| {
        ask(&server, &json!({ "model": format!("none/of-{n}"), "messages": [] }));
        let body = json!({ "query": format!("?{n}"), "user_id": format!("u{n}"), "agent": format!("a{n}") });
        server.send(&Request::post("/query", body.to_string()).header("traceparent", &format!("{n}")));
        let _ = server.get(&format!("/nowhere/{n}"));
        server.send(&Request::get("/v1/models").method(&format!("M{n}")));
    };
    ask_strangely(0);
    let before = series(&server);
    (1..40).for_each(ask_strangely);
    let new: Vec<_> = series(&server).difference(&before).cloned().collect();
    assert!(new.is_empty(), "{new:#?}");
}
