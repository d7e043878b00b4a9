//! `bench-mock`: an OpenAI-compatible model provider that answers at once, or as slowly and badly as it is told to.
//!
//! `POST /v1/chat/completions` (or any other path) answers; `POST /control` takes the options as a JSON object, and
//! what it does not name goes back to its default; `GET /health` is 200; `POST /v1/traces` and `/v1/metrics` take what a
//! collector takes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bench::mock::{Answer, Behaviour, Fate, Prepared};
use bench::server;
use bytes::Bytes;
use clap::Parser;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// A model provider that is none.
#[derive(Parser)]
struct Options {
    /// Address and port.
    #[arg(long, default_value = "127.0.0.1:9101")]
    listen: String,
    #[command(flatten)]
    behaviour: Behaviour,
}

struct Mock {
    prepared: ArcSwap<Prepared>,
    n_requests: AtomicU64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mock = Arc::new(Mock {
        prepared: ArcSwap::from_pointee(Prepared::new(options.behaviour)),
        n_requests: AtomicU64::new(0),
    });
    let service = service_fn(move |request| {
        let mock = Arc::clone(&mock);
        async move { Ok::<_, Infallible>(mock.reply(request).await) }
    });
    server::runtime()?.block_on(async { server::run(server::listen(&options.listen).await?, service).await })
}

impl Mock {
    async fn reply(&self, request: Request<Incoming>) -> Response<Answer> {
        let is_control = request.uri().path() == "/control";
        let is_health = request.uri().path() == "/health";
        let is_export = matches!(request.uri().path(), "/v1/traces" | "/v1/metrics");
        let Ok(body) = request.into_body().collect().await else { return whole(400, "unreadable") };
        let body = body.to_bytes();
        if is_health {
            return whole(200, "{}");
        }
        if is_export {
            return reply(200, "application/x-protobuf", Answer::Whole(Some(Bytes::new())));
        }
        if is_control {
            return match serde_json::from_slice(&body) {
                Ok(behaviour) => {
                    self.prepared.store(Arc::new(Prepared::new(behaviour)));
                    whole(200, "{}")
                }
                Err(error) => whole(400, &error.to_string()),
            };
        }
        let prepared = self.prepared.load_full();
        let fate = prepared.behaviour.fate(self.n_requests.fetch_add(1, Ordering::Relaxed));
        let (Fate::Answered(latency) | Fate::Failed(latency)) = fate;
        if latency > Duration::ZERO {
            tokio::time::sleep(latency).await;
        }
        if matches!(fate, Fate::Failed(_)) {
            return whole(500, r#"{"error":{"message":"on purpose","type":"server_error","code":null}}"#);
        }
        let (answer, content_type) = prepared.answer(&body);
        reply(200, content_type, answer)
    }
}

fn whole(status: u16, text: &str) -> Response<Answer> {
    reply(status, "application/json", Answer::Whole(Some(Bytes::copy_from_slice(text.as_bytes()))))
}

fn reply(status: u16, content_type: &str, answer: Answer) -> Response<Answer> {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .body(answer)
        .expect("status and content type are valid")
}
