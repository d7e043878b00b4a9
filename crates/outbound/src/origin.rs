//! Where calls go: scheme, host, port and base path, together with the secret that is sent there and nowhere else.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use domain::secret::Secret;
use domain::time::Moment;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use url::{Host, Url};

use crate::address;
use crate::client::{Complete, Request, Response, Shared};
use crate::error::OutboundError;
use crate::pool::{Pool, PoolStats};

/// An origin as configured.
#[derive(Debug, Clone)]
pub struct OriginConfig {
    /// `https://host[:port][/path]`; request paths are appended to its path. `http` needs `allow_private`.
    pub base_url: String,
    /// Whether its addresses may be loopback, private or otherwise not public, and its scheme `http`.
    pub allow_private: bool,
    /// The header field that proves who calls, and its secret.
    pub secret: Option<(HeaderName, SecretForm)>,
}

impl OriginConfig {
    /// Checks everything that needs neither network nor certificates.
    ///
    /// # Errors
    /// [`OriginError`] for the first thing found.
    pub fn validate(&self) -> Result<(), OriginError> {
        self.parse()?;
        self.secret.as_ref().map(|(_, form)| header_value(form)).transpose()?;
        Ok(())
    }

    fn parse(&self) -> Result<(Url, Place), OriginError> {
        let url = Url::parse(&self.base_url).map_err(|_| OriginError::Unreadable)?;
        let reach = if self.allow_private { Reach::Private } else { Reach::Public };
        let place = Place::of(&url, reach)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(OriginError::Query);
        }
        Ok((url, place))
    }
}

/// How a secret stands in its header field.
#[derive(Debug, Clone)]
pub enum SecretForm {
    /// `Bearer SECRET`.
    Bearer(Secret),
    /// The secret alone.
    Plain(Secret),
}

/// The configuration names no usable origin. The address is not repeated where it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not an address at all.
    #[error("`base_url` is not an address")]
    Unreadable,
    /// Neither `https` nor `http`.
    #[error("`base_url` must begin with https://")]
    Scheme,
    /// `http` to the public internet would send prompts and the key in the clear.
    #[error("`base_url` must begin with https:// (http needs `allow_private = true`)")]
    PlainText,
    /// User name or password in the address.
    #[error("`base_url` must not hold a user name or password")]
    UserInfo,
    /// A query or fragment.
    #[error("`base_url` must not hold a query or fragment")]
    Query,
    /// An address that is not public.
    #[error("{0} is not a public address; set `allow_private = true` if that is meant")]
    PrivateAddress(IpAddr),
    /// The secret holds bytes that no header field may.
    #[error("the secret cannot stand in a header field")]
    Secret,
    /// The machine's trusted certificates cannot be read.
    #[error("no trusted certificates were found on this machine: {0}")]
    Certificates(String),
}

/// Which protocol carries the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// Which addresses may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones, over `https`.
    Public,
    /// All, also over `http`.
    Private,
}

/// Where to, without the secret.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) reach: Reach,
    /// `scheme://host:port`, for messages.
    pub(crate) name: String,
    /// `host[:port]`, for the `host` header field.
    pub(crate) authority: HeaderValue,
}

impl Place {
    pub(crate) fn of(url: &Url, reach: Reach) -> Result<Self, OriginError> {
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" if reach == Reach::Private => Scheme::Http,
            "http" => return Err(OriginError::PlainText),
            _ => return Err(OriginError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OriginError::UserInfo);
        }
        let host = url.host().ok_or(OriginError::Unreadable)?.to_owned();
        let literal = match &host {
            Host::Ipv4(ip) => Some(IpAddr::V4(*ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(*ip)),
            Host::Domain(_) => None,
        };
        if let Some(ip) = literal.filter(|ip| reach == Reach::Public && !address::is_public(*ip)) {
            return Err(OriginError::PrivateAddress(ip));
        }
        let port = url.port_or_known_default().ok_or(OriginError::Unreadable)?;
        let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        Ok(Self {
            scheme,
            port,
            reach,
            name: format!("{}://{host}:{port}", url.scheme()),
            authority: HeaderValue::from_str(&authority).map_err(|_| OriginError::Unreadable)?,
            host,
        })
    }
}

/// Everything an origin is made of.
pub(crate) struct Parts {
    pub(crate) place: Place,
    base_path: String,
    secret: Option<(HeaderName, HeaderValue)>,
    /// The secret alone, to find it in what comes back.
    concealed: Option<Secret>,
    pub(crate) pool: Pool,
}

/// A place to call. A request can be sent only through its origin, and an origin's secret goes only there.
/// Clones share connections.
#[derive(Clone)]
pub struct Origin {
    shared: Arc<Shared>,
    parts: Arc<Parts>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("place", &self.parts.place.name).finish_non_exhaustive()
    }
}

impl Origin {
    pub(crate) fn new(shared: Arc<Shared>, config: &OriginConfig) -> Result<Self, OriginError> {
        let (url, place) = config.parse()?;
        if place.scheme == Scheme::Https {
            shared.tls().map_err(OriginError::Certificates)?;
        }
        let secret = match &config.secret {
            None => None,
            Some((name, form)) => Some((name.clone(), header_value(form)?)),
        };
        let concealed = config
            .secret
            .as_ref()
            .map(|(_, SecretForm::Bearer(secret) | SecretForm::Plain(secret))| secret.clone());
        let pool = Pool::new(&shared.config);
        let base_path = url.path().trim_end_matches('/').to_owned();
        Ok(Self { shared, parts: Arc::new(Parts { place, base_path, secret, concealed, pool }) })
    }

    /// Scheme, host and port, as `https://api.openai.com:443`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.parts.place.name
    }

    /// The whole address of `path` below it, as it is sent: what is signed.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = match self.parts.place.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let authority = self.parts.place.authority.to_str().unwrap_or_default();
        format!("{scheme}://{authority}{}{path}", self.parts.base_path)
    }

    /// What its connection pool did so far.
    #[must_use]
    pub fn pool(&self) -> PoolStats {
        self.parts.pool.stats()
    }

    /// Sends `request` and waits for the head of the response, at most until `deadline`.
    ///
    /// A kept connection that turns out to be closed, before any byte of the response, is replaced by a fresh one,
    /// once. Cancel-safe: dropping the future closes the connection.
    ///
    /// # Errors
    /// [`OutboundError`]; a status of 300 to 399 is one.
    pub async fn send(&self, request: Request, deadline: Moment) -> Result<Response, OutboundError> {
        let response = self.exchange(request, deadline).await?;
        if response.status.is_redirection() {
            return Err(OutboundError::Redirected {
                origin: self.name().to_owned(),
                status: response.status.as_u16(),
            });
        }
        Ok(response)
    }

    /// [`Self::send`] with redirects as responses, for the one caller that follows them.
    pub(crate) async fn exchange(
        &self,
        request: Request,
        deadline: Moment,
    ) -> Result<Response, OutboundError> {
        let request = self.complete(request)?;
        self.shared.exchange(&self.parts, request, deadline).await
    }

    /// `text` with this origin's secret as `***`, wherever it stands: some servers repeat it in their errors.
    #[must_use]
    pub fn conceal(&self, text: &str) -> String {
        match self.parts.concealed.as_ref().map(Secret::expose) {
            Some(secret) if !secret.is_empty() => text.replace(secret, "***"),
            _ => text.to_owned(),
        }
    }

    /// Adds what the origin knows: the whole path, the host and the secret, which nothing in `request` overrides.
    fn complete(&self, request: Request) -> Result<Complete, OutboundError> {
        let Request { method, path, mut headers, body } = request;
        let whole = path.starts_with('/').then(|| [&*self.parts.base_path, &*path].concat());
        let parsed = whole.and_then(|whole| PathAndQuery::from_maybe_shared(Bytes::from(whole)).ok());
        let uri = parsed.ok_or_else(|| OutboundError::Request { origin: self.name().to_owned() })?.into();
        for name in [http::header::CONNECTION, http::header::TRANSFER_ENCODING, http::header::CONTENT_LENGTH]
        {
            headers.remove(name);
        }
        headers.insert(http::header::HOST, self.parts.place.authority.clone());
        headers
            .entry(http::header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("mainstay/", env!("CARGO_PKG_VERSION"))));
        if let Some((name, value)) = &self.parts.secret {
            headers.insert(name, value.clone());
        }
        Ok(Complete { method, uri, headers, body })
    }
}

fn header_value(form: &SecretForm) -> Result<HeaderValue, OriginError> {
    let text = match form {
        SecretForm::Bearer(secret) => format!("Bearer {}", secret.expose()),
        SecretForm::Plain(secret) => secret.expose().to_owned(),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| OriginError::Secret)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use testkit::ManualClock;

    use super::*;
    use crate::client::{Client, Config};

    fn origin(base_url: &str, reach: Reach, secret: Option<&str>) -> Result<Origin, OriginError> {
        let client = Client::new(Arc::new(ManualClock::new()), Config::default());
        let secret = secret
            .map(|text| (http::header::AUTHORIZATION, SecretForm::Bearer(Secret::new(text.to_owned()))));
        client.origin(&OriginConfig {
            base_url: base_url.to_owned(),
            allow_private: reach == Reach::Private,
            secret,
        })
    }

    #[test]
    fn unusable_origins_are_refused() {
        let private = |text: &str| OriginError::PrivateAddress(text.parse().expect("an address"));
        for (base_url, reach, want) in [
            ("", Reach::Private, OriginError::Unreadable),
            ("api.openai.com/v1", Reach::Private, OriginError::Unreadable),
            ("ftp://example.com", Reach::Private, OriginError::Scheme),
            ("file:///etc/passwd", Reach::Private, OriginError::Scheme),
            ("http://example.com/v1", Reach::Public, OriginError::PlainText),
            ("https://user:password@example.com", Reach::Private, OriginError::UserInfo),
            ("https://user@example.com", Reach::Private, OriginError::UserInfo),
            ("http://example.com?a=b", Reach::Private, OriginError::Query),
            ("http://example.com#a", Reach::Private, OriginError::Query),
            ("https://127.0.0.1/v1", Reach::Public, private("127.0.0.1")),
            ("https://2130706433/v1", Reach::Public, private("127.0.0.1")), // the same address in disguise
            ("https://0x7f.1/v1", Reach::Public, private("127.0.0.1")),
            ("https://169.254.169.254/latest", Reach::Public, private("169.254.169.254")),
            ("https://[::1]/v1", Reach::Public, private("::1")),
            ("https://[::ffff:8.8.8.8]/v1", Reach::Public, private("::ffff:8.8.8.8")),
        ] {
            assert_eq!(origin(base_url, reach, None).expect_err(base_url), want, "{base_url}");
        }
        assert_eq!(
            origin("http://127.0.0.1", Reach::Private, Some("two\nlines")).expect_err("secret"),
            OriginError::Secret
        );
    }

    #[test]
    fn an_origin_prints_without_its_secret() {
        let origin = origin("http://127.0.0.1:9/v1/", Reach::Private, Some("sk-live")).expect("an origin");
        assert_eq!(format!("{origin:?}"), r#"Origin { place: "http://127.0.0.1:9", .. }"#);
    }

    #[test]
    fn its_secret_is_found_in_what_comes_back() {
        let keyed = origin("http://127.0.0.1:9/v1/", Reach::Private, Some("changeme")).expect("an origin");
        assert_eq!(keyed.conceal("Bearer changeme, changeme!"), "Bearer ***, ***!");
        let bare = origin("http://127.0.0.1:9/v1/", Reach::Private, None).expect("an origin");
        assert_eq!(bare.conceal("changeme"), "changeme");
    }

    #[test]
    fn requests_are_completed_and_cannot_take_over() {
        let origin = origin("http://127.0.0.1:9/v1/", Reach::Private, Some("sk-live")).expect("an origin");
        let mut request = Request::get("/models?limit=1");
        for (name, value) in
            [("host", "evil.example"), ("authorization", "Bearer other"), ("content-length", "0")]
        {
            request.headers.insert(name, HeaderValue::from_static(value));
        }
        let request = origin.complete(request).expect("well-formed");
        assert_eq!(request.uri, "/v1/models?limit=1");
        assert_eq!(request.headers.get("host").expect("host"), "127.0.0.1:9");
        assert_eq!(request.headers.get("authorization").expect("secret"), "Bearer sk-live");
        assert!(!format!("{request:?}").contains("sk-live"));
        assert_eq!(request.headers.get("content-length"), None);
        for path in ["", "models", "@evil.example/", "/a b", "/a\r\nx: y", "https://evil.example/"] {
            assert!(origin.complete(Request::get(path)).is_err(), "{path}");
        }
    }
}
