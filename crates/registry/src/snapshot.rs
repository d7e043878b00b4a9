//! The snapshot: everything a replica serves from, built whole or not at all, swapped atomically.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::id::{AgentName, CollectionName, ModelId, SnapshotId};
use domain::model::{Model, Route};
use guardrails::{Guard, Policy};

use crate::agents::{self, Loaded, References};
use crate::catalogue::{CATALOGUE_FILE, Catalogue};
use crate::clients::Clients;
use crate::folder::Folder;
use crate::intents::Intents;
use crate::problem::{Problem, Problems};
use crate::routes::{Routes, Settings, UnknownUseCase};
use crate::texts::{CONTACT_FILE, Contact, Disclaimers};

/// An agent, ready to answer.
#[derive(Debug)]
pub struct Serving {
    /// The agent, its prompts and static texts.
    pub loaded: Loaded,
    /// Its guardrails.
    pub guard: Arc<Guard>,
    /// Its route.
    pub route: Arc<Route>,
}

/// Everything a replica serves from.
#[derive(Debug)]
pub struct Snapshot {
    /// Its identity.
    pub id: SnapshotId,
    /// Agents by name.
    pub agents: BTreeMap<AgentName, Arc<Serving>>,
    /// The agent used when none (or an unknown one) is named.
    pub default_agent: Arc<Serving>,
    /// What an unknown use case gets.
    pub unknown_use_case: UnknownUseCase,
    /// The catalogue.
    pub models: BTreeMap<ModelId, Model>,
    /// Names that clients of the dialect endpoints write.
    pub clients: Clients,
    /// Intents and their classifier.
    pub intents: Intents,
    /// How a person is reached.
    pub contact: Contact,
}

/// What building a snapshot needs beside the folder.
#[derive(Debug, Clone)]
pub struct BuildSettings {
    /// Sections of `mainstay.toml`.
    pub routes: Settings,
    /// The file they came from, for problems.
    pub file: String,
    /// How long sessions live.
    pub session_ttl: Duration,
}

impl Snapshot {
    /// Builds a snapshot.
    ///
    /// # Errors
    /// Every problem found; nothing is half-built.
    pub fn build(folder: &Folder, settings: &BuildSettings) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let contact: Result<Contact, Problem> = folder.toml(CONTACT_FILE);
        let disclaimers = Disclaimers::read(folder);
        let catalogue = keep(&mut problems, read_catalogue(folder)).unwrap_or_default();
        let with_catalogue = Settings { catalogue, ..settings.routes.clone() };
        let routes = Routes::build(&with_catalogue).map_err(|reasons| {
            reasons.into_iter().map(|reason| Problem::of_file(&settings.file, reason)).collect::<Vec<_>>()
        });
        let intents = Intents::read(folder);
        let policies = read_policies(folder);
        let agents = match (&contact, &disclaimers) {
            (Ok(contact), Ok(disclaimers)) => {
                let references = References { contact, disclaimers, session_ttl: settings.session_ttl };
                agents::read_all(folder, &references)
            }
            _ => Err(Vec::new()),
        };
        let contact = keep(&mut problems, contact.map_err(|problem| vec![problem]));
        keep(&mut problems, disclaimers.map(drop).map_err(|problem| vec![problem]));
        let routes = keep(&mut problems, routes);
        let intents = keep(&mut problems, intents);
        let policies = keep(&mut problems, policies);
        let agents = keep(&mut problems, agents);
        let (Some(contact), Some(routes), Some(intents), Some(policies), Some(agents)) =
            (contact, routes, intents, policies, agents)
        else {
            return Err(Problems(problems));
        };
        let mut serving = BTreeMap::new();
        for (name, loaded) in agents {
            match join(folder, loaded, &routes, &policies) {
                Ok(joined) => drop(serving.insert(name, Arc::new(joined))),
                Err(problem) => problems.push(problem),
            }
        }
        let defaults = &settings.routes.defaults;
        let Some(default_agent) = serving.get(&AgentName::from(defaults.agent.as_str())).map(Arc::clone)
        else {
            if problems.is_empty() {
                let reason = format!("[defaults] agent: there is no agent `{}`", defaults.agent);
                problems.push(Problem::of_file(&settings.file, reason));
            }
            return Err(Problems(problems));
        };
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self {
            id: folder.id(),
            agents: serving,
            default_agent,
            unknown_use_case: defaults.unknown_use_case,
            clients: Clients::new(&routes, &settings.routes.kinds),
            models: routes.models,
            intents,
            contact,
        })
    }

    /// Collections that agents answer from, each once.
    #[must_use]
    pub fn collections(&self) -> Vec<CollectionName> {
        let mut names: Vec<_> =
            self.agents.values().flat_map(|serving| serving.loaded.agent.knowledge.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A folder may do without: then nothing is known of models but what `mainstay.toml` says.
fn read_catalogue(folder: &Folder) -> Result<Catalogue, Vec<Problem>> {
    if !folder.contains(CATALOGUE_FILE) {
        return Ok(Catalogue::default());
    }
    let catalogue: Catalogue = folder.toml(CATALOGUE_FILE).map_err(|problem| vec![problem])?;
    let text = folder.text(CATALOGUE_FILE).unwrap_or_default();
    let at = |reason: String| {
        let section = reason.split_once("]:").map_or("", |(section, _)| section);
        Problem::at(CATALOGUE_FILE, text, text.find(section).unwrap_or(0), reason)
    };
    match catalogue.problems() {
        reasons if reasons.is_empty() => Ok(catalogue),
        reasons => Err(reasons.into_iter().map(at).collect()),
    }
}

fn keep<T>(problems: &mut Vec<Problem>, result: Result<T, Vec<Problem>>) -> Option<T> {
    result.map_err(|mut found| problems.append(&mut found)).ok()
}

fn read_policies(folder: &Folder) -> Result<BTreeMap<String, Policy>, Vec<Problem>> {
    let mut policies = BTreeMap::new();
    let mut problems = Vec::new();
    for (path, _) in folder.under("guardrails/") {
        let Some(name) = path.strip_prefix("guardrails/").and_then(|rest| rest.strip_suffix(".toml")) else {
            continue;
        };
        let parsed = folder.text(path).and_then(|text| {
            Policy::parse(text).map_err(|error| Problem {
                file: path.to_owned(),
                line: Some(error.line),
                reason: error.reason,
            })
        });
        match parsed {
            Ok(policy) => drop(policies.insert(name.to_owned(), policy)),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(policies) } else { Err(problems) }
}

fn join(
    folder: &Folder,
    loaded: Loaded,
    routes: &Routes,
    policies: &BTreeMap<String, Policy>,
) -> Result<Serving, Problem> {
    let agent = &loaded.agent;
    let file = format!("agents/{}/agent.toml", agent.version.name);
    let refuse = |key: &str, reason: String| {
        let text = folder.text(&file).unwrap_or_default();
        Problem::at(&file, text, text.find(key).unwrap_or(0), reason)
    };
    let route = routes
        .routes
        .get(&agent.route)
        .ok_or_else(|| refuse("route", format!("there is no route `{}` in mainstay.toml", agent.route)))?;
    let mut targets = route.tiers.iter().flat_map(|tier| &tier.targets);
    if !targets.any(|target| target.is_within(&agent.residency)) {
        let reason = format!(
            "no target of the route `{}` processes requests within the residency {}",
            agent.route, agent.residency
        );
        return Err(refuse("residency", reason));
    }
    let mut chosen = Vec::new();
    for name in &agent.guardrails {
        let policy = policies
            .get(name)
            .ok_or_else(|| refuse("guardrails", format!("there is no guardrails/{name}.toml")))?;
        chosen.push(policy.clone());
    }
    for collection in &agent.knowledge {
        if folder.under(&format!("knowledge/{collection}/")).next().is_none() {
            return Err(refuse("knowledge", format!("there is no folder knowledge/{collection}")));
        }
    }
    let route = Arc::new(route.clone());
    Ok(Serving { guard: Arc::new(Guard::new(chosen)), route, loaded })
}

/// The current snapshot; cheap to read, swapped whole.
#[derive(Debug)]
pub struct Current(ArcSwap<Snapshot>);

impl Current {
    /// Serves `snapshot` first.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The snapshot to serve a turn from, from its beginning to its end.
    #[must_use]
    pub fn pin(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Serves `snapshot` from now on; turns under way keep the one they pinned.
    pub fn swap(&self, snapshot: Snapshot) {
        self.0.store(Arc::new(snapshot));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A snapshot with these sections of `mainstay.toml`.
    pub(crate) fn with_routes(text: &str, providers: &[&str]) -> Snapshot {
        #[derive(serde::Deserialize)]
        struct Sections {
            models: BTreeMap<String, crate::routes::ModelConfig>,
            aliases: BTreeMap<String, String>,
            routes: BTreeMap<String, crate::routes::RouteConfig>,
        }
        let Sections { models, aliases, routes } = toml::from_str(text).expect("valid");
        let (folder, mut settings) = sample();
        let places = |&name: &&str| (name.to_owned(), crate::routes::ProviderPlaces::default());
        let providers = providers.iter().map(places).collect();
        settings.routes = Settings { models, aliases, routes, providers, ..Settings::default() };
        Snapshot::build(&folder, &settings).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn sample() -> (Folder, BuildSettings) {
        let mut folder = agents::tests::sample();
        for (path, content) in crate::intents::tests::sample().under("") {
            folder.insert(path, content);
        }
        let routes: std::collections::BTreeMap<String, crate::routes::RouteConfig> = toml::from_str(
            "[[standard.tiers]]\nname = \"embedded\"\ntargets = [{ model = \"embedded/default\" }]",
        )
        .expect("valid");
        let settings = BuildSettings {
            routes: Settings { routes, ..Settings::default() },
            file: "mainstay.toml".to_owned(),
            session_ttl: Duration::from_secs(60),
        };
        (folder, settings)
    }

    #[test]
    fn a_whole_folder_becomes_a_snapshot() {
        let (folder, settings) = sample();
        let snapshot = Snapshot::build(&folder, &settings).expect("valid");
        assert_eq!(snapshot.id, folder.id());
        assert_eq!(snapshot.default_agent.loaded.agent.version.to_string(), "general@1.0");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let (mut folder, settings) = sample();
        folder.insert("agents/general/agent.toml", b"version = \"1.0\"\nroute = \"nowhere\"\n".as_slice());
        let problems = Snapshot::build(&folder, &settings).expect_err("no such route");
        assert_eq!(
            problems.to_string(),
            "agents/general/agent.toml:2: there is no route `nowhere` in mainstay.toml"
        );

        folder.insert(CONTACT_FILE, b"name = 1".as_slice());
        folder.insert("intents/more.jsonl", b"{".as_slice());
        let problems = Snapshot::build(&folder, &settings).expect_err("two files");
        let files: Vec<_> = problems.0.iter().map(|problem| problem.file.as_str()).collect();
        assert_eq!(files, [CONTACT_FILE, "intents/more.jsonl"]);
    }
}
