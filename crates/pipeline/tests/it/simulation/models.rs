//! Models that do what the weather says, and watch who calls them.
//!
//! Reading order: this file (who calls), [`script`] (what the weather says).

mod script;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::chat::{ChatCall, ChatChunk, Finish};
use domain::fault::{Fault, Kind};
use domain::id::TargetId;
use domain::ports::{BoxFuture, CallError, ChatModel, ChatStream, ModelError};
use domain::token::{TokenCount, Usage};
use futures_util::stream;
use parking_lot::Mutex;
use registry::routes::HedgeName;
use resilience::breaker::Position;
use routing::Router;
use testkit::SeededRng;

use super::options::Weather;
use super::turns::{Call, CallEnd, marked};
use super::world::World;
use crate::bank::PASSAGE;
use script::{Act, WRONG, grounded, script};

pub(crate) use script::{name, sentences};

/// All models, over all restarts.
pub(crate) struct Models {
    world: Arc<World>,
    rng: SeededRng,
    weather: Mutex<BTreeMap<String, Weather>>,
    n_calls: Mutex<u64>,
}

impl Models {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let weather = world.options.models().map(|model| (model.clone(), Weather::Fair)).collect();
        Arc::new(Self {
            world: Arc::clone(world),
            rng: world.rng(2),
            weather: Mutex::new(weather),
            n_calls: Mutex::new(0),
        })
    }

    /// Changes what the model at `index` does from now on.
    pub(crate) fn set(&self, index: usize, weather: Weather) {
        let model = self.world.options.models().nth(index).expect("one of the options'");
        self.world.note(format_args!("`{model}` is {weather:?}"));
        self.weather.lock().insert(model.clone(), weather);
    }

    pub(crate) fn clear_up(&self) {
        self.world.note(format_args!("all models are {:?}", Weather::Fair));
        self.weather.lock().values_mut().for_each(|weather| *weather = Weather::Fair);
    }
}

/// The models as one process reaches them.
pub(crate) struct Reached {
    models: Arc<Models>,
    /// What its breakers promise is looked at with each call.
    router: Mutex<Option<Arc<Router>>>,
    open: Arc<Mutex<BTreeMap<TargetId, Open>>>,
    /// Turns that called a model, and second calls beside slow ones.
    hedges: Mutex<(u64, u64)>,
    /// First attempts and retries of each provider.
    tries: Mutex<BTreeMap<String, (u64, u64)>>,
    /// The turn of each session that a model is called for, and how many calls it has.
    talking: Arc<Mutex<BTreeMap<String, (u64, u32)>>>,
}

/// The calls under way of one target.
#[derive(Debug, Default, Clone, Copy)]
struct Open {
    n_calls: u32,
    /// The probe under way, and of which opening.
    probe: Option<(u64, u32)>,
}

impl Reached {
    pub(crate) fn new(models: &Arc<Models>) -> Arc<Self> {
        Arc::new(Self {
            models: Arc::clone(models),
            router: Mutex::new(None),
            open: Arc::default(),
            hedges: Mutex::default(),
            tries: Mutex::default(),
            talking: Arc::default(),
        })
    }

    pub(crate) fn watch(&self, router: &Arc<Router>) {
        *self.router.lock() = Some(Arc::clone(router));
    }

    /// Calls under way.
    pub(crate) fn n_open(&self) -> u32 {
        self.open.lock().values().map(|open| open.n_calls).sum()
    }

    /// Someone closed the breaker of the model at `index`: what is under way is no probe any more.
    pub(crate) fn reset(&self, index: usize) {
        let model = self.models.world.options.models().nth(index).expect("one of the options'");
        self.models.world.note(format_args!("the breaker of `{model}` is reset"));
        let target = TargetId::from(model.as_str());
        if let Some(open) = self.open.lock().get_mut(&target) {
            open.probe = None;
        }
        if let Some(router) = &*self.router.lock() {
            let is_known = router.breakers().reset(&target);
            self.models.world.promise(is_known, || format!("`{target}` has no breaker"));
        }
    }

    /// One turn of a session at a time.
    fn talk(&self, turn: u64) -> Option<String> {
        let world = &self.models.world;
        let session = world.turns.with(turn, |seen| seen.session.clone())??;
        let mut talking = self.talking.lock();
        let (other, n_calls) = talking.entry(session.clone()).or_insert((turn, 0));
        world.promise(*other == turn || *n_calls == 0, || {
            format!("turns {other} and {turn} of {session} at once")
        });
        *n_calls = if *other == turn { *n_calls + 1 } else { 1 };
        *other = turn;
        Some(session)
    }

    /// Whether a call made now is the second one beside a slow one: only where the route says so, and few.
    fn rivals(&self, turn: u64) -> bool {
        let world = &self.models.world;
        let (n_open, n_calls) = world
            .turns
            .with(turn, |seen| {
                let n_open = seen.calls.iter().filter(|call| call.end == CallEnd::Open).count();
                (n_open, seen.calls.len())
            })
            .unwrap_or_default();
        let mut hedges = self.hedges.lock();
        let (n_turns, n_rivals) = &mut *hedges;
        *n_turns += u64::from(n_calls == 0);
        if n_open == 0 {
            return false;
        }
        *n_rivals += 1;
        world.note(format_args!("it is a rival, the {n_rivals}th in {n_turns} turns"));
        let is_on = world.options.extras.hedge == HedgeName::On;
        world.promise(is_on && n_open == 1 && n_calls == 1, || {
            format!("turn {turn}: call beside {n_open} of {n_calls}")
        });
        let most = *n_turns * u64::from(world.options.policy.hedge.percent) / 100;
        world.promise(*n_rivals <= most, || format!("{n_rivals} rivals, at most {most}"));
        true
    }

    /// Retries of a provider are a share of its first attempts, and a few more.
    fn budget(&self, turn: u64, target: &TargetId) {
        let world = &self.models.world;
        let provider_of =
            |target: &TargetId| target.as_str().split('/').next().unwrap_or_default().to_owned();
        let (provider, tier) = (provider_of(target), world.options.tier_of(target.as_str()));
        let is_again = |call: &Call| call.tier == tier && provider_of(&call.target) == provider;
        // A rival costs the provider of the slow call a retry, and is no first attempt of its own.
        let (is_retry, payer) = world
            .turns
            .with(turn, |seen| match seen.slow_one() {
                Some(slow) => (true, provider_of(&slow.target)),
                None => (seen.walked().any(is_again), provider.clone()),
            })
            .unwrap_or((false, provider));
        let mut tries = self.tries.lock();
        let (first, retries) = tries.entry(payer.clone()).or_default();
        if is_retry {
            *retries += 1;
        } else {
            *first += 1;
        }
        let config = &world.options.policy.budget;
        let most = *first * u64::from(config.percent) / 100 + u64::from(config.burst);
        world.promise(*retries <= most, || {
            format!("`{payer}` was called again {retries} times, at most {most}")
        });
    }

    /// The breaker lets call `n` through: which opening it probes, if it is a probe.
    fn probing(&self, n: u64, target: &TargetId) -> Option<u32> {
        let world = &self.models.world;
        let router = self.router.lock().clone()?;
        world.observe(&router);
        let reading = router.breakers().read(target);
        let is_open = matches!(reading.position, Position::Open { .. });
        world.promise(!is_open, || format!("call {n}: the breaker of `{target}` is open"));
        world.promise(reading.quota_until.is_none(), || format!("call {n}: `{target}` asked to slow down"));
        (reading.position == Position::HalfOpen).then_some(reading.opens)
    }

    /// A call arrives: it must be one that may be made.
    fn arrive(&self, call: &ChatCall) -> Arrived {
        let world = &self.models.world;
        let target = TargetId::from(call.model.as_str());
        let n = {
            let mut n_calls = self.models.n_calls.lock();
            *n_calls += 1;
            *n_calls
        };
        let text = call.request.messages.last().map(|message| message.text.as_str()).unwrap_or_default();
        let turn = marked(text).expect("every request says which turn it is of");
        world.note(format_args!("call {n} of `{target}` for turn {turn}"));
        let probing = self.probing(n, &target);
        self.budget(turn, &target);
        let is_rival = self.rivals(turn);
        let mut open = self.open.lock();
        let open = open.entry(target.clone()).or_default();
        if let (Some(opens), Some((other, of))) = (probing, open.probe) {
            world.promise(opens != of, || format!("calls {other} and {n} both probe `{target}`"));
        }
        open.probe = probing.map(|opens| (n, opens)).or(open.probe);
        open.n_calls += 1;
        let most = world.options.bulkhead.calls_max;
        world.promise(open.n_calls <= most, || {
            format!("{} calls of `{target}` at once, at most {most}", open.n_calls)
        });
        let seen = Call {
            n,
            tier: world.options.tier_of(target.as_str()),
            walk: world.turns.with(turn, |seen| seen.walk()).unwrap_or_default(),
            is_rival,
            target: target.clone(),
            has_text: false,
            end: CallEnd::Open,
        };
        super::promises::called(world, turn, seen);
        let session = self.talk(turn);
        Arrived {
            world: Arc::clone(world),
            open: Arc::clone(&self.open),
            talking: Arc::clone(&self.talking),
            session,
            target,
            turn,
            n,
            end: CallEnd::Dropped,
        }
    }
}

/// A call under way; dropped, it is over.
struct Arrived {
    world: Arc<World>,
    open: Arc<Mutex<BTreeMap<TargetId, Open>>>,
    talking: Arc<Mutex<BTreeMap<String, (u64, u32)>>>,
    session: Option<String>,
    target: TargetId,
    turn: u64,
    n: u64,
    end: CallEnd,
}

impl Arrived {
    fn over(&mut self, end: CallEnd) {
        self.end = end;
    }

    fn has_text(&self) -> bool {
        let mut has_text = false;
        self.tell(|call| has_text = call.has_text);
        has_text
    }

    fn tell(&self, change: impl FnOnce(&mut Call)) {
        let n = self.n;
        self.world.turns.with(self.turn, |seen| seen.calls.iter_mut().find(|call| call.n == n).map(change));
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.world.note(format_args!("call {} ends: {:?}", self.n, self.end));
        let end = self.end;
        self.tell(|call| call.end = end);
        if let Some(session) = &self.session
            && let Some((_, n_calls)) = self.talking.lock().get_mut(session)
        {
            *n_calls -= 1;
        }
        let mut open = self.open.lock();
        let open = open.entry(self.target.clone()).or_default();
        open.n_calls -= 1;
        if open.probe.is_some_and(|(n, _)| n == self.n) {
            open.probe = None;
        }
    }
}

impl ChatModel for Reached {
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        let mut arrived = self.arrive(&call);
        let weather = self.models.weather.lock().get(call.model.as_str()).copied().unwrap_or(Weather::Fair);
        let has_passage = call.request.messages.iter().any(|message| message.text.contains(PASSAGE));
        let answer = match (has_passage, weather) {
            (true, Weather::Wrong) => vec![format!("{WRONG} ")],
            (true, _) => grounded(),
            (false, _) => sentences(arrived.n),
        };
        let acts = script(&self.models.rng, weather, &answer);
        Box::pin(async move {
            let mut acts = acts.into_iter();
            loop {
                match acts.next() {
                    Some(Act::Wait(wait)) => arrived.world.sleep(wait).await,
                    Some(Act::Hang) | None => std::future::pending().await,
                    Some(Act::Fail(fault)) => {
                        arrived.over(CallEnd::Failed(fault.kind));
                        return Err(failed(fault));
                    }
                    Some(Act::Accept | Act::Say(_) | Act::Done) => return Ok(speak(acts, arrived)),
                }
            }
        })
    }
}

fn speak(acts: std::vec::IntoIter<Act>, arrived: Arrived) -> ChatStream {
    Box::pin(stream::unfold((acts, arrived), |(mut acts, mut arrived)| async move {
        loop {
            let item = match acts.next() {
                Some(Act::Wait(wait)) => {
                    arrived.world.sleep(wait).await;
                    continue;
                }
                Some(Act::Accept) => continue,
                Some(Act::Hang) => std::future::pending().await,
                Some(Act::Say(text)) => {
                    arrived.tell(|call| call.has_text = true);
                    Ok(ChatChunk::Delta(text))
                }
                Some(Act::Fail(fault)) => {
                    arrived.over(CallEnd::Failed(fault.kind));
                    Err(failed(fault))
                }
                Some(Act::Done) => {
                    // An answer without a word is none.
                    let has_text = arrived.has_text();
                    arrived.over(if has_text { CallEnd::Answered } else { CallEnd::Failed(Kind::Transient) });
                    let usage = Usage { input: TokenCount(10), output: TokenCount(20), ..Usage::default() };
                    Ok(ChatChunk::Done { finish: Finish::Stop, usage: Some(usage) })
                }
                None => {
                    arrived.over(CallEnd::Failed(Kind::Truncated));
                    return None;
                }
            };
            return Some((item, (acts, arrived)));
        }
    }))
}

fn failed(fault: Fault) -> CallError {
    ModelError { fault, detail: format!("simulated {} failure", fault.kind.name()) }.into()
}
