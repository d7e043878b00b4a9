//! What the cases write.

use std::time::Duration;

use domain::agent::{AgentVersion, Retention};
use domain::chat::Role;
use domain::document::{Chunk, Citation, Document, Passage};
use domain::fault::Kind;
use domain::feedback::{Feedback, FeedbackKind, Thumb};
use domain::id::{ContentHash, InteractionId, SessionId, TenantId};
use domain::interaction::{
    Attempt, AttemptResult, Chosen, Door, Finding, FinishedTurn, GuardrailAction, GuardrailVerdict,
    IntentVerdict, Interaction, Outcome, QualityCheck, QualityVerdict, Side, StepRecord,
};
use domain::model::Tier;
use domain::money::Amount;
use domain::price::{Cost, PriceVersion};
use domain::principal::Asker;
use domain::session::{SessionMessage, SessionRequest, SessionTurn};
use domain::signal::step;
use domain::time::Timestamp;
use domain::token::{TokenCount, Usage};

/// Where the clock of these cases starts.
pub(crate) const START: Timestamp = Timestamp(1_795_251_960_000_001);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const LATENCY: Duration = Duration::from_millis(1_500);

/// `START` and so many seconds.
pub(crate) fn at(seconds: u64) -> Timestamp {
    START.after(Duration::from_secs(seconds))
}

pub(crate) fn interaction_id(n: u64) -> InteractionId {
    InteractionId::from(domain::id::prefixed("int", u128::from(n)))
}

pub(crate) fn hash(n: u64) -> ContentHash {
    ContentHash::from(format!("{n:064x}"))
}

/// A turn that fills every field; it begins `n` seconds after [`START`] and belongs to no session.
pub(crate) fn interaction(n: u64) -> Interaction {
    Interaction {
        id: interaction_id(n),
        session: None,
        asker: Asker { tenant: TenantId::default(), key: "AbCdEf123456".into() },
        user_id: Some("user-7".to_owned()),
        door: Door::Query,
        agent: AgentVersion { name: "product_question".into(), version: "1.0".to_owned() },
        snapshot: "0123456789abcdef".into(),
        created: at(n),
        latency: LATENCY,
        question: Some("Is my deposit insured?".to_owned()),
        question_hash: Some(hash(1)),
        response: Some("Yes, up to $250,000. [1]".to_owned()),
        response_hash: hash(2),
        outcome: Outcome::Answered,
        tier: Some(Tier::Fallback),
        model_used: Some("FALLBACK:anthropic/claude-haiku".to_owned()),
        attempt: 2,
        intent: Some(IntentVerdict { name: "product_question".to_owned(), confidence: 0.912_345_6 }),
        guardrail: GuardrailVerdict {
            action: GuardrailAction::Masked,
            findings: vec![Finding {
                policy: "secrets".to_owned(),
                rule: "aws_key".to_owned(),
                side: Side::Input,
                start: 3,
                end: 23,
            }],
        },
        quality: Some(quality()),
        citations: vec![citation(1), citation(2)],
        usage: attempts().iter().filter_map(|attempt| attempt.usage).fold(Usage::NONE, Usage::plus),
        cost: attempts().iter().map(|attempt| attempt.cost).sum(),
        attempts: attempts(),
        steps: vec![
            StepRecord {
                name: step::CAPTURE,
                started: Duration::ZERO,
                took: Duration::from_micros(12),
                outcome: "new session".to_owned(),
            },
            StepRecord {
                name: step::GENERATE,
                started: Duration::from_millis(2),
                took: Duration::from_millis(1_400),
                outcome: "answered".to_owned(),
            },
        ],
        case: None,
        metadata: Some(r#"{"channel":"app"}"#.to_owned()),
        retention: Retention::Record,
    }
}

fn quality() -> QualityVerdict {
    let check = |name: &str, passed, reason: &str| QualityCheck {
        name: name.to_owned(),
        passed,
        reason: reason.to_owned(),
    };
    let checks = vec![check("completeness", true, ""), check("numbers", false, "$300,000 is in no passage")];
    QualityVerdict { score: 85, checks, regenerations: 1 }
}

fn citation(n: u32) -> Citation {
    let passage = Passage {
        document: "fdic/limits".into(),
        version: hash(9),
        title: "Deposit insurance".to_owned(),
        source: "12 U.S.C. § 1821".to_owned(),
        as_of: "2026".to_owned(),
        start: 10,
        end: 60,
        text: format!("The limit is $250,000 per depositor. ({n})"),
        score: 0.016_393_442,
        sentences: Vec::new(),
    };
    Citation { n, passage }
}

fn attempts() -> Vec<Attempt> {
    let attempt = |n, tier, result| Attempt {
        n,
        tier,
        target: "anthropic/claude-haiku@us-west-2".into(),
        model: "anthropic/claude-haiku".into(),
        started: Duration::from_millis(2),
        latency: Duration::from_millis(700),
        chosen: (n == 2).then_some(Chosen::Failover),
        first_token: None,
        usage: None,
        estimate: Some(Usage::of(TokenCount(9), TokenCount(1))),
        prices: Some(PriceVersion::new("2026-11-01:0a1b2c3d")),
        cost: Cost::Estimated(Amount(2_000_001)),
        saved: Amount::ZERO,
        result,
        finish: None,
    };
    let answered = attempt(2, Tier::Fallback, AttemptResult::Answered);
    vec![
        attempt(1, Tier::Primary, AttemptResult::Failed(Kind::Throttled)),
        Attempt {
            first_token: Some(Duration::from_micros(310_001)),
            usage: Some(Usage {
                cache_write_input: TokenCount(5),
                cache_write_hour_input: TokenCount(4),
                reasoning_output: TokenCount(6),
                ..Usage::of(TokenCount(7), TokenCount(8))
            }),
            estimate: None,
            cost: Cost::Exact(Amount(-1)),
            saved: Amount(3_000_000_000_000_000_007),
            ..answered
        },
    ]
}

/// A turn without a session.
pub(crate) fn turn(n: u64) -> FinishedTurn {
    FinishedTurn { interaction: interaction(n), session: None }
}

/// Turn `n` of a session of `user-7` opened at [`START`] that lives an hour.
pub(crate) fn session_turn(session: &str, n: u64) -> FinishedTurn {
    let id = SessionId::from(session);
    let interaction = Interaction { session: Some(id.clone()), ..interaction(n) };
    let message =
        |role, text: String| SessionMessage { role, text, at: at(n), interaction: interaction.id.clone() };
    let session = SessionTurn {
        id,
        tenant: TenantId::default(),
        user_id: Some("user-7".to_owned()),
        created: START,
        message_id: None,
        messages: vec![
            message(Role::User, format!("question {n}")),
            message(Role::Assistant, format!("answer {n}")),
        ],
        clarifications: 0,
        ttl: HOUR,
    };
    FinishedTurn { interaction, session: Some(session) }
}

/// Asks for `session` as `user`, a minute after [`START`].
pub(crate) fn request(session: Option<&str>, user: Option<&str>) -> SessionRequest {
    SessionRequest {
        id: session.map(SessionId::from),
        tenant: TenantId::default(),
        new_id: "ses_new".into(),
        user_id: user.map(str::to_owned),
        now: at(60),
        messages_max: 10,
    }
}

/// Feedback `n` on interaction `about`, given `n` seconds after [`START`].
pub(crate) fn feedback(n: u64, about: u64) -> Feedback {
    Feedback {
        id: format!("fbk_{n}").into(),
        interaction: interaction_id(about),
        session: Some("ses_1".into()),
        kind: FeedbackKind::Explicit,
        rating: Some(5),
        thumb: Some(Thumb::Up),
        comments: Some("klar – danke 🙏".to_owned()),
        signal: None,
        metadata: Some(r#"{"page":"faq"}"#.to_owned()),
        at: at(n),
    }
}

/// A document with one chunk for each of `chunk_hashes`.
pub(crate) fn document(id: &str, chunk_hashes: &[u64]) -> (Document, Vec<Chunk>) {
    let text: String = chunk_hashes.iter().map(|n| format!("Satz {n} über Geld.\n")).collect();
    let mut start = 0;
    let chunk = |(index, (line, n)): (usize, (&str, &u64))| {
        let end = start + line.len();
        let chunk = Chunk {
            document: id.into(),
            index: u32::try_from(index).expect("few chunks"),
            heading: String::new(),
            start,
            end,
            text: line.to_owned(),
            hash: hash(*n),
        };
        start = end;
        chunk
    };
    let chunks = text.split_inclusive('\n').zip(chunk_hashes).enumerate().map(chunk).collect();
    let document = Document {
        collection: "finance".into(),
        id: id.into(),
        title: format!("Titel von {id}"),
        source: "https://example.org/a".to_owned(),
        as_of: String::new(),
        version: hash(77),
        text,
    };
    (document, chunks)
}
