//! Those who ask: on every way, with little time or much; some leave, some ask the same again. Each looks hard at what
//! it gets.
//!
//! Reading order: this file (who asks, and for how long), [`agents`], [`relayed`] (bare models).

mod agents;
mod relayed;

use std::{pin::Pin, time::Duration};

use domain::id::{SessionId, TargetId};
use domain::interaction::Outcome;
use domain::time::Moment;
use pipeline::parts::{Durability, OnFailure};
use pipeline::turn::{Recorded, TurnError};
use registry::clients::Named;
use resilience::breaker::Position;
use testkit::SeededRng;

use super::bugs::Bug;
use super::disk::{DiskWas, SLOWEST_WRITE};
use super::process::{Machine, Process};
use super::promises;
use super::turns::{Seen, Way};
use super::world::{Chance, World};

/// How a request ended for its visitor.
enum Ended<T> {
    With(T),
    /// The visitor left.
    Left,
    /// The process went.
    CutOff,
}

/// A message of a session, to be asked again with the same id.
#[derive(Clone)]
struct Message {
    id: String,
    session: Option<SessionId>,
    /// When it was asked first.
    since: Moment,
    turns: Vec<u64>,
    /// Its answer, where it was recorded.
    answer: Option<String>,
}

/// Someone who asks.
struct Visitor<'a> {
    machine: &'a Machine,
    index: u64,
    rng: SeededRng,
    /// How often it leaves before it has its answer.
    leaving_percent: u64,
    n_messages: u64,
    last_message: Option<Message>,
}

/// Comes, asks, goes.
pub(crate) async fn visit(machine: &Machine, index: u64) {
    let visitors = &machine.world.options.visitors;
    let rng = machine.world.rng(100 + index);
    let mut visitor = Visitor {
        machine,
        index,
        rng,
        leaving_percent: visitors.leaving_percent,
        n_messages: 0,
        last_message: None,
    };
    for _ in 0..visitors.n_requests_each {
        machine.world.sleep(visitor.rng.millis(0, visitors.think_ms)).await;
        Box::pin(visitor.ask()).await;
    }
}

/// All is well: every model answers when it is asked alone, and every way leads to the first of them.
pub(crate) async fn all_answer(machine: &Machine) {
    let options = &machine.world.options;
    let longest = options.breaker.open_max + options.breaker.open_max / 10;
    let settled = longest
        .max(options.breaker.window)
        .max(options.breaker.quota_max)
        .max(options.bulkhead.forget)
        .max(SLOWEST_WRITE);
    machine.world.sleep(settled).await;
    let rng = machine.world.rng(99);
    let mut visitor =
        Visitor { machine, index: 99, rng, leaving_percent: 0, n_messages: 0, last_message: None };
    for model in options.models() {
        let process = machine.process().await;
        let snapshot = process.pipeline.current().pin();
        let Ok(Named::Route(route)) = snapshot.named(model) else { panic!("`{model}` can be named") };
        let turn = visitor.begin(Way::Whole, Duration::from_secs(60));
        let ended = visitor.relay(&process, turn, Some(route)).await;
        let is_answered = matches!(ended, Ended::With(true));
        machine.world.promise(is_answered, || format!("`{model}` does not answer again"));
        let position = process.router.breakers().read(&TargetId::from(model.as_str())).position;
        machine
            .world
            .promise(position == Position::Closed, || format!("`{model}` answers and is {position:?}"));
    }
    for way in [Way::Generate, Way::Live, Way::Query, Way::Whole, Way::Streamed] {
        let process = machine.process().await;
        let turn = visitor.begin(way, Duration::from_secs(60));
        let is_answered = match way {
            Way::Whole | Way::Streamed => {
                matches!(visitor.relay(&process, turn, None).await, Ended::With(true))
            }
            Way::Generate | Way::Live | Way::Query => {
                let reply = visitor.run(&process, turn, way).await;
                matches!(reply, Ended::With(Some((Outcome::Answered | Outcome::Escalated, Recorded::Yes))))
            }
        };
        machine.world.promise(is_answered, || format!("{way:?} is not answered and recorded again"));
    }
}

impl Visitor<'_> {
    fn world(&self) -> &World {
        &self.machine.world
    }

    fn begin(&self, way: Way, limit: Duration) -> u64 {
        let turn = self.machine.lobby.next_turn();
        let started = self.world().now();
        let deadline = started.after(limit);
        let seen = Seen {
            way,
            started,
            deadline,
            session: None,
            calls: Vec::new(),
            has_released: false,
            n_records: 0,
            wants_records: None,
        };
        self.world().turns.begin(turn, seen);
        self.world().note(format_args!("visitor {} asks turn {turn}, {way:?} within {limit:?}", self.index));
        turn
    }

    fn seen(&self, turn: u64) -> Seen {
        self.world().turns.with(turn, |seen| seen.clone()).expect("it was begun")
    }

    async fn ask(&mut self) {
        let process = self.machine.process().await;
        let limit = self.rng.millis(1_000, self.world().options.visitors.deadline_ms);
        let ways =
            [Way::Generate, Way::Live, Way::Query, Way::Query, Way::Whole, Way::Streamed, Way::Streamed];
        let way = self.rng.pick(&ways);
        let turn = self.begin(way, limit);
        self.world().observe(&process.router);
        match way {
            Way::Whole | Way::Streamed => {
                self.relay(&process, turn, None).await;
            }
            Way::Generate | Way::Live | Way::Query => {
                self.run(&process, turn, way).await;
            }
        }
        self.world().note(format_args!("visitor {} is done with turn {turn}", self.index));
    }

    /// Waits for `work`, as long as this visitor does and its process lives.
    async fn wait<T>(&self, process: &Process, turn: u64, work: impl Future<Output = T>) -> Ended<T> {
        let _serving = process.serving.token();
        let seen = self.seen(turn);
        let is_leaving = self.rng.percent(self.leaving_percent);
        let patience = match is_leaving {
            true => self.rng.millis(0, 3_000),
            false => promises::ends_by(self.world(), &seen).since(seen.started),
        };
        let mut work: Pin<Box<dyn Future<Output = T> + '_>> = Box::pin(work);
        let ended = tokio::select! {
            biased;
            () = process.gone.cancelled() => Ended::CutOff,
            done = &mut work => Ended::With(done),
            () = self.world().sleep(patience) => Ended::Left,
        };
        if let Ended::Left = ended {
            self.world().note(format_args!("visitor {} leaves turn {turn}", self.index));
            self.world().promise(is_leaving, || format!("turn {turn} has no end"));
            // Whoever leaves is recorded all the same, once a model was called.
            self.world().turns.with(turn, |seen| seen.wants_records = (!seen.calls.is_empty()).then_some(1));
            if self.world().bug == Some(Bug::LostPermit) {
                std::mem::forget(work);
            }
        }
        ended
    }

    fn is_late(&self) -> bool {
        self.world().options.records.durability == Durability::Async
    }

    fn refused(&self, turn: u64, error: &TurnError, session: Option<&SessionId>) {
        let world = self.world();
        world.note(format_args!("turn {turn} gets no reply: {error}"));
        let seen = self.seen(turn);
        let disk = self.machine.disk.was(seen.started);
        promises::in_time(world, turn, &seen, disk);
        let refuses = world.options.records.on_failure == OnFailure::Refuse;
        let may_be = match error {
            TurnError::NotRecorded => disk == DiskWas::Ill && refuses,
            TurnError::SessionBusy => session.is_some(),
            _ => false,
        };
        world.promise(may_be, || format!("turn {turn} gets no reply: {error}"));
    }

    /// The gate let it not in: for a reason, with a time to come back, and without a call.
    fn turned_away(&self, process: &Process, turn: u64, retry_after: Duration) {
        let (world, seen) = (self.world(), self.seen(turn));
        world.note(format_args!("turn {turn} is turned away for {retry_after:?}"));
        promises::in_time(world, turn, &seen, self.machine.disk.was(seen.started));
        world.promise(seen.calls.is_empty(), || format!("turn {turn} was turned away after a call"));
        world.promise(!retry_after.is_zero(), || format!("turn {turn} may come back at once"));
        let is_wide = process.gate.read().routes.iter().all(|route| route.limit >= 1_000);
        world.promise(!is_wide, || format!("turn {turn} was turned away from an empty house"));
    }
}
