//! TLS as the server ends it: who is answered, what is shown, and how that changes while requests run.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::{Behaviour, Upstream};

use crate::certificates::{Authority, Client, Issued, YEAR_3000};
use crate::client::Request;
use crate::dialects::Dialect;
use crate::folder::{EMBEDDED_TIER, Folder, KEY_VARIABLE, ladder};
use crate::server::{Server, Start, signal, wait_for};

/// The section of `issued`, which is written to `folder`.
fn section(folder: &Path, issued: &Issued) -> String {
    let (certificate, key) = issued.write(folder);
    format!("[server.tls]\ncertificate = \"{}\"\nkey = \"file::{}\"\n", certificate.display(), key.display())
}

/// Settings whose certificate is `issued`, written to `folder`.
fn settings(folder: &Path, issued: &Issued, more: &str) -> String {
    format!("schema = 1\n{EMBEDDED_TIER}{}{more}", section(folder, issued))
}

/// A server that speaks TLS alone, and its certificate's folder.
fn serve(issued: &Issued, more: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Folder::with_settings(&settings(folder.path(), issued, more));
    (launch(&Start::with(&config)), folder)
}

fn launch(start: &Start) -> Server {
    let server = start.launch();
    server.wait_until("it is ready", || server.log().contains("answers on http").then_some(()));
    server
}

fn live() -> Request {
    Request::get("/health/live")
}

#[test]
fn the_one_port_speaks_tls_in_both_versions_and_protocols() {
    let authority = Authority::new();
    let issued = authority.issue("one");
    let (server, _folder) = serve(&issued, "");
    static VERSIONS: [[&rustls::SupportedProtocolVersion; 1]; 2] =
        [[&rustls::version::TLS12], [&rustls::version::TLS13]];
    for versions in &VERSIONS {
        let client = Client { versions, ..Client::of(&authority) };
        for (alpn, want) in [
            (&["h2", "http/1.1"][..], "h2"),
            (&["http/1.1", "h2"], "h2"),
            (&["http/1.1"], "http/1.1"),
            (&[], ""),
        ] {
            let connection = Client { alpn, trusts: client.trusts.clone(), shows: None, ..client }
                .connect(server.address)
                .expect("a handshake");
            assert_eq!(connection.protocol(), want, "{versions:?} {alpn:?}");
            assert_eq!(connection.shown(), issued.certificate);
        }
        let reply = client.ask(server.address, &live()).expect("a reply");
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.contains("live"), "{versions:?}: {reply}");
    }
    let other = Client { alpn: &["acme-tls/1"], ..Client::of(&authority) };
    assert!(other.connect(server.address).is_err(), "a protocol that is not spoken");
    let stranger = Client::of(&Authority::new());
    assert!(stranger.ask(server.address, &live()).is_err(), "a client that does not trust it");

    let plain = live().send(server.address).expect("words");
    assert_eq!((plain.status, plain.text().contains("https")), (400, true), "{}", plain.text());
}

/// Replies to `bodies` at `path`, asked at once on one HTTP/2 connection.
fn ask_on_http2(client: &Client, address: SocketAddr, (path, bodies): (&str, &[&str])) -> Vec<(u16, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let connector = tokio_rustls::TlsConnector::from(client.config());
        let stream = connector.connect("localhost".try_into().expect("a name"), stream).await;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream.expect("a handshake")))
                .await
                .expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let asking = bodies.iter().map(|body| {
            let mut sender = sender.clone();
            let request = http::Request::post(format!("https://{address}{path}"))
                .header("content-type", "application/json")
                .body(Full::new(bytes::Bytes::from((*body).to_owned())))
                .expect("valid");
            async move {
                let response = sender.send_request(request).await.expect("a response");
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                (status, String::from_utf8_lossy(&body).into_owned())
            }
        });
        let replies = futures_util::future::join_all(asking).await;
        drop(sender);
        connection.await.expect("its task").expect("it ends well");
        replies
    })
}

#[test]
fn requests_of_one_connection_are_answered_at_once() {
    let authority = Authority::new();
    let (server, _folder) = serve(&authority.issue("one"), "");
    let client = Client { alpn: &["h2"], ..Client::of(&authority) };
    let question = r#"{"query":"Is my deposit FDIC insured, and up to how much?"}"#;
    let replies = ask_on_http2(&client, server.address, ("/query", &[question; 20]));
    for (status, body) in replies {
        assert!(status == 200 && body.contains("degraded"), "{status} {body}");
    }
}

#[test]
fn a_call_that_failed_once_is_made_again_for_callers_of_both_protocols() {
    let upstream = Upstream::start(Behaviour::default());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new();
    let config =
        Folder::with_settings(&ladder(&[&upstream], &section(folder.path(), &authority.issue("one"))));
    let start = Start { environment: vec![(KEY_VARIABLE, "a-key".to_owned())], ..Start::with(&config) };
    let server = launch(&start);
    for dialect in [Dialect::Chat, Dialect::Messages] {
        for request in [dialect.ask_whole("one/alpha"), dialect.ask("one/alpha")] {
            let fails_once = Behaviour::Sequence(vec![Behaviour::status(500), Behaviour::default()]);
            let body = std::str::from_utf8(request.body()).expect("text").to_owned();
            for alpn in ["http/1.1", "h2"] {
                let before = upstream.calls();
                upstream.set_behaviour(fails_once.clone());
                let reply = if alpn == "h2" {
                    let client = Client { alpn: &["h2"], ..Client::of(&authority) };
                    let path = if dialect == Dialect::Chat { "/v1/chat/completions" } else { "/v1/messages" };
                    let replies = ask_on_http2(&client, server.address, (path, &[&body]));
                    format!("{} {}", replies[0].0, replies[0].1)
                } else {
                    let reply = Client::of(&authority).ask(server.address, &request).expect("a reply");
                    assert!(reply.contains("\r\nx-mainstay-attempt: 2\r\n"), "{reply}");
                    reply.trim_start_matches("HTTP/1.1 ").to_owned()
                };
                assert!(reply.starts_with("200 "), "{dialect:?} {alpn}: {reply}");
                let is_streamed = body.contains("\"stream\":true");
                let words = if is_streamed { dialect.words(&reply) } else { reply.clone() };
                assert!(words.contains(Behaviour::TEXT), "{dialect:?} {alpn}: {reply}");
                assert_eq!(reply.contains(dialect.end()), is_streamed, "{dialect:?} {alpn}: {reply}");
                assert!(!reply.contains("says no"), "{dialect:?} {alpn}: {reply}");
                assert_eq!(upstream.calls() - before, 2, "{dialect:?} {alpn}");
            }
        }
    }
}

#[test]
fn a_port_of_its_own_leaves_the_other_plain() {
    let authority = Authority::new();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let (server, _folder) = serve(&authority.issue("one"), &format!("listen = \"{free}\"\n"));
    assert_eq!(live().send(server.address).expect("a plain reply").status, 200);
    let reply = Client::of(&authority).ask(free, &live()).expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(Client::of(&authority).ask(server.address, &live()).is_err(), "no TLS on the plain port");
}

#[test]
fn clients_show_a_certificate_where_one_is_asked_for() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("clients.pem");
    std::fs::write(&path, clients.pem()).expect("a writable folder");
    let (server, _folder) = serve(&authority.issue("one"), &format!("client_ca = \"{}\"\n", path.display()));
    let known = Client { shows: Some(clients.issue("a client")), ..Client::of(&authority) };
    let reply = known.ask(server.address, &live()).expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    for (what, shows) in [("none", None), ("a stranger's", Some(authority.issue("a stranger")))] {
        let client = Client { shows, ..Client::of(&authority) };
        let reply = client.ask(server.address, &live());
        assert!(reply.is_err(), "{what}: {reply:?}");
    }
}

/// Until a new connection is shown `issued`.
fn wait_until_shown(server: &Server, client: &Client, issued: &Issued) -> Duration {
    let began = Instant::now();
    let shown = wait_for(Duration::from_secs(20), || {
        (client.connect(server.address).ok()?.shown() == issued.certificate).then_some(())
    });
    shown.unwrap_or_else(|| panic!("not shown: {}", server.log()));
    began.elapsed()
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_no_request_is_lost() {
    let authority = Authority::new();
    let client = Client::of(&authority);
    let (server, folder) = serve(&authority.issue("one"), "");
    let mut kept = client.connect(server.address).expect("a connection");
    let kept_request = format!("GET /health/live HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut n = 0_usize;
                    while !is_over.load(Ordering::SeqCst) {
                        let reply = client.ask(server.address, &live()).expect("no request is lost");
                        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        for name in ["two", "three", "four"] {
            let issued = authority.issue(name);
            issued.write(folder.path());
            wait_until_shown(&server, &client, &issued);
            kept.ask_until(kept_request.as_bytes(), "}").expect("a connection of before goes on");
        }
        is_over.store(true, Ordering::SeqCst);
        for asking in asking {
            assert!(asking.join().expect("answered") > 3);
        }
    });
    assert_eq!(server.log().matches("the certificate was replaced").count(), 3, "{}", server.log());
    assert!(!server.log().contains("refused"), "half-written pairs are waited for: {}", server.log());
}

#[test]
fn a_broken_certificate_is_refused_with_its_reason_and_the_old_one_is_shown_on() {
    let authority = Authority::new();
    let client = Client::of(&authority);
    let old = authority.issue("old");
    let (server, folder) = serve(&old, "");
    let other = authority.issue("other");
    let no_pair = Issued { certificate: old.certificate.clone(), key: other.key.clone() };
    let cut = Issued { certificate: "-----BEGIN CERTIFICATE-----\nMIIB".to_owned(), key: old.key.clone() };
    let table = [(1, "no pair", no_pair, "KeyMismatch"), (2, "cut", cut, "certificate: ")];
    for (n_refused, what, broken, want) in table {
        broken.write(folder.path());
        let told =
            || (server.log().matches("the new certificate is refused").count() == n_refused).then_some(());
        wait_for(Duration::from_secs(20), told).unwrap_or_else(|| panic!("{what}: {}", server.log()));
        assert!(server.log().contains(want), "{what}: {}", server.log());
        assert_eq!(client.connect(server.address).expect(what).shown(), old.certificate, "{what}");
    }
    std::fs::remove_file(folder.path().join("tls.key")).expect("it was there");
    let told = || server.log().contains("tls.key").then_some(());
    wait_for(Duration::from_secs(20), told).unwrap_or_else(|| panic!("{}", server.log()));
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(server.log().matches("is refused").count(), 3, "each is told once: {}", server.log());
    assert!(!server.log().contains("PRIVATE KEY"), "{}", server.log());
    other.write(folder.path());
    wait_until_shown(&server, &client, &other);
}

/// What is told of the certificate: its state in `/health/deep`, its detail, and the metric.
fn told_of_the_certificate(server: &Server, client: &Client) -> (String, String, String) {
    let deep = client.ask(server.address, &Request::get("/health/deep")).expect("a reply");
    let (_, body) = deep.split_once("\r\n\r\n").expect("a body");
    let deep: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let parts = deep["parts"].as_array().expect("parts");
    let part = parts.iter().find(|part| part["name"] == "certificate").expect("the certificate");
    let text = |name: &str| part[name].as_str().expect(name).to_owned();
    let metrics = client.ask(server.address, &Request::get("/metrics")).expect("a reply");
    let metric = metrics
        .lines()
        .find_map(|line| line.strip_prefix("mainstay_certificate_expiry_timestamp_seconds{} "))
        .expect("the metric");
    (text("state"), text("detail"), metric.to_owned())
}

#[test]
fn when_a_certificate_ends_is_told_and_that_its_renewal_is_refused() {
    let authority = Authority::new();
    let client = Client::of(&authority);
    let (server, folder) = serve(&authority.issue("long"), "");
    let (state, detail, metric) = told_of_the_certificate(&server, &client);
    assert_eq!((state.as_str(), metric), ("ready", YEAR_3000.to_string()), "{detail}");
    assert!(detail.contains("3000-01-01"), "{detail}");

    let broken = Issued { key: authority.issue("other").key, ..authority.issue("one") };
    broken.write(folder.path());
    let refused = || server.log().contains("the new certificate is refused").then_some(());
    wait_for(Duration::from_secs(20), refused).unwrap_or_else(|| panic!("{}", server.log()));
    let (state, detail, _) = told_of_the_certificate(&server, &client);
    assert!(state == "degraded" && detail.contains("KeyMismatch"), "{state} {detail}");

    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let in_a_day = now.as_secs() + 86_400;
    let short = authority.issue_until("short", in_a_day);
    short.write(folder.path());
    wait_until_shown(&server, &client, &short);
    let (state, detail, metric) = told_of_the_certificate(&server, &client);
    assert!(state == "degraded" && detail.contains("[server.tls]"), "{state} {detail}");
    assert_eq!(metric, in_a_day.to_string());
    assert!(!detail.contains("KeyMismatch"), "what was refused is gone: {detail}");
}

#[test]
fn a_hangup_has_the_certificate_read_at_once() {
    let authority = Authority::new();
    let client = Client::of(&authority);
    let (folder, config) =
        (tempfile::tempdir().expect("a temporary folder"), Arc::new(Folder::without_articles()));
    config.write("mainstay.toml", &settings(folder.path(), &authority.issue("one"), ""));
    let start = Start::with(&config);
    // Whoever runs the tests may ignore hang-ups, or have a terminal whose end they would mean.
    let server = start.launch_by(|port| {
        let served = start.command(port);
        let mut command = std::process::Command::new("setsid");
        command.current_dir(start.data.path()).args(["env", "--default-signal=HUP"]);
        command.arg(served.get_program()).args(served.get_args());
        command
    });
    server.wait_until("it is ready", || server.log().contains("answers on http").then_some(()));
    for name in ["two", "three"] {
        let issued = authority.issue(name);
        issued.write(folder.path());
        signal(server.pid(), "HUP");
        let took = wait_until_shown(&server, &client, &issued);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert!(!server.log().contains("stopp"), "{}", server.log());
}

#[test]
fn a_client_that_does_not_finish_its_handshake_is_closed_and_holds_nobody_up() {
    let authority = Authority::new();
    let (server, _folder) =
        serve(&authority.issue("one"), "handshake_timeout = \"1s\"\n[server]\nidle_timeout = \"60s\"\n");
    // The beginning of a greeting of 512 bytes.
    let greeting = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let mut silent: Vec<TcpStream> = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(server.address).expect("it listens");
        stream.write_all(&greeting[..n % greeting.len()]).expect("it reads");
        silent.push(stream);
    }
    let began = Instant::now();
    let reply = Client::of(&authority).ask(server.address, &live()).expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 200 ") && began.elapsed() < Duration::from_millis(500), "{reply}");
    let mut told = String::new();
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let end = stream.read(&mut [0; 64]);
        let _ = writeln!(told, "{end:?}");
        assert!(matches!(end, Ok(0)), "closed without a word: {told}");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_certificate_that_cannot_be_shown_is_told_at_the_start() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Folder::with_settings(&settings(folder.path(), &authority.issue("one"), ""));
    std::fs::remove_file(folder.path().join("tls.crt")).expect("it was there");
    let mut server = Start::with(&config).launch();
    let status = server.wait_exit(Duration::from_secs(20)).expect("it does not start");
    assert_eq!(status.code(), Some(2));
    assert!(
        server.log().contains("[server.tls] certificate: ") && server.log().contains("tls.crt"),
        "{}",
        server.log()
    );
}
