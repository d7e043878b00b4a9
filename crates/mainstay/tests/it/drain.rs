//! The gentle end: what was accepted is answered, streams end well or say why not, and the process ends in time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::upstream::Answer;
use testkit::{Behaviour, Upstream};

use crate::client::{Kept, Request};
use crate::database::Database;
use crate::doors::{self, Door, End, Record, ask, end_of_stream, follow};
use crate::figures::{rounds, tell};
use crate::server::{Server, wait_for};

/// Streams that are open when the signal comes, some of them on one HTTP/2 connection.
const N_STREAMS: usize = 50;
const N_HTTP2: usize = 10;
/// Clients that ask one request after the other: on kept connections, and each time on a new one.
const N_KEPT: usize = 6;
const N_NEW: usize = 3;
/// What the server may take from the end of the drain time to its exit.
const CLOSING: Duration = Duration::from_secs(5);

fn words(n: usize, token_gap: Duration) -> Behaviour {
    let text = (0..n).map(|_| "saving ").collect::<String>();
    Behaviour::Answer(Answer { token_gap, ..Answer::of(text.trim_end()) })
}

/// Asks on and on until nobody listens, and returns what came of it.
fn ask_on_and_on(address: SocketAddr, keeps: Keeps, stopping: &AtomicBool) -> Vec<End> {
    let request = Door::Chat.request("p1/m");
    let (mut ends, mut kept): (Vec<End>, Option<Kept>) = (Vec::new(), None);
    loop {
        let was_kept = kept.is_some();
        let end = ask(address, &request, &mut kept);
        if keeps == Keeps::Nothing {
            kept = None;
        }
        match &end {
            End::Refused if stopping.load(Ordering::SeqCst) => return ends,
            // The kernel takes connections while the port is being closed: those the server never saw.
            End::Unanswered(_) if !was_kept && stopping.load(Ordering::SeqCst) => {}
            End::Answered { .. } => {}
            _ => panic!("{end:?}, on a connection kept: {was_kept}"),
        }
        ends.push(end);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Connections,
    Nothing,
}

/// One event stream, open until its end; says when it has begun.
fn listen(address: SocketAddr, request: &Request, begun: &Barrier) -> End {
    let opened = request.open(address);
    begun.wait();
    let opened = opened.expect("it was accepted");
    assert_eq!(opened.status, 200);
    follow(opened).0
}

/// Several event streams on one HTTP/2 connection.
fn listen_on_http2(server: &Server, models: &[&str], begun: &Barrier) -> Vec<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        let opening = models.iter().map(|model| {
            let (mut sender, body) = (sender.clone(), Door::ChatStream.request(model).body().to_vec());
            let url = format!("{}/v1/chat/completions", server.url());
            async move {
                let request = http::Request::post(url).header("content-type", "application/json");
                let request = request.body(Full::new(bytes::Bytes::from(body))).expect("valid");
                sender.send_request(request).await.expect("a response")
            }
        });
        let asking = async {
            let opened = futures_util::future::join_all(opening).await;
            begun.wait();
            let ends = opened.into_iter().map(|response| async {
                assert_eq!(response.status().as_u16(), 200);
                let id = response.headers()["x-mainstay-interaction"].to_str().expect("an id").to_owned();
                match response.into_body().collect().await {
                    Ok(body) => end_of_stream(id, &String::from_utf8_lossy(&body.to_bytes())),
                    Err(error) => End::Broken(error.to_string()),
                }
            });
            futures_util::future::join_all(ends).await
        };
        // The connection ends by itself once it was told that no more streams are taken.
        let (ended, ends) = tokio::join!(connection, asking);
        ended.expect("it ends well");
        ends
    })
}

/// What a client sees of `/health/ready` from the signal on, until nobody listens.
fn readiness(server: &Server) -> Vec<u16> {
    let mut seen = Vec::new();
    let closed = wait_for(Duration::from_secs(10), || match server.get("/health/ready") {
        Ok(reply) => {
            seen.push(reply.status);
            None
        }
        Err(_) => Some(()),
    });
    closed.unwrap_or_else(|| panic!("the port stays open: {seen:?}"));
    seen
}

struct Round {
    drain: Duration,
    /// Streams that end within the drain time answer agents; else those that do not.
    agents: Agents,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agents {
    Finish,
    GoOn,
}

#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    told: usize,
    never_seen: usize,
    not_ready: usize,
    exit: Duration,
}

/// One server under load, told to stop.
fn stop_under_load(round: &Round) -> Seen {
    let quick = Upstream::start(Behaviour::default());
    let finishing = Upstream::start(words(25, Duration::from_millis(160)));
    let endless = Upstream::start(words(2_000, Duration::from_millis(100)));
    let (agents, others) = match round.agents {
        Agents::Finish => (&finishing, &endless),
        Agents::GoOn => (&endless, &finishing),
    };
    let drain_ms = round.drain.as_millis();
    let start =
        doors::start(&[agents, &quick, others], &format!("[server]\ndrain_timeout = \"{drain_ms}ms\"\n"));
    let mut server = start.serve();
    let (address, stopping) = (server.address, AtomicBool::new(false));
    let begun = Barrier::new(N_STREAMS - N_HTTP2 + 2);
    let (ends, readiness) = std::thread::scope(|scope| {
        let (stopping, begun, shared) = (&stopping, &begun, &server);
        let mut asking: Vec<_> = (0..N_KEPT + N_NEW)
            .map(|n| {
                let keeps = if n < N_KEPT { Keeps::Connections } else { Keeps::Nothing };
                scope.spawn(move || ask_on_and_on(address, keeps, stopping))
            })
            .collect();
        for n in 0..N_STREAMS - N_HTTP2 {
            let request = match n % 3 {
                0 => Door::GenerateStream.request(""),
                1 => Door::ChatStream.request("p0/m"),
                _ => Door::ChatStream.request("p2/m"),
            };
            asking.push(scope.spawn(move || vec![listen(address, &request, begun)]));
        }
        let models: Vec<&str> = (0..N_HTTP2).map(|n| if n % 2 == 0 { "p0/m" } else { "p2/m" }).collect();
        asking.push(scope.spawn(move || listen_on_http2(shared, &models, begun)));
        begun.wait();
        stopping.store(true, Ordering::SeqCst);
        server.terminate();
        let readiness = readiness(&server);
        let ends: Vec<End> = asking
            .into_iter()
            .flat_map(|asking| asking.join().expect("no accepted request is lost"))
            .collect();
        (ends, readiness)
    });
    let told_at = Instant::now();
    let status = server.wait_exit(CLOSING).unwrap_or_else(|| panic!("it goes on:\n{}", server.log()));
    assert!(status.success(), "{status}:\n{}", server.log());
    let first_not_ready = readiness.iter().position(|status| *status == 503).unwrap_or(readiness.len());
    assert!(
        readiness[first_not_ready..].iter().all(|status| *status == 503),
        "not ready, then ready again: {readiness:?}"
    );
    let mut seen = count(&ends);
    seen.not_ready = readiness.len() - first_not_ready;
    seen.exit = told_at.elapsed();
    check_records(&Database::open(&start.data()), &ends, &seen);
    seen
}

/// Half of the streams or so end by themselves, the others are told why they end; nothing breaks off.
fn count(ends: &[End]) -> Seen {
    let mut seen = Seen::default();
    for end in ends {
        match end {
            End::Answered { record: Record::Kept, .. } => seen.answered += 1,
            End::Told { code } if code == "stopping" => seen.told += 1,
            End::Unanswered(_) => seen.never_seen += 1,
            _ => panic!("{end:?}"),
        }
    }
    assert!(seen.told > N_STREAMS / 4 && seen.told < N_STREAMS * 3 / 4, "{seen:?}");
    assert!(seen.answered > N_STREAMS, "{seen:?}: nobody asked while it stopped");
    seen
}

/// Each request that got a reply, the told ones included, has its record.
fn check_records(database: &Database, ends: &[End], seen: &Seen) {
    assert_eq!(database.integrity(), "ok");
    let kept: BTreeMap<String, u32> = database.ids("interactions");
    for end in ends {
        if let End::Answered { id, .. } = end {
            assert_eq!(kept.get(id), Some(&1), "{id} is lost");
        }
    }
    assert_eq!(kept.len(), seen.answered + seen.told, "a request without its record, or the other way round");
}

#[test]
fn told_to_stop_under_load_with_50_streams_it_drops_nothing() {
    let n_rounds = rounds(3);
    for n in 1..=n_rounds {
        // The long form ends with the drain time that ships.
        let drain = Duration::from_secs(if n_rounds > 3 && n > n_rounds - 2 { 30 } else { 7 });
        let agents = if n % 2 == 0 { Agents::GoOn } else { Agents::Finish };
        let began = Instant::now();
        let seen = stop_under_load(&Round { drain, agents });
        tell(&format!(
            "| {n} | {} s | {} | {} | 0 | {} | {} | {:.1} s | {} ms | 0 |",
            drain.as_secs(),
            seen.answered,
            seen.told,
            seen.never_seen,
            seen.not_ready,
            began.elapsed().as_secs_f64(),
            seen.exit.as_millis()
        ));
    }
}

#[test]
fn a_second_signal_ends_what_is_under_way_at_once() {
    let silent =
        Upstream::start(Behaviour::Answer(Answer { delay: Duration::from_secs(50), ..Answer::of("late") }));
    let endless = Upstream::start(words(2_000, Duration::from_millis(100)));
    let flood = Upstream::start(words(200_000, Duration::ZERO));
    let start = doors::start(&[&silent, &endless, &flood], "");
    let mut server = start.serve();
    let address = server.address;
    // A client that reads nothing of a stream that fills every buffer on its way.
    let unread = Door::ChatStream.request("p2/m").open(address).expect("a reply");
    let ends: Vec<End> = std::thread::scope(|scope| {
        let requests =
            [Door::Generate.request(""), Door::Chat.request("p0/m"), Door::ChatStream.request("p1/m")];
        let asking: Vec<_> = requests
            .into_iter()
            .map(|request| scope.spawn(move || ask(address, &request, &mut None)))
            .collect();
        server.wait_until("all calls are under way", || {
            (silent.calls_in_flight() == 2 && endless.calls_in_flight() == 1).then_some(())
        });
        server.terminate();
        server.wait_until("the port is closed", || server.get("/health/live").is_err().then_some(()));
        assert_eq!(endless.calls_in_flight(), 1, "the first signal waits");
        server.terminate();
        asking.into_iter().map(|asking| asking.join().expect("an end")).collect()
    });
    let stopping = End::Told { code: "stopping".to_owned() };
    assert_eq!(ends, [stopping.clone(), stopping.clone(), stopping]);
    let status = server.wait_exit(CLOSING).unwrap_or_else(|| panic!("it goes on:\n{}", server.log()));
    assert!(status.success(), "{status}:\n{}", server.log());
    drop(unread);
    assert_eq!(Database::open(&start.data()).ids("interactions").len(), 4, "each is recorded");
}

#[test]
fn told_to_stop_while_it_starts_it_breaks_no_reply() {
    let start = crate::server::Start::plain();
    let mut server = start.launch();
    server.wait_until("the port is open", || Kept::connect(server.address).ok());
    let question = Request::post("/query", r#"{"query":"Is my deposit insured?"}"#);
    let end = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(server.address, &question, &mut None));
        std::thread::sleep(Duration::from_millis(20));
        server.terminate();
        asking.join().expect("an end")
    });
    assert!(matches!(end, End::Answered { .. } | End::Told { .. }), "{end:?}\n{}", server.log());
    let status = server.wait_exit(CLOSING).unwrap_or_else(|| panic!("it goes on:\n{}", server.log()));
    assert!(status.success(), "{status}:\n{}", server.log());
}
