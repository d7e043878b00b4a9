//! HTTP/1 that is meant to be read in two ways, too large, or none at all.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::bystander::beside;
use super::settings;
use crate::folder::Folder;
use crate::server::Start;

/// What must come of a case.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// One reply with one of these statuses, and the end of the connection; `0` is an end without a word.
    One(&'static [u16]),
    /// So many replies, all 200.
    All(usize),
}
use Want::{All, One};

const BAD: Want = One(&[400]);
const TOO_LARGE: Want = One(&[431, 414, 400]);
/// A reply, and nothing of what follows it is taken for a request.
const ONE_REPLY: Want = One(&[200, 400, 408, 415]);

/// The end of one body, and a request for those that read the other length.
const SMUGGLED: &str = "0\r\n\r\nGET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n";

fn post(headers: &str, body: &str) -> Vec<u8> {
    let head = "POST /query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    format!("{head}{headers}\r\n{body}").into_bytes()
}

fn live(headers: &str) -> Vec<u8> {
    format!("{LIVE}{headers}\r\n").into_bytes()
}

fn chunks(body: &str) -> Vec<u8> {
    post("transfer-encoding: chunked\r\n", body)
}

/// A message with two lengths, or a length that is none.
fn lengths() -> Vec<(&'static str, Vec<u8>, Want)> {
    vec![
        (
            "length, then chunks",
            post("content-length: 4\r\ntransfer-encoding: chunked\r\n", SMUGGLED),
            ONE_REPLY,
        ),
        (
            "chunks, then length",
            post("transfer-encoding: chunked\r\ncontent-length: 4\r\n", SMUGGLED),
            ONE_REPLY,
        ),
        ("two lengths", post("content-length: 4\r\ncontent-length: 9\r\n", "abcdefghi"), BAD),
        ("two lengths in one", post("content-length: 4, 9\r\n", "abcdefghi"), BAD),
        ("a length with a sign", post("content-length: +4\r\n", "abcd"), BAD),
        ("a negative length", post("content-length: -1\r\n", "abcd"), BAD),
        ("a hexadecimal length", post("content-length: 0x4\r\n", "abcd"), BAD),
        ("a length in two words", post("content-length: 4 4\r\n", "abcd"), BAD),
        ("a length of nothing", post("content-length:\r\n", "abcd"), BAD),
        ("a length beyond numbers", post("content-length: 99999999999999999999\r\n", "abcd"), BAD),
        ("chunks by another name", post("transfer-encoding: xchunked\r\n", SMUGGLED), BAD),
        ("chunks that are not last", post("transfer-encoding: chunked, identity\r\n", SMUGGLED), BAD),
        ("no chunks", post("transfer-encoding: identity\r\n", SMUGGLED), BAD),
        (
            "chunks and none",
            post("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", SMUGGLED),
            BAD,
        ),
        ("chunks behind a tabulator", post("transfer-encoding: \x0bchunked\r\n", SMUGGLED), BAD),
        ("a space before the colon", post("transfer-encoding : chunked\r\n", SMUGGLED), BAD),
        ("chunks on a folded line", post("transfer-encoding:\r\n chunked\r\n", SMUGGLED), BAD),
        ("chunks in quotes", post("transfer-encoding: \"chunked\"\r\n", SMUGGLED), BAD),
        (
            "chunks of HTTP/1.0",
            b"POST /query HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            BAD,
        ),
        ("a chunk size that is none", chunks("zz\r\nab\r\n0\r\n\r\n"), BAD),
        ("a negative chunk size", chunks("-1\r\nab\r\n0\r\n\r\n"), BAD),
        ("a chunk size beyond numbers", chunks("fffffffffffffffff\r\nab\r\n0\r\n\r\n"), BAD),
        ("a chunk size with a sign", chunks("+2\r\nab\r\n0\r\n\r\n"), BAD),
        ("a chunk longer than its size", chunks("2\r\nabcd\r\n0\r\n\r\n"), BAD),
        ("a chunk without its line end", chunks("2\r\nab0\r\n\r\n"), BAD),
        ("a line end within an extension", chunks(&format!("2;a\n{SMUGGLED}")), BAD),
        ("an endless extension", chunks(&format!("2;{}\r\nab\r\n0\r\n\r\n", "a".repeat(100_000))), BAD),
        ("endless trailers", chunks(&format!("0\r\n{}\r\n", "x: y\r\n".repeat(50_000))), ONE_REPLY),
    ]
}

/// Lines that are no header, or one that another reader takes for two.
fn lines() -> Vec<(&'static str, Vec<u8>, Want)> {
    vec![
        ("a folded line", live("x-a: b\r\n c\r\n"), BAD),
        ("a lonely CR", live("x-a: b\rx-c: d\r\n"), BAD),
        ("CR for all line ends", b"GET /health/live HTTP/1.1\rhost: localhost\r\r".to_vec(), One(&[400, 0])),
        ("a zero in a value", live("x-a: b\0c\r\n"), BAD),
        ("a zero in a name", live("x\0a: b\r\n"), BAD),
        ("a space in a name", live("x a: b\r\n"), BAD),
        ("no colon", live("x-a\r\n"), BAD),
        ("no name", live(": a\r\n"), BAD),
        (
            "a space before the first header",
            b"GET /health/live HTTP/1.1\r\n host: localhost\r\n\r\n".to_vec(),
            BAD,
        ),
        ("no host", b"GET /health/live HTTP/1.1\r\n\r\n".to_vec(), BAD),
        ("two hosts", live("host: localhost\r\n"), BAD),
        ("a foreign second host", live("host: evil.example\r\n"), BAD),
        ("a foreign host", b"GET /health/live HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_vec(), One(&[403])),
        (
            "a foreign address",
            b"GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            One(&[403]),
        ),
        ("no path", b"GET  HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), BAD),
        ("a space in the path", b"GET /health /live HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), BAD),
        ("a zero in the path", b"GET /health\0 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), BAD),
        (
            "a path that is no text",
            b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            One(&[400, 404]),
        ),
        ("HTTP/0.9", b"GET /health/live\r\n\r\n".to_vec(), BAD),
        ("HTTP/9.9", b"GET /health/live HTTP/9.9\r\nhost: localhost\r\n\r\n".to_vec(), BAD),
        ("HTTP/2 in words", b"GET /health/live HTTP/2.0\r\nhost: localhost\r\n\r\n".to_vec(), BAD),
        ("a method of noise", b"G\x01T / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), BAD),
        (
            "a method that nobody knows",
            b"BREW /query HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            One(&[405]),
        ),
        (
            "CONNECT",
            b"CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            One(&[400, 403, 404, 405]),
        ),
        ("TRACE", b"TRACE /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(), One(&[405])),
        (
            "a path upwards",
            b"GET /../../etc/passwd HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            One(&[404]),
        ),
        (
            "half a percent",
            b"GET /v1/models/%zz HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
            One(&[400, 404]),
        ),
        ("noise", b"\x00\x01\x02\xff\xfe\r\n\r\n".to_vec(), BAD),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20), BAD),
        ("a proxy's greeting", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), BAD),
        ("half of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), One(&[0])),
    ]
}

/// More than a request needs.
fn sizes() -> Vec<(&'static str, Vec<u8>, Want)> {
    let headers = |n: usize| (0..n).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    vec![
        ("101 headers", live(&headers(101)), TOO_LARGE),
        ("10,000 headers", live(&headers(10_000)), TOO_LARGE),
        ("one header of 200 KB", live(&format!("x-a: {}\r\n", "a".repeat(200_000))), TOO_LARGE),
        ("one name of 200 KB", live(&format!("{}: a\r\n", "a".repeat(200_000))), TOO_LARGE),
        (
            "a path of 200 KB",
            format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(200_000)).into(),
            TOO_LARGE,
        ),
        ("a method of 200 KB", "A".repeat(200_000).into_bytes(), TOO_LARGE),
        ("a line without end", vec![b' '; 200_000], TOO_LARGE),
    ]
}

/// Unusual and right.
fn fine() -> Vec<(&'static str, Vec<u8>, Want)> {
    vec![
        ("LF for all line ends", b"GET /health/live HTTP/1.1\nhost: localhost\n\n".to_vec(), All(1)),
        ("an upgrade that is not taken", live("connection: upgrade\r\nupgrade: h2c\r\n"), All(1)),
        ("50 requests at once", live("").repeat(50), All(50)),
        ("99 headers", live(&(0..98).map(|n| format!("x-{n}: y\r\n")).collect::<String>()), All(1)),
        ("a header of 30 KB", live(&format!("cookie: {}\r\n", "a".repeat(30_000))), All(1)),
        ("empty lines before", [b"\r\n\r\n".to_vec(), live("")].concat(), All(1)),
    ]
}

/// How long a reply may let wait for itself before the client says that it has no more to say.
const QUIET: Duration = Duration::from_millis(400);

/// Everything that comes back until the end.
fn talk(address: SocketAddr, bytes: &[u8]) -> (String, Duration) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(QUIET)).expect("a timeout");
    let began = Instant::now();
    // It may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut got = Vec::new();
    let mut buffer = [0; 4_096];
    let mut is_quiet = false;
    loop {
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => got.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !is_quiet => {
                is_quiet = true;
                let _ = stream.shutdown(Shutdown::Write);
                stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
            }
            Ok(_) | Err(_) => return (String::from_utf8_lossy(&got).into_owned(), began.elapsed()),
        }
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_what_is_too_large_is_not_read() {
    let server = Start::with(&Folder::with_settings(&settings())).serve();
    for (group, cases) in [("lengths", lengths()), ("lines", lines()), ("sizes", sizes()), ("fine", fine())] {
        beside(&server, group, || {
            for (what, bytes, want) in cases {
                let (got, took) = talk(server.address, &bytes);
                let statuses: Vec<u16> = got
                    .match_indices("HTTP/1.1 ")
                    .filter_map(|(at, word)| got.get(at + word.len()..)?.get(..3)?.parse().ok())
                    .collect();
                let is_right = match want {
                    One(wanted) => match statuses.as_slice() {
                        [] => wanted.contains(&0),
                        [status] => wanted.contains(status),
                        _ => false,
                    },
                    All(n) => statuses.len() == n && statuses.iter().all(|status| *status == 200),
                };
                assert!(is_right, "{what}: {statuses:?}, wanted {want:?}: {got}");
                assert!(took < Duration::from_secs(4), "{what}: {took:?}");
            }
        });
    }
}
