//! The gate as a whole: exactly as many as the limit, on every level, and nothing leaks.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use domain::id::{KeyId, TenantId};
use domain::limit::{Level, Limits, Period};
use domain::model::Cost;
use domain::money::Nanos;
use domain::principal::Asker;
use domain::spending::{Amounts, NotCovered, Spent, Worst};
use domain::time::{Moment, Timestamp};
use domain::token::{TokenCount, Usage};
use proptest::prelude::*;

use super::*;

const NOON: &str = "2026-11-21T12:00:00Z";

fn now(text: &str) -> Now {
    Now { moment: Moment::default(), wall: Timestamp::parse_rfc3339(text).expect(text) }
}

fn asker(key: &str) -> Asker {
    Asker { tenant: TenantId::from("acme"), key: KeyId::from(key) }
}

fn worst(tokens: u64, nanos: i64) -> Worst {
    Worst::Priced(Amounts { tokens, money: Nanos(nanos) })
}

fn used(tokens: u32, nanos: i64) -> Option<Spent> {
    let usage = Usage { input: TokenCount(tokens), ..Usage::default() };
    Some(Spent { usage: Some(usage), cost: Cost::Exact(Nanos(nanos).into()) })
}

/// Limits of which only `change` is set; keys have no rate.
fn meters(change: impl FnOnce(&mut Config)) -> Arc<Meters> {
    let mut config = Config::default();
    config.key.rate = "unlimited".to_owned();
    change(&mut config);
    config.validate().expect("valid");
    Arc::new(Meters::new(&config, now(NOON)).expect("valid"))
}

fn budget(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

fn why(refused: Result<(Allowance, Standing), Box<Refusal>>) -> (Level, Why) {
    let refusal = refused.expect_err("refused");
    (refusal.level, refusal.why)
}

type Change = fn(&mut Config);

#[test]
fn of_a_hundred_at_once_exactly_ten_pass_whatever_is_limited_and_where() {
    let limited: [(&str, Change); 7] = [
        ("a key's requests", |config| (config.key.rate, config.key.burst) = ("1/h".to_owned(), 10)),
        ("a key's calls at once", |config| config.key.parallel = Some(10)),
        ("a key's tokens", |config| config.key.tokens_per_minute = Some(1_009)),
        ("a key's money", |config| config.key.budget = budget("0.00001/day")),
        ("a tenant's money", |config| {
            let limits = LimitsConfig { budget: Some(budget("0.00001/month")), ..LimitsConfig::default() };
            config.tenants.insert("acme".to_owned(), limits);
        }),
        ("the server's tokens", |config| config.server.tokens_per_minute = Some(1_000)),
        ("the server's calls at once", |config| config.server.parallel = Some(10)),
    ];
    for (what, change) in limited {
        let meters = meters(change);
        let passed = thread::scope(|scope| {
            let ask = || meters.admit(&asker("one"), now(NOON), worst(100, 1_000)).ok();
            let asked: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
            asked.into_iter().filter_map(|asked| asked.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert_eq!(passed.len(), 10, "{what}");
    }
}

#[test]
fn a_level_that_refuses_takes_nothing_of_the_others() {
    let meters = meters(|config| {
        config.key.parallel = Some(2);
        config.key.tokens_per_minute = Some(1_000);
        config.server.parallel = Some(1);
    });
    let first = meters.admit(&asker("one"), now(NOON), worst(100, 0)).expect("free");
    for _ in 0..10 {
        let refused = meters.admit(&asker("one"), now(NOON), worst(100, 0));
        assert_eq!(why(refused), (Level::Server, Why::Limit(Limit::Parallel)));
    }
    let reading = meters.read(&Level::Key(KeyId::from("one")), now(NOON)).expect("a meter");
    assert_eq!((reading.under_way, reading.tokens.map(|bucket| bucket.remaining())), (1, Some(900)));
    drop(first);
    assert!(meters.admit(&asker("one"), now(NOON), worst(100, 0)).is_ok());
}

#[test]
fn keys_do_not_share_but_a_key_in_anothers_place_does() {
    let meters = meters(|config| config.key.budget = budget("0.000001/day"));
    let (one, two, three) = (KeyId::from("one"), KeyId::from("two"), KeyId::from("three"));
    let ask = |key: &KeyId| meters.admit(&asker(key.as_str()), now(NOON), worst(1, 600)).is_ok();
    meters.set_key(&one, None, now(NOON));
    let held = meters.admit(&asker("one"), now(NOON), worst(1, 600)).expect("within");
    held.0.purse().expect("counted").cover(worst(1, 600)).expect("it is set aside");
    held.0.purse().expect("counted").settle(worst(1, 600), used(1, 600));
    drop(held);
    meters.join_keys(&one, &two, now(NOON));
    assert!(!ask(&one) && !ask(&two));
    assert!(ask(&three));
}

#[test]
fn nobody_without_a_key_is_limited_but_by_the_server() {
    let open = Asker::default();
    let free = meters(|config| config.key.parallel = Some(1));
    let kept: Vec<_> = (0..10).map(|_| free.admit(&open, now(NOON), worst(1, 1)).expect("free")).collect();
    assert!(kept.iter().all(|(allowance, _)| allowance.purse().is_none()));
    let limited = meters(|config| config.server.parallel = Some(1));
    let _one = limited.admit(&open, now(NOON), worst(1, 1)).expect("the first");
    assert_eq!(
        why(limited.admit(&open, now(NOON), worst(1, 1))),
        (Level::Server, Why::Limit(Limit::Parallel))
    );
}

#[test]
fn a_second_call_takes_what_the_first_left_and_asks_for_the_rest() {
    let meters = meters(|config| config.key.budget = budget("0.000001/day")); // 1,000 nano-dollars
    let level = Level::Key(KeyId::from("one"));
    let state = || {
        let budget = meters.read(&level, now(NOON)).expect("a meter").budgets.remove(0);
        (budget.spent.0, budget.set_aside.0)
    };
    let (allowance, _) = meters.admit(&asker("one"), now(NOON), worst(10, 600)).expect("within");
    let purse = allowance.purse().expect("counted");
    assert_eq!(purse.cover(worst(10, 600)), Ok(()));
    assert_eq!(state(), (0, 600));
    purse.settle(worst(10, 600), used(4, 250));
    assert_eq!(state(), (250, 350), "what the call left waits for the next");
    assert_eq!(purse.cover(worst(10, 600)), Ok(()));
    assert_eq!(state(), (250, 600));
    assert_eq!(purse.cover(worst(10, 600)), Err(NotCovered::TooLittle));
    assert_eq!(purse.cover(Worst::Unpriced(1)), Err(NotCovered::Unpriced));
    assert_eq!(purse.cover(worst(10, 0)), Ok(()), "what costs nothing is covered");
    purse.settle(worst(10, 0), used(10, 0));
    // The caller left, and nobody knows what it cost: the worst.
    purse.settle(worst(10, 600), Some(Spent { usage: None, cost: Cost::Unpriced }));
    assert_eq!(state(), (850, 0));
    drop((purse, allowance));
    assert_eq!(state(), (850, 0));
}

#[test]
fn what_was_not_called_or_refused_costs_nothing() {
    let meters = meters(|config| {
        config.key.budget = budget("0.000001/day");
        config.key.tokens_per_minute = Some(100);
        config.key.parallel = Some(1);
    });
    for _ in 0..50 {
        let (allowance, _) =
            meters.admit(&asker("one"), now(NOON), worst(100, 1_000)).expect("all of it is free");
        let purse = allowance.purse().expect("counted");
        purse.cover(worst(100, 1_000)).expect("set aside");
        purse.settle(worst(100, 1_000), None);
    }
}

#[test]
fn more_than_the_worst_is_owed() {
    let meters = meters(|config| {
        config.key.budget = budget("0.000001/day");
        config.key.tokens_per_minute = Some(100);
    });
    let (allowance, _) = meters.admit(&asker("one"), now(NOON), worst(10, 100)).expect("within");
    let purse = allowance.purse().expect("counted");
    purse.cover(worst(10, 100)).expect("set aside");
    purse.settle(worst(10, 100), used(130, 1_500));
    drop((purse, allowance));
    let reading = meters.read(&Level::Key(KeyId::from("one")), now(NOON)).expect("a meter");
    assert_eq!(
        reading.budgets.first().map(|budget| (budget.spent, budget.remaining)),
        Some((Nanos(1_500), Nanos(0)))
    );
    let mut later = now(NOON);
    later.moment = Moment(Duration::from_secs(18));
    let refusal = meters.admit(&asker("one"), later, worst(1, 0)).expect_err("30 tokens are owed");
    assert_eq!(refusal.retry_after, Some(Duration::from_millis(600)));
}

#[test]
fn a_model_without_a_price_is_refused_where_there_is_a_budget() {
    let budgeted: Change = |config| config.key.budget = budget("1/day");
    let ask = |meters: &Arc<Meters>| meters.admit(&asker("one"), now(NOON), Worst::Unpriced(10));
    assert_eq!(why(ask(&meters(budgeted))), (Level::Key(KeyId::from("one")), Why::Unpriced));
    assert!(ask(&meters(|_| {})).is_ok(), "without a budget");
    let lax = meters(|config| {
        budgeted(config);
        config.unpriced = Unpriced::Allow;
    });
    let (allowance, _) = ask(&lax).expect("allowed");
    assert_eq!(allowance.purse().expect("counted").cover(Worst::Unpriced(10)), Ok(()));
}

#[test]
fn a_day_begins_anew_at_midnight_and_waiting_is_told() {
    let meters = meters(|config| config.key.budget = budget("0.000001/day"));
    let spend = |at: Now| {
        let (allowance, _) = meters.admit(&asker("one"), at, worst(1, 1_000))?;
        let purse = allowance.purse().expect("counted");
        purse.cover(worst(1, 1_000)).expect("set aside");
        purse.settle(worst(1, 1_000), used(1, 1_000));
        Ok::<_, Box<Refusal>>(())
    };
    assert_eq!(spend(now(NOON)), Ok(()));
    let late = now("2026-11-21T23:59:58Z");
    let refusal = spend(late).expect_err("the day's money is spent");
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(2)));
    assert_eq!(spend(now("2026-11-22T00:00:00Z")), Ok(()));
}

#[test]
fn what_was_spent_before_the_start_counts_and_a_reset_forgives_it() {
    let meters = meters(|config| config.server.budget = Some(budget("0.000001/month")));
    let ask = || meters.admit(&asker("one"), now(NOON), worst(1, 300)).is_ok();
    meters.load(&Level::Server, Period::Month, (now(NOON), Nanos(800)));
    meters.load(&Level::Server, Period::Day, (now(NOON), Nanos(800)));
    assert!(!ask());
    assert_eq!(meters.budgeted(), [Level::Server]);
    assert!(meters.reset(&Level::Server) && ask());
    assert!(!meters.reset(&Level::Key(KeyId::from("one"))), "no budget, nothing to reset");
}

#[test]
fn each_share_of_a_budget_is_told_of_once() {
    let meters = meters(|config| config.key.budget = budget("0.000001/day"));
    let mut alerts = meters.alerts();
    for _ in 0..10 {
        let (allowance, _) = meters.admit(&asker("one"), now(NOON), worst(1, 100)).expect("within");
        let purse = allowance.purse().expect("counted");
        purse.cover(worst(1, 100)).expect("set aside");
        purse.settle(worst(1, 100), used(1, 100));
    }
    assert!((0..10).all(|_| meters.admit(&asker("one"), now(NOON), worst(1, 100)).is_err()));
    let mut told = Vec::new();
    while let Ok(alert) = alerts.try_recv() {
        told.push((alert.share, alert.budget.spent.0));
    }
    assert_eq!(told, [(50, 500), (80, 800), (100, 1_000)]);
}

#[test]
fn limits_may_change_and_what_was_used_stays_used() {
    let meters = meters(|config| config.key.budget = budget("0.000001/day"));
    let key = KeyId::from("one");
    let (allowance, _) = meters.admit(&asker("one"), now(NOON), worst(1, 1_000)).expect("within");
    let purse = allowance.purse().expect("counted");
    purse.cover(worst(1, 1_000)).expect("set aside");
    // The budget is taken away while a call runs, and given again: what the call cost is known.
    meters.set_key(&key, Some(&Limits::default()), now(NOON));
    purse.settle(worst(1, 1_000), used(1, 400));
    drop((purse, allowance));
    meters.set_key(&key, None, now(NOON));
    let reading = meters.read(&Level::Key(key), now(NOON)).expect("a meter");
    assert_eq!(reading.budgets.first().map(|budget| (budget.spent.0, budget.set_aside.0)), Some((400, 0)));
}

proptest! {
    /// Whatever requests do, in any order: no limit of any level is passed, and when all have ended nothing is held.
    #[test]
    fn never_over_any_limit_and_nothing_leaks(
        steps in prop::collection::vec((0_usize..3, 1_i64..400, 0_i64..=100, 0_u8..6), 1..150),
    ) {
        let meters = meters(|config| {
            config.key.parallel = Some(5);
            config.key.budget = budget("0.000001/day");
            config.server.budget = Some(budget("0.000002/total"));
            config.server.tokens_per_minute = Some(3_000);
        });
        let keys = ["one", "two", "three"];
        let levels: Vec<Level> =
            keys.iter().map(|key| Level::Key(KeyId::from(*key))).chain([Level::Server]).collect();
        let mut running: Vec<(Allowance, Vec<(Worst, i64)>)> = Vec::new();
        for (key, nanos, percent, action) in steps {
            let amount = worst(u64::try_from(nanos).expect("positive"), nanos);
            let spent = nanos * percent / 100;
            match (action, running.len()) {
                (0..=2, _) | (_, 0) => {
                    if let Ok((allowance, _)) = meters.admit(&asker(keys[key]), now(NOON), amount) {
                        running.push((allowance, Vec::new()));
                    }
                }
                (3, n) => {
                    let (allowance, calls) = &mut running[key % n];
                    let purse = allowance.purse().expect("counted");
                    if purse.cover(amount).is_ok() {
                        calls.push((amount, spent));
                    }
                }
                (4, n) => {
                    let (allowance, calls) = &mut running[key % n];
                    if let Some((amount, spent)) = calls.pop() {
                        let tokens = u32::try_from(spent).expect("small");
                        allowance.purse().expect("counted").settle(amount, used(tokens, spent));
                    }
                }
                // It ends, or its caller leaves: each call that runs is settled as cancelled.
                (_, n) => {
                    let (allowance, calls) = running.swap_remove(key % n);
                    for (amount, _) in calls {
                        allowance.purse().expect("counted").settle(amount, None);
                    }
                }
            }
            for level in &levels {
                let Some(reading) = meters.read(level, now(NOON)) else { continue };
                prop_assert!(reading.parallel.is_none_or(|most| reading.under_way <= most));
                for budget in reading.budgets {
                    prop_assert!(budget.spent.0 + budget.set_aside.0 <= budget.limit.0, "{level}: {budget:?}");
                }
            }
        }
        for (allowance, calls) in running.drain(..) {
            for (amount, _) in calls {
                allowance.purse().expect("counted").settle(amount, None);
            }
        }
        for level in &levels {
            let Some(reading) = meters.read(level, now(NOON)) else { continue };
            prop_assert_eq!(reading.under_way, 0);
            prop_assert!(reading.budgets.iter().all(|budget| budget.set_aside == Nanos(0)), "{reading:?}");
        }
    }
}

#[test]
fn other_settings_hold_from_then_on_and_what_was_used_stays_used() {
    let tenant = |parallel| LimitsConfig { parallel: Some(parallel), ..LimitsConfig::default() };
    let settings = |budget_usd: &str, parallel| {
        let mut config = Config::default();
        (config.key.rate, config.key.budget) = ("unlimited".to_owned(), budget(budget_usd));
        config.tenants.insert("acme".to_owned(), tenant(parallel));
        config
    };
    let meters = Arc::new(Meters::new(&settings("1/day", 1), now(NOON)).expect("valid"));
    let own = Limits { parallel: Some(5), ..Limits::default() };
    meters.set_key(&KeyId::from("own"), Some(&own), now(NOON));
    let (under_way, _) = meters.admit(&asker("one"), now(NOON), worst(1, 7)).expect("the first");
    let purse = under_way.purse().expect("counted");
    purse.cover(worst(1, 7)).expect("it is set aside");
    purse.settle(worst(1, 7), used(1, 7));
    let ask = |key| meters.admit(&asker(key), now(NOON), worst(1, 7));
    assert_eq!(why(ask("two")), (Level::Tenant("acme".into()), Why::Limit(Limit::Parallel)));

    meters.configure(&settings("2/day", 2), now(NOON)).expect("valid");
    let read = |level: Level| meters.read(&level, now(NOON));
    let one = read(Level::Key("one".into())).expect("a meter").budgets;
    assert_eq!((one[0].limit, one[0].spent), (Nanos(2_000_000_000), Nanos(7)));
    assert_eq!(read(Level::Key("own".into())).expect("a meter").parallel, Some(5), "its own");
    let second = ask("two").expect("one more than before");
    assert_eq!(why(ask("two")), (Level::Tenant("acme".into()), Why::Limit(Limit::Parallel)));

    let mut wrong = settings("3/day", 3);
    wrong.tenants.insert("other".to_owned(), LimitsConfig { rate: Some("fast".to_owned()), ..tenant(1) });
    assert!(meters.configure(&wrong, now(NOON)).is_err());
    assert_eq!(read(Level::Tenant("acme".into())).expect("a meter").parallel, Some(2), "nothing has changed");

    let mut last = Config { server: tenant(1), ..Config::default() };
    last.key.rate = "unlimited".to_owned();
    meters.configure(&last, now(NOON)).expect("valid");
    assert_eq!(read(Level::Tenant("acme".into())), None, "not limited any more");
    // What was under way before the server had limits is none of its.
    let third = ask("two").expect("the first that the server counts");
    assert_eq!(why(ask("two")), (Level::Server, Why::Limit(Limit::Parallel)));
    drop((under_way, second));
    assert_eq!(why(ask("two")), (Level::Server, Why::Limit(Limit::Parallel)));
    drop(third);
    ask("two").expect("room again");
}

#[test]
fn another_rate_does_not_fill_the_bucket() {
    let of_burst = |burst| {
        let mut config = Config::default();
        (config.key.rate, config.key.burst) = ("1/h".to_owned(), burst);
        config
    };
    let meters = Arc::new(Meters::new(&of_burst(2), now(NOON)).expect("valid"));
    let ask = || meters.admit(&asker("one"), now(NOON), worst(1, 7)).map(drop);
    assert!(ask().is_ok() && ask().is_ok() && ask().is_err());
    meters.configure(&of_burst(3), now(NOON)).expect("valid");
    assert!(ask().is_ok() && ask().is_err(), "two of three were used");
}
