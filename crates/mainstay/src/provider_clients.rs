//! The clients of the configured providers: made at the start, and anew for those that a change of the configuration
//! adds or changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::id::ProviderName;
use domain::ports::{ChatModel, Clock};
use parking_lot::Mutex;
use providers::{BuildError, Config, Ports, Waits};
use resilience::policy;

use crate::clock::SystemIds;
use crate::config::SystemSecrets;

/// Clients by the provider's name.
pub(crate) type Clients = BTreeMap<ProviderName, Arc<dyn ChatModel>>;

/// Makes clients, and knows of which settings those in use were made.
pub(crate) struct ProviderClients {
    ports: Ports,
    in_use: Mutex<BTreeMap<String, Config>>,
}

impl ProviderClients {
    /// Clients that reach the network through `client` and wait as long as `policy` says; none is made yet.
    pub(crate) fn new(client: outbound::Client, clock: Arc<dyn Clock>, policy: &policy::Config) -> Self {
        let ids = Arc::new(SystemIds::default());
        let waits = Waits::new(policy.first_token, policy.silence);
        let ports = Ports { client, secrets: Arc::new(SystemSecrets), clock, ids, waits };
        Self { ports, in_use: Mutex::default() }
    }

    /// The clients of those of `wanted` that are new or changed; the others go on with theirs and its connections. May
    /// read files with keys.
    ///
    /// # Errors
    /// [`BuildError`] of the first that cannot be made.
    pub(crate) fn make(&self, wanted: &BTreeMap<String, Config>) -> Result<Clients, BuildError> {
        let in_use = self.in_use.lock().clone();
        let changed = wanted.iter().filter(|(name, config)| in_use.get(*name) != Some(config));
        let client = |(name, config): (&String, &Config)| {
            let name = ProviderName::from(name.as_str());
            let client = providers::build(&name, config, &self.ports)?;
            Ok((name, client))
        };
        changed.map(client).collect()
    }

    /// The clients of `wanted` are in use from now on.
    pub(crate) fn use_now(&self, wanted: BTreeMap<String, Config>) {
        *self.in_use.lock() = wanted;
    }
}
