//! What collectors are told: the hub of telemetry, made of the configuration and the environment, and its exporter.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use telemetry::{Config, Exporter, Hub, Provider, Settings};

use crate::assembly::Assembly;
use crate::clock::{SystemClock, SystemRng};
use crate::config::{SystemSecrets, environment};

/// How models that run here are named.
const OWN: &str = "mainstay";

/// What requests meet; `None` where nothing is sent.
pub(crate) fn hub(config: &Config, clock: &Arc<SystemClock>) -> anyhow::Result<Option<Arc<Hub>>> {
    let Some(settings) = Settings::read(config, &environment, &SystemSecrets)? else { return Ok(None) };
    for ignored in &settings.ignored {
        tracing::warn!("{ignored}");
    }
    Ok(Some(Arc::new(Hub::new(settings, Arc::clone(clock) as _, Arc::new(SystemRng)))))
}

/// Sends from now on what the hub holds.
pub(crate) fn start(assembly: &Assembly) -> anyhow::Result<()> {
    let Some(hub) = &assembly.telemetry else { return Ok(()) };
    let exporter = Exporter::new(Arc::clone(hub), &assembly.outbound, Arc::new(SystemRng))
        .context("the endpoint of telemetry cannot be used")?;
    assembly.tasks.spawn(exporter.run(assembly.shutdown.clone()));
    Ok(())
}

/// Providers as they are called from now on.
pub(crate) fn know(hub: Option<&Arc<Hub>>, providers: &BTreeMap<String, providers::Config>) {
    let Some(hub) = hub else { return };
    let named = providers.iter().map(|(name, config)| {
        let server = config.server().map(|(host, port)| (host.into(), port));
        (name.clone(), Provider { system: config.system(name).into(), server })
    });
    let own = (registry::routes::EMBEDDED.to_owned(), Provider { system: OWN.into(), server: None });
    hub.know(named.chain([own]));
}
