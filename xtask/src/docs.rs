//! `cargo xtask docs`: writes `docs/CONFIG.md` from the doc comments of the configuration's structs, and knows
//! which error codes need a page.
//!
//! Reading order: `source` (the crates' sources, and how a name in one of them is found), `setting` (a field as
//! users see it: key, type, default, what), `value` (defaults as they stand in the code), `page` (the tables),
//! `codes` (error codes and their pages).

mod codes;
mod page;
mod setting;
mod source;
mod value;

use std::path::Path;

use anyhow::Context;

pub(crate) use codes::mistakes as code_mistakes;

use page::{File, Page};
use source::Sources;

/// The generated page.
const CONFIG_PAGE: &str = "docs/CONFIG.md";

/// Files of a configuration folder with the struct that reads each.
const FILES: [File; 8] = [
    File {
        name: "mainstay.toml",
        root: "mainstay::config::Config",
        intro: "The settings of the server, its providers and its routes.",
    },
    File {
        name: "agents/<name>/agent.toml",
        root: "registry::agents::AgentConfig",
        intro: "One agent. `prompt.md` (a line `<!-- system -->`, the system part, a line `<!-- user -->`, the user \
                part; [what they may use](prompts.md)) and `degraded.md` (the static answer) stand beside it, and \
                `prompt.<intent>.md` where an intent needs a prompt of its own.",
    },
    File {
        name: "intents/intents.toml",
        root: "registry::intents::File",
        intro: "What customers ask for. The labelled examples stand beside it in `*.jsonl`: one object \
                `{\"text\", \"intent\"}` a line, at least one for each intent.",
    },
    File {
        name: "contact.toml",
        root: "registry::texts::Contact",
        intro: "How a customer reaches a person.",
    },
    File {
        name: "disclaimers.toml",
        root: "registry::texts::Disclaimers",
        intro: "Texts that end every static answer, by product class.",
    },
    File {
        name: "guardrails/<name>.toml",
        root: "guardrails::policy::File",
        intro: "One guardrail policy. Agents name the policies that guard them, by file name.",
    },
    File {
        name: "models.toml",
        root: "embedded::catalogue::Catalogue",
        intro: "Models that Mainstay can run itself. A model is its SHA-256: whatever a source delivers is verified.",
    },
    File {
        name: "catalogue.toml",
        root: "registry::catalogue::Catalogue",
        intro: "What is known of the models of well-known providers: prices by day, limits, abilities, lifecycle. A folder \
                without this file uses the one in the binary; `[models]` of `mainstay.toml` overrides it.",
    },
];

/// Writes the page.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let path = root.join(CONFIG_PAGE);
    std::fs::write(&path, config_page(root)?).with_context(|| format!("could not write {}", path.display()))
}

/// What is wrong with the page as it stands.
pub(crate) fn staleness(root: &Path) -> Option<String> {
    let wanted = match config_page(root) {
        Ok(wanted) => wanted,
        Err(error) => return Some(format!("{CONFIG_PAGE}: {error:#}")),
    };
    let found = std::fs::read_to_string(root.join(CONFIG_PAGE)).unwrap_or_default();
    (found != wanted)
        .then(|| format!("{CONFIG_PAGE}: does not say what the code says; run `cargo xtask docs`"))
}

fn config_page(root: &Path) -> anyhow::Result<String> {
    Page::new(&Sources::read(root)?).write(&FILES)
}
