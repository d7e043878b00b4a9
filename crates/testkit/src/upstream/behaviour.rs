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

/// What is wrong with a frame of an AWS event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameFault {
    /// Its checksum is that of another.
    Checksum,
    /// The checksum of its first bytes is that of others.
    Prelude,
    /// The body ends within it, properly.
    Truncated,
    /// It says that it is longer than any frame may be.
    Length,
    /// Its headers are longer than itself.
    HeaderLength,
    /// One of its headers has as many bytes as a header may.
    HugeHeader,
    /// It does not say which event it is.
    Nameless,
    /// It is an event that nobody knows.
    Unknown,
    /// It is an error that is no exception.
    Error,
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
    /// The same after so many words of this text.
    UnfinishedText(String, usize),
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
    /// So many percent of the requests are answered with 503, spread evenly and the same in each run; the others are
    /// answered.
    Brownout(u32),
    /// Closes the connection after so many whole frames.
    CutFrames(usize),
    /// An error status with a page for people.
    HtmlError(u16),
    /// Status 200 and no body at all.
    NoBody,
    /// Text goes on after the end marker, or after the JSON.
    TextAfterEnd,
    /// Each frame comes twice, the end marker too.
    DuplicateFrames,
    /// A word holds a byte that is no UTF-8.
    InvalidUtf8,
    /// The body is compressed, which nobody asked for.
    Gzip,
    /// The header `content-length` names more bytes than come before the connection closes.
    LengthTooLong,
    /// The header `content-length` names half of the bytes that come.
    LengthTooShort,
    /// Bytes that are no HTTP.
    NoHttp,
    /// An informational response (103) comes first, then the answer.
    EarlyHints,
    /// One frame (or one string of the JSON) of so many bytes.
    HugeFrame(usize),
    /// Words without end, a thousand in a second.
    EndlessWords,
    /// The end marker comes without a finish reason.
    NoFinish,
    /// A complete answer without a single word.
    NoWords,
    /// Between the frames stand ids, retry times, comments and empty deltas.
    Clutter,
    /// Closes the connection in place of a response.
    CloseAtOnce,
    /// After two words of an AWS event stream comes such a frame, then the other words. In other formats there is no such
    /// frame.
    Frame(FrameFault),
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
        [Self::named_answers(), Self::named_refusals(), Self::named_breaks(), Self::named_frames()].concat()
    }

    /// Those that answer, however oddly.
    fn named_answers() -> Vec<(&'static str, Self)> {
        let slow = Answer {
            delay: Duration::from_secs(2),
            token_gap: Duration::from_millis(200),
            ..Answer::of(Self::TEXT)
        };
        vec![
            ("answer", Self::default()),
            ("slow", Self::Answer(slow)),
            ("split", Self::Split),
            ("drip", Self::SlowDrip(Duration::from_millis(20))),
            ("html", Self::ContentType("text/html".to_owned())),
            ("json", Self::WholeJson),
            ("no-done", Self::NoDone),
            ("no-usage", Self::NoUsage),
            ("no-finish", Self::NoFinish),
            ("never-closes", Self::NeverCloses),
            ("hang-after-finish", Self::HangAfterFinish),
            ("crlf", Self::CarriageReturns),
            ("clutter", Self::Clutter),
            ("duplicate", Self::DuplicateFrames),
            ("text-after-end", Self::TextAfterEnd),
            ("early-hints", Self::EarlyHints),
            ("close-after", Self::CloseAfter),
            ("content-filter", Self::ContentFilter),
            ("length", Self::LengthLimit),
            ("brownout", Self::Brownout(20)),
            (
                "burst",
                Self::Sequence(
                    [vec![Self::throttled(RetryAfter::Seconds(1)); 3], vec![Self::default()]].concat(),
                ),
            ),
        ]
    }

    /// Those that refuse with a status.
    fn named_refusals() -> Vec<(&'static str, Self)> {
        let later = |text: &str| Self::throttled(RetryAfter::Date(text.to_owned()));
        vec![
            ("down", Self::status(503)),
            ("html-error", Self::HtmlError(502)),
            ("redirect", Self::Redirect("http://127.0.0.1:1/v1/chat/completions".to_owned())),
            ("echo-key", Self::EchoKey),
            ("throttled", Self::throttled(RetryAfter::Seconds(2))),
            ("throttled-date", later("Sat, 21 Nov 2026 09:06:01 GMT")),
            ("throttled-for-ever", later("99999999999999999999")),
            ("throttled-in-the-past", later("Thu, 01 Jan 1970 00:00:00 GMT")),
            ("throttled-nonsense", later("-1e9 fortnights")),
            ("no-credit", Self::error(429, "insufficient_quota")),
            ("too-long", Self::error(400, "context_length_exceeded")),
            ("filtered", Self::error(400, "content_filter")),
        ]
    }

    /// Those that break off, fall silent, or send what cannot be read.
    fn named_breaks() -> Vec<(&'static str, Self)> {
        let error = r#"{"error":{"message":"provider says no","type":"server_error"}}"#;
        vec![
            ("hang", Self::Hang(Phase::BeforeHead)),
            ("hang-head", Self::Hang(Phase::AfterHead)),
            ("hang-mid", Self::Hang(Phase::MidBody)),
            ("reset", Self::Reset(Phase::BeforeHead)),
            ("reset-head", Self::Reset(Phase::AfterHead)),
            ("reset-mid", Self::Reset(Phase::MidBody)),
            ("close", Self::CloseAtOnce),
            ("cut-first", Self::Cut(40)),
            ("cut", Self::Cut(300)),
            ("cut-frames", Self::CutFrames(3)),
            ("unfinished", Self::Unfinished),
            ("malformed", Self::Malformed(0)),
            ("malformed-mid", Self::Malformed(2)),
            ("error-first", Self::ErrorFirst(error.to_owned())),
            ("error-mid", Self::ErrorLater(error.to_owned())),
            ("empty", Self::Empty),
            ("no-body", Self::NoBody),
            ("no-words", Self::NoWords),
            ("comments", Self::Comments),
            ("endless", Self::EndlessWords),
            ("huge-head", Self::HugeHead(1 << 20)),
            ("huge-frame", Self::HugeFrame(40 << 20)),
            ("surrogate", Self::LoneSurrogate),
            ("invalid-utf8", Self::InvalidUtf8),
            ("gzip", Self::Gzip),
            ("length-too-long", Self::LengthTooLong),
            ("length-too-short", Self::LengthTooShort),
            ("no-http", Self::NoHttp),
        ]
    }

    /// Those of AWS event streams.
    fn named_frames() -> Vec<(&'static str, Self)> {
        vec![
            ("frame-checksum", Self::Frame(FrameFault::Checksum)),
            ("frame-prelude", Self::Frame(FrameFault::Prelude)),
            ("frame-truncated", Self::Frame(FrameFault::Truncated)),
            ("frame-length", Self::Frame(FrameFault::Length)),
            ("frame-header-length", Self::Frame(FrameFault::HeaderLength)),
            ("frame-huge-header", Self::Frame(FrameFault::HugeHeader)),
            ("frame-nameless", Self::Frame(FrameFault::Nameless)),
            ("frame-unknown", Self::Frame(FrameFault::Unknown)),
            ("frame-error", Self::Frame(FrameFault::Error)),
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
        let names: std::collections::BTreeSet<_> =
            Behaviour::named().into_iter().map(|named| named.0).collect();
        assert_eq!(names.len(), Behaviour::named().len(), "each name once");
        assert!(names.len() >= 60, "{}", names.len());
    }
}
