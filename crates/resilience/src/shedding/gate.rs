//! The front door of all routes: memory first, then a place in the route's lane.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::id::RouteName;
use domain::ports::Clock;
use domain::time::Moment;
use parking_lot::RwLock;

use super::lane::{Lane, Place, Request};
use super::{Class, Config, Reason, Shed, Work};
use crate::memory::{self, Budget, Pressure};

#[cfg(test)]
mod tests;

/// Memory is measured four times a second and given back slowly: asking again sooner has no use.
const MEMORY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Lets requests in, or turns them away. The way in without a queue is two short locks and no allocation.
pub struct Gate {
    config: Config,
    clock: Arc<dyn Clock>,
    memory: Budget,
    /// One for each route that was asked for; few.
    lanes: RwLock<BTreeMap<RouteName, Arc<Lane>>>,
    shed: [[AtomicU64; Class::ALL.len()]; Reason::ALL.len()],
}

/// A request at the gate.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The route that it takes.
    pub route: &'a RouteName,
    /// How urgent it says it is.
    pub class: Class,
    /// What it is.
    pub work: Work,
    /// When waiting has no use any more.
    pub due: Moment,
}

/// How the gate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The routes that were asked for, in their order.
    pub routes: Vec<RouteReading>,
    /// How many were turned away, for each reason and class, zeros included.
    pub shed: Vec<(Reason, Class, u64)>,
    /// Memory, as measured last.
    pub memory: memory::Usage,
    /// What that means.
    pub pressure: Pressure,
}

/// How one route is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteReading {
    /// The route.
    pub route: RouteName,
    /// Requests that wait for their answer.
    pub under_way: u32,
    /// Most of them at once, as of now.
    pub limit: u32,
    /// Requests that wait for a place.
    pub waiting: u32,
}

impl Gate {
    /// A gate that knows no route yet and is calm.
    #[must_use]
    pub fn new((config, memory): (Config, memory::Config), clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            clock,
            memory: Budget::new(memory),
            lanes: RwLock::default(),
            shed: Default::default(),
        }
    }

    /// The memory budget, for whoever measures.
    #[must_use]
    pub fn memory(&self) -> &Budget {
        &self.memory
    }

    /// Takes a place for a request, waiting for one where it must. Cancel-safe.
    ///
    /// # Errors
    /// [`Shed`] when it is turned away; it is counted.
    pub async fn enter(&self, arrival: Arrival<'_>) -> Result<Place, Shed> {
        let Arrival { route, work, due, .. } = arrival;
        let class = arrival.class.min(self.config.class_max);
        let entered = match self.refuses(class) {
            true => Err(short_of_memory()),
            false => self.lane(route).enter(Request { class, work, due }).await,
        };
        entered.inspect_err(|shed| self.count(shed.reason, class))
    }

    /// Whether a request may be read; one that may not is counted under its class.
    ///
    /// # Errors
    /// [`Shed`] for lack of memory.
    pub fn check_memory(&self, class: impl FnOnce() -> Class) -> Result<(), Shed> {
        if self.memory.pressure() != Pressure::Critical {
            return Ok(());
        }
        self.count(Reason::Memory, class().min(self.config.class_max));
        Err(short_of_memory())
    }

    /// Makes `routes` all there are; what others still do goes on.
    pub fn watch(&self, routes: impl IntoIterator<Item = RouteName>) {
        let known: BTreeSet<RouteName> = routes.into_iter().collect();
        self.lanes.write().retain(|route, _| known.contains(route));
    }

    /// How it is.
    #[must_use]
    pub fn read(&self) -> Reading {
        let lanes: Vec<_> =
            self.lanes.read().iter().map(|(route, lane)| (route.clone(), Arc::clone(lane))).collect();
        let route = |(route, lane): (RouteName, Arc<Lane>)| {
            let reading = lane.read();
            RouteReading {
                route,
                under_way: reading.under_way,
                limit: reading.limit,
                waiting: reading.waiting,
            }
        };
        let mut shed = Vec::new();
        for (reason, counts) in Reason::ALL.into_iter().zip(&self.shed) {
            let counted =
                |(class, count): (Class, &AtomicU64)| (reason, class, count.load(Ordering::Relaxed));
            shed.extend(Class::ALL.into_iter().zip(counts).map(counted));
        }
        Reading {
            routes: lanes.into_iter().map(route).collect(),
            shed,
            memory: self.memory.usage(),
            pressure: self.memory.pressure(),
        }
    }

    fn refuses(&self, class: Class) -> bool {
        match self.memory.pressure() {
            Pressure::Calm => false,
            Pressure::High => class < Class::Interactive,
            Pressure::Critical => true,
        }
    }

    fn lane(&self, route: &RouteName) -> Arc<Lane> {
        if let Some(lane) = self.lanes.read().get(route) {
            return Arc::clone(lane);
        }
        let new = || Lane::new(self.config, Arc::clone(&self.clock));
        Arc::clone(self.lanes.write().entry(route.clone()).or_insert_with(new))
    }

    fn count(&self, reason: Reason, class: Class) {
        if let Some(count) = self.shed.get(reason.index()).and_then(|counts| counts.get(class.index())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn short_of_memory() -> Shed {
    Shed { reason: Reason::Memory, retry_after: MEMORY_RETRY_AFTER }
}
