//! What the grammar allows and a server cannot serve with: told by `check` and by `serve`, each with its place.

use std::path::Path;
use std::time::Duration;

use access::config::InvalidAuth;
use domain::grant::Network;
use domain::secret::SecretRef;
use pipeline::parts::{Durability, OnFailure};
use registry::problem::{Problem, Problems};

use super::layers::Layers;
use super::{Config, SCHEMA, sqlite_path};

/// Sources of models are not asked more often than this.
const FETCH_AGAIN_MIN: Duration = Duration::from_secs(1);
/// Most answers that one model makes at once: each step of one waits for the steps of all.
const PARALLEL_MAX: usize = 16;
/// A system prompt with one passage, and a sentence in reply.
const CONTEXT_MIN: u32 = 512;
/// No model of any catalogue was trained on more.
const CONTEXT_MAX: u32 = 1 << 20;
/// As many as llama.cpp runs at most (`GGML_MAX_N_THREADS`).
const THREADS_MAX: u32 = 512;

/// Something wrong: the path of its key, and the reason.
type Finding<'a> = (Vec<&'a str>, String);

pub(super) fn check(config: &Config, layers: &Layers<'_>) -> Result<(), Problems> {
    if config.schema != SCHEMA {
        let reason = format!("schema {} is not known; this version reads schema = {SCHEMA}", config.schema);
        return Err(layers.problem(&["schema"], reason).into());
    }
    let mut found = server(&config.server);
    found.extend(auth(&config.auth));
    found.extend(records(config));
    found.extend(embedded(&config.embedded));
    if let Err(error) = config.resilience.validate() {
        found.push((vec!["resilience"], format!("[resilience]: {error}")));
    }
    if let Err(error) = config.cache.validate() {
        found.push((vec!["cache", error.setting], format!("[cache] {error}")));
    }
    if let Err((table, error)) = config.limits.validate() {
        let path: Vec<&str> = std::iter::once("limits").chain(table).collect();
        found.push((path.clone(), format!("[{}] {error}", path.join("."))));
    }
    let mistakes = config.telemetry.mistakes().into_iter();
    found.extend(mistakes.map(|wrong| (vec!["telemetry", wrong.key], format!("[telemetry]: {wrong}"))));
    found.extend(config.providers.iter().filter_map(provider));
    let problem = |(path, reason): Finding<'_>| layers.problem(&path, reason);
    let problems: Vec<Problem> = found.into_iter().map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn server(server: &api::server::Config) -> Vec<Finding<'static>> {
    let listen = api::serve::address(&server.listen).err().map(|error| ("listen", error.to_string()));
    let times = [
        ("request_timeout", server.request_timeout),
        ("body_timeout", server.body_timeout),
        ("header_timeout", server.header_timeout),
        ("idle_timeout", server.idle_timeout),
        ("keep_alive", server.keep_alive),
    ];
    let numbers = [
        ("connections_max", server.connections_max),
        ("body_bytes_max", server.body_bytes_max),
        ("dialect_body_bytes_max", server.dialect_body_bytes_max),
    ];
    let zero_times = times.into_iter().filter(|(_, time)| time.is_zero()).map(|(key, _)| key);
    let zero_numbers = numbers.into_iter().filter(|(_, number)| *number == 0).map(|(key, _)| key);
    let zeros = zero_times
        .chain(zero_numbers)
        .map(|key| (key, format!("[server] {key} must be more than 0: no request could be answered")));
    let strangers = lists(server).into_iter();
    let found =
        listen.into_iter().chain(zeros).chain(strangers).map(|(key, reason)| (vec!["server", key], reason));
    found.chain(server.tls.iter().flat_map(|tls| encryption(tls, &server.listen))).collect()
}

/// Lists whose entries are read by `api`.
fn lists(server: &api::server::Config) -> Vec<(&'static str, String)> {
    let proxies = server.trusted_proxies.iter().filter_map(|proxy| {
        let error = Network::parse(proxy).err()?;
        Some(("trusted_proxies", format!("[server] trusted_proxies: `{proxy}`: {error}")))
    });
    let origins = server.cors_origins.iter().filter_map(|origin| {
        let reason = api::cors::check(origin).err()?;
        Some(("cors_origins", format!("[server] cors_origins: {reason}")))
    });
    proxies.chain(origins).collect()
}

fn encryption(tls: &api::serve::tls::Config, plain: &str) -> Vec<Finding<'static>> {
    let mut found = Vec::new();
    let mut wrong = |key, reason: String| found.push((vec!["server", "tls", key], reason));
    match tls.listen.as_deref().map(|listen| (listen, api::serve::address(listen))) {
        Some((_, Err(error))) => wrong("listen", error.to_string().replace("[server]", "[server.tls]")),
        Some((listen, Ok(address))) if listen == plain && address.port() != 0 => {
            let reason = "[server.tls] listen is the plain port of [server] already: leave it out to have that port \
                          speak TLS, or give another one";
            wrong("listen", reason.to_owned());
        }
        Some(_) | None => {}
    }
    if let Err(error) = SecretRef::parse(&tls.key) {
        wrong("key", format!("[server.tls] key: {error}"));
    }
    if tls.handshake_timeout.is_zero() {
        wrong("handshake_timeout", "[server.tls] handshake_timeout must be more than 0".to_owned());
    }
    found
}

fn auth(auth: &access::Config) -> Vec<Finding<'_>> {
    let mistakes = auth.mistakes().into_iter();
    mistakes
        .map(|InvalidAuth { path, reason }| (["auth"].into_iter().chain(path).collect(), reason))
        .collect()
}

fn records(config: &Config) -> Vec<Finding<'static>> {
    let mut found = Vec::new();
    if sqlite_path(&config.storage.url, Path::new("data")).is_none() {
        found.push((vec!["storage", "url"], "[storage] url: write `sqlite:PATH`".to_owned()));
    }
    let records = config.records;
    if records.durability == Durability::Async && records.on_failure == OnFailure::Refuse {
        let reason = "[records] on_failure = \"refuse\" needs durability = \"commit\": with \"async\" the reply has \
                      gone out before its record is written, and cannot be refused any more";
        found.push((vec!["records", "on_failure"], reason.to_owned()));
    }
    found
}

fn embedded(embedded: &super::EmbeddedConfig) -> Vec<Finding<'static>> {
    let mut found = Vec::new();
    let mut wrong = |key, is_right: bool, reason: String| {
        if !is_right {
            found.push((vec!["embedded", key], format!("[embedded] {key} must be {reason}")));
        }
    };
    let context = CONTEXT_MIN..=CONTEXT_MAX;
    wrong("context", context.contains(&embedded.context), format!("{CONTEXT_MIN} to {CONTEXT_MAX} tokens"));
    let threads = format!("0 (measured) to {THREADS_MAX}");
    wrong("threads", embedded.threads <= THREADS_MAX, threads);
    let parallel = 1..=PARALLEL_MAX;
    wrong("parallel", parallel.contains(&embedded.parallel), format!("1 to {PARALLEL_MAX}"));
    let fetch_again = format!("{FETCH_AGAIN_MIN:?} or more");
    wrong("fetch_again", embedded.fetch_again >= FETCH_AGAIN_MIN, fetch_again);
    found
}

fn provider<'a>((name, provider): (&'a String, &providers::Config)) -> Option<Finding<'a>> {
    let key = format!("[providers.{name}]");
    let path = vec!["providers", name.as_str()];
    if name == registry::routes::EMBEDDED || name.contains('/') || name.is_empty() {
        return Some((path, format!("{key}: this name cannot be used for a provider")));
    }
    provider.validate().err().map(|error| (path, format!("{key}: {error}")))
}

#[cfg(test)]
mod tests {
    use crate::config::SETTINGS_FILE;
    use crate::config::loaded::load;
    use crate::files;

    /// The shipped settings with `text` in place of their section of that name.
    fn problems(text: &str) -> (String, usize) {
        let mut folder = files::shipped();
        let shipped = folder.text(SETTINGS_FILE).expect("text").to_owned();
        let section = text.lines().next().expect("a section");
        let rest = match shipped.split_once(&format!("{section}\n")) {
            Some((before, after)) => {
                let after = after.find("\n[").and_then(|end| after.get(end..)).unwrap_or_default();
                format!("{before}{after}")
            }
            None => shipped,
        };
        let rest = rest.trim_end();
        let line = rest.lines().count() + 3;
        folder.insert(SETTINGS_FILE, format!("{rest}\n\n{text}\n").into_bytes());
        let said = load(folder, None).err().map(|problems| problems.to_string());
        (said.unwrap_or_default(), line)
    }

    #[test]
    fn what_cannot_be_served_with_is_refused_with_its_line() {
        for (text, want) in [
            ("[server]\nlisten = \"127.0.0.1:99999\"", "is not an address"),
            ("[server]\ntrusted_proxies = [\"10.0.0.1/8\"]", "trusted_proxies: `10.0.0.1/8`"),
            ("[server]\ncors_origins = [\"*\"]", "`*` is no origin"),
            ("[auth]\npepper = \"my-secret\"", "[auth] pepper: write a reference"),
            ("[auth]\nbootstrap_key = \"sk-ms-x\"", "[auth] bootstrap_key: write a reference"),
            ("[server]\nrequest_timeout = \"0s\"", "request_timeout must be more than 0"),
            ("[server]\nheader_timeout = \"0s\"", "header_timeout must be more than 0"),
            ("[server]\nbody_timeout = \"0ms\"", "body_timeout must be more than 0"),
            ("[server]\nidle_timeout = \"0s\"", "idle_timeout must be more than 0"),
            ("[server]\nbody_bytes_max = 0", "body_bytes_max must be more than 0"),
            ("[server]\ndialect_body_bytes_max = 0", "dialect_body_bytes_max must be more than 0"),
            ("[server]\nconnections_max = 0", "connections_max must be more than 0"),
            (
                "[server.tls]\nlisten = \"nowhere\"\ncertificate = \"a\"\nkey = \"file::b\"",
                "[server.tls] listen: `nowhere` is not an address",
            ),
            (
                "[server.tls]\nlisten = \"127.0.0.1:8080\"\ncertificate = \"a\"\nkey = \"file::b\"",
                "is the plain port",
            ),
            ("[server.tls]\nkey = \"-----BEGIN\"\ncertificate = \"a\"", "write a reference to the secret"),
            (
                "[server.tls]\nhandshake_timeout = \"0s\"\ncertificate = \"a\"\nkey = \"file::b\"",
                "must be more than 0",
            ),
            ("[telemetry]\nsampling = 1.5", "`sampling` must be from 0 to 1"),
            ("[telemetry]\nendpoint = \"collector:4318\"", "`endpoint` must begin with https://"),
            ("[telemetry]\ntimeout = \"0s\"", "`timeout` must be 10ms or more"),
            ("[telemetry]\nqueue_spans_max = 0", "`queue_spans_max` must be 1 to"),
            ("[telemetry]\nheaders = { api-key = \"s3cret\" }", "`api-key`: write a reference"),
            ("[cache]\nbytes_max = 5", "`bytes_max` must be 1 MiB"),
            ("[cache]\nquestions_max = 0", "`questions_max` must be 1 to"),
            ("[embedded]\ncontext = 1", "context must be 512 to"),
            ("[embedded]\nthreads = 99999", "threads must be 0 (measured) to 512"),
            ("[aliases]\n\"\" = \"standard\"", "clients cannot send this name"),
            ("[aliases]\n\"agent:x\" = \"standard\"", "clients cannot send this name"),
            ("[records]\non_failure = \"refuse\"\ndurability = \"async\"", "needs durability = \"commit\""),
        ] {
            let (said, line) = problems(text);
            assert!(said.contains(want), "{text}: {said}");
            assert!(said.starts_with(&format!("mainstay.toml:{line}: ")), "{text}, line {line}: {said}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let (said, _) = problems("[server]\nlisten = \"x\"\nbody_timeout = \"0s\"");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
}
