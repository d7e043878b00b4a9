//! A format that providers speak: requests out, answers back, and what their errors mean.

use std::time::Duration;

use bytes::Bytes;
use domain::chat::{Delivery, Dialect, Done, ErrorReply, Relayed};
use domain::conversation::{Answer, Conversation};
use domain::fault::{Fault, Kind, Retry};
use domain::model::Overrides;
use domain::time::Timestamp;

use crate::retry_after;
use crate::stream::{EventReader, Portions, StreamError};
use crate::translation::Untranslatable;

/// What of a call is not in its conversation.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The model by the name that its provider knows.
    pub model: &'a str,
    /// How the answer comes.
    pub delivery: Delivery,
    /// Parameters forced on the call. Conversations come with them applied; a caller's own bytes are patched.
    pub overrides: Overrides,
    /// Most tokens of the answer, for formats that demand a limit where the caller gave none.
    pub max_tokens: u32,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Path and query below the provider's base address, beginning with `/`.
    pub path: String,
    /// Header fields beside those of every JSON request.
    pub headers: Vec<(&'static str, String)>,
    /// What the header `accept` says.
    pub accept: &'static str,
}

/// An error reply.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The header `retry-after` or what stands for it, when there is one.
    pub retry_after: Option<&'a str>,
    /// The header `x-amzn-errortype`, where AWS names the error.
    pub error_type: Option<&'a str>,
    /// The body, or what was read of it.
    pub body: &'a [u8],
    /// Wall time, for a `retry-after` that names a date.
    pub now: Timestamp,
}

impl<'a> Reply<'a> {
    /// An error that came without headers, within a stream or in place of an answer.
    pub(crate) fn bare(status: u16, body: &'a [u8]) -> Self {
        Self { status, retry_after: None, error_type: None, body, now: Timestamp::default() }
    }

    /// How long it asks to wait.
    pub(crate) fn wait(&self) -> Option<Duration> {
        retry_after::parse(self.retry_after?, self.now)
    }

    /// What its status says, where nothing else tells more.
    pub(crate) fn by_status(&self, wait: Option<Duration>) -> Fault {
        match self.status {
            429 => Fault::provider(Kind::Throttled).after(wait),
            408 | 409 | 425 | 500..=599 => Fault::provider(Kind::Transient).after(wait),
            // Redirects are never followed: the address is wrong until someone changes it.
            300..=399 | 401..=405 | 410 => Fault::provider(Kind::RouteFatal),
            400..=499 => Fault::caller(Retry::Never),
            _ => Fault::provider(Kind::Transient),
        }
    }
}

/// A provider's format.
pub trait Protocol: Send + Sync {
    /// Where a call of `call.model` goes.
    fn place(&self, call: Call<'_>) -> Place;

    /// The body of a request.
    ///
    /// # Errors
    /// [`Untranslatable`] for what the format cannot carry.
    fn request(&self, conversation: &Conversation, call: Call<'_>) -> Result<Bytes, Untranslatable>;

    /// Reads a whole answer.
    ///
    /// # Errors
    /// [`StreamError`] when it is none, or not whole.
    fn answer(&self, body: &[u8]) -> Result<Answer, StreamError>;

    /// Reads a streamed answer.
    fn reader(&self) -> Box<dyn EventReader>;

    /// What an error reply means.
    fn classify(&self, reply: Reply<'_>) -> Fault;

    /// The provider's own words in an error reply, for callers: bounded, and passed through `conceal`, which takes out
    /// what looks like a key. `None` when it said none.
    fn words(&self, reply: Reply<'_>, conceal: &dyn Fn(&str) -> String) -> Option<ErrorReply>;

    /// How the caller's own bytes are passed on to `model` (by the name that its provider knows); `None` when they are
    /// in a format that this one does not take. A provider may take several: Bedrock's models take Converse, and
    /// InvokeModel with the body of their own maker only.
    fn own_dialect(&self, relayed: &Relayed, model: &str) -> Option<&dyn OwnDialect>;
}

/// Passes the bytes of a caller on who speaks the provider's own format, and the provider's back.
pub trait OwnDialect: Send + Sync {
    /// The format.
    fn dialect(&self) -> Dialect;

    /// Where a call of `call.model` in this format goes.
    fn place(&self, call: Call<'_>) -> Place;

    /// The caller's body with what `call` says set; every other byte stays as it is.
    fn patch(&self, relayed: &Relayed, call: Call<'_>) -> Bytes;

    /// Cuts a streamed answer to `relayed` into portions of whole frames, the bytes themselves untouched.
    fn portions(&self, relayed: &Relayed) -> Box<dyn Portions>;

    /// Reads an answer in one piece although a stream was asked for, as some providers give it; `None` in formats where
    /// none does.
    fn unstreamed(&self) -> Option<Box<dyn EventReader>> {
        None
    }

    /// Reads how a whole answer ended.
    ///
    /// # Errors
    /// [`StreamError`] when it is none, or not whole.
    fn whole(&self, body: &[u8]) -> Result<Done, StreamError>;

    /// Bytes of what a whole answer says, in formats that are not the provider's own.
    fn said(&self, _body: &[u8]) -> Option<u32> {
        None
    }
}
