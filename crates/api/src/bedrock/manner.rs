//! How Bedrock's replies look: an exception's name in `x-amzn-errortype` and `{"message": …}`; streams of frames.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::token::Usage;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use wire::bedrock::exception::Exception;

use crate::dialect::manner::Manner;
use crate::dialect::refusal::{Class, Refusal};

/// Bedrock's manner.
pub(crate) struct Bedrock;

const INPUT_TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-input-token-count");
const OUTPUT_TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-output-token-count");
const CACHE_READ_TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-cache-read-input-token-count");
const CACHE_WRITE_TOKENS: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-cache-write-input-token-count");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

impl Manner for Bedrock {
    fn own_kinds(&self) -> &'static [&'static str] {
        &["bedrock"]
    }

    fn error(&self, refusal: &Refusal, _request_id: &str) -> Response {
        let exception = exception(refusal);
        let status = StatusCode::from_u16(exception.status()).unwrap_or(refusal.status);
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ERROR_TYPE, HeaderValue::from_static(exception.name())),
        ];
        (status, headers, Body::from(exception.body(&refusal.placed_message()))).into_response()
    }

    fn broken(&self, refusal: &Refusal) -> Bytes {
        let exception = match refusal.class {
            // A stream that began is not whole, whatever the reason.
            Class::Api | Class::Timeout | Class::Overloaded => Exception::ModelStreamError,
            _ => exception(refusal),
        };
        exception.frame(&refusal.placed_message())
    }

    fn request_id_header(&self) -> Option<&'static str> {
        Some("x-amzn-requestid")
    }

    /// Bodies of embeddings and of models other than Claude and Nova do not say it: SDKs look here. What a cache read or took is not
    /// part of the input there.
    fn tell_usage(&self, headers: &mut HeaderMap, usage: Usage) {
        let fresh =
            usage.input.0.saturating_sub(usage.cached_input.0).saturating_sub(usage.cache_write_input.0);
        for (name, n_tokens) in [
            (INPUT_TOKENS, Some(fresh)),
            (OUTPUT_TOKENS, Some(usage.output.0)),
            (CACHE_READ_TOKENS, Some(usage.cached_input.0).filter(|n| *n > 0)),
            (CACHE_WRITE_TOKENS, Some(usage.cache_write_input.0).filter(|n| *n > 0)),
        ] {
            if let Some(n_tokens) = n_tokens {
                headers.insert(name, HeaderValue::from(n_tokens));
            }
        }
    }

    fn comment(&self, _text: &str) -> Option<Bytes> {
        None
    }

    fn stream(&self, body: Body) -> Response {
        let json = HeaderValue::from_static("application/json");
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/vnd.amazon.eventstream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            // What is in the chunks of InvokeModelWithResponseStream.
            (HeaderName::from_static("x-amzn-bedrock-content-type"), json),
        ];
        (headers, body).into_response()
    }
}

fn exception(refusal: &Refusal) -> Exception {
    let own = refusal.vendor_kind.as_deref().and_then(Exception::of_name);
    own.unwrap_or_else(|| match refusal.class {
        Class::Invalid if refusal.status == StatusCode::NOT_FOUND => Exception::ResourceNotFound,
        Class::Invalid | Class::TooLarge => Exception::Validation,
        Class::Authentication => Exception::UnrecognizedClient,
        Class::Permission => Exception::AccessDenied,
        Class::NotFound => Exception::ResourceNotFound,
        Class::RateLimit => Exception::Throttling,
        Class::Quota => Exception::ServiceQuotaExceeded,
        Class::Timeout => Exception::ModelTimeout,
        Class::Overloaded => Exception::ServiceUnavailable,
        Class::Api => Exception::of_status(refusal.status.as_u16()),
    })
}

#[cfg(test)]
mod tests {
    use wire::bedrock::frame::{self, Kind};

    use super::*;

    #[test]
    fn errors_are_exceptions_with_the_statuses_of_aws() {
        for (status, class, want) in [
            (400, Class::Invalid, (400, "ValidationException")),
            (401, Class::Authentication, (403, "UnrecognizedClientException")),
            (403, Class::Permission, (403, "AccessDeniedException")),
            (404, Class::NotFound, (404, "ResourceNotFoundException")),
            (413, Class::TooLarge, (400, "ValidationException")),
            (429, Class::RateLimit, (429, "ThrottlingException")),
            (429, Class::Quota, (400, "ServiceQuotaExceededException")),
            (500, Class::Api, (500, "InternalServerException")),
            (502, Class::Api, (424, "ModelErrorException")),
            (503, Class::Api, (503, "ServiceUnavailableException")),
            (503, Class::Timeout, (408, "ModelTimeoutException")),
            (503, Class::Overloaded, (503, "ServiceUnavailableException")),
        ] {
            let response = Bedrock.error(&Refusal::sample(status, class), "1");
            let name = response.headers().get(ERROR_TYPE).and_then(|name| name.to_str().ok());
            assert_eq!((response.status().as_u16(), name), (want.0, Some(want.1)), "{class:?}");
        }
        let own = |word: &str| Refusal {
            vendor_kind: Some(word.to_owned()),
            ..Refusal::sample(400, Class::Invalid)
        };
        assert_eq!(exception(&own("ModelNotReadyException")), Exception::ModelNotReady);
        assert_eq!(exception(&own("rate_limit_error")), Exception::Validation, "another dialect's word");
        assert_eq!(Refusal::field("messages", "one at least").placed_message(), "messages: one at least");
    }

    #[test]
    fn what_an_answer_used_stands_in_headers_without_what_a_cache_read_or_took() {
        use domain::token::TokenCount;
        let used = |usage| {
            let mut headers = HeaderMap::new();
            Bedrock.tell_usage(&mut headers, usage);
            [INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS, CACHE_WRITE_TOKENS]
                .map(|name| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<u32>().ok()))
        };
        let plain = Usage::of(TokenCount(10), TokenCount(12));
        assert_eq!(used(plain), [Some(10), Some(12), None, None]);
        let cached = Usage { cached_input: TokenCount(4), cache_write_input: TokenCount(5), ..plain };
        assert_eq!(used(cached), [Some(1), Some(12), Some(4), Some(5)]);
        let (most, none) = (TokenCount(u32::MAX), Some(0));
        let absurd = Usage { cached_input: most, cache_write_input: most, ..plain };
        assert_eq!(used(absurd), [none, Some(12), Some(u32::MAX), Some(u32::MAX)]);
    }

    #[test]
    fn a_broken_stream_ends_with_an_exception() {
        let read = |refusal| frame::read(Bedrock.broken(&refusal)).expect("a frame").kind;
        let broken = Kind::Exception("modelStreamErrorException".into());
        assert_eq!(read(Refusal::sample(502, Class::Api)), broken);
        assert_eq!(read(Refusal::sample(504, Class::Timeout)), broken);
        assert_eq!(
            read(Refusal::sample(429, Class::RateLimit)),
            Kind::Exception("throttlingException".into())
        );
    }
}
