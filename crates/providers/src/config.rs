//! The section `[providers.NAME]`.

use std::collections::BTreeMap;
use std::fmt;

use domain::secret::SecretRef;
use serde::Deserialize;
use wire::openai::chat::{ChatCompletions, Thoughts};

use crate::aws::config::AwsConfig;

/// Where OpenAI itself is.
pub const OPENAI_URL: &str = "https://api.openai.com/v1";
/// Where Anthropic is.
pub const ANTHROPIC_URL: &str = "https://api.anthropic.com";
/// Where Gemini is.
pub const GEMINI_URL: &str = "https://generativelanguage.googleapis.com/v1beta";

/// Settings of one provider.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What it speaks.
    pub kind: Kind,
    /// Its address. OpenAI's and Gemini's include the version, Anthropic's need not. The defaults are
    /// `https://api.openai.com/v1`, `https://api.anthropic.com` and `https://generativelanguage.googleapis.com/v1beta`;
    /// Azure's has none: it is that of the resource, as `https://NAME.openai.azure.com`.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Where its key is found (`env::NAME`, `file::PATH`); left out for servers that need none.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether its address may be loopback, private or plain `http`.
    #[serde(default)]
    pub allow_private: bool,
    /// The request field that carries the token limit; OpenAI's reasoning models refuse `max_tokens`.
    /// Default: `max_completion_tokens` for OpenAI itself and Azure, else `max_tokens`.
    #[serde(default)]
    pub token_limit_field: Option<wire::openai::chat::LimitField>,
    /// Whether it has OpenAI's `/responses`, so that those requests are passed on as they are; else they are translated
    /// into chat completions. Default: `true` for OpenAI itself.
    #[serde(default)]
    pub responses: Option<bool>,
    /// Whether it takes `reasoning_content` and `reasoning_details` in the messages of a request; where it does not, a history comes
    /// without a model's thoughts. Say `false` of a gateway that stands before OpenAI. Default: `false` for OpenAI itself and Azure,
    /// else `true`.
    #[serde(default)]
    pub reasoning_fields: Option<bool>,
    /// Only for Azure: the date of the interface, as `2024-10-21`. With it calls go to
    /// `/openai/deployments/NAME/…?api-version=…`, without it to the newer `/openai/v1/…`.
    #[serde(default)]
    pub api_version: Option<String>,
    /// Every place where its own address may process requests, as `["us"]`. One that names none is never called for a
    /// request with a residency.
    #[serde(default)]
    pub residency: Vec<String>,
    /// Its other regions by name: a target says `region = "NAME"`. Each is called with these settings, but for its own. Bedrock
    /// at AWS needs none: its regions are known by their names.
    #[serde(default)]
    pub regions: BTreeMap<String, RegionConfig>,
    /// Only for Bedrock: how its calls are signed.
    #[serde(default)]
    pub aws: AwsConfig,
}

/// `[providers.NAME.regions.NAME]`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionConfig {
    /// Its address, as `base_url` of the provider.
    pub base_url: String,
    /// Where its key is found; left out where it is the provider's.
    #[serde(default)]
    pub key: Option<String>,
    /// Every place where it may process requests, as `["eu"]`; what the provider says does not hold for its regions.
    #[serde(default)]
    pub residency: Vec<String>,
}

/// As with a provider.
impl fmt::Debug for RegionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionConfig").field("residency", &self.residency).finish_non_exhaustive()
    }
}

/// The key text may be a secret that someone put in the wrong place, so it is not printed.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// OpenAI's chat completions, by OpenAI or anyone compatible.
    Openai,
    /// Anthropic's messages.
    Anthropic,
    /// OpenAI's formats at a resource of Azure; models are its deployments.
    Azure,
    /// Google's Gemini API.
    Gemini,
    /// AWS's Bedrock.
    Bedrock,
}

impl Kind {
    /// Its word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Azure => "azure",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
        }
    }
}

/// A section that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The key is not a reference.
    #[error("`key`: {0}")]
    Key(#[from] domain::secret::NotAReference),
    /// The address cannot be called.
    #[error(transparent)]
    Address(#[from] outbound::OriginError),
    /// There is no address, and none that is usual.
    #[error("`base_url` is missing: write that of the resource, as `https://NAME.openai.azure.com`")]
    NoAddress,
    /// A setting of another kind of provider.
    #[error("`{field}` is only for `kind = \"{kind}\"`")]
    NotForThisKind {
        /// The setting.
        field: &'static str,
        /// Whose it is.
        kind: &'static str,
    },
    /// One of its regions cannot be called.
    #[error("regions.{region}: {source}")]
    Region {
        /// Its name.
        region: String,
        /// What is wrong.
        source: Box<ConfigError>,
    },
    /// Nothing says in which region Bedrock is.
    #[error("`aws.region` is missing: write that of Bedrock, as `eu-central-1`")]
    NoAwsRegion,
    /// What stands there cannot be the name of a region.
    #[error("`aws.region`: `{region}` is no region; write one as `eu-central-1`")]
    NotAnAwsRegion {
        /// What stands there.
        region: String,
    },
    /// A part of an access key is not a reference.
    #[error("`aws.{field}`: {source}")]
    AwsKey {
        /// Which part.
        field: &'static str,
        /// What is wrong.
        source: domain::secret::NotAReference,
    },
    /// A profile and an access key.
    #[error("`aws.profile` and `aws.access_key_id` are two identities: leave one out")]
    TwoAwsIdentities,
    /// A key of Bedrock, which needs no signature, and credentials to sign with.
    #[error("`key` needs no signature: leave it or the credentials in `aws` out")]
    KeyAndAws,
    /// Only one half of an access key.
    #[error("`aws.access_key_id` and `aws.secret_access_key` go together")]
    HalfAnAwsKey,
}

impl Config {
    /// Checks everything that can be checked without the key and without a network.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (name, region) in &self.regions {
            let wrong = |source| ConfigError::Region { region: name.clone(), source: Box::new(source) };
            self.in_region(region).validate().map_err(wrong)?;
        }
        let key = self.key_reference()?;
        let signs = self.aws.references()?.is_some() || self.aws.profile.is_some();
        if self.kind != Kind::Bedrock && self.aws != AwsConfig::default() {
            return Err(ConfigError::NotForThisKind { field: "aws", kind: "bedrock" });
        }
        if key.is_some() && signs {
            return Err(ConfigError::KeyAndAws);
        }
        if !matches!(self.kind, Kind::Openai | Kind::Azure) {
            let fields = [
                ("responses", self.responses.is_some()),
                ("token_limit_field", self.token_limit_field.is_some()),
                ("reasoning_fields", self.reasoning_fields.is_some()),
            ];
            if let Some((field, _)) = fields.into_iter().find(|(_, is_set)| *is_set) {
                return Err(ConfigError::NotForThisKind { field, kind: "openai" });
            }
        }
        if self.api_version.is_some() && self.kind != Kind::Azure {
            return Err(ConfigError::NotForThisKind { field: "api_version", kind: "azure" });
        }
        Ok(outbound::OriginConfig {
            base_url: self.address()?,
            allow_private: self.allow_private,
            secret: None,
        }
        .validate()?)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Result<String, ConfigError> {
        if self.kind != Kind::Bedrock {
            return self.base_url().map(str::to_owned);
        }
        let region = self.aws.region(self.base_url.as_deref())?;
        let usual = || format!("https://bedrock-runtime.{region}.amazonaws.com");
        Ok(self.base_url.clone().unwrap_or_else(usual))
    }

    /// Whether each region of AWS may be named: its address is known, and the credentials are good for all.
    #[must_use]
    pub fn has_all_regions(&self) -> bool {
        let own = |url: &String| url.starts_with("https://bedrock-runtime.");
        self.kind == Kind::Bedrock && self.base_url.as_ref().is_none_or(own)
    }

    /// The settings of a region that has no section of its own; nobody says where it processes requests.
    pub(crate) fn in_known_region(&self, region: &str) -> Self {
        let aws = AwsConfig { region: Some(region.to_owned()), ..self.aws.clone() };
        Self { base_url: None, residency: Vec::new(), regions: BTreeMap::new(), aws, ..self.clone() }
    }

    /// The settings that one of its regions is called with.
    pub(crate) fn in_region(&self, region: &RegionConfig) -> Self {
        // A region with a key of its own is not signed for.
        let aws = match region.key {
            Some(_) => AwsConfig { region: self.aws.region.clone(), ..AwsConfig::default() },
            None => self.aws.clone(),
        };
        Self {
            base_url: Some(region.base_url.clone()),
            aws,
            key: region.key.clone().or_else(|| self.key.clone()),
            residency: region.residency.clone(),
            regions: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// Where each of its secrets is found, as far as what stands there is a reference.
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretRef> {
        let AwsConfig { access_key_id, secret_access_key, session_token, .. } = &self.aws;
        let written = [&self.key, access_key_id, secret_access_key, session_token];
        written.into_iter().flatten().filter_map(|text| SecretRef::parse(text).ok()).collect()
    }

    pub(crate) fn key_reference(&self) -> Result<Option<SecretRef>, ConfigError> {
        Ok(self.key.as_deref().map(SecretRef::parse).transpose()?)
    }

    /// Its address, or the usual one of its kind.
    pub(crate) fn base_url(&self) -> Result<&str, ConfigError> {
        match (&self.base_url, self.kind) {
            // Both are at the resource; which one a call takes is the format's.
            (Some(url), Kind::Azure) => {
                let url = url.trim_end_matches('/');
                Ok(url.strip_suffix("/openai/v1").or_else(|| url.strip_suffix("/openai")).unwrap_or(url))
            }
            // The version is part of each path there.
            (Some(url), Kind::Anthropic) => {
                let url = url.trim_end_matches('/');
                Ok(url.strip_suffix("/v1").unwrap_or(url))
            }
            (Some(url), Kind::Openai | Kind::Gemini | Kind::Bedrock) => Ok(url),
            (None, Kind::Openai) => Ok(OPENAI_URL),
            (None, Kind::Anthropic) => Ok(ANTHROPIC_URL),
            (None, Kind::Gemini) => Ok(GEMINI_URL),
            (None, Kind::Azure) => Err(ConfigError::NoAddress),
            // Its address is that of a region.
            (None, Kind::Bedrock) => Err(ConfigError::NoAwsRegion),
        }
    }

    /// OpenAI's format as this provider speaks it.
    pub(crate) fn chat(&self) -> ChatCompletions {
        let thoughts = match self.reasoning_fields.unwrap_or_else(|| !self.is_vendor()) {
            true => Thoughts::Taken,
            false => Thoughts::Refused,
        };
        ChatCompletions { limit_field: self.limit_field(), responses: self.responses(), thoughts }
    }

    fn responses(&self) -> wire::openai::chat::Endpoint {
        use wire::openai::chat::Endpoint;
        match self.responses.unwrap_or_else(|| self.is_openai()) {
            true => Endpoint::There,
            false => Endpoint::Missing,
        }
    }

    /// OpenAI itself, in the world or in one of its regions (`eu.api.openai.com`).
    fn is_openai(&self) -> bool {
        let host = |url: &str| {
            url.strip_prefix("https://").and_then(|rest| rest.split('/').next().map(str::to_owned))
        };
        self.base_url().ok().and_then(host).is_some_and(|host| {
            host.strip_suffix("api.openai.com")
                .is_some_and(|region| region.is_empty() || region.ends_with('.'))
        })
    }

    /// Whether OpenAI's own servers answer, its or Azure's, which take what it documents and nothing else.
    fn is_vendor(&self) -> bool {
        self.is_openai() || self.kind == Kind::Azure
    }

    fn limit_field(&self) -> wire::openai::chat::LimitField {
        use wire::openai::chat::LimitField;
        let default = if self.is_vendor() { LimitField::MaxCompletionTokens } else { LimitField::MaxTokens };
        self.token_limit_field.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use wire::openai::chat::LimitField;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn sections_are_read_with_defaults() {
        let config = read("kind = \"openai\"\nkey = \"env::OPENAI_API_KEY\"").expect("readable");
        assert_eq!((config.base_url(), config.allow_private), (Ok(OPENAI_URL), false));
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.limit_field(), LimitField::MaxCompletionTokens);
        assert_eq!(config.chat().thoughts, Thoughts::Refused);
        let own = read("kind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\nallow_private = true")
            .expect("readable");
        assert_eq!((own.validate(), own.limit_field()), (Ok(()), LimitField::MaxTokens));
        assert_eq!(own.chat().thoughts, Thoughts::Taken);
        let gateway = Config { reasoning_fields: Some(false), ..own };
        assert_eq!((gateway.validate(), gateway.chat().thoughts), (Ok(()), Thoughts::Refused));
        for (url, is_openai) in [
            ("https://eu.api.openai.com/v1", true),
            ("https://api.openai.com", true),
            ("https://notapi.openai.com/v1", false),
            ("https://gate.example/api.openai.com/v1", false),
        ] {
            let config = read(&format!("kind = \"openai\"\nbase_url = \"{url}\"")).expect("readable");
            assert_eq!(config.limit_field() == LimitField::MaxCompletionTokens, is_openai, "{url}");
        }
        for (url, want) in [
            ("", ANTHROPIC_URL),
            ("base_url = \"https://api.anthropic.com/v1/\"", ANTHROPIC_URL),
            ("base_url = \"https://example.com/anthropic\"", "https://example.com/anthropic"),
        ] {
            let config = read(&format!("kind = \"anthropic\"\nkey = \"env::ANTHROPIC_API_KEY\"\n{url}"));
            let config = config.expect("readable");
            assert_eq!((config.validate(), config.base_url()), (Ok(()), Ok(want)));
        }
        let gemini = read("kind = \"gemini\"\nkey = \"env::GEMINI_API_KEY\"").expect("readable");
        assert_eq!((gemini.validate(), gemini.base_url()), (Ok(()), Ok(GEMINI_URL)));
        for (url, want) in [
            ("https://a.openai.azure.com", "https://a.openai.azure.com"),
            ("https://a.openai.azure.com/openai/v1/", "https://a.openai.azure.com"),
            ("https://gate.example/azure/openai", "https://gate.example/azure"),
        ] {
            let azure =
                read(&format!("kind = \"azure\"\nbase_url = \"{url}\"\napi_version = \"2024-10-21\""));
            let azure = azure.expect("readable");
            assert_eq!((azure.validate(), azure.base_url()), (Ok(()), Ok(want)));
            assert_eq!(azure.limit_field(), LimitField::MaxCompletionTokens);
            assert_eq!(azure.chat().thoughts, Thoughts::Refused);
        }
        assert_eq!(read("kind = \"azure\"").expect("readable").validate(), Err(ConfigError::NoAddress));
        let odd = read("kind = \"gemini\"\napi_version = \"2024-10-21\"").expect("readable");
        assert!(matches!(odd.validate(), Err(ConfigError::NotForThisKind { field: "api_version", .. })));
        for text in ["", "kind = \"magic\"", "kind = \"openai\"\nkeys = \"env::A\""] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bedrock_has_all_regions_where_its_own_address_is_called() {
        let read = |text: &str| read(&format!("kind = \"bedrock\"\n{text}")).expect("readable");
        let here = read("aws = { region = \"eu-central-1\" }");
        let there = here.in_known_region("us-west-2");
        assert_eq!(there.address().as_deref(), Ok("https://bedrock-runtime.us-west-2.amazonaws.com"));
        assert_eq!(there.aws.region(there.base_url.as_deref()), Ok("us-west-2"), "signed for it, too");
        let own = read("base_url = \"https://bedrock-runtime.eu-central-1.amazonaws.com\"");
        assert_eq!(own.in_known_region("us-west-2").address(), there.address());
        assert!(here.has_all_regions() && own.has_all_regions());
        let gateway = "base_url = \"https://gate.example\"\naws = { region = \"eu-central-1\" }";
        assert!(!read(gateway).has_all_regions(), "who stands behind it is not known");
    }

    #[test]
    fn settings_that_would_be_passed_over_are_refused() {
        for (text, field) in [
            ("kind = \"openai\"\naws = { region = \"eu-central-1\" }", "`aws`"),
            ("kind = \"gemini\"\nresponses = true", "`responses`"),
            ("kind = \"gemini\"\nreasoning_fields = false", "`reasoning_fields`"),
            ("kind = \"anthropic\"\ntoken_limit_field = \"max_tokens\"", "`token_limit_field`"),
            (
                "kind = \"bedrock\"\nkey = \"env::A\"\naws = { region = \"eu-central-1\", profile = \"work\" }",
                "`key`",
            ),
        ] {
            let error = read(text).expect("readable").validate().expect_err(text);
            assert!(error.to_string().starts_with(field), "{text}: {error}");
        }
        // A region with a key of its own is called with that.
        let region = "regions.west = { base_url = \"https://bedrock-runtime.us-west-2.amazonaws.com\", key = \"env::A\" }";
        let text = format!(
            "kind = \"bedrock\"\naws = {{ region = \"eu-central-1\", profile = \"work\" }}\n{region}"
        );
        assert_eq!(read(&text).expect("readable").validate(), Ok(()));
    }

    #[test]
    fn bad_sections_are_refused_without_repeating_the_key() {
        let bad = read("kind = \"openai\"\nkey = \"sk-live-1\"").expect("readable");
        let error = bad.validate().expect_err("a value, not a reference");
        assert!(!format!("{error} {error:?} {bad:?}").contains("sk-live"));
        for base_url in
            ["http://example.com/v1", "https://10.0.0.1/v1", "https://a:b@example.com", "nonsense"]
        {
            let config = read(&format!("kind = \"openai\"\nbase_url = \"{base_url}\"")).expect("readable");
            assert!(matches!(config.validate(), Err(ConfigError::Address(_))), "{base_url}");
        }
    }
}
