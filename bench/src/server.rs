//! A plain HTTP/1.1 server: keep-alive, no limits, no delay of small writes.

use std::error::Error;

use anyhow::Context;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Opens a port.
///
/// # Errors
/// When it is taken or the address is none.
pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))
}

/// Serves every connection with a clone of `service`, until the process ends.
///
/// # Errors
/// When no more connections can be accepted.
pub async fn run<S, B>(listener: TcpListener, service: S) -> anyhow::Result<()>
where
    S: HttpService<Incoming, ResBody = B, Future: Send> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.context("could not accept a connection")?;
        stream.set_nodelay(true).context("could not set TCP_NODELAY")?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        // A connection that breaks is the caller's to notice.
        tokio::spawn(async move { _ = connection.await });
    }
}

/// A runtime of one thread, as the programs are given one core each.
///
/// # Errors
/// When the system has no descriptors left.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start")
}
