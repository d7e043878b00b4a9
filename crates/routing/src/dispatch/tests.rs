//! The walk with scripted models on paused time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::chat::{ChatRequest, Finish, Message, Role};
use domain::fault::{Fault, Kind, Origin, Retry};
use domain::id::{ModelId, ProviderName, RouteName, TargetId};
use domain::interaction::{Attempt, AttemptResult, Chosen};
use domain::model::{
    Assured, Cost, Hedge, Model, Overrides, Prices, Route, RouteTier, Sticky, Strategy, TargetKind, Tier,
};
use domain::money::{Amount, Nanos};
use domain::ports::{ChatModel, Clock};
use domain::residency::Residency;
use domain::time::Moment;
use domain::token::{TokenCount, Usage};
use futures_util::StreamExt;
use futures_util::future::join_all;
use resilience::breaker::{self, Cause, Position, Refused};
use resilience::breakers::Breakers;
use resilience::bulkhead;
use resilience::hedge;
use resilience::policy;

use crate::ask::{Answering, Ask, Dispatched, Reason, Skip, Unanswered, Want, Why};
use crate::attempt::AttemptLog;
use crate::router::{Parts, Router};
use crate::scripted::{Act, FOREVER, PausedClock, Scripted, Seeded, USAGE, read, remote};

/// What the question of [`House::ask`] is estimated as.
const ASKED: TokenCount = TokenCount(5);

const DEADLINE: Duration = Duration::from_secs(60);

/// A router over scripted models, one provider each, with a route through all of them in order.
pub(super) struct House {
    pub(super) router: Router,
    pub(super) clock: Arc<PausedClock>,
    pub(super) route: Route,
    pub(super) catalogue: BTreeMap<ModelId, Model>,
}

struct Settings {
    breaker: breaker::Config,
    policy: policy::Config,
}

/// A breaker that counts and never opens for it.
fn never_opens() -> breaker::Config {
    breaker::Config { failures_max: u32::MAX, calls_min: u32::MAX, ..breaker::Config::default() }
}

impl House {
    /// Tiers `primary`, `fallback`, `fallback`, … of one remote target each: `p0/m`, `p1/m`, …
    pub(super) fn new(models: &[&Arc<Scripted>]) -> Self {
        Self::with(
            models,
            Settings { breaker: breaker::Config::default(), policy: policy::Config::default() },
        )
    }

    /// Hedges a tenth of the requests as soon as one answer is known, where its route says so.
    pub(super) fn eager(models: &[&Arc<Scripted>]) -> Self {
        let hedge = hedge::Config { percent: 10, calls_min: 1, ..hedge::Config::default() };
        let policy = policy::Config { hedge, ..policy::Config::default() };
        Self::with(models, Settings { breaker: breaker::Config::default(), policy })
    }

    fn with(models: &[&Arc<Scripted>], settings: Settings) -> Self {
        let clock = Arc::new(PausedClock::new());
        let rng = Arc::new(Seeded::new(5));
        let breakers = Breakers::new(settings.breaker, clock.clone(), rng.clone());
        let named = models.iter().enumerate().map(|(index, model)| {
            let model: Arc<dyn ChatModel> = (*model).clone();
            (ProviderName::from(format!("p{index}")), model)
        });
        let parts = Parts { clock: clock.clone(), rng, breakers, policy: settings.policy };
        let router = Router::new(parts);
        router.provide(named.collect());
        let tiers = (0..models.len()).map(|index| RouteTier {
            tier: if index == 0 { Tier::Primary } else { Tier::Fallback },
            strategy: Strategy::Weighted(Sticky::On),
            targets: vec![remote(&format!("p{index}/m"), 1)],
            overrides: Overrides::default(),
        });
        let route = Route {
            name: RouteName::from("standard"),
            tiers: tiers.collect(),
            hedge: Hedge::Off,
            assured: Assured::Off,
            cache: None,
        };
        Self { router, clock, route, catalogue: BTreeMap::new() }
    }

    /// Makes the target of the tier at `index` one that runs here.
    pub(super) fn embed(mut self, index: usize) -> Self {
        self.route.tiers[index].tier = Tier::Embedded;
        self.route.tiers[index].targets[0].kind = TargetKind::Embedded;
        self
    }

    pub(super) async fn ask(&self, log: &AttemptLog) -> Dispatched {
        self.ask_within(log, DEADLINE).await
    }

    async fn ask_within(&self, log: &AttemptLog, deadline: Duration) -> Dispatched {
        self.ask_changed(log, |ask| ask.deadline = self.clock.now().after(deadline)).await
    }

    pub(super) async fn ask_changed(
        &self,
        log: &AttemptLog,
        change: impl FnOnce(&mut Ask<'_>),
    ) -> Dispatched {
        let now = self.clock.now();
        let request = ChatRequest { messages: vec![Message::new(Role::User, "?")], ..ChatRequest::default() };
        let mut ask = Ask {
            route: &self.route,
            request: &request,
            deadline: now.after(DEADLINE),
            prices: &self.catalogue,
            scores: &self.catalogue,
            residency: &Residency::Anywhere,
            affinity: None,
            question: None,
            started: now,
            skip: Skip::NONE,
            want: Want::Begun,
            log,
            watcher: None,
        };
        change(&mut ask);
        self.router.ask(ask).await
    }

    /// Asks and reads the answer: its text with the tier, or why there is none.
    async fn answer(&self) -> Result<(String, Tier), Box<Unanswered>> {
        let answering = self.ask(&AttemptLog::default()).await?;
        let tier = answering.tier;
        let (text, error) = read(answering.stream).await;
        assert!(error.is_none(), "{error:?}");
        Ok((text, tier))
    }

    fn position(&self, target: &str) -> Position {
        self.router.breakers().read(&TargetId::from(target)).position
    }
}

fn results(attempts: &[Attempt]) -> Vec<(&str, &str)> {
    attempts.iter().map(|attempt| (attempt.target.as_str(), attempt.result.name())).collect()
}

fn refused(unanswered: &Unanswered) -> Vec<Why> {
    unanswered.skipped.iter().map(|skipped| skipped.why).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_held_back_is_tried_again_wherever_it_breaks_off() {
    let broken = Scripted::always(vec![Act::Say("Half an"), Act::Fail(Fault::provider(Kind::Transient))]);
    let silent = Scripted::always(vec![Act::Say("Half an"), Act::Wait(FOREVER)]);
    for first in [broken, silent] {
        let whole = Scripted::always(vec![Act::Say("Whole"), Act::Say("."), Act::Done(Finish::Stop)]);
        let house = House::new(&[&first, &whole]);
        let log = AttemptLog::default();
        let answering = house.ask_changed(&log, |ask| ask.want = Want::Whole).await.expect("an answer");
        assert_eq!((answering.target.as_str(), answering.tier), ("p1/m", Tier::Fallback));
        let results =
            |attempts: Vec<Attempt>| attempts.into_iter().map(|attempt| attempt.result).collect::<Vec<_>>();
        let broke = AttemptResult::Failed(Kind::Truncated);
        assert_eq!(results(log.take()), [broke, broke, AttemptResult::Answered], "before anyone reads it");
        assert_eq!(read(answering.stream).await.0, "Whole.");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_broke_off_is_not_asked_for_the_rest() {
    let (broken, other) = (Scripted::answers("One."), Scripted::answers("Two."));
    let house = House::new(&[&broken, &other]);
    let log = AttemptLog::default();
    // As an ask of any life may hold it.
    let first: &'static TargetId = Box::leak(Box::new(TargetId::from("p0/m")));
    let answering =
        house.ask_changed(&log, |ask| ask.want = Want::Rest { broken: first }).await.expect("an answer");
    assert_eq!(read(answering.stream).await.0, "Two.");
    assert_eq!(broken.n_calls(), 0);
    let attempts = log.take();
    assert_eq!(attempts[0].chosen, Some(Chosen::Continued));
}

#[tokio::test(start_paused = true)]
async fn a_dead_primary_is_tried_twice_and_the_fallback_answers() {
    let (dead, alive) = (Scripted::fails(Kind::Transient), Scripted::answers("hello"));
    let house = House::new(&[&dead, &alive]);
    let log = AttemptLog::default();
    let answering = house.ask(&log).await.unwrap();
    assert_eq!((answering.tier, answering.tier_index, answering.attempt), (Tier::Fallback, 1, 3));
    assert_eq!(answering.model, ModelId::from("p1/m"));
    assert_eq!(read(answering.stream).await.0, "hello");
    let attempts = log.take();
    assert_eq!(results(&attempts), [("p0/m", "transient"), ("p0/m", "transient"), ("p1/m", "answered")]);
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(attempts[1].started <= Duration::from_millis(200), "the backoff has an end");
}

#[tokio::test(start_paused = true)]
async fn overrides_bound_the_tokens_and_replace_the_temperature() {
    let (dead, alive) = (Scripted::fails(Kind::RouteFatal), Scripted::answers("hello"));
    let mut house = House::new(&[&dead, &alive]);
    house.route.tiers[1].overrides = Overrides { max_tokens: Some(300), temperature: Some(0.5) };
    house.answer().await.unwrap();
    let asked = |model: &Scripted| {
        let parameters = model.calls.lock()[0].request.parameters.clone();
        (parameters.max_tokens, parameters.temperature)
    };
    assert_eq!(asked(&dead), (400, 0.0));
    assert_eq!(asked(&alive), (300, 0.5));
    // An override never asks for more than was asked for.
    house.route.tiers[0].overrides.max_tokens = Some(9_999);
    house.router.breakers().reset(&TargetId::from("p0/m")).then_some(()).unwrap();
    house.answer().await.unwrap();
    assert_eq!(dead.calls.lock()[1].request.parameters.max_tokens, 400);
}

#[tokio::test(start_paused = true)]
async fn the_fifth_failed_attempt_opens_the_breaker_and_then_no_call_is_made() {
    let dead = Scripted::fails(Kind::Transient);
    let house = House::new(&[&dead]);
    for _ in 0..2 {
        house.answer().await.unwrap_err();
    }
    assert_eq!(dead.n_calls(), 4);
    // The fifth opens it; its own turn neither waits nor tries again.
    let before = house.clock.now();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!(house.clock.now(), before);
    assert_eq!((dead.n_calls(), unanswered.reason), (5, Reason::Exhausted));
    assert!(matches!(house.position("p0/m"), Position::Open { .. }));

    let before = house.clock.now();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((dead.n_calls(), unanswered.reason), (5, Reason::NoCandidate));
    assert_eq!(house.clock.now(), before, "no time is spent on it");
    assert!(matches!(refused(&unanswered)[..], [Why::Refused(Refused::Open { .. })]));
    let Retry::After(wait) = unanswered.fault.retry else { panic!("{:?}", unanswered.fault) };
    assert!(wait > Duration::from_secs(29) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(house.router.health()[0].shut_for, Some(wait));
}

#[tokio::test(start_paused = true)]
async fn after_30_s_exactly_one_of_100_calls_probes() {
    let fatal = Act::Refuse(Fault::provider(Kind::RouteFatal));
    let slow_probe = vec![Act::Wait(Duration::from_secs(2)), Act::Say("back"), Act::Done(Finish::Stop)];
    let (primary, fallback) = (Scripted::new([vec![fatal], slow_probe]), Scripted::answers("meanwhile"));
    let house = House::new(&[&primary, &fallback]);
    house.answer().await.unwrap();
    assert_eq!(primary.n_calls(), 1, "a fatal route is ejected at once");
    house.answer().await.unwrap();
    assert_eq!(primary.n_calls(), 1);

    tokio::time::sleep(Duration::from_secs(30)).await;
    let answers = join_all((0..100).map(|_| house.answer())).await;
    assert_eq!(primary.n_calls(), 2);
    let tiers = answers.iter().map(|answer| answer.as_ref().unwrap().1);
    assert_eq!(tiers.filter(|tier| *tier == Tier::Primary).count(), 1);
    assert_eq!(house.position("p0/m"), Position::Closed);
    assert_eq!(house.answer().await.unwrap().0, "back");
}

#[tokio::test(start_paused = true)]
async fn a_target_slower_than_its_limit_is_left_for_the_next_one_that_has_none() {
    for (slow, want_calls) in
        [(Some(Duration::from_secs(1)), 20), (Some(Duration::from_secs(2)), 25), (None, 25)]
    {
        let sluggish = vec![Act::Wait(Duration::from_secs(2)), Act::Say("at last"), Act::Done(Finish::Stop)];
        let (primary, fallback) = (Scripted::always(sluggish), Scripted::answers("quick"));
        let mut house = House::new(&[&primary, &fallback]);
        house.route.tiers[0].targets[0].slow = slow;
        for _ in 0..25 {
            house.answer().await.unwrap();
        }
        assert_eq!(primary.n_calls(), want_calls, "{slow:?}");
        let health = &house.router.health()[0];
        let want = slow.filter(|slow| slow.as_secs() == 1).map(|_| Cause::Slowness);
        assert_eq!(health.cause, want, "{slow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_every_other_call_is_left_after_twenty() {
    let scripts = (0..40).map(|n| match n % 2 {
        0 => vec![Act::Say("well"), Act::Done(Finish::Stop)],
        _ => vec![Act::Refuse(Fault::provider(Kind::Transient))],
    });
    let (primary, fallback) = (Scripted::new(scripts), Scripted::answers("always"));
    let mut house = House::new(&[&primary, &fallback]);
    // Retries would hide the failures of the first target behind its own successes.
    house.router.parts.policy.attempts_per_tier = 1;
    for _ in 0..40 {
        house.answer().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(primary.n_calls(), 20);
    assert_eq!(house.router.health()[0].cause, Some(Cause::FailureRate));
}

#[tokio::test(start_paused = true)]
async fn calls_too_many_for_a_target_go_on_to_the_next_at_once_and_then_end() {
    let takes = |text| vec![Act::Wait(Duration::from_secs(2)), Act::Say(text), Act::Done(Finish::Stop)];
    let (primary, fallback) = (Scripted::always(takes("first")), Scripted::always(takes("second")));
    let mut house = House::new(&[&primary, &fallback]);
    let bulkhead = bulkhead::Config { calls_max: 4, calls_min: 1, ..bulkhead::Config::default() };
    let guards = (breaker::Config::default(), bulkhead);
    house.router.parts.breakers =
        Breakers::with_bulkheads(guards, house.clock.clone(), Arc::new(Seeded::new(5)));
    let before = house.clock.now();
    let answers = join_all((0..10).map(|_| house.answer())).await;
    assert_eq!(house.clock.now().since(before), Duration::from_secs(2), "nobody waits in a queue");
    let tiers: Vec<_> = answers.iter().flatten().map(|answer| answer.1).collect();
    assert_eq!(tiers, [[Tier::Primary; 4], [Tier::Fallback; 4]].concat());
    assert_eq!((primary.n_calls(), fallback.n_calls()), (4, 4));
    for answer in &answers[8..] {
        let unanswered = answer.as_ref().unwrap_err();
        assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::NoCandidate, Kind::Unavailable));
        let full = Why::Refused(Refused::Full);
        assert_eq!(refused(unanswered), [full, full]);
    }
    assert_eq!(house.router.health()[0].calls, bulkhead::Reading { calls: 0, limit: 4 });
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_costs_one_call_and_opens_for_longer() {
    let (primary, fallback) = (Scripted::fails(Kind::RouteFatal), Scripted::answers("meanwhile"));
    let house = House::new(&[&primary, &fallback]);
    house.answer().await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    join_all((0..100).map(|_| house.answer())).await;
    assert_eq!(primary.n_calls(), 2);
    let health = &house.router.health()[0];
    let shut_for = health.shut_for.unwrap().as_secs_f64();
    assert!((60.0..=66.0).contains(&shut_for), "{shut_for}");
    assert_eq!((health.opens, health.position.name()), (2, "open"));
}

#[tokio::test(start_paused = true)]
async fn a_full_outage_makes_at_most_1210_calls_of_1000() {
    let dead = Scripted::fails(Kind::Transient);
    let breaker = never_opens();
    let house = House::with(&[&dead], Settings { breaker, policy: policy::Config::default() });
    for _ in 0..1_000 {
        house.answer().await.unwrap_err();
    }
    assert!((1_200..=1_210).contains(&dead.n_calls()), "{}", dead.n_calls());
    let unanswered = house.answer().await.unwrap_err();
    assert!(unanswered.skipped.len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn with_two_fallbacks_each_provider_gets_its_share_and_a_fifth() {
    let models = [Kind::Transient, Kind::Timeout, Kind::Transient].map(Scripted::fails);
    let breaker = never_opens();
    let house = House::with(&models.each_ref(), Settings { breaker, policy: policy::Config::default() });
    let mut calls_max = 0;
    for _ in 0..1_000 {
        let log = AttemptLog::default();
        house.ask(&log).await.unwrap_err();
        calls_max = calls_max.max(log.n_begun());
    }
    assert_eq!(calls_max, 3, "never more than three attempts in one request");
    for model in &models {
        assert!(model.n_calls() <= 1_210, "{}", model.n_calls());
    }
    // The first attempt at a fallback is not a retry: it needs no budget.
    assert!(models[1].n_calls() >= 1_000, "{}", models[1].n_calls());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_after_the_first_text() {
    let breaks = [
        (Act::Fail(Fault::provider(Kind::Transient)), "truncated"),
        (Act::Fail(Fault::provider(Kind::Content)), "content"),
        (Act::Wait(FOREVER), "truncated"),
    ];
    for (act, want) in breaks {
        let primary = Scripted::always(vec![Act::Say("half an "), act]);
        let fallback = Scripted::answers("never asked");
        let house = House::new(&[&primary, &fallback]);
        let log = AttemptLog::default();
        let (text, error) = read(house.ask(&log).await.unwrap().stream).await;
        assert_eq!((text.as_str(), error.unwrap().fault.kind.name()), ("half an ", want));
        assert_eq!((primary.n_calls(), fallback.n_calls()), (1, 0));
        assert_eq!(results(&log.take()), [("p0/m", want)]);
        let counted = u32::from(want == "truncated");
        assert_eq!(house.router.health()[0].failures, counted, "{want}");
    }
    // A stream that just ends is no whole answer either.
    let house = House::new(&[&Scripted::always(vec![Act::Say("half an ")])]);
    let (_, error) = read(house.ask(&AttemptLog::default()).await.unwrap().stream).await;
    assert_eq!(error.unwrap().fault, Fault::provider(Kind::Truncated));
}

#[tokio::test(start_paused = true)]
async fn before_the_first_text_every_failure_is_tried_again() {
    for script in [
        vec![],                                            // an empty stream
        vec![Act::Fail(Fault::provider(Kind::Truncated))], // an error as first event
        vec![Act::Say(""), Act::Done(Finish::Stop)],       // an empty answer
        vec![Act::Wait(FOREVER)],                          // silence after accepting
        vec![Act::AcceptAfter(FOREVER)],                   // silence before
    ] {
        let name = format!("{script:?}");
        let good = vec![Act::Say("hello"), Act::Done(Finish::Stop)];
        let house = House::new(&[&Scripted::new([script, good])]);
        let log = AttemptLog::default();
        let answering = house.ask(&log).await.unwrap();
        assert_eq!((answering.tier, answering.attempt), (Tier::Primary, 2), "{name}");
        assert_eq!(read(answering.stream).await.0, "hello");
        assert!(
            matches!(log.take()[0].result, AttemptResult::Failed(Kind::Transient | Kind::Timeout)),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_target_is_asked_again_when_it_said_and_left_alone_until_then() {
    let asks_for = |seconds| Fault {
        retry: Retry::After(Duration::from_secs(seconds)),
        ..Fault::provider(Kind::Throttled)
    };
    let good = vec![Act::Say("hello"), Act::Done(Finish::Stop)];
    let (primary, fallback) =
        (Scripted::new([vec![Act::Refuse(asks_for(5))], good]), Scripted::answers("meanwhile"));
    let house = House::new(&[&primary, &fallback]);
    let started = house.clock.now();
    let (first, second) = tokio::join!(house.answer(), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.answer().await
    });
    assert_eq!(second.unwrap().1, Tier::Fallback, "others skip it meanwhile");
    assert_eq!(first.unwrap().1, Tier::Primary);
    let took = house.clock.now().since(started);
    assert!(took >= Duration::from_secs(5) && took < Duration::from_millis(5_250), "{took:?}");
    assert_eq!(house.router.health()[0].failures, 0, "being asked to slow down never counts");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_does_not_fit_is_no_retry() {
    // A share of 60 s with a tier below is 29.925 s.
    let fault = Fault { retry: Retry::After(Duration::from_secs(30)), ..Fault::provider(Kind::Throttled) };
    let (primary, fallback) = (Scripted::always(vec![Act::Refuse(fault)]), Scripted::answers("hello"));
    let house = House::new(&[&primary, &fallback]);
    let started = house.clock.now();
    assert_eq!(house.answer().await.unwrap().1, Tier::Fallback);
    assert_eq!((primary.n_calls(), house.clock.now()), (1, started));
    assert_eq!(house.answer().await.unwrap().1, Tier::Fallback);
    assert_eq!(primary.n_calls(), 1, "its gate is shut");
    assert!(house.router.health()[0].quota_for.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_target_that_names_no_wait_is_left_alone_for_a_second() {
    let good = vec![Act::Say("hello"), Act::Done(Finish::Stop)];
    let primary = Scripted::new([vec![Act::Refuse(Fault::provider(Kind::Throttled))], good]);
    let house = House::new(&[&primary]);
    let started = house.clock.now();
    assert_eq!(house.answer().await.unwrap().0, "hello");
    let took = house.clock.now().since(started);
    assert!(took >= Duration::from_secs(1) && took <= Duration::from_millis(1_201), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_primary_leaves_the_fallback_its_share_of_the_deadline() {
    for (deadline_s, want_s) in [
        (60, 29.925), // two attempts: 15 s, and what its share leaves
        (10, 4.925),  // one attempt, cut by its share
    ] {
        let (primary, fallback) = (Scripted::hangs(), Scripted::answers("hello"));
        let house = House::new(&[&primary, &fallback]);
        let log = AttemptLog::default();
        let started = house.clock.now();
        let answering = house.ask_within(&log, Duration::from_secs(deadline_s)).await.unwrap();
        let took = house.clock.now().since(started).as_secs_f64();
        assert!((took - want_s).abs() < 0.01, "{took} of {deadline_s}");
        assert_eq!(answering.tier, Tier::Fallback);
        assert!(log.take().iter().all(|attempt| attempt.result == AttemptResult::Failed(Kind::Timeout)));
        assert_eq!(usize::try_from(primary.n_cut()).unwrap(), primary.n_calls(), "the calls are cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn when_everything_hangs_the_reserve_is_left_for_the_degraded_answer() {
    let models = [Scripted::hangs(), Scripted::hangs(), Scripted::hangs()];
    let house = House::new(&models.each_ref()).embed(2);
    let started = house.clock.now();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::Exhausted, Kind::Timeout));
    let left = started.after(DEADLINE).since(house.clock.now());
    assert!(left >= Duration::from_millis(145), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_cannot_open_a_breaker() {
    let house = House::new(&[&Scripted::hangs()]);
    for _ in 0..20 {
        let unanswered = house.ask_within(&AttemptLog::default(), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(unanswered.fault.origin, Origin::Mainstay);
    }
    assert_eq!(house.router.health()[0].failures, 0);
    // Silence past the limit counts.
    house.ask(&AttemptLog::default()).await.unwrap_err();
    assert!(house.router.health()[0].failures >= 2);
}

#[tokio::test(start_paused = true)]
async fn no_time_at_all_means_no_call() {
    let model = Scripted::answers("hello");
    let house = House::new(&[&model]);
    let unanswered = house.ask_within(&AttemptLog::default(), Duration::from_millis(150)).await.unwrap_err();
    assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::OutOfTime, Kind::Timeout));
    assert_eq!(model.n_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_here_may_take_their_whole_share_and_are_not_counted() {
    let slow = Scripted::always(vec![
        Act::Wait(Duration::from_secs(25)),
        Act::Say("slow "),
        Act::Wait(Duration::from_secs(20)),
        Act::Say("but whole"),
        Act::Done(Finish::Stop),
    ]);
    let (first, second) = (Scripted::fails(Kind::Transient), Scripted::fails(Kind::Transient));
    let mut house = House::new(&[&first, &second, &slow]).embed(2);
    house.route.tiers[2].tier = Tier::Fallback; // reported as embedded wherever it stands
    let log = AttemptLog::default();
    let answering = house.ask(&log).await.unwrap();
    assert_eq!((answering.tier, answering.attempt), (Tier::Embedded, 4));
    let (text, error) = read(answering.stream).await;
    assert!(text == "slow but whole" && error.is_none(), "{text} {error:?}");
    assert_eq!(log.take()[3].first_token, Some(Duration::from_secs(25)));
}

#[tokio::test(start_paused = true)]
async fn failures_here_never_use_up_the_attempts_of_a_turn() {
    let (ill, remote) = (Scripted::fails(Kind::Transient), Scripted::answers("hello"));
    let house = House::new(&[&ill, &remote]).embed(0);
    let log = AttemptLog::default();
    for generation in 0..3 {
        let answering = house.ask(&log).await.unwrap();
        assert_eq!(answering.tier, Tier::Fallback, "generation {generation}");
        read(answering.stream).await;
    }
    assert_eq!((ill.n_calls(), remote.n_calls()), (5, 3));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_cancels_the_call_and_frees_the_probe() {
    let fatal = vec![Act::Refuse(Fault::provider(Kind::RouteFatal))];
    let endless = vec![Act::Say("on "), Act::Say("and on"), Act::Wait(FOREVER)];
    let primary = Scripted::new([fatal, endless]);
    let house = House::new(&[&primary]);
    house.answer().await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(30)).await;

    let log = AttemptLog::default();
    let Answering { mut stream, .. } = house.ask(&log).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!(refused(&unanswered), [Why::Refused(Refused::Probing)]);
    drop(stream);
    assert_eq!(primary.n_cut(), 1);
    assert_eq!(results(&log.take()), [("p0/m", "cancelled")]);
    assert_eq!(house.position("p0/m"), Position::HalfOpen);

    // The same when the caller leaves before any text.
    let log = AttemptLog::default();
    let waiting = Scripted::always(vec![Act::Wait(FOREVER)]);
    let house = House::new(&[&waiting]);
    let left = tokio::time::timeout(Duration::from_secs(3), house.ask(&log)).await;
    assert!(left.is_err());
    let attempts = log.take();
    assert_eq!(results(&attempts), [("p0/m", "cancelled")]);
    assert_eq!((attempts[0].latency, waiting.n_cut()), (Duration::from_secs(3), 1));
    assert_eq!(house.router.health()[0].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_of_a_probe_is_not_given_up() {
    let fatal = vec![Act::Refuse(Fault::provider(Kind::RouteFatal))];
    let mut long = vec![Act::Say("word ")];
    for _ in 0..5 {
        long.extend([Act::Wait(Duration::from_secs(10)), Act::Say("word ")]);
    }
    long.push(Act::Done(Finish::Stop));
    let house = House::new(&[&Scripted::new([fatal, long])]);
    house.answer().await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(30)).await;
    house.answer().await.unwrap();
    assert_eq!(house.position("p0/m"), Position::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_sibling_is_called_at_once_and_a_request_that_fails_everywhere_stops() {
    let (dead, alive) = (Scripted::fails(Kind::Transient), Scripted::answers("sibling"));
    let mut house = House::new(&[&dead, &alive]);
    let sibling = house.route.tiers.pop().unwrap().targets;
    house.route.tiers[0].strategy = Strategy::Priority;
    house.route.tiers[0].targets.extend(sibling);
    let started = house.clock.now();
    assert_eq!(house.answer().await.unwrap(), ("sibling".to_owned(), Tier::Primary));
    assert_eq!((dead.n_calls(), house.clock.now()), (1, started));

    for kind in [Kind::Caller, Kind::Content] {
        let (primary, fallback) = (Scripted::fails(kind), Scripted::answers("never asked"));
        let house = House::new(&[&primary, &fallback]);
        let unanswered = house.answer().await.unwrap_err();
        assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::Stopped, kind));
        assert_eq!((primary.n_calls(), fallback.n_calls()), (1, 0));
    }
    // Too long for one model: another may take it.
    let too_long = Fault { retry: Retry::Elsewhere, ..Fault::provider(Kind::Caller) };
    let (primary, fallback) = (Scripted::always(vec![Act::Refuse(too_long)]), Scripted::answers("longer"));
    let house = House::new(&[&primary, &fallback]);
    assert_eq!(house.answer().await.unwrap(), ("longer".to_owned(), Tier::Fallback));
    assert_eq!((primary.n_calls(), house.router.health()[0].failures), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_taken_whole_by_the_content_filter_is_a_content_failure() {
    let house = House::new(&[&Scripted::always(vec![Act::Done(Finish::ContentFilter)])]);
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((unanswered.reason, unanswered.fault.kind), (Reason::Stopped, Kind::Content));
}

#[tokio::test(start_paused = true)]
async fn later_generations_go_on_where_the_first_one_was_answered() {
    let (dead, alive) = (Scripted::fails(Kind::Transient), Scripted::answers("hello"));
    let house = House::new(&[&dead, &alive, &alive]);
    let log = AttemptLog::default();
    let first = house.ask(&log).await.unwrap();
    let tier_index = first.tier_index;
    read(first.stream).await;
    // The answered attempt does not count, its two failed predecessors do.
    let again = house.ask_changed(&log, |ask| ask.skip = Skip::before(tier_index)).await.unwrap();
    assert_eq!((again.tier_index, again.attempt, dead.n_calls()), (1, 4, 2));
    read(again.stream).await;
    let other = house.ask_changed(&log, |ask| ask.skip = Skip::through(tier_index)).await.unwrap();
    assert_eq!((other.tier_index, other.attempt), (2, 5));
    let nowhere = house.ask_changed(&log, |ask| ask.skip = Skip::through(2)).await.unwrap_err();
    assert_eq!(nowhere.reason, Reason::NoCandidate);
}

#[tokio::test(start_paused = true)]
async fn costs_are_exact_where_prices_and_usage_are_known() {
    let priced = |house: &mut House, input: i64| {
        let prices = Prices::flat("v1", Nanos(input), Nanos(2 * input)).into();
        let id = ModelId::from("p0/m");
        let model = Model { prices, ..Model::unknown(id.clone()) };
        house.catalogue.insert(id, model);
    };
    let cost = async |house: &House| {
        let log = AttemptLog::default();
        if let Ok(answering) = house.ask(&log).await {
            read(answering.stream).await;
        }
        let attempts = log.take();
        let attempt = attempts[0].clone();
        assert_eq!(attempt.prices.is_some(), attempt.cost.amount().is_some_and(|amount| amount.0 > 0));
        (attempt.cost, attempt.usage)
    };
    let mut house = House::new(&[&Scripted::answers("hello")]);
    assert_eq!(cost(&house).await, (Cost::Unpriced, Some(USAGE)));
    priced(&mut house, 1_000_000);
    assert_eq!(cost(&house).await, (Cost::Exact(Nanos(120).into()), Some(USAGE)));
    // What runs here costs nothing for each token.
    assert_eq!(cost(&House::new(&[&Scripted::answers("hello")]).embed(0)).await.0, Cost::FREE);
    // A refused call used nothing; one cut off has, and one accepted may have.
    let mut house = House::new(&[&Scripted::fails(Kind::RouteFatal)]);
    priced(&mut house, 1_000_000);
    assert_eq!(cost(&house).await.0, Cost::FREE);
    let mut house = House::new(&[&Scripted::hangs()]);
    priced(&mut house, 1_000_000);
    assert_eq!(cost(&house).await, (Cost::Estimated(Amount::of(ASKED, Nanos(1_000_000))), None));
}

#[tokio::test(start_paused = true)]
async fn what_a_cut_answer_cost_is_estimated_from_what_was_said() {
    let cut = Scripted::new(vec![vec![
        Act::Say("12345678"),
        Act::Say("9"),
        Act::Fail(Fault::provider(Kind::Truncated)),
    ]]);
    for read_pieces in [usize::MAX, 1] {
        let house = House::new(&[&cut]);
        let log = AttemptLog::default();
        let mut stream = house.ask(&log).await.expect("an answer").stream;
        let mut n_read = 0;
        while n_read < read_pieces && stream.next().await.is_some() {
            n_read += 1;
        }
        drop(stream);
        let attempts = log.take();
        let said = if read_pieces == 1 { 2 } else { 3 };
        let want = Usage::of(ASKED, TokenCount(said));
        assert_eq!((attempts[0].usage, attempts[0].estimate), (None, Some(want)));
        assert_eq!(attempts[0].cost, Cost::Unpriced, "without a price");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_without_provider_is_passed_over() {
    let alive = Scripted::answers("hello");
    let mut house = House::new(&[&alive, &alive]);
    house.route.tiers[0].targets = vec![remote("unknown/m", 1)];
    assert_eq!(house.answer().await.unwrap().1, Tier::Fallback);
    house.route.tiers.truncate(1);
    let unanswered = house.answer().await.unwrap_err();
    assert_eq!((unanswered.fault, refused(&unanswered)), (Fault::unavailable(), vec![Why::NoProvider]));
    assert_eq!(unanswered.to_string(), "route `standard` has no answer: no target may be called now");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_call_is_its_share() {
    let (dead, alive) = (Scripted::fails(Kind::RouteFatal), Scripted::answers("hello"));
    let house = House::new(&[&dead, &alive]);
    house.answer().await.unwrap();
    assert_eq!(dead.calls.lock()[0].deadline, Moment(Duration::from_millis(29_925)));
    assert_eq!(alive.calls.lock()[0].deadline, Moment(Duration::from_millis(59_850)));
}
