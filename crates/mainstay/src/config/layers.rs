//! The settings in layers: `mainstay.toml`, and the overlay of an environment over it. It knows where each key stands.

use registry::folder::{Folder, toml_problem, toml_reason};
use registry::problem::{Problem, Problems, line_of};
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::SETTINGS_FILE;

/// The folder of overlays, `NAME.toml` for each environment.
const ENVIRONMENTS: &str = "environments/";

/// The texts of the settings.
pub(crate) struct Layers<'a> {
    base: &'a str,
    overlay: Option<Overlay>,
}

/// The text of an overlay. It begins with as many line breaks as the base has bytes: so a place in either text is one
/// number, and says which of them it is in.
struct Overlay {
    file: String,
    padded: String,
}

impl<'a> Layers<'a> {
    /// Reads the settings of `folder`, for `environment` where one is given.
    pub(crate) fn read(folder: &'a Folder, environment: Option<&str>) -> Result<Self, Problem> {
        let base = folder.text(SETTINGS_FILE)?;
        let Some(environment) = environment else { return Ok(Self { base, overlay: None }) };
        let file = format!("{ENVIRONMENTS}{environment}.toml");
        if !names(folder).contains(&environment) {
            let known = match names(folder) {
                names if names.is_empty() => "this configuration has none".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            let reason = format!("there is no environment `{environment}`; {known}");
            return Err(Problem::of_file(file, reason));
        }
        let text = folder.text(&file)?;
        let padded = "\n".repeat(base.len()) + text;
        Ok(Self { base, overlay: Some(Overlay { file, padded }) })
    }

    /// The settings as `T`: tables are merged key by key, everything else is replaced by the overlay.
    pub(crate) fn settings<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let table = self.table()?;
        T::deserialize(Deserializer::from(table)).map_err(|error| {
            let reason = toml_reason("", &error);
            match error.span() {
                Some(span) => self.at(span.start, reason),
                None => Problem::of_file(SETTINGS_FILE, reason),
            }
        })
    }

    /// A problem with what stands at `path`, or with the last part of it that is there.
    pub(crate) fn problem(&self, path: &[&str], reason: String) -> Problem {
        match self.find(path) {
            Some(offset) => self.at(offset, reason),
            None => Problem::of_file(SETTINGS_FILE, reason),
        }
    }

    /// The problems with their places: one with the settings names its section in its reason, and no line.
    pub(crate) fn located(&self, problems: Problems) -> Problems {
        let located = |problem: Problem| {
            if problem.file != SETTINGS_FILE || problem.line.is_some() {
                return problem;
            }
            let path = section(&problem.reason);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            self.problem(&path, problem.reason)
        };
        Problems(problems.0.into_iter().map(located).collect())
    }

    fn table(&self) -> Result<Spanned<DeTable<'_>>, Problem> {
        let parsed = DeTable::parse(self.base);
        let mut table = parsed.map_err(|error| toml_problem(SETTINGS_FILE, self.base, &error))?;
        if let Some(Overlay { padded, .. }) = &self.overlay {
            let over = DeTable::parse(padded).map_err(|error| {
                let reason = toml_reason(padded, &error);
                self.at(error.span().map_or(self.base.len(), |span| span.start), reason)
            })?;
            merge(table.get_mut(), over.into_inner());
        }
        Ok(table)
    }

    fn at(&self, offset: usize, reason: String) -> Problem {
        match &self.overlay {
            Some(Overlay { file, padded }) if offset >= self.base.len() => {
                let line = line_of(padded, offset).saturating_sub(self.base.len());
                Problem { file: file.clone(), line: Some(line.max(1)), reason }
            }
            _ => Problem::at(SETTINGS_FILE, self.base, offset, reason),
        }
    }

    /// Where `path` stands. What the overlay changed within it is looked at first: more likely, that is the mistake.
    fn find(&self, path: &[&str]) -> Option<usize> {
        let root = self.table().ok()?;
        let mut here: Option<&Spanned<DeValue<'_>>> = None;
        for key in path {
            let table = match here {
                None => Some(root.get_ref()),
                Some(value) => value.get_ref().as_table(),
            };
            let Some(next) = table.and_then(|table| table.get(*key)) else { break };
            here = Some(next);
        }
        let here = here?;
        Some(first_from(here, self.base.len()).unwrap_or_else(|| here.span().start))
    }
}

/// Environments that have an overlay.
fn names(folder: &Folder) -> Vec<&str> {
    let files = folder.under(ENVIRONMENTS).filter_map(|(path, _)| {
        path.strip_prefix(ENVIRONMENTS)?.strip_suffix(".toml").filter(|name| !name.contains('/'))
    });
    files.collect()
}

fn merge<'i>(base: &mut DeTable<'i>, overlay: DeTable<'i>) {
    for (key, mut value) in overlay {
        if let (Some(below), DeValue::Table(over)) = (base.get_mut(key.get_ref().as_ref()), value.get_mut())
            && let DeValue::Table(below) = below.get_mut()
        {
            merge(below, std::mem::take(over));
            continue;
        }
        // Its key is replaced, too: the old one would name the old place.
        base.remove(key.get_ref().as_ref());
        base.insert(key, value);
    }
}

/// The first place at or after `start` in `value`.
fn first_from(value: &Spanned<DeValue<'_>>, start: usize) -> Option<usize> {
    let own = Some(value.span().start).filter(|offset| *offset >= start);
    let inner = match value.get_ref() {
        DeValue::Table(table) => table.values().filter_map(|value| first_from(value, start)).min(),
        DeValue::Array(array) => array.iter().filter_map(|value| first_from(value, start)).min(),
        _ => None,
    };
    own.into_iter().chain(inner).min()
}

/// The keys in front of a reason, as in `[models."a/b"] price: …` and `[aliases] "name": …`.
fn section(reason: &str) -> Vec<String> {
    let head = reason.split_once("]").map(|(head, rest)| (format!("{head}]"), rest));
    let Some((head, rest)) = head.filter(|(head, _)| head.starts_with('[')) else { return Vec::new() };
    let mut keys = Vec::new();
    let Ok(mut table) = toml::from_str::<toml::Table>(&head) else { return keys };
    while let Some((key, value)) = table.into_iter().next() {
        keys.push(key);
        table = value.as_table().cloned().unwrap_or_default();
    }
    let rest = rest.trim_start();
    let key = match rest.strip_prefix('"') {
        // A quoted key may be empty, and may hold colons.
        Some(quoted) => quoted.split_once("\":").map(|(key, _)| key),
        None => rest.split_once(':').map(|(key, _)| key.trim()).filter(|key| !key.is_empty()),
    };
    keys.extend(key.map(str::to_owned));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str =
        "schema = 1\n\n[server]\nlisten = \"a\"\nports = [1, 2]\n[server.limits]\nbody = 1\nhead = 2\n";

    fn layered(overlay: &str) -> Folder {
        let mut folder = Folder::default();
        folder.insert(SETTINGS_FILE, BASE.as_bytes());
        folder.insert("environments/prod.toml", overlay.as_bytes());
        folder.insert("environments/dev.toml", b"".as_slice());
        folder.insert("environments/notes.md", b"".as_slice());
        folder
    }

    #[test]
    fn tables_are_merged_and_all_else_is_replaced() {
        for (overlay, want) in [
            ("", BASE.to_owned()),
            ("[server]\nlisten = \"b\"", BASE.replace("\"a\"", "\"b\"")),
            ("[server]\nports = []", BASE.replace("[1, 2]", "[]")),
            ("server.limits.head = 3", BASE.replace("head = 2", "head = 3")),
            ("[server]\nlimits = 5", BASE.replace("[server.limits]\nbody = 1\nhead = 2", "limits = 5")),
            ("[server.listen]\nnew = 1", BASE.replace("listen = \"a\"", "listen = { new = 1 }")),
            ("[other]\nx = 1", format!("{BASE}[other]\nx = 1")),
        ] {
            let folder = layered(overlay);
            let merged: toml::Table =
                Layers::read(&folder, Some("prod")).and_then(|layers| layers.settings()).expect("valid");
            assert_eq!(merged, toml::from_str(&want).expect("valid"), "{overlay}");
        }
        let folder = layered("schema = 2");
        for environment in [None, Some("dev")] {
            let merged: toml::Table =
                Layers::read(&folder, environment).and_then(|layers| layers.settings()).expect("valid");
            assert_eq!(merged, toml::from_str(BASE).expect("valid"), "{environment:?}");
        }
    }

    #[test]
    fn an_unknown_environment_is_refused_with_those_there() {
        let folder = layered("");
        for name in ["staging", "", "../prod", "notes"] {
            let problem = Layers::read(&folder, Some(name)).err().expect("unknown").to_string();
            assert!(
                problem.ends_with(&format!("there is no environment `{name}`; there are dev, prod")),
                "{problem}"
            );
        }
        let mut folder = Folder::default();
        folder.insert(SETTINGS_FILE, BASE.as_bytes());
        let problem = Layers::read(&folder, Some("prod")).err().expect("unknown").to_string();
        assert!(problem.contains("this configuration has none"), "{problem}");
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[expect(dead_code, reason = "only its parsing is tested")]
        schema: u32,
        #[expect(dead_code, reason = "only its parsing is tested")]
        server: toml::Table,
    }

    #[test]
    fn mistakes_name_the_layer_and_its_line() {
        for (overlay, want) in [
            ("\n\nschema = \"x\"", "environments/prod.toml:3: "),
            ("# dev\n[nonsense]\n", "environments/prod.toml:2: "),
            ("\nx = [", "environments/prod.toml:2: "),
            ("schema = 1\nschema = 1", "environments/prod.toml:2: duplicate key `schema`"),
            ("server = 1", "environments/prod.toml:1: "),
        ] {
            let folder = layered(overlay);
            let layers = Layers::read(&folder, Some("prod")).expect("there");
            let problem = layers.settings::<Settings>().expect_err("wrong").to_string();
            assert!(problem.starts_with(want), "{overlay}: {problem}");
        }
        let mut folder = layered("schema = 2");
        folder.insert(SETTINGS_FILE, format!("{BASE}\n[more]\n").into_bytes());
        let layers = Layers::read(&folder, Some("prod")).expect("there");
        let problem = layers.settings::<Settings>().expect_err("wrong").to_string();
        assert!(problem.starts_with("mainstay.toml:10: "), "{problem}");
    }

    #[test]
    fn a_problem_is_placed_by_the_section_in_its_reason() {
        let base = "schema = 1\n[aliases]\none = \"x\"\n\"a:b\" = \"x\"\n[models.\"a/b\"]\nprice = 1\n[routes.standard]\ntiers = []\n";
        let overlay = "[aliases]\n\ntwo = \"y\"\n[[routes.standard.tiers]]\nname = \"new\"\n";
        let mut folder = layered(overlay);
        folder.insert(SETTINGS_FILE, base.as_bytes());
        for (environment, reason, want) in [
            (None, "[aliases] \"one\": no", Some(("mainstay.toml", 3))),
            (None, "[aliases] \"a:b\": no", Some(("mainstay.toml", 4))),
            (None, "[models.\"a/b\"] price: no", Some(("mainstay.toml", 6))),
            (None, "[models.\"a/b\"]: no", Some(("mainstay.toml", 5))),
            (None, "[routes.standard]: no", Some(("mainstay.toml", 7))),
            (None, "[routes.other]: no", None),
            (None, "no section", None),
            (Some("prod"), "[aliases] \"one\": no", Some(("mainstay.toml", 3))),
            (Some("prod"), "[aliases] \"two\": no", Some(("environments/prod.toml", 3))),
            (Some("prod"), "[routes.standard]: no", Some(("environments/prod.toml", 4))),
        ] {
            let layers = Layers::read(&folder, environment).expect("there");
            let problems = layers.located(Problem::of_file(SETTINGS_FILE, reason).into());
            let Problem { file, line, .. } = &problems.0[0];
            match want {
                Some(want) => {
                    assert_eq!((file.as_str(), *line), (want.0, Some(want.1)), "{environment:?} {reason}")
                }
                None => assert_eq!(file, SETTINGS_FILE, "{reason}"),
            }
        }
    }
}
