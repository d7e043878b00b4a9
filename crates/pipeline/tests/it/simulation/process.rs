//! One process after the other on the same disk: composed, killed, ended, and started again.

use std::sync::Arc;
use std::time::Duration;

use domain::id::{ProviderName, TargetId};
use domain::ports::{BreakerLog, ChatModel, Clock};
use pipeline::parts::{Parts, Pipeline};
use registry::snapshot::Current;
use resilience::breaker::Position;
use resilience::breakers::Breakers;
use resilience::shedding::Gate;
use routing::Router;
use testkit::SeededRng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bugs;
use super::disk::{Disk, Store};
use super::lobby::Lobby;
use super::models::{Models, Reached};
use super::options::{DiskMood, Restart, Trouble};
use super::world::{Chance, World};
use crate::house::{self, OnePassage};

/// The machine that processes run on.
pub(crate) struct Machine {
    pub(crate) world: Arc<World>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) models: Arc<Models>,
    pub(crate) lobby: Lobby,
    rng: SeededRng,
    process: watch::Sender<Option<Arc<Process>>>,
}

/// A running process.
pub(crate) struct Process {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) router: Arc<Router>,
    pub(crate) reached: Arc<Reached>,
    pub(crate) gate: Arc<Gate>,
    /// Whoever still waits for a reply is cut off.
    pub(crate) gone: CancellationToken,
    /// Requests under way.
    pub(crate) serving: TaskTracker,
    store: Arc<Store>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// How long a process that is asked to end waits for requests, and then for its own work.
const DRAIN: Duration = Duration::from_secs(30);
const WORK: Duration = Duration::from_secs(60);
/// Breaker states that could not be kept are tried again after this long.
const KEEP_AGAIN: Duration = Duration::from_secs(5);

impl Machine {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            disk: Disk::new(world),
            models: Models::new(world),
            lobby: Lobby::new(world),
            rng: world.rng(3),
            process: watch::Sender::new(None),
        })
    }

    /// The process that runs; waits for one.
    pub(crate) async fn process(&self) -> Arc<Process> {
        let mut process = self.process.subscribe();
        let running = process.wait_for(Option::is_some).await.expect("the machine holds the sender");
        Arc::clone(running.as_ref().expect("it was waited for"))
    }

    /// Starts a process.
    pub(crate) async fn start(&self) {
        let world = &self.world;
        world.note(format_args!("a process starts"));
        let store = Store::open(&self.disk);
        let clock: Arc<dyn Clock> = world.clock.clone();
        let rng = Arc::new(SeededRng::new(self.rng.below(u64::MAX)));
        let guards = (world.options.breaker, world.options.bulkhead);
        let breakers = Breakers::with_bulkheads(guards, Arc::clone(&clock), rng.clone());
        breakers.watch(world.options.models().map(|model| TargetId::from(model.as_str())));
        self.restore(&breakers, &store).await;
        let reached = Reached::new(&self.models);
        let model = |name: &String| {
            let provider = name.split('/').next().expect("a provider");
            let model = bugs::plant(world, &breakers, Arc::clone(&reached) as _);
            let model = providers::Translated::new(model, Arc::clone(&clock), Arc::new(world.ids()));
            (ProviderName::from(provider), Arc::new(model) as Arc<dyn ChatModel>)
        };
        let router = Arc::new(Router::new(routing::Parts {
            clock: Arc::clone(&clock),
            rng,
            breakers: breakers.clone(),
            policy: world.options.policy,
        }));
        router.provide(world.options.models().map(model).collect());
        reached.watch(&router);
        store.watch(&router);
        let tasks = TaskTracker::new();
        let snapshot = house::snapshot(&world.options.tiers, world.options.extras);
        let shedding = (world.options.shedding, resilience::memory::Config::default());
        let gate = Arc::new(Gate::new(shedding, Arc::clone(&clock)));
        let pipeline = Arc::new(Pipeline::new(Parts {
            limits: house::unlimited(),
            clock: Arc::clone(&clock),
            gate: Arc::clone(&gate),
            ids: Arc::new(world.ids()),
            current: Arc::new(Current::new(snapshot)),
            router: Arc::clone(&router),
            retriever: Arc::new(OnePassage),
            sessions: Arc::clone(&store) as _,
            records: Arc::clone(&store) as _,
            cached: pipeline::cached::Cached::without_vectors(&cache::Config::default(), Arc::clone(&clock)),
            config: world.options.records,
            tasks: tasks.clone(),
        }));
        let stopping = CancellationToken::new();
        tasks.spawn(keep_breakers(Arc::clone(world), breakers, Arc::clone(&store), stopping.clone()));
        let (gone, serving) = (CancellationToken::new(), TaskTracker::new());
        let process = Process { pipeline, router, gate, reached, gone, serving, store, tasks, stopping };
        self.process.send_replace(Some(Arc::new(process)));
    }

    /// Breakers that were open on disk are open, for no longer than breakers are.
    async fn restore(&self, breakers: &Breakers, store: &Store) {
        let world = &self.world;
        let Ok(entries) = store.load().await else { return };
        breakers.restore(entries.clone());
        let longest = world.options.breaker.open_max + world.options.breaker.open_max / 10;
        for entry in entries {
            let Some(until) = entry.open_until.filter(|until| *until > world.clock.wall()) else { continue };
            let left = until.since(world.clock.wall()).min(longest);
            let position = breakers.read(&entry.target).position;
            let is_open = matches!(position, Position::Open { until } if until.since(world.now()) == left);
            world.promise(is_open, || {
                format!("`{}` was open for {left:?}, and is {position:?}", entry.target)
            });
        }
    }

    /// What goes wrong, when it does.
    pub(crate) async fn play(&self) {
        for (at, trouble) in &self.world.options.troubles {
            self.world.clock.sleep_until(domain::time::Moment(*at)).await;
            match *trouble {
                Trouble::Weather(model, weather) => self.models.set(model, weather),
                Trouble::Disk(mood) => self.disk.set(mood),
                Trouble::Jump(seconds) => self.world.jump(seconds),
                Trouble::Restart(restart) => self.restart(restart).await,
                Trouble::Reload => self.reload().await,
                Trouble::Reset(model) => self.process().await.reached.reset(model),
            }
        }
    }

    /// Reads the same configuration anew, as when a file of it was touched.
    async fn reload(&self) {
        let (world, process) = (&self.world, self.process().await);
        world.note(format_args!("the configuration is read anew"));
        let targets = world.options.models().map(|model| TargetId::from(model.as_str()));
        process.router.breakers().watch(targets);
        process.pipeline.current().swap(house::snapshot(&world.options.tiers, world.options.extras));
    }

    async fn restart(&self, restart: Restart) {
        self.world.note(format_args!("the process ends: {restart:?}"));
        match restart {
            Restart::Gentle => self.stop().await,
            Restart::Killed | Restart::PowerCut => {
                let process = self.process().await;
                process.store.kill();
                self.process.send_replace(None);
                process.gone.cancel();
                self.disk.end(restart);
                self.lobby.crashed();
            }
        }
        self.lobby.check(&self.disk);
        self.world.sleep(self.rng.millis(0, 5_000)).await;
        self.start().await;
    }

    /// Ends the process as asked: nobody new, those here may finish, then everything is kept.
    pub(crate) async fn stop(&self) {
        let process = self.process().await;
        self.process.send_replace(None);
        process.serving.close();
        if tokio::time::timeout(DRAIN, process.serving.wait()).await.is_err() {
            process.gone.cancel();
            process.serving.wait().await;
        }
        process.stopping.cancel();
        process.tasks.close();
        let worked = tokio::time::timeout(WORK, process.tasks.wait()).await;
        self.world.promise(worked.is_ok(), || "a process does not end its work".to_owned());
        keep(&self.world, process.router.breakers(), &process.store).await;
        self.disk.settle().await;
        self.world.promise(process.reached.n_open() == 0, || {
            format!("{} calls are left open", process.reached.n_open())
        });
        for route in process.gate.read().routes {
            let n = route.under_way + route.waiting;
            self.world.promise(n == 0, || format!("`{}` still has {n} requests", route.route));
        }
        for health in process.router.health() {
            let n = health.calls.calls;
            self.world.promise(n == 0, || format!("`{}` still has {n} permits", health.target));
        }
    }

    /// All is well from now on.
    pub(crate) fn calm(&self) {
        self.models.clear_up();
        self.disk.set(DiskMood::Well);
    }
}

async fn keep_breakers(
    world: Arc<World>,
    breakers: Breakers,
    store: Arc<Store>,
    stopping: CancellationToken,
) {
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = breakers.changed() => {}
        }
        if !keep(&world, &breakers, &store).await {
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = world.sleep(KEEP_AGAIN) => {}
            }
        }
    }
}

/// Whether all could be kept.
async fn keep(world: &World, breakers: &Breakers, store: &Store) -> bool {
    let mut all_kept = true;
    for entry in breakers.drain_changes() {
        let target = entry.target.clone();
        world.note(format_args!("`{target}` opened {} times", entry.opens));
        if store.save(entry).await.is_err() {
            breakers.keep_again(target);
            all_kept = false;
        }
    }
    all_kept
}
