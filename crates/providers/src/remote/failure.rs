//! What the errors of a call say, and to whom.

use domain::chat::{Dialect, ErrorReply};
use domain::fault::{Fault, Retry};
use domain::id::{ModelId, ProviderName};
use domain::ports::{CallError, ModelError};
use outbound::OutboundError;
use wire::stream::{Before, StreamError};
use wire::translation::{ReadError, Untranslatable};

/// The request makes no sense to a model of another dialect.
pub(crate) fn unreadable(model: &ModelId, error: &ReadError) -> CallError {
    refusal(model, error.to_string(), error.field())
}

/// The model's provider has nothing of the kind.
pub(crate) fn foreign(model: &ModelId, dialect: Dialect) -> CallError {
    refusal(model, format!("`{model}` is behind an interface without {}", dialect.name()), Some("model"))
}

/// The model cannot be asked that.
pub(crate) fn untranslatable(model: &ModelId, error: &Untranslatable) -> CallError {
    refusal(model, error.to_string(), Some(&error.what))
}

pub(super) fn refusal(model: &ModelId, message: String, field: Option<&str>) -> CallError {
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
    CallError { error: ModelError { fault, detail }, reply: Some(Box::new(reply)), usage: None }
}

pub(super) fn failed(provider: &ProviderName, error: &OutboundError) -> ModelError {
    ModelError { fault: error.fault(), detail: format!("`{provider}` failed: {error}") }
}

/// An answer that is none, or not whole.
pub(super) fn broken(provider: &ProviderName, error: StreamError, before: Before) -> CallError {
    let (fault, usage) = (error.fault(before), error.usage());
    let reply = matches!(error, StreamError::GaveUp { .. }).then(|| {
        let message = error.to_string();
        Box::new(ErrorReply { status: 400, message, kind: None, parameter: None, code: None })
    });
    CallError { error: ModelError { fault, detail: format!("`{provider}` failed: {error}") }, reply, usage }
}
