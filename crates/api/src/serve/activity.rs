//! What a connection is doing, and until when it may go on like that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From its beginning, or from the first byte of a further request, until a request is understood.
    pub(super) header: Duration,
    /// Without a request, and without reading what it is sent.
    pub(super) idle: Duration,
}

impl Limits {
    /// How often a connection is looked at. At most half of either limit: whatever begins between two looks is seen
    /// before its time is over, so no timer has to be set when it begins.
    pub(super) fn look_every(&self) -> Duration {
        self.header.min(self.idle) / 2
    }
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It did not ask, or did not finish asking.
    NoRequest,
    /// It was answered and asked nothing more.
    Idle,
    /// It does not read what it is sent.
    Unread,
}

/// What a connection is doing: told by its transport and its requests, looked at by a timer.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    /// Requests whose response is not through yet.
    n_requests: AtomicU32,
    has_asked: AtomicBool,
    /// HTTP/2: bytes between requests are no beginning of another one.
    is_multiplexed: AtomicBool,
    idle_since: Mark,
    header_since: Mark,
    unread_since: Mark,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            n_requests: AtomicU32::new(0),
            has_asked: AtomicBool::new(false),
            is_multiplexed: AtomicBool::new(false),
            idle_since: Mark::default(),
            header_since: Mark::default(),
            unread_since: Mark::default(),
        }
    }

    /// Something was read.
    pub(super) fn read(&self) {
        if self.n_requests.load(Ordering::Relaxed) == 0 && !self.is_multiplexed.load(Ordering::Relaxed) {
            self.header_since.set_first(self.began);
        }
    }

    /// Something was written.
    pub(super) fn written(&self) {
        self.unread_since.clear();
    }

    /// Nothing can be written, as the client does not read.
    pub(super) fn unread(&self) {
        self.unread_since.set_first(self.began);
    }

    /// A request was understood; it is under way until the guard goes.
    pub(super) fn request(self: &Arc<Self>, version: http::Version) -> UnderWay {
        self.n_requests.fetch_add(1, Ordering::Relaxed);
        self.has_asked.store(true, Ordering::Relaxed);
        self.header_since.clear();
        if version == http::Version::HTTP_2 {
            self.is_multiplexed.store(true, Ordering::Relaxed);
        }
        UnderWay(Arc::clone(self))
    }

    /// When this connection ends if nothing changes, and why; `None` while a request is under way.
    pub(super) fn end(&self, limits: &Limits) -> Option<(Instant, Why)> {
        let after = |mark: &Mark, limit: Duration| mark.get(self.began).map(|since| since + limit);
        let unread = after(&self.unread_since, limits.idle).map(|at| (at, Why::Unread));
        let silent = if self.n_requests.load(Ordering::Relaxed) > 0 {
            None
        } else if !self.has_asked.load(Ordering::Relaxed) {
            Some((self.began + limits.header, Why::NoRequest))
        } else {
            let begun = after(&self.header_since, limits.header).map(|at| (at, Why::NoRequest));
            begun.or_else(|| after(&self.idle_since, limits.idle).map(|at| (at, Why::Idle)))
        };
        [unread, silent].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.idle_since.set(self.0.began);
        self.0.n_requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When something began, as milliseconds of the connection's life and one more; 0 is never.
#[derive(Debug, Default)]
struct Mark(AtomicU64);

impl Mark {
    fn set(&self, began: Instant) {
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.store(ms + 1, Ordering::Relaxed);
    }

    fn set_first(&self, began: Instant) {
        if self.0.load(Ordering::Relaxed) == 0 {
            self.set(began);
        }
    }

    fn clear(&self) {
        // To look is cheaper than to write, and there is mostly nothing to clear.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    fn get(&self, began: Instant) -> Option<Instant> {
        let ms = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        began.checked_add(Duration::from_millis(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { header: Duration::from_secs(3), idle: Duration::from_secs(7) };

    /// A connection at its beginning, and when it ends after what happens to it, in whole seconds.
    async fn check(what: &str, steps: &[(u64, Step)], want: Option<(u64, Why)>) {
        let activity = Arc::new(Activity::new());
        let began = Instant::now();
        let mut under_way = Vec::new();
        for (at, step) in steps {
            tokio::time::sleep_until(began + Duration::from_secs(*at)).await;
            match step {
                Step::Read => activity.read(),
                Step::Ask(version) => under_way.push(activity.request(*version)),
                Step::Answer => drop(under_way.pop()),
                Step::Unread => activity.unread(),
                Step::Written => activity.written(),
            }
        }
        let end = activity.end(&LIMITS).map(|(at, why)| ((at - began).as_secs(), why));
        assert_eq!(end, want, "{what}");
    }

    enum Step {
        Read,
        Ask(http::Version),
        Answer,
        Unread,
        Written,
    }

    #[tokio::test(start_paused = true)]
    async fn each_silence_has_its_limit() {
        use Step::{Answer, Ask, Read, Unread, Written};
        let (one, two) = (http::Version::HTTP_11, http::Version::HTTP_2);
        check("says nothing", &[], Some((3, Why::NoRequest))).await;
        check("says it slowly", &[(1, Read), (2, Read)], Some((3, Why::NoRequest))).await;
        check("is being answered", &[(1, Read), (1, Ask(one))], None).await;
        check("was answered", &[(1, Ask(one)), (20, Answer)], Some((27, Why::Idle))).await;
        let further = [(1, Ask(one)), (20, Answer), (22, Read), (23, Read)];
        check("asks again, slowly", &further, Some((25, Why::NoRequest))).await;
        check("asks again", &[(1, Ask(one)), (2, Answer), (3, Read), (3, Ask(one))], None).await;
        let pings = [(1, Ask(two)), (2, Answer), (4, Read), (5, Read)];
        check("only pings", &pings, Some((9, Why::Idle))).await;
        let one_left = [(1, Ask(two)), (1, Ask(two)), (2, Answer)];
        check("one of two is being answered", &one_left, None).await;
        let unread = [(1, Ask(one)), (2, Unread), (5, Unread)];
        check("does not read", &unread, Some((9, Why::Unread))).await;
        let reads = [(1, Ask(one)), (2, Unread), (5, Written)];
        check("reads slowly", &reads, None).await;
    }

    #[test]
    fn what_begins_between_two_looks_is_seen_in_time() {
        assert!(LIMITS.look_every() * 2 <= LIMITS.header.min(LIMITS.idle));
    }
}
