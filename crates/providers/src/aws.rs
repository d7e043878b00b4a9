//! Calls of Bedrock, signed in the manner of AWS (Signature Version 4).
//!
//! Reading order: this file (the signature), [`config`], `credentials` (found once, kept, renewed before they expire), `http` (how
//! AWS's own crates reach the services that give them).

pub mod config;
mod credentials;
mod http;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderName, HeaderValue};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use domain::fault::{self, Fault, Origin as Side, Retry};
use domain::id::ProviderName;
use domain::ports::{BoxFuture, Clock, ModelError};
use domain::secret::{Secret, SecretRef};
use domain::time::{Moment, Timestamp};
use outbound::Request;

use self::credentials::{Credentials, Pair, Source};
use self::http::Http;
use crate::build::{BuildError, Ports};
use crate::config::{Config, Kind};
use crate::remote::Signer;

/// The service that is signed for.
const SERVICE: &str = "bedrock";

/// Where AWS's SDKs look for a key of Bedrock.
const BEARER: &str = "env::AWS_BEARER_TOKEN_BEDROCK";

/// The key of Bedrock that the environment has, where the configuration names neither a key nor who signs.
pub(crate) fn bearer(config: &Config, ports: &Ports) -> Option<Secret> {
    let says = config.aws.access_key_id.is_some() || config.aws.profile.is_some();
    let wanted = SecretRef::parse(BEARER).ok().filter(|_| config.kind == Kind::Bedrock && !says)?;
    ports.secrets.resolve(&wanted).ok()
}

/// Who signs the calls of `provider`. Credentials that are written in the configuration are resolved once; all others
/// are found when the first call is made.
pub(crate) fn signer(
    provider: &ProviderName,
    config: &Config,
    ports: &Ports,
) -> Result<Arc<dyn Signer>, BuildError> {
    let wrong = |source| BuildError::Config { provider: provider.clone(), source };
    let region = config.aws.region(config.base_url.as_deref()).map_err(wrong)?;
    let resolve = |reference: &SecretRef| {
        let found = ports.secrets.resolve(reference);
        found.map_err(|source| BuildError::Key { provider: provider.clone(), source })
    };
    let source = match config.aws.references().map_err(wrong)? {
        Some(references) => {
            let token = references.token.as_ref().map(resolve).transpose()?;
            let (id, secret) = (resolve(&references.id)?, resolve(&references.secret)?);
            let token = token.map(|token| token.expose().to_owned());
            Source::Fixed(Pair::new(id.expose(), secret.expose(), token, None, "configuration"))
        }
        None => chain(config, region, ports),
    };
    let credentials = Credentials::new(source, Arc::clone(&ports.clock));
    Ok(Arc::new(SigV4 { region: region.to_owned(), credentials, clock: Arc::clone(&ports.clock) }))
}

fn chain(config: &Config, region: &str, ports: &Ports) -> Source {
    Source::Chain {
        profile: config.aws.profile.clone(),
        region: region.to_owned(),
        http: Http::new(ports.client.clone(), Arc::clone(&ports.clock)),
    }
}

/// Looks for the credentials that calls are signed with, where AWS's own tools would, and waits for the services that give them
/// until `until`: why there are none, and what to do. `None` where none are looked for: it is not Bedrock, has a key, or
/// its credentials are written in the configuration.
pub async fn find_credentials(config: &Config, ports: &Ports, until: Moment) -> Option<Result<(), String>> {
    let is_signed = config.kind == Kind::Bedrock && config.key.is_none() && bearer(config, ports).is_none();
    let is_written = config.aws.references().ok()?.is_some();
    let region = config.aws.region(config.base_url.as_deref()).ok().filter(|_| is_signed && !is_written)?;
    let credentials = Credentials::new(chain(config, region, ports), Arc::clone(&ports.clock));
    Some(credentials.get(until).await.map(drop))
}

/// Signs for one region.
struct SigV4 {
    region: String,
    credentials: Credentials,
    clock: Arc<dyn Clock>,
}

impl SigV4 {
    async fn add(
        &self,
        origin: &outbound::Origin,
        request: &mut Request,
        until: Moment,
    ) -> Result<(), ModelError> {
        let identity = self.credentials.get(until).await.map_err(cannot)?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(system_time(self.clock.wall()))
            .settings(SigningSettings::default())
            .build();
        let params = params.map_err(|error| cannot(error.to_string()))?.into();
        let url = origin.url(&request.path);
        let kind = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let headers = kind.map(|value| (CONTENT_TYPE.as_str(), value));
        let body = SignableBody::Bytes(&request.body);
        let signable = SignableRequest::new(request.method.as_str(), url, headers.into_iter(), body);
        let signed = signable.and_then(|signable| sign(signable, &params));
        let (instructions, _) = signed.map_err(|error| cannot(error.to_string()))?.into_parts();
        for (name, value) in instructions.headers() {
            let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) else {
                return Err(cannot("the credentials hold bytes that no header may".to_owned()));
            };
            value.set_sensitive(true);
            request.headers.insert(name, value);
        }
        Ok(())
    }
}

impl Signer for SigV4 {
    fn sign<'a>(
        &'a self,
        origin: &'a outbound::Origin,
        request: &'a mut Request,
        until: Moment,
    ) -> BoxFuture<'a, Result<(), ModelError>> {
        Box::pin(self.add(origin, request, until))
    }
}

/// Someone must act; another target may work meanwhile.
fn cannot(detail: String) -> ModelError {
    let fault = Fault { origin: Side::Mainstay, kind: fault::Kind::RouteFatal, retry: Retry::Elsewhere };
    ModelError { fault, detail: format!("the call could not be signed: {detail}") }
}

/// The wall clock as AWS's crates read it.
fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.0).unwrap_or_default())
}
