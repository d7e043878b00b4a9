//! Calls that wait for the worker, first come first served, each until its deadline.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::chat::{ChatChunk, ChatRequest};
use domain::fault::{Fault, Kind};
use domain::ports::{Clock, ModelError};
use domain::time::Moment;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

/// Where an answer's chunks go. Large enough for all of them, so that sending never waits.
pub(super) type Reply = mpsc::Sender<Result<ChatChunk, ModelError>>;

/// A waiting call.
pub(super) struct Waiting {
    pub(super) request: Arc<ChatRequest>,
    pub(super) deadline: Moment,
    pub(super) reply: Reply,
}

impl Waiting {
    pub(super) fn fail(self, fault: Fault, detail: impl Into<String>) {
        // A closed reply means that nobody wants to know.
        _ = self.reply.try_send(Err(ModelError { fault, detail: detail.into() }));
    }
}

/// The waiting calls.
pub(super) struct Queue {
    calls: Mutex<VecDeque<Waiting>>,
    waiting_max: usize,
    /// Something came; the worker's session waits for it.
    arrived: Notify,
    /// Something came; the sweep waits for it.
    changed: Notify,
}

impl Queue {
    pub(super) fn new(waiting_max: usize) -> Self {
        Self {
            calls: Mutex::new(VecDeque::new()),
            waiting_max,
            arrived: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.lock().len()
    }

    /// Adds a call, or gives it back when the queue is full of calls that someone still waits for.
    pub(super) fn push(&self, call: Waiting) -> Result<(), Waiting> {
        let mut calls = self.calls.lock();
        if calls.len() >= self.waiting_max {
            calls.retain(|call| !call.reply.is_closed());
        }
        if calls.len() >= self.waiting_max {
            return Err(call);
        }
        calls.push_back(call);
        drop(calls);
        self.arrived.notify_one();
        self.changed.notify_one();
        Ok(())
    }

    /// The next call that someone still waits for. Cancel-safe.
    pub(super) async fn pop(&self) -> Waiting {
        loop {
            let arrived = self.arrived.notified();
            while let Some(call) = self.take() {
                if !call.reply.is_closed() {
                    return call;
                }
            }
            arrived.await;
        }
    }

    fn take(&self) -> Option<Waiting> {
        self.calls.lock().pop_front()
    }

    /// Fails all waiting calls.
    pub(super) fn fail_all(&self, fault: Fault, detail: &str) {
        let calls = std::mem::take(&mut *self.calls.lock());
        for call in calls {
            call.fail(fault, detail);
        }
    }

    /// Sends calls away when their deadlines pass; never ends.
    pub(super) async fn sweep(&self, clock: &dyn Clock) {
        loop {
            let changed = self.changed.notified();
            let next = self.send_away_late(clock.now());
            match next {
                None => changed.await,
                Some(next) => tokio::select! {
                    () = changed => {}
                    () = clock.sleep_until(next) => {}
                },
            }
        }
    }

    /// Fails calls whose deadline has passed; returns the next deadline.
    fn send_away_late(&self, now: Moment) -> Option<Moment> {
        let mut calls = self.calls.lock();
        let (late, rest): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut *calls).into_iter().partition(|call| call.deadline <= now);
        let next = rest.iter().map(|call| call.deadline).min();
        *calls = rest;
        drop(calls);
        for call in late {
            call.fail(Fault::provider(Kind::Timeout), "the embedded model had no time for this call");
        }
        next
    }
}
