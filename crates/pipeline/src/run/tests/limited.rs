//! Limits and budgets: of a hundred requests at once exactly as many begin as the limit allows, whatever becomes of them.

use access::limits::{Config, LevelReading, Limit, Why};
use domain::fault::{Fault, Kind};
use domain::id::KeyId;
use domain::limit::Level;
use domain::money::Nanos;
use domain::principal::Asker;
use futures_util::StreamExt;
use futures_util::future::join_all;

use super::relayed::{Counts, relay_turn};
use super::*;
use crate::relay::{Answer, Refused, Relaying};

const WHOLE: &str = r#"{"model":"x","max_tokens":100,"messages":[{"role":"user","content":"Hi"}]}"#;
const STREAMED: &str =
    r#"{"model":"x","max_tokens":100,"messages":[{"role":"user","content":"Hi"}],"stream":true}"#;

/// Tokens of one call at most: a token for each byte, what stands around them, and the answer.
fn worst_tokens(body: &str) -> u64 {
    u64::try_from(body.len()).expect("small") + 64 + 100
}

/// `cloud/big` costs a dollar for a million tokens, so a token is a thousand nano-dollars.
fn worst_nanos(body: &str) -> i64 {
    i64::try_from(worst_tokens(body)).expect("small") * 1_000
}

fn dollars(nanos: i64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// What is limited to ten, and how that is told.
type Limited = (&'static str, fn(&mut Config, &str), fn(Why) -> bool);

const LIMITED: [Limited; 4] = [
    (
        "requests",
        |config, _| (config.key.rate, config.key.burst) = ("1/h".to_owned(), 10),
        |why| matches!(why, Why::Limit(Limit::Requests(_))),
    ),
    (
        "calls at once",
        |config, _| config.key.parallel = Some(10),
        |why| matches!(why, Why::Limit(Limit::Parallel)),
    ),
    (
        "tokens",
        |config, body| config.key.tokens_per_minute = Some(worst_tokens(body) * 10),
        |why| matches!(why, Why::Limit(Limit::Tokens(Some(_)))),
    ),
    (
        "money",
        |config, body| config.key.budget = vec![format!("{}/month", dollars(worst_nanos(body) * 10))],
        |why| matches!(why, Why::Limit(Limit::Budget(_))),
    ),
];

fn house(script: &Script, change: impl FnOnce(&mut Config)) -> House {
    let mut limits = Config::default();
    limits.key.rate = "unlimited".to_owned();
    change(&mut limits);
    House::build(Plan { rungs: vec![(TierName::Primary, vec![script.clone()])], limits, ..Plan::default() })
}

fn key() -> Arc<Principal> {
    let asker = Asker { key: KeyId::from("one"), ..Asker::default() };
    Arc::new(Principal { asker, ..Principal::clone(&Principal::open()) })
}

async fn ask(house: &House, body: &'static str) -> Result<Relaying, Refused> {
    let turn = relay_turn(house, body, &Arc::<Counts>::default());
    Box::pin(house.pipeline.relay(crate::relay::RelayTurn { principal: key(), ..turn })).await
}

fn reading(house: &House) -> LevelReading {
    let now = Now { moment: house.clock.now(), wall: house.clock.wall() };
    house.pipeline.limits().read(&Level::Key(KeyId::from("one")), now).expect("a meter")
}

/// What the records say that it cost, each call rounded up as budgets do.
fn recorded_nanos(house: &House) -> i64 {
    let turns = house.ledger.recorded();
    let attempts = turns.iter().flat_map(|turn| &turn.interaction.attempts);
    attempts.filter_map(|attempt| attempt.cost.amount()).map(|amount| amount.nanos_up().0).sum()
}

fn scripts_of_all_kinds() -> Vec<(&'static str, Script)> {
    let wait = || Step::Wait(Duration::from_secs(1));
    let said = |text: &str| Step::Delta(text.to_owned());
    let Script::Steps(mut answers) = Script::text("A short answer.") else { panic!("steps") };
    answers.insert(0, wait());
    vec![
        ("answers", Script::Steps(answers)),
        ("is cut", Script::Steps(vec![wait(), said("Half"), Step::Fail(Fault::provider(Kind::Transient))])),
        ("is empty", Script::Steps(vec![wait()])),
        ("fails before a word", Script::Steps(vec![wait(), Step::Fail(Fault::provider(Kind::Transient))])),
        ("never ends", Script::Steps(vec![wait(), said("On and on"), Step::Hang])),
    ]
}

/// Reads an answer to its end, or leaves after its first bytes.
async fn read(relaying: Relaying) {
    if let Answer::Streamed(mut stream) = relaying.answer {
        let reading = async { while stream.next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_hundred_at_once_exactly_ten_begin_whatever_becomes_of_them() {
    for (what, limit, is_told) in LIMITED {
        for body in [WHOLE, STREAMED] {
            for (fate, script) in scripts_of_all_kinds() {
                let house = house(&script, |config| limit(config, body));
                let one = async || {
                    let asking = tokio::time::timeout(Duration::from_secs(20), ask(&house, body)).await;
                    match asking {
                        // The caller left.
                        Err(_) => Ok(()),
                        Ok(Ok(relaying)) => {
                            read(relaying).await;
                            Ok(())
                        }
                        Ok(Err(Refused::Limited(refusal))) => Err(refusal.why),
                        Ok(Err(_)) => Ok(()),
                    }
                };
                let ended = join_all((0..100).map(|_| one())).await;
                house.pipeline.parts.tasks.close();
                house.pipeline.parts.tasks.wait().await;
                let case = format!("{what}, {body}, {fate}");
                assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 10, "{case}");
                assert!(ended.iter().filter_map(|ended| ended.err()).all(is_told), "{case}");
                assert_eq!(house.ledger.recorded().len(), 10, "{case}: what is refused leaves no record");
                let reading = reading(&house);
                assert_eq!(reading.under_way, 0, "{case}");
                for budget in &reading.budgets {
                    assert_eq!(budget.set_aside, Nanos(0), "{case}");
                    assert_eq!(budget.spent.0, recorded_nanos(&house), "{case}");
                    assert!(budget.spent <= budget.limit && budget.spent.0 > 0, "{case}: {budget:?}");
                }
                if let Some(tokens) = reading.tokens {
                    let usage = house.ledger.recorded();
                    let attempts = usage.iter().flat_map(|turn| &turn.interaction.attempts);
                    let used = attempts.filter_map(|attempt| attempt.usage.or(attempt.estimate));
                    let used: u64 = used.map(|used| u64::from(used.input.0 + used.output.0)).sum();
                    assert!(
                        tokens.remaining() >= tokens.limit() - used,
                        "{case}: what was not used came back"
                    );
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_costs_nothing_and_a_second_one_is_paid_for_before_it_is_made() {
    let refuse = Script::Refuse(Fault::provider(Kind::RouteFatal));
    let free =
        house(&refuse, |config| config.key.budget = vec![format!("{}/day", dollars(worst_nanos(WHOLE)))]);
    for _ in 0..3 {
        assert!(matches!(ask(&free, WHOLE).await, Err(Refused::Unanswered(_))));
    }
    assert_eq!(reading(&free).budgets.first().map(|budget| budget.spent), Some(Nanos(0)));

    // The first call is accepted and fails: it is billed. What is left does not cover another one at its worst.
    let fails = Script::Steps(vec![Step::Fail(Fault::provider(Kind::Transient))]);
    for (times, n_calls) in [(1, 1), (2, 2)] {
        let amount = dollars(worst_nanos(WHOLE) * times);
        let house = house(&fails, |config| config.key.budget = vec![format!("{amount}/day")]);
        assert!(matches!(ask(&house, WHOLE).await, Err(Refused::Unanswered(_))));
        assert_eq!(house.models[0].calls().len(), n_calls, "{times}");
    }
}

#[tokio::test(start_paused = true)]
async fn turns_of_agents_are_limited_before_they_begin() {
    let slow = || {
        let Script::Steps(mut steps) = Script::text(GOOD) else { panic!("steps") };
        steps.insert(0, Step::Wait(Duration::from_secs(1)));
        Script::Steps(steps)
    };
    let house = house(&slow(), |config| config.key.parallel = Some(10));
    let turns = (0..100).map(|_| {
        let turn = Turn { principal: key(), ..house.turn(QUESTION) };
        house.pipeline.run(turn, Listener::Silent)
    });
    let ended = join_all(turns.map(Box::pin)).await;
    let n_limited = ended.iter().filter(|ended| matches!(ended, Err(TurnError::Limited(_)))).count();
    assert_eq!((n_limited, house.ledger.recorded().len()), (90, 10));
    assert_eq!(reading(&house).under_way, 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_never_spends_more_than_its_keys_budget() {
    // Each answer is refused by the quality check and generated again, as long as there is money.
    for nanos in [0, 1_000, 3_000_000, 9_000_000, 40_000_000] {
        let house =
            house(&Script::text(BAD), |config| config.key.budget = vec![format!("{}/day", dollars(nanos))]);
        for _ in 0..20 {
            let turn = Turn { principal: key(), ..house.turn(QUESTION) };
            let _ = Box::pin(house.pipeline.run(turn, Listener::Silent)).await;
        }
        let reading = reading(&house);
        let budget = reading.budgets.first().expect("a budget");
        assert!(budget.spent <= budget.limit, "{budget:?}");
        assert_eq!((budget.set_aside, budget.spent.0), (Nanos(0), recorded_nanos(&house)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_here_is_free_and_goes_on_without_money() {
    let mut limits = Config::default();
    limits.key.budget = vec!["0/day".to_owned()];
    let rungs = vec![(TierName::Embedded, scripts(&[GOOD]))];
    let house = House::build(Plan { rungs, limits, ..Plan::default() });
    for _ in 0..3 {
        assert!(ask(&house, WHOLE).await.is_ok());
    }
    assert_eq!(reading(&house).budgets.first().map(|budget| budget.spent), Some(Nanos(0)));
}
