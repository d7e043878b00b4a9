//! The soak: a mix of requests at a steady rate for a long time, while the server's memory and open files are watched.
//! What leaks shows as growth by requests, what clogs as slower minutes.

use std::collections::VecDeque;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Connection, Target};
use crate::measurement::Waits;
use crate::open::Timer;

/// Of so many requests one goes to `/generate`: 5 %.
const MIX: u64 = 20;

/// What is asked, how often and for how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// The server, as `http://127.0.0.1:8080`.
    #[arg(long)]
    pub url: String,
    /// Its process.
    #[arg(long)]
    pub pid: u32,
    /// JSON for `/v1/chat/completions`.
    #[arg(long)]
    pub chat: String,
    /// JSON for `/generate`.
    #[arg(long)]
    pub generate: String,
    /// Requests a second.
    #[arg(long, default_value_t = 900.0)]
    pub rate: f64,
    /// How long.
    #[arg(long, default_value_t = 1_200.0)]
    pub seconds: f64,
    /// What is compared begins after so long: until then caches fill.
    #[arg(long, default_value_t = 300.0)]
    pub settled: f64,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Seconds between two looks at the process.
    #[arg(long, default_value_t = 10.0)]
    pub look_every: f64,
}

/// One look at the process.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Since the beginning.
    pub at: Duration,
    /// Requests answered until then.
    pub requests: u64,
    /// Resident memory, in MB.
    pub resident_mb: f64,
    /// The part of it that is its own, without pages of files, in MB.
    pub own_mb: f64,
    /// Open files, connections among them.
    pub files: usize,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Oldest first.
    pub looks: Vec<Look>,
    /// Waits of the requests that were due in each minute.
    pub minutes: Vec<Waits>,
    /// Requests that failed, or were answered with another status than 200.
    pub errors: u64,
    /// What the first of them said.
    pub first_error: Option<String>,
    /// From here on looks and minutes are compared.
    pub settled: Duration,
}

impl Seen {
    /// Requests that were answered.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.minutes.iter().map(Waits::count).sum()
    }

    /// The looks that are compared.
    #[must_use]
    pub fn settled_looks(&self) -> &[Look] {
        let from = self.looks.partition_point(|look| look.at < self.settled);
        self.looks.get(from..).unwrap_or_default()
    }

    /// By how much `memory` grows with 100,000 requests: the slope of the least squares' line.
    #[must_use]
    pub fn growth_mb(&self, memory: fn(&Look) -> f64) -> f64 {
        let looks = self.settled_looks();
        let mean =
            |value: &dyn Fn(&Look) -> f64| looks.iter().map(value).sum::<f64>() / looks.len().max(1) as f64;
        let requests = |look: &Look| look.requests as f64 / 100_000.0;
        let (mean_x, mean_y) = (mean(&requests), mean(&memory));
        let spread: f64 = looks.iter().map(|look| (requests(look) - mean_x).powi(2)).sum();
        let along: f64 = looks.iter().map(|look| (requests(look) - mean_x) * (memory(look) - mean_y)).sum();
        if spread > 0.0 { along / spread } else { 0.0 }
    }

    /// The fewest and the most open files.
    #[must_use]
    pub fn files(&self) -> (usize, usize) {
        let files = || self.settled_looks().iter().map(|look| look.files);
        (files().min().unwrap_or(0), files().max().unwrap_or(0))
    }

    /// p99 in milliseconds of five minutes, or of all there are: the first ones that are compared, and the last ones.
    #[must_use]
    pub fn p99_ms(&self) -> (f64, f64) {
        let first = usize::try_from(self.settled.as_secs() / 60).unwrap_or(0);
        let minutes = self.minutes.get(first..).unwrap_or_default();
        let p99 = |minutes: &[Waits]| {
            let mut all = Waits::default();
            minutes.iter().for_each(|minute| all.add_all(minute));
            all.quantile_us(0.99) / 1_000.0
        };
        let n = minutes.len().min(5);
        (p99(minutes.get(..n).unwrap_or_default()), p99(minutes.get(minutes.len() - n..).unwrap_or_default()))
    }
}

/// Runs it.
///
/// # Errors
/// When nobody answers, or the process ends.
pub async fn run(plan: &Plan) -> anyhow::Result<Seen> {
    ensure!(plan.rate > 0.0 && plan.look_every > 0.0, "the rate and the time between looks must be above 0");
    let n_minutes = (plan.seconds / 60.0).ceil() as usize;
    let soak = Arc::new(Soak {
        chat: Target::new(&format!("{}/v1/chat/completions", plan.url), Some(&plan.chat), &[])?,
        generate: Target::new(&format!("{}/generate", plan.url), Some(&plan.generate), &[])?,
        began: Instant::now(),
        permits: Semaphore::new(plan.connections),
        idle: Mutex::default(),
        state: Mutex::new(State { minutes: vec![Waits::default(); n_minutes], ..State::default() }),
    });
    // All from the beginning and used in turn, so that none of them is closed for idleness.
    for _ in 0..plan.connections {
        let connection = soak.chat.connect().await.context("could not connect")?;
        soak.idle.lock().push_back(connection);
    }
    let asking = tokio::spawn(ask_when_due(Arc::clone(&soak), plan.rate, plan.seconds));
    let mut looks = Vec::new();
    while soak.began.elapsed().as_secs_f64() < plan.seconds {
        tokio::time::sleep(Duration::from_secs_f64(plan.look_every)).await;
        looks.push(soak.look(plan.pid)?);
    }
    asking.await??;
    let state = std::mem::take(&mut *soak.state.lock());
    Ok(Seen {
        looks,
        minutes: state.minutes,
        errors: state.errors,
        first_error: state.first_error,
        settled: Duration::from_secs_f64(plan.settled),
    })
}

struct Soak {
    chat: Target,
    generate: Target,
    began: Instant,
    permits: Semaphore,
    idle: Mutex<VecDeque<Connection>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    minutes: Vec<Waits>,
    errors: u64,
    first_error: Option<String>,
}

async fn ask_when_due(soak: Arc<Soak>, rate: f64, seconds: f64) -> anyhow::Result<()> {
    let timer = Timer::new()?;
    let mut asked = JoinSet::new();
    let n_requests = (rate * seconds) as u64;
    for n in 0..n_requests {
        let due = soak.began + Duration::from_secs_f64(n as f64 / rate);
        timer.wait_until(due).await?;
        let soak = Arc::clone(&soak);
        asked.spawn(async move { soak.ask(n, due).await });
        while asked.try_join_next().is_some() {}
    }
    asked.join_all().await;
    Ok(())
}

impl Soak {
    async fn ask(&self, n: u64, due: Instant) {
        let _permit = self.permits.acquire().await.expect("never closed");
        let target = if n.is_multiple_of(MIX) { &self.generate } else { &self.chat };
        let answered = self.exchange(target).await;
        let wait = due.elapsed();
        let minute = usize::try_from((due - self.began).as_secs() / 60).unwrap_or(usize::MAX);
        let mut state = self.state.lock();
        match (answered, state.minutes.get_mut(minute)) {
            (Ok(()), Some(waits)) => waits.add(wait),
            (Ok(()), None) => {}
            (Err(error), _) => {
                state.errors += 1;
                state.first_error.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    async fn exchange(&self, target: &Target) -> anyhow::Result<()> {
        let idle = self.idle.lock().pop_front();
        let mut connection = match idle {
            Some(connection) => connection,
            None => target.connect().await?,
        };
        connection.exchange(target).await?;
        self.idle.lock().push_back(connection);
        Ok(())
    }

    fn look(&self, pid: u32) -> anyhow::Result<Look> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).context("the server is gone")?.count();
        let requests = self.state.lock().minutes.iter().map(Waits::count).sum();
        Ok(Look {
            at: self.began.elapsed(),
            requests,
            resident_mb: megabytes(&status, "VmRSS:"),
            own_mb: megabytes(&status, "RssAnon:"),
            files,
        })
    }
}

/// A field of `/proc/PID/status`, which counts in KiB.
fn megabytes(status: &str, field: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
    kib * 1_024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(looks: &[(u64, u64, f64, usize)], minutes: &[u64]) -> Seen {
        let look = |(at_s, requests, resident_mb, files): &(u64, u64, f64, usize)| Look {
            at: Duration::from_secs(*at_s),
            requests: *requests,
            resident_mb: *resident_mb,
            own_mb: 0.0,
            files: *files,
        };
        let minute = |ms: &u64| {
            let mut waits = Waits::default();
            waits.add(Duration::from_millis(*ms));
            waits
        };
        Seen {
            looks: looks.iter().map(look).collect(),
            minutes: minutes.iter().map(minute).collect(),
            errors: 0,
            first_error: None,
            settled: Duration::from_secs(60),
        }
    }

    #[test]
    fn growth_is_what_comes_after_the_caches_are_full() {
        let looks = [
            (30, 50_000, 10.0, 9),
            (60, 100_000, 60.0, 70),
            (90, 150_000, 61.0, 72),
            (120, 200_000, 62.0, 71),
        ];
        let seen = seen(&looks, &[]);
        assert!((seen.growth_mb(|look| look.resident_mb) - 2.0).abs() < 1e-9);
        assert_eq!(seen.files(), (70, 72));
    }

    #[test]
    fn the_last_minutes_are_compared_with_the_first_settled_ones() {
        let mut minutes = vec![500, 10, 11, 12, 13, 14];
        minutes.extend([1; 6]);
        minutes.extend([20, 21, 22, 23, 24]);
        let (first, last) = seen(&[], &minutes).p99_ms();
        assert!((13.9..14.2).contains(&first) && (23.9..24.2).contains(&last), "{first} {last}");
    }

    #[test]
    fn this_process_has_memory() {
        let status = fs::read_to_string("/proc/self/status").expect("linux");
        assert!(megabytes(&status, "VmRSS:") > megabytes(&status, "RssAnon:"));
        assert!(megabytes(&status, "RssAnon:") > 0.1);
    }
}
