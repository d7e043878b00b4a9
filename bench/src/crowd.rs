//! Many connections at once: what each takes while it idles, and what streams take that are open together.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It says nothing.
    Silent,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// HTTP/1.1 by TLS.
    Tls1,
    /// HTTP/2 by TLS.
    Tls2,
}

impl Kind {
    /// In the order in which they are measured.
    pub const ALL: [Self; 5] = [Self::Silent, Self::Http1, Self::Http2, Self::Tls1, Self::Tls2];

    /// For the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "said nothing yet",
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "h2c",
            Self::Tls1 => "TLS, HTTP/1.1",
            Self::Tls2 => "TLS, h2",
        }
    }
}

/// Whom to ask, and what.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its plain port.
    pub plain: SocketAddr,
    /// Its port with TLS.
    pub tls: SocketAddr,
    /// What is asked at `/v1/chat/completions`.
    pub body: Bytes,
    connector: Arc<ClientConfig>,
}

/// An open connection; it closes when it goes.
pub struct Connection(Sender);

enum Sender {
    Silent { _stream: TcpStream },
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

impl Server {
    /// One whose certificate stands in `authority` (PEM).
    ///
    /// # Errors
    /// When that is none.
    pub fn new(
        plain: SocketAddr,
        tls: SocketAddr,
        (authority, body): (&[u8], Bytes),
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(authority) {
            roots.add(root?)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = builder.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        Ok(Self { plain, tls, body, connector: Arc::new(config.with_no_client_auth()) })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When nobody listens, or the handshake fails.
    pub async fn connect(&self, kind: Kind) -> anyhow::Result<Connection> {
        let (is_tls, is_http2) =
            (matches!(kind, Kind::Tls1 | Kind::Tls2), matches!(kind, Kind::Http2 | Kind::Tls2));
        let stream = TcpStream::connect(if is_tls { self.tls } else { self.plain }).await?;
        stream.set_nodelay(true)?;
        if kind == Kind::Silent {
            return Ok(Connection(Sender::Silent { _stream: stream }));
        }
        let stream: Pin<Box<dyn Io>> = if is_tls {
            let mut config = ClientConfig::clone(&self.connector);
            config.alpn_protocols = vec![if is_http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
            let name = ServerName::try_from("localhost")?;
            Box::pin(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
        } else {
            Box::pin(stream)
        };
        // Errors reach the request that waits.
        Ok(Connection(if is_http2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(async move { _ = driver.await });
            Sender::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move { _ = driver.await });
            Sender::Http1(sender)
        }))
    }

    fn request(&self, is_http2: bool) -> anyhow::Result<Request<Full<Bytes>>> {
        let path = "/v1/chat/completions";
        let url = if is_http2 { format!("http://{}{path}", self.plain) } else { path.to_owned() };
        let request = Request::post(url).header("content-type", "application/json");
        let request = if is_http2 { request } else { request.header("host", self.plain.to_string()) };
        Ok(request.body(Full::new(self.body.clone()))?)
    }

    /// Asks, and returns the head of the reply.
    ///
    /// # Errors
    /// When the connection breaks or the status is not 200.
    pub async fn send(&self, connection: &mut Connection) -> anyhow::Result<Response<Incoming>> {
        let response = match &mut connection.0 {
            Sender::Silent { .. } => bail!("it says nothing"),
            Sender::Http1(sender) => sender.send_request(self.request(false)?).await?,
            Sender::Http2(sender) => sender.send_request(self.request(true)?).await?,
        };
        let status = response.status();
        if status != StatusCode::OK {
            let body = response.into_body().collect().await?.to_bytes();
            bail!("status {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(response)
    }

    /// Opens `n` connections; each that can asks once.
    ///
    /// # Errors
    /// When one is not answered.
    pub async fn crowd(&self, kind: Kind, n: usize) -> anyhow::Result<Vec<Connection>> {
        let mut crowd = Vec::with_capacity(n);
        for opened in 0..n {
            let mut connection = self.connect(kind).await.with_context(|| format!("after {opened}"))?;
            if kind != Kind::Silent {
                self.send(&mut connection).await?.into_body().collect().await?;
            }
            crowd.push(connection);
        }
        Ok(crowd)
    }
}

/// Freed memory goes back to the system after a second.
pub const GIVEN_BACK: Duration = Duration::from_secs(3);
