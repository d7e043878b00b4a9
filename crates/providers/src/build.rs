//! From a section of the configuration to a client.

use std::sync::Arc;

use domain::fault::Fault;
use domain::id::{ProviderName, RegionName};
use domain::ports::{ChatModel, Clock, Ids, ModelError, SecretError, Secrets};
use domain::secret::Secret;
use http::header::{AUTHORIZATION, HeaderName};
use outbound::{Client, OriginConfig, OriginError, SecretForm};
use wire::anthropic::Messages;
use wire::azure::{Addresses, Azure};
use wire::bedrock::invoke::embedding::Embeddings as BedrockEmbeddings;
use wire::bedrock::protocol::Bedrock;
use wire::gemini::Gemini;
use wire::gemini::embedding::Embeddings;
use wire::protocol::Protocol;
use wire::{bedrock, gemini};

use crate::aws;
use crate::config::{Config, ConfigError, Kind};
use crate::regional::{Known, Regional};
use crate::remote::{Parts, Remote, Waits};

/// What clients of providers are built on.
#[derive(Clone)]
pub struct Ports {
    /// The way out.
    pub client: Client,
    /// Finds keys.
    pub secrets: Arc<dyn Secrets>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of answers that are translated.
    pub ids: Arc<dyn Ids>,
    /// How long each provider may be silent.
    pub waits: Waits,
}

/// A provider cannot be called.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BuildError {
    /// Its section is wrong.
    #[error("provider `{provider}`: {source}")]
    Config {
        /// The provider.
        provider: ProviderName,
        /// What is wrong.
        source: ConfigError,
    },
    /// Its key is not where the section says.
    #[error("provider `{provider}`: {source}")]
    Key {
        /// The provider.
        provider: ProviderName,
        /// What is wrong.
        source: SecretError,
    },
    /// Its address cannot be called.
    #[error("provider `{provider}`: {source}")]
    Address {
        /// The provider.
        provider: ProviderName,
        /// What is wrong.
        source: OriginError,
    },
}

/// Makes the client of `provider`. Makes no call; resolves the key once.
///
/// # Errors
/// [`BuildError`].
pub fn build(
    provider: &ProviderName,
    config: &Config,
    ports: &Ports,
) -> Result<Arc<dyn ChatModel>, BuildError> {
    let home = build_one(provider, config, ports)?;
    if config.regions.is_empty() && !config.has_all_regions() {
        return Ok(home);
    }
    let region = |(name, region)| {
        let client = build_one(provider, &config.in_region(region), ports)?;
        Ok((RegionName::from(String::as_str(name)), client))
    };
    let regions = config.regions.iter().map(region).collect::<Result<_, BuildError>>()?;
    let regional = Regional::new(provider.clone(), home, regions);
    Ok(Arc::new(if config.has_all_regions() {
        regional.with_known(known(provider, config, ports))
    } else {
        regional
    }))
}

/// Makes clients of regions by their names alone.
fn known(provider: &ProviderName, config: &Config, ports: &Ports) -> Known {
    let (provider, config, ports) = (provider.clone(), config.clone(), ports.clone());
    Box::new(move |region| {
        let client = build_one(&provider, &config.in_known_region(region.as_str()), &ports);
        client.map_err(|error| ModelError { fault: Fault::unavailable(), detail: error.to_string() })
    })
}

/// The client of one address.
fn build_one(
    provider: &ProviderName,
    config: &Config,
    ports: &Ports,
) -> Result<Arc<dyn ChatModel>, BuildError> {
    let wrong = |source| BuildError::Config { provider: provider.clone(), source };
    let reference = config.key_reference().map_err(wrong)?;
    let key = reference.map(|reference| ports.secrets.resolve(&reference)).transpose();
    let key = key.map_err(|source| BuildError::Key { provider: provider.clone(), source })?;
    let key = key.or_else(|| aws::bearer(config, ports));
    let is_signed = config.kind == Kind::Bedrock && key.is_none();
    let origin = OriginConfig {
        base_url: config.address().map_err(wrong)?,
        allow_private: config.allow_private,
        secret: key.map(|key| secret(config.kind, key)),
    };
    let origin = ports.client.origin(&origin);
    let origin = origin.map_err(|source| BuildError::Address { provider: provider.clone(), source })?;
    let chat = config.chat();
    let protocol: Arc<dyn Protocol> = match config.kind {
        Kind::Openai => Arc::new(chat),
        Kind::Anthropic => Arc::new(Messages),
        Kind::Azure => {
            let addresses = config.api_version.clone().map_or(Addresses::One, Addresses::ByDeployment);
            Arc::new(Azure::new(chat, &addresses))
        }
        Kind::Gemini => Arc::new(Gemini),
        Kind::Bedrock => Arc::new(Bedrock),
    };
    let (clock, ids) = (Arc::clone(&ports.clock), Arc::clone(&ports.ids));
    let signer = match is_signed {
        true => Some(aws::signer(provider, config, ports)?),
        false => None,
    };
    let parts = Parts { provider: provider.clone(), origin, protocol, signer, clock, ids };
    let remote = Remote::new(parts).with_waits(ports.waits);
    Ok(match config.kind {
        Kind::Gemini => Arc::new(
            remote.with_embeddings(Arc::new(Embeddings)).with_counts(Arc::new(gemini::counting::Counts)),
        ),
        Kind::Bedrock => {
            let counts = Arc::new(bedrock::counting::Counts);
            Arc::new(remote.with_embeddings(Arc::new(BedrockEmbeddings)).with_counts(counts))
        }
        // OpenAI's embeddings are passed on; Anthropic has none.
        Kind::Openai | Kind::Azure | Kind::Anthropic => Arc::new(remote),
    })
}

/// Where a key stands in a request.
fn secret(kind: Kind, key: Secret) -> (HeaderName, SecretForm) {
    match kind {
        Kind::Openai | Kind::Bedrock => (AUTHORIZATION, SecretForm::Bearer(key)),
        Kind::Anthropic => (HeaderName::from_static("x-api-key"), SecretForm::Plain(key)),
        Kind::Azure => (HeaderName::from_static("api-key"), SecretForm::Plain(key)),
        Kind::Gemini => (HeaderName::from_static("x-goog-api-key"), SecretForm::Plain(key)),
    }
}
