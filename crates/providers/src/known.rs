//! How those who watch calls know a provider: by the names of OpenTelemetry's GenAI conventions (v1.41, `gen_ai.provider.name`).

use http::Uri;

use crate::config::{Config, Kind};

/// Makers of OpenAI-compatible interfaces with a name of their own, by the end of their hosts.
const COMPATIBLE: [(&str, &str); 7] = [
    ("api.openai.com", "openai"),
    ("groq.com", "groq"),
    ("mistral.ai", "mistral_ai"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("moonshot.ai", "moonshot_ai"),
];

impl Config {
    /// The convention's name of the provider that the configuration calls `name`: `name` itself, where it has none.
    #[must_use]
    pub fn system(&self, name: &str) -> String {
        let system = match self.kind {
            Kind::Anthropic => "anthropic",
            Kind::Azure => "azure.ai.openai",
            Kind::Gemini => "gcp.gemini",
            Kind::Bedrock => "aws.bedrock",
            Kind::Openai => {
                let server = self.uri();
                let host = server.as_ref().and_then(Uri::host).unwrap_or_default();
                let is_at = |end: &str| {
                    host.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                };
                COMPATIBLE.iter().find(|(end, _)| is_at(end)).map_or(name, |(_, system)| system)
            }
        };
        system.to_owned()
    }

    /// Its host and port; `None` where it has more than one.
    #[must_use]
    pub fn server(&self) -> Option<(String, u16)> {
        let is_one = self.regions.is_empty() && !self.has_all_regions();
        let uri = self.uri().filter(|_| is_one)?;
        let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
        Some((uri.host()?.to_owned(), uri.port_u16().unwrap_or(usual)))
    }

    fn uri(&self) -> Option<Uri> {
        self.address().ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_the_names_of_the_conventions() {
        for (text, system, server) in [
            ("kind = \"openai\"", "openai", Some(("api.openai.com", 443))),
            (
                "kind = \"openai\"\nbase_url = \"https://api.groq.com/openai/v1\"",
                "groq",
                Some(("api.groq.com", 443)),
            ),
            // No part of a name: `x.ai` is not `max.ai`.
            ("kind = \"openai\"\nbase_url = \"https://max.ai/v1\"", "mine", Some(("max.ai", 443))),
            (
                "kind = \"openai\"\nbase_url = \"http://127.0.0.1:8000/v1\"\nallow_private = true",
                "mine",
                Some(("127.0.0.1", 8000)),
            ),
            ("kind = \"anthropic\"", "anthropic", Some(("api.anthropic.com", 443))),
            ("kind = \"gemini\"", "gcp.gemini", Some(("generativelanguage.googleapis.com", 443))),
            ("kind = \"openai\"\n[regions.eu]\nbase_url = \"https://eu.api.openai.com/v1\"", "openai", None),
            ("kind = \"azure\"", "azure.ai.openai", None),
        ] {
            let config: Config = toml::from_str(text).expect("settings");
            assert_eq!(config.system("mine"), system, "{text}");
            let server = server.map(|(host, port): (&str, u16)| (host.to_owned(), port));
            assert_eq!(config.server(), server, "{text}");
        }
    }
}
