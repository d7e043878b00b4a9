//! The hub with its settings, sampling and sending, against a collector that fails on purpose.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{SecretError, Secrets, Watcher};
use domain::secret::{Secret, SecretRef};
use domain::trace_context::Sampled;
use http::{HeaderMap, HeaderValue, Method};
use testkit::upstream::RetryAfter;
use testkit::{Behaviour, SeededRng, TokioClock, Upstream};
use tokio_util::sync::CancellationToken;

use crate::config::{Callers, Config, Content, Providers, Signal};
use crate::standard::Endpoint;
use crate::{Exporter, Hub, Reading, Settings, Watched};

struct OneSecret;

impl Secrets for OneSecret {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        match reference {
            SecretRef::Env(name) if name == "KEY" => Ok(Secret::new("s3cret".to_owned())),
            other => Err(SecretError::Missing(other.clone())),
        }
    }
}

fn config(text: &str) -> Config {
    toml::from_str(text).expect("settings")
}

fn settings(text: &str, variables: &[(&str, &str)]) -> Option<Settings> {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = config(text);
    assert_eq!(config.mistakes(), [], "{text}");
    Settings::read(&config, &|name| variables.get(name).cloned(), &OneSecret).expect("the secret is there")
}

const HERE: &str = "endpoint = \"http://127.0.0.1:4318\"";
const FROM_ENVIRONMENT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/otlp/");

#[test]
fn nothing_is_sent_unless_something_names_an_endpoint() {
    for (text, variables, want) in [
        ("", &[][..], false),
        (HERE, &[], true),
        ("", &[FROM_ENVIRONMENT], true),
        (HERE, &[("OTEL_SDK_DISABLED", "TRUE")], false),
        ("", &[FROM_ENVIRONMENT, ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_METRICS_EXPORTER", "none")], false),
        ("signals = []", &[FROM_ENVIRONMENT], false),
        ("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")], false),
    ] {
        assert_eq!(settings(text, variables).is_some(), want, "{text} {variables:?}");
    }
}

#[test]
fn an_endpoint_is_a_base_or_as_it_is() {
    let endpoint =
        |base: &str, path: &str| Some(Endpoint { base_url: base.to_owned(), path: path.to_owned() });
    let read = settings("", &[FROM_ENVIRONMENT]).expect("sent");
    assert_eq!(read.traces, endpoint("http://collector:4318/otlp/", "/v1/traces"));
    assert_eq!(read.metrics, endpoint("http://collector:4318/otlp/", "/v1/metrics"));
    for (address, base, path) in [
        ("https://a.example/in/spans", "https://a.example", "/in/spans"),
        ("https://a.example", "https://a.example", "/"),
    ] {
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address);
        let read = settings("", &[own]).expect("sent");
        assert_eq!((read.traces, read.metrics), (endpoint(base, path), None), "{address}");
        // The file's goes first.
        let read = settings(HERE, &[own]).expect("sent");
        assert_eq!(read.traces, endpoint("http://127.0.0.1:4318", "/v1/traces"));
    }
}

#[test]
fn samplers_have_their_standard_names() {
    for (variables, want) in [
        (&[][..], (Callers::Follow, 1.0)),
        (&[("OTEL_TRACES_SAMPLER", "always_on")], (Callers::Ignore, 1.0)),
        (&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], (Callers::Follow, 0.0)),
        (
            &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")],
            (Callers::Ignore, 0.25),
        ),
        (&[("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")], (Callers::Follow, 1.0)),
        (&[("OTEL_TRACES_SAMPLER", "mine")], (Callers::Follow, 1.0)),
    ] {
        let read = settings(HERE, variables).expect("sent");
        assert_eq!((read.callers, read.share), want, "{variables:?}");
        let read =
            settings(&format!("{HERE}\nsampling = 0.5\ncallers = \"ignore\""), variables).expect("sent");
        assert_eq!((read.callers, read.share), (Callers::Ignore, 0.5), "the file's goes first");
    }
}

#[test]
fn headers_are_secrets_and_what_cannot_be_used_is_told_without_its_value() {
    let read = settings(&format!("{HERE}\nheaders = {{ x-key = \"env::KEY\" }}"), &[]).expect("sent");
    assert_eq!(read.headers[0].1, "s3cret");
    assert!(!format!("{read:?}").contains("s3cret"), "{read:?}");
    let read = settings(HERE, &[("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"), ("OTEL_BSP_SCHEDULE_DELAY", "-1")]);
    let read = read.expect("sent");
    assert_eq!((read.ignored.len(), read.headers.len()), (2, 0));
    assert!(!read.ignored.concat().contains("s3cret"), "{:?}", read.ignored);
    let missing = config(&format!("{HERE}\nheaders = {{ x-key = \"env::NOT_THERE\" }}"));
    let error = Settings::read(&missing, &|_| None, &OneSecret).expect_err("no secret");
    assert!(error.to_string().contains("headers.x-key"), "{error}");
}

/// A hub that sends to nobody yet.
fn hub(change: impl FnOnce(&mut Settings)) -> Arc<Hub> {
    let mut settings = settings(HERE, &[]).expect("sent");
    change(&mut settings);
    Arc::new(Hub::new(settings, Arc::new(TokioClock::new()), Arc::new(SeededRng::new(7))))
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("visible"));
    }
    headers
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(start_paused = true)]
async fn the_share_of_traces_that_are_kept_is_the_one_asked_for() {
    for share in [0.0, 0.25, 1.0] {
        let hub = hub(|settings| settings.share = share);
        let is_kept = |_: &u32| hub.place(&HeaderMap::new()).own.sampled() == Sampled::Yes;
        let n_kept = u32::try_from((0..10_000).filter(is_kept).count()).expect("few");
        let found = f64::from(n_kept) / 10_000.0;
        assert!((found - share).abs() < 0.02, "{found} of {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_are_followed_where_that_is_set() {
    let follows = hub(|settings| settings.share = 0.0);
    let ignores = hub(|settings| (settings.share, settings.callers) = (0.0, Callers::Ignore));
    let one = headers(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]);
    for (hub, want) in [(&follows, Sampled::Yes), (&ignores, Sampled::No)] {
        let placed = hub.place(&one);
        assert_eq!(placed.own.sampled(), want);
        assert_eq!(placed.own.trace, placed.caller.expect("a caller").trace);
        assert_eq!(placed.state.as_ref().map(|state| state.as_str()), Some("a=1,b=2"));
    }
    // Two parents say nothing, and a state without a parent neither.
    for fields in [&[("traceparent", PARENT), ("traceparent", PARENT)][..], &[("tracestate", "a=1")]] {
        let placed = follows.place(&headers(fields));
        assert!(placed.caller.is_none() && placed.state.is_none(), "{fields:?}");
    }
}

fn watched(hub: &Arc<Hub>) -> Arc<Watched> {
    Watched::begin(hub, (&Method::POST, "/query"), &headers(&[("traceparent", PARENT)]))
}

#[tokio::test(start_paused = true)]
async fn providers_are_told_of_their_own_call_of_the_caller_or_of_nobody() {
    let told = |hub: &Arc<Hub>| watched(hub).call(1).map(|call| call.parent.to_string());
    let own = told(&hub(|_| ())).expect("told");
    assert!(own.contains("4bf92f3577b34da6a3ce929d0e0e4736") && own != PARENT, "{own}");
    // Without spans of ours nothing of ours stands between.
    assert_eq!(told(&hub(|settings| settings.traces = None)).as_deref(), Some(PARENT));
    assert_eq!(told(&hub(|settings| settings.providers = Providers::Untold)), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_told_once_when_the_last_one_lets_go_of_it() {
    let hub = hub(|_| ());
    let watched = watched(&hub);
    let other = Arc::clone(&watched);
    watched.replied(503);
    drop(watched);
    assert_eq!(hub.queue.take().len(), 0);
    drop(other);
    let [span] = &hub.queue.take()[..] else { panic!("one span") };
    assert_eq!((span.name.as_str(), span.flags), ("POST /query", 0x301), "its parent is remote");
    assert_eq!(span.status.as_ref().map(|status| status.message.as_str()), Some("503"));
    assert_eq!(hub.settings.content, Content::None);
}

/// Exports one request's span to a collector that does `behaviours`; how often it was called, and what was counted.
async fn export(behaviours: Vec<Behaviour>) -> (usize, Reading) {
    let collector = Upstream::start(Behaviour::Sequence(behaviours));
    let address = collector.address();
    let hub = hub(|settings| {
        let base_url = format!("http://{address}");
        settings.traces = Some(Endpoint { base_url, path: "/v1/traces".to_owned() });
        settings.metrics = None;
        settings.batch_delay = Duration::from_millis(1);
        settings.timeout = Duration::from_millis(300);
    });
    let clock: Arc<dyn domain::ports::Clock> = Arc::new(TokioClock::new());
    let client = outbound::Client::new(clock, outbound::Config::default());
    let exporter = Exporter::new(Arc::clone(&hub), &client, Arc::new(SeededRng::new(3))).expect("an address");
    let shutdown = CancellationToken::new();
    let running = exporter.run(shutdown.clone());
    tokio::pin!(running);
    watched(&hub).replied(200);
    let ended = async {
        while hub.read() == Reading::default() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = &mut running => panic!("it runs until it is told to stop"),
        ended = tokio::time::timeout(Duration::from_secs(20), ended) => ended.expect("an end"),
    }
    shutdown.cancel();
    running.await;
    (collector.calls(), hub.read())
}

#[tokio::test]
async fn an_export_is_tried_again_only_where_that_may_help() {
    let done = Reading { exports_done: 1, ..Reading::default() };
    let lost = Reading { exports_failed: 1, spans_dropped: 1, ..Reading::default() };
    let status = |status, retry_after| Behaviour::Status { status, body: String::new(), retry_after };
    let soon = || RetryAfter::Seconds(0);
    for (behaviours, want) in [
        (vec![Behaviour::default()], (1, done)),
        (vec![status(503, soon()), status(429, soon()), Behaviour::default()], (3, done)),
        (vec![status(400, soon())], (1, lost)),
        (vec![status(401, RetryAfter::Absent)], (1, lost)),
        (vec![status(500, RetryAfter::Absent)], (1, lost)),
        // No redirect is followed: the key would go elsewhere.
        (vec![Behaviour::Redirect("http://127.0.0.1:1/".to_owned()), Behaviour::default()], (2, done)),
    ] {
        assert_eq!(export(behaviours.clone()).await, want, "{behaviours:?}");
    }
}

#[test]
fn signals_are_chosen() {
    assert_eq!(config("signals = [\"metrics\"]").signals, Some(vec![Signal::Metrics]));
    let read = settings(&format!("{HERE}\nsignals = [\"metrics\"]"), &[]).expect("sent");
    assert!(read.traces.is_none() && read.metrics.is_some());
}
