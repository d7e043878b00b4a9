//! Event streams: `step`, `text`, then `answer` with the full body, or `error` with a problem.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::ports::BoxFuture;
use futures_util::{Stream, StreamExt};
use http::{HeaderName, HeaderValue, header};
use pipeline::listener::{Event, Listener, StepState};
use pipeline::parts::Pipeline;
use pipeline::turn::{Reply, Turn, TurnError};
use serde_json::json;
use tokio::sync::mpsc;

use crate::keep_alive::KeepAlive;
use crate::limits;
use crate::native::reply;
use crate::problem::Problem;
use crate::server::Api;

/// Events a slow client may be behind; then the turn waits.
const EVENTS_MAX: usize = 64;

/// How what happens is written.
pub(crate) trait Format: Send + Unpin + 'static {
    /// What is sent of an event.
    fn event(&mut self, event: Event) -> Option<Bytes>;
    /// What is sent at the end.
    fn ended(&mut self, result: Result<Reply, TurnError>) -> Bytes;
    /// What is sent after a silence; `None` where no frame means nothing.
    fn sign(&self) -> Option<Bytes>;
}

/// Our own event names.
struct Native;

impl Format for Native {
    fn event(&mut self, event: Event) -> Option<Bytes> {
        Some(event_frame(&event))
    }

    fn ended(&mut self, result: Result<Reply, TurnError>) -> Bytes {
        match result {
            Ok(reply) => frame("answer", &reply::body(&reply).to_string()),
            Err(error) => error_frame(&Problem::from(error)),
        }
    }

    fn sign(&self) -> Option<Bytes> {
        Some(Bytes::from_static(b": keep-alive\n\n"))
    }
}

/// A turn whose events are sent as they come. Dropping it (the client left) cancels the turn.
struct TurnStream<F> {
    api: Arc<Api>,
    format: F,
    events: mpsc::Receiver<Event>,
    running: Option<BoxFuture<'static, Result<Reply, TurnError>>>,
    last: Option<Bytes>,
}

pub(crate) fn respond(api: Arc<Api>, pipeline: Arc<Pipeline>, turn: Turn) -> Result<Response, TurnError> {
    respond_as(Native, (api, pipeline, turn), event_stream)
}

/// The same in another format; `response` is made around its bytes.
pub(crate) fn respond_as(
    format: impl Format,
    (api, pipeline, turn): (Arc<Api>, Arc<Pipeline>, Turn),
    response: impl FnOnce(Body) -> Response,
) -> Result<Response, TurnError> {
    let (interaction, deadline) = (turn.interaction.to_string(), turn.deadline);
    // Before anything is sent: what is refused here has a status of its own.
    let admitted = pipeline.admit(turn)?;
    let standing = admitted.standing;
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let asked = Arc::clone(&pipeline);
    let running: BoxFuture<'static, _> =
        Box::pin(async move { asked.run_admitted(admitted, Listener::Live(sender)).await });
    let (sign, alive) = (format.sign(), (api.config.keep_alive, Arc::clone(&api.clock)));
    let stream = TurnStream { api, format, events, running: Some(running), last: None };
    let stream = match sign {
        Some(sign) => KeepAlive::new(stream, sign, (alive.0, &alive.1)).boxed(),
        None => stream.boxed(),
    };
    let mut response = response(Body::from_stream(pipeline.end_in_time(stream, deadline)));
    if let Ok(value) = HeaderValue::from_str(&interaction) {
        response.headers_mut().insert("x-mainstay-interaction", value);
    }
    limits::note(&mut response, standing);
    Ok(response)
}

/// A response that is an event stream.
pub(crate) fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

impl<F: Format> TurnStream<F> {
    fn ended(&mut self, result: Result<Reply, TurnError>) -> Bytes {
        if let Ok(reply) = &result {
            self.api.metrics.observe(reply);
        }
        self.format.ended(result)
    }
}

impl<F: Format> Stream for TurnStream<F> {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // Events first: what the turn said before it ended goes out before its end.
            match self.events.poll_recv(context) {
                Poll::Ready(Some(event)) => match self.format.event(event) {
                    Some(frame) => return Poll::Ready(Some(Ok(frame))),
                    None => continue,
                },
                Poll::Ready(None) => return Poll::Ready(self.last.take().map(Ok)),
                Poll::Pending => {}
            }
            let Some(running) = self.running.as_mut() else { return Poll::Ready(self.last.take().map(Ok)) };
            match running.as_mut().poll(context) {
                Poll::Ready(result) => {
                    // Dropping the turn closes the channel: what is left in it is sent, then the end.
                    self.running = None;
                    self.last = Some(self.ended(result));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn event_frame(event: &Event) -> Bytes {
    match event {
        Event::Step { name, state } => {
            let state = match state {
                StepState::Started => "started",
                StepState::Finished => "finished",
            };
            frame("step", &json!({ "name": name, "state": state }).to_string())
        }
        Event::Text(delta) => frame("text", &json!({ "delta": delta }).to_string()),
    }
}

/// The event that ends a stream without an answer.
pub(crate) fn error_frame(problem: &Problem) -> Bytes {
    frame("error", &problem.json())
}

/// JSON text never holds a line break, so one `data:` line holds it.
fn frame(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
