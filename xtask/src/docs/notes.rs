//! Words for fields whose own doc comment is still missing. A doc comment at the field wins over the note here;
//! once all have one, this file goes.

/// Places (crate, modules, type, then field or variant) with what is to be said of them.
const NOTES: [(&str, &str); 34] = [
    (
        "registry::agents::AgentConfig.version",
        "Version of the agent: any text without `@` and `/`. `agent@version` stands in every record: raise it with every change.",
    ),
    ("registry::agents::AgentConfig.route", "The route of mainstay.toml that its questions take."),
    (
        "registry::agents::AgentConfig.knowledge",
        "Collections (folders of `knowledge/`) that it answers from. Without one it answers from the model alone.",
    ),
    (
        "registry::agents::AgentConfig.guardrails",
        "Policies (files of `guardrails/`) that guard what goes in and what comes out.",
    ),
    ("registry::agents::AgentConfig.retention", "What is kept of the texts of `/query`."),
    ("registry::agents::AgentConfig.retention_generate", "What is kept of the texts of `/generate`."),
    (
        "registry::agents::AgentConfig.product_classes",
        "Classes of disclaimers.toml whose texts its static answer carries; all texts when there are none.",
    ),
    (
        "registry::agents::AgentConfig.parameters",
        "Parameters of its model calls; a tier of the route may override them.",
    ),
    ("registry::agents::RetentionName::None", "Nothing, only hashes."),
    ("registry::agents::RetentionName::Session", "For as long as `[sessions] ttl`."),
    ("registry::agents::RetentionName::Record", "For good."),
    ("registry::agents::ParametersConfig.max_tokens", "Most tokens of an answer, 1 to 32,768."),
    (
        "registry::agents::ParametersConfig.temperature",
        "Randomness, 0 to 2; at 0 the likeliest token is always taken.",
    ),
    (
        "registry::agents::ParametersConfig.top_p",
        "Only the likeliest tokens that together have this probability are drawn from, 0 to 1.",
    ),
    (
        "registry::agents::ParametersConfig.seed",
        "Starts the model's chance, for answers that can be repeated.",
    ),
    (
        "registry::intents::File.intents",
        "The intents. Each needs at least one labelled example in `intents/*.jsonl`.",
    ),
    ("registry::intents::IntentConfig.name", "Its name, as in the examples and in replies."),
    ("guardrails::policy::File.schema", "Version of the grammar; 1."),
    ("guardrails::policy::File.id", "Its name in findings."),
    ("guardrails::policy::File.messages", "What is said in place of a text that a rule blocks."),
    ("guardrails::policy::File.rules", "Its rules."),
    ("guardrails::policy::Messages.input", "In place of an answer, when the customer's text is blocked."),
    ("guardrails::policy::Messages.output", "In place of the answer that is blocked."),
    ("guardrails::policy::RawRule.id", "Its name in findings; unique within the policy."),
    ("guardrails::policy::RawRule.kind", "What it looks for."),
    (
        "guardrails::policy::RawRule.detectors",
        "With `kind = \"secret\"`: which of `private_key`, `aws_key`, `provider_key`, `token`, `connection_string`, `password`, `high_entropy`.",
    ),
    (
        "guardrails::policy::RawRule.pattern",
        "With `kind = \"pattern\"`: a regular expression without look-around.",
    ),
    ("guardrails::policy::RawRule.action", "What happens to what it finds."),
    ("guardrails::policy::RawRule.sides", "Which texts it looks at."),
    ("guardrails::policy::RawRule.message", "Its own words in place of the policy's message."),
    ("guardrails::policy::Kind::Secret", "Passwords, keys and other secrets."),
    ("guardrails::policy::Kind::Pattern", "What a regular expression matches."),
    ("guardrails::policy::RawSide::Input", "What the customer writes."),
    ("guardrails::policy::RawSide::Output", "What the model writes."),
];

/// The note for a place, if there is one.
pub(super) fn of(place: &str) -> Option<&'static str> {
    NOTES.iter().find(|(name, _)| *name == place).map(|(_, note)| *note)
}
