//! A model provider on loopback that fails on purpose, in the format of the path that is called. It runs on a thread and
//! a runtime of its own, in real time, so a test may pause its own clock.
//!
//! Reading order: [`behaviour`] (what it can do), `server` (connections and requests), `reply` (bytes that go out).

pub mod behaviour;
mod reply;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use behaviour::{Answer, Behaviour, FrameFault, Phase, RetryAfter};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its method and path, as `POST /v1/chat/completions`.
    pub line: String,
    /// Its header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Received {
    /// The value of the header field `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// At most this many requests are remembered, the latest ones.
const RECEIVED_MAX: usize = 10_000;

#[derive(Debug)]
struct State {
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
    n_calls: AtomicUsize,
    n_accepted: AtomicUsize,
    n_open: AtomicUsize,
    n_in_flight: AtomicUsize,
}

/// A running upstream; dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Upstream {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port or thread can be had.
    #[must_use]
    pub fn start(behaviour: Behaviour) -> Self {
        Self::start_on(0, behaviour).expect("a free port on loopback")
    }

    /// Starts on `port` of 127.0.0.1; 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub fn start_on(port: u16, behaviour: Behaviour) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            behaviour: Mutex::new(behaviour),
            received: Mutex::default(),
            n_calls: AtomicUsize::new(0),
            n_accepted: AtomicUsize::new(0),
            n_open: AtomicUsize::new(0),
            n_in_flight: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let running = server::run(listener, Arc::clone(&state), stop.clone());
        let thread = std::thread::Builder::new()
            .name("mock-upstream".to_owned())
            .spawn(move || runtime.block_on(running))?;
        Ok(Self { address, state, stop, thread: Some(thread) })
    }

    /// Its address as a provider's `base_url`: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have arrived whole.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state.n_calls.load(Ordering::SeqCst)
    }

    /// The requests that have arrived, oldest first.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().clone()
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn accepted_connections(&self) -> usize {
        self.state.n_accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open now, idle ones included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.state.n_open.load(Ordering::SeqCst)
    }

    /// How many requests are being answered now.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.state.n_in_flight.load(Ordering::SeqCst)
    }

    /// Changes what it does with requests from now on.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock() = behaviour;
    }

    /// Whether within `limit` of real time there are at most `n` open connections.
    pub async fn closes_to(&self, n: usize, limit: Duration) -> bool {
        for _ in 0..=limit.as_millis() / 5 {
            if self.open_connections() <= n {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Waits until it is stopped from elsewhere, which for a program is never.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
