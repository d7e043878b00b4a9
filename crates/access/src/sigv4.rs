//! Whether a request was signed in the manner of AWS (Signature Version 4) by someone who knows a key's signing secret.
//!
//! Two steps: [`Claim::read`] says who claims to have signed and can be had before the body; [`Claim::check`] proves it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use domain::hex;
use domain::secret::Secret;
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The service that callers sign for.
const SERVICE: &str = "bedrock";
/// The header that says when it was signed.
pub const DATE_HEADER: &str = "x-amz-date";
/// The header that says what the body's hash is.
pub const HASH_HEADER: &str = "x-amz-content-sha256";
/// How far a signer's clock may be off, as with AWS.
const SKEW_MAX: Duration = Duration::from_mins(5);
/// Most headers that a signature may cover.
const HEADERS_MAX: usize = 100;

/// The signature is none, or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SignatureError {
    /// The header `authorization` is not of this kind.
    #[error("the authorization header holds no AWS4-HMAC-SHA256 signature")]
    Unreadable,
    /// It is not for this service.
    #[error("the signature must be for the service `bedrock`")]
    Service,
    /// There is no readable date, or it is not that of the signature.
    #[error("x-amz-date is missing, unreadable, or not of the day that the signature names")]
    Date,
    /// The date is too far off.
    #[error("the signature is more than 5 minutes away from the time of the server")]
    Expired,
    /// A header is signed that is not there, or one is not signed that must be.
    #[error("host, x-amz-date and all other x-amz headers must be there and be signed")]
    Headers,
    /// What the request says of its body is not so.
    #[error("x-amz-content-sha256 is not the hash of the body")]
    Body,
    /// The body is not covered.
    #[error("the body must be signed")]
    UnsignedBody,
    /// Someone else signed, or something else.
    #[error("the request signature does not match")]
    Mismatch,
}

/// A request as it came.
pub trait Request {
    /// As `POST`.
    fn method(&self) -> &str;

    /// The path as it was sent, percent-encoded once.
    fn path(&self) -> &str;

    /// What stands behind `?`.
    fn query(&self) -> Option<&str>;

    /// The value of a header (lower case), those of one name joined with a comma. Over HTTP/2 `host` and `:authority` are
    /// the same.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The names of all headers, lower case.
    fn header_names(&self) -> Vec<&str>;
}

/// Who claims to have signed a request, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The id of the key.
    pub access_key_id: &'a str,
    day: &'a str,
    region: &'a str,
    headers: Vec<&'a str>,
    signature: &'a str,
    /// As `20261121T223810Z`.
    time: String,
}

/// Whether the header `authorization` is a signature of this kind at all.
#[must_use]
pub fn is_signature(authorization: &str) -> bool {
    authorization.starts_with(ALGORITHM)
}

impl<'a> Claim<'a> {
    /// Reads what `authorization` claims of `request` and checks all that needs neither secret nor body.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn read(
        authorization: &'a str,
        request: &dyn Request,
        now: Timestamp,
    ) -> Result<Self, SignatureError> {
        let fields = authorization.strip_prefix(ALGORITHM).ok_or(SignatureError::Unreadable)?;
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            match field.trim().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => headers = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                _ => return Err(SignatureError::Unreadable),
            }
        }
        let (Some(credential), Some(headers), Some(signature)) = (credential, headers, signature) else {
            return Err(SignatureError::Unreadable);
        };
        let parts: Vec<&str> = credential.split('/').collect();
        let &[access_key_id, day, region, service, "aws4_request"] = parts.as_slice() else {
            return Err(SignatureError::Unreadable);
        };
        if service != SERVICE {
            return Err(SignatureError::Service);
        }
        let time = request.header(DATE_HEADER).ok_or(SignatureError::Date)?.into_owned();
        let signed = parse_time(&time).filter(|_| time.starts_with(day) && day.len() == 8);
        let signed = signed.ok_or(SignatureError::Date)?;
        if signed.since(now).max(now.since(signed)) > SKEW_MAX {
            return Err(SignatureError::Expired);
        }
        let headers: Vec<&str> = headers.split(';').take(HEADERS_MAX + 1).collect();
        let claim = Self { access_key_id, day, region, headers, signature, time };
        claim.covers(request)?;
        Ok(claim)
    }

    /// That what must be signed is signed, and all that is signed is there.
    fn covers(&self, request: &dyn Request) -> Result<(), SignatureError> {
        let is_signed = |name: &str| self.headers.contains(&name);
        let has_host = is_signed("host") || is_signed(":authority");
        let are_there = self.headers.iter().all(|name| request.header(name).is_some());
        let names = request.header_names();
        let mut of_aws = names.iter().filter(|name| name.starts_with("x-amz-"));
        let is_sorted = self.headers.is_sorted();
        match has_host
            && is_signed(DATE_HEADER)
            && are_there
            && is_sorted
            && of_aws.all(|name| is_signed(name))
        {
            true if self.headers.len() <= HEADERS_MAX => Ok(()),
            _ => Err(SignatureError::Headers),
        }
    }

    /// Whether the holder of `secret` signed `request` with `body`. Takes the same time wherever a signature differs.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn check(&self, request: &dyn Request, body: &[u8], secret: &Secret) -> Result<(), SignatureError> {
        let hash = hex::of(&Sha256::digest(body));
        match request.header(HASH_HEADER).as_deref() {
            None => {}
            Some(said) if said == hash => {}
            Some("UNSIGNED-PAYLOAD") => return Err(SignatureError::UnsignedBody),
            Some(said) if said.starts_with("STREAMING-") => return Err(SignatureError::UnsignedBody),
            Some(_) => return Err(SignatureError::Body),
        }
        let canonical = hex::of(&Sha256::digest(self.canonical(request, &hash)));
        let Self { day, region, time, .. } = self;
        let scope = format!("{day}/{region}/{SERVICE}/aws4_request");
        let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{canonical}");
        let mut key = mac(format!("AWS4{}", secret.expose()).as_bytes(), day);
        for part in [region, SERVICE, "aws4_request"] {
            key = mac(&key, part);
        }
        let want = hex::of(&mac(&key, &to_sign));
        match bool::from(want.as_bytes().ct_eq(self.signature.as_bytes())) {
            true => Ok(()),
            false => Err(SignatureError::Mismatch),
        }
    }

    fn canonical(&self, request: &dyn Request, hash: &str) -> String {
        let mut text =
            format!("{}\n{}\n{}\n", request.method(), path(request.path()), query(request.query()));
        for name in &self.headers {
            let value = request.header(name).unwrap_or_default();
            let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
            let _ = writeln!(text, "{name}:{}", words.join(" ").trim());
        }
        let _ = write!(text, "\n{}\n{hash}", self.headers.join(";"));
        text
    }
}

/// The path encoded a second time, as all services but S3 want it.
fn path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + 8);
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    if encoded.is_empty() { "/".to_owned() } else { encoded }
}

/// The query in order; every name has a value.
fn query(query: Option<&str>) -> String {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(&str, &str)> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `20261121T223810Z` as a time.
fn parse_time(text: &str) -> Option<Timestamp> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'T' || byte == b'Z';
    if text.len() != 16 || !text.bytes().all(is_plain) {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(9, 11)?, part(11, 13)?, part(13, 15)?);
    Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

#[cfg(test)]
mod tests;
