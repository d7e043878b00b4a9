//! Locks and full disks: writes fail while they last, nothing false is reported, all is well afterwards.

use std::time::Duration;

use domain::interaction::FinishedTurn;
use domain::ports::{Records, StoreError};

use super::{Config, Engine, Sqlite, Store, integrity};
use crate::conformance::samples::{interaction_id, turn};

async fn is_written(store: &Store, n: u64) -> bool {
    store.interaction(None, &interaction_id(n)).await.expect("readable").is_some()
}

#[tokio::test]
async fn a_short_lock_is_waited_for() {
    let engine = Sqlite::new();
    let store = engine.store(&Config { busy_timeout: Duration::from_mins(1), ..Config::default() });
    let stranger = engine.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let release = async {
        while store.stats().queue_depth > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!is_written(&store, 1).await, "readers are not kept waiting");
        stranger.execute_batch("ROLLBACK").expect("released");
    };
    let (end, ()) = tokio::join!(store.record(turn(1)), release);
    end.expect("written");
    assert!(is_written(&store, 1).await);
}

#[tokio::test]
async fn a_long_lock_makes_writes_fail_until_it_ends() {
    let engine = Sqlite::new();
    let store = engine.store(&Config { busy_timeout: Duration::from_millis(20), ..Config::default() });
    store.record(turn(1)).await.expect("written");
    let stranger = engine.stranger();
    stranger.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    for _ in 0..2 {
        let end = store.record(turn(2)).await;
        assert!(matches!(&end, Err(StoreError::Unavailable(why)) if why.contains("locked")), "{end:?}");
        assert!(matches!(store.probe().await, Err(StoreError::Unavailable(_))));
        assert!(is_written(&store, 1).await, "reading goes on");
    }
    stranger.execute_batch("ROLLBACK").expect("released");
    assert!(!is_written(&store, 2).await);
    store.record(turn(2)).await.expect("written");
    assert!(is_written(&store, 2).await);
}

#[tokio::test]
async fn only_the_first_write_of_a_long_lock_waits_for_its_end() {
    let engine = Sqlite::new();
    let store = engine.store(&Config { busy_timeout: Duration::from_secs(3), ..Config::default() });
    let stranger = engine.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let began = tokio::time::Instant::now();
    store.record(turn(1)).await.expect_err("locked");
    let first = began.elapsed();
    for n in 2..8 {
        store.record(turn(n)).await.expect_err("locked");
    }
    let others = began.elapsed() - first;
    assert!(first >= Duration::from_millis(2_500) && others < first, "{first:?}, then {others:?}");
    // A lock that is over is met with the old patience again.
    stranger.execute_batch("ROLLBACK").expect("released");
    store.record(turn(1)).await.expect("written");
    stranger.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let release = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stranger.execute_batch("ROLLBACK").expect("released");
    };
    let (end, ()) = tokio::join!(store.record(turn(2)), release);
    end.expect("waited for");
}

#[tokio::test]
async fn a_database_that_was_removed_or_replaced_takes_nothing_more_until_it_is_back() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    store.record(turn(1)).await.expect("written");
    let (data, aside) = (engine.path(), engine.path().with_extension("aside"));
    std::fs::rename(&data, &aside).expect("moved");
    let check = async |n| {
        let end = store.record(turn(n)).await;
        assert!(matches!(&end, Err(StoreError::Gone(path)) if path.ends_with("mainstay.db")), "{end:?}");
        assert!(matches!(store.probe().await, Err(StoreError::Gone(_))));
    };
    check(2).await;
    std::fs::write(&data, b"").expect("another file");
    check(3).await;
    std::fs::rename(&aside, &data).expect("moved back");
    store.record(turn(4)).await.expect("written");
    for (n, want) in [(1, true), (2, false), (3, false), (4, true)] {
        assert_eq!(is_written(&store, n).await, want, "{n}");
    }
    std::fs::remove_file(&data).expect("removed");
    check(5).await;
}

/// A turn with half a megabyte of text that does not repeat.
fn large(n: u64) -> FinishedTurn {
    let mut turn = turn(n);
    turn.interaction.response = Some((0..40_000).map(|word| format!("{n}-{word} ")).collect());
    turn
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_makes_writes_fail_until_there_is_room() {
    let engine = Sqlite::new();
    let store = engine.store(&Config::default());
    let pages = |limit: &'static str| store.write(move |writer| Ok(writer.execute_batch(limit)?));
    pages("PRAGMA max_page_count = 600").await.expect("a limit");
    let mut written = Vec::new();
    let mut refused = Vec::new();
    for n in (0..40).step_by(4) {
        let ends = tokio::join!(
            store.record(large(n)),
            store.record(large(n + 1)),
            store.record(large(n + 2)),
            store.record(large(n + 3)),
        );
        for (n, end) in (n..).zip([ends.0, ends.1, ends.2, ends.3]) {
            match end {
                Ok(()) => written.push(n),
                Err(StoreError::Unavailable(why)) => {
                    assert!(why.contains("full"), "{why}");
                    refused.push(n);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(!written.is_empty() && !refused.is_empty(), "{written:?} {refused:?}");
    for n in &written {
        assert!(is_written(&store, *n).await, "{n} was acknowledged");
    }
    for n in &refused {
        assert!(!is_written(&store, *n).await, "{n} was refused");
    }
    pages("PRAGMA max_page_count = 1000000").await.expect("room again");
    for n in refused {
        store.record(large(n)).await.expect("written");
        assert!(is_written(&store, n).await);
    }
    store.close().await.expect("closed");
    assert_eq!(integrity(&engine.stranger()), "ok");
}
