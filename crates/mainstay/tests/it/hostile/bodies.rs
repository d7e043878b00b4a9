//! Bodies that are small to send and large to read, or have no end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::bystander::beside;
use super::settings;
use crate::client::Request;
use crate::folder::Folder;
use crate::server::Start;

/// The head of the reply to a body of pieces that has no end, and how much of it was taken.
fn endless(address: SocketAddr, path: &str) -> (String, usize) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut n_sent = 0;
    if stream.write_all(head.as_bytes()).is_ok() {
        while n_sent < 512 << 20 && stream.write_all(chunk.as_bytes()).is_ok() {
            n_sent += chunk.len();
        }
    }
    let mut got = [0; 12];
    // A reset may have taken the words back.
    let _ = stream.read_exact(&mut got);
    (String::from_utf8_lossy(&got).into_owned(), n_sent)
}

#[test]
fn bodies_are_read_within_their_limits_whatever_they_promise() {
    let server = Start::with(&Folder::with_settings(&settings())).serve();
    let deep = |open: &str, close: &str| [open.repeat(500_000), close.repeat(500_000)].concat();
    let nested = |path: &str, inner: &str| match path {
        "/query" => format!("{{\"query\":{inner}}}"),
        _ => format!("{{\"model\":\"a/b\",\"messages\":{inner}}}"),
    };
    let keys = (0..100_000).map(|n| format!("\"k{n}\":0")).collect::<Vec<_>>().join(",");
    let table: Vec<(&str, String, &[u16])> = vec![
        ("lists in lists", deep("[", "]"), &[400, 413]),
        ("objects in objects", deep("{\"a\":", "}"), &[400, 413]),
        ("lists without end", "[".repeat(900_000), &[400]),
        ("100,000 keys", format!("{{{keys}}}"), &[400, 413]),
        // A number that is passed on is not read: there, the model is what does not exist.
        ("a number of 500,000 digits", "9".repeat(500_000), &[400, 404]),
        ("a number beyond numbers", "1e999999999".to_owned(), &[400, 404]),
        ("a text without end", "\"aaa".to_owned(), &[400]),
        ("half a surrogate", "\"\\ud800\"".to_owned(), &[400]),
        ("nothing", String::new(), &[400]),
    ];
    for path in ["/query", "/v1/chat/completions"] {
        beside(&server, path, || {
            for (what, inner, want) in &table {
                let began = Instant::now();
                let response = server.send(&Request::post(path, nested(path, inner)));
                assert!(want.contains(&response.status), "{path} {what}: {}", response.text());
                assert!(began.elapsed() < Duration::from_secs(2), "{path} {what}: {:?}", began.elapsed());
            }
            for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown"] {
                // What it would unpack to does not matter: nothing is unpacked.
                let request = Request::post(path, vec![0x1f; 4_096]).header("content-encoding", encoding);
                let response = server.send(&request);
                assert_eq!(response.status, 415, "{path} {encoding}: {}", response.text());
                assert!(
                    response.text().contains("content-encoding"),
                    "{path} {encoding}: {}",
                    response.text()
                );
            }
        });
        let (reply, n_sent) = beside(&server, "an endless body", || endless(server.address, path));
        assert!(reply.starts_with("HTTP/1.1 413") || reply.starts_with('\0'), "{path}: {reply:?}");
        assert!(n_sent < 200 << 20, "{path}: {n_sent} bytes were taken");
    }
}
