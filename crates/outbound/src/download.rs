//! Fetching a large public file, also the rest of one: the only place where redirects are followed, and no secret ever
//! goes along.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::time::Moment;
use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE,
    LAST_MODIFIED, LOCATION, RANGE,
};
use url::Url;

use crate::body::BodyStream;
use crate::client::{Client, Request, Response};
use crate::error::OutboundError;
use crate::origin::{Origin, OriginConfig, OriginError};

/// Hubs redirect once or twice to their delivery network.
const REDIRECTS_MAX: usize = 5;
/// Longer entity tags are not kept.
const VALIDATOR_BYTES_MAX: usize = 256;

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct Download {
    /// Where it is; `https`, also after each redirect.
    pub url: String,
    /// Whether it may be at an address that is not public, or at `http`: a mirror of one's own.
    pub allow_private: bool,
    /// What a fetch that broke has left, to be continued.
    pub kept: Option<Kept>,
    /// Most bytes of the whole file.
    pub bytes_max: u64,
    /// Longest silence.
    pub stall: Duration,
    /// When the whole file must be there.
    pub deadline: Moment,
}

/// The beginning of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// How much of it there is.
    pub bytes: u64,
    /// [`Arriving::validator`] of the response that it came with.
    pub validator: String,
}

/// A file that is on its way.
pub struct Arriving {
    /// The byte of the file with which the body begins: 0, or [`Kept::bytes`].
    pub begins: u64,
    /// Bytes of the whole file, where the server says.
    pub total: Option<u64>,
    /// What tells this file from a later one at the same address: a strong entity tag or a date of change that counts
    /// as strong (RFC 9110, 8.8), as `If-Range` takes it. `None` when the server gives neither.
    pub validator: Option<String>,
    body: BodyStream,
    client: Client,
    origin: String,
    limits: Limits,
    done: u64,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes_max: u64,
    stall: Duration,
    deadline: Moment,
}

impl std::fmt::Debug for Arriving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { begins, total, validator, origin, done, .. } = self;
        let mut shown = f.debug_struct("Arriving");
        shown.field("origin", origin).field("begins", begins).field("done", done);
        shown.field("total", total).field("validator", validator).finish_non_exhaustive()
    }
}

impl Arriving {
    /// The next portion; `None` at the end. The content is not verified.
    ///
    /// # Errors
    /// [`OutboundError`]; nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let until = self.limits.deadline.min(self.client.shared().clock.now().after(self.limits.stall));
        let Some(portion) = self.body.chunk(until).await? else { return Ok(None) };
        self.done = self.done.saturating_add(u64::try_from(portion.len()).unwrap_or(u64::MAX));
        if self.done > self.limits.bytes_max {
            return Err(too_large(&self.origin, self.limits.bytes_max));
        }
        Ok(Some(portion))
    }
}

fn too_large(origin: &str, bytes_max: u64) -> OutboundError {
    OutboundError::TooLarge {
        origin: origin.to_owned(),
        bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
    }
}

impl Client {
    /// Asks for a file, or for the rest of one (RFC 9110, 13.1.5 and 14). A server that cannot continue, or whose file
    /// is another one by now, gives the whole file: see [`Arriving::begins`].
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn download(&self, download: &Download) -> Result<Arriving, OutboundError> {
        if let Some(kept) = &download.kept {
            let answer = self.follow(download, Some(kept)).await?;
            let (origin, response) = &answer;
            match response.status {
                StatusCode::PARTIAL_CONTENT if continues(&response.headers, kept) => {
                    return self.arriving(download, answer, kept.bytes);
                }
                // The server knows no ranges, or the file has changed.
                StatusCode::OK => return self.arriving(download, answer, 0),
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                    tracing::debug!("`{}` cannot continue a download, which starts over", origin.name());
                }
                status => return Err(refused(origin, status)),
            }
        }
        let answer = self.follow(download, None).await?;
        let (origin, response) = &answer;
        if response.status != StatusCode::OK {
            return Err(refused(origin, response.status));
        }
        self.arriving(download, answer, 0)
    }

    fn arriving(
        &self,
        download: &Download,
        (origin, response): (Origin, Response),
        begins: u64,
    ) -> Result<Arriving, OutboundError> {
        let headers = &response.headers;
        let length = text(headers, CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let total = length.map(|length| begins.saturating_add(length));
        if total.is_some_and(|total| total > download.bytes_max) {
            return Err(too_large(origin.name(), download.bytes_max));
        }
        let kept = download.kept.as_ref().filter(|_| begins > 0);
        Ok(Arriving {
            begins,
            total,
            validator: kept.map_or_else(|| validator(headers), |kept| Some(kept.validator.clone())),
            body: response.body,
            client: self.clone(),
            origin: origin.name().to_owned(),
            limits: Limits {
                bytes_max: download.bytes_max,
                stall: download.stall,
                deadline: download.deadline,
            },
            done: begins,
        })
    }

    /// Follows redirects to a response that is none; every address on the way is checked like the first.
    async fn follow(
        &self,
        download: &Download,
        kept: Option<&Kept>,
    ) -> Result<(Origin, Response), OutboundError> {
        let mut url = Url::parse(&download.url).map_err(|_| OriginError::Unreadable)?;
        let mut status = 0;
        let mut origin = None;
        for _ in 0..=REDIRECTS_MAX {
            let here = self.place_of(&url, download).await?;
            let request = request(&url, kept);
            let until = download.deadline.min(self.shared().clock.now().after(download.stall));
            let response = here.exchange(request, until).await?;
            if !response.status.is_redirection() {
                return Ok((here, response));
            }
            status = response.status.as_u16();
            let next = text(&response.headers, LOCATION).and_then(|location| url.join(location).ok());
            let from_https = url.scheme() == "https";
            url = next.ok_or_else(|| OutboundError::Redirected { origin: here.name().to_owned(), status })?;
            if from_https && url.scheme() != "https" {
                return Err(OriginError::PlainText.into());
            }
            origin = Some(here);
        }
        let origin = origin.map_or_else(String::new, |origin| origin.name().to_owned());
        Err(OutboundError::Redirected { origin, status })
    }

    async fn place_of(&self, url: &Url, download: &Download) -> Result<Origin, OutboundError> {
        if url.scheme() == "https" {
            // Reading the trusted certificates blocks.
            let shared = Arc::clone(self.shared());
            let read = tokio::task::spawn_blocking(move || shared.tls().map(|_| ())).await;
            read.unwrap_or_else(|error| Err(error.to_string())).map_err(OriginError::Certificates)?;
        }
        let mut base = url.clone();
        base.set_path("");
        base.set_query(None);
        base.set_fragment(None);
        let config =
            OriginConfig { base_url: base.to_string(), allow_private: download.allow_private, secret: None };
        Ok(self.origin(&config)?)
    }
}

fn refused(origin: &Origin, status: StatusCode) -> OutboundError {
    OutboundError::Status { origin: origin.name().to_owned(), status: status.as_u16() }
}

fn request(url: &Url, kept: Option<&Kept>) -> Request {
    let mut request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery]);
    // Places in a compressed body are not places in the file.
    request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(kept) = kept
        && let Ok(validator) = HeaderValue::from_str(&kept.validator)
    {
        let range = format!("bytes={}-", kept.bytes);
        request.headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits and ASCII letters"));
        request.headers.insert(IF_RANGE, validator);
    }
    request
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a response 206 is the rest of the file that `kept` is the beginning of.
fn continues(headers: &HeaderMap, kept: &Kept) -> bool {
    // A server that does not know `If-Range` sends a part of whatever the file is now.
    let is_same = match text(headers, ETAG).filter(|_| kept.validator.starts_with('"')) {
        Some(tag) => tag == kept.validator,
        None => text(headers, LAST_MODIFIED)
            .is_none_or(|date| kept.validator.starts_with('"') || date == kept.validator),
    };
    is_same && text(headers, CONTENT_RANGE).is_some_and(|range| begins_at(range, kept.bytes))
}

/// Whether `range`, as `bytes 5-9/10` or `bytes 5-9/*`, begins at `start` and is possible.
fn begins_at(range: &str, start: u64) -> bool {
    let parse = || {
        let (place, total) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = place.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let fits = total == "*" || total.parse::<u64>().ok()? > last;
        Some(first == start && last >= first && fits)
    };
    parse().unwrap_or(false)
}

/// A strong entity tag; else the date of the last change when the response is at least a second younger, so that no
/// other change can have the same date (RFC 9110, 8.8.2.2).
fn validator(headers: &HeaderMap) -> Option<String> {
    let strong = |tag: &&str| tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"');
    let tag = text(headers, ETAG).filter(strong);
    let dated = || {
        let changed = text(headers, LAST_MODIFIED)?;
        let sent = httpdate::parse_http_date(text(headers, DATE)?).ok()?;
        let age = sent.duration_since(httpdate::parse_http_date(changed).ok()?).ok()?;
        (age >= Duration::from_secs(1)).then_some(changed)
    };
    tag.or_else(dated).filter(|validator| validator.len() <= VALIDATOR_BYTES_MAX).map(str::to_owned)
}

#[cfg(test)]
mod tests;
