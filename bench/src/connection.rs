//! A kept-alive connection to what is measured, and the one request that is sent over it again and again.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A header of every request.
#[derive(Debug, Clone)]
pub struct Header(HeaderName, HeaderValue);

impl Header {
    /// Reads `NAME: VALUE`.
    ///
    /// # Errors
    /// When it is no header.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, value) = text.split_once(':').context("a header is `NAME: VALUE`")?;
        Ok(Self(name.trim().parse()?, value.trim().parse()?))
    }
}

/// Where to send what.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    request: Request<Full<Bytes>>,
}

impl Target {
    /// A `POST` of `body` as JSON to `url`, or a `GET` when there is no body, with `headers`.
    ///
    /// # Errors
    /// When `url` is not `http://HOST:PORT/PATH`.
    pub fn new(url: &str, body: Option<&str>, headers: &[Header]) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is no URL"))?;
        let authority = uri.authority().with_context(|| format!("`{url}` names no host"))?;
        ensure!(uri.scheme_str() == Some("http"), "`{url}` does not begin with http://");
        let address =
            authority.as_str().to_socket_addrs().with_context(|| format!("`{url}` has no port"))?.next();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().uri(path).header("host", authority.as_str());
        for Header(name, value) in headers {
            request = request.header(name, value);
        }
        let request = match body {
            Some(body) => request
                .method("POST")
                .header("content-type", "application/json")
                .body(Full::from(body.to_owned())),
            None => request.body(Full::default()),
        };
        Ok(Self { address: address.with_context(|| format!("`{url}` has no address"))?, request: request? })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Errors reach the request that waits.
        tokio::spawn(async move { _ = driver.await });
        Ok(Connection { sender })
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Sends the target's request and waits for the head of the reply.
    ///
    /// # Errors
    /// When the connection breaks or the status is not 200.
    pub async fn send(&mut self, target: &Target) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        let response = self.sender.send_request(target.request.clone()).await?;
        ensure!(response.status() == StatusCode::OK, "status {}", response.status());
        Ok(response)
    }

    /// Sends the target's request and reads the whole reply.
    ///
    /// # Errors
    /// As [`Connection::send`], or when the body breaks off.
    pub async fn exchange(&mut self, target: &Target) -> anyhow::Result<()> {
        let mut body = self.send(target).await?.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(())
    }
}
