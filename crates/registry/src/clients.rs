//! What clients of the dialect endpoints may write as `model`, and what it leads to.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::id::{AgentName, RouteName};
use domain::model::{Assured, Hedge, Overrides, Route, RouteTier, Strategy, Target, TargetKind, Tier};

use crate::routes::{EMBEDDED, Routes, target_of};
use crate::snapshot::{Serving, Snapshot};

/// What stands before the name of an agent.
pub(crate) const AGENT_PREFIX: &str = "agent:";

/// Routes by the names that clients write; made once for a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    /// `[aliases]`.
    aliases: BTreeMap<String, Arc<Route>>,
    /// Bare models by `<provider>/<model>`, with `@<region>` where a route names one: a route of one target each.
    models: BTreeMap<String, Arc<Route>>,
    /// What providers speak.
    kinds: BTreeMap<String, &'static str>,
}

/// What a name leads to.
#[derive(Debug, Clone)]
pub enum Named {
    /// An agent: the whole pipeline.
    Agent(Arc<Serving>),
    /// A route: the request is relayed.
    Route(Arc<Route>),
}

/// A name that clients may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// Who stands behind it: a provider, or `mainstay` for agents and aliases.
    pub owner: String,
}

/// A name that leads nowhere, or to several models.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nobody has it.
    #[error("there is no model `{name:.100}`; {}", told("known are", known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Several providers have it.
    #[error("several providers have a model `{name:.100}`; {}", told("write one of", candidates))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What it may mean.
        candidates: Vec<String>,
    },
}

impl NameError {
    /// The one model that is left of several.
    #[must_use]
    pub fn only(&self) -> Option<&str> {
        match self {
            Self::Ambiguous { candidates, .. } if candidates.len() == 1 => {
                candidates.first().map(String::as_str)
            }
            Self::Ambiguous { .. } | Self::Unknown { .. } => None,
        }
    }

    /// The same, telling only names for which `may_be_told` holds.
    #[must_use]
    pub fn telling(mut self, may_be_told: impl Fn(&str) -> bool) -> Self {
        let (Self::Unknown { known: names, .. } | Self::Ambiguous { candidates: names, .. }) = &mut self;
        names.retain(|name| may_be_told(name));
        self
    }
}

fn told(before: &str, names: &[String]) -> String {
    match names {
        [] => "this key may use none".to_owned(),
        names => format!("{before} `{}`", names.join("`, `")),
    }
}

impl Clients {
    /// Of checked routes.
    pub(crate) fn new(routes: &Routes, kinds: &BTreeMap<String, &'static str>) -> Self {
        let shared: BTreeMap<&RouteName, Arc<Route>> =
            routes.routes.iter().map(|(name, route)| (name, Arc::new(route.clone()))).collect();
        let alias =
            |(alias, route): (&String, &RouteName)| Some((alias.clone(), Arc::clone(shared.get(route)?)));
        let models = routes.models.keys().map(|model| target_of(model, None, &routes.facts));
        let targets = routes.routes.values().flat_map(|route| &route.tiers).flat_map(|tier| &tier.targets);
        // What a route says of a target holds without the route, too: above all where it may process requests.
        let targets = targets.map(|target| Target { weight: 1, takes: None, ..target.clone() });
        let alone = |target: Target| {
            let cache = routes.facts.cached.get(&target.model).copied();
            (target.id.to_string(), Arc::new(Route { cache, ..alone(target) }))
        };
        Self {
            kinds: kinds.clone(),
            aliases: routes.aliases.iter().filter_map(alias).collect(),
            models: models.chain(targets).map(alone).collect(),
        }
    }

    /// All routes that clients can take.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.aliases.values().chain(self.models.values()).map(Arc::as_ref)
    }

    fn route(&self, name: &str, own_kinds: &[&str]) -> Result<Option<Arc<Route>>, NameError> {
        if let Some(route) = self.aliases.get(name).or_else(|| self.models.get(name)) {
            return Ok(Some(Arc::clone(route)));
        }
        // As client code has it: among the models of the dialect's own vendor first, then among all others.
        let is_own = |provider: &str| self.kinds.get(provider).is_some_and(|kind| own_kinds.contains(kind));
        let is_remote = |provider: &str| provider != EMBEDDED;
        for is_among in [&is_own as &dyn Fn(&str) -> bool, &is_remote, &|_| true] {
            let is_eligible = |model: &str| {
                let (provider, bare) = model.split_once('/').unwrap_or((model, model));
                bare == name && is_among(provider)
            };
            let mut found = self.models.iter().filter(|(model, _)| is_eligible(model));
            match (found.next(), found.next()) {
                (Some((_, route)), None) => return Ok(Some(Arc::clone(route))),
                (Some(_), Some(_)) => {
                    let candidates =
                        self.models.keys().filter(|model| is_eligible(model.as_str())).cloned().collect();
                    return Err(NameError::Ambiguous { name: name.to_owned(), candidates });
                }
                (None, _) => {}
            }
        }
        // The ARN of a model, as AWS's SDKs take it too, ends with its id.
        match name.strip_prefix("arn:").and_then(|arn| arn.rsplit_once('/')) {
            Some((_, id)) => self.route(id, own_kinds),
            None => Ok(None),
        }
    }
}

/// A route through one model and no other.
fn alone(target: Target) -> Route {
    let tier = match target.kind {
        TargetKind::Embedded => Tier::Embedded,
        TargetKind::Remote => Tier::Primary,
    };
    let name = RouteName::from(target.id.as_str());
    let strategy = Strategy::Priority;
    let tier = RouteTier { tier, strategy, targets: vec![target], overrides: Overrides::default() };
    Route { name, tiers: vec![tier], hedge: Hedge::Off, assured: Assured::Off, cache: None }
}

impl Snapshot {
    /// What `name` leads to: `agent:<name>[@version]`, a name of `[aliases]`, `<provider>/<model>`, or the bare id of a
    /// model that one provider alone has.
    ///
    /// # Errors
    /// [`NameError`] that lists what there is.
    pub fn named(&self, name: &str) -> Result<Named, NameError> {
        self.named_among(name, &[])
    }

    /// The same where a bare id that several providers have means that of the provider whose `kind` is among
    /// `own_kinds`, if there is one.
    ///
    /// # Errors
    /// [`NameError`] that lists what there is.
    pub fn named_among(&self, name: &str, own_kinds: &[&str]) -> Result<Named, NameError> {
        if let Some(agent) = name.strip_prefix(AGENT_PREFIX) {
            let (agent, version) =
                agent.split_once('@').map_or((agent, None), |(agent, version)| (agent, Some(version)));
            let serving = self.agents.get(&AgentName::from(agent));
            let is_meant = |serving: &&Arc<Serving>| {
                version.is_none_or(|version| serving.loaded.agent.version.version == version)
            };
            return match serving.filter(is_meant) {
                Some(serving) => Ok(Named::Agent(Arc::clone(serving))),
                None => Err(self.unknown(name)),
            };
        }
        self.clients.route(name, own_kinds)?.map(Named::Route).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> NameError {
        let known = self.listed().into_iter().map(|listed| listed.name).collect();
        NameError::Unknown { name: name.to_owned(), known }
    }

    /// All names, agents first.
    #[must_use]
    pub fn listed(&self) -> Vec<Listed> {
        let own = |name: String| Listed { name, owner: "mainstay".to_owned() };
        let agents = self.agents.keys().map(|agent| own(format!("{AGENT_PREFIX}{agent}")));
        let aliases = self.clients.aliases.keys().cloned().map(own);
        let provider = |model: &str| model.split('/').next().unwrap_or_default().to_owned();
        let model = |model: &String| Listed { name: model.clone(), owner: provider(model) };
        agents.chain(aliases).chain(self.clients.models.keys().map(model)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::with_routes;

    const ROUTES: &str = r#"
        aliases = { gpt = "standard", "one/alpha" = "standard" }
        [models."one/alpha"]
        [models."one/beta"]
        [models."two/beta"]
        [models."two/org/gamma"]
        [[routes.standard.tiers]]
        name = "primary"
        targets = [{ model = "one/beta" }]
        [[routes.standard.tiers]]
        name = "embedded"
        targets = [{ model = "embedded/default" }]
    "#;

    fn route(snapshot: &Snapshot, name: &str) -> String {
        match snapshot.named(name) {
            Ok(Named::Route(route)) => route.name.to_string(),
            Ok(Named::Agent(serving)) => serving.loaded.agent.version.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_lead_where_they_say() {
        let snapshot = with_routes(ROUTES, &["one", "two"]);
        for (name, want) in [
            ("gpt", "standard"),
            ("one/alpha", "standard"), // an alias goes before the model of that name
            ("one/beta", "one/beta"),
            ("two/org/gamma", "two/org/gamma"),
            ("alpha", "one/alpha"),
            ("org/gamma", "two/org/gamma"),
            ("arn:aws:bedrock:eu-west-1::foundation-model/alpha", "one/alpha"),
            ("embedded/default", "embedded/default"),
            ("default", "embedded/default"),
            ("agent:general", "general@1.0"),
            ("agent:general@1.0", "general@1.0"),
            ("beta", "several providers have a model `beta`; write one of `one/beta`, `two/beta`"),
        ] {
            assert_eq!(route(&snapshot, name), want);
        }
        for name in ["agent:nobody", "agent:general@2.0", "nobody", "general", "one/nobody", ""] {
            let error = route(&snapshot, name);
            for known in ["there is no model", "`agent:general`", "`gpt`", "`two/beta`"] {
                assert!(error.contains(known), "{name}: {error}");
            }
        }
    }

    #[test]
    fn names_that_may_not_be_told_are_not() {
        let snapshot = with_routes(ROUTES, &["one", "two"]);
        for (name, told, want) in [
            ("nobody", "gpt", "there is no model `nobody`; known are `gpt`"),
            ("nobody", "", "there is no model `nobody`; this key may use none"),
            ("beta", "two/beta", "several providers have a model `beta`; write one of `two/beta`"),
        ] {
            let error = snapshot.named(name).err().map(|error| error.telling(|name| name == told));
            assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(want));
        }
    }

    #[test]
    fn of_several_models_the_only_one_that_is_left_is_meant() {
        let snapshot = with_routes(ROUTES, &["one", "two"]);
        for (name, told, want) in [
            ("beta", &["two/beta"][..], Some("two/beta")),
            ("beta", &["one/beta", "two/beta"], None),
            ("beta", &[], None),
            ("nobody", &["gpt"], None), // what there is is not what was asked for
        ] {
            let error = snapshot.named(name).expect_err(name).telling(|name| told.contains(&name));
            assert_eq!(error.only(), want, "{name} {told:?}");
        }
    }

    #[test]
    fn a_bare_id_means_the_doors_own_vendor_first() {
        let mut snapshot = with_routes(ROUTES, &["one", "two"]);
        snapshot.clients.kinds =
            BTreeMap::from([("one".to_owned(), "openai"), ("two".to_owned(), "anthropic")]);
        for (own_kinds, want) in [
            (&["anthropic"][..], Some("two/beta")),
            (&["openai", "azure"], Some("one/beta")),
            (&["gemini"], None),
        ] {
            let named = snapshot.named_among("beta", own_kinds);
            let route = named.ok().map(|named| match named {
                Named::Route(route) => route.name.to_string(),
                Named::Agent(_) => panic!("a model"),
            });
            assert_eq!(route.as_deref(), want, "{own_kinds:?}");
        }
    }

    #[test]
    fn everything_that_can_be_named_is_listed() {
        let snapshot = with_routes(ROUTES, &["one", "two"]);
        for listed in snapshot.listed() {
            assert!(snapshot.named(&listed.name).is_ok(), "{listed:?}");
        }
        let names: Vec<_> = snapshot.listed().into_iter().map(|listed| (listed.name, listed.owner)).collect();
        assert!(names.contains(&("one/beta".to_owned(), "one".to_owned())), "{names:?}");
        assert_eq!(names.iter().filter(|(name, _)| name == "agent:general").count(), 1);
    }
}
