//! Durable turns a second with 1, 16 and 64 waiting writers, each turn with an `fsync` before its answer.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints and measures real time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::agent::{AgentVersion, Retention};
use domain::chat::Role;
use domain::id::{InteractionId, SessionId, TenantId, prefixed};
use domain::interaction::{
    Attempt, AttemptResult, Door, FinishedTurn, GuardrailVerdict, Interaction, Outcome,
};
use domain::model::Tier;
use domain::money::Amount;
use domain::ports::Records;
use domain::price::{Cost, PriceVersion};
use domain::principal::Asker;
use domain::session::{SessionMessage, SessionTurn};
use domain::time::Timestamp;
use domain::token::{TokenCount, Usage};
use store::{Config, Store};
use tokio::task::JoinSet;

const DAY: Duration = Duration::from_hours(24);
const ROUND: Duration = Duration::from_secs(5);

fn attempt() -> Attempt {
    let usage = Usage::of(TokenCount(812), TokenCount(93));
    Attempt {
        n: 1,
        tier: Tier::Primary,
        target: "openai/gpt-4o-mini".into(),
        model: "openai/gpt-4o-mini".into(),
        chosen: None,
        started: Duration::from_millis(2),
        latency: Duration::from_millis(890),
        first_token: Some(Duration::from_millis(310)),
        usage: Some(usage),
        estimate: None,
        prices: Some(PriceVersion::new("2026-11-01:0a1b2c3d")),
        cost: Cost::Exact(Amount(177_600_000_000)),
        saved: Amount::ZERO,
        result: AttemptResult::Answered,
        finish: None,
    }
}

fn turn(n: u64, writer: u64) -> FinishedTurn {
    let session = SessionId::from(prefixed("ses", u128::from(writer)));
    let created = Timestamp(1_795_251_960_000_000 + i64::try_from(n).unwrap_or(0));
    let interaction = Interaction {
        id: InteractionId::from(prefixed("int", u128::from(n))),
        session: Some(session.clone()),
        asker: Asker::default(),
        user_id: None,
        door: Door::Query,
        agent: AgentVersion { name: "general".into(), version: "1.0".to_owned() },
        snapshot: "0123456789abcdef".into(),
        created,
        latency: Duration::from_millis(900),
        question: Some("Is my deposit FDIC insured, and up to how much?".to_owned()),
        question_hash: Some("a".repeat(64).into()),
        response: Some("Yes. The standard amount is $250,000 per depositor. ".repeat(4)),
        response_hash: "b".repeat(64).into(),
        outcome: Outcome::Answered,
        tier: Some(Tier::Embedded),
        model_used: Some("embedded/default".to_owned()),
        attempt: 1,
        intent: None,
        guardrail: GuardrailVerdict::default(),
        quality: None,
        citations: Vec::new(),
        usage: Usage::default(),
        cost: Cost::Unpriced,
        attempts: vec![attempt()],
        steps: Vec::new(),
        case: None,
        metadata: None,
        retention: Retention::Session(DAY),
    };
    let message = |role, text: &Option<String>| SessionMessage {
        role,
        text: text.clone().unwrap_or_default(),
        at: created,
        interaction: interaction.id.clone(),
    };
    let messages =
        vec![message(Role::User, &interaction.question), message(Role::Assistant, &interaction.response)];
    let session = SessionTurn {
        id: session,
        tenant: TenantId::default(),
        user_id: None,
        created,
        message_id: None,
        messages,
        clarifications: 0,
        ttl: DAY,
    };
    FinishedTurn { interaction, session: Some(session) }
}

async fn measure(n_writers: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("bench.db"), &Config::default()).expect("a store");
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..n_writers {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        writers.spawn(async move {
            let mut waits = Vec::new();
            while started.elapsed() < ROUND {
                let asked = Instant::now();
                let n = next.fetch_add(1, Ordering::Relaxed);
                store.record(turn(n, writer)).await.expect("written");
                waits.push(asked.elapsed());
            }
            waits
        });
    }
    let mut waits = writers.join_all().await.concat();
    let seconds = started.elapsed().as_secs_f64();
    waits.sort_unstable();
    let percentile = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or_default();
    let stats = store.stats();
    let per_second = f64::from(u32::try_from(stats.writes).unwrap_or(u32::MAX)) / seconds;
    let per_commit = stats.writes / stats.commits.max(1);
    println!(
        "{n_writers:>3} writers: {per_second:>7.0} records/s, {per_commit:>3} records/commit, p50 {:.1?}, p99 {:.1?}",
        percentile(50),
        percentile(99),
    );
    store.close().await.expect("closed");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    for n_writers in [1, 16, 64] {
        runtime.block_on(measure(n_writers));
    }
}
