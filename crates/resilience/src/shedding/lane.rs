//! The places of one route, and the queue for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::Clock;
use domain::time::Moment;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::limit::Limit;
use super::{Class, Config, Reason, Shed, Work};

/// One route's places.
pub(super) struct Lane {
    config: Config,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    under_way: u32,
    limit: Limit,
    /// By class, the most urgent first; in each, who came first is first.
    queues: [VecDeque<Waiter>; Class::ALL.len()],
    /// Numbers waiters.
    n_waited: u64,
}

struct Waiter {
    n: u64,
    work: Work,
    tell: oneshot::Sender<Result<Place, Shed>>,
}

/// A request of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) class: Class,
    pub(super) work: Work,
    /// When waiting has no use any more.
    pub(super) due: Moment,
}

/// How a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaneReading {
    pub(super) under_way: u32,
    pub(super) limit: u32,
    pub(super) waiting: u32,
}

enum Entrance {
    Free(Place),
    Wait(Waiting),
    Full,
}

impl Lane {
    pub(super) fn new(config: Config, clock: Arc<dyn Clock>) -> Arc<Self> {
        let state =
            State { under_way: 0, limit: Limit::new(config), queues: Default::default(), n_waited: 0 };
        Arc::new(Self { config, clock, state: Mutex::new(state) })
    }

    /// Takes a place, waiting for one where it must. Cancel-safe.
    pub(super) async fn enter(self: &Arc<Self>, request: Request) -> Result<Place, Shed> {
        let mut waiting = match self.knock(request) {
            Entrance::Free(place) => return Ok(place),
            Entrance::Full => return Err(self.shed(Reason::QueueFull)),
            Entrance::Wait(waiting) => waiting,
        };
        let due = self.clock.now().after(self.config.queue_wait).min(request.due);
        tokio::select! {
            biased;
            told = &mut waiting.told => told.unwrap_or_else(|_| Err(self.shed(Reason::QueueFull))),
            () = self.clock.sleep_until(due) => Err(self.shed(Reason::QueueTime)),
        }
    }

    pub(super) fn read(&self) -> LaneReading {
        let state = self.state.lock();
        LaneReading { under_way: state.under_way, limit: state.limit.current(), waiting: state.waiting() }
    }

    fn knock(self: &Arc<Self>, request: Request) -> Entrance {
        let Request { class, work, .. } = request;
        let mut state = self.state.lock();
        let is_first = state.queues.iter().take(class.index() + 1).all(VecDeque::is_empty);
        if is_first && state.under_way < self.config.share(class, state.limit.current()) {
            state.under_way += 1;
            return Entrance::Free(self.place(work));
        }
        if state.waiting() >= self.config.queue_max && !state.displace(class, self.shed(Reason::QueueFull)) {
            return Entrance::Full;
        }
        state.n_waited += 1;
        let n = state.n_waited;
        let (tell, told) = oneshot::channel();
        if let Some(queue) = state.queues.get_mut(class.index()) {
            queue.push_back(Waiter { n, work, tell });
        }
        drop(state);
        Entrance::Wait(Waiting { lane: Arc::clone(self), class, n, told })
    }

    fn place(self: &Arc<Self>, work: Work) -> Place {
        Place { lane: Arc::clone(self), work, since: self.clock.now(), took: None, is_held: true }
    }

    /// Gives a place back; `took` when its answer came.
    fn leave(self: &Arc<Self>, work: Work, took: Option<Duration>) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if let Some(took) = took {
            let under_way = state.under_way;
            state.limit.answered(work, took, under_way, now);
        }
        state.under_way = state.under_way.saturating_sub(1);
        for class in Class::ALL {
            while state.under_way < self.config.share(class, state.limit.current()) {
                let Some(waiter) = state.queues.get_mut(class.index()).and_then(VecDeque::pop_front) else {
                    break;
                };
                match waiter.tell.send(Ok(self.place(waiter.work))) {
                    Ok(()) => state.under_way += 1,
                    // It left in this moment; its place was never taken.
                    Err(Ok(mut place)) => place.is_held = false,
                    Err(Err(_)) => {}
                }
            }
        }
    }

    fn shed(&self, reason: Reason) -> Shed {
        Shed { reason, retry_after: self.config.queue_wait.max(Duration::from_secs(1)) }
    }
}

impl State {
    fn waiting(&self) -> u32 {
        let waiting = self.queues.iter().map(VecDeque::len).sum::<usize>();
        u32::try_from(waiting).unwrap_or(u32::MAX)
    }

    /// Turns the last of the least urgent waiters away, if it is less urgent than `class`.
    fn displace(&mut self, class: Class, shed: Shed) -> bool {
        let less_urgent = self.queues.iter_mut().skip(class.index() + 1).rev();
        let last = less_urgent.filter_map(VecDeque::pop_back).next();
        // Who left in this moment need not be told.
        last.map(|waiter| waiter.tell.send(Err(shed))).is_some()
    }
}

/// Someone who waits. Dropped, it is no longer in the queue.
struct Waiting {
    lane: Arc<Lane>,
    class: Class,
    n: u64,
    told: oneshot::Receiver<Result<Place, Shed>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.lane.state.lock();
        if let Some(queue) = state.queues.get_mut(self.class.index()) {
            queue.retain(|waiter| waiter.n != self.n);
        }
    }
}

/// A place of a route, held while its request waits for its answer. Dropped before that, it says nothing about the time
/// that answers take.
#[must_use = "dropping it gives the place back"]
pub struct Place {
    lane: Arc<Lane>,
    work: Work,
    since: Moment,
    /// To the answer, once there is one.
    took: Option<Duration>,
    is_held: bool,
}

impl Place {
    /// The answer is there. The place is held until it is dropped.
    pub fn answered(&mut self) {
        self.took = Some(self.lane.clock.now().since(self.since));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_held {
            self.lane.leave(self.work, self.took);
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("work", &self.work).field("since", &self.since).finish_non_exhaustive()
    }
}
