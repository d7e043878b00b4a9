//! Fetching a large public file: the only place where redirects are followed, and no secret ever goes along.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Moment;
use http::StatusCode;
use http::header::HeaderValue;
use http::header::{CONTENT_LENGTH, LOCATION, RANGE};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::client::{Client, Request, Response};
use crate::error::OutboundError;
use crate::origin::{Origin, OriginConfig, OriginError};

/// Hubs redirect once or twice to their delivery network.
const REDIRECTS_MAX: usize = 5;

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct Download {
    /// Where it is; `https`, also after each redirect.
    pub url: String,
    /// Whether it may be at an address that is not public, or at `http`: a mirror of one's own.
    pub allow_private: bool,
    /// Where to begin, in bytes: what is there already of a fetch that broke.
    pub from: u64,
    /// Most bytes of the whole file.
    pub bytes_max: u64,
    /// Longest silence.
    pub stall: Duration,
    /// When the whole file must be there.
    pub deadline: Moment,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file that are there, those before [`Download::from`] included.
    pub done: u64,
    /// Bytes of the whole file, where the server says.
    pub total: Option<u64>,
}

impl Client {
    /// Fetches a file into `writer`, telling `progress` at each portion; the size of the whole file.
    /// The content is not verified. What arrived before an error is in `writer`.
    ///
    /// # Errors
    /// [`OutboundError`]; [`OutboundError::Status`] with 200 when the server cannot begin at [`Download::from`].
    pub async fn download(
        &self,
        download: &Download,
        writer: &mut (dyn AsyncWrite + Send + Unpin),
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<u64, OutboundError> {
        let (origin, mut response) = self.follow(download).await?;
        let origin = || origin.name().to_owned();
        let wanted = if download.from == 0 { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
        if response.status != wanted {
            return Err(OutboundError::Status { origin: origin(), status: response.status.as_u16() });
        }
        let announced =
            response.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let total = announced.map(|length| download.from.saturating_add(length));
        let too_large = || OutboundError::TooLarge {
            origin: origin(),
            bytes_max: usize::try_from(download.bytes_max).unwrap_or(usize::MAX),
        };
        if total.is_some_and(|total| total > download.bytes_max) {
            return Err(too_large());
        }
        let written =
            |error: std::io::Error| OutboundError::Write { origin: origin(), reason: error.to_string() };
        let mut done = download.from;
        progress(Progress { done, total });
        loop {
            let until = download.deadline.min(self.shared().clock.now().after(download.stall));
            let Some(portion) = response.body.chunk(until).await? else { break };
            done = done.saturating_add(u64::try_from(portion.len()).unwrap_or(u64::MAX));
            if done > download.bytes_max {
                return Err(too_large());
            }
            writer.write_all(&portion).await.map_err(written)?;
            progress(Progress { done, total });
        }
        writer.flush().await.map_err(written)?;
        Ok(done)
    }

    /// Follows redirects to a response that is none; every address on the way is checked like the first.
    async fn follow(&self, download: &Download) -> Result<(Origin, Response), OutboundError> {
        let mut url = Url::parse(&download.url).map_err(|_| OriginError::Unreadable)?;
        let mut status = 0;
        let mut origin = None;
        for _ in 0..=REDIRECTS_MAX {
            let here = self.place_of(&url, download).await?;
            let mut request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery]);
            if download.from > 0 {
                let range = format!("bytes={}-", download.from);
                let range = HeaderValue::from_str(&range).expect("digits and ASCII letters");
                request.headers.insert(RANGE, range);
            }
            let until = download.deadline.min(self.shared().clock.now().after(download.stall));
            let response = here.exchange(request, until).await?;
            if !response.status.is_redirection() {
                return Ok((here, response));
            }
            status = response.status.as_u16();
            let next = response.headers.get(LOCATION).and_then(|location| location.to_str().ok());
            let next = next.and_then(|location| url.join(location).ok());
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
