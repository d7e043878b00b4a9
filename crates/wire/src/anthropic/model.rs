//! What the name of a Claude model tells: its version, and by it what the model takes.

/// A version, as 4.6; the newest for names that hold none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32);

/// The first models that decide themselves how much to think; before them thinking has a budget of tokens
/// (platform.claude.com/docs/en/build-with-claude/adaptive-thinking, read 2026-11).
pub(crate) const ADAPTIVE: Version = Version(4, 6);

/// The first models that have no temperature, `top_p` and `top_k`, and no budget for thinking (migrating to Claude
/// Opus 4.7, read 2026-11).
pub(crate) const UNSAMPLED: Version = Version(4, 7);

/// The first models that take a system's message in the midst of a conversation (what's new in Claude 4.8, read 2026-11).
pub(crate) const SYSTEM_TURNS: Version = Version(4, 8);

/// What is said to who sends one to an older model.
pub(crate) const NO_SYSTEM_TURNS: &str = "it takes instructions only before the conversation";

const UNKNOWN: Version = Version(u32::MAX, 0);

/// The version in a model's name: `claude-sonnet-4-5-20250929`, `claude-3-7-sonnet-latest`.
pub(crate) fn version(model: &str) -> Version {
    let name = model.rsplit_once("claude-").map_or(model, |(_, name)| name);
    // Dates have eight digits.
    let mut numbers = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .skip_while(|word| word.parse::<u32>().is_err())
        .map_while(|word| word.parse().ok().filter(|_| word.len() < 3));
    match numbers.next() {
        Some(major) => Version(major, numbers.next().unwrap_or(0)),
        None => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_before_or_after_the_family() {
        for (model, want) in [
            ("claude-sonnet-4-5-20250929", Version(4, 5)),
            ("claude-sonnet-4-20250514", Version(4, 0)),
            ("claude-3-7-sonnet-latest", Version(3, 7)),
            ("anthropic/claude-opus-4.8", Version(4, 8)),
            ("claude-fable-5-1", Version(5, 1)),
            ("claude-opus-5", Version(5, 0)),
            ("claude-next", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(version(model), want, "{model}");
        }
        assert!(version("claude-haiku-4-5") < ADAPTIVE && version("claude-next") > SYSTEM_TURNS);
    }
}
