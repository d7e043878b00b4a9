//! A process killed in the middle of writing: what it acknowledged is there, whole and once.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ports::Records;
use rusqlite::Connection;
use tokio::task::JoinSet;

use super::{Config, Engine, Sqlite, Store, integrity};
use crate::conformance::samples::session_turn;

/// Set in the child, to the database it writes and the number it starts from.
const CHILD: &str = "STORE_CRASH_CHILD";
const NAME: &str = "sqlite::tests::crash::what_was_acknowledged_survives_a_kill";
const ROUNDS: u64 = 3;
const N_WRITERS: u64 = 16;
const N_ACKNOWLEDGED: usize = 400;

/// Writes turns until killed, and says each one that was acknowledged.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn write_until_killed(path: &Path, first: u64) {
    let store = Store::open(path, &Config::default()).expect("a store");
    let next = Arc::new(AtomicU64::new(first));
    let mut writers = JoinSet::new();
    for writer in 0..N_WRITERS {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let turn = session_turn(&format!("ses_{writer}"), n);
                let id = turn.interaction.id.clone();
                store.record(turn).await.expect("written");
                println!("acknowledged {id}");
            }
        });
    }
    writers.join_all().await;
}

/// Runs a child on `path`, kills it under way and returns what it had acknowledged.
fn round(path: &Path, first: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{first}:{}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut acknowledged = Vec::new();
    // Everything it said before it died counts, also what came after the kill was sent.
    for line in output.split(b'\n') {
        let line = line.expect("a line");
        if let Some(id) = String::from_utf8_lossy(&line).strip_prefix("acknowledged int_")
            && id.len() == 32
        {
            acknowledged.push(format!("int_{id}"));
        }
        if acknowledged.len() == N_ACKNOWLEDGED {
            child.kill().expect("killed with SIGKILL");
        }
    }
    assert!(!child.wait().expect("dead").success());
    acknowledged
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).expect("a number")
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(task) = std::env::var_os(CHILD) {
        let task = task.into_string().expect("text");
        let (first, path) = task.split_once(':').expect("two parts");
        return write_until_killed(Path::new(path), first.parse().expect("a number"));
    }
    let engine = Sqlite::new();
    let mut acknowledged = Vec::new();
    for n in 0..ROUNDS {
        acknowledged.extend(round(&engine.path(), n * 1_000_000));
        assert!(acknowledged.len() >= N_ACKNOWLEDGED * usize::try_from(n + 1).expect("few"));
        drop(engine.store(&Config::default()));
        let connection = engine.stranger();
        assert_eq!(integrity(&connection), "ok");
        let mut statement = connection.prepare("SELECT id FROM interactions").expect("a query");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("ids");
        let kept: Vec<String> = rows.collect::<rusqlite::Result<_>>().expect("ids");
        let distinct: HashSet<&String> = kept.iter().collect();
        assert_eq!(distinct.len(), kept.len(), "none is there twice");
        let lost: Vec<&String> = acknowledged.iter().filter(|id| !distinct.contains(id)).collect();
        assert_eq!(lost, Vec::<&String>::new());
        let n_kept = i64::try_from(kept.len()).expect("few");
        assert_eq!(number(&connection, "SELECT sum(turn_count) FROM sessions"), n_kept, "no half turn");
        assert_eq!(number(&connection, "SELECT count(*) FROM messages"), n_kept * 2, "no half turn");
        assert_eq!(number(&connection, "SELECT count(*) FROM attempts"), n_kept * 2, "the ledger is whole");
        let of_no_turn = "SELECT count(*) FROM attempts AS a WHERE NOT EXISTS
            (SELECT 1 FROM interactions AS i WHERE i.id = a.interaction AND i.created = a.at)";
        assert_eq!(number(&connection, of_no_turn), 0, "and holds nothing else");
    }
}
