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
    format: F,
    events: mpsc::Receiver<Event>,
    running: Option<BoxFuture<'static, Result<Reply, TurnError>>>,
    /// How the turn ended, until all that it said before is sent.
    result: Option<Result<Reply, TurnError>>,
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
    let (sign, alive) = (format.sign(), (api.config.keep_alive, Arc::clone(&api.clock)));
    let running = Box::pin(async move {
        let result = asked.run_admitted(admitted, Listener::Live(sender)).await;
        if let Ok(reply) = &result {
            api.metrics.observe(reply);
        }
        result
    });
    let stream = TurnStream::new(format, events, running);
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
    fn new(
        format: F,
        events: mpsc::Receiver<Event>,
        running: BoxFuture<'static, Result<Reply, TurnError>>,
    ) -> Self {
        Self { format, events, running: Some(running), result: None }
    }
}

impl<F: Format> Stream for TurnStream<F> {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match self.events.poll_recv(context) {
                Poll::Ready(Some(event)) => match self.format.event(event) {
                    Some(frame) => return Poll::Ready(Some(Ok(frame))),
                    None => continue,
                },
                // All that was said is sent.
                Poll::Ready(None) if self.running.is_none() => {
                    let result = self.result.take();
                    return Poll::Ready(result.map(|result| Ok(self.format.ended(result))));
                }
                Poll::Ready(None) | Poll::Pending => {}
            }
            let Some(running) = self.running.as_mut() else { return Poll::Pending };
            match running.as_mut().poll(context) {
                Poll::Ready(result) => {
                    // What it said within this very poll is still in the channel: it goes out before the end is written.
                    self.running = None;
                    self.result = Some(result);
                    self.events.close();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said as it is; the end tells how many bytes were sent before it was written.
    #[derive(Default)]
    struct Plain {
        n_sent: usize,
    }

    impl Format for Plain {
        fn event(&mut self, event: Event) -> Option<Bytes> {
            let Event::Text(text) = event else { return None };
            self.n_sent += text.len();
            Some(Bytes::from(text))
        }

        fn ended(&mut self, result: Result<Reply, TurnError>) -> Bytes {
            assert!(matches!(result, Err(TurnError::NotCached)), "{result:?}");
            Bytes::from(format!("end after {}", self.n_sent))
        }

        fn sign(&self) -> Option<Bytes> {
            None
        }
    }

    /// More than a task may take from a channel before it must let others run (128, tokio's cooperative budget).
    const MANY: usize = 300;

    #[tokio::test]
    async fn a_turn_that_says_all_and_ends_at_once_is_told_in_that_order() {
        for n_events in [0, 1, MANY] {
            let (sender, events) = mpsc::channel(MANY);
            let running = Box::pin(async move {
                for _ in 0..n_events {
                    sender.try_send(Event::Text("a".to_owned())).expect("room");
                }
                Err(TurnError::NotCached)
            });
            let stream = TurnStream::new(Plain::default(), events, running);
            let mut frames: Vec<Bytes> = stream.map(|frame| frame.unwrap_or_default()).collect().await;
            assert_eq!(frames.pop().expect("an end"), format!("end after {n_events}"));
            assert_eq!(frames, vec!["a"; n_events]);
        }
    }
}
