//! What the upstream can do with a request.

use std::time::Duration;

/// An answer that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its text, sent word by word when streamed.
    pub text: String,
    /// Wait before the head of the response.
    pub delay: Duration,
    /// Wait before each word.
    pub token_gap: Duration,
}

impl Answer {
    /// An answer without any waiting.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { text: text.to_owned(), delay: Duration::ZERO, token_gap: Duration::ZERO }
    }
}

/// A point in the life of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before the first byte.
    BeforeHead,
    /// After the head, before the first byte of the body.
    AfterHead,
    /// After two words of the body.
    MidBody,
}

/// The header `retry-after`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryAfter {
    /// Left out.
    Absent,
    /// Seconds.
    Seconds(u32),
    /// An HTTP date, as given.
    Date(String),
}

/// What the upstream does with a request. Unless said otherwise the answer is "This is the mock answer." as a
/// stream when the request asks for one, else in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers.
    Answer(Answer),
    /// Answers with an error status and a body.
    Status {
        /// The status.
        status: u16,
        /// The body.
        body: String,
        /// The header `retry-after`.
        retry_after: RetryAfter,
    },
    /// Falls silent and stays so, with the connection open.
    Hang(Phase),
    /// Resets the connection (RST).
    Reset(Phase),
    /// Closes the connection after so many bytes of the body, chunk framing not counted.
    Cut(usize),
    /// Closes properly after two words: the HTTP body ends well, the answer does not.
    Unfinished,
    /// Sends an unreadable frame after so many words.
    Malformed(usize),
    /// Sends one byte at a time.
    Split,
    /// Sends one byte at a time with this wait before each.
    SlowDrip(Duration),
    /// Sends with another content type.
    ContentType(String),
    /// Sends one JSON body although a stream was asked for.
    WholeJson,
    /// Leaves the end marker out.
    NoDone,
    /// Leaves the usage out.
    NoUsage,
    /// Sends the end marker, but then neither ends the body nor closes.
    NeverCloses,
    /// Sends the finish reason and then nothing more, with the connection open.
    HangAfterFinish,
    /// Sends CRLF line ends.
    CarriageReturns,
    /// The first event of the stream is this error body.
    ErrorFirst(String),
    /// An event with this error body comes after two words.
    ErrorLater(String),
    /// A stream without any event.
    Empty,
    /// Comments without end, five in a second.
    Comments,
    /// Redirects there, with status 307.
    Redirect(String),
    /// A head with so many bytes of header fields.
    HugeHead(usize),
    /// A word holds half a surrogate pair.
    LoneSurrogate,
    /// Answers 500 with the request's own head as text, key included.
    EchoKey,
    /// The answer is cut by a content filter after two words.
    ContentFilter,
    /// The answer is cut by the token limit after two words.
    LengthLimit,
    /// Answers, then closes the connection although it said it would keep it.
    CloseAfter,
    /// Takes them in turn, one a request; the last one stays. An empty list answers.
    Sequence(Vec<Behaviour>),
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::Answer(Answer::of(Self::TEXT))
    }
}

impl Behaviour {
    /// The usual answer.
    pub const TEXT: &str = "This is the mock answer.";

    /// An error status with a body as OpenAI writes it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::error(status, "null")
    }

    /// An error status whose body carries `code`.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        let code = if code == "null" { code.to_owned() } else { format!("\"{code}\"") };
        let body = format!(
            r#"{{"error":{{"message":"provider says no","type":"mock_error","param":null,"code":{code}}}}}"#
        );
        Self::Status { status, body, retry_after: RetryAfter::Absent }
    }

    /// A 429 that asks to wait.
    #[must_use]
    pub fn throttled(retry_after: RetryAfter) -> Self {
        match Self::error(429, "rate_limit_exceeded") {
            Self::Status { status, body, .. } => Self::Status { status, body, retry_after },
            other => other,
        }
    }

    /// The behaviours that have a name for the command line, as `down` or `hang-mid`.
    #[must_use]
    pub fn named() -> Vec<(&'static str, Self)> {
        vec![
            ("answer", Self::default()),
            (
                "slow",
                Self::Answer(Answer {
                    delay: Duration::from_secs(2),
                    token_gap: Duration::from_millis(200),
                    ..Answer::of(Self::TEXT)
                }),
            ),
            ("down", Self::status(503)),
            ("hang", Self::Hang(Phase::BeforeHead)),
            ("hang-head", Self::Hang(Phase::AfterHead)),
            ("hang-mid", Self::Hang(Phase::MidBody)),
            ("reset", Self::Reset(Phase::BeforeHead)),
            ("reset-mid", Self::Reset(Phase::MidBody)),
            ("cut", Self::Cut(300)),
            ("unfinished", Self::Unfinished),
            ("malformed", Self::Malformed(0)),
            ("malformed-mid", Self::Malformed(2)),
            ("split", Self::Split),
            ("drip", Self::SlowDrip(Duration::from_millis(20))),
            ("html", Self::ContentType("text/html".to_owned())),
            ("json", Self::WholeJson),
            ("no-done", Self::NoDone),
            ("no-usage", Self::NoUsage),
            ("never-closes", Self::NeverCloses),
            ("hang-after-finish", Self::HangAfterFinish),
            ("crlf", Self::CarriageReturns),
            ("error-first", Self::ErrorFirst(r#"{"error":{"type":"server_error"}}"#.to_owned())),
            ("error-mid", Self::ErrorLater(r#"{"error":{"type":"server_error"}}"#.to_owned())),
            ("empty", Self::Empty),
            ("comments", Self::Comments),
            ("redirect", Self::Redirect("http://127.0.0.1:1/v1/chat/completions".to_owned())),
            ("huge-head", Self::HugeHead(1 << 20)),
            ("surrogate", Self::LoneSurrogate),
            ("echo-key", Self::EchoKey),
            ("content-filter", Self::ContentFilter),
            ("length", Self::LengthLimit),
            ("close-after", Self::CloseAfter),
            ("throttled", Self::throttled(RetryAfter::Seconds(2))),
            ("no-credit", Self::error(429, "insufficient_quota")),
            ("too-long", Self::error(400, "context_length_exceeded")),
            ("filtered", Self::error(400, "content_filter")),
        ]
    }

    /// The behaviour of a name of [`Self::named`], or of `status-NNN`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        if let Some(status) = name.strip_prefix("status-") {
            return status.parse().ok().filter(|status| (200..600).contains(status)).map(Self::status);
        }
        Self::named().into_iter().find(|(found, _)| *found == name).map(|(_, behaviour)| behaviour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviours_have_names() {
        assert_eq!(Behaviour::by_name("down"), Some(Behaviour::status(503)));
        assert_eq!(Behaviour::by_name("status-529"), Some(Behaviour::status(529)));
        assert_eq!(Behaviour::by_name("status-9"), None);
        assert_eq!(Behaviour::by_name("nonsense"), None);
    }
}
