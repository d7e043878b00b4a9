//! Configuration folders: written by `mainstay init`, then changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use testkit::Upstream;

use crate::server::run;

/// A configuration folder of a test.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    /// What `mainstay init` writes.
    pub(crate) fn init() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = run(&["init", &folder.path().display().to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(folder)
    }

    /// The same, but that no agent reads articles: a server learns when to abstain from them, which is two thirds of its
    /// start.
    pub(crate) fn without_articles() -> Self {
        let folder = Self::init();
        for agent in std::fs::read_dir(folder.file("agents")).expect("agents").flatten() {
            let name = format!("agents/{}/agent.toml", agent.file_name().display());
            folder.write(&name, &folder.read(&name).replace(r#"knowledge = ["finance"]"#, ""));
        }
        folder
    }

    /// Without articles, with `settings` as its `mainstay.toml`.
    pub(crate) fn with_settings(settings: &str) -> Arc<Self> {
        Self::without_articles().set(settings)
    }

    /// All of it, with `settings` as its `mainstay.toml`.
    pub(crate) fn with_articles(settings: &str) -> Arc<Self> {
        Self::init().set(settings)
    }

    fn set(self, settings: &str) -> Arc<Self> {
        self.write("mainstay.toml", settings);
        Arc::new(self)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).expect("a writable folder");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).expect(name)
    }

    /// Replaces `from`, which must be there, by `to`.
    pub(crate) fn change(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} does not hold `{from}`");
        self.write(name, &text.replace(from, to));
    }
}

/// Settings with a tier for each upstream, `primary` and then `fallback`; their models are `one/alpha` and `two/beta`.
/// `more` follows, as `[server]` settings or another tier.
pub(crate) fn ladder(upstreams: &[&Upstream], more: &str) -> String {
    let mut settings = "schema = 1\n".to_owned();
    let rungs = [("primary", "one", "alpha", ""), ("fallback", "two", "beta", OVERRIDES)];
    for (upstream, (tier, provider, model, overrides)) in upstreams.iter().zip(rungs) {
        let base_url = upstream.base_url();
        settings += &format!(
            "[providers.{provider}]\nkind = \"openai\"\nbase_url = \"{base_url}\"\nkey = \"env::{KEY_VARIABLE}\"\n\
             allow_private = true\n\
             [models.\"{provider}/{model}\"]\nprice_input_per_million = 1.0\nprice_output_per_million = 2.0\n\
             [[routes.standard.tiers]]\nname = \"{tier}\"\ntargets = [{{ model = \"{provider}/{model}\" }}]\n\
             {overrides}\n"
        );
    }
    settings + more
}

/// The variable that holds the providers' key.
pub(crate) const KEY_VARIABLE: &str = "MAINSTAY_TEST_KEY";
const OVERRIDES: &str = "overrides = { max_tokens = 300, temperature = 0.5 }";
/// The tier of the model that runs here.
pub(crate) const EMBEDDED_TIER: &str =
    "[[routes.standard.tiers]]\nname = \"embedded\"\ntargets = [{ model = \"embedded/default\" }]\n";
