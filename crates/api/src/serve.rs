//! Connections: accepting, limits, timers, and ending without losing a request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::join_all;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::server::Config;
use crate::stopping::Stop;

mod activity;
mod connection;
pub mod tls;
mod transport;
mod unread;

use activity::Limits;
use connection::{Announced, Phase, Shared, Tls};
pub use connection::{Encryption, Peer};
use tls::Certificates;

/// The server could not open its port.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Not an address.
    #[error("[server] listen: `{0}` is not an address with a port, as `127.0.0.1:8080`")]
    NotAnAddress(String),
    /// Reachable from elsewhere although nobody needs a key.
    #[error(
        "[server] listen: {0} can be reached from other machines, and no key exists yet: listen on 127.0.0.1 or [::1] and make one (mainstay keys create), or name one in [auth] bootstrap_key"
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

/// Who may reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This machine: nobody needs a key yet.
    Machine,
    /// Anyone: all need a key.
    Anywhere,
}

/// Opens the port, within a runtime. Until keys exist only loopback addresses are opened.
///
/// # Errors
/// [`BindError`] naming the address and the reason.
pub fn bind(listen: &str, reach: Reach) -> Result<TcpListener, BindError> {
    let address = address(listen)?;
    if reach == Reach::Machine && !address.ip().is_loopback() {
        return Err(BindError::NotLoopback(address.ip()));
    }
    open(address).map_err(|source| BindError::Bind { address, source })
}

/// Connections that the kernel keeps until they are accepted; one too many would be tried again by its caller's kernel
/// a second later. The usual 128 are few for callers that begin together.
const WAITING_MAX: u32 = 1_024;

fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind` does: a port whose last connections are still fading can be opened again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_MAX)
}

/// The address that `listen` names.
///
/// # Errors
/// [`BindError`] when it is none.
pub fn address(listen: &str) -> Result<SocketAddr, BindError> {
    listen.parse().map_err(|_| BindError::NotAnAddress(listen.to_owned()))
}

/// Pause after an accept that failed for want of descriptors: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Streams of one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 256;
/// Bytes of all headers of a request.
const HEADER_BYTES_MAX: u32 = 64 << 10;
const HEADER_BYTES_MAX_HTTP1: usize = 64 << 10;
/// Bytes of one HTTP/2 stream that wait for a client that does not read.
const SEND_BYTES_MAX: usize = 64 << 10;
/// How long after its connection was made a request is on its way at most, on a machine that does much else.
const FIRST_REQUEST: Duration = Duration::from_millis(300);
/// How long the last words of a stop may take to leave; a client that does not read them is not waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A port that is open.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// One that speaks HTTP as it is.
    #[must_use]
    pub fn plain(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }

    /// One that speaks TLS and shows `certificates`.
    #[must_use]
    pub fn tls(tcp: TcpListener, certificates: Arc<Certificates>, handshake_timeout: Duration) -> Self {
        Self { tcp, tls: Some(Tls { certificates, handshake_timeout }) }
    }
}

/// Whoever answers requests.
pub trait Answer: Send + Sync + 'static {
    /// The reply to a request of `peer`.
    fn answer(self: Arc<Self>, request: Request, peer: Peer) -> impl Future<Output = Response> + Send;
}

/// Serves `answers` until `stop` is asked for; then lets requests under way finish within the drain time, and ends
/// what is left with an error.
///
/// The ports stay open for the grace time: whoever asks meanwhile is answered, and told that the connection ends. So
/// no request that is on its way when the signal comes is lost.
pub async fn run<A: Answer>(listeners: Vec<Listener>, answers: Arc<A>, config: &Config, stop: &Stop) {
    let serving = Serving::new(answers, config, listeners.len());
    tokio::select! {
        () = serving.accept_all(&listeners) => {}
        () = stop.asked() => {}
    }
    let over = tokio::time::sleep(config.drain_timeout);
    tokio::pin!(over);
    let grace = config.stop_grace.min(config.drain_timeout);
    tokio::select! {
        () = serving.accept_all(&listeners) => {}
        () = tokio::time::sleep(grace) => {}
        () = stop.over() => {}
    }
    for listener in listeners {
        serving.take_waiting(listener);
    }
    // The graceful end closes a connection whose first request has not been read yet: those taken last get their turn.
    tokio::select! {
        () = tokio::time::sleep(FIRST_REQUEST.min(grace)) => {}
        () = stop.over() => {}
    }
    let Serving { connections, shared, .. } = serving;
    connections.close();
    shared.stop.enter(Phase::Finishing);
    tokio::select! {
        () = connections.wait() => {}
        () = stop.over() => tracing::warn!("told to stop at once: what is under way ends with an error"),
        () = &mut over => tracing::warn!("the drain time is over: what is still under way ends with an error"),
    }
    stop.end();
    if tokio::time::timeout(LAST_WORDS, connections.wait()).await.is_err() {
        tracing::warn!(n = connections.len(), "connections that nobody reads from are cut");
    }
    shared.stop.enter(Phase::Cut);
    connections.wait().await;
}

/// What serves connections.
struct Serving<A> {
    shared: Arc<Shared<A>>,
    permits: Arc<Semaphore>,
    connections: TaskTracker,
}

impl<A: Answer> Serving<A> {
    fn new(answers: Arc<A>, config: &Config, n_listeners: usize) -> Self {
        let limits = Limits { header: config.header_timeout, idle: config.idle_timeout };
        Self {
            shared: Arc::new(Shared {
                answers,
                http1: http1(),
                http2: http2(config),
                limits,
                stop: Announced::default(),
            }),
            // A port that waits for a connection holds the permit of it.
            permits: Arc::new(Semaphore::new(config.connections_max + n_listeners.saturating_sub(1))),
            connections: TaskTracker::new(),
        }
    }

    async fn accept_all(&self, listeners: &[Listener]) {
        join_all(listeners.iter().map(|listener| self.accept(listener))).await;
    }

    /// Accepts connections; never ends. A failure is told once, not twenty times a second.
    async fn accept(&self, listener: &Listener) {
        let mut is_failing = false;
        loop {
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            match listener.tcp.accept().await {
                Ok((stream, address)) => {
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("connections are accepted again");
                    }
                    self.serve((stream, address), listener.tls.clone(), permit);
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::error!(%error, "could not accept a connection; it is tried again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes the connections that the kernel has made already, which closing the port would reset.
    fn take_waiting(&self, listener: Listener) {
        let Ok(tcp) = listener.tcp.into_std() else { return };
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned()
            && let Ok((stream, address)) = tcp.accept()
        {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.serve((stream, address), listener.tls.clone(), permit);
            }
        }
    }

    fn serve(
        &self,
        (stream, address): (TcpStream, SocketAddr),
        tls: Option<Tls>,
        permit: OwnedSemaphorePermit,
    ) {
        // Without it each small frame of a stream may wait 40 ms for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it began");
            return;
        }
        let serving = connection::run(stream, address, tls, Arc::clone(&self.shared));
        self.connections.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
}

/// No timer for headers: one for the whole connection (`connection.rs`) costs less than one for each request.
fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX_HTTP1);
    builder
}

fn http2(config: &Config) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(Some(config.idle_timeout))
        .keep_alive_timeout(config.header_timeout);
    builder
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use futures_util::{StreamExt, stream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Frames of an event stream, 4 ms apart.
    struct Paced;

    impl Answer for Paced {
        async fn answer(self: Arc<Self>, _: Request, _: Peer) -> Response {
            Response::new(Body::from_stream(stream::iter(0..30).then(|n| async move {
                tokio::time::sleep(Duration::from_millis(4)).await;
                Ok::<_, std::convert::Infallible>(Bytes::from(format!("data: {n}\n\n")))
            })))
        }
    }

    #[tokio::test]
    async fn each_frame_leaves_at_once() {
        let listener = Listener::plain(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let serving = Serving::new(Arc::new(Paced), &Config::default(), 1);
        let mut client =
            TcpStream::connect(listener.tcp.local_addr().expect("its port")).await.expect("connected");
        let reading = async {
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("sent");
            let (mut buffer, mut n_reads) = ([0; 4_096], 0);
            loop {
                // A peer that acknowledges late, as those on real networks do: without TCP_NODELAY each frame waits
                // 40 ms for the acknowledgement of the one before, and several come at once.
                rustix::net::sockopt::set_tcp_quickack(&client, false).expect("an option of Linux");
                match client.read(&mut buffer).await.expect("read") {
                    0 => return n_reads,
                    _ => n_reads += 1,
                }
            }
        };
        let n_reads = tokio::select! {
            () = serving.accept(&listener) => unreachable!("it accepts for ever"),
            n_reads = reading => n_reads,
        };
        assert!(n_reads > 12, "30 frames came in {n_reads} reads");
    }
}
