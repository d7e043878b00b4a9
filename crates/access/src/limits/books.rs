//! What was spent before this process began, read from the ledger; and budgets that begin anew.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use domain::key::Key;
use domain::limit::{Level, Span};
use domain::money::Amount;
use domain::ports::{Spending, StoreError};
use domain::principal::Asker;
use domain::time::Timestamp;

use super::meter::Now;
use super::meters::Meters;
use super::own::Own;

impl Meters {
    /// Goes on with the limits that `keys` have of their own; a key that took the place of another counts with it.
    pub fn adopt(&self, keys: &[Key], now: Now) {
        let defaults = self.key_defaults();
        for key in keys {
            // Also of one that ended: it may stand between its successor and the key it replaced.
            if let Some(before) = &key.replaces {
                self.join_keys(before, &key.id, now);
            }
            match Own::of(key).limits(&defaults) {
                _ if !key.is_usable(now.wall) => {}
                Some(limits) => self.set_key(&key.id, Some(&limits), now),
                None if self.knows(&key.id) => self.set_key(&key.id, None, now),
                None => {}
            }
        }
    }

    /// Reads from the ledger what was spent of budgets that this process does not know the past of. To be called before
    /// requests are taken on, and after budgets were given.
    ///
    /// # Errors
    /// [`StoreError`]; then they count from the start of this process, or from when they were given, only.
    pub async fn catch_up(&self, ledger: &dyn Spending, now: Now) -> Result<(), StoreError> {
        let mut sums: BTreeMap<Span, Vec<(Asker, Amount)>> = BTreeMap::new();
        // Else a key's first request would make it a meter that knows nothing of what the key spent before.
        for period in self.unmet() {
            let before = Span { start: period.around(now.wall).start, end: self.began() };
            let askers = ledger.spent(before).await?;
            self.meet(period, &askers, now);
            sums.insert(before, askers);
        }
        let missing = self.missing();
        if missing.is_empty() {
            return Ok(());
        }
        let resets: BTreeMap<Level, Timestamp> = ledger.resets().await?.into_iter().collect();
        for (level, period, end) in missing {
            let reset = resets.get(&level).copied().unwrap_or(Timestamp(i64::MIN));
            let start = period.around(now.wall).start.max(reset);
            // What began later was counted as it came.
            let before = Span { start, end };
            let askers = match sums.entry(before) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(ledger.spent(before).await?),
            };
            let own = askers.iter().filter(|(asker, _)| self.counts(&level, asker));
            let spent: Amount = own.map(|(_, amount)| *amount).sum();
            self.load(&level, period, (now, spent.nanos_up()));
        }
        Ok(())
    }

    /// Makes the budgets of `level` begin anew, also after a restart; `false` when it has none.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be kept; then nothing has changed.
    pub async fn begin_anew(
        &self,
        ledger: &dyn Spending,
        level: &Level,
        now: Now,
    ) -> Result<bool, StoreError> {
        let Some(counted) = self.counted_as(level) else { return Ok(false) };
        ledger.reset(counted, now.wall).await?;
        Ok(self.reset(level))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::id::KeyId;
    use domain::money::Nanos;
    use domain::ports::BoxFuture;
    use domain::spending::{Amounts, Worst};
    use domain::time::Moment;
    use parking_lot::Mutex;

    use super::*;
    use crate::limits::Config;

    /// Turns with their asker and cost in nano-dollars.
    #[derive(Default)]
    struct Ledger {
        turns: Vec<(Timestamp, Asker, i64)>,
        resets: Mutex<BTreeMap<Level, Timestamp>>,
    }

    impl Spending for Ledger {
        fn spent(&self, span: Span) -> BoxFuture<'_, Result<Vec<(Asker, Amount)>, StoreError>> {
            let within = self.turns.iter().filter(move |(at, ..)| span.holds(*at));
            let sums = within.map(|(_, asker, nanos)| (asker.clone(), Nanos(*nanos).into())).collect();
            Box::pin(async move { Ok(sums) })
        }

        fn resets(&self) -> BoxFuture<'_, Result<Vec<(Level, Timestamp)>, StoreError>> {
            Box::pin(async move { Ok(self.resets.lock().clone().into_iter().collect()) })
        }

        fn reset(&self, level: Level, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
            Box::pin(async move {
                self.resets.lock().insert(level, at);
                Ok(())
            })
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect(text)
    }

    fn now() -> Now {
        Now { moment: Moment::default(), wall: at("2026-11-21T12:00:00Z") }
    }

    fn asker(key: &str) -> Asker {
        Asker { tenant: "acme".into(), key: key.into() }
    }

    fn key(id: &str, replaces: Option<&str>, budget: Option<&str>) -> Key {
        Key {
            id: id.into(),
            hash: [0; 32],
            name: "one".to_owned(),
            tenant: "acme".into(),
            role: domain::principal::Role::App,
            grant: domain::grant::Grant::default(),
            created: at("2026-01-01T00:00:00Z"),
            created_by: "open".into(),
            expires: None,
            revoked: None,
            replaces: replaces.map(KeyId::from),
            limits: None,
            budget: budget.map(str::to_owned),
        }
    }

    fn ledger() -> Ledger {
        let turns = vec![
            (at("2026-10-31T23:59:59Z"), asker("one"), 1_000),
            (at("2026-11-01T00:00:00Z"), asker("one"), 200),
            (at("2026-11-20T23:59:59Z"), asker("two"), 30),
            (at("2026-11-21T11:59:59Z"), asker("two"), 4),
            // Begun by this process: it was counted as it came.
            (at("2026-11-21T12:00:00Z"), asker("two"), 50_000),
        ];
        Ledger { turns, ..Ledger::default() }
    }

    fn meters() -> Arc<Meters> {
        let mut config = Config::default();
        config.server.budget = Some(["day", "month", "total"].map(|period| format!("1/{period}")).to_vec());
        Arc::new(Meters::new(&config, now()).expect("valid"))
    }

    fn spent(meters: &Meters, level: &Level) -> Vec<i64> {
        let reading = meters.read(level, now()).expect("a meter");
        reading.budgets.iter().map(|budget| budget.spent.0).collect()
    }

    #[tokio::test]
    async fn the_past_is_read_once_for_each_period_and_level() {
        let (meters, ledger) = (meters(), ledger());
        let budget = r#"["1/day","1/month","1/total"]"#;
        meters.adopt(&[key("one", None, Some(budget)), key("two", Some("one"), Some(budget))], now());
        for _ in 0..2 {
            meters.catch_up(&ledger, now()).await.expect("readable");
            assert_eq!(spent(&meters, &Level::Server), [4, 234, 1_234]);
            // A key and the one whose place it took are one.
            for key in ["one", "two"] {
                assert_eq!(spent(&meters, &Level::Key(key.into())), [4, 234, 1_234], "{key}");
            }
        }
    }

    #[tokio::test]
    async fn a_budget_given_later_knows_its_past_and_what_came_since() {
        let (meters, ledger) = (meters(), ledger());
        meters.catch_up(&ledger, now()).await.expect("readable");
        let worst = Worst::Priced(Amounts { tokens: 1, money: Nanos(7) });
        let (allowance, _) = meters.admit(&asker("two"), now(), worst).expect("free");
        let purse = allowance.purse().expect("counted");
        purse.cover(worst).expect("free");
        meters.adopt(&[key("two", None, Some(r#"["1/month"]"#))], now());
        let spent_on =
            domain::spending::Spent { usage: None, cost: domain::price::Cost::Exact(Nanos(7).into()) };
        purse.settle(worst, Some(spent_on));
        meters.catch_up(&ledger, now()).await.expect("readable");
        assert_eq!(spent(&meters, &Level::Key("two".into())), [34 + 7]);
    }

    #[tokio::test]
    async fn a_budget_of_a_level_that_had_no_limits_knows_all_that_was_spent_before() {
        let (meters, ledger) = (Arc::new(Meters::new(&Config::default(), now()).expect("valid")), ledger());
        let budget = |budget: &str| {
            let mut config = Config::default();
            config.server.budget = Some(vec![budget.to_owned()]);
            config
        };
        // Half a day later: what this process took on until then, the server did not count.
        let later = Now { wall: at("2026-11-21T23:00:00Z"), ..now() };
        meters.configure(&budget("1/day"), later).expect("valid");
        meters.catch_up(&ledger, later).await.expect("readable");
        assert_eq!(spent(&meters, &Level::Server), [50_004]);
        // It is another budget, and the same money.
        meters.configure(&budget("2/month"), later).expect("valid");
        meters.catch_up(&ledger, later).await.expect("readable");
        assert_eq!(spent(&meters, &Level::Server), [50_234]);
    }

    #[tokio::test]
    async fn the_usual_budget_of_keys_knows_the_past_of_each() {
        let mut config = Config::default();
        config.key.budget = vec!["1/month".to_owned()];
        let (meters, ledger) = (Arc::new(Meters::new(&config, now()).expect("valid")), ledger());
        meters.adopt(&[key("one", None, None)], now());
        meters.catch_up(&ledger, now()).await.expect("readable");
        for (key, want) in [("one", 200), ("two", 34)] {
            meters.admit(&asker(key), now(), Worst::Priced(Amounts::default())).expect("free");
            assert_eq!(spent(&meters, &Level::Key(key.into())), [want], "{key}");
        }
    }

    #[tokio::test]
    async fn a_reset_outlives_the_process() {
        let (first, ledger) = (meters(), ledger());
        first.catch_up(&ledger, now()).await.expect("readable");
        assert!(first.begin_anew(&ledger, &Level::Server, now()).await.expect("written"));
        assert_eq!(spent(&first, &Level::Server), [0, 0, 0]);
        assert!(!first.begin_anew(&ledger, &Level::Tenant("x".into()), now()).await.expect("none"));
        let second = meters();
        second.catch_up(&ledger, now()).await.expect("readable");
        assert_eq!(spent(&second, &Level::Server), [0, 0, 0]);
    }
}
