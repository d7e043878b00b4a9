//! Token counts.

/// A number of model tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenCount(pub u32);

/// What one call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: TokenCount,
    /// Generated tokens.
    pub output: TokenCount,
    /// Prompt tokens that the provider (or the engine's prefix cache) did not have to read again.
    pub cached_input: TokenCount,
}

impl Usage {
    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = |a: TokenCount, b: TokenCount| TokenCount(a.0.saturating_add(b.0));
        Self {
            input: add(self.input, other.input),
            output: add(self.output, other.output),
            cached_input: add(self.cached_input, other.cached_input),
        }
    }
}
