//! The client against a real server on loopback.

use std::sync::Arc;
use std::time::Duration;

use domain::fault::Kind;
use domain::time::Moment;
use testkit::upstream::{Answer, Phase};
use testkit::{Behaviour, ManualClock, TokioClock, Upstream};

use crate::client::{Client, Config, Request};
use crate::error::OutboundError;
use crate::origin::{Origin, OriginConfig};

const LATER: Moment = Moment(Duration::from_secs(30));

fn client(config: Config) -> Client {
    Client::new(Arc::new(TokioClock::new()), config)
}

fn origin(client: &Client, upstream: &Upstream) -> Origin {
    let config = OriginConfig { base_url: upstream.base_url(), allow_private: true, secret: None };
    client.origin(&config).expect("an origin")
}

async fn get(origin: &Origin) -> Result<String, OutboundError> {
    let body = origin.send(Request::get("/x"), LATER).await?.body.whole(1 << 20, LATER).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_call() {
    let upstream = Upstream::start(Behaviour::default());
    let client = client(Config::default());
    let origin = origin(&client, &upstream);
    for _ in 0..10 {
        assert!(get(&origin).await.expect("answered").contains("mock answer"));
    }
    let pool = origin.pool();
    assert_eq!((pool.opened, pool.reused, pool.stale, pool.idle), (1, 9, 0, 1));
    client.close().await;
    assert!(upstream.closes_to(0, Duration::from_secs(1)).await);
}

#[tokio::test]
async fn a_call_on_a_connection_closed_meanwhile_is_sent_once_more() {
    // The upstream resets the kept connection when the second request arrives: nothing of a response came.
    let reset = Behaviour::Reset(Phase::BeforeHead);
    let upstream =
        Upstream::start(Behaviour::Sequence(vec![Behaviour::default(), reset.clone(), Behaviour::default()]));
    let client = client(Config::default());
    let origin = origin(&client, &upstream);
    get(&origin).await.expect("on a fresh connection");
    get(&origin).await.expect("on the second fresh connection");
    assert_eq!((upstream.calls(), origin.pool().stale), (3, 1));

    // A fresh connection that is reset is a failure: nothing says that the call was not begun.
    upstream.set_behaviour(reset);
    let found = get(&origin).await;
    assert!(matches!(found, Err(OutboundError::Closed { .. })), "{found:?}");
    assert_eq!(upstream.calls(), 5, "one on the kept connection and one on a fresh one");
}

#[tokio::test]
async fn a_response_that_broke_is_not_asked_for_again() {
    let cut = Behaviour::Cut(10);
    let upstream = Upstream::start(Behaviour::Sequence(vec![Behaviour::default(), cut]));
    let client = client(Config::default());
    let origin = origin(&client, &upstream);
    get(&origin).await.expect("answered");
    assert!(matches!(get(&origin).await, Err(OutboundError::Closed { .. })));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn kept_connections_are_few_and_not_old() {
    let upstream = Upstream::start(Behaviour::Answer(Answer {
        delay: Duration::from_millis(200),
        ..Answer::of("late")
    }));
    let clock = ManualClock::new();
    let config = Config { idle_max: 2, ..Config::default() };
    let client = Client::new(Arc::new(clock.clone()), config);
    let origin = origin(&client, &upstream);
    let (a, b, c) = tokio::join!(get(&origin), get(&origin), get(&origin));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!((origin.pool().opened, origin.pool().idle), (3, 2));
    assert!(upstream.closes_to(2, Duration::from_secs(1)).await);
    clock.advance(Duration::from_secs(31));
    assert!(upstream.closes_to(0, Duration::from_secs(1)).await, "closed without a further call");
    assert_eq!(origin.pool().idle, 0);
}

#[tokio::test]
async fn calls_under_way_are_bounded() {
    let upstream = Upstream::start(Behaviour::Hang(Phase::AfterHead));
    let clock = ManualClock::new();
    let client = Client::new(Arc::new(clock.clone()), Config { calls_max: 1, ..Config::default() });
    let origin = origin(&client, &upstream);
    let first = origin.send(Request::get("/x"), LATER).await.expect("a head");
    let second = origin.send(Request::get("/x"), LATER).await;
    assert!(matches!(second, Err(OutboundError::Busy { .. })), "refused at once, not kept waiting");
    drop(first);
    origin.send(Request::get("/x"), LATER).await.expect("a head, now that there is room");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let client = client(Config::default());
    for (behaviour, want) in [
        (Behaviour::Redirect("https://evil.example/".to_owned()), Kind::RouteFatal),
        (Behaviour::HugeHead(1 << 20), Kind::Transient),
        (Behaviour::HugeHead(80 << 10), Kind::Transient),
        (Behaviour::Reset(Phase::BeforeHead), Kind::Transient),
        (Behaviour::Reset(Phase::MidBody), Kind::Transient),
    ] {
        let upstream = Upstream::start(behaviour.clone());
        let error = get(&origin(&client, &upstream)).await.expect_err("refused");
        assert_eq!(error.fault().kind, want, "{behaviour:?}: {error}");
        assert_eq!(upstream.calls(), 1);
    }
    let gone = Upstream::start(Behaviour::default());
    let origin = origin(&client, &gone);
    drop(gone);
    assert!(matches!(get(&origin).await, Err(OutboundError::Connect { .. })));
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let upstream = Upstream::start(Behaviour::default());
    let client = client(Config::default());
    let origin = origin(&client, &upstream);
    let response = origin.send(Request::get("/x"), LATER).await.expect("a head");
    let found = response.body.whole(10, LATER).await;
    assert!(matches!(found, Err(OutboundError::TooLarge { bytes_max: 10, .. })), "{found:?}");
}

#[tokio::test]
async fn what_is_at_hand_is_read_without_waiting_and_how_it_ended_is_told_after_it() {
    let client = client(Config::default());
    let whole = {
        let upstream = Upstream::start(Behaviour::Split);
        get(&origin(&client, &upstream)).await.expect("whole")
    };
    for (behaviour, is_whole) in [(Behaviour::Split, true), (Behaviour::Cut(whole.len() / 2), false)] {
        let upstream = Upstream::start(behaviour);
        let origin = origin(&client, &upstream);
        let mut body = origin.send(Request::get("/x"), LATER).await.expect("a head").body;
        let mut read = body.chunk(LATER).await.expect("readable").expect("a first portion").to_vec();
        let all_of_it = async {
            loop {
                match body.at_hand().await {
                    Some(portion) => read.extend_from_slice(&portion),
                    // The rest is still on its way: it is waited for.
                    None => match body.chunk(LATER).await {
                        Ok(Some(portion)) => read.extend_from_slice(&portion),
                        Ok(None) => return true,
                        Err(error) => {
                            assert!(matches!(error, OutboundError::Closed { .. }), "{error}");
                            return false;
                        }
                    },
                }
            }
        };
        assert_eq!(all_of_it.await, is_whole);
        assert!(whole.as_bytes().starts_with(&read), "in order, nothing twice");
        assert_eq!(read.len() == whole.len(), is_whole);
        assert!(matches!(body.chunk(LATER).await, Ok(None)), "told once");
    }

    let upstream = Upstream::start(Behaviour::Hang(Phase::MidBody));
    let mut body = origin(&client, &upstream).send(Request::get("/x"), LATER).await.expect("a head").body;
    body.chunk(LATER).await.expect("readable").expect("a first portion");
    let silent = tokio::time::timeout(Duration::from_secs(20), body.at_hand()).await;
    assert_eq!(silent.expect("it never waits"), None);
}
