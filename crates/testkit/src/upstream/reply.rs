//! What the upstream answers, and how a reply ends.
//!
//! Reading order: this file (each behaviour), `sending` (how its bytes go out), `raw` (replies of one run of bytes), `form`
//! (what a reply looks like in each dialect).

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWrite;

use super::Received;
use super::behaviour::{Answer, Behaviour, FrameFault, Phase, RetryAfter};
use super::server::write;
use form::{Asked, Form};
use sending::Pace;

mod form;
mod raw;
mod sending;

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    KeepOpen,
    Close,
    Reset,
}

/// `Err` ends the reply early.
pub(super) type Sent = Result<(), Ending>;

const JSON: &str = "application/json";

/// How many words come before a fault in the middle.
const WORDS_BEFORE_FAULT: usize = 2;

pub(super) async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    request: &Received,
    behaviour: &Behaviour,
) -> Ending {
    let form = form::of(request);
    let asked = Asked::of(form, request);
    let mut reply = Reply { writer, form, asked, pace: Pace::AtOnce, left: usize::MAX };
    match reply.play(request, behaviour).await {
        Ok(()) if *behaviour == Behaviour::CloseAfter => Ending::Close,
        Ok(()) => Ending::KeepOpen,
        Err(ending) => ending,
    }
}

struct Reply<'a, W> {
    writer: &'a mut W,
    form: &'static dyn Form,
    asked: Asked,
    pace: Pace,
    /// Bytes of the body until the connection is cut.
    left: usize,
}

/// What a stream holds beside its words.
#[derive(Clone, Copy)]
struct Script<'a> {
    words: &'a [&'a str],
    finish: Option<&'a str>,
    end: StreamEnd,
    token_gap: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    Usual,
    NoDone,
    NoUsage,
    NeverCloses,
    HangAfterFinish,
}

impl<W: AsyncWrite + Unpin> Reply<'_, W> {
    async fn play(&mut self, request: &Received, behaviour: &Behaviour) -> Sent {
        match behaviour {
            Behaviour::Answer(answer) => self.answer(answer).await,
            Behaviour::Status { status, body, retry_after } => {
                let extra = match retry_after {
                    RetryAfter::Absent => String::new(),
                    RetryAfter::Seconds(seconds) => format!("retry-after: {seconds}\r\n"),
                    RetryAfter::Date(date) => format!("retry-after: {date}\r\n"),
                };
                let extra = extra + &self.form.error_fields(*status, body);
                self.whole(*status, &extra, &self.form.error(*status, body)).await
            }
            Behaviour::Hang(phase) => {
                self.until(*phase).await?;
                std::future::pending().await
            }
            Behaviour::Reset(phase) => {
                self.until(*phase).await?;
                Err(Ending::Reset)
            }
            Behaviour::Redirect(to) => self.whole(307, &format!("location: {to}\r\n"), "").await,
            Behaviour::HugeHead(bytes) => {
                let mut extra = String::new();
                while extra.len() < *bytes {
                    let _ = write!(extra, "x-pad-{}: {}\r\n", extra.len(), "p".repeat(1000));
                }
                self.whole(200, &extra, "{}").await
            }
            Behaviour::EchoKey => {
                let mut body = String::new();
                for (name, value) in &request.headers {
                    let _ = writeln!(body, "{name}: {value}");
                }
                let body = json!({"error": {"message": body}}).to_string();
                self.whole(500, "", &self.form.error(500, &body)).await
            }
            Behaviour::EarlyHints => {
                write(self.writer, b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n").await?;
                self.usual(Behaviour::TEXT).await
            }
            Behaviour::CloseAtOnce => Err(Ending::Close),
            // `Sequence` and `Brownout` are resolved before.
            Behaviour::CloseAfter | Behaviour::Sequence(_) | Behaviour::Brownout(_) => {
                self.usual(Behaviour::TEXT).await
            }
            Behaviour::WholeJson => {
                self.asked.is_streamed = false;
                self.usual(Behaviour::TEXT).await
            }
            _ => match self.raw(behaviour) {
                Some((bytes, ending)) => {
                    write(self.writer, &bytes).await?;
                    ending
                }
                None if !self.asked.is_streamed => self.faulty_whole(behaviour).await,
                None => self.faulty_stream(behaviour).await,
            },
        }
    }

    async fn answer(&mut self, answer: &Answer) -> Sent {
        tokio::time::sleep(answer.delay).await;
        if !self.asked.is_streamed {
            return self.usual(&answer.text).await;
        }
        self.head(self.form.event_stream()).await?;
        let words = words(&answer.text);
        self.stream(Script { token_gap: answer.token_gap, ..Script::usual(&words) }).await
    }

    async fn usual(&mut self, text: &str) -> Sent {
        if self.asked.is_streamed {
            self.head(self.form.event_stream()).await?;
            return self.stream(Script::usual(&words(text))).await;
        }
        let body = self.form.whole(&self.completion(text, "stop"), &self.asked);
        self.whole(200, "", &body).await
    }

    /// Sends everything that comes before the fault.
    async fn until(&mut self, phase: Phase) -> Sent {
        if phase == Phase::BeforeHead {
            return Ok(());
        }
        self.head(if self.asked.is_streamed { self.form.event_stream() } else { JSON }).await?;
        if phase == Phase::AfterHead {
            return Ok(());
        }
        if self.asked.is_streamed {
            return self.some_words(WORDS_BEFORE_FAULT).await;
        }
        let body = self.form.whole(&self.completion(Behaviour::TEXT, "stop"), &self.asked);
        self.chunk(body.get(..body.len() / 2).unwrap_or_default().as_bytes()).await
    }

    async fn faulty_stream(&mut self, behaviour: &Behaviour) -> Sent {
        let content_type = match behaviour {
            Behaviour::ContentType(content_type) => content_type,
            _ => self.form.event_stream(),
        };
        self.head(content_type).await?;
        let all = words(Behaviour::TEXT);
        let usual = Script::usual(&all);
        let few = Script { words: all.get(..WORDS_BEFORE_FAULT).unwrap_or_default(), ..usual };
        match behaviour {
            Behaviour::Cut(bytes) => self.left = *bytes,
            Behaviour::Split => self.pace = Pace::ByteByByte(Duration::ZERO),
            Behaviour::SlowDrip(gap) => self.pace = Pace::ByteByByte(*gap),
            _ => {}
        }
        match behaviour {
            Behaviour::Malformed(after) => {
                self.some_words(*after).await?;
                self.event("{\"choices\": oops").await?;
                self.stream(usual).await
            }
            Behaviour::LoneSurrogate => {
                self.event(r#"{"choices":[{"index":0,"delta":{"content":"\ud83d"}}]}"#).await?;
                self.stream(usual).await
            }
            Behaviour::Unfinished => {
                self.some_words(WORDS_BEFORE_FAULT).await?;
                self.end().await
            }
            Behaviour::UnfinishedText(text, n_words) => self.unfinished(text, *n_words).await,
            Behaviour::ErrorFirst(body) => {
                self.event(body).await?;
                self.end().await
            }
            Behaviour::ErrorLater(body) => {
                self.some_words(WORDS_BEFORE_FAULT).await?;
                self.event(body).await?;
                self.end().await
            }
            Behaviour::Empty => self.end().await,
            Behaviour::Comments => loop {
                self.chunk(&self.form.comment()).await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            },
            Behaviour::EndlessWords => loop {
                let frame = self.frame(&json!({"content": "more "}), None);
                self.event(&frame).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            },
            Behaviour::CarriageReturns => {
                let mut frames: Vec<String> =
                    all.iter().map(|word| self.frame(&json!({"content": word}), None)).collect();
                frames.extend([self.frame(&json!({}), Some("stop")), "[DONE]".to_owned()]);
                for frame in frames {
                    self.chunk(&self.form.frame_with_returns(&frame, &self.asked)).await?;
                }
                self.end().await
            }
            Behaviour::Frame(fault) => self.frame_fault(*fault).await,
            Behaviour::ContentFilter => self.stream(Script { finish: Some("content_filter"), ..few }).await,
            Behaviour::LengthLimit => self.stream(Script { finish: Some("length"), ..few }).await,
            Behaviour::NoDone => self.stream(Script { end: StreamEnd::NoDone, ..usual }).await,
            Behaviour::NoUsage => self.stream(Script { end: StreamEnd::NoUsage, ..usual }).await,
            Behaviour::NeverCloses => self.stream(Script { end: StreamEnd::NeverCloses, ..usual }).await,
            Behaviour::HangAfterFinish => {
                self.stream(Script { end: StreamEnd::HangAfterFinish, ..usual }).await
            }
            _ => self.stream(usual).await,
        }
    }

    async fn frame_fault(&mut self, fault: FrameFault) -> Sent {
        self.some_words(WORDS_BEFORE_FAULT).await?;
        let frame = self.frame(&json!({"content": ""}), None);
        self.chunk(&self.form.spoiled(fault, &frame, &self.asked)).await?;
        if fault == FrameFault::Truncated {
            return self.end().await;
        }
        let all = words(Behaviour::TEXT);
        self.stream(Script::usual(all.get(WORDS_BEFORE_FAULT..).unwrap_or_default())).await
    }

    /// So many words of `text`, and then a proper end of the body.
    async fn unfinished(&mut self, text: &str, n_words: usize) -> Sent {
        for word in words(text).iter().take(n_words) {
            let frame = self.frame(&json!({"content": word}), None);
            self.event(&frame).await?;
        }
        self.end().await
    }

    /// The same faults where no stream was asked for.
    async fn faulty_whole(&mut self, behaviour: &Behaviour) -> Sent {
        let content_type = match behaviour {
            Behaviour::ContentType(content_type) => content_type,
            _ => JSON,
        };
        let cut = words(Behaviour::TEXT).into_iter().take(WORDS_BEFORE_FAULT).collect::<String>();
        let body = match behaviour {
            Behaviour::Malformed(_) => "{\"choices\": oops".to_owned(),
            Behaviour::LoneSurrogate => {
                r#"{"choices":[{"message":{"content":"\ud83d"},"finish_reason":"stop"}]}"#.to_owned()
            }
            Behaviour::ErrorFirst(body) | Behaviour::ErrorLater(body) => body.clone(),
            Behaviour::Empty => String::new(),
            Behaviour::Comments | Behaviour::EndlessWords => " ".to_owned(),
            Behaviour::ContentFilter => self.completion(&cut, "content_filter"),
            Behaviour::LengthLimit => self.completion(&cut, "length"),
            _ => self.completion(Behaviour::TEXT, "stop"),
        };
        let body = self.form.whole(&body, &self.asked);
        match behaviour {
            Behaviour::Cut(bytes) => self.left = *bytes,
            Behaviour::Unfinished => self.left = body.len() / 2,
            Behaviour::Split => self.pace = Pace::ByteByByte(Duration::ZERO),
            Behaviour::SlowDrip(gap) => self.pace = Pace::ByteByByte(*gap),
            _ => {}
        }
        self.head(content_type).await?;
        self.chunk(body.as_bytes()).await?;
        if *behaviour == Behaviour::EndlessWords {
            loop {
                self.chunk(b" ").await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        self.end().await
    }

    async fn stream(&mut self, script: Script<'_>) -> Sent {
        let role = self.frame(&json!({"role": "assistant", "content": ""}), None);
        self.event(&role).await?;
        for word in script.words {
            tokio::time::sleep(script.token_gap).await;
            let frame = self.frame(&json!({"content": word}), None);
            self.event(&frame).await?;
        }
        let last = self.frame(&json!({}), script.finish);
        self.event(&last).await?;
        if script.end == StreamEnd::HangAfterFinish {
            std::future::pending::<()>().await;
        }
        if self.asked.with_usage && script.end != StreamEnd::NoUsage {
            let usage = self.usage(script.words.len());
            self.event(
                &json!({"object": "chat.completion.chunk", "choices": [], "usage": usage}).to_string(),
            )
            .await?;
        }
        if script.end != StreamEnd::NoDone {
            self.event("[DONE]").await?;
        }
        if script.end == StreamEnd::NeverCloses {
            std::future::pending::<()>().await;
        }
        self.end().await
    }

    async fn some_words(&mut self, n: usize) -> Sent {
        for word in words(Behaviour::TEXT).into_iter().take(n) {
            let frame = self.frame(&json!({"content": word}), None);
            self.event(&frame).await?;
        }
        Ok(())
    }

    /// Frames of the form.
    fn frames(&self, frames: &[String]) -> Vec<u8> {
        frames.iter().flat_map(|frame| self.form.frame(frame, &self.asked)).collect()
    }

    fn frame(&self, delta: &serde_json::Value, finish: Option<&str>) -> String {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        json!({"id": "chatcmpl-mock", "object": "chat.completion.chunk", "model": self.asked.model, "choices": [choice]})
            .to_string()
    }

    fn completion(&self, text: &str, finish: &str) -> String {
        let message = json!({"role": "assistant", "content": text});
        let choice = json!({"index": 0, "message": message, "finish_reason": finish});
        let usage = self.usage(words(text).len());
        json!({"id": "chatcmpl-mock", "object": "chat.completion", "model": self.asked.model, "choices": [choice], "usage": usage})
            .to_string()
    }

    fn usage(&self, n_words: usize) -> serde_json::Value {
        let input = self.asked.n_prompt_words;
        json!({"prompt_tokens": input, "completion_tokens": n_words, "total_tokens": input + n_words})
    }

    async fn event(&mut self, data: &str) -> Sent {
        self.chunk(&self.form.frame(data, &self.asked)).await
    }
}

impl<'a> Script<'a> {
    fn usual(words: &'a [&'a str]) -> Self {
        Self { words, finish: Some("stop"), end: StreamEnd::Usual, token_gap: Duration::ZERO }
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}
