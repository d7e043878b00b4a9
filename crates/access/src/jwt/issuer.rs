//! An issuer of tokens: its settings.

use std::collections::BTreeMap;

use domain::grant::{Allowed, Grant, Network};
use domain::ports::BoxFuture;
use domain::principal::Role;
use domain::residency::Residency;
use serde::Deserialize;

use super::jwk::Algorithm;
use super::published::Published;
use crate::given;

/// Settings of `[auth.issuers.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What stands in the claim `iss` of its tokens, letter by letter.
    pub issuer: String,
    /// One of these must stand in the claim `aud`.
    pub audience: Vec<String>,
    /// Where it publishes its keys, as its `/.well-known/openid-configuration` says.
    pub jwks_uri: String,
    /// Whether that address may be loopback or private, and `http`.
    #[serde(default)]
    pub allow_private: bool,
    /// Algorithms that its tokens may be signed with: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.
    pub algorithms: Vec<String>,
    /// The claim that lists groups.
    #[serde(default = "groups")]
    pub groups_claim: String,
    /// The tenant of all that its tokens ask.
    #[serde(default = "tenant")]
    pub tenant: String,
    /// The claim that names the tenant in place of `tenant`; a token without it, or with what cannot be a tenant's name, is
    /// refused.
    pub tenant_claim: Option<String>,
    /// Groups and the roles that they give; a token with none of them is refused.
    pub roles: BTreeMap<String, String>,
    /// Agents that its tokens may ask; all when absent. A `*` at an entry's end stands for all that begin so, here and below.
    pub agents: Option<Vec<String>>,
    /// Models that they may ask, as `openai/*`.
    pub models: Option<Vec<String>>,
    /// Routes that they may take.
    pub routes: Option<Vec<String>>,
    /// Addresses and networks that they may come from, as `10.0.0.0/8`.
    pub addresses: Option<Vec<String>>,
    /// Places in which what they ask may be processed.
    pub residency: Option<Vec<String>>,
}

fn groups() -> String {
    "groups".to_owned()
}

fn tenant() -> String {
    "default".to_owned()
}

/// Fetches the document with an issuer's keys.
pub trait KeySource: Send + Sync {
    /// The document, or why not, for the log.
    fn fetch(&self) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// An issuer at work.
pub struct Issuer {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) roles: BTreeMap<String, Role>,
    /// What its tokens may use.
    pub(crate) grant: Grant,
    pub(super) published: Published,
}

/// A setting that cannot be used, and why.
type Wrong = (&'static str, String);

/// What settings mean that are written as text.
struct Meaning {
    algorithms: Vec<Algorithm>,
    roles: BTreeMap<String, Role>,
    grant: Grant,
}

impl Config {
    /// What cannot be used.
    ///
    /// # Errors
    /// The key of the setting, and a sentence.
    pub fn validate(&self) -> Result<(), Wrong> {
        self.read().map(drop)
    }

    /// What the settings mean.
    fn read(&self) -> Result<Meaning, Wrong> {
        if self.issuer.is_empty() {
            return Err(("issuer", "write what stands in the claim `iss`".to_owned()));
        }
        if self.audience.is_empty() || self.audience.iter().any(String::is_empty) {
            return Err((
                "audience",
                "name the audience: else tokens for anyone else would be taken".to_owned(),
            ));
        }
        if self.algorithms.is_empty() {
            return Err(("algorithms", "name one at least".to_owned()));
        }
        let algorithm = |name: &String| {
            let unknown = || ("algorithms", format!("`{name}` is none with a public key that is known here"));
            Algorithm::parse(name).ok_or_else(unknown)
        };
        if self.roles.is_empty() {
            return Err(("roles", "map a group to a role: else every token is refused".to_owned()));
        }
        let role = |(group, name): (&String, &String)| {
            let known = || Role::ALL.map(Role::name).join(", ");
            let unknown = || ("roles", format!("`{name}` is no role; write one of {}", known()));
            Ok((group.clone(), Role::parse(name).ok_or_else(unknown)?))
        };
        given::tenant(&self.tenant).map_err(|reason| ("tenant", reason))?;
        Ok(Meaning {
            algorithms: self.algorithms.iter().map(algorithm).collect::<Result<_, _>>()?,
            roles: self.roles.iter().map(role).collect::<Result<_, _>>()?,
            grant: self.grant()?,
        })
    }

    /// What its tokens may use.
    fn grant(&self) -> Result<Grant, Wrong> {
        let list = |key, entries: &Option<Vec<String>>| match entries {
            None => Ok(Allowed::All),
            Some(entries) => given::allowed(entries).map_err(|reason| (key, reason)),
        };
        let addresses = match &self.addresses {
            None => None,
            Some(texts) => {
                let networks: Result<Vec<_>, _> = texts.iter().map(|text| Network::parse(text)).collect();
                let networks = networks.map_err(|error| error.to_string());
                let given = networks.and_then(|networks| given::addresses(&networks));
                Some(given.map_err(|reason| ("addresses", reason))?)
            }
        };
        let places = self.residency.as_ref().map(|places| places.iter().map(String::as_str));
        Ok(Grant {
            agents: list("agents", &self.agents)?,
            models: list("models", &self.models)?,
            routes: list("routes", &self.routes)?,
            addresses,
            residency: Residency::parse(places).map_err(|error| ("residency", error.to_string()))?,
        })
    }
}

impl Issuer {
    /// With these settings; no key is known yet.
    ///
    /// # Errors
    /// As [`Config::validate`].
    pub fn new(name: String, config: Config, source: Box<dyn KeySource>) -> Result<Self, Wrong> {
        let Meaning { algorithms, roles, grant } = config.read()?;
        Ok(Self { name, config, algorithms, roles, grant, published: Published::new(source) })
    }
}
