//! What a collector is told: spans and histograms of the GenAI conventions, no text, no secret; and what becomes of requests
//! and of the stop when it does not listen.

use std::time::{Duration, Instant};

use testkit::upstream::Phase;
use testkit::{Behaviour, Upstream};

use crate::client::{Request, Response};
use crate::collector::{Attributes, CLIENT, Collector, ERROR, INTERNAL, SERVER, attributes, hex};
use crate::folder::{Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start, wait_for};

const PATH: &str = "/v1/chat/completions";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
/// Never found anywhere but at the provider.
const QUESTION: &str = "Where did Zebulon hide the marmalade?";

fn start(upstreams: &[&Upstream], more: &str) -> Start {
    let config = Folder::with_settings(&ladder(upstreams, more));
    Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) }
}

fn serve(upstreams: &[&Upstream], more: &str) -> Server {
    start(upstreams, more).serve()
}

fn relayed(stream: &str) -> Request {
    relayed_to("one/alpha", stream)
}

fn relayed_to(model: &str, stream: &str) -> Request {
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"{QUESTION}"}}]}}"#
    );
    Request::post(PATH, body)
}

fn traced(request: Request, flags: &str) -> Request {
    request
        .header("traceparent", &format!("00-{TRACE}-{SPAN}-{flags}"))
        .header("tracestate", "vendor=x1")
        .header("baggage", "user=zebulon")
}

/// The ids of a reply's `traceparent`.
fn found(reply: &Response) -> (String, String, String) {
    let header = reply.header("traceparent").expect("where it is found");
    let parts: Vec<&str> = header.split('-').collect();
    let [_, trace, span, flags] = parts[..] else { panic!("{header}") };
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}

/// Stops it as a service manager does.
fn stop(mut server: Server) {
    server.terminate();
    assert!(server.wait_exit(Duration::from_secs(20)).is_some(), "it does not stop");
}

fn check(found: &Attributes, wanted: &[(&str, &str)]) {
    for (key, want) in wanted {
        assert_eq!(found.get(*key).map(String::as_str), Some(*want), "{key}: {found:#?}");
    }
}

#[test]
fn a_relayed_request_and_its_calls_are_spans_of_the_callers_trace() {
    let (broken, working) = (Upstream::start(Behaviour::status(503)), Upstream::start(Behaviour::default()));
    let collector = Collector::start();
    let aliases = "[aliases]\n\"any\" = \"standard\"";
    let server = serve(&[&broken, &working], &collector.settings(aliases));
    let reply = server.send(&traced(relayed_to("any", "true"), "01"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let (trace, own, flags) = found(&reply);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
    let trace = collector.trace(TRACE);

    let request = trace.span(&format!("POST {PATH}"));
    assert_eq!(
        (request.kind, hex(&request.span_id), hex(&request.parent_span_id)),
        (SERVER, own, SPAN.to_owned())
    );
    assert_eq!((request.trace_state.as_str(), &request.status), ("vendor=x1", &None));
    check(
        &attributes(&request.attributes),
        &[
            ("http.request.method", "POST"),
            ("http.route", PATH),
            ("http.response.status_code", "200"),
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.request.stream", "true"),
            ("mainstay.outcome", "answered"),
            ("mainstay.interaction.id", reply.header("x-mainstay-interaction").expect("an id")),
        ],
    );
    let calls: Vec<_> = trace.0.iter().filter(|span| span.kind == CLIENT).collect();
    assert!(calls.len() >= 2 && calls.len() == broken.calls() + 1, "{calls:#?}");
    for call in &calls {
        assert_eq!(call.parent_span_id, request.span_id);
    }
    let failed = trace.span("chat alpha");
    assert_eq!(failed.status.as_ref().map(|status| status.code), Some(ERROR));
    check(
        &attributes(&failed.attributes),
        &[("error.type", "transient"), ("gen_ai.provider.name", "one"), ("mainstay.attempt", "1")],
    );
    let call = trace.span("chat beta");
    assert_eq!(call.status, None);
    let (port, of_call) = (working.address().port().to_string(), attributes(&call.attributes));
    check(
        &of_call,
        &[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "two"),
            ("gen_ai.request.model", "beta"),
            ("gen_ai.usage.input_tokens", "6"),
            ("gen_ai.usage.output_tokens", "5"),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
            ("mainstay.tier", "fallback"),
            ("mainstay.cost.basis", "exact"),
        ],
    );
    assert!(of_call["gen_ai.response.finish_reasons"].contains("stop"), "{of_call:#?}");
    assert!(of_call.contains_key("gen_ai.response.time_to_first_chunk"), "{of_call:#?}");
    assert!(!of_call.contains_key("error.type"), "{of_call:#?}");

    // Each provider learns of its own call's span.
    for (upstream, span) in [(&broken, failed), (&working, call)] {
        let [received, ..] = &upstream.received()[..] else { panic!("called") };
        let want = format!("00-{TRACE}-{}-01", hex(&span.span_id));
        assert_eq!(received.header("traceparent"), Some(want.as_str()));
        assert_eq!(received.header("tracestate"), Some("vendor=x1"));
        assert_eq!(received.header("baggage"), None);
    }
    let (_, resource) = collector.spans().remove(0);
    check(&resource, &[("service.name", "mainstay"), ("service.version", env!("CARGO_PKG_VERSION"))]);
}

#[test]
fn an_agents_steps_are_spans_and_no_text_is_among_them() {
    let upstream = Upstream::start(Behaviour::default());
    let collector = Collector::start();
    let server = serve(&[&upstream], &collector.settings(""));
    let body = serde_json::json!({ "query": QUESTION, "user_id": "zebulon@example.org" }).to_string();
    let reply = server.send(&Request::post("/query", body));
    assert_eq!(reply.status, 200);
    let (id, _, flags) = found(&reply);
    assert_eq!(flags, "03", "kept, and its id is random");
    let trace = collector.trace(&id);
    let request = trace.span("POST /query");
    assert_eq!((request.kind, request.parent_span_id.len()), (SERVER, 0));
    let agent = trace.span("invoke_agent general");
    assert_eq!((agent.kind, &agent.parent_span_id), (INTERNAL, &request.span_id));
    check(
        &attributes(&agent.attributes),
        &[("gen_ai.operation.name", "invoke_agent"), ("gen_ai.agent.name", "general")],
    );
    for step in ["capture_user_query", "check_guardrail_status", "retrieve", "detect_intent", "record"] {
        assert_eq!(trace.path(step), [step, "invoke_agent general", "POST /query"]);
    }
    assert!(!attributes(&agent.attributes).contains_key("gen_ai.input.messages"));

    // One that a model answers: its call is within the step that makes it.
    let body = serde_json::json!({ "prompt": QUESTION, "use_case": "personalized_outreach" }).to_string();
    let reply = server.send(&traced(Request::post("/generate", body), "01"));
    assert_eq!(reply.status, 200);
    let trace = collector.trace(TRACE);
    let path = trace.path("chat alpha");
    assert_eq!(
        path,
        ["chat alpha", "generate_response", "invoke_agent personalized_outreach", "POST /generate"]
    );
    server.send(&relayed("false"));
    wait_for(Duration::from_secs(10), || (collector.spans().len() > trace.0.len() + 8).then_some(()));
    let sent = String::from_utf8_lossy(&collector.bytes()).into_owned();
    for text in ["Zebulon", "zebulon", "marmalade", "mock answer", "a-key"] {
        assert!(!sent.contains(text), "`{text}` was sent");
    }
}

#[test]
fn texts_are_sent_only_where_that_is_asked_for_and_without_secrets() {
    let upstream = Upstream::start(Behaviour::default());
    let collector = Collector::start();
    let server = serve(&[&upstream], &collector.settings("content = \"kept\""));
    let ask = |question: &str| {
        let body = serde_json::json!({ "query": question }).to_string();
        let reply = server.send(&Request::post("/query", body));
        let trace = collector.trace(&found(&reply).0);
        attributes(&trace.span("invoke_agent general").attributes)
    };
    let said = ask(QUESTION);
    assert!(said["gen_ai.input.messages"].contains(QUESTION), "{said:#?}");
    assert!(said["gen_ai.output.messages"].contains("assistant"), "{said:#?}");
    // What a guardrail stops leaves nothing behind.
    let secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD";
    let said = ask(&format!("{QUESTION} My key is {secret}"));
    assert!(!said.contains_key("gen_ai.input.messages"), "{said:#?}");
    let sent = String::from_utf8_lossy(&collector.bytes()).into_owned();
    assert!(!sent.contains(secret), "{sent}");
    // What is relayed passes no guardrail, and is not kept: it is not sent either.
    let before = collector.bytes().len();
    server.send(&relayed("false"));
    wait_for(Duration::from_secs(10), || (collector.bytes().len() > before + 500).then_some(()))
        .expect("spans");
    let sent = collector.bytes().split_off(before);
    assert!(!String::from_utf8_lossy(&sent).contains("marmalade"));
}

#[test]
fn histograms_have_the_names_and_bounds_of_the_conventions() {
    let upstream = Upstream::start(Behaviour::default());
    let collector = Collector::start();
    let server = serve(&[&upstream], &collector.settings(""));
    for _ in 0..3 {
        server.send(&relayed("true"));
    }
    let counted = || {
        let points = collector.points();
        let durations = points.get("gen_ai.client.operation.duration")?;
        (durations.iter().map(|point| point.count).sum::<u64>() == 3).then_some(points)
    };
    let points = wait_for(Duration::from_secs(20), counted).expect("three calls");
    let duration = &points["gen_ai.client.operation.duration"][0];
    check(
        &attributes(&duration.attributes),
        &[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "one"),
            ("gen_ai.request.model", "alpha"),
        ],
    );
    assert_eq!(
        (duration.explicit_bounds.first(), duration.explicit_bounds.last()),
        (Some(&0.01), Some(&81.92))
    );
    let tokens = &points["gen_ai.client.token.usage"];
    let sum_of = |kind: &str| {
        let of = tokens.iter().find(|point| attributes(&point.attributes)["gen_ai.token.type"] == kind);
        of.and_then(|point| point.sum)
    };
    assert_eq!((sum_of("input"), sum_of("output")), (Some(18.0), Some(15.0)), "{tokens:#?}");
    for name in [
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
    ] {
        assert_eq!(points[name][0].count, 3, "{name}");
    }
}

#[test]
fn a_caller_decides_whether_its_trace_is_kept_and_a_broken_header_is_nobody() {
    let upstream = Upstream::start(Behaviour::default());
    let collector = Collector::start();
    let server = serve(&[&upstream], &collector.settings("sampling = 0.0"));
    let reply = server.send(&traced(relayed("false"), "00"));
    assert_eq!(found(&reply).2, "00");
    let last = || upstream.received().pop().expect("a call").header("traceparent").map(str::to_owned);
    assert!(last().is_some_and(|header| header.contains(TRACE) && header.ends_with("-00")));
    for header in ["00-0-0-01", "garbage", &format!("ff-{TRACE}-{SPAN}-01")] {
        let reply = server.send(&relayed("false").header("traceparent", header));
        let (trace, _, flags) = found(&reply);
        assert!(trace != TRACE && flags == "02", "{header}: begins anew, and is not kept");
        assert!(last().is_some_and(|sent| sent.contains(&trace)));
    }
    // Kept by its caller, whatever the share of our own is.
    server.send(&traced(relayed("false"), "01"));
    collector.trace(TRACE);
    let traces: Vec<_> = collector.spans().into_iter().map(|(span, _)| hex(&span.trace_id)).collect();
    assert!(traces.iter().all(|trace| trace == TRACE), "{traces:?}");
}

#[test]
fn the_standard_variables_are_enough() {
    let upstream = Upstream::start(Behaviour::default());
    let collector = Collector::start();
    let mut start = start(&[&upstream], "");
    start.environment.extend([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.0.address())),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue%20one,authorization=Bearer%20s3cret".to_owned()),
        ("OTEL_SERVICE_NAME", "answers".to_owned()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod".to_owned()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
        ("OTEL_METRICS_EXPORTER", "none".to_owned()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon".to_owned()),
    ]);
    let server = start.serve();
    server.send(&traced(relayed("false"), "01"));
    collector.trace(TRACE);
    let (_, resource) = collector.spans().remove(0);
    check(&resource, &[("service.name", "answers"), ("deployment.environment.name", "prod")]);
    let [export, ..] = &collector.0.received()[..] else { panic!("an export") };
    assert_eq!(export.header("x-tenant"), Some("blue one"));
    assert_eq!(export.header("authorization"), Some("Bearer s3cret"));
    let log = server.log();
    assert!(log.contains("`OTEL_EXPORTER_OTLP_TIMEOUT` is not as OpenTelemetry says"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn a_collector_that_does_not_answer_slows_nobody_and_is_counted() {
    for behaviour in [Behaviour::Hang(Phase::BeforeHead), Behaviour::status(503), Behaviour::status(400)] {
        let upstream = Upstream::start(Behaviour::default());
        let collector = Collector::start();
        collector.0.set_behaviour(behaviour.clone());
        let more = "batch_spans_max = 4\nqueue_spans_max = 8\ntimeout = \"300ms\"\nsignals = [\"traces\"]";
        let server = serve(&[&upstream], &collector.settings(more));
        let slowest = (0..30).map(|_| {
            let began = Instant::now();
            assert_eq!(server.send(&relayed("false")).status, 200);
            began.elapsed()
        });
        let slowest = slowest.max().expect("thirty");
        assert!(slowest < Duration::from_millis(250), "{slowest:?} with {behaviour:?}");
        let dropped = || {
            let metrics = server.get("/metrics").ok()?.text();
            let line =
                metrics.lines().find(|line| line.starts_with("mainstay_telemetry_spans_dropped_total"))?;
            let n_dropped: f64 = line.rsplit(' ').next()?.parse().ok()?;
            (n_dropped > 0.0).then_some(())
        };
        wait_for(Duration::from_secs(20), dropped)
            .unwrap_or_else(|| panic!("none dropped with {behaviour:?}"));
        let began = Instant::now();
        stop(server);
        assert!(began.elapsed() < Duration::from_secs(6), "{:?} to stop with {behaviour:?}", began.elapsed());
    }
}

#[test]
fn what_waits_is_sent_when_the_server_stops_and_what_failed_is_sent_again() {
    let upstream = Upstream::start(Behaviour::default());
    let collector = Collector::start();
    let config = Folder::with_settings(&ladder(
        &[&upstream],
        &format!(
            "[telemetry]\nendpoint = \"http://{}\"\nbatch_delay = \"1h\"\nmetrics_interval = \"1h\"\n",
            collector.0.address()
        ),
    ));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = start.serve();
    server.send(&traced(relayed("false"), "01"));
    assert_eq!(collector.0.calls(), 0, "nothing is due for an hour");
    stop(server);
    assert_eq!(collector.trace(TRACE).0.len(), 2);
    assert!(collector.points().contains_key("gen_ai.client.operation.duration"));

    let collector = Collector::start();
    let fails_first = vec![Behaviour::status(503), Behaviour::default()];
    collector.0.set_behaviour(Behaviour::Sequence(fails_first));
    let server = serve(&[&upstream], &collector.settings("signals = [\"traces\"]"));
    server.send(&traced(relayed("false"), "01"));
    wait_for(Duration::from_secs(20), || (collector.0.calls() >= 2).then_some(())).expect("another try");
    let bodies: Vec<_> = collector.0.received().into_iter().map(|export| export.body).collect();
    assert_eq!(bodies[0], bodies[1], "the same spans once more");
}

#[test]
fn a_stream_whose_caller_leaves_is_told_as_far_as_it_came() {
    let upstream = Upstream::start(Behaviour::Hang(Phase::MidBody));
    let collector = Collector::start();
    let server = serve(&[&upstream], &collector.settings(""));
    drop(traced(relayed("true"), "01").open(server.address));
    let trace = collector.trace(TRACE);
    let request = trace.span(&format!("POST {PATH}"));
    assert_eq!(request.status.as_ref().map(|status| status.code), Some(ERROR));
    check(&attributes(&request.attributes), &[("error.type", "cancelled")]);
}

#[test]
fn without_a_collector_nothing_of_a_trace_is_made() {
    let upstream = Upstream::start(Behaviour::default());
    let server = serve(&[&upstream], "");
    let reply = server.send(&traced(relayed("false"), "01"));
    // As it came: no span of ours stands between.
    assert_eq!(reply.header("traceparent"), Some(format!("00-{TRACE}-{SPAN}-01").as_str()));
    let [received] = &upstream.received()[..] else { panic!("one call") };
    assert_eq!(received.header("traceparent"), None);
    let metrics = server.get("/metrics").expect("a reply").text();
    assert!(!metrics.contains("mainstay_telemetry_exports_total{"), "{metrics}");
}
