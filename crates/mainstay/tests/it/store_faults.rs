//! The store fails under a server that works: answers go on and say that they were not recorded, somebody is told,
//! and all is well by itself when the cause is gone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::{Behaviour, Upstream};

use crate::database::Database;
use crate::doors::{self, Door, End, Record, ask};
use crate::figures::{seconds, tell};
use crate::server::{Server, Start};
use crate::small_disk::SmallDisk;

/// One answer: when it came, how long it took, what it said of its record.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    at: Instant,
    took: Duration,
    id: String,
    record: Record,
}

/// Asks at one door until `stop`; every request must be answered.
pub(crate) fn ask_on_and_on(address: SocketAddr, door: Door, stop: &AtomicBool) -> Vec<Answered> {
    let (request, mut kept, mut answered) = (door.request("p0/m"), None, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match ask(address, &request, &mut kept) {
            End::Answered { id, record } => {
                answered.push(Answered { at: Instant::now(), took: began.elapsed(), id, record });
            }
            end => panic!("{door:?}: {end:?}"),
        }
        // The disk is what is tested, not the processor.
        std::thread::sleep(Duration::from_millis(5));
    }
    answered
}

/// What all answers together say.
pub(crate) struct Summary {
    pub(crate) kept: usize,
    pub(crate) not_kept: usize,
    pub(crate) median: Duration,
    pub(crate) worst: Duration,
}

/// Of the answers that came between `from` and `to`.
pub(crate) fn summary(answers: &[Answered], from: Instant, to: Instant) -> Summary {
    let within: Vec<&Answered> = answers.iter().filter(|answer| (from..to).contains(&answer.at)).collect();
    let mut took: Vec<Duration> = within.iter().map(|answer| answer.took).collect();
    took.sort();
    let kept = within.iter().filter(|answer| answer.record == Record::Kept).count();
    Summary {
        kept,
        not_kept: within.len() - kept,
        median: took.get(took.len() / 2).copied().unwrap_or_default(),
        worst: took.last().copied().unwrap_or_default(),
    }
}

/// The alarm: `/health/deep`, the metric and the log.
pub(crate) fn check_alarm(server: &Server) {
    server.wait_until("the store is called failed", || {
        (server.part("store")["state"] == "failed").then_some(())
    });
    let ready = server.get("/health/ready").expect("a reply");
    assert_eq!(ready.status, 200, "it answers: no reason to take it away");
    server.wait_until("replies without a record are counted", || (unrecorded(server) > 0.0).then_some(()));
    assert!(server.log().contains("the store cannot write"), "{}", server.log());
}

fn unrecorded(server: &Server) -> f64 {
    let metrics = server.get("/metrics").expect("a reply").text();
    let line = metrics.lines().find(|line| line.starts_with("mainstay_unrecorded")).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// All that was said to be kept is there, nothing is broken.
pub(crate) fn check_kept(database: &Database, answers: &[Answered]) {
    assert_eq!(database.integrity(), "ok");
    let kept = database.ids("interactions");
    for answer in answers.iter().filter(|answer| answer.record == Record::Kept) {
        assert_eq!(kept.get(&answer.id), Some(&1), "{} is lost", answer.id);
    }
}

/// Answers of all doors while `fault` is done to the server's store.
pub(crate) fn answers_during(server: &Server, fault: impl FnOnce()) -> Vec<Answered> {
    let (address, stop) = (server.address, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asking: Vec<_> = Door::ALL
            .iter()
            .map(|door| {
                let stop = &stop;
                scope.spawn(move || ask_on_and_on(address, *door, stop))
            })
            .collect();
        fault();
        stop.store(true, Ordering::Relaxed);
        asking.into_iter().flat_map(|asking| asking.join().expect("every request is answered")).collect()
    })
}

/// Until an answer is recorded again; how long that took.
pub(crate) fn recovery(server: &Server) -> Duration {
    let began = Instant::now();
    let request = Door::Chat.request("p0/m");
    server.wait_until("answers are recorded again", || {
        let end = ask(server.address, &request, &mut None);
        matches!(end, End::Answered { record: Record::Kept, .. }).then_some(())
    });
    let took = began.elapsed();
    assert_ne!(server.part("store")["state"], "failed");
    assert!(server.log().contains("the store writes again"), "{}", server.log());
    took
}

/// The table of a fault in the long form.
pub(crate) fn tell_summary(fault: &str, lasted: Duration, during: &Summary, recovery: Duration) {
    tell(&format!(
        "| {fault} | {} s | {} | {} | 0 | {} ms | {} ms | {} ms | ok |",
        lasted.as_secs(),
        during.kept + during.not_kept,
        during.not_kept,
        during.median.as_millis(),
        during.worst.as_millis(),
        recovery.as_millis()
    ));
}

#[test]
fn locked_by_another_process_it_goes_on_answering() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "");
    let server = start.serve();
    let lasted = Duration::from_secs(seconds(6));
    let database = Database::open(&start.data());
    let (mut from, mut to, mut recovered) = (Instant::now(), Instant::now(), Duration::ZERO);
    let answers = answers_during(&server, || {
        std::thread::sleep(Duration::from_millis(500));
        database.lock();
        from = Instant::now();
        check_alarm(&server);
        std::thread::sleep(lasted.saturating_sub(from.elapsed()));
        to = Instant::now();
        database.unlock();
        recovered = recovery(&server);
        std::thread::sleep(Duration::from_millis(500));
    });
    let during = summary(&answers, from, to);
    assert!(during.not_kept > 0, "nothing was asked while it was locked");
    // The first wait for the lock may be long; nobody waits like that again and again.
    assert!(
        during.median < Duration::from_secs(2),
        "{:?} in the middle, {:?} at worst",
        during.median,
        during.worst
    );
    check_kept(&database, &answers);
    tell_summary("locked by another process", lasted, &during, recovered);
}

/// Room for the server's own data and a few thousand records.
const DISK: &str = "24m";

fn serve_on(disk: &SmallDisk, start: &Start) -> Server {
    let server = start.launch_by(|port| disk.enter(&start.command(port)));
    server.wait_until("the server is ready", || {
        server.get("/health/ready").is_ok_and(|ready| ready.status == 200).then_some(())
    });
    server
}

#[test]
fn on_a_full_disk_it_goes_on_answering() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "[storage]\nfree_bytes_min = 1_000_000\n");
    let Some(disk) = SmallDisk::over(&start.data(), DISK) else { return };
    let mut server = serve_on(&disk, &start);
    let lasted = Duration::from_secs(seconds(8));
    let (mut from, mut to, mut recovered) = (Instant::now(), Instant::now(), Duration::ZERO);
    let mut answers = answers_during(&server, || {
        std::thread::sleep(Duration::from_millis(500));
        from = Instant::now();
        disk.fill();
        // Room that the database has already is used first.
        server.wait_until("replies without a record", || {
            disk.fill();
            (unrecorded(&server) > 0.0).then_some(())
        });
        check_alarm(&server);
        std::thread::sleep(lasted.saturating_sub(from.elapsed()));
        to = Instant::now();
        disk.free();
        recovered = recovery(&server);
        std::thread::sleep(Duration::from_millis(500));
    });
    let during = summary(&answers, from, to);
    assert!(during.not_kept > 0);

    // Killed and started again on the full disk, it answers as well.
    disk.fill();
    server.kill();
    check_kept(&Database::open(disk.copied().path()), &answers);
    tell_summary("disk full", lasted, &during, recovered);
    let mut server = serve_on(&disk, &start);
    answers.extend(answers_during(&server, || std::thread::sleep(Duration::from_secs(1))));
    disk.free();
    recovery(&server);
    server.terminate();
    let status = server.wait_exit(Duration::from_secs(35)).expect("it stops");
    assert!(status.success(), "{status}: {}", server.log());
    check_kept(&Database::open(disk.copied().path()), &answers);
}

#[test]
fn on_a_read_only_disk_it_says_what_to_do_and_does_not_start() {
    let start = Start::plain();
    let Some(disk) = SmallDisk::over(&start.data(), DISK) else { return };
    let mut server = serve_on(&disk, &start);
    server.terminate();
    assert!(server.wait_exit(Duration::from_secs(35)).expect("it stops").success());
    disk.make_read_only();
    let mut server = start.launch_by(|port| disk.enter(&start.command(port)));
    let status = server.wait_exit(Duration::from_secs(20)).expect("it ends by itself");
    assert_eq!(status.code(), Some(2), "{}", server.log());
    let log = server.log();
    let last = log.lines().last().unwrap_or_default();
    for words in ["data folder", "cannot be written", "--data", "Read-only file system"] {
        assert!(last.contains(words), "`{words}` is not in: {last}");
    }
}

#[test]
fn a_first_start_on_a_full_disk_says_that_it_is_full() {
    let start = Start::plain();
    let Some(disk) = SmallDisk::over(&start.data(), DISK) else { return };
    disk.fill();
    let mut server = start.launch_by(|port| disk.enter(&start.command(port)));
    let status = server.wait_exit(Duration::from_secs(20)).expect("it ends by itself");
    assert_eq!(status.code(), Some(2), "{}", server.log());
    let log = server.log();
    let last = log.lines().last().unwrap_or_default();
    for words in ["mainstay.db", "is full", "free some space"] {
        assert!(last.contains(words), "`{words}` is not in: {last}");
    }
}

#[test]
fn a_database_that_may_no_longer_be_written_stops_no_answer() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "");
    let server = start.serve();
    let immutable = |flag: &str| {
        let changed = Command::new("chattr")
            .arg(flag)
            .args(database_files(&start.data()))
            .stderr(Stdio::null())
            .status();
        changed.is_ok_and(|status| status.success())
    };
    // Needs root and a file system that knows such files.
    if !immutable("+i") {
        eprintln!("not tested: files cannot be made immutable here");
        return;
    }
    let mut recovered = Duration::ZERO;
    let (from, lasted) = (Instant::now(), Duration::from_secs(seconds(4)));
    let mut to = from;
    let answers = answers_during(&server, || {
        check_alarm(&server);
        std::thread::sleep(lasted.saturating_sub(from.elapsed()));
        to = Instant::now();
        assert!(immutable("-i"));
        recovered = recovery(&server);
    });
    let during = summary(&answers, from, to);
    assert!(during.not_kept > 0);
    check_kept(&Database::open(&start.data()), &answers);
    tell_summary("writing forbidden", lasted, &during, recovered);
}

#[test]
fn a_data_folder_that_is_removed_is_told_and_no_answer_counts_as_recorded() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "");
    let server = start.serve();
    let record_of = |door: Door| match ask(server.address, &door.request("p0/m"), &mut None) {
        End::Answered { record, .. } => record,
        end => panic!("{end:?}"),
    };
    assert_eq!(record_of(Door::Chat), Record::Kept);
    std::fs::remove_dir_all(start.data()).expect("removed");
    for door in Door::ALL {
        assert_eq!(record_of(door), Record::NotKept, "{door:?}");
    }
    check_alarm(&server);
    let detail = server.part("store")["detail"].to_string();
    for text in [detail, server.log()] {
        assert!(text.contains("was removed") && text.contains("restart Mainstay"), "{text}");
    }
}

/// Records that follow their replies cannot be told of by them: the log says it, in few lines.
#[test]
fn records_that_are_lost_by_the_hundred_take_few_lines() {
    let upstream = Upstream::start(Behaviour::default());
    let start = doors::start(&[&upstream], "[records]\ndurability = \"async\"\n");
    let server = start.serve();
    let aside = start.data().with_extension("aside");
    std::fs::rename(start.data(), &aside).expect("moved");
    let (request, mut kept) = (Door::Chat.request("p0/m"), None);
    let began = Instant::now();
    for _ in 0..200 {
        assert!(matches!(ask(server.address, &request, &mut kept), End::Answered { .. }));
    }
    server
        .wait_until("replies without a record are counted", || (unrecorded(&server) >= 200.0).then_some(()));
    let lines = |words: &str| server.log().lines().filter(|line| line.contains(words)).count();
    let n_counts = usize::try_from(began.elapsed().as_secs() / 10).expect("a few");
    assert_eq!(lines("a record was lost"), 1, "{}", server.log());
    assert!(lines("more records were lost") <= n_counts, "{}", server.log());
    std::fs::rename(&aside, start.data()).expect("moved back");
    server.wait_until("it is told that records are written again", || {
        assert!(matches!(ask(server.address, &request, &mut kept), End::Answered { .. }));
        (lines("records are written again") == 1).then_some(())
    });
}

fn database_files(data: &Path) -> Vec<PathBuf> {
    ["mainstay.db", "mainstay.db-wal"]
        .map(|name| data.join(name))
        .into_iter()
        .filter(|file| file.exists())
        .collect()
}

/// A log that cannot be written (its disk is full, its reader is gone) is no reason to fail.
#[test]
fn a_log_that_cannot_be_written_stops_no_answer() {
    let upstream = Upstream::start(Behaviour::default());
    for log in ["exec \"$@\" 2>/dev/full", "exec \"$@\" 2>&-"] {
        let start = doors::start(&[&upstream], "");
        let server = start.launch_by(|port| {
            let command = start.command(port);
            let mut shell = Command::new("sh");
            shell.args(["-c", log, "sh"]).arg(command.get_program()).args(command.get_args());
            shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            shell
        });
        server.wait_until("it is ready", || {
            server.get("/health/ready").is_ok_and(|ready| ready.status == 200).then_some(())
        });
        let answers = answers_during(&server, || std::thread::sleep(Duration::from_millis(300)));
        assert!(!answers.is_empty() && answers.iter().all(|answer| answer.record == Record::Kept), "{log}");
    }
}
