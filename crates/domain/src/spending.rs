//! What a call may cost at most, before it is made, and who lends that amount until it is known.

use crate::model::{Cost, Model, TargetKind};
use crate::money::Nanos;
use crate::token::{TokenCount, Usage};

/// How much a request may ask of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Input tokens it cannot exceed.
    pub input: Input,
    /// Most tokens of one answer, where the request says so.
    pub output_max: Option<u32>,
    /// Answers it asks for; at least 1.
    pub answers: u32,
}

/// An upper bound of input tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// At most so many: no tokenizer makes more tokens of a text than it has bytes.
    AtMost(u32),
    /// What is fetched by the provider (pictures and files by their address, tools it runs itself) can fill the context
    /// window.
    UpToContext(u32),
}

/// What stands in for what the catalogue does not know of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumed {
    /// Context window in tokens.
    pub context: u32,
    /// Most tokens of one answer.
    pub output_max: u32,
}

/// What one call uses at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Tokens in and out.
    pub tokens: u64,
    /// Money.
    pub money: Nanos,
}

/// What one call of one model uses at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worst {
    /// So much.
    Priced(Amounts),
    /// Tokens only: the model has no price, which is not the same as free.
    Unpriced(u64),
}

impl Worst {
    /// Tokens in and out.
    #[must_use]
    pub fn tokens(self) -> u64 {
        match self {
            Self::Priced(amounts) => amounts.tokens,
            Self::Unpriced(tokens) => tokens,
        }
    }
}

impl Weight {
    /// What a call of `model` (as the catalogue knows it) uses at most, with answers of at most `output_max` tokens where
    /// its tier says so.
    #[must_use]
    pub fn worst(
        self,
        (model, kind): (Option<&Model>, TargetKind),
        output_max: Option<u32>,
        assumed: Assumed,
    ) -> Worst {
        let context = model.and_then(|model| model.context);
        let input = match (self.input, context) {
            (Input::AtMost(bytes), context) => bytes.min(context.unwrap_or(u32::MAX)),
            (Input::UpToContext(bytes), context) => context.unwrap_or_else(|| assumed.context.max(bytes)),
        };
        let known = model.and_then(|model| model.output_max);
        let limits = [self.output_max, output_max, known].into_iter().flatten().min();
        // An answer is never longer than the window.
        let one = limits.unwrap_or(assumed.output_max).min(context.unwrap_or(u32::MAX));
        let output = one.saturating_mul(self.answers.max(1));
        let tokens = u64::from(input) + u64::from(output);
        let dearest = model.and_then(|model| model.prices.at_most(TokenCount(input), TokenCount(output)));
        match (dearest, kind) {
            (None, TargetKind::Embedded) => Worst::Priced(Amounts { tokens, money: Nanos(0) }),
            (None, TargetKind::Remote) => Worst::Unpriced(tokens),
            (Some(amount), _) => Worst::Priced(Amounts { tokens, money: amount.nanos_up() }),
        }
    }
}

/// What a call used in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Tokens, where the provider said.
    pub usage: Option<Usage>,
    /// Its cost.
    pub cost: Cost,
}

/// A call is not covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCovered {
    /// The tokens or the money left are not enough for its worst case.
    #[error("what is left of a limit or budget does not cover it")]
    TooLittle,
    /// The model has no price, and who asks has a budget.
    #[error("its model has no price, and there is a budget to keep")]
    Unpriced,
}

/// Pays for the calls of one turn: each is covered before it is made, at its worst case, and settled when it ends.
pub trait Purse: Send + Sync {
    /// Sets `worst` aside for a call.
    ///
    /// # Errors
    /// [`NotCovered`]; then the call must not be made.
    fn cover(&self, worst: Worst) -> Result<(), NotCovered>;
    /// A call that was covered with `worst` has ended. `None` when it was not made.
    fn settle(&self, worst: Worst, spent: Option<Spent>);
    /// What the catalogue does not know.
    fn assumed(&self) -> Assumed;
}
