//! HTTP/2, frame by frame: floods, and frames that must not be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::bystander::beside;
use super::settings;
use crate::folder::Folder;
use crate::server::Start;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// `GET /` from this machine, by the static table; `more` follows.
fn get(more: &[u8]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84, 0x41, 9];
    block.extend_from_slice(b"localhost");
    block.extend_from_slice(more);
    block
}

/// A header that is not indexed.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("short");
    let mut bytes = vec![0, length(name)];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(length(value));
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

fn request(stream: u32, more: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(more))
}

/// Streams that clients may open.
fn ids(n: u32) -> impl Iterator<Item = u32> {
    (0..n).map(|n| n * 2 + 1)
}

/// What came of a case.
#[derive(Debug, Default)]
struct Seen {
    /// The server ended the connection.
    is_closed: bool,
    /// Error codes of streams that it reset, and of its last words.
    resets: Vec<u32>,
    farewell: Option<u32>,
    replies: usize,
    sent: usize,
    took: Duration,
}

/// Sends the preface and `bytes`, as often as they are given, and reads until the end, or until all is quiet.
fn talk(address: SocketAddr, parts: impl Iterator<Item = Vec<u8>>) -> Seen {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_millis(1_500))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let began = Instant::now();
    let mut seen = Seen::default();
    let mut reader = stream.try_clone().expect("a handle");
    // Beside the writing, so that a server that waits for its answers to be read goes on.
    let reading = std::thread::spawn(move || {
        let (mut got, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (got, true),
                Ok(n) => got.extend_from_slice(&buffer[..n]),
                Err(error) => return (got, error.kind() == std::io::ErrorKind::ConnectionReset),
            }
        }
    });
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
    for part in std::iter::once(preface).chain(parts) {
        if stream.write_all(&part).is_err() {
            break;
        }
        seen.sent += part.len();
    }
    let (got, is_closed) = reading.join().expect("read");
    seen.is_closed = is_closed;
    seen.took = began.elapsed();
    let mut rest = got.as_slice();
    while let [a, b, c, kind, _, _, _, _, _, more @ ..] = rest {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some(payload) = more.get(..length) else { break };
        let code = |at: usize| {
            payload.get(at..at + 4).map(|code| u32::from_be_bytes(code.try_into().expect("four")))
        };
        match *kind {
            HEADERS => seen.replies += 1,
            RESET => seen.resets.extend(code(0)),
            GO_AWAY => seen.farewell = code(4),
            _ => {}
        }
        rest = &more[length..];
    }
    seen
}

fn in_parts(frames: impl Iterator<Item = Vec<u8>> + 'static) -> Box<dyn Iterator<Item = Vec<u8>>> {
    let mut frames = frames.peekable();
    Box::new(std::iter::from_fn(move || {
        frames.peek()?;
        Some(frames.by_ref().take(500).flatten().collect())
    }))
}

type Case = (&'static str, Box<dyn Iterator<Item = Vec<u8>>>, fn(&Seen) -> bool);

fn is_ended(seen: &Seen) -> bool {
    seen.is_closed && (seen.replies == 0 || seen.farewell.is_some_and(|code| code != 0))
}

fn is_refused(seen: &Seen) -> bool {
    is_ended(seen) || seen.resets.iter().any(|code| *code != 0)
}

fn floods() -> Vec<Case> {
    let reset = |id| [request(id, &[]), frame(RESET, 0, id, &8_u32.to_be_bytes())].concat();
    let begun = frame(HEADERS, END_STREAM, 1, &get(&[]));
    let junk = literal("x-a", &"a".repeat(100)).repeat(150);
    // 64 MB of headers that never end.
    let more = frame(CONTINUATION, 0, 1, &junk);
    let n_more = (64 << 20) / more.len();
    vec![
        ("20,000 requests taken back", in_parts(ids(20_000).map(reset)), is_ended),
        (
            "64 MB of headers",
            in_parts(std::iter::once(begun.clone()).chain(std::iter::repeat_n(more, n_more))),
            |seen| is_ended(seen) && seen.sent < 16 << 20,
        ),
        (
            "100,000 empty continuations",
            in_parts(
                std::iter::once(begun).chain(std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[]), 100_000)),
            ),
            is_ended,
        ),
        (
            "100,000 settings",
            in_parts(std::iter::repeat_n(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]), 100_000)),
            |_| true,
        ),
        ("100,000 pings", in_parts(std::iter::repeat_n(frame(PING, 0, 0, b"12345678"), 100_000)), |_| true),
        (
            "100,000 priorities",
            in_parts(ids(100_000).map(|id| frame(PRIORITY, 0, id, &[0, 0, 0, 0, 9]))),
            |_| true,
        ),
        (
            "100,000 empty pieces of a body",
            in_parts(
                std::iter::once(frame(HEADERS, END_HEADERS, 1, &get(&[])))
                    .chain(std::iter::repeat_n(frame(DATA, 0, 1, &[]), 100_000)),
            ),
            |_| true,
        ),
        ("10,000 requests at once", in_parts(ids(10_000).map(|id| request(id, &[]))), |_| true),
        (
            "10,000 streams that stay open",
            in_parts(ids(10_000).map(|id| frame(HEADERS, END_HEADERS, id, &get(&[])))),
            |seen| seen.is_closed || seen.resets.len() > 1_000 || seen.replies > 1_000,
        ),
    ]
}

fn wrong() -> Vec<Case> {
    // One long header put into the table, then named again and again: 4 KB of bytes for 16 MB of headers.
    let mut bomb = vec![0x40, 1, b'a', 0x7f, 0xa1, 0x1e];
    bomb.extend_from_slice(&[b'b'; 4_000]);
    bomb.extend_from_slice(&[0xbe; 4_000]);
    let one = |bytes: Vec<u8>| -> Box<dyn Iterator<Item = Vec<u8>>> { Box::new(std::iter::once(bytes)) };
    let window = |stream: u32| frame(WINDOW, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
    let twice = |name: &str, value: &str| request(1, &literal(name, value));
    let claims = frame(HEADERS, END_HEADERS, 1, &get(&literal("content-length", "3")));
    vec![
        ("a bomb of one header", one(request(1, &bomb)), |seen| is_refused(seen) || seen.replies == 1),
        (
            "a frame larger than allowed",
            one([frame(DATA, 0, 1, &[]), vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat()),
            is_ended,
        ),
        ("headers of no stream", one(request(0, &[])), is_ended),
        ("a stream of the server's", one(request(2, &[])), is_ended),
        ("a stream of before", one([request(9, &[]), request(3, &[])].concat()), is_refused),
        ("a window beyond numbers", one(window(0).repeat(2)), is_ended),
        ("a window of nothing", one(frame(WINDOW, 0, 0, &[0; 4])), is_ended),
        ("a ping too short", one(frame(PING, 0, 0, b"1234")), is_ended),
        ("settings too short", one(frame(SETTINGS, 0, 0, &[0, 3, 0])), is_ended),
        ("a header of HTTP/1", one(twice("transfer-encoding", "chunked")), is_refused),
        ("a connection header", one(twice("connection", "close")), is_refused),
        ("a name in capitals", one(twice("X-A", "b")), is_refused),
        ("a second path", one(request(1, &[0x84])), is_refused),
        (
            "a pseudo-header after others",
            one(request(1, &[literal("x-a", "b"), vec![0x84]].concat())),
            is_refused,
        ),
        ("a line end in a value", one(twice("x-a", "b\r\nc")), is_refused),
        ("no path", one(frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x82, 0x86])), |seen| {
            is_refused(seen) || seen.replies == 1
        }),
        ("a table that does not exist", one(request(1, &[0xff, 0xff, 0x7f])), is_ended),
        (
            "more body than announced",
            one([claims.clone(), frame(DATA, END_STREAM, 1, b"abcd")].concat()),
            is_refused,
        ),
        ("less body than announced", one([claims, frame(DATA, END_STREAM, 1, b"a")].concat()), is_refused),
        ("a pushed stream", one(frame(5, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])), is_ended),
        ("silence", one(Vec::new()), |seen| seen.took < Duration::from_secs(4)),
        ("half a header block", one(frame(HEADERS, END_STREAM, 1, &get(&[]))), |seen| {
            seen.took < Duration::from_secs(4)
        }),
    ]
}

#[test]
fn floods_and_frames_that_must_not_be_end_their_connection_and_hold_nobody_up() {
    let server = Start::with(&Folder::with_settings(&settings())).serve();
    for (what, parts, is_right) in floods() {
        let seen = beside(&server, what, || talk(server.address, parts));
        assert!(is_right(&seen), "{what}: {seen:?}");
        assert!(seen.took < Duration::from_secs(30), "{what}: {seen:?}");
    }
    beside(&server, "wrong frames", || {
        for (what, parts, is_right) in wrong() {
            let seen = talk(server.address, parts);
            assert!(is_right(&seen), "{what}: {seen:?}");
        }
    });
    // Afterwards one that behaves is answered on HTTP/2.
    let seen = talk(server.address, std::iter::once(request(1, &[])));
    assert_eq!((seen.replies, seen.resets.len()), (1, 0), "{seen:?}");
}
