//! The open loop: requests are due at a steady rate, whether or not the last ones were answered, and each wait is
//! counted from when its request was due. A server that stalls cannot hide it by being asked less
//! (Tene's "coordinated omission").

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::{Connection, Target};
use crate::measurement::{Measurement, Waits};
use crate::plan::{Plan, Window};

/// Runs it with `rate` requests a second.
///
/// # Errors
/// When nobody answers.
pub async fn run(plan: &Plan, rate: f64) -> anyhow::Result<Measurement> {
    ensure!(rate > 0.0, "the rate must be above 0");
    let calls = Arc::new(Calls {
        target: plan.target()?,
        window: plan.window(),
        permits: Semaphore::new(plan.connections),
        idle: Mutex::default(),
        seen: Mutex::default(),
    });
    let first = calls.target.connect().await.context("could not connect")?;
    calls.idle.lock().push(first);
    let asking = {
        let calls = Arc::clone(&calls);
        tokio::spawn(async move { ask_when_due(calls, rate).await })
    };
    let spent = plan.watch(calls.window).await?;
    asking.await??;

    let seen = calls.seen.lock();
    let mut measurement = Measurement::new("open", &plan.name, plan.round);
    measurement.add("rate_per_second", rate);
    measurement.add("requests", seen.waits.count() as f64);
    measurement.add("errors", seen.n_errors as f64);
    measurement.add("requests_per_second", seen.waits.count() as f64 / plan.seconds);
    measurement.add_waits("", &seen.waits);
    measurement.add_waits("sent_late_", &seen.late);
    measurement.add_spent(spent, seen.waits.count());
    Ok(measurement)
}

struct Calls {
    target: Target,
    window: Window,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    waits: Waits,
    /// How late requests left: the driver's own part, and the wait for one of its connections.
    late: Waits,
    n_errors: u64,
}

async fn ask_when_due(calls: Arc<Calls>, rate: f64) -> anyhow::Result<()> {
    let timer = Timer::new()?;
    let mut asked = JoinSet::new();
    let mut due = Instant::now();
    while due < calls.window.to {
        timer.wait_until(due).await?;
        let calls = Arc::clone(&calls);
        asked.spawn(async move { calls.ask(due).await });
        due += Duration::from_secs_f64(1.0 / rate);
        while asked.try_join_next().is_some() {}
    }
    asked.join_all().await;
    Ok(())
}

impl Calls {
    async fn ask(&self, due: Instant) {
        let _permit = self.permits.acquire().await.expect("never closed");
        let late = due.elapsed();
        let answered = self.exchange().await;
        if !self.window.holds(due) {
            return;
        }
        let wait = due.elapsed();
        let mut seen = self.seen.lock();
        seen.late.add(late);
        match answered {
            Ok(()) => seen.waits.add(wait),
            Err(_) => seen.n_errors += 1,
        }
    }

    async fn exchange(&self) -> anyhow::Result<()> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.target.connect().await?,
        };
        connection.exchange(&self.target).await?;
        self.idle.lock().push(connection);
        Ok(())
    }
}

/// Waits to the microsecond, where Tokio's own timer counts in milliseconds.
pub(crate) struct Timer(AsyncFd<std::os::fd::OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that change; an owned one lives as long as its registration"
    )]
    pub(crate) fn new() -> anyhow::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).context("no timer")?;
        Ok(Self(AsyncFd::new(timer)?))
    }

    pub(crate) async fn wait_until(&self, moment: Instant) -> anyhow::Result<()> {
        let wait = moment.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            // Behind: the others must get their turn all the same.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(wait).context("a wait too long")?,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        let mut ready = self.0.readable().await?;
        // Setting it again takes the expiry away, so it need not be read.
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU32, Ordering};

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::Response;
    use hyper::service::service_fn;

    use super::*;
    use crate::server;

    #[tokio::test]
    async fn a_stall_counts_against_every_request_that_was_due_meanwhile() {
        const STALL: Duration = Duration::from_millis(300);
        let n_asked = Arc::new(AtomicU32::new(0));
        let service = service_fn(move |_| {
            let n_asked = Arc::clone(&n_asked);
            async move {
                if n_asked.fetch_add(1, Ordering::Relaxed) == 20 {
                    tokio::time::sleep(STALL).await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}"))))
            }
        });
        let listener = server::listen("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(server::run(listener, service));
        let plan = Plan {
            name: "stalled".to_owned(),
            url: format!("http://{address}/"),
            body: "{}".to_owned(),
            headers: Vec::new(),
            connections: 1,
            seconds: 1.0,
            warmup: 0.0,
            pid: None,
            round: 1,
        };
        let measured = run(&plan, 100.0).await.expect("measured");
        // 30 of 100 requests were due in those 300 ms: a tenth waited over 200 ms, though one alone was slow.
        assert!(measured.figures["p90_us"] > 150_000.0, "{measured:?}");
        assert!(measured.figures["requests"] >= 99.0, "{measured:?}");
    }
}
