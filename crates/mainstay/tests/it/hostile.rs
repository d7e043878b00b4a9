//! What no client should send: connections that say nothing, too little, or it too slowly (here), HTTP/1 that can be read in
//! two ways ([`http1`]), floods of HTTP/2 ([`http2`]), bodies without end ([`bodies`]). Each is answered or closed in time,
//! while others are answered as ever ([`bystander`]).

mod bodies;
mod bystander;
mod http1;
mod http2;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::client::Request;
use crate::folder::{EMBEDDED_TIER, Folder};
use crate::server::Start;

const SETTINGS: &str = "schema = 1\n[server]\nheader_timeout = \"1s\"\nidle_timeout = \"2s\"\nbody_timeout = \"1s\"\n\
                        connections_max = 64\n";

/// Short limits, and no model.
fn settings() -> String {
    format!("{SETTINGS}{EMBEDDED_TIER}")
}

/// Sends `bytes`, then nothing; what came back when the server closed, and after how long.
fn linger(address: SocketAddr, bytes: &[u8]) -> (String, Duration) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let began = Instant::now();
    stream.write_all(bytes).expect("it reads");
    let mut got = Vec::new();
    let ended = stream.read_to_end(&mut got);
    assert!(
        !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        "still open after 10 s"
    );
    (String::from_utf8_lossy(&got).into_owned(), began.elapsed())
}

#[test]
fn connections_that_do_not_ask_are_closed_and_hold_nobody_up() {
    let config = Folder::with_settings(&settings());
    let server = Start::with(&config).serve();
    let address = server.address;
    let half_body = format!(
        "POST /query HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"query\":"
    );
    let table: [(&str, Vec<u8>, &str); 5] = [
        ("a silent socket", Vec::new(), ""),
        ("half a request line", b"GET /hea".to_vec(), ""),
        ("half of the headers", b"GET /health/live HTTP/1.1\r\nhost: loc".to_vec(), ""),
        ("half a body", half_body.into_bytes(), "body_timeout"),
        (
            "an answered request and silence",
            format!("GET /health/live HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes(),
            "live",
        ),
    ];
    std::thread::scope(|scope| {
        let waiting =
            table.map(|(what, bytes, want)| (what, want, scope.spawn(move || linger(address, &bytes))));
        let began = Instant::now();
        let response =
            Request::post("/query", r#"{"query":"Is my deposit insured?"}"#).send(address).expect("a reply");
        assert_eq!(response.status, 200, "others are answered meanwhile");
        assert!(began.elapsed() < Duration::from_secs(1), "others wait {:?}", began.elapsed());
        for (what, want, waiting) in waiting {
            let (got, took) = waiting.join().expect(what);
            assert!(got.contains(want), "{what}: {got}");
            assert!(want.is_empty() != got.contains("HTTP/1.1 "), "{what}: {got}");
            assert!(took < Duration::from_secs(4), "{what}: closed after {took:?}");
        }
    });
}

#[test]
fn a_body_that_is_announced_too_large_is_not_asked_for() {
    let server = Start::plain().serve();
    let address = server.address;
    for (path, length, want) in [
        ("/query", 2 << 20, "HTTP/1.1 413 "),
        ("/v1/chat/completions", 33 << 20, "HTTP/1.1 413 "),
        ("/v1/chat/completions", 2 << 20, "HTTP/1.1 100 "),
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut got = [0; 13];
        stream.read_exact(&mut got).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&got), want, "{path} {length}");
    }
}

#[test]
fn a_header_sent_byte_by_byte_does_not_stay() {
    let config = Folder::with_settings(&settings());
    let server = Start::with(&config).serve();
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    let began = Instant::now();
    let mut n_sent = 0;
    // Each byte starts the idle time anew; the time for the headers runs on.
    for byte in b"GET /health/live HTTP/1.1\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')).take(100) {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        n_sent += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(n_sent < 100, "after {:?} it still reads", began.elapsed());
}
