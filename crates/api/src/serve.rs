//! Connections: accepting, limits, timers, and ending without losing a request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::router::Config;

mod idle;

use idle::IdleTimeout;

/// The server could not open its port.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not an address.
    #[error("[server] listen: `{0}` is not an address with a port, as `127.0.0.1:8080`")]
    NotAnAddress(String),
    /// Reachable from elsewhere although nobody needs a key.
    #[error(
        "[server] listen: {0} can be reached from other machines, and no key exists yet; listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback(IpAddr),
    /// In use, or not allowed.
    #[error("could not listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Opens the port. Until keys exist only loopback addresses are opened.
///
/// # Errors
/// [`BindError`] naming the address and the reason.
pub async fn bind(listen: &str) -> Result<TcpListener, BindError> {
    let address: SocketAddr = listen.parse().map_err(|_| BindError::NotAnAddress(listen.to_owned()))?;
    if !address.ip().is_loopback() {
        return Err(BindError::NotLoopback(address.ip()));
    }
    TcpListener::bind(address).await.map_err(|source| BindError::Bind { address, source })
}

/// Pause after an accept that failed for want of descriptors: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 256;
/// Bytes of all headers of a request.
const HEADER_BYTES_MAX: u32 = 64 << 10;
const HEADER_BYTES_MAX_HTTP1: usize = 64 << 10;

/// Serves `router` until `shutdown`, then lets requests under way finish within the drain time.
pub async fn run(listener: TcpListener, router: Router, config: &Config, shutdown: CancellationToken) {
    let permits = Arc::new(Semaphore::new(config.connections_max));
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let builder = builder(config);
    let abort = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = shutdown.cancelled() => break,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without it each small frame of a stream may wait 40 ms for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it began");
            continue;
        }
        let io = TokioIo::new(IdleTimeout::new(stream, config.idle_timeout));
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(builder.serve_connection(io, service).into_owned());
        let abort = abort.clone();
        connections.spawn(async move {
            tokio::select! {
                result = connection => {
                    if let Err(error) = result {
                        tracing::debug!(error = %error, "a connection ended badly");
                    }
                }
                () = abort.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    let drained = tokio::time::timeout(config.drain_timeout, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!("requests were still under way at the end of the drain time");
    }
    abort.cancel();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

fn builder(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(HEADER_BYTES_MAX_HTTP1);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(Some(config.idle_timeout))
        .keep_alive_timeout(config.header_timeout);
    builder
}
