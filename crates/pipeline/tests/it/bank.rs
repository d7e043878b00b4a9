//! The bank whose assistant all tests of turns ask: its agents and what they know, in this crate's own tests and beside
//! them.

use domain::document::Passage;
use domain::id::{ContentHash, DocumentId};
use registry::folder::Folder;

/// What the agents with knowledge answer from.
pub(crate) const PASSAGE: &str = "Deposits at an insured bank are covered up to $250,000 per depositor. Joint \
     accounts are insured separately. The limit is set by law.";
/// What the agents say when no model can be asked.
pub(crate) const STATIC: &str = "We cannot answer now.";

/// The bank's folder with these agents (what their `agent.toml` says beside their route), guarded by `guardrails`, with
/// an intent for each of `examples` (JSON lines).
pub(crate) fn folder(agents: &[(&str, &str)], guardrails: &str, examples: &str) -> Folder {
    let mut folder = Folder::default();
    for (path, text) in [
        (
            "contact.toml",
            "name = \"Bank\"\nphone = \"1-800-555-0100\"\nweb = \"bank.example\"\nemail = \"help@bank.example\"\nhours = \"8am to 6pm\"",
        ),
        ("disclaimers.toml", "[texts]\nfdic = \"Coverage is described in 12 CFR 330.\""),
        ("guardrails/default.toml", guardrails),
        ("knowledge/finance/insurance.md", PASSAGE),
        ("intents/intents.toml", INTENTS),
        ("intents/examples.jsonl", examples),
    ] {
        folder.insert(path, text.as_bytes());
    }
    for (agent, extra) in agents {
        let config = format!("version = \"1.0\"\nroute = \"standard\"\nguardrails = [\"default\"]\n{extra}");
        folder.insert(format!("agents/{agent}/agent.toml"), config.into_bytes());
        folder.insert(format!("agents/{agent}/degraded.md"), STATIC.as_bytes());
        folder.insert(format!("agents/{agent}/prompt.md"), PROMPT.as_bytes());
    }
    folder
}

/// [`PASSAGE`], found.
pub(crate) fn passage() -> Passage {
    Passage {
        document: DocumentId::from("insurance"),
        version: ContentHash::from("v1"),
        title: "Deposit insurance".to_owned(),
        source: "12 CFR 330".to_owned(),
        as_of: "2026".to_owned(),
        start: 0,
        end: PASSAGE.len(),
        text: PASSAGE.to_owned(),
        score: 1.0,
        sentences: Vec::new(),
    }
}

const PROMPT: &str = "<!-- system -->\nYou work for {{ contact.name }}.\n<!-- user -->\n\
    {% for passage in passages %}\n{{ passage.text }}\n{% endfor %}\n\
    {% for before in earlier %}\nEarlier: {{ before }}\n{% endfor %}\n\
    Question: {{ question }}\n{% for reason in reasons %}\n- {{ reason }}\n{% endfor %}";

const INTENTS: &str = "escalate_at = 0.99\n\
    [[intents]]\nname = \"person\"\nlabel = \"A person\"\nescalate = \"asked for a person\"\npatterns = ['\\bhuman\\b']\n\
    [[intents]]\nname = \"fee\"\nlabel = \"Fees\"\n\
    [[intents]]\nname = \"insurance\"\nlabel = \"Deposit insurance\"\n";
