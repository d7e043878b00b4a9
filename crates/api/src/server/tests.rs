//! What the front door does before any handler, over the real doors.

use access::pepper::Pepper;
use domain::ports::BoxFuture;
use domain::secret::Secret;
use futures_util::FutureExt;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use resilience::memory::{self, Usage};
use resilience::shedding;
use serde_json::Value;
use testkit::{CountingIds, MemoryKeys, SeededRng, TokioClock};

use super::*;

mod doors;

use crate::entry::Front;
use crate::health::Part;
use crate::serve::{Encryption, Peer};

struct NoParts;

impl Checkup for NoParts {
    fn parts(&self) -> BoxFuture<'_, Vec<Part>> {
        Box::pin(async { Vec::new() })
    }
}

/// A server that has not started whole, and to which anyone of this machine may come.
fn api() -> Arc<Api> {
    api_with(Config::default(), None)
}

/// A server that has not started whole; with `bootstrap` whoever asks needs a key.
fn api_with(config: Config, bootstrap: Option<&str>) -> Arc<Api> {
    let clock = Arc::new(TokioClock::new());
    let parts = access::gatekeeper::Parts {
        store: Arc::new(MemoryKeys::default()),
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(1)),
        pepper: Pepper::new(&Secret::new("p".repeat(32))).expect("long enough"),
        issuers: Vec::new(),
        bootstrap: bootstrap.map(|key| Secret::new(key.to_owned())),
    };
    let keeper = Gatekeeper::new(parts).now_or_never().expect("memory").expect("no failure");
    let gate = Gate::new((shedding::Config::default(), memory::Config::default()), clock.clone());
    Arc::new(Api {
        config,
        clock,
        ids: Arc::new(CountingIds::new()),
        gate: Arc::new(gate),
        access: Arc::new(SetOnce::new_with(Some(Arc::new(keeper)))),
        pipeline: watch::channel(None).1,
        startup: Arc::new(Startup::default()),
        stop: Stop::default(),
        checkup: Arc::new(NoParts),
        metrics: Arc::new(Metrics::default()),
        telemetry: None,
    })
}

/// Whoever is at `address`.
fn peer(address: &str) -> Peer {
    Peer { address: address.parse().expect("an address"), encryption: Encryption::Plain }
}

struct Told {
    status: StatusCode,
    retry_after: Option<String>,
    body: String,
}

async fn ask(api: &Arc<Api>, (method, path): (Method, &str), priority: &str) -> Told {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json")
        .header(PRIORITY, priority)
        .header("x-mainstay-timeout-ms", "1")
        .body(axum::body::Body::from(if path.starts_with("/v1/") {
            r#"{"model": "x"}"#
        } else {
            r#"{"prompt": "Hi"}"#
        }))
        .expect("a request");
    let response = Front::new(api).reply(request, peer("127.0.0.1:4711")).await;
    let (parts, body) = response.into_parts();
    let retry_after = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let body = body.collect().await.expect("a body").to_bytes();
    Told {
        status: parts.status,
        retry_after: retry_after.map(str::to_owned),
        body: String::from_utf8(body.to_vec()).expect("text"),
    }
}

fn code(told: &Told) -> String {
    let body: Value = serde_json::from_str(&told.body).expect("JSON");
    let code = body.get("code").or_else(|| body.pointer("/error/code"));
    code.and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn short_of_memory_work_is_refused_and_whoever_looks_after_the_server_is_not() {
    let api = api();
    api.gate.memory().note(Usage { used_bytes: 92, limit_bytes: 100 });
    for path in ["/generate", "/prod/generate", "/query", "/feedback", "/v1/chat/completions"] {
        let told = ask(&api, (Method::POST, path), "batch").await;
        assert_eq!(
            (told.status, code(&told).as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            "{path}"
        );
        assert_eq!(told.retry_after.as_deref(), Some("5"), "{path}");
        assert_eq!(told.body.contains("overloaded_error"), path.starts_with("/v1/"), "{path}: {}", told.body);
    }
    for path in ["/health/live", "/health/deep", "/metrics", "/openapi.json"] {
        assert_eq!(ask(&api, (Method::GET, path), "batch").await.status, StatusCode::OK, "{path}");
    }
    for (method, path) in
        [(Method::GET, "/admin/v1/breakers"), (Method::POST, "/admin/v1/breakers/one/alpha/reset")]
    {
        assert_eq!(code(&ask(&api, (method, path), "batch").await), "starting", "{path} is let in");
    }
    let metrics = ask(&api, (Method::GET, "/metrics"), "batch").await.body;
    assert!(metrics.contains(r#"mainstay_shed_total{reason="memory",class="batch"} 5"#), "{metrics}");
    assert!(metrics.contains("mainstay_memory_limit_bytes 100"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn below_that_the_body_is_read_and_the_priority_understood() {
    let api = api();
    api.gate.memory().note(Usage { used_bytes: 91, limit_bytes: 100 });
    for (path, priority, want) in [
        ("/generate", "interactive", "starting"),
        ("/generate", "urgent", "bad_parameter"),
        ("/v1/chat/completions", "batch", "starting"),
        ("/v1/chat/completions", "", "bad_parameter"),
    ] {
        assert_eq!(code(&ask(&api, (Method::POST, path), priority).await), want, "{path} {priority}");
    }
}

/// Each request's future is made and moved once, and hyper holds it while it runs.
#[tokio::test]
async fn the_way_in_is_small() {
    let front = Front::new(&api());
    let size = size_of_val(&front.reply(Request::new(axum::body::Body::empty()), peer("127.0.0.1:4711")));
    assert!(size <= 3_072, "{size} bytes");
}
