//! Callers who sign their requests in the manner of AWS instead of showing a key: the signature is checked before
//! anything else looks at the request, which takes its whole body.

use std::borrow::Cow;
use std::sync::Arc;

use access::denied::Denied;
use access::sigv4::{self, Claim, SignatureError};
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use domain::principal::Principal;
use domain::secret::Secret;
use http::{StatusCode, header, request};
use wire::bedrock::exception::Exception;

use crate::body::read_any_bytes;
use crate::dialect::refusal::{Class, Refusal};
use crate::problem::Problem;
use crate::server::Api;

/// Who was proven to have signed the request.
#[derive(Debug, Clone)]
pub(crate) struct Signer(pub(crate) Arc<Principal>);

/// Larger bodies are hashed on a thread that may block.
const HASHED_HERE_BYTES_MAX: usize = 256 << 10;

/// Whether a request is of those that may be signed, and is.
pub(crate) fn is_signed(request: &Request) -> bool {
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    request.uri().path().starts_with("/model/") && authorization.is_some_and(sigv4::is_signature)
}

/// The request with its [`Signer`], if its signature holds. While nobody needs a key it is not looked at.
pub(crate) async fn prove(api: &Api, request: Request) -> Result<Request, Refusal> {
    let Some(keeper) = api.access.get().filter(|keeper| !keeper.is_open() && is_signed(&request)) else {
        return Ok(request);
    };
    let denied = |denied: Denied| {
        api.metrics.denied(denied);
        refusal(denied)
    };
    let (mut parts, body) = request.into_parts();
    let sent = Sent::of(&parts);
    let authorization = sent.text(header::AUTHORIZATION.as_str()).into_owned();
    // What can be known without the body is, before it is read.
    let claim = Claim::read(&authorization, &sent, api.clock.wall());
    let claim = claim.map_err(|error| denied(Denied::Signature(error)))?;
    let signer = keeper.signer(claim.access_key_id);
    let (secret, principal) = signer.ok_or_else(|| denied(Denied::Unknown))?;
    let limits = api.dialect_body_limits();
    let body = read_any_bytes(&parts.headers, body, limits, api.clock.as_ref()).await?;
    let holds = match body.len() > HASHED_HERE_BYTES_MAX {
        false => claim.check(&sent, &body, &secret),
        true => {
            check_elsewhere((authorization.clone(), sent), body.clone(), (secret, api.clock.wall())).await?
        }
    };
    holds.map_err(|error| denied(Denied::Signature(error)))?;
    parts.extensions.insert(Signer(principal));
    Ok(Request::from_parts(parts, Body::from(body)))
}

async fn check_elsewhere(
    (authorization, sent): (String, Sent),
    body: Bytes,
    (secret, now): (Secret, domain::time::Timestamp),
) -> Result<Result<(), SignatureError>, Problem> {
    let check = move || Claim::read(&authorization, &sent, now)?.check(&sent, &body, &secret);
    tokio::task::spawn_blocking(check).await.map_err(|_| Problem::internal("the body could not be hashed"))
}

fn refusal(denied: Denied) -> Refusal {
    let message = denied.to_string();
    let code = Refusal::from(Problem::from(denied)).code;
    let refusal = Refusal::new(StatusCode::FORBIDDEN, Class::Authentication, (&code, message));
    let signature = matches!(denied, Denied::Signature(_));
    let exception = if signature { Exception::InvalidSignature } else { Exception::UnrecognizedClient };
    Refusal { vendor_kind: Some(exception.name().to_owned()), ..refusal }
}

/// A request's head as it was sent.
struct Sent {
    method: String,
    path: String,
    query: Option<String>,
    headers: http::HeaderMap,
    authority: Option<String>,
}

impl Sent {
    fn of(parts: &request::Parts) -> Self {
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers.clone(),
            authority: parts.uri.authority().map(ToString::to_string),
        }
    }

    fn text(&self, name: &str) -> Cow<'_, str> {
        sigv4::Request::header(self, name).unwrap_or_default()
    }
}

impl sigv4::Request for Sent {
    fn method(&self) -> &str {
        &self.method
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        // Over HTTP/2 the host stands in the address, and SDKs sign it under either name.
        if let (Some(authority), "host" | ":authority") = (&self.authority, name) {
            return Some(Cow::Borrowed(authority));
        }
        let name = if name == ":authority" { "host" } else { name };
        let mut values = self.headers.get_all(name).iter().map(|value| value.to_str().ok());
        let first = Cow::Borrowed(values.next()??);
        values.try_fold(first, |joined, value| Some(Cow::Owned(format!("{joined},{}", value?))))
    }

    fn header_names(&self) -> Vec<&str> {
        self.headers.keys().map(http::HeaderName::as_str).collect()
    }
}
