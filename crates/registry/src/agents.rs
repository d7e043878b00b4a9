//! Agent folders: `agents/<name>/agent.toml`, `prompt.md`, `prompt.<intent>.md` and `degraded.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::agent::{Agent, AgentVersion, Retention};
use domain::chat::Parameters;
use domain::id::{AgentName, CollectionName, RouteName};
use domain::residency::Residency;
use serde::Deserialize;

use crate::caching::{self, AgentCacheConfig};
use crate::folder::Folder;
use crate::problem::Problem;
use crate::prompt::{Prompt, Prompts};
use crate::texts::{Contact, Disclaimers};

/// `agent.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentConfig {
    /// Version of the agent: any text without `@` and `/`. `agent@version` stands in every record:
    /// raise it with every change.
    version: String,
    /// The route of mainstay.toml that its questions take.
    route: String,
    /// Collections (folders of `knowledge/`) that it answers from. Without one it answers from the
    /// model alone.
    #[serde(default)]
    knowledge: Vec<String>,
    /// Policies (files of `guardrails/`) that guard what goes in and what comes out.
    #[serde(default)]
    guardrails: Vec<String>,
    /// What is kept of the texts of `/query`.
    #[serde(default = "RetentionName::session")]
    retention: RetentionName,
    /// What is kept of the texts of `/generate`.
    #[serde(default = "RetentionName::none")]
    retention_generate: RetentionName,
    /// Where its questions may be processed, as `["eu"]`; anywhere when left out. Only targets whose own residency lies
    /// within it are called, and models that run on this machine.
    residency: Option<Vec<String>>,
    /// Classes of disclaimers.toml whose texts its static answer carries; all texts when there are
    /// none.
    #[serde(default)]
    product_classes: Vec<String>,
    /// Which of its answers are given again. Without it, none.
    cache: Option<AgentCacheConfig>,
    /// Parameters of its model calls; a tier of the route may override them.
    #[serde(default)]
    parameters: ParametersConfig,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RetentionName {
    /// Nothing, only hashes.
    None,
    /// For as long as `[sessions] ttl`.
    Session,
    /// For good.
    Record,
}

impl RetentionName {
    fn none() -> Self {
        Self::None
    }

    fn session() -> Self {
        Self::Session
    }

    fn with_ttl(self, session_ttl: Duration) -> Retention {
        match self {
            Self::None => Retention::None,
            Self::Session => Retention::Session(session_ttl),
            Self::Record => Retention::Record,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ParametersConfig {
    /// Most tokens of an answer, 1 to 32,768.
    max_tokens: u32,
    /// Randomness, 0 to 2; at 0 the likeliest token is always taken.
    temperature: f32,
    /// Only the likeliest tokens that together have this probability are drawn from, 0 to 1.
    top_p: Option<f32>,
    /// Starts the model's chance, for answers that can be repeated.
    seed: Option<u64>,
}

impl Default for ParametersConfig {
    fn default() -> Self {
        Self { max_tokens: 400, temperature: 0.0, top_p: None, seed: None }
    }
}

/// An agent with everything it needs to answer.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The agent.
    pub agent: Agent,
    /// Its prompts.
    pub prompts: Prompts,
    /// Its whole static answer: text, contact, disclaimers.
    pub degraded: String,
    /// The disclaimers of its product classes.
    pub disclaimers: Vec<String>,
}

/// What agent folders refer to.
pub struct References<'a> {
    /// How a person is reached.
    pub contact: &'a Contact,
    /// The disclaimers.
    pub disclaimers: &'a Disclaimers,
    /// How long sessions live.
    pub session_ttl: Duration,
}

/// All agents of the folder, by name.
///
/// # Errors
/// Every problem found.
pub fn read_all(
    folder: &Folder,
    references: &References<'_>,
) -> Result<BTreeMap<AgentName, Loaded>, Vec<Problem>> {
    let mut agents = BTreeMap::new();
    let mut problems = Vec::new();
    for (path, _) in folder.under("agents/") {
        let Some(name) = path.strip_prefix("agents/").and_then(|rest| rest.strip_suffix("/agent.toml"))
        else {
            continue;
        };
        match read(folder, name, references) {
            Ok(loaded) => drop(agents.insert(AgentName::from(name), loaded)),
            Err(problem) => problems.push(problem),
        }
    }
    if agents.is_empty() && problems.is_empty() {
        problems.push(Problem::of_file("agents", "there is no agent; add agents/general/agent.toml"));
    }
    if problems.is_empty() { Ok(agents) } else { Err(problems) }
}

fn read(folder: &Folder, name: &str, references: &References<'_>) -> Result<Loaded, Problem> {
    let file = format!("agents/{name}/agent.toml");
    let config: AgentConfig = folder.toml(&file)?;
    let refuse = |key: &str, reason: String| {
        let text = folder.text(&file).unwrap_or_default();
        Err(Problem::at(&file, text, text.find(key).unwrap_or(0), reason))
    };
    if config.version.is_empty() || config.version.contains(['@', '/']) {
        return refuse("version", format!("`{}` is no version; write it as \"1.0\"", config.version));
    }
    if !(1..=32_768).contains(&config.parameters.max_tokens) {
        return refuse("max_tokens", "max_tokens must be 1 to 32,768".to_owned());
    }
    if !(0.0..=2.0).contains(&config.parameters.temperature) {
        return refuse("temperature", "temperature must be 0 to 2".to_owned());
    }
    if config.parameters.top_p.is_some_and(|top_p| !(0.0..=1.0).contains(&top_p)) {
        return refuse("top_p", "top_p must be 0 to 1".to_owned());
    }
    let disclaimers = match references.disclaimers.for_classes(&config.product_classes) {
        Ok(texts) => texts.into_iter().map(str::to_owned).collect::<Vec<_>>(),
        Err(class) => return refuse("product_classes", format!("disclaimers.toml has no class `{class}`")),
    };
    let degraded_file = format!("agents/{name}/degraded.md");
    let degraded_text = folder.text(&degraded_file)?.trim();
    if degraded_text.is_empty() {
        return Err(Problem::of_file(degraded_file, "the static answer is empty"));
    }
    let degraded = format!("{degraded_text}\n\n{}\n\n{}", references.contact.block(), disclaimers.join("\n"))
        .trim_end()
        .to_owned();
    let prompts = read_prompts(folder, name, references.contact)?;
    let residency =
        match Residency::parse(config.residency.as_ref().map(|names| names.iter().map(String::as_str))) {
            Ok(residency) => residency,
            Err(error) => return refuse("residency", format!("residency: {error}")),
        };
    let cache = match config.cache.as_ref().map(caching::of_agent).transpose() {
        Ok(cache) => cache,
        Err((key, reason)) => return refuse(key, format!("[cache] {reason}")),
    };
    let agent = Agent {
        version: AgentVersion { name: AgentName::from(name), version: config.version },
        route: RouteName::from(config.route),
        knowledge: config.knowledge.into_iter().map(CollectionName::from).collect(),
        residency,
        guardrails: config.guardrails,
        parameters: Parameters {
            max_tokens: config.parameters.max_tokens,
            temperature: config.parameters.temperature,
            top_p: config.parameters.top_p,
            seed: config.parameters.seed,
            stop: Vec::new(),
        },
        retention: config.retention.with_ttl(references.session_ttl),
        retention_generate: config.retention_generate.with_ttl(references.session_ttl),
        cache,
        product_classes: config.product_classes,
    };
    Ok(Loaded { agent, prompts, degraded, disclaimers })
}

fn read_prompts(folder: &Folder, name: &str, contact: &Contact) -> Result<Prompts, Problem> {
    let general_file = format!("agents/{name}/prompt.md");
    let general = Prompt::parse(&general_file, folder.text(&general_file)?, contact)?;
    let mut by_intent = BTreeMap::new();
    let prefix = format!("agents/{name}/prompt.");
    for (path, _) in folder.under(&prefix) {
        let intent = path.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".md"));
        if let Some(intent) = intent.filter(|intent| !intent.is_empty()) {
            by_intent.insert(intent.to_owned(), Prompt::parse(path, folder.text(path)?, contact)?);
        }
    }
    Ok(Prompts { general, by_intent })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::texts::{CONTACT_FILE, DISCLAIMERS_FILE};

    pub(crate) fn sample() -> Folder {
        let mut folder = Folder::default();
        for (path, text) in [
            (
                CONTACT_FILE,
                "name = \"Bank\"\nphone = \"1-800-555-0100\"\nweb = \"bank.example\"\nemail = \"help@bank.example\"\nhours = \"always\"",
            ),
            (
                DISCLAIMERS_FILE,
                "[texts]\nfdic = \"Member FDIC.\"\nadvice = \"Not advice.\"\n[classes]\nloan = [\"advice\"]",
            ),
            (
                "agents/general/agent.toml",
                "version = \"1.0\"\nroute = \"standard\"\n[parameters]\nmax_tokens = 100\n",
            ),
            ("agents/general/prompt.md", "<!-- system -->\nHelp.\n<!-- user -->\n{{ question }}"),
            ("agents/general/degraded.md", "We cannot answer now.\n"),
        ] {
            folder.insert(path, text.as_bytes());
        }
        folder
    }

    fn read_sample(folder: &Folder) -> Result<BTreeMap<AgentName, Loaded>, Vec<Problem>> {
        let contact: Contact = folder.toml(CONTACT_FILE).expect("contact");
        let disclaimers = Disclaimers::read(folder).expect("disclaimers");
        let references =
            References { contact: &contact, disclaimers: &disclaimers, session_ttl: Duration::from_secs(60) };
        read_all(folder, &references)
    }

    #[test]
    fn the_static_answer_carries_contact_and_every_disclaimer() {
        let agents = read_sample(&sample()).expect("valid");
        let loaded = &agents[&AgentName::from("general")];
        for part in [
            "We cannot answer now.",
            "1-800-555-0100",
            "bank.example",
            "help@bank.example",
            "Member FDIC.",
            "Not advice.",
        ] {
            assert!(loaded.degraded.contains(part), "{part} in {}", loaded.degraded);
        }
        assert_eq!(loaded.agent.retention, Retention::Session(Duration::from_secs(60)));
        assert_eq!(loaded.agent.retention_generate, Retention::None);
    }

    #[test]
    fn mistakes_carry_file_and_line() {
        for (path, text, line, want) in [
            ("agents/general/agent.toml", "version = \"1.0\"\nroute = \"r\"\ncolour = 1", Some(3), "colour"),
            ("agents/general/agent.toml", "version = \"1@0\"\nroute = \"r\"", Some(1), "no version"),
            (
                "agents/general/agent.toml",
                "version = \"1.0\"\nroute = \"r\"\nproduct_classes = [\"gold\"]",
                Some(3),
                "no class `gold`",
            ),
            (
                "agents/general/agent.toml",
                "version = \"1.0\"\nroute = \"r\"\n[parameters]\ntemperature = 3.0",
                Some(4),
                "0 to 2",
            ),
            (
                "agents/general/agent.toml",
                "version = \"1.0\"\nroute = \"r\"\n[cache]\nttl = \"8d\"",
                Some(4),
                "7 days",
            ),
            (
                "agents/general/agent.toml",
                "version = \"1.0\"\nroute = \"r\"\n[cache]\nmatching = \"semantic\"\nlikeness_min = 0.5",
                Some(5),
                "0.8 to 1",
            ),
            ("agents/general/degraded.md", " \n", None, "empty"),
        ] {
            let mut folder = sample();
            folder.insert(path, text.as_bytes());
            let problems = read_sample(&folder).expect_err(text);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!((problems[0].file.as_str(), problems[0].line), (path, line), "{problems:?}");
            assert!(problems[0].reason.contains(want), "{problems:?}");
        }
    }
}
