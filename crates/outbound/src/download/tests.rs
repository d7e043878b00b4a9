//! Downloads from a file server on loopback that answers as it is told.

use std::sync::Arc;

use parking_lot::Mutex;
use testkit::{Behaviour, TokioClock, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::client::Config;

const LATER: Moment = Moment(Duration::from_secs(30));
const FILE: &str = "0123456789";

/// Answers each request with the next of `replies`; what was asked is in the list.
async fn serve(replies: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    tokio_util::task::TaskTracker::new().spawn(async move {
        for reply in replies {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(connection.read_u8().await.unwrap());
            }
            heard.lock().push(String::from_utf8(request).unwrap().to_lowercase());
            connection.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

/// A response with these header fields and the body `FILE[begin..]`.
fn reply(status: &str, fields: &[&str], begin: usize) -> String {
    let body = &FILE[begin..];
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}")
}

fn client() -> Client {
    Client::new(Arc::new(TokioClock::new()), Config::default())
}

fn download(url: String, kept: Option<(u64, &str)>) -> Download {
    Download {
        url,
        allow_private: true,
        kept: kept.map(|(bytes, validator)| Kept { bytes, validator: validator.to_owned() }),
        bytes_max: 1 << 20,
        stall: Duration::from_secs(5),
        deadline: LATER,
    }
}

async fn rest(arriving: &mut Arriving) -> Result<String, OutboundError> {
    let mut whole = Vec::new();
    while let Some(portion) = arriving.next().await? {
        whole.extend_from_slice(&portion);
    }
    Ok(String::from_utf8(whole).unwrap())
}

#[tokio::test]
async fn a_broken_download_goes_on_where_the_server_can_and_else_starts_over() {
    let whole = || reply("200 OK", &["etag: \"v2\""], 0);
    let part = |fields: &[&str]| reply("206 Partial Content", fields, 4);
    let date = "Sat, 21 Nov 2026 10:00:00 GMT";
    let (tag, range) = ("etag: \"v1\"", "content-range: bytes 4-9/10");
    let dated = format!("last-modified: {date}");
    // What is kept, what the server answers, where the body begins, what it is known by afterwards.
    for (case, kept, replies, begins, validator) in [
        ("the rest comes", "\"v1\"", vec![part(&[tag, range])], 4, "\"v1\""),
        ("the rest comes without a tag", "\"v1\"", vec![part(&[range])], 4, "\"v1\""),
        ("of unknown length", "\"v1\"", vec![part(&[tag, "content-range: bytes 4-9/*"])], 4, "\"v1\""),
        ("known by its date", date, vec![part(&[&dated, range])], 4, date),
        ("ranges are ignored, or the file has changed", "\"v1\"", vec![whole()], 0, "\"v2\""),
        ("a part of another file", "\"v1\"", vec![part(&["etag: \"v2\"", range]), whole()], 0, "\"v2\""),
        (
            "a part of a file of another date",
            date,
            vec![part(&["last-modified: Sat, 21 Nov 2026 11:00:00 GMT", range]), whole()],
            0,
            "\"v2\"",
        ),
        (
            "the file is shorter now",
            "\"v1\"",
            vec![reply("416 Range Not Satisfiable", &["content-range: bytes */3"], 10), whole()],
            0,
            "\"v2\"",
        ),
        ("another place", "\"v1\"", vec![part(&[tag, "content-range: bytes 3-9/10"]), whole()], 0, "\"v2\""),
        (
            "an impossible place",
            "\"v1\"",
            vec![part(&[tag, "content-range: bytes 4-9/9"]), whole()],
            0,
            "\"v2\"",
        ),
        ("no place", "\"v1\"", vec![part(&[tag]), whole()], 0, "\"v2\""),
        (
            "several parts",
            "\"v1\"",
            vec![part(&[tag, "content-type: multipart/byteranges; boundary=x"]), whole()],
            0,
            "\"v2\"",
        ),
    ] {
        let n_replies = replies.len();
        let (url, asked) = serve(replies).await;
        let mut arriving = client().download(&download(url, Some((4, kept)))).await.expect(case);
        assert_eq!(arriving.begins, begins, "{case}");
        assert_eq!(arriving.total, Some(10), "{case}");
        assert_eq!(arriving.validator.as_deref(), Some(validator), "{case}");
        let begin = usize::try_from(begins).unwrap();
        assert_eq!(rest(&mut arriving).await.unwrap(), FILE[begin..], "{case}");
        let asked = asked.lock();
        assert_eq!(asked.len(), n_replies, "{case}");
        assert!(asked[0].contains("\r\nrange: bytes=4-\r\n"), "{case}: {asked:?}");
        let condition = format!("\r\nif-range: {}\r\n", kept.to_lowercase());
        assert!(asked[0].contains(&condition), "{case}: {asked:?}");
        let starts_over = asked.get(1).is_none_or(|second| !second.contains("range:"));
        assert!(starts_over, "{case}: {asked:?}");
    }
}

#[tokio::test]
async fn a_file_is_known_by_what_is_strong_enough() {
    for (fields, want) in [
        (vec!["etag: \"v1\""], Some("\"v1\"")),
        (vec!["etag: W/\"v1\""], None),
        (vec!["etag: \"\""], None),
        (
            vec!["last-modified: Sat, 21 Nov 2026 10:00:00 GMT", "date: Sat, 21 Nov 2026 10:00:01 GMT"],
            Some("Sat, 21 Nov 2026 10:00:00 GMT"),
        ),
        // Another change may have followed within the same second.
        (vec!["last-modified: Sat, 21 Nov 2026 10:00:00 GMT", "date: Sat, 21 Nov 2026 10:00:00 GMT"], None),
        (vec!["last-modified: Sat, 21 Nov 2026 10:00:00 GMT"], None),
        (vec![], None),
    ] {
        let (url, asked) = serve(vec![reply("200 OK", &fields, 0)]).await;
        let arriving = client().download(&download(url, None)).await.unwrap();
        assert_eq!(arriving.validator.as_deref(), want, "{fields:?}");
        assert!(!asked.lock()[0].contains("range:"));
    }
}

#[tokio::test]
async fn what_a_server_refuses_is_an_error() {
    for (kept, status, want) in [
        (None, "404 Not Found", 404),
        (Some((4, "\"v1\"")), "404 Not Found", 404),
        (Some((4, "\"v1\"")), "503 Service Unavailable", 503),
        (None, "206 Partial Content", 206),
    ] {
        let (url, _) = serve(vec![reply(status, &[], 0)]).await;
        let found = client().download(&download(url, kept)).await;
        assert!(matches!(found, Err(OutboundError::Status { status, .. }) if status == want), "{found:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_or_grows_too_large_is_an_error() {
    let (url, _) = serve(vec![reply("200 OK", &["etag: \"v1\""], 0).replace("6789", "")]).await;
    let mut arriving = client().download(&download(url, None)).await.unwrap();
    let broken = rest(&mut arriving).await;
    assert!(matches!(broken, Err(OutboundError::Closed { .. })), "{broken:?}");

    let (url, _) = serve(vec![reply("206 Partial Content", &["content-range: bytes 4-9/10"], 4)]).await;
    let small = Download { bytes_max: 9, ..download(url, Some((4, "\"v1\""))) };
    let found = client().download(&small).await;
    assert!(matches!(found, Err(OutboundError::TooLarge { bytes_max: 9, .. })), "{found:?}");
    // Without an announced length it shows on the way.
    let endless = reply("200 OK", &[], 0).replace("content-length: 10\r\n", "");
    let (url, _) = serve(vec![endless]).await;
    let small = Download { bytes_max: 9, ..download(url, None) };
    let mut arriving = client().download(&small).await.unwrap();
    assert_eq!(arriving.total, None);
    assert!(matches!(rest(&mut arriving).await, Err(OutboundError::TooLarge { .. })));
}

#[tokio::test]
async fn redirects_are_followed_and_each_address_is_checked() {
    let target = Upstream::start(Behaviour::default());
    let hub = Upstream::start(Behaviour::Redirect(format!("{}/file", target.base_url())));
    let client = client();
    let mut wanted = download(format!("{}/file?x=1", hub.base_url()), Some((5, "\"v1\"")));
    let mut arriving = client.download(&wanted).await.expect("fetched");
    assert_eq!(arriving.begins, 0, "this server knows no ranges");
    assert!(rest(&mut arriving).await.unwrap().contains("mock answer"));
    assert_eq!(hub.received()[0].line, "GET /v1/file?x=1");
    assert_eq!(target.received()[0].line, "GET /v1/file");
    assert_eq!(target.received()[0].header("range"), Some("bytes=5-"));

    hub.set_behaviour(Behaviour::Redirect(format!("{}/again", hub.base_url())));
    let before = hub.calls();
    let found = client.download(&wanted).await;
    assert!(matches!(found, Err(OutboundError::Redirected { .. })), "{found:?}");
    assert_eq!(hub.calls() - before, 6);
    wanted.allow_private = false;
    let found = client.download(&wanted).await;
    assert!(matches!(found, Err(OutboundError::Address(_))), "{found:?}");
}
