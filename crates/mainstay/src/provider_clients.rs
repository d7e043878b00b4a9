//! The clients of the configured providers: made at the start, and anew for those that a change of the configuration
//! adds or changes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use domain::id::ProviderName;
use domain::ports::{ChatModel, Clock, Secrets};
use parking_lot::Mutex;
use providers::{BuildError, Config, Ports, Waits};
use resilience::policy;

use crate::clock::SystemIds;
use crate::config::SystemSecrets;

/// Clients by the provider's name.
pub(crate) type Clients = BTreeMap<ProviderName, Arc<dyn ChatModel>>;

/// Makes clients, and knows of which settings and secrets those in use were made.
pub(crate) struct ProviderClients {
    ports: Ports,
    in_use: Mutex<BTreeMap<String, Made>>,
}

/// What a client was made of.
#[derive(Clone, PartialEq)]
struct Made {
    config: Config,
    /// A hash of its secrets, which is never told; `None` where one cannot be had.
    secrets: Option<u64>,
}

impl Made {
    fn of(config: &Config) -> Self {
        let mut hasher = DefaultHasher::new();
        let secrets = config.secrets().iter().try_for_each(|reference| {
            let secret = SystemSecrets.resolve(reference).ok()?;
            secret.expose().hash(&mut hasher);
            Some(())
        });
        Self { config: config.clone(), secrets: secrets.map(|()| hasher.finish()) }
    }
}

/// New clients, and what all were made of.
pub(crate) struct Making {
    pub(crate) clients: Clients,
    made: BTreeMap<String, Made>,
}

impl ProviderClients {
    /// Clients that reach the network through `client` and wait as long as `policy` says; none is made yet.
    pub(crate) fn new(client: outbound::Client, clock: Arc<dyn Clock>, policy: &policy::Config) -> Self {
        let ids = Arc::new(SystemIds::default());
        let waits = Waits::new(policy.first_token, policy.silence);
        let ports = Ports { client, secrets: Arc::new(SystemSecrets), clock, ids, waits };
        Self { ports, in_use: Mutex::default() }
    }

    /// The clients of those of `wanted` that are new or changed, or whose secrets are others now; the others go on with
    /// theirs and its connections. May read files with keys.
    ///
    /// # Errors
    /// [`BuildError`] of the first that cannot be made.
    pub(crate) fn make(&self, wanted: &BTreeMap<String, Config>) -> Result<Making, BuildError> {
        let in_use = self.in_use.lock().clone();
        let made: BTreeMap<_, _> =
            wanted.iter().map(|(name, config)| (name.clone(), Made::of(config))).collect();
        let changed = made.iter().filter(|(name, made)| in_use.get(*name) != Some(made));
        let client = |(name, made): (&String, &Made)| {
            let name = ProviderName::from(name.as_str());
            let client = providers::build(&name, &made.config, &self.ports)?;
            Ok((name, client))
        };
        let clients = changed.map(client).collect::<Result<_, _>>()?;
        Ok(Making { clients, made })
    }

    /// What `making` made is in use from now on.
    pub(crate) fn use_now(&self, making: Making) -> Clients {
        *self.in_use.lock() = making.made;
        making.clients
    }

    /// A hash of the secrets as they are now where they can be had and are not those in use. May read files.
    pub(crate) fn new_secrets(&self) -> Option<u64> {
        let in_use = self.in_use.lock().clone();
        let now: BTreeMap<_, _> =
            in_use.iter().map(|(name, made)| (name.as_str(), Made::of(&made.config).secrets)).collect();
        let mut hasher = DefaultHasher::new();
        for secrets in now.values() {
            (*secrets)?.hash(&mut hasher);
        }
        let is_other = in_use.iter().any(|(name, made)| now.get(name.as_str()) != Some(&made.secrets));
        is_other.then(|| hasher.finish())
    }
}
