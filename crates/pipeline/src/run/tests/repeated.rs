//! Answers that are given again: to whom, to what, and which ones never are.

use domain::cache::{Came, Matching, Rules, Scope, Wish};
use domain::id::{ContentHash, DocumentId, KeyId, TenantId};
use domain::interaction::{AttemptResult, Chosen};
use domain::model::{Cost, Route};
use domain::ports::{BoxFuture, EmbedError};
use domain::principal::Asker;
use domain::token::Usage;
use futures_util::StreamExt;

use super::relayed::{Counts, WHOLE, relay_turn};
use super::*;
use crate::relay::{Answer, Passed, Refused, RelayTurn, Relaying};

fn by(tenant: &str, key: &str) -> Arc<Principal> {
    let asker = Asker { tenant: TenantId::from(tenant), key: KeyId::from(key) };
    Arc::new(Principal { asker, ..Principal::clone(&Principal::open()) })
}

impl House {
    /// A question to an agent whose answers are given again.
    fn of(&self, agent: &str, text: &str) -> Turn {
        let agent = Some(AgentName::from(agent));
        Turn { door: Door::Generate, agent, principal: by("a", "one"), ..self.turn(text) }
    }
}

fn came(reply: &Reply) -> Option<Came> {
    reply.cache.map(|told| told.came)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_costs_nothing_and_is_in_the_ledger() {
    let house = House::saying(&[GOOD]);
    let first = house.run(house.of("cached", QUESTION)).await;
    assert_eq!((came(&first), first.interaction.attempts.len()), (Some(Came::Miss), 1));
    tokio::time::advance(Duration::from_secs(7)).await;
    let again = house.run(house.of("cached", QUESTION)).await;
    assert_eq!((again.response.as_str(), came(&again)), (GOOD, Some(Came::Hit)));
    assert_eq!(again.cache.and_then(|told| told.age).map(|age| age.as_secs()), Some(7));
    assert_eq!(house.n_calls(0), 1);
    let (before, now) = (&first.interaction, &again.interaction);
    assert_eq!((told(now), now.attempt), ((Outcome::Answered, Some(Tier::Primary), "cloud/big"), 0));
    assert_eq!((&now.citations, now.usage, now.cost), (&before.citations, Usage::default(), Cost::FREE));
    let [attempt] = now.attempts.as_slice() else { panic!("one entry: {:?}", now.attempts) };
    assert_eq!((attempt.result, attempt.chosen), (AttemptResult::Cached, Some(Chosen::CacheHit)));
    assert_eq!((attempt.cost, Some(attempt.saved)), (Cost::FREE, before.cost.amount()));
    assert!(attempt.saved.0 > 0 && step_names(now).contains(&"look_up_answer"));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_client_is_told_all_of_it() {
    let house = House::saying(&[GOOD]);
    house.run(house.of("cached", QUESTION)).await;
    let (sender, mut events) = mpsc::channel(64);
    let reply = Box::pin(house.pipeline.run(house.of("cached", QUESTION), Listener::Live(sender))).await;
    let mut released = String::new();
    while let Some(event) = events.recv().await {
        if let Event::Text(text) = event {
            released.push_str(&text);
        }
    }
    assert_eq!((released.as_str(), reply.expect("a reply").response.as_str()), (GOOD, GOOD));
}

#[tokio::test(start_paused = true)]
async fn whatever_an_answer_depends_on_is_in_its_key() {
    type Change = fn(Turn) -> Turn;
    let changes: [(&str, &str, bool, Change); 11] = [
        ("nothing", "cached", true, |turn| turn),
        ("another key of the tenant", "cached", true, |turn| Turn { principal: by("a", "two"), ..turn }),
        ("another tenant", "cached", false, |turn| Turn { principal: by("b", "one"), ..turn }),
        ("another key, where each has its own", "own", false, |turn| Turn {
            principal: by("a", "two"),
            ..turn
        }),
        ("the same key, where each has its own", "own", true, |turn| turn),
        ("another agent", "own", false, |turn| Turn { agent: Some("cached".into()), ..turn }),
        ("the door", "cached", false, |turn| Turn { door: Door::Query, ..turn }),
        ("temperature", "cached", false, |turn| Turn { temperature: Some(0.5), ..turn }),
        ("the most tokens", "cached", false, |turn| Turn { max_tokens: Some(50), ..turn }),
        ("where it may be", "cached", false, |turn| {
            let residency = Residency::parse(Some(["eu"])).expect("a place");
            Turn { residency, ..turn }
        }),
        ("the question", "cached", false, |turn| Turn { text: format!("{} ", turn.text), ..turn }),
    ];
    for (what, agent, is_given, change) in changes {
        let house = House::saying(&[GOOD, GOOD]);
        house.run(house.of(agent, QUESTION)).await;
        let reply = house.run(change(house.of(agent, QUESTION))).await;
        let want = if is_given { Came::Hit } else { Came::Miss };
        assert_eq!(came(&reply), Some(want), "{what}");
    }
    // What was found for it.
    let house = House::saying(&[GOOD, GOOD]);
    house.run(house.of("cached", QUESTION)).await;
    house.retriever.set(Finds::Failure);
    let reply = Box::pin(house.pipeline.run(house.of("cached", QUESTION), Listener::Silent)).await;
    assert_ne!(came(&reply.expect("a reply")), Some(Came::Hit));
    // The configuration: what an older prompt said is never given again.
    let house = House::saying(&[GOOD, GOOD]);
    house.run(house.of("cached", QUESTION)).await;
    let mut snapshot = snapshot(&[TierName::Primary], UnknownUseCase::Default);
    snapshot.id = "another".into();
    house.pipeline.current().swap(snapshot);
    assert_eq!(came(&house.run(house.of("cached", QUESTION)).await), Some(Came::Miss));
}

#[tokio::test(start_paused = true)]
async fn only_a_sound_answer_that_is_nobodys_own_is_kept() {
    let cases: [(&str, &str, Vec<Script>, &str); 6] = [
        ("cut", "cached", vec![cut(&format!("{GOOD} And"), Finish::Length)], QUESTION),
        ("stopped by a guardrail", "cached", scripts(&["The password is hunter2."]), QUESTION),
        ("a refusal", "cached", scripts(&["I don't have that information."]), QUESTION),
        ("masked", "cached", scripts(&[GOOD]), "Up to what amount is my deposit in acct-12 insured?"),
        (
            "personal",
            "cached",
            scripts(&[GOOD]),
            "I am joe@mail.example: up to what amount is a deposit insured?",
        ),
        ("no cache", "general", scripts(&[GOOD]), QUESTION),
    ];
    for (what, agent, scripts, text) in cases {
        let script = scripts.into_iter().next().expect("one");
        let house = House::new(vec![(TierName::Primary, vec![script.clone(), script])]);
        house.run(house.of(agent, text)).await;
        let reply = house.run(house.of(agent, text)).await;
        assert!(!matches!(came(&reply), Some(Came::Hit | Came::Semantic)), "{what}: {:?}", reply.cache);
        assert_eq!(house.n_calls(0), 2, "{what}");
    }
    // Another model than the first choice.
    let down = || Script::Refuse(domain::fault::Fault::provider(domain::fault::Kind::RouteFatal));
    let rungs = vec![(TierName::Primary, vec![down(), down()]), (TierName::Fallback, scripts(&[GOOD, GOOD]))];
    let house = House::new(rungs);
    for _ in 0..2 {
        assert_eq!(came(&house.run(house.of("cached", QUESTION)).await), Some(Came::Miss));
    }
    assert_eq!(house.n_calls(1), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_wish() {
    let house = House::saying(&[GOOD, ALSO_GOOD.trim(), GOOD]);
    let wishing = |agent: &str, cache| Turn { cache, ..house.of(agent, QUESTION) };
    assert_eq!(refused(&house, wishing("cached", Wish::OnlyIfCached)).await, TurnError::NotCached);
    assert_eq!(refused(&house, wishing("general", Wish::OnlyIfCached)).await, TurnError::NotCached);
    assert_eq!(house.n_calls(0), 0, "no model is asked");
    for (wish, want, text) in [
        (Wish::NoStore, Came::Bypass, GOOD),
        (Wish::Default, Came::Miss, "Joint accounts are insured separately."),
        (Wish::OnlyIfCached, Came::Hit, "Joint accounts are insured separately."),
        (Wish::Refresh, Came::Miss, GOOD),
        (Wish::Default, Came::Hit, GOOD),
    ] {
        let reply = Box::pin(house.pipeline.run(wishing("cached", wish), Listener::Silent)).await;
        let reply = reply.expect("a reply");
        assert_eq!((came(&reply), reply.response.as_str()), (Some(want), text), "{wish:?}");
    }
}

/// A deposit lies in one direction, all else in another.
struct Compass(ContentHash);

impl Embedder for Compass {
    fn model(&self) -> &ContentHash {
        &self.0
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>> {
        let vector = |text: &String| if text.contains("deposit") { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        Box::pin(async move { Ok(texts.iter().map(vector).collect()) })
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_means_the_same_gets_the_answer_where_it_rests_on_the_same() {
    let plan = || Plan {
        rungs: vec![(TierName::Primary, scripts(&[GOOD, GOOD]))],
        embedder: Some(Arc::new(Compass(ContentHash::from("compass")))),
        ..Plan::default()
    };
    for (tenant, text, confidence, want) in [
        ("a", "Up to what amount is my deposit insured?", 0.9, Came::Semantic),
        ("b", "Up to what amount is my deposit insured?", 0.9, Came::Miss),
        ("a", "Up to what amount is my deposit not insured?", 0.9, Came::Miss),
        ("a", "Up to what amount is my IRA deposit insured?", 0.9, Came::Miss),
        ("a", "Up to what amount is my account insured?", 0.9, Came::Miss),
    ] {
        let house = House::build(plan());
        house.run(house.of("alike", QUESTION)).await;
        house.retriever.set(finds(confidence));
        let turn = Turn { principal: by(tenant, "one"), ..house.of("alike", text) };
        let reply = house.run(turn).await;
        assert_eq!(came(&reply), Some(want), "{tenant}: {text}");
    }
    // What the earlier answer cites was not found for this question.
    let house = House::build(plan());
    house.run(house.of("alike", QUESTION)).await;
    let Finds::Passages(mut found) = finds(0.9) else { panic!("passages") };
    found.passages[0].document = DocumentId::from("another");
    house.retriever.set(Finds::Passages(found));
    let reply = house.run(house.of("alike", "Up to what amount is my deposit insured?")).await;
    assert_eq!(came(&reply), Some(Came::Miss));
}

const MINUTES: Rules =
    Rules { ttl: Duration::from_secs(600), scope: Scope::Tenant, matching: Matching::Exact };

fn relayed(house: &House, body: &'static str, (tenant, cache): (&str, Wish)) -> RelayTurn {
    let turn = relay_turn(house, body, &Arc::<Counts>::default());
    let route = Arc::new(Route { cache: Some(MINUTES), ..Route::clone(&turn.route) });
    RelayTurn { route, cache, principal: by(tenant, "one"), ..turn }
}

async fn relay(
    house: &House,
    body: &'static str,
    of: (&str, Wish),
) -> Result<(Option<Came>, Vec<u8>), Refused> {
    let Relaying { cache, answer, .. } = Box::pin(house.pipeline.relay(relayed(house, body, of))).await?;
    let bytes = match answer {
        Answer::Whole(whole) => whole.bytes.to_vec(),
        Answer::Streamed(stream) => {
            let passed: Vec<Passed> = stream.collect().await;
            let bytes = |passed: &Passed| match passed {
                Passed::Bytes(bytes) => bytes.to_vec(),
                other => panic!("{other:?}"),
            };
            passed.iter().flat_map(bytes).collect()
        }
    };
    Ok((cache.map(|told| told.came), bytes))
}

const STREAMED: &str = r#"{"model":"x","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;

#[tokio::test(start_paused = true)]
async fn a_bare_models_bytes_are_given_again_whole_and_streamed() {
    for body in [WHOLE, STREAMED] {
        let house = House::saying(&["Hello there, friend.", "Another one."]);
        let mine = ("a", Wish::Default);
        let (came, first) = relay(&house, body, mine).await.expect("an answer");
        assert_eq!(came, Some(Came::Miss));
        assert_eq!(relay(&house, body, mine).await.expect("an answer"), (Some(Came::Hit), first.clone()));
        assert_eq!(house.n_calls(0), 1);
        let recorded = house.ledger.recorded();
        let [before, again] = recorded.as_slice() else { panic!("two records") };
        let (before, again) = (&before.interaction, &again.interaction);
        assert_eq!((&again.response_hash, again.cost), (&before.response_hash, Cost::FREE));
        assert_eq!(again.attempts[0].result, AttemptResult::Cached);
        assert_eq!(Some(again.attempts[0].saved), before.cost.amount());
        // Another tenant never gets it.
        let (came, theirs) = relay(&house, body, ("b", Wish::Default)).await.expect("an answer");
        assert_eq!((came, theirs == first), (Some(Came::Miss), false), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_bare_model_too_only_whole_answers_that_are_nobodys_own_are_kept() {
    let failing = Script::Steps(vec![
        Step::Delta("Half".to_owned()),
        Step::Fail(domain::fault::Fault::provider(domain::fault::Kind::Transient)),
    ]);
    let plain = |text: &str| Script::text(text);
    for (what, script, body, want) in [
        ("cut", cut("Half of", Finish::Length), WHOLE, Came::Miss),
        ("a call", cut("", Finish::ToolUse), WHOLE, Came::Miss),
        ("filtered", cut("Half of", Finish::ContentFilter), STREAMED, Came::Miss),
        ("broken", failing, STREAMED, Came::Miss),
        ("personal", plain("Write to joe@mail.example."), WHOLE, Came::Miss),
        ("personal in pieces", plain("Write to joe@mail.example."), STREAMED, Came::Miss),
        (
            "a personal question",
            plain("Hello."),
            r#"{"model":"x","messages":[{"role":"user","content":"I am joe@mail.example"}]}"#,
            Came::Bypass,
        ),
        (
            "what a provider may fetch",
            plain("Hello."),
            r#"{"model":"x","messages":[{"role":"user","content":"a"}],"stream_options":{"\u0066ile":"b"}}"#,
            Came::Bypass,
        ),
        (
            "a personal question in other words",
            plain("Hello."),
            r#"{"model":"x","messages":[{"role":"user","content":"I am joe\u0040mail.example"}]}"#,
            Came::Bypass,
        ),
        (
            "a personal argument of a call",
            plain("Hello."),
            r#"{"model":"x","messages":[{"role":"user","content":"{\"from\":\"joe\\u0040mail.example\"}"}]}"#,
            Came::Bypass,
        ),
    ] {
        let house = House::new(vec![(TierName::Primary, vec![script.clone(), script])]);
        for _ in 0..2 {
            let turn = relayed(&house, body, ("a", Wish::Default));
            match Box::pin(house.pipeline.relay(turn)).await {
                Ok(Relaying { cache, answer, .. }) => {
                    assert_eq!(cache.map(|told| told.came), Some(want), "{what}");
                    if let Answer::Streamed(stream) = answer {
                        stream.collect::<Vec<_>>().await;
                    }
                }
                Err(refused) => assert!(matches!(what, "a call" | "broken"), "{what}: {refused}"),
            }
        }
        assert_eq!(house.n_calls(0), 2, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_who_ask_a_bare_model_the_same_make_one_call() {
    let slow = |text: &str| {
        let Script::Steps(mut steps) = Script::text(text) else { panic!("steps") };
        steps.insert(0, Step::Wait(Duration::from_secs(2)));
        Script::Steps(steps)
    };
    let house = House::new(vec![(TierName::Primary, vec![slow("Hello."), slow("Never asked.")])]);
    let asked = (0..100).map(|_| relay(&house, WHOLE, ("a", Wish::Default)));
    let answers = futures_util::future::join_all(asked).await;
    let texts: std::collections::BTreeSet<_> =
        answers.into_iter().map(|answer| answer.expect("one").1).collect();
    assert_eq!((house.n_calls(0), texts.len()), (1, 1));
    assert!(matches!(relay(&house, STREAMED, ("a", Wish::OnlyIfCached)).await, Err(Refused::NotCached(_))));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_one_who_leaves_or_fails_is_answered() {
    let slow = vec![Step::Wait(Duration::from_secs(2)), Step::Hang];
    let rungs =
        vec![(TierName::Primary, vec![Script::Steps(slow), Script::text("Hello."), Script::text("Hello.")])];
    let house = House::new(rungs);
    let leaving = tokio::time::timeout(Duration::from_secs(1), relay(&house, WHOLE, ("a", Wish::Default)));
    let waiting = [(); 2].map(|()| relay(&house, WHOLE, ("a", Wish::Default)));
    let (left, answers) = futures_util::join!(leaving, futures_util::future::join_all(waiting));
    assert!(left.is_err());
    assert!(answers.iter().all(Result::is_ok) && house.n_calls(0) == 2, "{}", house.n_calls(0));

    let fault = domain::fault::Fault::provider(domain::fault::Kind::Caller);
    let failing = Script::Steps(vec![Step::Wait(Duration::from_secs(1)), Step::Fail(fault)]);
    let rungs = vec![(TierName::Primary, vec![failing, Script::text("Hello."), Script::text("Hello.")])];
    let house = House::new(rungs);
    let asked = [(); 3].map(|()| relay(&house, WHOLE, ("a", Wish::Default)));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2, "one failed, and alone");
}
