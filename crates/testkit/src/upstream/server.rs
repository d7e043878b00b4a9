//! Connections and requests of the upstream: HTTP/1.1 by hand, since it must be able to break every rule of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::behaviour::Behaviour;
use super::reply::{self, Ending, Sent};
use super::{RECEIVED_MAX, Received, State};

/// Largest request it takes.
const REQUEST_BYTES_MAX: usize = 64 << 20;

pub(super) async fn run(listener: std::net::TcpListener, state: Arc<State>, stop: CancellationToken) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                state.n_accepted.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    let _open = Counted::new(&state, |state| &state.n_open);
                    serve(stream, &state).await;
                });
            }
        }
    }
}

/// Counts something for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(state: &'a State, which: fn(&State) -> &AtomicUsize) -> Self {
        let count = which(state);
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut stream: TcpStream, state: &State) {
    // Nagle's algorithm would hold each small frame back for 40 ms.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let _in_flight = Counted::new(state, |state| &state.n_in_flight);
        let behaviour = take_behaviour(state);
        remember(state, &request);
        let (mut reader, mut writer) = stream.split();
        let ending = tokio::select! {
            ending = reply::send(&mut writer, &request, &behaviour) => ending,
            () = until_closed(&mut reader, &mut buffer) => return,
        };
        match ending {
            Ending::KeepOpen => {}
            Ending::Close => {
                let _ = stream.shutdown().await;
                return;
            }
            Ending::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
        }
    }
}

fn take_behaviour(state: &State) -> Behaviour {
    let mut current = state.behaviour.lock();
    if let Behaviour::Brownout(percent) = *current {
        // Steps of 37 in a circle of 100 meet each place once in a hundred requests.
        let place = state.n_calls.load(Ordering::SeqCst).wrapping_mul(37) % 100;
        let is_hit = u32::try_from(place).is_ok_and(|place| place < percent);
        return if is_hit { Behaviour::status(503) } else { Behaviour::default() };
    }
    let Behaviour::Sequence(rest) = &mut *current else { return current.clone() };
    match rest.len() {
        0 => Behaviour::default(),
        1 => rest.first().cloned().unwrap_or_default(),
        _ => rest.remove(0),
    }
}

fn remember(state: &State, request: &Received) {
    let mut received = state.received.lock();
    if received.len() == RECEIVED_MAX {
        received.remove(0);
    }
    received.push(request.clone());
    state.n_calls.fetch_add(1, Ordering::SeqCst);
}

/// Ends when the other side has closed; what it sends meanwhile is kept for the next request.
async fn until_closed(reader: &mut tokio::net::tcp::ReadHalf<'_>, buffer: &mut Vec<u8>) {
    while matches!(reader.read_buf(buffer).await, Ok(1..)) {}
}

/// Reads one request with `content-length`; `None` at the end of the connection or of patience.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let head_end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        fill(stream, buffer).await?;
    };
    let head = String::from_utf8_lossy(buffer.get(..head_end)?).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    while buffer.len() < head_end.checked_add(length)? {
        fill(stream, buffer).await?;
    }
    let rest = buffer.split_off(head_end + length);
    let body = buffer.split_off(head_end);
    *buffer = rest;
    Some(Received { line, headers, body })
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let n_read = stream.read_buf(buffer).await.ok()?;
    (n_read > 0 && buffer.len() <= REQUEST_BYTES_MAX).then_some(())
}

/// Writes and flushes; an error means that the other side is gone.
pub(super) async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Sent {
    writer.write_all(bytes).await.map_err(|_| Ending::Close)?;
    writer.flush().await.map_err(|_| Ending::Close)
}
