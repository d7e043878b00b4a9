//! Token counts.

/// A number of model tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenCount(pub u32);

/// What one call used. Whatever a provider's own words count apart, here the parts stand within their whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, those read from and written to a cache included.
    pub input: TokenCount,
    /// Generated tokens, those of reasoning included.
    pub output: TokenCount,
    /// Part of `input`: what the provider (or the engine's prefix cache) did not have to read again.
    pub cached_input: TokenCount,
    /// Part of `input`: what the provider put into its cache, however long it keeps it.
    pub cache_write_input: TokenCount,
    /// Part of `cache_write_input`: what is kept for an hour, where the provider tells it apart.
    pub cache_write_hour_input: TokenCount,
    /// Part of `output`: what the model said to itself.
    pub reasoning_output: TokenCount,
}

impl Usage {
    /// Nothing was used.
    pub const NONE: Self = Self::of(TokenCount(0), TokenCount(0));

    /// So many tokens read and generated, no cache, no reasoning.
    #[must_use]
    pub const fn of(input: TokenCount, output: TokenCount) -> Self {
        Self {
            input,
            output,
            cached_input: TokenCount(0),
            cache_write_input: TokenCount(0),
            cache_write_hour_input: TokenCount(0),
            reasoning_output: TokenCount(0),
        }
    }

    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = |a: TokenCount, b: TokenCount| TokenCount(a.0.saturating_add(b.0));
        Self {
            input: add(self.input, other.input),
            output: add(self.output, other.output),
            cached_input: add(self.cached_input, other.cached_input),
            cache_write_input: add(self.cache_write_input, other.cache_write_input),
            cache_write_hour_input: add(self.cache_write_hour_input, other.cache_write_hour_input),
            reasoning_output: add(self.reasoning_output, other.reasoning_output),
        }
    }
}
