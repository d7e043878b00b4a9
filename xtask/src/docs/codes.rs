//! Error codes: each one that a reply can carry has its page in `docs/errors`.

use std::path::Path;

use anyhow::{Context, ensure};

/// Where the codes stand, one a line in a macro call.
const SOURCE: &str = "crates/api/src/problem.rs";
const PAGES: &str = "docs/errors";

/// Codes without a page, and pages without a code.
pub(crate) fn mistakes(root: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(SOURCE)).context(SOURCE)?;
    let codes = codes(&text);
    ensure!(
        !codes.is_empty(),
        "{SOURCE} holds no line of codes any more; change xtask/src/docs/codes.rs with it"
    );
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(root.join(PAGES)).context(PAGES)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        pages.extend(name.strip_suffix(".md").filter(|name| *name != "README").map(str::to_owned));
    }
    Ok(compared(&codes, &pages))
}

/// The codes in lines as `bad_json, BAD_REQUEST, "bad_json", "The body is not acceptable JSON";`.
fn codes(text: &str) -> Vec<&str> {
    let lines =
        text.lines().skip_while(|line| line.trim() != "codes! {").skip(1).take_while(|line| *line != "}");
    lines
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.split('"').nth(1))
        .collect()
}

fn compared(codes: &[&str], pages: &[String]) -> Vec<String> {
    let missing = codes.iter().filter(|code| !pages.iter().any(|page| page == *code));
    let spare = pages.iter().filter(|page| !codes.contains(&page.as_str()));
    missing
        .map(|code| format!("{PAGES}/{code}.md: is missing; the error code `{code}` needs a page"))
        .chain(spare.map(|page| format!("{PAGES}/{page}.md: there is no error code `{page}` in {SOURCE}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_page() {
        let text = "\"early\"\ncodes! {\n    /// A \"note\".\n    one, BAD_REQUEST, \"one\", \"One\";\n    two, X, \"two\", \"T\";\n}\n\"late\"";
        assert_eq!(codes(text), ["one", "two"]);
        assert!(compared(&["one"], &["one".to_owned()]).is_empty());
        let found = compared(&["one", "two"], &["one".to_owned(), "old".to_owned()]);
        assert!(found.len() == 2 && found[0].contains("two.md: is missing"), "{found:?}");
        assert!(found[1].contains("no error code `old`"), "{found:?}");
    }
}
