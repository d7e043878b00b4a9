//! One connection: resolve, check the addresses, connect, TLS, HTTP/1.1.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use domain::time::Moment;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::DropGuard;
use url::Host;

use crate::address;
use crate::client::Shared;
use crate::error::OutboundError;
use crate::origin::{Place, Reach, Scheme};
use crate::tls;

/// An open connection; dropping it closes the socket at once, whatever is under way.
pub(crate) struct Connection {
    pub(crate) sender: http1::SendRequest<Full<Bytes>>,
    /// Bytes received so far, to tell a response that broke from one that never began.
    pub(crate) n_received: Arc<AtomicU64>,
    _close: DropGuard,
}

/// Opens a connection by `until`.
pub(crate) async fn open(shared: &Shared, place: &Place, until: Moment) -> Result<Connection, OutboundError> {
    let origin = || place.name.clone();
    let stream = connect(shared, place, until).await?;
    match place.scheme {
        Scheme::Http => handshake(shared, place, stream).await,
        Scheme::Https => {
            let connector = shared.tls().map_err(|_| OutboundError::Tls { origin: origin() })?;
            let secured = tls::handshake(&connector, &place.host, stream);
            let secured = shared.within(until, secured).await;
            let secured = secured.ok_or_else(|| OutboundError::ConnectTimeout { origin: origin() })?;
            let secured = secured.map_err(|failure| match failure {
                tls::Failure::Certificate => OutboundError::Certificate { origin: origin() },
                tls::Failure::Other => OutboundError::Tls { origin: origin() },
            })?;
            handshake(shared, place, secured).await
        }
    }
}

/// A TCP connection to one of the place's addresses, all of which were checked.
pub(crate) async fn connect(
    shared: &Shared,
    place: &Place,
    until: Moment,
) -> Result<TcpStream, OutboundError> {
    let addresses = shared.within(until, resolve(place)).await;
    let addresses =
        addresses.ok_or_else(|| OutboundError::ConnectTimeout { origin: place.name.clone() })??;
    let mut outcome = OutboundError::Resolve { origin: place.name.clone() };
    let mut n_left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // An address that does not answer may take only its share, so that the others get their turn.
        let now = shared.clock.now();
        let share = until.since(now).checked_div(n_left).unwrap_or(Duration::ZERO);
        n_left = n_left.saturating_sub(1);
        outcome = match shared.within(now.after(share), TcpStream::connect(address)).await {
            // Nagle's algorithm would hold small writes back for 40 ms.
            Some(Ok(stream)) if stream.set_nodelay(true).is_ok() => return Ok(stream),
            Some(_) => OutboundError::Connect { origin: place.name.clone() },
            None => OutboundError::ConnectTimeout { origin: place.name.clone() },
        };
    }
    Err(outcome)
}

/// Resolves once; the connection goes to an address of this very answer, so a second answer cannot differ.
async fn resolve(place: &Place) -> Result<Vec<SocketAddr>, OutboundError> {
    let addresses: Vec<SocketAddr> = match &place.host {
        Host::Ipv4(ip) => vec![SocketAddr::from((*ip, place.port))],
        Host::Ipv6(ip) => vec![SocketAddr::from((*ip, place.port))],
        Host::Domain(name) => tokio::net::lookup_host((name.as_str(), place.port))
            .await
            .map_err(|_| OutboundError::Resolve { origin: place.name.clone() })?
            .collect(),
    };
    match addresses.iter().find(|found| place.reach == Reach::Public && !address::is_public(found.ip())) {
        Some(refused) => {
            Err(OutboundError::PrivateAddress { origin: place.name.clone(), address: refused.ip() })
        }
        None => Ok(addresses),
    }
}

async fn handshake(
    shared: &Shared,
    place: &Place,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Connection, OutboundError> {
    let n_received = Arc::new(AtomicU64::new(0));
    let stream = TokioIo::new(Counted { stream, n_received: Arc::clone(&n_received) });
    let (sender, driver) = http1::Builder::new()
        .max_header_size(shared.config.head_bytes_max)
        .max_buf_size(shared.config.head_bytes_max.max(64 << 10))
        .handshake(stream)
        .await
        .map_err(|_| OutboundError::Connect { origin: place.name.clone() })?;
    let close = shared.stop.child_token();
    let closed = close.clone();
    shared.tasks.spawn(async move {
        tokio::select! {
            // Errors reach the caller through its request or body.
            _ = driver => {}
            () = closed.cancelled() => {}
        }
    });
    Ok(Connection { sender, n_received, _close: close.drop_guard() })
}

/// Counts what is received.
struct Counted<S> {
    stream: S,
    n_received: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let n_read = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        self.n_received.fetch_add(n_read, Ordering::Relaxed);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Behaviour, TokioClock, Upstream};
    use url::Url;

    use super::*;
    use crate::client::{Client, Config};

    fn place(url: &str, reach: Reach) -> Place {
        Place { reach, ..Place::of(&Url::parse(url).expect("url"), Reach::Private).expect("place") }
    }

    #[tokio::test]
    async fn small_writes_are_not_held_back() {
        let upstream = Upstream::start(Behaviour::default());
        let client = Client::new(Arc::new(TokioClock::new()), Config::default());
        let until = Moment(Duration::from_secs(5));
        let stream = connect(client.shared(), &place(&upstream.base_url(), Reach::Private), until)
            .await
            .expect("connected");
        assert!(stream.nodelay().expect("an option"));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_refused() {
        let upstream = Upstream::start(Behaviour::default());
        let client = Client::new(Arc::new(TokioClock::new()), Config::default());
        let url = format!("http://localhost:{}/v1", upstream.address().port());
        let found =
            connect(client.shared(), &place(&url, Reach::Public), Moment(Duration::from_secs(5))).await;
        assert!(matches!(found, Err(OutboundError::PrivateAddress { address, .. }) if address.is_loopback()));
        assert_eq!(upstream.accepted_connections(), 0);
    }
}
