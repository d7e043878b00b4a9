//! Credentials of AWS: found where they are, kept in memory, renewed before they expire and never for each request.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::region::Region;
use domain::ports::Clock;
use domain::time::{Moment, Timestamp};
use tokio::sync::{Mutex, OnceCell};

use super::http::Http;

/// What signs.
pub(crate) type Pair = aws_credential_types::Credentials;

/// How long before their end they are renewed.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);
/// How long those are kept that name no end, as a profile's: the file may be changed.
const KEPT: Duration = Duration::from_mins(15);

/// Where credentials come from.
pub(crate) enum Source {
    /// They are written in the configuration.
    Fixed(Pair),
    /// AWS's own order: environment, profile (with SSO and roles), web identity, container, instance.
    Chain {
        /// The profile, where it is not that of the environment.
        profile: Option<String>,
        /// Where the services that give them are asked.
        region: String,
        /// How they are reached.
        http: Http,
    },
}

/// Finds and keeps credentials.
pub(crate) struct Credentials {
    source: Source,
    chain: OnceCell<SharedCredentialsProvider>,
    held: ArcSwapOption<Held>,
    /// Held by whoever renews them.
    renewing: Mutex<()>,
    clock: Arc<dyn Clock>,
}

struct Held {
    pair: Pair,
    until: Timestamp,
}

impl Credentials {
    pub(crate) fn new(source: Source, clock: Arc<dyn Clock>) -> Self {
        let (chain, held, renewing) = (OnceCell::new(), ArcSwapOption::empty(), Mutex::new(()));
        Self { source, chain, held, renewing, clock }
    }

    /// Credentials that are good now; waits for them at most until `until`.
    pub(crate) async fn get(&self, until: Moment) -> Result<Pair, String> {
        if let Source::Fixed(pair) = &self.source {
            return Ok(pair.clone());
        }
        let held = self.held.load_full();
        let left = held.as_ref().map_or(Duration::ZERO, |held| held.until.since(self.clock.wall()));
        let good = held.filter(|_| !left.is_zero());
        if let Some(good) = good.as_ref().filter(|_| left > RENEWED_BEFORE) {
            return Ok(good.pair.clone());
        }
        match good {
            // One renews them; for the others these are still good.
            Some(good) => {
                let Ok(_renewing) = self.renewing.try_lock() else { return Ok(good.pair.clone()) };
                self.renew(until).await.or_else(|error| {
                    tracing::warn!(
                        error,
                        "the credentials of AWS could not be renewed; those at hand are still good"
                    );
                    Ok(good.pair.clone())
                })
            }
            None => {
                let wait = async {
                    let _renewing = self.renewing.lock().await;
                    let held = self.held.load_full();
                    let good = held.filter(|held| !held.until.since(self.clock.wall()).is_zero());
                    match good {
                        Some(good) => Ok(good.pair.clone()),
                        None => self.renew(until).await,
                    }
                };
                self.within(until, wait).await
            }
        }
    }

    async fn renew(&self, until: Moment) -> Result<Pair, String> {
        let chain = self.chain.get_or_init(|| self.chain()).await;
        let found = async { chain.provide_credentials().await.map_err(|error| self.told(&error)) };
        let pair = self.within(until, found).await?;
        let end = pair.expiry().and_then(|end| end.duration_since(UNIX_EPOCH).ok());
        let end = end.and_then(|end| i64::try_from(end.as_micros()).ok()).map(Timestamp);
        let end = end.unwrap_or_else(|| self.clock.wall().after(KEPT + RENEWED_BEFORE));
        self.held.store(Some(Arc::new(Held { pair: pair.clone(), until: end })));
        Ok(pair)
    }

    /// Why there are none, and what to do about it.
    fn told(&self, error: &CredentialsError) -> String {
        let profile = match &self.source {
            Source::Chain { profile: Some(profile), .. } => Some(profile),
            Source::Chain { profile: None, .. } | Source::Fixed(_) => None,
        };
        // Some of it comes in several lines.
        let text = whole(error).split_whitespace().collect::<Vec<_>>().join(" ");
        let advice = match error {
            CredentialsError::CredentialsNotLoaded(_) if profile.is_none() => {
                "name a `profile`, or an `access_key_id` and a `secret_access_key`, under the provider's `aws`; or set \
                 AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or give the container or instance a role"
                    .to_owned()
            }
            _ if text.contains("SSO") => {
                let of = profile.map(|name| format!(" --profile {name}")).unwrap_or_default();
                format!("sign in again with `aws sso login{of}`, as the user that Mainstay runs as")
            }
            CredentialsError::InvalidConfiguration(_) | CredentialsError::CredentialsNotLoaded(_) => {
                let named = profile.map_or("the profile", String::as_str);
                format!("see `{named}` in ~/.aws/config and ~/.aws/credentials of the user that Mainstay runs as")
            }
            _ => return text,
        };
        format!("{text}; {advice}")
    }

    async fn chain(&self) -> SharedCredentialsProvider {
        let Source::Chain { profile, region, http } = &self.source else {
            return SharedCredentialsProvider::new(DefaultCredentialsChain::builder().build().await);
        };
        let region = Region::new(region.clone());
        let config = ProviderConfig::without_region()
            .with_region(Some(region.clone()))
            .with_http_client(http.clone())
            .with_time_source(http.clone());
        match profile {
            // What the configuration names comes before what the environment happens to hold, as with AWS's own tools.
            Some(profile) => {
                let builder = ProfileFileCredentialsProvider::builder().configure(&config);
                SharedCredentialsProvider::new(builder.profile_name(profile).build())
            }
            None => {
                let builder = DefaultCredentialsChain::builder().configure(config).region(region);
                SharedCredentialsProvider::new(builder.build().await)
            }
        }
    }

    async fn within<T>(
        &self,
        until: Moment,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = self.clock.sleep_until(until) => Err("the credentials of AWS did not come in time".to_owned()),
        }
    }
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
