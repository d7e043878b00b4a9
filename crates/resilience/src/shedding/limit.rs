//! How many requests of a route may be under way at once, from the time that their answers take.
//!
//! The gradient of Netflix's `concurrency-limits` (`Gradient2Limit`) and of Envoy's adaptive concurrency filter:
//! `gradient = tolerance × usual time ÷ time now`, between ½ and 1; `limit = under way × gradient + √(under way)`.
//! Twice the usual time at a tolerance of one is half of all requests waiting in somebody's queue; those are the ones
//! that the limit takes away. The square root leaves room for bursts and lets the limit find more.

use std::time::Duration;

use domain::time::Moment;

use super::{Config, Work};

/// Times are compared this often, and not before so many answers say something.
const WINDOW: Duration = Duration::from_secs(1);
const ANSWERS_MIN: u32 = 10;
/// The limit at most halves at once.
const GRADIENT_MIN: f64 = 0.5;
/// The share of a difference that the usual time follows in one window: faster answers are believed soon. Slower ones
/// become usual in minutes, and over ten while the limit bites, since it is then that we may cause them ourselves; but
/// never to follow would keep a route whose model has become slow at its least for ever.
const FASTER: f64 = 1.0 / 4.0;
const SLOWER: f64 = 1.0 / 60.0;
const SLOWER_AT_THE_LIMIT: f64 = 1.0 / 600.0;
const SLOW_MAX: f64 = 2.0;

/// The limit of one route.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    config: Config,
    limit: f64,
    /// Usual seconds to an answer, for each kind of work.
    usual: [Option<f64>; Work::COUNT],
    window: Window,
}

/// The answers since times were compared last.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    began: Option<Moment>,
    /// Most requests under way at once.
    peak: u32,
    answers: u32,
    sums: [Sum; Work::COUNT],
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    answers: u32,
    time: Duration,
}

impl Limit {
    pub(super) fn new(config: Config) -> Self {
        let limit = f64::from(config.requests_max);
        Self { config, limit, usual: [None; Work::COUNT], window: Window::default() }
    }

    /// Most requests at once, as of now.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two u32, above zero"
    )]
    pub(super) fn current(&self) -> u32 {
        self.limit as u32
    }

    /// An answer began after `took`, with `under_way` requests at that moment, itself included.
    #[expect(clippy::too_many_arguments, reason = "what ended and how, and the injected time")]
    pub(super) fn answered(&mut self, work: Work, took: Duration, under_way: u32, now: Moment) {
        let window = &mut self.window;
        let began = *window.began.get_or_insert(now);
        window.peak = window.peak.max(under_way);
        window.answers = window.answers.saturating_add(1);
        if let Some(sum) = window.sums.get_mut(work.index()) {
            sum.answers = sum.answers.saturating_add(1);
            sum.time = sum.time.saturating_add(took);
        }
        if window.answers >= ANSWERS_MIN && now.since(began) >= WINDOW {
            self.compare();
        }
    }

    /// Compares the times of the window with the usual ones.
    fn compare(&mut self) {
        let Window { peak, answers, sums, .. } = std::mem::take(&mut self.window);
        let peak = f64::from(peak);
        let at_the_limit = peak + 1.0 > self.limit;
        let least = self.config.latency_min.as_secs_f64();
        let tolerance = f64::from(self.config.tolerance_percent) / 100.0;
        let mut gradient = 0.0;
        for (sum, usual) in sums.iter().zip(&mut self.usual) {
            if sum.answers == 0 {
                continue;
            }
            let now = (sum.time.as_secs_f64() / f64::from(sum.answers)).max(least);
            let usual = usual.get_or_insert(now);
            gradient += f64::from(sum.answers) * (tolerance * *usual / now).clamp(GRADIENT_MIN, 1.0);
            let follow = match (now < *usual, at_the_limit) {
                (true, _) => FASTER,
                (false, true) => SLOWER_AT_THE_LIMIT,
                (false, false) => SLOWER,
            };
            *usual += (now.min(*usual * SLOW_MAX) - *usual) * follow;
        }
        gradient /= f64::from(answers);
        if gradient < 1.0 {
            let base = self.limit.min(peak);
            self.limit = base * gradient + base.sqrt();
        } else if peak * 2.0 >= self.limit {
            self.limit += self.limit.sqrt();
        }
        let (min, max) = (f64::from(self.config.requests_min), f64::from(self.config.requests_max));
        self.limit = self.limit.clamp(min, max);
    }
}

#[cfg(test)]
mod tests {
    use testkit::SeededRng;

    use super::*;
    use crate::chance::below;

    /// Answers of a route that works on `capacity` requests at once in `alone_ms` each, the others waiting: as many
    /// as fit the limit are under way, `demand` at most, for `seconds`. Returns the limit at the end.
    struct Route {
        limit: Limit,
        now: Moment,
    }

    impl Route {
        fn new() -> Self {
            Self { limit: Limit::new(Config::default()), now: Moment::default() }
        }

        fn run(&mut self, seconds: u64, demand: u32, time_ms: impl Fn(u32) -> u64) -> u32 {
            for _ in 0..seconds * 10 {
                let under_way = demand.min(self.limit.current());
                let took = Duration::from_millis(time_ms(under_way));
                for _ in 0..10 {
                    self.limit.answered(Work::Whole, took, under_way, self.now);
                }
                self.now = self.now.after(Duration::from_millis(100));
            }
            self.limit.current()
        }
    }

    /// A route that answers 100 requests at once in 200 ms each; more wait for one another.
    fn of_100(under_way: u32) -> u64 {
        u64::from(under_way.max(100)) * 2
    }

    #[test]
    fn steady_answers_leave_the_limit_at_its_most() {
        let mut route = Route::new();
        assert_eq!(route.run(600, 90, of_100), 2_048);
    }

    #[test]
    fn an_overload_finds_what_the_route_can_do() {
        let mut route = Route::new();
        route.run(60, 90, of_100);
        let limit = route.run(60, 2_000, of_100);
        // Twice the usual time is tolerated: 200 under way, and the room that the square root leaves.
        assert!((190..=280).contains(&limit), "{limit}");
        // Ten minutes of it move what counts as usual a little, and never to where it began.
        let limit = route.run(600, 2_000, of_100);
        assert!((190..=800).contains(&limit), "{limit}");
        // It is over: the limit finds its way back while it is used, and is no hindrance otherwise.
        assert!(route.run(120, 90, of_100) >= 180);
    }

    #[test]
    fn it_falls_within_seconds() {
        let mut route = Route::new();
        route.run(60, 90, of_100);
        let limit = route.run(5, 2_000, of_100);
        assert!(limit < 700, "{limit}");
    }

    #[test]
    fn fast_answers_are_never_too_slow() {
        let mut route = Route::new();
        route.run(60, 50, |_| 1);
        assert_eq!(route.run(60, 50, |_| 99), 2_048, "a hundred times slower, and still fast");
    }

    #[test]
    fn a_model_that_has_become_slow_is_usual_after_a_while() {
        let mut route = Route::new();
        route.run(60, 100, |_| 200);
        let at_first = route.run(10, 100, |_| 2_000);
        assert!(at_first < 100, "{at_first}");
        let later = route.run(3_000, 100, |_| 2_000);
        assert!(later >= 100, "{later}");
    }

    #[test]
    fn few_answers_say_nothing() {
        let mut limit = Limit::new(Config::default());
        for second in 0..9 {
            let took = Duration::from_secs(1 + second * 10);
            limit.answered(Work::Turn, took, 9, Moment(Duration::from_secs(second)));
        }
        assert_eq!(limit.current(), 2_048);
    }

    #[test]
    fn kinds_of_work_have_their_own_usual_time() {
        let mut limit = Limit::new(Config::default());
        let mut now = Moment::default();
        for second in 0..60 {
            // The mix changes from second to second; each kind takes its time.
            for n in 0..100 {
                let (work, took_ms) = if n < second { (Work::Stream, 200) } else { (Work::Whole, 9_000) };
                limit.answered(work, Duration::from_millis(took_ms), 100, now);
            }
            now = now.after(WINDOW);
        }
        assert_eq!(limit.current(), 2_048);
    }

    #[test]
    fn every_history_keeps_the_bounds() {
        for seed in 0..500 {
            let rng = SeededRng::new(seed);
            let requests_min = 1 + u32::try_from(below(&rng, 50)).unwrap();
            let config = Config { requests_min, requests_max: requests_min + 100, ..Config::default() };
            let (mut limit, mut now) = (Limit::new(config), Moment::default());
            for _ in 0..2_000 {
                let work = [Work::Turn, Work::Whole, Work::Stream][usize::try_from(below(&rng, 3)).unwrap()];
                let under_way = u32::try_from(below(&rng, 200)).unwrap();
                limit.answered(work, Duration::from_millis(below(&rng, 20_000)), under_way, now);
                now = now.after(Duration::from_millis(below(&rng, 300)));
                let bounds = config.requests_min..=config.requests_max;
                assert!(bounds.contains(&limit.current()), "seed {seed}: {limit:?}");
            }
        }
    }
}
