//! Tells when half, most and all of a budget is used: once each, in the log, and to whoever listens.

use domain::limit::Level;
use tokio::sync::broadcast;

use super::budget::BudgetReading;

/// A share of a budget is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Whose budget.
    pub level: Level,
    /// In percent: 50, 80 or 100. At 100 nothing is left, or less than a fifth and not enough for a request that came.
    pub share: u8,
    /// How it was then.
    pub budget: BudgetReading,
}

/// Alerts that a slow listener may be behind; older ones are lost to it, not to the log.
const ALERTS_MAX: usize = 64;

pub(super) struct Alerts(broadcast::Sender<Alert>);

impl Default for Alerts {
    fn default() -> Self {
        Self(broadcast::Sender::new(ALERTS_MAX))
    }
}

impl Alerts {
    pub(super) fn listen(&self) -> broadcast::Receiver<Alert> {
        self.0.subscribe()
    }

    pub(super) fn tell(&self, alert: Alert) {
        let Alert { level, share, budget } = &alert;
        let (spent_usd, limit_usd, period) = (budget.spent.usd(), budget.limit.usd(), budget.period.name());
        tracing::warn!(
            level = level.name(),
            level.id = level.id(),
            period,
            share,
            spent_usd,
            limit_usd,
            "{level} has used {share} % of its budget: ${spent_usd} of ${limit_usd} ({period})"
        );
        // Without a listener nobody is told; the log has it.
        let _ = self.0.send(alert);
    }
}
