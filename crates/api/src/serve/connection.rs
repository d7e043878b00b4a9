//! The life of one connection: handshake, requests, and an end in time.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Answer;
use super::activity::{Activity, Limits, UnderWay, Why};
use super::tls::{self, Certificates};
use super::transport::{Transport, Watched};
use super::unread::Left;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection: the client, or a proxy before it.
    pub address: SocketAddr,
    /// Whether that connection is encrypted.
    pub encryption: Encryption,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It is not.
    Plain,
    /// By TLS, ended here.
    Tls,
}

/// How far the server's stop is, as connections are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Requests under way may finish; nothing new begins.
    Finishing,
    /// All ends now.
    Cut,
}

/// What all connections share.
pub(super) struct Shared<A> {
    pub(super) answers: Arc<A>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
    pub(super) limits: Limits,
    pub(super) stop: Announced,
}

/// How far the server's stop is, and who waits for it.
#[derive(Default)]
pub(super) struct Announced {
    phase: AtomicU8,
    changed: Notify,
}

impl Announced {
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Finishing,
            _ => Phase::Cut,
        }
    }

    /// Until the server stops.
    async fn stopping(&self) {
        let changed = self.changed.notified();
        if self.phase() == Phase::Serving {
            changed.await;
        }
    }
}

/// The TLS of a port.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) certificates: Arc<Certificates>,
    pub(super) handshake_timeout: Duration,
}

/// How long a connection that is told to end may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is spoken on a connection.
enum Protocol {
    Http1,
    Http2,
}

/// Serves one connection to its end.
pub(super) async fn run<A: Answer>(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Tls>,
    shared: Arc<Shared<A>>,
) {
    // In boxes: what a stage needs is not held by the next one, nor what HTTP/2 needs by HTTP/1.
    let meeting = Box::pin(meet(stream, address, tls, shared.limits.header));
    let met = tokio::select! {
        met = meeting => met,
        () = shared.stop.stopping() => return,
    };
    let Some((transport, protocol, peer)) = met else { return };
    let activity = Arc::new(Activity::new());
    let io = TokioIo::new(Watched::new(transport, Arc::clone(&activity)));
    let service = service(Arc::clone(&shared.answers), Arc::clone(&activity), peer);
    match protocol {
        Protocol::Http1 => {
            let connection = shared.http1.serve_connection(io, service);
            Box::pin(drive(connection, &activity, &shared)).await;
        }
        Protocol::Http2 => {
            let connection = shared.http2.serve_connection(io, service);
            Box::pin(drive(connection, &activity, &shared)).await;
        }
    }
}

/// Until it is known what the client speaks; `None` when it is gone or took too long.
async fn meet(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Tls>,
    limit: Duration,
) -> Option<(Transport, Protocol, Peer)> {
    let Some(tls) = tls else {
        let protocol = tokio::time::timeout(limit, first_bytes(&stream)).await.ok()?.ok()?;
        return Some((Transport::Plain(stream), protocol, Peer { address, encryption: Encryption::Plain }));
    };
    match tls::handshake(stream, &tls.certificates, tls.handshake_timeout).await {
        Ok(stream) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
            let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
            Some((Transport::Tls(stream), protocol, Peer { address, encryption: Encryption::Tls }))
        }
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed: {error}");
            None
        }
    }
}

/// HTTP/2 by prior knowledge begins with the word `PRI`, which is no method. Looked at and left where it is: a connection
/// that was read from before makes hyper take twice the memory for reading.
async fn first_bytes(stream: &TcpStream) -> io::Result<Protocol> {
    const PREFACE: &[u8] = b"PRI";
    let mut first = [0; PREFACE.len()];
    loop {
        let n = stream.peek(&mut first).await?;
        let begun = first.get(..n).unwrap_or_default();
        if begun == PREFACE {
            return Ok(Protocol::Http2);
        }
        if begun.is_empty() || !PREFACE.starts_with(begun) {
            return Ok(Protocol::Http1);
        }
        // One byte or two: a client by hand, or one that means no good.
        tokio::time::sleep(BYTE_BY_BYTE).await;
    }
}

/// How often a connection that sends single bytes is looked at.
const BYTE_BY_BYTE: Duration = Duration::from_millis(20);

fn service<A: Answer>(
    answers: Arc<A>,
    activity: Arc<Activity>,
    peer: Peer,
) -> impl Service<http::Request<Incoming>, Response = http::Response<Counted>, Error = Infallible, Future: Send>
{
    let left = Left::default();
    service_fn(move |request: http::Request<Incoming>| {
        let under_way = activity.request(request.version());
        // Boxed: hyper keeps room for it as long as the connection lives, and most have nothing under way.
        let answering = Box::pin(Arc::clone(&answers).answer(left.lend(request).map(Body::new), peer));
        let left = left.clone();
        async move {
            let mut response = answering.await;
            left.settle(&mut response).await;
            Ok(response.map(|body| Counted { body, _under_way: under_way }))
        }
    })
}

/// Serves requests until the connection ends, is told to, or took too long.
async fn drive<A, C>(connection: C, activity: &Activity, shared: &Shared<A>)
where
    C: GracefulConnection<Error: Display>,
{
    let mut connection = pin!(connection);
    let mut look = pin!(sleep_until(Instant::now() + shared.limits.look_every()));
    let mut told = Phase::Serving;
    // Told to end by itself, it is cut when it has not by then.
    let mut cut_at: Option<Instant> = None;
    loop {
        let mut changed = pin!(shared.stop.changed.notified());
        let phase = shared.stop.phase();
        if phase == Phase::Cut {
            return;
        }
        if phase != std::mem::replace(&mut told, phase) {
            connection.as_mut().graceful_shutdown();
        }
        // A timer and a notice keep the waker of their first poll, which is this task's; to poll them with each frame
        // would take their locks.
        let mut is_set = false;
        let ended = poll_fn(|context| {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            if !std::mem::replace(&mut is_set, true) {
                let is_over = look.as_mut().poll(context).is_ready();
                let has_changed = changed.as_mut().poll(context).is_ready();
                return if is_over || has_changed { Poll::Ready(None) } else { Poll::Pending };
            }
            let is_due = look.is_elapsed() || shared.stop.phase() != told;
            if is_due { Poll::Ready(None) } else { Poll::Pending }
        });
        if let Some(ended) = ended.await {
            if let Err(error) = ended {
                tracing::debug!(error = %error, "a connection ended badly");
            }
            return;
        }
        if !look.is_elapsed() {
            continue;
        }
        let now = Instant::now();
        let end = activity.end(&shared.limits);
        if cut_at.is_some_and(|at| at <= now) {
            if end.is_some() {
                return;
            }
            // A request that was on its way when the end was told; the connection ends after it.
            cut_at = None;
        }
        match end.filter(|(at, _)| *at <= now) {
            // HTTP/2 is told that the connection ends, so that its client knows that nothing was lost.
            Some((_, Why::Idle)) if cut_at.is_none() => {
                cut_at = Some(now + LAST_WORDS);
                connection.as_mut().graceful_shutdown();
            }
            Some((_, Why::Idle)) | None => {}
            Some((_, why)) => {
                tracing::debug!(?why, "a connection took too long");
                return;
            }
        }
        let next = now + shared.limits.look_every();
        let ends = end.map(|(at, _)| at).filter(|at| *at > now);
        look.as_mut().reset([ends, cut_at].into_iter().flatten().fold(next, Instant::min));
    }
}

/// A body whose request is under way until it is through.
pub(super) struct Counted {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
