//! Money of one period: what was spent, what is set aside, and what is left. Pure; the clock is passed in.

use domain::limit::{Period, Span};
use domain::money::Nanos;
use domain::time::Timestamp;

/// What has come about in one day, month or all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    span: Span,
    spent: Nanos,
    set_aside: Nanos,
    /// The highest share in percent that was told of.
    told: u8,
}

impl Window {
    fn new(span: Span) -> Self {
        Self { span, spent: Nanos(0), set_aside: Nanos(0), told: 0 }
    }
}

/// A budget. It counts also without an amount, so that one can be set at any time.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    period: Period,
    limit: Option<Nanos>,
    current: Window,
    /// The one before: what was admitted in it may end later, and a clock may go back into it.
    previous: Option<Window>,
    /// Whether what was spent before this process began is counted in.
    past: Past,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    Known,
    Unknown,
}

/// How a budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetReading {
    /// Its period.
    pub period: Period,
    /// Its amount.
    pub limit: Nanos,
    /// What was spent.
    pub spent: Nanos,
    /// What is set aside for requests under way.
    pub set_aside: Nanos,
    /// What a new request may have.
    pub remaining: Nanos,
    /// When it begins anew.
    pub span: Span,
}

/// Shares in percent that are told of, once each in a period.
pub(super) const SHARES: [u8; 3] = [50, 80, 100];
/// From this share on a request that does not fit is the end of a budget.
const NEARLY: u8 = 80;

impl Budget {
    pub(super) fn new(period: Period, now: Timestamp) -> Self {
        Self {
            period,
            limit: None,
            current: Window::new(period.around(now)),
            previous: None,
            past: Past::Unknown,
        }
    }

    pub(super) fn period(&self) -> Period {
        self.period
    }

    pub(super) fn limit(&self) -> Option<Nanos> {
        self.limit
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.past == Past::Known
    }

    pub(super) fn set_limit(&mut self, limit: Option<Nanos>) {
        if self.limit != limit {
            self.limit = limit;
            self.current.told = self.share();
        }
    }

    /// The window that holds `at`, made where it is new.
    ///
    /// A clock that went on too far and comes back finds the window it left. One that goes back further than is known
    /// finds a window with what was spent in the present one: a clock that goes back frees no money.
    fn window(&mut self, at: Timestamp) -> &mut Window {
        if self.current.span.holds(at) {
            return &mut self.current;
        }
        if !self.previous.is_some_and(|previous| previous.span.holds(at)) {
            let is_before_all =
                at < self.current.span.start && self.previous.is_none_or(|previous| at < previous.span.start);
            let mut new = Window::new(self.period.around(at));
            if is_before_all {
                (new.spent, new.told) = (self.current.spent, self.current.told);
            }
            let left = std::mem::replace(&mut self.current, new);
            // The nearer one is what a corrected clock comes back to.
            let far = |window: &Window| window.span.start.0.abs_diff(at.0);
            self.previous = Some(self.previous.filter(|previous| far(previous) < far(&left)).unwrap_or(left));
            return &mut self.current;
        }
        self.previous.as_mut().unwrap_or(&mut self.current)
    }

    /// Whether `amount` more can be set aside.
    pub(super) fn check(&mut self, at: Timestamp, amount: Nanos) -> Result<(), BudgetReading> {
        let Some(limit) = self.limit else { return Ok(()) };
        let window = self.window(at);
        let left = limit.0.saturating_sub(window.spent.0).saturating_sub(window.set_aside.0);
        // What costs nothing is covered by nothing, also when more was spent than there was.
        if amount.0 == 0 || amount.0 <= left { Ok(()) } else { Err(self.read(at, limit)) }
    }

    pub(super) fn set_aside(&mut self, at: Timestamp, amount: Nanos) {
        let window = self.window(at);
        window.set_aside.0 = window.set_aside.0.saturating_add(amount.0);
    }

    /// What was set aside at `at` and not used.
    pub(super) fn free(&mut self, at: Timestamp, freed: Nanos) {
        let known = [Some(&mut self.current), self.previous.as_mut()];
        if let Some(window) = known.into_iter().flatten().find(|window| window.span.holds(at)) {
            window.set_aside.0 = window.set_aside.0.saturating_sub(freed.0).max(0);
        }
    }

    /// Of what was set aside at `at`, `freed` is no longer, and `spent` was spent. Says which shares that passed.
    pub(super) fn settle(&mut self, at: Timestamp, freed: Nanos, spent: Nanos) -> Told {
        self.free(at, freed);
        // Two windows later nobody asks for that one any more.
        let known = [Some(&mut self.current), self.previous.as_mut()];
        if let Some(window) = known.into_iter().flatten().find(|window| window.span.holds(at)) {
            window.spent.0 = window.spent.0.saturating_add(spent.0);
        }
        match self.current.span.holds(at) {
            true => self.tell(self.share()),
            false => Told::NOTHING,
        }
    }

    /// A request was refused for want of it. What is nearly spent is used up with that; a request that is too large for a
    /// budget with much left says nothing of it, nor does one that others under way leave no room.
    pub(super) fn refused(&mut self, at: Timestamp) -> Told {
        match self.current.span.holds(at) && self.share() >= NEARLY {
            true => self.tell(100),
            false => Told::NOTHING,
        }
    }

    /// What was spent before this process began; it is told of already.
    pub(super) fn load(&mut self, at: Timestamp, spent: Nanos) {
        if std::mem::replace(&mut self.past, Past::Known) == Past::Known {
            return;
        }
        let window = self.window(at);
        window.spent.0 = window.spent.0.saturating_add(spent.0);
        self.current.told = self.share();
    }

    /// It begins anew, but for what is under way.
    pub(super) fn reset(&mut self) {
        (self.current.spent, self.current.told) = (Nanos(0), 0);
        // Nothing before now counts any more.
        self.past = Past::Known;
    }

    pub(super) fn reading(&mut self, at: Timestamp) -> Option<BudgetReading> {
        let limit = self.limit?;
        Some(self.read(at, limit))
    }

    fn read(&mut self, at: Timestamp, limit: Nanos) -> BudgetReading {
        let period = self.period;
        let Window { span, spent, set_aside, .. } = *self.window(at);
        let remaining = Nanos(limit.0.saturating_sub(spent.0).saturating_sub(set_aside.0).max(0));
        BudgetReading { period, limit, spent, set_aside, remaining, span }
    }

    /// The highest of [`SHARES`] that is spent.
    fn share(&self) -> u8 {
        self.share_of(self.current.spent.0)
    }

    /// The highest of [`SHARES`] that `nanos` are.
    fn share_of(&self, nanos: i64) -> u8 {
        let Some(limit) = self.limit else { return 0 };
        let spent = i128::from(nanos) * 100;
        let reached = |share: &&u8| spent >= i128::from(**share) * i128::from(limit.0.max(1));
        SHARES.iter().rev().find(reached).copied().unwrap_or(0)
    }

    fn tell(&mut self, share: u8) -> Told {
        let told = Told { above: self.current.told, up_to: share };
        self.current.told = self.current.told.max(share);
        told
    }
}

/// Shares of a budget to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    above: u8,
    up_to: u8,
}

impl Told {
    pub(super) const NOTHING: Self = Self { above: 0, up_to: 0 };

    pub(super) fn shares(self) -> impl Iterator<Item = u8> {
        SHARES.into_iter().filter(move |share| self.above < *share && *share <= self.up_to)
    }

    pub(super) fn is_any(self) -> bool {
        self.above < self.up_to
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect(text)
    }

    fn budget(period: Period, limit: i64, now: Timestamp) -> Budget {
        let mut budget = Budget::new(period, now);
        budget.set_limit(Some(Nanos(limit)));
        budget
    }

    fn take(budget: &mut Budget, at: Timestamp, amount: i64) -> bool {
        let is_free = budget.check(at, Nanos(amount)).is_ok();
        if is_free {
            budget.set_aside(at, Nanos(amount));
        }
        is_free
    }

    #[test]
    fn what_is_set_aside_is_not_given_twice_and_what_is_not_spent_comes_back() {
        let now = at("2026-11-21T12:00:00Z");
        let mut budget = budget(Period::Day, 100, now);
        assert!(take(&mut budget, now, 60));
        assert!(!take(&mut budget, now, 41));
        assert!(take(&mut budget, now, 40));
        assert!(!take(&mut budget, now, 1));
        let _ = budget.settle(now, Nanos(60), Nanos(10));
        assert!(take(&mut budget, now, 50));
        let reading = budget.reading(now).expect("it has a limit");
        assert_eq!((reading.spent, reading.set_aside, reading.remaining), (Nanos(10), Nanos(90), Nanos(0)));
    }

    #[test]
    fn a_new_day_is_a_new_budget_and_what_began_before_counts_for_its_day() {
        let (late, early) = (at("2026-11-21T23:59:59.999999Z"), at("2026-11-22T00:00:00Z"));
        let mut budget = budget(Period::Day, 100, late);
        assert!(take(&mut budget, late, 100));
        assert!(!take(&mut budget, late, 1));
        assert!(take(&mut budget, early, 100));
        let _ = budget.settle(late, Nanos(100), Nanos(100));
        let reading = budget.reading(early).expect("a limit");
        assert_eq!((reading.spent, reading.set_aside), (Nanos(0), Nanos(100)));
        // A clock that goes back over midnight finds the day as it was left.
        assert!(!take(&mut budget, late, 1));
        assert!(!take(&mut budget, early, 1));
    }

    #[test]
    fn a_month_lasts_its_days_and_all_time_never_ends() {
        let now = at("2026-02-28T23:59:59Z");
        let (mut month, mut total) = (budget(Period::Month, 5, now), budget(Period::Total, 5, now));
        assert!(take(&mut month, now, 5) && take(&mut total, now, 5));
        assert!(!take(&mut month, now, 1));
        assert!(take(&mut month, at("2026-03-01T00:00:00Z"), 5));
        assert!(!take(&mut total, at("2126-03-01T00:00:00Z"), 1));
    }

    #[test]
    fn a_wrong_clock_frees_no_money_and_sticks_to_nothing() {
        let now = at("2026-11-21T12:00:00Z");
        let mut budget = budget(Period::Day, 100, now);
        assert!(take(&mut budget, now, 100));
        let _ = budget.settle(now, Nanos(100), Nanos(100));
        // Back by more than is known: nothing is free.
        assert!(!take(&mut budget, at("2025-10-17T12:00:00Z"), 1));
        assert!(!take(&mut budget, now, 1));
        // Far on, and back to the next day: that is a new day.
        assert!(take(&mut budget, at("2027-12-26T12:00:00Z"), 1));
        assert!(!take(&mut budget, now, 1));
        assert!(take(&mut budget, at("2026-11-22T12:00:00Z"), 100));
    }

    #[test]
    fn each_share_is_told_of_once_in_a_period() {
        let now = at("2026-11-21T12:00:00Z");
        let mut budget = budget(Period::Day, 100, now);
        let told = |told: Told| told.shares().collect::<Vec<_>>();
        for (spent, want) in
            [(49, vec![]), (1, vec![50]), (10, vec![]), (39, vec![80]), (1, vec![100]), (5, vec![])]
        {
            budget.set_aside(now, Nanos(spent));
            assert_eq!(told(budget.settle(now, Nanos(spent), Nanos(spent))), want, "{spent}");
        }
        let next = at("2026-11-22T12:00:00Z");
        budget.set_aside(next, Nanos(90));
        assert_eq!(told(budget.settle(next, Nanos(90), Nanos(90))), [50, 80]);
        // Refused for want of it: that is its end, told once.
        assert_eq!(told(budget.refused(next)), [100]);
        assert_eq!(told(budget.refused(next)), Vec::<u8>::new());
        // What is too large for most of it tells nothing, and keeps nothing from being told.
        let last = at("2026-11-23T12:00:00Z");
        budget.set_aside(last, Nanos(10));
        assert_eq!(told(budget.refused(last)), Vec::<u8>::new());
        assert_eq!(told(budget.settle(last, Nanos(10), Nanos(55))), [50]);
        // What is set aside was not spent: it may come back, and what is spent of it is told of then.
        budget.set_aside(last, Nanos(40));
        assert_eq!(told(budget.refused(last)), Vec::<u8>::new());
        assert_eq!(told(budget.settle(last, Nanos(40), Nanos(30))), [80]);
    }

    #[test]
    fn what_was_spent_before_a_restart_counts_and_is_not_told_of_again() {
        let now = at("2026-11-21T12:00:00Z");
        let mut budget = budget(Period::Month, 100, now);
        budget.load(now, Nanos(60));
        assert!(!take(&mut budget, now, 41));
        assert!(take(&mut budget, now, 30));
        assert_eq!(budget.settle(now, Nanos(30), Nanos(30)).shares().collect::<Vec<_>>(), [80]);
        budget.reset();
        assert!(take(&mut budget, now, 100));
    }

    proptest! {
        /// Whatever is begun, ended and dropped in any order over any days: spent and set aside never pass the limit in
        /// any window, and when all has ended nothing is set aside any more.
        #[test]
        fn never_over_and_nothing_leaks(
            limit in 1_i64..1_000,
            steps in prop::collection::vec((0_i64..30, 1_i64..300, 0_u8..=100, prop::bool::ANY), 1..200),
        ) {
            let mut now = at("2026-11-21T00:00:00Z");
            let mut budget = budget(Period::Day, limit, now);
            let mut under_way = Vec::new();
            for (hours, amount, used_percent, ends) in steps {
                // Up to one day back or more than one on.
                now = Timestamp(now.0 + (hours - 4) * 3_600_000_000);
                if take(&mut budget, now, amount) {
                    under_way.push((now, amount, amount * i64::from(used_percent) / 100));
                }
                if ends && !under_way.is_empty() {
                    let (began, amount, used) = under_way.swap_remove(under_way.len() / 2);
                    let _ = budget.settle(began, Nanos(amount), Nanos(used));
                }
                let reading = budget.reading(now).expect("a limit");
                prop_assert!(reading.spent.0 + reading.set_aside.0 <= limit, "{reading:?}");
                prop_assert!(reading.set_aside.0 >= 0 && reading.spent.0 >= 0);
            }
            prop_assert!(budget.previous.is_none_or(|window| window.spent.0 + window.set_aside.0 <= limit));
        }

        #[test]
        fn all_that_is_set_aside_comes_back(
            amounts in prop::collection::vec((1_i64..300, 0_i64..400), 1..100),
        ) {
            let now = at("2026-11-21T00:00:00Z");
            let mut budget = budget(Period::Total, 100_000, now);
            let mut spent_in_all = 0;
            for (amount, _) in &amounts {
                prop_assert!(take(&mut budget, now, *amount));
            }
            for (amount, used) in &amounts {
                // More may be used than was set aside: it is owed then.
                let _ = budget.settle(now, Nanos(*amount), Nanos(*used));
                spent_in_all += used;
            }
            let reading = budget.reading(now).expect("a limit");
            prop_assert_eq!((reading.set_aside, reading.spent), (Nanos(0), Nanos(spent_in_all)));
        }
    }
}
