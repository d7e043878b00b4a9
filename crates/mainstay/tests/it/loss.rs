//! `kill -9` and power cuts under load at every door: what a client was told is kept is there after the restart, once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::{Behaviour, Upstream};

use crate::client::Request;
use crate::database::Database;
use crate::doors::{self, Door, End, Record, ask};
use crate::figures::{rounds, tell};
use crate::preload::Preload;
use crate::server::Start;

/// Clients at each door.
const N_EACH: usize = 3;

/// What one client was told.
#[derive(Debug, Default)]
struct Told {
    interactions: Vec<String>,
    feedback: Vec<String>,
    /// Requests that may have been recorded or not: they got no whole reply.
    open: usize,
}

/// Asks until `stop`, or until the server is gone; every fourth answer is given a thumb.
fn ask_on_and_on(address: SocketAddr, door: Door, stop: &AtomicBool) -> Told {
    let (request, mut told, mut kept) = (door.request("p0/m"), Told::default(), None);
    while !stop.load(Ordering::Relaxed) {
        match ask(address, &request, &mut kept) {
            End::Answered { id, record: Record::Kept } => {
                if told.interactions.len() % 4 == 3 {
                    told.feedback.extend(give_feedback(address, &id));
                }
                told.interactions.push(id);
            }
            End::Answered { record: Record::NotKept, .. } => {}
            _ => {
                told.open += 1;
                return told;
            }
        }
    }
    told
}

fn give_feedback(address: SocketAddr, id: &str) -> Option<String> {
    let thumb = json!({ "interaction_id": id, "thumb": "up" });
    let reply = Request::post("/feedback", thumb.to_string()).send(address).ok()?;
    (reply.status == 201).then(|| reply.json()["feedback_id"].as_str().expect("an id").to_owned())
}

/// What all rounds together showed.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: BTreeSet<String>,
    feedback: BTreeSet<String>,
    open: usize,
    lost: usize,
}

/// What the writer meets before the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Free,
    /// Another process holds the lock: nothing can be written, and nothing may be acknowledged.
    Locked,
}

/// What ends the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// `kill -9`: what was written is there, synced or not.
    Kill,
    /// The machine loses its power: only what was synced is there.
    PowerCut,
}

/// A server before `upstream`.
fn start(upstream: &Upstream, durability: &str) -> Start {
    doors::start(&[upstream], &format!("[records]\ndurability = \"{durability}\"\n"))
}

/// What the disk has after a power cut.
fn forget_unsynced(data: &Path) {
    for name in ["mainstay.db", "mainstay.db-wal"] {
        let (file, synced) = (data.join(name), data.join(format!("{name}.synced")));
        // What was never synced may be gone altogether.
        let _ = std::fs::remove_file(&file);
        let _ = std::fs::copy(synced, file);
    }
    let _ = std::fs::remove_file(data.join("mainstay.db-shm"));
}

/// One way to end, as often as it is tried.
struct Scenario {
    name: &'static str,
    disk: Disk,
    blow: Blow,
    n_rounds: usize,
}

/// Serves under load and ends, again and again on the same data.
fn end_under_load(start: &Start, scenario: &Scenario) -> Tally {
    let Scenario { name, disk, blow, n_rounds } = *scenario;
    let mut tally = Tally::default();
    for round in 1..=n_rounds {
        let mut server = start.serve();
        let (address, stop) = (server.address, AtomicBool::new(false));
        let told: Vec<Told> = std::thread::scope(|scope| {
            let asking: Vec<_> = Door::ALL
                .iter()
                .flat_map(|door| [door; N_EACH])
                .map(|door| scope.spawn(|| ask_on_and_on(address, *door, &stop)))
                .collect();
            // Not at the same point of the writer's work each time.
            std::thread::sleep(Duration::from_millis(400 + 37 * (round as u64 % 11)));
            let database = (disk == Disk::Locked).then(|| Database::open(&start.data()));
            if let Some(database) = &database {
                database.lock();
                std::thread::sleep(Duration::from_millis(300));
            }
            server.kill();
            asking.into_iter().map(|asking| asking.join().expect("a client")).collect()
        });
        let n_before = tally.acknowledged.len();
        for told in told {
            tally.acknowledged.extend(told.interactions);
            tally.feedback.extend(told.feedback);
            tally.open += told.open;
        }
        let n_new = tally.acknowledged.len() - n_before;
        assert!(
            n_new > N_EACH * Door::ALL.len(),
            "round {round}: only {n_new} answers, so nothing was tested"
        );

        if blow == Blow::PowerCut {
            forget_unsynced(&start.data());
        }
        let began = Instant::now();
        let server = start.serve();
        let back_ms = began.elapsed().as_millis();
        let lost = check(&Database::open(&start.data()), &tally);
        tell(&format!(
            "| {round} | {name} | {n_new} | {} | {lost} | 0 | {back_ms} ms | ok |",
            tally.feedback.len()
        ));
        tally.lost = lost;
        drop(server);
    }
    tally
}

/// How many of all that was acknowledged are not there; nothing may be there that nobody asked for.
fn check(database: &Database, tally: &Tally) -> usize {
    assert_eq!(database.integrity(), "ok");
    let (kept, feedback) = (database.ids("interactions"), database.ids("feedback"));
    assert!(kept.values().chain(feedback.values()).all(|count| *count == 1), "an id stands twice");
    let spare = kept.keys().filter(|id| !tally.acknowledged.contains(*id)).count();
    assert!(
        spare <= tally.open,
        "{spare} records beside the acknowledged ones, but only {} requests had no reply: one was written twice",
        tally.open
    );
    let lost = |kept: &std::collections::BTreeMap<String, u32>, told: &BTreeSet<String>| {
        told.iter().filter(|id| !kept.contains_key(*id)).count()
    };
    lost(&kept, &tally.acknowledged) + lost(&feedback, &tally.feedback)
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9_at_any_door() {
    let upstream = Upstream::start(Behaviour::default());
    let scenario = Scenario { name: "kill -9", disk: Disk::Free, blow: Blow::Kill, n_rounds: rounds(5) };
    let tally = end_under_load(&start(&upstream, "commit"), &scenario);
    assert_eq!(tally.lost, 0, "lost");
    assert!(!tally.feedback.is_empty(), "no feedback was given");
}

#[test]
fn what_cannot_be_written_is_not_acknowledged() {
    let upstream = Upstream::start(Behaviour::default());
    let scenario = Scenario {
        name: "kill -9, the database locked before",
        disk: Disk::Locked,
        blow: Blow::Kill,
        n_rounds: 1,
    };
    let tally = end_under_load(&start(&upstream, "commit"), &scenario);
    assert_eq!(tally.lost, 0, "lost");
}

/// The check sees loss: the same load with records that are written after their replies.
#[test]
fn records_written_after_the_reply_are_lost_and_seen_to_be() {
    let upstream = Upstream::start(Behaviour::default());
    let scenario = Scenario {
        name: "planted bug: records after the reply",
        disk: Disk::Locked,
        blow: Blow::Kill,
        n_rounds: 1,
    };
    let tally = end_under_load(&start(&upstream, "async"), &scenario);
    assert!(
        tally.lost > 0,
        "a check that cannot fail shows nothing: {} acknowledged",
        tally.acknowledged.len()
    );
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    let Some(preload) = Preload::build("power_cut.c") else { return };
    let upstream = Upstream::start(Behaviour::default());
    let start = preload.given_to(start(&upstream, "commit"), ("POWER_CUT", "kept".to_owned()));
    let scenario =
        Scenario { name: "power cut", disk: Disk::Free, blow: Blow::PowerCut, n_rounds: rounds(3) };
    let tally = end_under_load(&start, &scenario);
    assert_eq!(tally.lost, 0, "lost");
}

/// The check sees a sync that is skipped: the planted bug.
#[test]
fn a_skipped_sync_loses_records_and_is_seen_to() {
    let Some(preload) = Preload::build("power_cut.c") else { return };
    let upstream = Upstream::start(Behaviour::default());
    let sound = preload.given_to(start(&upstream, "commit"), ("POWER_CUT", "kept".to_owned()));
    // The first start makes the database, soundly.
    drop(sound.serve());
    let skipping = preload.given_to(sound, ("POWER_CUT", "unsynced".to_owned()));
    let scenario =
        Scenario { name: "planted bug: syncs skipped", disk: Disk::Free, blow: Blow::PowerCut, n_rounds: 1 };
    let tally = end_under_load(&skipping, &scenario);
    assert!(
        tally.lost > 0,
        "a check that cannot fail shows nothing: {} acknowledged",
        tally.acknowledged.len()
    );
}
