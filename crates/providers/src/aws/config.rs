//! `[providers.NAME.aws]`: where to sign for, and as whom.

use std::fmt;

use domain::secret::SecretRef;
use serde::Deserialize;

use crate::config::ConfigError;

/// How calls to Bedrock are signed, where the provider has no `key`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// The region, as `eu-central-1`. Needed unless `base_url` names it, as AWS's own addresses do.
    pub region: Option<String>,
    /// The profile of AWS's own files whose credentials are used (SSO and roles included). Without it they are found in
    /// AWS's order: environment, profile, web identity, container, instance.
    pub profile: Option<String>,
    /// Where an access key id is found (`env::NAME`, `file::PATH`), if not there.
    pub access_key_id: Option<String>,
    /// Where its secret is found.
    pub secret_access_key: Option<String>,
    /// Where its session token is found, for credentials that have one.
    pub session_token: Option<String>,
}

/// References may be secrets that someone put in the wrong place, so they are not printed.
impl fmt::Debug for AwsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsConfig").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Where credentials stand that are written in the configuration.
pub(crate) struct References {
    pub(crate) id: SecretRef,
    pub(crate) secret: SecretRef,
    pub(crate) token: Option<SecretRef>,
}

impl AwsConfig {
    /// The region of calls to `base_url`.
    pub(crate) fn region<'a>(&'a self, base_url: Option<&'a str>) -> Result<&'a str, ConfigError> {
        let named = base_url.and_then(|url| {
            let (_, rest) = url.split_once("://bedrock-runtime.")?;
            rest.split_once(".amazonaws.com").map(|(region, _)| region)
        });
        let region = named.or(self.region.as_deref()).ok_or(ConfigError::NoAwsRegion)?;
        // AWS has more regions than this program can know: only what cannot be one is refused.
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        match !region.is_empty() && region.bytes().all(is_plain) {
            true => Ok(region),
            false => Err(ConfigError::NotAnAwsRegion { region: region.to_owned() }),
        }
    }

    /// The references to credentials that are written there.
    pub(crate) fn references(&self) -> Result<Option<References>, ConfigError> {
        let parse = |field: &'static str, text: &Option<String>| {
            let parsed = text.as_deref().map(SecretRef::parse).transpose();
            parsed.map_err(|source| ConfigError::AwsKey { field, source })
        };
        let token = parse("session_token", &self.session_token)?;
        match (
            parse("access_key_id", &self.access_key_id)?,
            parse("secret_access_key", &self.secret_access_key)?,
        ) {
            (Some(_), Some(_)) if self.profile.is_some() => Err(ConfigError::TwoAwsIdentities),
            (Some(id), Some(secret)) => Ok(Some(References { id, secret, token })),
            (None, None) => Ok(None),
            _ => Err(ConfigError::HalfAnAwsKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_named_once_at_least() {
        let own = "https://bedrock-runtime.us-west-2.amazonaws.com";
        let with = |region: &str| AwsConfig { region: Some(region.to_owned()), ..AwsConfig::default() };
        assert_eq!(with("eu-central-1").region(Some(own)), Ok("us-west-2"), "as the address says");
        assert_eq!(with("eu-central-1").region(Some("http://127.0.0.1:1")), Ok("eu-central-1"));
        assert_eq!(with("eu-central-1").region(None), Ok("eu-central-1"));
        assert_eq!(AwsConfig::default().region(None), Err(ConfigError::NoAwsRegion));
        let error = with("eu central/1").region(None).expect_err("a space");
        assert_eq!(
            error.to_string(),
            "`aws.region`: `eu central/1` is no region; write one as `eu-central-1`"
        );
    }

    #[test]
    fn half_a_key_is_none() {
        let half = AwsConfig { access_key_id: Some("env::A".to_owned()), ..AwsConfig::default() };
        assert!(matches!(half.references(), Err(ConfigError::HalfAnAwsKey)));
        assert!(matches!(AwsConfig::default().references(), Ok(None)));
        let reference = |name: &str| Some(format!("env::{name}"));
        let whole = AwsConfig {
            access_key_id: reference("A"),
            secret_access_key: reference("B"),
            ..AwsConfig::default()
        };
        assert!(matches!(whole.references(), Ok(Some(_))));
        let twice = AwsConfig { profile: Some("work".to_owned()), ..whole.clone() };
        assert!(matches!(twice.references(), Err(ConfigError::TwoAwsIdentities)));
        let bare = AwsConfig { secret_access_key: Some("wJalrXUtnFEMI".to_owned()), ..whole };
        let error = bare.references().err().expect("no reference").to_string();
        assert!(
            error.starts_with("`aws.secret_access_key`: write a reference") && !error.contains("wJal"),
            "{error}"
        );
    }
}
