//! The model provider that is none: OpenAI-compatible chat completions, made ready beforehand, so that a request costs
//! next to nothing; and faults on demand.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};

/// How the mock behaves: options of its command line, and fields of the JSON object that `POST /control` takes.
#[derive(Debug, Clone, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Milliseconds before the first byte of a reply.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    /// Tokens of an answer.
    #[arg(long, default_value_t = 16)]
    pub tokens: usize,
    /// Milliseconds between two tokens of an event stream; 0: one after the other, each in its own write.
    #[arg(long, default_value_t = 0)]
    pub gap_ms: u64,
    /// Requests of a thousand that are answered with status 500.
    #[arg(long, default_value_t = 0)]
    pub errors_per_thousand: u64,
    /// Requests of a thousand that are slow.
    #[arg(long, default_value_t = 0)]
    pub slow_per_thousand: u64,
    /// Milliseconds by which a slow request is later.
    #[arg(long, default_value_t = 1_000)]
    pub slow_ms: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            tokens: 16,
            gap_ms: 0,
            errors_per_thousand: 0,
            slow_per_thousand: 0,
            slow_ms: 1_000,
        }
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered after so long.
    Answered(Duration),
    /// It gets status 500 after so long.
    Failed(Duration),
}

impl Behaviour {
    /// The fate of the `n`th request: the same for each run, and spread as if by chance.
    #[must_use]
    pub fn fate(&self, n: u64) -> Fate {
        let latency = Duration::from_millis(self.latency_ms);
        let drawn = scattered(n) % 1_000;
        if drawn < self.errors_per_thousand {
            Fate::Failed(latency)
        } else if drawn < self.errors_per_thousand.saturating_add(self.slow_per_thousand) {
            Fate::Answered(latency + Duration::from_millis(self.slow_ms))
        } else {
            Fate::Answered(latency)
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbours get unlike values.
fn scattered(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// A behaviour with its answers made ready.
#[derive(Debug)]
pub struct Prepared {
    /// What it was made from.
    pub behaviour: Behaviour,
    /// The body of an answer in one piece.
    pub whole: Bytes,
    frames: Arc<[Bytes]>,
    frames_with_usage: Arc<[Bytes]>,
}

/// One token each; the sentence stands in the shipped article on deposit insurance, so that the guarded path takes it
/// for an answer.
const WORDS: [&str; 16] = [
    "Deposits",
    " at",
    " an",
    " insured",
    " bank",
    " are",
    " covered",
    " by",
    " the",
    " FDIC",
    " up",
    " to",
    " at",
    " least",
    " $250,000",
    ".",
];

impl Prepared {
    /// Writes out the answers of `behaviour`.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        let tokens = || WORDS.iter().cycle().take(behaviour.tokens);
        let usage = json!({
            "prompt_tokens": 32, "completion_tokens": behaviour.tokens, "total_tokens": 32 + behaviour.tokens
        });
        let whole = json!({
            "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_767_225_600, "model": "mock-1",
            "choices": [{
                "index": 0, "finish_reason": "stop", "logprobs": null,
                "message": { "role": "assistant", "content": tokens().copied().collect::<String>(), "refusal": null },
            }],
            "usage": usage,
        });
        let chunk = |choices: Value, usage: Value| {
            let chunk = json!({
                "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_767_225_600,
                "model": "mock-1", "choices": choices, "usage": usage,
            });
            Bytes::from(format!("data: {chunk}\n\n"))
        };
        let delta = |delta: Value, finish: Option<&str>| {
            chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]), Value::Null)
        };
        let mut frames = vec![delta(json!({ "role": "assistant", "content": "" }), None)];
        frames.extend(tokens().map(|token| delta(json!({ "content": token }), None)));
        frames.push(delta(json!({}), Some("stop")));
        let mut frames_with_usage = frames.clone();
        frames_with_usage.push(chunk(json!([]), usage));
        for frames in [&mut frames, &mut frames_with_usage] {
            frames.push(Bytes::from_static(b"data: [DONE]\n\n"));
        }
        Self {
            behaviour,
            whole: Bytes::from(whole.to_string()),
            frames: frames.into(),
            frames_with_usage: frames_with_usage.into(),
        }
    }

    /// The answer to a request with this body, and its content type.
    #[must_use]
    pub fn answer(&self, request: &[u8]) -> (Answer, &'static str) {
        if !asks_for(request, b"\"stream\"") {
            return (Answer::Whole(Some(self.whole.clone())), "application/json");
        }
        let frames =
            if asks_for(request, b"\"include_usage\"") { &self.frames_with_usage } else { &self.frames };
        let gap = Duration::from_millis(self.behaviour.gap_ms);
        let frames = Frames { frames: Arc::clone(frames), next: 0, wait: Wait::None, gap };
        (Answer::Frames(frames), "text/event-stream")
    }
}

/// Whether the first `field` of a JSON text is `true`. Good enough for a mock, and cheap.
fn asks_for(json: &[u8], field: &[u8]) -> bool {
    let Some(at) = json.windows(field.len()).position(|window| window == field) else { return false };
    let rest = json.get(at + field.len()..).unwrap_or_default();
    let value: Vec<u8> = rest.iter().filter(|byte| !byte.is_ascii_whitespace()).take(5).copied().collect();
    value == b":true"
}

/// The body of a reply.
#[derive(Debug)]
pub enum Answer {
    /// In one piece.
    Whole(Option<Bytes>),
    /// As an event stream.
    Frames(Frames),
}

/// An event stream that goes on after each gap.
#[derive(Debug)]
pub struct Frames {
    frames: Arc<[Bytes]>,
    next: usize,
    wait: Wait,
    gap: Duration,
}

#[derive(Debug)]
enum Wait {
    None,
    /// Until polled again: what was written until then leaves in a write of its own.
    Turn,
    Until(Pin<Box<Sleep>>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Frames(frames) => {
                frames.poll_next(context).map(|frame| frame.map(|frame| Ok(Frame::data(frame))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Frames(_) => SizeHint::default(),
        }
    }
}

impl Frames {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match &mut self.wait {
            Wait::None => {}
            Wait::Turn => {
                self.wait = Wait::None;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Wait::Until(sleep) => ready!(sleep.as_mut().poll(context)),
        }
        let frame = self.frames.get(self.next).cloned();
        self.next += 1;
        // The first frame names the role; a model writes it together with its first word.
        if self.gap.is_zero() || self.next == 1 {
            self.wait = Wait::Turn;
        } else {
            match &mut self.wait {
                // From when it was due: a late wake-up does not slow the whole stream down.
                Wait::Until(sleep) => {
                    let next = sleep.deadline() + self.gap;
                    sleep.as_mut().reset(next);
                }
                wait => *wait = Wait::Until(Box::pin(tokio::time::sleep_until(Instant::now() + self.gap))),
            }
        }
        Poll::Ready(frame)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn faults_have_their_share() {
        let behaviour = Behaviour { errors_per_thousand: 100, slow_per_thousand: 50, ..Behaviour::default() };
        let fates: Vec<Fate> = (0..10_000).map(|n| behaviour.fate(n)).collect();
        let count = |fate: Fate| fates.iter().filter(|other| **other == fate).count();
        let (failed, slow) =
            (count(Fate::Failed(Duration::ZERO)), count(Fate::Answered(Duration::from_secs(1))));
        assert!((900..1_100).contains(&failed) && (430..570).contains(&slow), "{failed} failed, {slow} slow");
    }

    #[test]
    fn a_stream_is_asked_for_by_its_field() {
        for (body, want) in [
            (r#"{"stream":true}"#, true),
            (r#"{"stream" : true}"#, true),
            (r#"{"stream":false}"#, false),
            (r#"{"stream_options":{}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(asks_for(body.as_bytes(), b"\"stream\""), want, "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_has_each_token_and_its_gaps() {
        for (gap_ms, request, want) in [
            (0, r#"{"stream":true}"#, 3),
            (10, r#"{"stream":true}"#, 3),
            (0, r#"{"stream":true,"stream_options":{"include_usage":true}}"#, 4),
        ] {
            let prepared = Prepared::new(Behaviour { tokens: 20, gap_ms, ..Behaviour::default() });
            let began = Instant::now();
            let (answer, kind) = prepared.answer(request.as_bytes());
            let bytes = answer.collect().await.expect("a body").to_bytes();
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            assert_eq!((text.matches("\n\n").count(), kind), (20 + want, "text/event-stream"));
            assert!(text.ends_with("data: [DONE]\n\n"));
            assert!(began.elapsed() >= Duration::from_millis(gap_ms * 21), "{:?}", began.elapsed());
        }
    }
}
