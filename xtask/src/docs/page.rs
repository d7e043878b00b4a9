//! The page: one part for each file, one table for each of its tables.

use anyhow::{Context, bail};
use syn::{Item, ItemEnum, ItemStruct};

use super::setting::{Choice, Default, Kind, Setting, choices, serde_words, setting, settings};
use super::source::{Found, Module, Sources};
use super::value::is_shown_in_place;

/// A file of the configuration folder.
pub(super) struct File {
    pub(super) name: &'static str,
    /// The struct that reads it: crate, modules, name.
    pub(super) root: &'static str,
    pub(super) intro: &'static str,
}

/// The page as far as it is written.
pub(super) struct Page<'a> {
    sources: &'a Sources,
    text: String,
}

const HEAD: &str = "\
# Configuration

<!-- Written by `cargo xtask docs` from the doc comments in the code. Change those, then run it again. -->

A folder is one configuration: settings are TOML, texts Markdown, labelled data JSON lines. `mainstay init DIR` writes
the shipped one out, `mainstay check DIR` says what is wrong with one, with file and line. Unknown keys are errors.
Articles stand in `knowledge/<collection>/` ([knowledge.md](knowledge.md)), suites in `suites/*.jsonl`.

`environments/<name>.toml` holds what is different in one environment: `serve` and `check` with `--environment <name>`
lay it over `mainstay.toml`. Tables are merged key by key; values and lists replace those below them.

A *duration* is a whole number with its unit: `\"250ms\"`, `\"30s\"`, `\"5m\"`, `\"24h\"`. A key without a default
is *required*; one that is *not set* has no effect until it is.

While the server runs on a folder it watches it: a good change is served from the next request on, a bad one is
refused and logged, `/health/deep` names it, and the last good configuration goes on serving. A change that could not be
served for what was not there, as a file with a key, is tried again every ten seconds. A file with a key of a provider is
read again when its content changes, and a folder that takes the place of the first one (a rename, a link that points
elsewhere) within seconds. Changes of `[server]`, `[auth]`, `[storage]`,
`[records]`, `[cache]`, `[resilience]`, `[telemetry]` and `[embedded]` wait for a restart, and the log names those that do. A
provider that is new or changed is called at once, and named in the log; when its key cannot be found the change is
refused (a new variable of the environment needs a restart). Under changed `[limits]` what was used stays used; a tenant
or server that had none before is told what it spent by the ledger, in which calls under way at that moment may be missing.
";

impl<'a> Page<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        Self { sources, text: HEAD.to_owned() }
    }

    /// The whole page.
    pub(super) fn write(mut self, files: &[File]) -> anyhow::Result<String> {
        for file in files {
            let path: Vec<String> = file.root.split("::").map(str::to_owned).collect();
            let (name, module) = path.split_last().context("a struct has a name")?;
            let Some(Found { module, item: Item::Struct(item) }) =
                self.sources.find(&module.to_vec(), std::slice::from_ref(name))
            else {
                bail!(
                    "there is no struct `{}` any more; say in xtask/src/docs.rs what reads {}",
                    file.root,
                    file.name
                )
            };
            self.line(&format!("\n## `{}`\n\n{}", file.name, file.intro));
            self.table("", &module, item)?;
        }
        Ok(self.text)
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// The rows of a struct, then the tables within it. `path` is where it stands in the file.
    fn table(&mut self, path: &str, module: &Module, item: &'a ItemStruct) -> anyhow::Result<()> {
        let settings = settings(self.sources, module, item)?;
        let (rows, tables): (Vec<_>, Vec<_>) =
            settings.into_iter().partition(|setting| is_shown_in_place(&setting.kind));
        self.rows(&rows.iter().map(row).collect::<Vec<_>>());
        for setting in tables {
            self.inner(path, setting)?;
        }
        Ok(())
    }

    fn rows(&mut self, rows: &[String]) {
        if rows.is_empty() {
            return;
        }
        self.line("\n| key | type | default | what |\n|---|---|---|---|");
        for row in rows {
            self.line(row);
        }
    }

    fn inner(&mut self, path: &str, setting: Setting<'a>) -> anyhow::Result<()> {
        let (path, kind, is_list) = inner_path(path, &setting.key, setting.kind);
        let heading = if is_list { format!("[[{path}]]") } else { format!("[{path}]") };
        let required = if setting.default == Default::Required { " Required." } else { "" };
        self.line(&format!("\n### `{heading}`\n\n{}{required}", setting.what));
        match kind {
            Kind::Table(module, item) => self.table(&path, &module, item),
            Kind::Tagged(module, item) => self.tagged(&module, item),
            Kind::Scalar(_) | Kind::OneOf(_) | Kind::List(_) | Kind::Named(_) => Ok(()),
        }
    }

    /// The keys of a table that one of its keys tells apart.
    fn tagged(&mut self, module: &Module, item: &'a ItemEnum) -> anyhow::Result<()> {
        let tag = serde_words(&item.attrs)?.tag;
        let tag = tag.with_context(|| format!("`{}` has no tag: it cannot be shown", item.ident))?;
        let kinds = choices(module, item)?;
        let what = "Which of these it is.".to_owned();
        let mut rows = Vec::new();
        for (variant, kind) in item.variants.iter().zip(&kinds) {
            for field in &variant.fields {
                let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                let place = format!("{}::{}::{}.{name}", module.join("::"), item.ident, variant.ident);
                let setting = setting(self.sources, module, (field, &place))?;
                let what = format!("With `{tag} = \"{}\"`: {}", kind.name, setting.what);
                rows.push(row(&Setting { what, ..setting }));
            }
        }
        let first = Setting { key: tag, kind: Kind::OneOf(kinds), default: Default::Required, what };
        rows.insert(0, row(&first));
        self.rows(&rows);
        Ok(())
    }
}

/// Where the tables of a setting stand, what they are, and whether they are a list.
fn inner_path<'a>(path: &str, key: &str, kind: Kind<'a>) -> (String, Kind<'a>, bool) {
    let mut path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let mut kind = kind;
    let mut is_list = false;
    loop {
        kind = match kind {
            Kind::List(inner) => {
                is_list = true;
                *inner
            }
            Kind::Named(inner) => {
                path.push_str(".<name>");
                is_list = false;
                *inner
            }
            kind => return (path, kind, is_list),
        };
    }
}

fn row(setting: &Setting<'_>) -> String {
    let default = match &setting.default {
        Default::Required => "required",
        Default::NotSet => "not set",
        Default::Text(text) => text,
    };
    let mut what = setting.what.clone();
    let tells_more = |choice: &&Choice| choice.what != format!("`{}`.", choice.name);
    for choice in listed(&setting.kind).iter().filter(tells_more) {
        what.push_str(&format!(" `{}`: {}", choice.name, choice.what));
    }
    let cells = [format!("`{}`", setting.key), words(&setting.kind), default.to_owned(), what];
    format!("| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn listed<'k>(kind: &'k Kind<'_>) -> &'k [Choice] {
    match kind {
        Kind::OneOf(choices) => choices,
        Kind::List(inner) | Kind::Named(inner) => listed(inner),
        Kind::Scalar(_) | Kind::Table(..) | Kind::Tagged(..) => &[],
    }
}

/// A type in TOML's words.
fn words(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Scalar(words) => (*words).to_owned(),
        Kind::OneOf(choices) => {
            let names: Vec<String> = choices.iter().map(|choice| format!("`\"{}\"`", choice.name)).collect();
            match names.as_slice() {
                [only] => only.clone(),
                names => format!("one of {}", names.join(", ")),
            }
        }
        Kind::Table(..) | Kind::Tagged(..) => "table".to_owned(),
        Kind::List(inner) => format!("list of {}", plural(inner)),
        Kind::Named(inner) => format!("table of {}", plural(inner)),
    }
}

fn plural(kind: &Kind<'_>) -> String {
    match kind {
        Kind::Scalar(words) => format!("{words}s"),
        Kind::List(inner) => format!("lists of {}", plural(inner)),
        Kind::Named(inner) => format!("tables of {}", plural(inner)),
        kind => words(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: File = File { name: "toy.toml", root: "toy::Config", intro: "A toy." };

    fn page(texts: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut sources = Sources::default();
        for (module, text) in texts {
            sources.add(module.split("::").map(str::to_owned).collect(), text).expect("Rust");
        }
        Page::new(&sources).write(&[FILE])
    }

    const ROOT: &str = r#"
        use std::time::Duration;
        use parts::Wheel;
        const SPOKES: u32 = 1 << 5;
        /// A toy.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Config {
            /// Its [`name`], with a | in it.
            ///
            /// More that is not told.
            name: String,
            /// How it moves.
            #[serde(default)]
            motion: Motion,
            /// Its wheels.
            #[serde(default)]
            wheels: BTreeMap<String, Wheel>,
            /// Colours.
            #[serde(default = "colour", rename = "colours")]
            paint: Vec<Colour>,
            /// Where from.
            sources: Vec<Source>,
        }
        fn colour() -> Vec<Colour> { Vec::new() }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Motion {
            /// On or off.
            on: bool,
            /// A seed.
            seed: Option<u64>,
            /// Its way.
            way: Way,
        }
        #[derive(Default)]
        #[serde(rename_all = "snake_case")]
        enum Way {
            /// Ahead.
            #[default]
            StraightOn,
            /// Around.
            #[serde(rename = "o")]
            Round,
            /// `back`.
            Back,
        }
        enum Colour {
            /// Like blood.
            Red,
        }
        #[serde(tag = "from", rename_all = "lowercase")]
        enum Source {
            /// A shop.
            Shop {
                /// Its address.
                address: String,
            },
        }
        impl Default for Wheel { fn default() -> Self { other() } }
    "#;
    const PARTS: &str = r#"
        #[serde(default)]
        pub(crate) struct Wheel {
            /// Spokes.
            spokes: u32,
            /// Size.
            size: usize,
            /// Turns once in this time.
            #[serde(with = "resilience::duration_text")]
            turn: Duration,
            /// Its hub.
            hub: hub::Config,
        }
        impl Default for Wheel {
            fn default() -> Self {
                Self { spokes: crate::SPOKES, size: 10 * 1_000, turn: Duration::from_secs(2 * 60), hub: hub::Config::default() }
            }
        }
    "#;
    const HUB: &str = "/// A hub.\n#[serde(default)]\n#[derive(Default)]\npub struct Config {\n/// Its share.\nshare: f32 }";

    #[test]
    fn settings_are_told_with_key_type_default_and_what() {
        let page = page(&[("toy", ROOT), ("toy::parts", PARTS), ("hub", HUB)]).expect("a page");
        for line in [
            "## `toy.toml`",
            "| `name` | string | required | Its `name`, with a \\| in it. |",
            "| `colours` | list of `\"Red\"` | `[]` | Colours. `Red`: Like blood. |",
            "### `[motion]`",
            "| `on` | `true` or `false` | `false` | On or off. |",
            "| `seed` | whole number | not set | A seed. |",
            "| `way` | one of `\"straight_on\"`, `\"o\"`, `\"back\"` | `\"straight_on\"` | Its way. `straight_on`: Ahead. `o`: Around. |",
            "### `[wheels.<name>]`",
            "| `spokes` | whole number | `32` | Spokes. |",
            "| `size` | whole number | `10_000` | Size. |",
            "| `turn` | duration | `\"120s\"` | Turns once in this time. |",
            "### `[wheels.<name>.hub]`",
            "| `share` | number | `0.0` | Its share. |",
            "### `[[sources]]`",
            "Where from. Required.",
            "| `from` | `\"shop\"` | required | Which of these it is. `shop`: A shop. |",
            "| `address` | string | required | With `from = \"shop\"`: Its address. |",
        ] {
            assert!(page.lines().any(|found| found == line), "missing: {line}\n{page}");
        }
        assert!(!page.contains("not told"), "only the first paragraph is told");
    }

    #[test]
    fn what_cannot_be_told_is_an_error_that_names_it() {
        for (text, want) in [
            ("struct Config { name: String }", "`toy::Config.name` has no doc comment"),
            ("struct Config {\n/// X.\nway: Way }\nenum Way { Left }", "`toy::Way::Left` has no doc comment"),
            ("struct Config {\n/// X.\nway: Lost }", "toy::Config.way: its type `Lost` is not found"),
            (
                "struct Config {\n/// X.\n#[serde(default = \"ten\")]\nn: u32 }\nfn ten() -> u32 { random() }",
                "toy::Config.n: `random` is no function",
            ),
            (
                "#[serde(default)]\nstruct Config {\n/// X.\nhub: hub::Config }\nimpl Default for Config { fn default() -> Self { Self { hub: hub::Config { share: 1.0 } } } }",
                "toy::Config.hub: its default is not the default of its type",
            ),
            ("struct Other;", "no struct `toy::Config`"),
        ] {
            let error = page(&[("toy", text), ("hub", HUB)]).expect_err(text);
            assert!(format!("{error:#}").contains(want), "{text}: {error:#}");
        }
    }
}
