//! A field of a configuration struct as users see it: key, type, default and what it does.

use anyhow::{Context, bail};
use syn::{
    Attribute, Expr, Field, Fields, GenericArgument, Item, ItemEnum, ItemStruct, Lit, Meta, PathArguments,
    Type,
};

use super::source::{Found, Module, Sources, parts};
use super::value::Values;

/// A field.
pub(super) struct Setting<'a> {
    pub(super) key: String,
    pub(super) kind: Kind<'a>,
    pub(super) default: Default,
    pub(super) what: String,
}

/// What a value is in TOML.
pub(super) enum Kind<'a> {
    Scalar(&'static str),
    OneOf(Vec<Choice>),
    Table(Module, &'a ItemStruct),
    /// A table that says by one key which others it has.
    Tagged(Module, &'a ItemEnum),
    List(Box<Kind<'a>>),
    Named(Box<Kind<'a>>),
}

/// A value that a key may have.
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) what: String,
}

/// What holds when a key is left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Default {
    Required,
    NotSet,
    Text(String),
}

/// What serde's attributes say.
#[derive(Debug, Default)]
pub(super) struct SerdeWords {
    pub(super) rename: Option<String>,
    rename_all: Option<String>,
    pub(super) tag: Option<String>,
    default: Option<DefaultWord>,
    with: Option<String>,
}

#[derive(Debug)]
enum DefaultWord {
    OfType,
    Function(String),
}

/// The settings of `item`, in the order of its fields.
pub(super) fn settings<'a>(
    sources: &'a Sources,
    module: &Module,
    item: &'a ItemStruct,
) -> anyhow::Result<Vec<Setting<'a>>> {
    let owner = format!("{}::{}", module.join("::"), item.ident);
    let whole = serde_words(&item.attrs)?;
    let mut settings = Vec::new();
    for field in &item.fields {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let place = format!("{owner}.{name}");
        let setting = setting(sources, module, (field, &place)).with_context(|| place.clone())?;
        let is_told_by_struct = whole.default.is_some() && serde_words(&field.attrs)?.default.is_none();
        if !is_told_by_struct {
            settings.push(setting);
            continue;
        }
        let values = Values { sources, module, owner: Some(item.ident.to_string()) };
        let default = values.of_struct(item, &name, &setting.kind).with_context(|| place)?;
        settings.push(Setting { default, ..setting });
    }
    Ok(settings)
}

/// One field; its default as far as the field itself says.
pub(super) fn setting<'a>(
    sources: &'a Sources,
    module: &Module,
    (field, place): (&'a Field, &str),
) -> anyhow::Result<Setting<'a>> {
    let words = serde_words(&field.attrs)?;
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut kind = kind(sources, module, &field.ty)?;
    if words.with.as_deref().is_some_and(|with| with.contains("size_text")) {
        kind = Kind::Scalar("size");
    }
    let values = Values { sources, module, owner: None };
    let default = match &words.default {
        Some(DefaultWord::OfType) => values.of_type(&field.ty, &kind)?,
        Some(DefaultWord::Function(path)) => values.of_function(path, &kind)?,
        None if is_option(&field.ty) => Default::NotSet,
        None => Default::Required,
    };
    let what = what(&field.attrs, place)?;
    Ok(Setting { key: words.rename.unwrap_or(name), kind, default, what })
}

fn kind<'a>(sources: &'a Sources, module: &Module, kind_of: &'a Type) -> anyhow::Result<Kind<'a>> {
    let Type::Path(path) = kind_of else { bail!("its type is none that a file can hold") };
    let Some(last) = path.path.segments.last() else { bail!("its type has no name") };
    let argument = |index: usize| match &last.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().nth(index).and_then(|argument| match argument {
                GenericArgument::Type(inner) => Some(inner),
                _ => None,
            })
        }
        _ => None,
    };
    let inner = |index: usize| kind(sources, module, argument(index).context("its type lacks an argument")?);
    Ok(match last.ident.to_string().as_str() {
        "String" | "PathBuf" | "str" => Kind::Scalar("string"),
        "bool" => Kind::Scalar("`true` or `false`"),
        "Duration" => Kind::Scalar("duration"),
        "Datetime" => Kind::Scalar("date"),
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" => Kind::Scalar("whole number"),
        "f32" | "f64" => Kind::Scalar("number"),
        "Option" | "Spanned" | "Box" | "Arc" => inner(0)?,
        "Vec" => Kind::List(Box::new(inner(0)?)),
        "BTreeMap" | "HashMap" => Kind::Named(Box::new(inner(1)?)),
        name => match sources.find(module, &parts(&path.path)) {
            Some(Found { module, item: Item::Struct(item) }) => Kind::Table(module, item),
            Some(Found { module, item: Item::Enum(item) }) => {
                if item.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit)) {
                    Kind::OneOf(choices(&module, item)?)
                } else {
                    Kind::Tagged(module, item)
                }
            }
            _ => bail!("its type `{name}` is not found in the crates"),
        },
    })
}

fn is_option(kind_of: &Type) -> bool {
    let Type::Path(path) = kind_of else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Option")
}

/// The values of an enum without fields, or the kinds of a tagged one.
pub(super) fn choices(module: &Module, item: &ItemEnum) -> anyhow::Result<Vec<Choice>> {
    let whole = serde_words(&item.attrs)?;
    let mut choices = Vec::new();
    for variant in &item.variants {
        let words = serde_words(&variant.attrs)?;
        let name =
            words.rename.unwrap_or_else(|| renamed(&variant.ident.to_string(), whole.rename_all.as_deref()));
        let place = format!("{}::{}::{}", module.join("::"), item.ident, variant.ident);
        choices.push(Choice { name, what: what(&variant.attrs, &place)? });
    }
    Ok(choices)
}

fn renamed(name: &str, rule: Option<&str>) -> String {
    match rule {
        Some("lowercase") => name.to_lowercase(),
        Some("snake_case" | "kebab-case") => {
            let joint = if rule == Some("snake_case") { '_' } else { '-' };
            let mut text = String::new();
            for letter in name.chars() {
                if letter.is_uppercase() && !text.is_empty() {
                    text.push(joint);
                }
                text.extend(letter.to_lowercase());
            }
            text
        }
        _ => name.to_owned(),
    }
}

/// Serde's words on a field, a variant or a whole type.
pub(super) fn serde_words(attributes: &[Attribute]) -> anyhow::Result<SerdeWords> {
    let mut words = SerdeWords::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            let value = match meta.input.peek(syn::Token![=]) {
                true => Some(meta.value()?.parse::<syn::LitStr>()?.value()),
                false => None,
            };
            match (meta.path.get_ident().map(ToString::to_string).unwrap_or_default().as_str(), value) {
                ("rename", value) => words.rename = value,
                ("rename_all", value) => words.rename_all = value,
                ("tag", value) => words.tag = value,
                ("with" | "deserialize_with", value) => words.with = value,
                ("default", Some(function)) => words.default = Some(DefaultWord::Function(function)),
                ("default", None) => words.default = Some(DefaultWord::OfType),
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(words)
}

/// The first paragraph of the doc comment, else the note.
fn what(attributes: &[Attribute], place: &str) -> anyhow::Result<String> {
    let text = doc(attributes);
    if !text.is_empty() {
        return Ok(text);
    }
    bail!("`{place}` has no doc comment: say in one what it does, for docs/CONFIG.md")
}

fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    let paragraph = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    // Links between items mean nothing on a page.
    paragraph.replace("[`", "`").replace("`]", "`")
}
