//! The client against an upstream that fails in every way.

use std::sync::Arc;
use std::time::Duration;

use domain::chat::{ChatChunk, ChatRequest, Finish, Message, Role};
use domain::fault::{Kind, Retry};
use domain::id::ModelId;
use domain::ports::{SecretError, Secrets};
use domain::secret::{Secret, SecretRef};
use domain::time::Moment;
use domain::token::{TokenCount, Usage};
use futures_util::StreamExt;
use testkit::upstream::{Answer, Phase, RetryAfter};
use testkit::{Behaviour, CountingIds, ManualClock, Upstream};
use wire::openai::chat::ChatCompletions;

use super::*;
use crate::{Config, Ports, build};

mod counts;
mod embeddings;
mod gemini;
mod relayed;
mod stated;

const KEY: &str = "sk-live-canary-0123456789";

struct Bench {
    upstream: Upstream,
    clock: ManualClock,
    model: Remote,
}

impl Bench {
    fn new(behaviour: Behaviour) -> Self {
        Self::speaking(behaviour, Arc::new(ChatCompletions::default()))
    }

    fn speaking(behaviour: Behaviour, protocol: Arc<dyn Protocol>) -> Self {
        let upstream = Upstream::start(behaviour);
        let clock = ManualClock::new();
        let port: Arc<dyn Clock> = Arc::new(clock.clone());
        let client = outbound::Client::new(Arc::clone(&port), outbound::Config::default());
        let secret = outbound::SecretForm::Bearer(Secret::new(KEY.to_owned()));
        let origin = client.origin(&outbound::OriginConfig {
            base_url: upstream.base_url(),
            allow_private: true,
            secret: Some((http::header::AUTHORIZATION, secret)),
        });
        let model = Remote::new(Parts {
            provider: ProviderName::from("mock"),
            origin: origin.expect("an origin"),
            protocol,
            signer: None,
            clock: port,
            ids: Arc::new(CountingIds::default()),
        });
        Self { upstream, clock, model }
    }

    /// One call, read to its end: its text, and how it ended.
    async fn ask(&self) -> (String, Result<(Finish, Option<Usage>), ModelError>) {
        let mut text = String::new();
        let mut end = None;
        let mut stream = match self.model.chat(call()).await {
            Ok(stream) => stream,
            Err(error) => return (text, Err(error.error)),
        };
        while let Some(item) = stream.next().await {
            assert!(end.is_none(), "nothing follows the end");
            match item {
                Ok(ChatChunk::Delta(delta)) => text.push_str(&delta),
                Ok(ChatChunk::Done { finish, usage }) => end = Some(Ok((finish, usage))),
                Err(error) => end = Some(Err(error.error)),
            }
        }
        (text, end.expect("every stream says how it ended"))
    }

    /// The same while the clock runs, from the moment on when the request has arrived.
    async fn ask_in_time(&self) -> (String, Result<(Finish, Option<Usage>), ModelError>, Duration) {
        let mut asking = std::pin::pin!(self.ask());
        let mut began = None;
        loop {
            tokio::select! {
                biased;
                (text, end) = &mut asking => {
                    return (text, end, self.clock.now().since(began.unwrap_or_default()));
                }
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
            if self.upstream.calls() > 0 {
                began.get_or_insert_with(|| self.clock.now());
                self.clock.advance(Duration::from_millis(500));
            }
        }
    }
}

fn call() -> ChatCall {
    let messages = vec![Message::new(Role::System, "Be brief."), Message::new(Role::User, "Is it insured?")];
    ChatCall {
        model: ModelId::from("mock/org/model-1"),
        region: None,
        request: Arc::new(ChatRequest { messages, ..ChatRequest::default() }),
        deadline: Moment(Duration::from_secs(60)),
        trace: None,
        meter: domain::meter::Meter::default(),
    }
}

/// A call of `model` with a caller's own request.
fn relay_of(model: &str, relayed: domain::chat::Relayed) -> RelayCall {
    RelayCall {
        model: ModelId::from(model),
        region: None,
        relayed: Arc::new(relayed),
        overrides: Overrides::default(),
        deadline: Moment(Duration::from_secs(60)),
        trace: None,
        meter: domain::meter::Meter::default(),
    }
}

fn counted(input: u32, output: u32) -> Option<Usage> {
    Some(Usage { input: TokenCount(input), output: TokenCount(output), ..Usage::default() })
}

#[tokio::test]
async fn answers_that_are_whole_are_answers() {
    let all = Behaviour::TEXT;
    let usage = counted(5, 5);
    let error = r#"{"error":{"type":"server_error"}}"#;
    assert!(!all.contains(error));
    for (behaviour, text, finish, usage) in [
        (Behaviour::default(), all, Finish::Stop, usage),
        (Behaviour::Split, all, Finish::Stop, usage),
        (Behaviour::SlowDrip(Duration::from_micros(100)), all, Finish::Stop, usage),
        (Behaviour::ContentType("text/html".to_owned()), all, Finish::Stop, usage),
        (Behaviour::WholeJson, all, Finish::Stop, usage),
        (Behaviour::NoDone, all, Finish::Stop, usage),
        (Behaviour::NoUsage, all, Finish::Stop, None),
        (Behaviour::NeverCloses, all, Finish::Stop, usage),
        (Behaviour::CarriageReturns, all, Finish::Stop, None),
        (Behaviour::CloseAfter, all, Finish::Stop, usage),
        (Behaviour::ContentFilter, "This is ", Finish::ContentFilter, counted(5, 2)),
        (Behaviour::LengthLimit, "This is ", Finish::Length, counted(5, 2)),
    ] {
        let bench = Bench::new(behaviour.clone());
        let (found, end) = bench.ask().await;
        assert_eq!(end.expect("whole"), (finish, usage), "{behaviour:?}");
        assert_eq!(found, text, "{behaviour:?}");
        assert_eq!(bench.upstream.calls(), 1, "{behaviour:?}");
    }
}

#[tokio::test]
async fn every_failure_has_its_fault_and_leaks_nothing() {
    let later = Retry::After(Duration::from_secs(7));
    let date = RetryAfter::Date("Sat, 21 Nov 2026 09:06:07 GMT".to_owned()); // 7 s after the clock's origin
    let error = |code: &str| format!(r#"{{"error":{{"message":"provider says no {KEY}","code":"{code}"}}}}"#);
    let cases = [
        (Behaviour::status(400), Kind::Caller, Retry::Never),
        (Behaviour::error(400, "context_length_exceeded"), Kind::Caller, Retry::Never),
        (Behaviour::error(400, "content_filter"), Kind::Content, Retry::Never),
        (Behaviour::error(400, "model_decommissioned"), Kind::RouteFatal, Retry::Elsewhere),
        (Behaviour::status(401), Kind::RouteFatal, Retry::Elsewhere),
        (Behaviour::status(403), Kind::RouteFatal, Retry::Elsewhere),
        (Behaviour::error(404, "model_not_found"), Kind::RouteFatal, Retry::Elsewhere),
        (Behaviour::status(408), Kind::Transient, Retry::Here),
        (Behaviour::status(413), Kind::Caller, Retry::Never),
        (Behaviour::throttled(RetryAfter::Absent), Kind::Throttled, Retry::Here),
        (Behaviour::throttled(RetryAfter::Seconds(7)), Kind::Throttled, later),
        (Behaviour::throttled(date), Kind::Throttled, later),
        (Behaviour::error(429, "insufficient_quota"), Kind::RouteFatal, Retry::Elsewhere),
        (Behaviour::status(500), Kind::Transient, Retry::Here),
        (Behaviour::status(502), Kind::Transient, Retry::Here),
        (Behaviour::status(503), Kind::Transient, Retry::Here),
        (Behaviour::status(504), Kind::Transient, Retry::Here),
        (Behaviour::status(529), Kind::Transient, Retry::Here),
        (Behaviour::EchoKey, Kind::Transient, Retry::Here),
        (Behaviour::Redirect("http://127.0.0.1:1/".to_owned()), Kind::RouteFatal, Retry::Elsewhere),
        (Behaviour::HugeHead(1 << 20), Kind::Transient, Retry::Here),
        (Behaviour::Reset(Phase::BeforeHead), Kind::Transient, Retry::Here),
        (Behaviour::Reset(Phase::AfterHead), Kind::Transient, Retry::Here),
        (Behaviour::Reset(Phase::MidBody), Kind::Truncated, Retry::Never),
        (Behaviour::Cut(0), Kind::Transient, Retry::Here),
        (Behaviour::Cut(40), Kind::Transient, Retry::Here), // within the first frame
        (Behaviour::Cut(500), Kind::Truncated, Retry::Never),
        (Behaviour::Unfinished, Kind::Truncated, Retry::Never),
        (Behaviour::Malformed(0), Kind::Transient, Retry::Here),
        (Behaviour::Malformed(2), Kind::Truncated, Retry::Never),
        (Behaviour::LoneSurrogate, Kind::Transient, Retry::Here),
        (Behaviour::ErrorFirst(error("server_error")), Kind::Transient, Retry::Here),
        (Behaviour::ErrorFirst(error("rate_limit_exceeded")), Kind::Throttled, Retry::Here),
        (Behaviour::ErrorFirst(error("content_filter")), Kind::Content, Retry::Never),
        (Behaviour::ErrorLater(error("server_error")), Kind::Truncated, Retry::Never),
        (Behaviour::Empty, Kind::Transient, Retry::Here),
        (Behaviour::Gzip, Kind::Transient, Retry::Here), // it was not asked for
        (Behaviour::InvalidUtf8, Kind::Truncated, Retry::Never),
        (Behaviour::NoHttp, Kind::Transient, Retry::Here),
        (Behaviour::HtmlError(502), Kind::Transient, Retry::Here),
        (Behaviour::CutFrames(3), Kind::Truncated, Retry::Never),
    ];
    for (behaviour, kind, retry) in cases {
        let bench = Bench::new(behaviour.clone());
        let (text, end) = bench.ask().await;
        let error = end.expect_err("not whole");
        // What comes in one portion with its failure is not given out: another target can give the whole answer.
        let (kind, retry) = match text.is_empty() && kind == Kind::Truncated {
            true => (Kind::Transient, Retry::Here),
            false => (kind, retry),
        };
        assert_eq!((error.fault.kind, error.fault.retry), (kind, retry), "{behaviour:?}");
        assert_eq!(kind == Kind::Truncated, !text.is_empty(), "{behaviour:?}: {text}");
        let said = format!("{error} {error:?}");
        assert!(!said.contains("canary") && !said.contains("provider says no"), "{behaviour:?}: {said}");
        assert!(kind != Kind::Truncated || !said.contains("127.0.0.1"), "{behaviour:?}: {said}");
        assert_eq!(bench.upstream.calls(), 1, "{behaviour:?}: no retry here");
        assert!(bench.upstream.closes_to(1, Duration::from_secs(1)).await);
    }
}

#[tokio::test]
async fn silence_ends_at_its_limit() {
    let (timeout, truncated) = (Kind::Timeout, Kind::Truncated);
    for (behaviour, kind) in [
        (Behaviour::Hang(Phase::BeforeHead), timeout),
        (Behaviour::Hang(Phase::AfterHead), timeout),
        (Behaviour::Comments, timeout), // a comment is no answer
        (Behaviour::Hang(Phase::MidBody), truncated),
    ] {
        let bench = Bench::new(behaviour.clone());
        let (_, end, took) = bench.ask_in_time().await;
        let error = end.expect_err("silence");
        assert_eq!(error.fault.kind, kind, "{behaviour:?}");
        assert!(kind == timeout || !error.detail.contains("127.0.0.1"), "{error:?}");
        let around_15_s = Duration::from_secs(14)..Duration::from_secs(20);
        assert!(around_15_s.contains(&took), "{behaviour:?} took {took:?}");
        assert!(bench.upstream.closes_to(0, Duration::from_secs(1)).await, "{behaviour:?}");
    }
}

#[tokio::test]
async fn it_waits_as_long_as_it_is_told() {
    let (long, short) = (Duration::from_secs(40), Duration::from_secs(3));
    for (behaviour, waits) in [
        (Behaviour::Hang(Phase::AfterHead), Waits::new(long, short)),
        (Behaviour::Hang(Phase::MidBody), Waits::new(short, long)),
    ] {
        let mut bench = Bench::new(behaviour.clone());
        bench.model = bench.model.with_waits(waits);
        let (_, end, took) = bench.ask_in_time().await;
        end.expect_err("silence");
        let around_40_s = Duration::from_secs(39)..Duration::from_secs(46);
        assert!(around_40_s.contains(&took), "{behaviour:?} took {took:?}");
    }
}

#[tokio::test]
async fn the_deadline_of_the_call_is_kept() {
    let bench = Bench::new(Behaviour::Hang(Phase::BeforeHead));
    let sooner = ChatCall { deadline: Moment(Duration::from_secs(3)), ..call() };
    let mut asking = bench.model.chat(sooner);
    tokio::select! {
        _ = &mut asking => panic!("nobody answers"),
        () = async { while bench.upstream.calls() == 0 { tokio::time::sleep(Duration::from_millis(2)).await; } } => {}
    }
    bench.clock.advance(Duration::from_secs(3));
    assert_eq!(asking.await.err().expect("too late").error.fault.kind, Kind::Timeout);
}

#[tokio::test]
async fn a_complete_answer_is_not_held_up_by_a_missing_end() {
    let bench = Bench::new(Behaviour::HangAfterFinish);
    let (text, end, took) = bench.ask_in_time().await;
    assert_eq!((text.as_str(), end.expect("complete")), (Behaviour::TEXT, (Finish::Stop, None)));
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn dropping_the_stream_or_the_call_closes_it() {
    for behaviour in [
        Behaviour::Hang(Phase::BeforeHead),
        Behaviour::Hang(Phase::AfterHead),
        Behaviour::Hang(Phase::MidBody),
        Behaviour::Comments,
        Behaviour::Answer(Answer { token_gap: Duration::from_millis(300), ..Answer::of(Behaviour::TEXT) }),
    ] {
        let bench = Bench::new(behaviour.clone());
        let asking = async {
            let mut stream = bench.model.chat(call()).await.expect("accepted");
            while stream.next().await.is_some() {}
        };
        tokio::select! {
            () = asking => panic!("still under way"),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        assert_eq!(bench.upstream.calls(), 1, "{behaviour:?}");
        assert!(bench.upstream.closes_to(0, Duration::from_secs(1)).await, "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_connection_serves_again_and_a_closed_one_is_replaced() {
    let bench = Bench::new(Behaviour::default());
    for _ in 0..5 {
        bench.ask().await.1.expect("whole");
        // What follows the end marker is read in the background.
        while bench.model.parts.origin.pool().idle == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let pool = bench.model.parts.origin.pool();
    assert_eq!((pool.opened, pool.reused, bench.upstream.accepted_connections()), (1, 4, 1));

    let bench = Bench::new(Behaviour::CloseAfter);
    for _ in 0..5 {
        bench.ask().await.1.expect("whole");
    }
    assert_eq!(bench.upstream.calls(), 5);
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked() {
    let bench = Bench::new(Behaviour::default());
    bench.ask().await.1.expect("whole");
    let received = bench.upstream.received();
    assert_eq!(received[0].line, "POST /v1/chat/completions");
    assert_eq!(received[0].header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(received[0].header("content-type"), Some("application/json"));
    assert_eq!(received[0].header("accept-encoding"), None, "a compressed stream would arrive late");
    let sent = String::from_utf8_lossy(&received[0].body);
    assert!(
        sent.starts_with(r#"{"model":"org/model-1","messages":[{"role":"system","content":"Be brief."}"#),
        "{sent}"
    );
}

struct OneSecret;

impl Secrets for OneSecret {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret, SecretError> {
        match reference {
            SecretRef::Env(name) if name == "KEY" => Ok(Secret::new(KEY.to_owned())),
            other => Err(SecretError::Missing(other.clone())),
        }
    }
}

#[tokio::test]
async fn a_section_becomes_a_client() {
    let upstream = Upstream::start(Behaviour::default());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let client = outbound::Client::new(Arc::clone(&clock), outbound::Config::default());
    let ids = Arc::new(CountingIds::default());
    let ports = Ports { client, secrets: Arc::new(OneSecret), clock, ids, waits: Waits::default() };
    let section = |key: &str| {
        let text = format!(
            "kind = \"openai\"\nbase_url = \"{}\"\nallow_private = true\nkey = \"{key}\"",
            upstream.base_url()
        );
        toml::from_str::<Config>(&text).expect("readable")
    };
    let name = ProviderName::from("mock");
    let model = build(&name, &section("env::KEY"), &ports).expect("a client");
    let n_chunks = model.chat(call()).await.expect("accepted").count().await;
    assert_eq!(n_chunks, 6);
    for (key, want) in [
        ("env::OTHER", "provider `mock`: env::OTHER is not set"),
        (
            "sk-live",
            "provider `mock`: `key`: write a reference to the secret (`env::NAME` or `file::PATH`), never its value",
        ),
    ] {
        assert_eq!(build(&name, &section(key), &ports).err().expect("no key").to_string(), want);
    }
}
