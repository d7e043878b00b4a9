//! The client: its settings, and one exchange of request and response head.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use domain::alarm::Alarm;
use domain::ports::Clock;
use domain::time::Moment;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Full;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{BodyStream, Lease};
use crate::connection::{self, Connection};
use crate::error::OutboundError;
use crate::origin::{Origin, OriginConfig, OriginError, Parts};
use crate::tls;

/// Limits of all calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longest time to resolve, connect and set up TLS.
    pub connect: Duration,
    /// Most connections kept for reuse, each origin.
    pub idle_max: usize,
    /// How long a connection is kept for reuse.
    pub idle: Duration,
    /// Most calls under way, each origin. One more is refused at once: whoever asks may have another place to ask.
    pub calls_max: usize,
    /// Most bytes of a response's head. It may have 100 fields, as HTTP/1 clients commonly allow: for these there is room
    /// without asking the allocator.
    pub head_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            idle_max: 32,
            // Below the 60 to 75 s after which common servers and load balancers close.
            idle: Duration::from_secs(30),
            calls_max: 512,
            head_bytes_max: 64 << 10,
        }
    }
}

/// A request; where it goes is its [`Origin`]'s to say.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query below the origin's own path, beginning with `/`.
    pub path: String,
    /// Header fields beside those that the origin sets.
    pub headers: HeaderMap,
    /// The body; kept, so that it can be sent again.
    pub body: Bytes,
}

impl Request {
    /// A GET of `path`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }
}

/// A response whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: BodyStream,
}

/// Makes origins; they share its clock, limits and trusted certificates. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// A client without connections. Must later be used within a tokio runtime.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, config: Config) -> Self {
        let shared = Shared {
            clock,
            config,
            tls: OnceLock::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A place to call. The first `https` one reads the machine's trusted certificates (some milliseconds, blocking).
    ///
    /// # Errors
    /// [`OriginError`] when the configuration names no usable place.
    pub fn origin(&self, config: &OriginConfig) -> Result<Origin, OriginError> {
        Origin::new(Arc::clone(&self.shared), config)
    }

    /// Closes all connections and waits for their tasks. Calls under way fail; later ones too.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// What all origins of a client share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    tls: OnceLock<Result<TlsConnector, String>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// A request with all that its origin adds.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) method: Method,
    /// Path and query alone.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A request on its way.
struct Asked<'a> {
    parts: &'a Parts,
    request: Complete,
    deadline: Moment,
}

/// A response's head, and the connection that its body comes from.
type Answered = (http::Response<hyper::body::Incoming>, Connection);

/// Why a request on an open connection brought no response.
enum Unanswered {
    /// The connection was closed before any byte of the response.
    NothingCame,
    Failed(OutboundError),
}

impl Shared {
    /// The trusted certificates, read once.
    pub(crate) fn tls(&self) -> Result<TlsConnector, String> {
        self.tls.get_or_init(tls::connector).clone()
    }

    #[cfg(test)]
    pub(crate) fn trust(&self, connector: TlsConnector) {
        assert!(self.tls.set(Ok(connector)).is_ok(), "nothing was trusted before");
    }

    /// What `work` gives, or `None` when `until` comes first.
    pub(crate) async fn within<T>(&self, until: Moment, work: impl Future<Output = T>) -> Option<T> {
        self.alarm().within(until, work).await
    }

    fn alarm(&self) -> Alarm {
        Alarm::new(Arc::clone(&self.clock))
    }

    pub(crate) async fn exchange(
        self: &Arc<Self>,
        parts: &Arc<Parts>,
        request: Complete,
        deadline: Moment,
    ) -> Result<Response, OutboundError> {
        let origin = || parts.place.name.clone();
        let permit = Arc::clone(&parts.pool.calls).try_acquire_owned();
        let permit = permit.map_err(|_| OutboundError::Busy { origin: origin() })?;
        // One timer for all waits, up to the last byte of the body.
        let mut alarm = self.alarm();
        let asked = Asked { parts, request, deadline };
        if let Some(kept) = self.kept(parts, (&mut alarm, deadline)).await {
            parts.pool.count_reused();
            match ask(kept, &asked, &mut alarm).await {
                Ok(answered) => return Ok(self.respond((parts, permit), answered, alarm)),
                // The server closed it while it was idle: the request was never answered, so it is sent again.
                Err(Unanswered::NothingCame) => parts.pool.count_stale(),
                Err(Unanswered::Failed(error)) => return Err(error),
            }
        }
        let until = deadline.min(self.clock.now().after(self.config.connect));
        // Boxed: it is seldom, and would make the future of every call five times as large.
        let fresh = Box::pin(connection::open(self, &parts.place, until)).await?;
        parts.pool.count_opened();
        match ask(fresh, &asked, &mut alarm).await {
            Ok(answered) => Ok(self.respond((parts, permit), answered, alarm)),
            Err(Unanswered::NothingCame) => Err(OutboundError::Closed { origin: origin() }),
            Err(Unanswered::Failed(error)) => Err(error),
        }
    }

    /// A kept connection that is ready for a request.
    async fn kept(&self, parts: &Parts, (alarm, deadline): (&mut Alarm, Moment)) -> Option<Connection> {
        let mut now = self.clock.now();
        while let Some(mut connection) = parts.pool.take(now) {
            // It may still have to notice the end of its last response, or that it is closed.
            let until = deadline.min(now.after(self.config.connect));
            if let Some(Ok(())) = alarm.within(until, connection.sender.ready()).await {
                return Some(connection);
            }
            now = self.clock.now();
        }
        None
    }

    fn respond(
        self: &Arc<Self>,
        (parts, permit): (&Arc<Parts>, OwnedSemaphorePermit),
        (response, connection): Answered,
        alarm: Alarm,
    ) -> Response {
        let (head, incoming) = response.into_parts();
        let lease = Lease { shared: Arc::clone(self), parts: Arc::clone(parts), connection, _permit: permit };
        Response { status: head.status, headers: head.headers, body: BodyStream::new(incoming, lease, alarm) }
    }
}

async fn ask(
    mut connection: Connection,
    asked: &Asked<'_>,
    alarm: &mut Alarm,
) -> Result<Answered, Unanswered> {
    let origin = || asked.parts.place.name.clone();
    let failed = |error: fn(String) -> OutboundError| Unanswered::Failed(error(origin()));
    let before = connection.n_received.load(Ordering::Relaxed);
    let response =
        alarm.within(asked.deadline, connection.sender.send_request(message(&asked.request))).await;
    let response = response.ok_or_else(|| failed(|origin| OutboundError::Deadline { origin }))?;
    match response {
        Ok(response) => Ok((response, connection)),
        Err(error) if error.is_parse() => Err(failed(|origin| OutboundError::Unreadable { origin })),
        Err(_) if connection.n_received.load(Ordering::Relaxed) == before => Err(Unanswered::NothingCame),
        Err(_) => Err(failed(|origin| OutboundError::Closed { origin })),
    }
}

/// Kept as it is: a connection that was closed meanwhile may have taken the first one with it.
fn message(request: &Complete) -> http::Request<Full<Bytes>> {
    let mut message = http::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = request.uri.clone();
    *message.headers_mut() = request.headers.clone();
    message
}
