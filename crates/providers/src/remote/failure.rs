//! What the errors of a call say, and to whom.

use domain::chat::{Dialect, ErrorReply};
use domain::fault::{Fault, Retry};
use domain::id::{ModelId, ProviderName};
use domain::ports::{ModelError, RelayError};
use outbound::OutboundError;
use wire::stream::{Before, StreamError};
use wire::translation::{ReadError, Untranslatable};

/// The request makes no sense to a model of another dialect.
pub(crate) fn unreadable(model: &ModelId, error: &ReadError) -> RelayError {
    refusal(model, error.to_string(), error.field())
}

/// The model's provider has nothing of the kind.
pub(crate) fn foreign(model: &ModelId, dialect: Dialect) -> RelayError {
    refusal(model, format!("`{model}` is behind an interface without {}", dialect.name()), Some("model"))
}

/// The model cannot be asked that.
pub(crate) fn untranslatable(model: &ModelId, error: &Untranslatable) -> RelayError {
    refusal(model, error.to_string(), Some(&error.what))
}

pub(super) fn refusal(model: &ModelId, message: String, field: Option<&str>) -> RelayError {
    // Another model may well understand it.
    let fault = Fault::caller(Retry::Elsewhere);
    let detail = format!("`{model}` cannot take the request: {message}");
    let reply = ErrorReply {
        status: 400,
        message,
        kind: None,
        parameter: field.map(str::to_owned),
        code: Some("unsupported_value".to_owned()),
    };
    RelayError { error: ModelError { fault, detail }, reply: Some(Box::new(reply)), usage: None }
}

pub(super) fn failed(provider: &ProviderName, error: &OutboundError) -> ModelError {
    ModelError { fault: error.fault(), detail: format!("`{provider}` failed: {error}") }
}

/// An answer that is none, or not whole.
pub(super) fn broken(provider: &ProviderName, error: StreamError, before: Before) -> Broken {
    let (fault, usage) = (error.fault(before), error.usage());
    let reply = matches!(error, StreamError::GaveUp { .. }).then(|| {
        let message = error.to_string();
        Box::new(ErrorReply { status: 400, message, kind: None, parameter: None, code: None })
    });
    Broken(RelayError {
        error: ModelError { fault, detail: format!("`{provider}` failed: {error}") },
        reply,
        usage,
    })
}

/// A call that failed after it was accepted, for callers who hear more or less of it.
pub(super) struct Broken(RelayError);

impl From<ModelError> for Broken {
    fn from(error: ModelError) -> Self {
        Self(error.into())
    }
}

impl From<Broken> for RelayError {
    fn from(broken: Broken) -> Self {
        broken.0
    }
}

impl From<Broken> for ModelError {
    fn from(broken: Broken) -> Self {
        broken.0.error
    }
}
