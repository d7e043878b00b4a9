//! The wall clock jumps, as when a machine wakes up or its time is set right: nothing waits longer for it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use testkit::{Behaviour, Upstream};

use crate::database::Database;
use crate::doors::{self, Door, End, Record, ask};
use crate::preload::Preload;
use crate::server::Start;
use crate::store_faults::{answers_during, check_kept};

const DAY_S: i64 = 24 * 60 * 60;

/// A wall clock beside the machine's.
struct WallClock {
    preload: Preload,
    offset: File,
}

impl WallClock {
    fn build() -> Option<Self> {
        let preload = Preload::build("clock_jump.c")?;
        let mut options = File::options();
        options.create(true).truncate(true).read(true).write(true);
        let offset = options.open(preload.file("offset")).expect("a file");
        let clock = Self { preload, offset };
        clock.set(0);
        Some(clock)
    }

    /// Seconds beside the machine's clock.
    fn set(&self, offset_s: i64) {
        self.offset.write_all_at(&offset_s.to_ne_bytes(), 0).expect("room");
    }

    /// `start` with this clock.
    fn given_to(&self, start: Start) -> Start {
        self.preload.given_to(start, ("CLOCK_JUMP", self.preload.file("offset").display().to_string()))
    }
}

#[test]
fn a_clock_that_jumps_a_day_stops_no_answer() {
    let Some(clock) = WallClock::build() else { return };
    let upstream = Upstream::start(Behaviour::default());
    let start = clock.given_to(doors::start(&[&upstream], ""));
    let server = start.serve();
    let created = || {
        let newest = server.interactions();
        newest.first().expect("one")["created"].as_str().expect("a time").to_owned()
    };
    let mut seen = Vec::new();
    let answers = answers_during(&server, || {
        for offset_s in [0, DAY_S, -DAY_S, 0] {
            clock.set(offset_s);
            std::thread::sleep(Duration::from_millis(400));
            seen.push(created());
        }
    });
    assert!(answers.len() > 20, "{}", answers.len());
    // The newest by the wall clock: the jump was seen, and the way back hides nothing.
    assert!(seen[1] > seen[0], "{seen:?}");
    check_kept(&Database::open(&start.data()), &answers);
}

#[test]
fn a_breaker_that_opened_tomorrow_is_not_shut_until_then() {
    let Some(clock) = WallClock::build() else { return };
    let upstream = Upstream::start(Behaviour::status(503));
    let limits = "[resilience.breaker]\nopen = \"2s\"\nopen_max = \"4s\"\n";
    let start = clock.given_to(doors::start(&[&upstream], limits));
    clock.set(DAY_S);
    let mut server = start.serve();
    let request = Door::Chat.request("p0/m");
    server.wait_until("the breaker is open", || {
        ask(server.address, &request, &mut None);
        server.get("/admin/v1/breakers").expect("a reply").text().contains("\"open\"").then_some(())
    });
    // It is written down a moment later.
    std::thread::sleep(Duration::from_millis(500));
    server.kill();
    clock.set(0);
    upstream.set_behaviour(Behaviour::default());
    let server = start.serve();
    let began = Instant::now();
    server.wait_until("the target is called again", || {
        let end = ask(server.address, &request, &mut None);
        std::thread::sleep(Duration::from_millis(100));
        matches!(end, End::Answered { record: Record::Kept, .. }).then_some(())
    });
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
