//! What callers who speak Bedrock are told when there is no answer: statuses and names as AWS has them.

use bytes::{Bytes, BytesMut};
use domain::fault::{Fault, Kind, Origin};
use serde::Serialize;

use super::frame;
use crate::written;

/// An exception of Bedrock's runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// The caller may not do this.
    AccessDenied,
    /// The key is not known, or signs for nobody.
    UnrecognizedClient,
    /// The signature does not match.
    InvalidSignature,
    /// Something is wrong within Mainstay.
    InternalServer,
    /// The model failed.
    ModelError,
    /// The model is not there yet.
    ModelNotReady,
    /// The model failed while it answered.
    ModelStreamError,
    /// The model took too long.
    ModelTimeout,
    /// There is no such model.
    ResourceNotFound,
    /// A budget is used up.
    ServiceQuotaExceeded,
    /// Nothing can answer now.
    ServiceUnavailable,
    /// Too many requests.
    Throttling,
    /// The request is at fault.
    Validation,
}

/// All of them.
const ALL: [Exception; 13] = [
    Exception::AccessDenied,
    Exception::UnrecognizedClient,
    Exception::InvalidSignature,
    Exception::InternalServer,
    Exception::ModelError,
    Exception::ModelNotReady,
    Exception::ModelStreamError,
    Exception::ModelTimeout,
    Exception::ResourceNotFound,
    Exception::ServiceQuotaExceeded,
    Exception::ServiceUnavailable,
    Exception::Throttling,
    Exception::Validation,
];

impl Exception {
    /// Its name, for the header `x-amzn-errortype` and the field `__type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::InternalServer => "InternalServerException",
            Self::ModelError => "ModelErrorException",
            Self::ModelNotReady => "ModelNotReadyException",
            Self::ModelStreamError => "ModelStreamErrorException",
            Self::ModelTimeout => "ModelTimeoutException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ServiceQuotaExceeded => "ServiceQuotaExceededException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::Throttling => "ThrottlingException",
            Self::Validation => "ValidationException",
        }
    }

    /// The exception of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|exception| exception.name() == name)
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Validation | Self::ServiceQuotaExceeded => 400,
            Self::AccessDenied | Self::UnrecognizedClient | Self::InvalidSignature => 403,
            Self::ResourceNotFound => 404,
            Self::ModelTimeout => 408,
            Self::ModelError | Self::ModelStreamError => 424,
            Self::ModelNotReady | Self::Throttling => 429,
            Self::InternalServer => 500,
            Self::ServiceUnavailable => 503,
        }
    }

    /// What stands for an error that other dialects answer with `status`.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::UnrecognizedClient,
            402 => Self::ServiceQuotaExceeded,
            403 => Self::AccessDenied,
            404 | 405 | 410 => Self::ResourceNotFound,
            408 | 504 => Self::ModelTimeout,
            424 | 502 => Self::ModelError,
            429 => Self::Throttling,
            400..=499 => Self::Validation,
            503 => Self::ServiceUnavailable,
            _ => Self::InternalServer,
        }
    }

    /// What a failed call is for its caller.
    #[must_use]
    pub fn of_fault(fault: Fault) -> Self {
        match (fault.kind, fault.origin) {
            (Kind::Throttled, _) => Self::Throttling,
            (Kind::Timeout, _) => Self::ModelTimeout,
            (Kind::Caller | Kind::Content, _) => Self::Validation,
            (Kind::Truncated, _) => Self::ModelStreamError,
            (Kind::Unavailable | Kind::RouteFatal, _) => Self::ServiceUnavailable,
            (Kind::Transient, Origin::Mainstay) => Self::InternalServer,
            (Kind::Transient, _) => Self::ModelError,
        }
    }

    /// Its name in a stream, of those that a stream may hold.
    #[must_use]
    fn event_name(self) -> &'static str {
        match self {
            Self::InternalServer => "internalServerException",
            Self::ServiceUnavailable => "serviceUnavailableException",
            Self::Throttling => "throttlingException",
            Self::Validation => "validationException",
            _ => "modelStreamErrorException",
        }
    }

    /// The body of an error reply.
    #[must_use]
    pub fn body(self, message: &str) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(rename = "__type")]
            kind: &'static str,
            message: &'a str,
        }
        written::body(&Body { kind: self.name(), message })
    }

    /// The frame that ends a stream which is not whole.
    #[must_use]
    pub fn frame(self, message: &str) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            message: &'a str,
        }
        let mut frames = BytesMut::new();
        frame::exception(self.event_name(), written::body(&Body { message }), &mut frames);
        frames.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_as_aws_would() {
        for (kind, name, status) in [
            (Kind::Transient, "ModelErrorException", 424),
            (Kind::Throttled, "ThrottlingException", 429),
            (Kind::Timeout, "ModelTimeoutException", 408),
            (Kind::RouteFatal, "ServiceUnavailableException", 503),
            (Kind::Caller, "ValidationException", 400),
            (Kind::Content, "ValidationException", 400),
            (Kind::Truncated, "ModelStreamErrorException", 424),
        ] {
            let exception = Exception::of_fault(Fault::provider(kind));
            assert_eq!((exception.name(), exception.status()), (name, status));
        }
        assert_eq!(Exception::of_fault(Fault::unavailable()).status(), 503);
        assert_eq!(
            &Exception::Throttling.body("slow \"down\"")[..],
            br#"{"__type":"ThrottlingException","message":"slow \"down\""}"#
        );
    }

    #[test]
    fn a_cut_stream_ends_with_an_exception() {
        let frame = frame::read(Exception::of_fault(Fault::provider(Kind::Truncated)).frame("cut"));
        let frame = frame.expect("a frame");
        assert_eq!(frame.kind, frame::Kind::Exception("modelStreamErrorException".into()));
        assert_eq!(&frame.payload[..], br#"{"message":"cut"}"#);
    }
}
