//! How many threads compute: as many as other processes leave cores for.
//!
//! llama.cpp's threads wait for each other by spinning, hundreds of times within a token. When one of them has to
//! wait for a core, all others burn theirs until it has one: two threads beside one busy process on two cores are
//! slower than one thread, often many times over. So the process watches how much of its cores it gets while it
//! computes, and what is idle beside it, and goes down and up by that.

use rustix::thread::CpuSet;
use rustix::time::{ClockId, clock_gettime};

/// Computing for so long tells whether the threads get their cores; a scheduler's slices are a few milliseconds.
const SHORT_US: u64 = 200_000;
/// Idle time is counted by the kernel in steps of 10 ms for each core: this makes them small.
const LONG_US: u64 = 500_000;
/// After going down, so long until more threads are tried; doubled when they did not last.
const WAIT_FIRST_US: u64 = 1_000_000;
/// Longest such wait.
const WAIT_MAX_US: u64 = 30_000_000;
/// More threads that lasted so long were right.
const LASTED_US: u64 = 10_000_000;

/// Counters that only grow, in microseconds, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reading {
    wall: u64,
    /// Processor time of this process, all threads.
    own: u64,
    /// Idle time, all cores that this process may use.
    idle: u64,
}

/// The choice, without a look at the machine.
#[derive(Debug)]
struct Choice {
    most: u32,
    now: u32,
    /// Computing since the last decision: its duration and the processor time that it got.
    computing: (u64, u64),
    /// The last look at the whole machine.
    looked: Reading,
    up_after: u64,
    went_up: u64,
    wait: u64,
}

impl Choice {
    fn new(most: u32, now: Reading) -> Self {
        Self {
            most,
            now: most,
            computing: (0, 0),
            looked: now,
            up_after: 0,
            went_up: now.wall,
            wait: WAIT_FIRST_US,
        }
    }

    /// Cores out of `threads` that may be missing before one thread fewer is faster. A stall of one thread stalls
    /// all: `k` threads that miss a part `u` of a core do the work of `k (1 - u)`, which is less than `k - 1` from
    /// `u = 1 / k` on.
    fn missing_max(threads: u32) -> f64 {
        (0.9 / f64::from(threads)).max(0.25)
    }

    /// Something was computed from `start` to `end`.
    fn computed(&mut self, start: Reading, end: Reading) {
        self.computing.0 += end.wall.saturating_sub(start.wall);
        self.computing.1 += end.own.saturating_sub(start.own);
        if self.computing.0 >= SHORT_US {
            let got = cores(self.computing.1, self.computing.0);
            self.computing = (0, 0);
            self.go_down_to(got, end);
        }
    }

    /// Whether it is time for [`Self::look`].
    fn is_due(&self, now_wall: u64) -> bool {
        self.most > 1 && now_wall.saturating_sub(self.looked.wall) >= LONG_US
    }

    /// Decides by what the others left since the last look.
    fn look(&mut self, now: Reading) {
        let wall = now.wall.saturating_sub(self.looked.wall);
        let left =
            cores(now.own.saturating_sub(self.looked.own) + now.idle.saturating_sub(self.looked.idle), wall);
        self.looked = now;
        self.go_down_to(left, now);
        let next = self.now + 1;
        let is_enough = left >= f64::from(next) - Self::missing_max(next) * 2.0 / 3.0;
        if self.now < self.most && is_enough && now.wall >= self.up_after {
            self.change(whole(left).clamp(next, self.most));
            self.went_up = now.wall;
        }
        if self.now == self.most && now.wall.saturating_sub(self.went_up) >= LASTED_US {
            self.wait = WAIT_FIRST_US;
        }
    }

    fn go_down_to(&mut self, got: f64, now: Reading) {
        if self.now > 1 && got < f64::from(self.now) - Self::missing_max(self.now) {
            self.change(whole(got).clamp(1, self.now - 1));
            self.up_after = now.wall + self.wait;
            self.wait = (self.wait * 2).min(WAIT_MAX_US);
        }
    }

    fn change(&mut self, threads: u32) {
        self.now = threads;
        self.computing = (0, 0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a few hours are exact in f64")]
fn cores(part_us: u64, wall_us: u64) -> f64 {
    part_us as f64 / wall_us.max(1) as f64
}

/// Whole cores in `cores`, of which a third may be missing.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few cores")]
fn whole(cores: f64) -> u32 {
    (cores + 1.0 / 3.0) as u32
}

/// Chooses the threads of a process that computes.
#[derive(Debug)]
pub(crate) struct Threads {
    choice: Choice,
    cores: CpuSet,
    begun: Option<Reading>,
    is_fixed: bool,
}

impl Threads {
    /// Always `threads`.
    pub(crate) fn fixed(threads: u32) -> Self {
        Self {
            choice: Choice::new(threads, Reading::default()),
            cores: CpuSet::new(),
            begun: None,
            is_fixed: true,
        }
    }

    /// As many as the others leave, at most `most`; always `most` where the kernel does not say what is idle.
    pub(crate) fn measured(most: u32) -> Self {
        let cores = rustix::thread::sched_getaffinity(None).unwrap_or_default();
        let mut threads = Self { cores, is_fixed: most < 2, ..Self::fixed(most) };
        match threads.read_all() {
            Some(now) => threads.choice = Choice::new(most, now),
            None => threads.is_fixed = true,
        }
        threads
    }

    /// Threads to compute with now.
    pub(crate) fn now(&self) -> u32 {
        self.choice.now
    }

    /// Stays with `threads` from now on.
    pub(crate) fn fix(&mut self, threads: u32) {
        *self = Self::fixed(threads);
    }

    /// Computing begins.
    pub(crate) fn begin(&mut self) {
        if !self.is_fixed {
            self.begun = Some(read_own());
        }
    }

    /// Computing has ended.
    pub(crate) fn end(&mut self) {
        if let Some(start) = self.begun.take() {
            self.choice.computed(start, read_own());
        }
    }

    /// Looks at the machine when it is time; to be called before computing, and now and then at rest.
    pub(crate) fn look(&mut self) {
        if self.is_fixed || !self.choice.is_due(wall()) {
            return;
        }
        if let Some(now) = self.read_all() {
            self.choice.look(now);
        }
    }

    fn read_all(&self) -> Option<Reading> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        Some(Reading { idle: idle(&stat, &self.cores)?, ..read_own() })
    }
}

fn wall() -> u64 {
    microseconds(clock_gettime(ClockId::Monotonic))
}

fn read_own() -> Reading {
    Reading { wall: wall(), own: microseconds(clock_gettime(ClockId::ProcessCPUTime)), idle: 0 }
}

fn microseconds(time: rustix::time::Timespec) -> u64 {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000 + part(time.tv_nsec) / 1_000
}

/// Idle microseconds of the cores in `cores`, from the text of `/proc/stat`: the fourth and fifth figure of a core's
/// line, in hundredths of a second on all platforms that Rust knows (proc(5)).
fn idle(stat: &str, cores: &CpuSet) -> Option<u64> {
    let mut found = None;
    for line in stat.lines() {
        let Some((index, figures)) = line.strip_prefix("cpu").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let Ok(index) = index.parse::<usize>() else { continue };
        if index >= CpuSet::MAX_CPU || !cores.is_set(index) {
            continue;
        }
        let idle =
            figures.split(' ').skip(3).take(2).filter_map(|figure| figure.parse::<u64>().ok()).sum::<u64>();
        found = Some(found.unwrap_or(0) + idle * 10_000);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn us(seconds: f64) -> u64 {
        u64::try_from(Duration::from_secs_f64(seconds).as_micros()).unwrap()
    }

    /// A machine with two cores on which others take a part and the threads get what is left.
    struct Machine {
        now: Reading,
        choice: Choice,
    }

    impl Machine {
        fn new() -> Self {
            let now = Reading { wall: 5_000_000, own: 1_000, idle: 9_000_000 };
            Self { now, choice: Choice::new(2, now) }
        }

        /// Computes for `ms` in tokens of 60 ms while others want `others` cores; each wanting thread gets the same.
        fn compute(&mut self, ms: u64, others: f64) -> u32 {
            for _ in 0..ms / 60 {
                let wanted = f64::from(self.choice.now);
                let own = if wanted + others > 2.0 {
                    (2.0 * wanted / (wanted + others)).min(wanted)
                } else {
                    wanted
                };
                let own = own.max((2.0 - others).min(wanted));
                let idle = (2.0 - own - others).max(0.0);
                let start = self.now;
                self.now.wall += 60_000;
                self.now.own += us(own * 0.06);
                self.now.idle += us(idle * 0.06);
                self.choice.computed(start, self.now);
                self.look();
            }
            self.choice.now
        }

        fn rest(&mut self, ms: u64, others: f64) -> u32 {
            self.now.wall += ms * 1_000;
            self.now.idle += us((2.0 - others) * Duration::from_millis(ms).as_secs_f64());
            self.look();
            self.choice.now
        }

        fn look(&mut self) {
            if self.choice.is_due(self.now.wall) {
                self.choice.look(self.now);
            }
        }
    }

    #[test]
    fn a_busy_neighbour_takes_a_thread_and_gives_it_back() {
        for (others, want) in [(0.0, 2), (0.2, 2), (1.0, 1), (2.0, 1), (6.0, 1)] {
            let mut machine = Machine::new();
            assert_eq!(machine.compute(300, others), want, "soon, beside {others}");
            assert_eq!(machine.compute(20_000, others), want, "and lasting, beside {others}");
            assert_eq!(machine.compute(40_000, 0.0), 2, "alone again after {others}");
        }
    }

    #[test]
    fn at_rest_the_machine_is_watched_too() {
        let mut machine = Machine::new();
        assert_eq!(machine.rest(2_000, 1.9), 1, "before the first token is read");
        assert_eq!(machine.rest(2_000, 0.1), 2);
        assert_eq!(machine.rest(100, 2.0), 2, "too short to tell");
    }

    #[test]
    fn trying_again_becomes_rare_when_it_does_not_last() {
        let mut machine = Machine::new();
        let mut changes = 0;
        let mut last = machine.choice.now;
        for second in 0..120 {
            // Idle exactly when one thread computes: a limit that the kernel's figures do not show.
            let others = if machine.choice.now == 2 { 1.0 } else { 0.0 };
            let now = machine.compute(1_000, others);
            changes += u32::from(now != last);
            last = now;
            assert!(second < 2 || changes > 0);
        }
        assert!((4..24).contains(&changes), "{changes} changes in two minutes");
    }

    #[test]
    fn idle_time_counts_on_the_cores_that_may_be_used() {
        let stat =
            "cpu  1 2 3 400 50 6 7 8 0 0\ncpu0 1 2 3 100 20 6 7 8 0 0\ncpu1 1 2 3 300 30 6 7 8 0 0\nintr 5\n";
        let set = |cores: &[usize]| {
            let mut set = CpuSet::new();
            cores.iter().for_each(|core| set.set(*core));
            set
        };
        assert_eq!(idle(stat, &set(&[0, 1])), Some(4_500_000));
        assert_eq!(idle(stat, &set(&[1])), Some(3_300_000));
        assert_eq!(idle(stat, &set(&[7])), None);
        assert_eq!(idle("nothing", &set(&[0])), None);
    }

    #[test]
    fn the_machine_can_be_read() {
        let mut threads = Threads::measured(2);
        threads.begin();
        threads.end();
        threads.look();
        assert!((1..=2).contains(&threads.now()));
        threads.fix(1);
        assert_eq!(threads.now(), 1);
    }
}
