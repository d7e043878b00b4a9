//! Guardrail policies as they stand in `guardrails/*.toml`.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use toml::Spanned;

use domain::interaction::Side;

use crate::secret::Detector;

/// The layout of policy files that this version reads.
pub const SCHEMA: u32 = 1;

/// Compiled size of one pattern at most, in bytes: a policy cannot eat the machine.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// A policy file does not say what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// What a rule does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Only notes it.
    Log,
    /// Replaces it.
    Mask,
    /// Stops the turn.
    Block,
}

/// What a rule looks for.
#[derive(Debug, Clone)]
pub(crate) enum Finder {
    Secrets(Vec<Detector>),
    Pattern(Regex),
}

#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) finder: Finder,
    pub(crate) action: Action,
    pub(crate) sides: Vec<Side>,
    pub(crate) message: Option<String>,
}

/// A set of rules with the replies to what they block.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) id: String,
    pub(crate) message_input: String,
    pub(crate) message_output: String,
    pub(crate) rules: Vec<Rule>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] with the line that is not TOML, names an unknown key, or holds an unusable value.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError {
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        let source = Source(text);
        if *file.schema.get_ref() != SCHEMA {
            return Err(source.error(&file.schema, format!("schema must be {SCHEMA}")));
        }
        if file.id.get_ref().trim().is_empty() {
            return Err(source.error(&file.id, "a policy needs an id"));
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(file.rules.len());
        for rule in file.rules {
            if rules.iter().any(|known| known.id == *rule.id.get_ref()) {
                return Err(
                    source.error(&rule.id, format!("the rule `{}` stands here twice", rule.id.get_ref()))
                );
            }
            rules.push(source.rule(rule)?);
        }
        Ok(Self {
            id: file.id.into_inner(),
            message_input: file.messages.input,
            message_output: file.messages.output,
            rules,
        })
    }

    /// Its name, as agents write it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Version of the grammar; 1.
    schema: Spanned<u32>,
    /// Its name in findings.
    id: Spanned<String>,
    /// What is said in place of a text that a rule blocks.
    messages: Messages,
    /// Its rules.
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Messages {
    /// In place of an answer, when the customer's text is blocked.
    input: String,
    /// In place of the answer that is blocked.
    output: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    /// Its name in findings; unique within the policy.
    id: Spanned<String>,
    /// What it looks for.
    kind: Kind,
    /// With `kind = "secret"`: which of `private_key`, `aws_key`, `provider_key`, `token`,
    /// `connection_string`, `password`, `high_entropy`.
    detectors: Option<Vec<Spanned<String>>>,
    /// With `kind = "pattern"`: a regular expression without look-around.
    pattern: Option<Spanned<String>>,
    /// What happens to what it finds.
    action: Action,
    /// Which texts it looks at.
    sides: Spanned<Vec<RawSide>>,
    /// Its own words in place of the policy's message.
    message: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Passwords, keys and other secrets.
    Secret,
    /// What a regular expression matches.
    Pattern,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawSide {
    /// What the customer writes.
    Input,
    /// What the model writes.
    Output,
}

struct Source<'a>(&'a str);

impl Source<'_> {
    fn error<T>(&self, at: &Spanned<T>, reason: impl Into<String>) -> PolicyError {
        PolicyError { line: line_of(self.0, at.span().start), reason: reason.into() }
    }

    fn rule(&self, raw: RawRule) -> Result<Rule, PolicyError> {
        if raw.id.get_ref().trim().is_empty() {
            return Err(self.error(&raw.id, "a rule needs an id"));
        }
        if raw.sides.get_ref().is_empty() {
            return Err(self.error(&raw.sides, "a rule needs a side: \"input\", \"output\" or both"));
        }
        let finder = match (raw.kind, raw.detectors, raw.pattern) {
            (Kind::Secret, Some(names), None) => Finder::Secrets(self.detectors(&names)?),
            (Kind::Pattern, None, Some(pattern)) => Finder::Pattern(self.pattern(&pattern)?),
            (Kind::Secret, ..) => {
                return Err(self.error(&raw.id, "kind \"secret\" takes detectors and no pattern"));
            }
            (Kind::Pattern, ..) => {
                return Err(self.error(&raw.id, "kind \"pattern\" takes a pattern and no detectors"));
            }
        };
        let sides = raw.sides.get_ref().iter().map(|side| match side {
            RawSide::Input => Side::Input,
            RawSide::Output => Side::Output,
        });
        let sides = sides.collect();
        Ok(Rule { id: raw.id.into_inner(), finder, action: raw.action, sides, message: raw.message })
    }

    fn detectors(&self, names: &[Spanned<String>]) -> Result<Vec<Detector>, PolicyError> {
        let find = |name: &Spanned<String>| {
            let known = Detector::ALL.into_iter().find(|detector| detector.name() == name.get_ref());
            known.ok_or_else(|| {
                let names = Detector::ALL.map(Detector::name).join(", ");
                self.error(name, format!("`{}` is no detector; there are: {names}", name.get_ref()))
            })
        };
        names.iter().map(find).collect()
    }

    fn pattern(&self, pattern: &Spanned<String>) -> Result<Regex, PolicyError> {
        RegexBuilder::new(pattern.get_ref())
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| self.error(pattern, format!("not a usable regular expression: {error}")))
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "schema = 1\nid = \"p\"\n[messages]\ninput = \"i\"\noutput = \"o\"\n";

    #[test]
    fn the_shipped_policy_is_read() {
        let policy =
            Policy::parse(include_str!("../../../config/guardrails/default.toml")).expect("it parses");
        assert_eq!(policy.id(), "default");
        assert_eq!(policy.rules.len(), 5);
        let covered: Vec<Detector> = policy
            .rules
            .iter()
            .flat_map(|rule| match &rule.finder {
                Finder::Secrets(detectors) => detectors.clone(),
                Finder::Pattern(_) => Vec::new(),
            })
            .collect();
        assert!(Detector::ALL.iter().all(|detector| covered.contains(detector)), "{covered:?}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (rest, line, reason) in [
            ("colour = 1", 6, "unknown field `colour`"),
            (
                "[[rules]]\nid = \"a\"\nkind = \"secret\"\naction = \"shout\"\nsides = []",
                9,
                "unknown variant `shout`",
            ),
            (
                "[[rules]]\nid = \"a\"\nkind = \"secret\"\ndetectors = [\"x\"]\naction = \"block\"\nsides = [\"input\"]",
                9,
                "`x` is no detector",
            ),
            (
                "[[rules]]\nid = \"a\"\nkind = \"pattern\"\npattern = \"(\"\naction = \"log\"\nsides = [\"input\"]",
                9,
                "not a usable regular expression",
            ),
            (
                "[[rules]]\nid = \"a\"\nkind = \"pattern\"\naction = \"log\"\nsides = [\"input\"]",
                7,
                "takes a pattern",
            ),
            (
                "[[rules]]\nid = \"a\"\nkind = \"pattern\"\npattern = \"x\"\naction = \"log\"\nsides = []",
                11,
                "a rule needs a side",
            ),
        ] {
            let error = Policy::parse(&format!("{HEAD}{rest}")).expect_err(rest);
            assert!(error.line == line && error.reason.contains(reason), "{rest}: {error}");
        }
        let error = Policy::parse(&HEAD.replace("schema = 1", "schema = 7")).expect_err("schema");
        assert_eq!((error.line, error.reason.as_str()), (1, "schema must be 1"));
    }
}
