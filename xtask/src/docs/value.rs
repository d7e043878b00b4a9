//! Defaults as they stand in the code: literals, durations, small sums, constants and choices.

use anyhow::{Context, bail};
use syn::{BinOp, Expr, ExprCall, ImplItem, Item, ItemStruct, Lit, Member, Stmt, Type};

use super::setting::{Default, Kind, choices};
use super::source::{Found, Module, Sources, parts};

/// Reads values in one module.
pub(super) struct Values<'a> {
    pub(super) sources: &'a Sources,
    pub(super) module: &'a Module,
    /// What `Self` means.
    pub(super) owner: Option<String>,
}

/// What was read.
enum Value {
    NotSet,
    Whole(i128),
    Micros(u128),
    Text(String),
}

/// Units of durations with their length in microseconds, longest first, and how many of one make it the better
/// word: `60s`, but `5m`.
const UNITS: [(&str, u128, u128); 4] =
    [("h", 3_600_000_000, 1), ("m", 60_000_000, 5), ("s", 1_000_000, 1), ("ms", 1_000, 1)];

impl Values<'_> {
    /// The default of a field that is not required because its whole struct has a default.
    pub(super) fn of_struct(
        &self,
        item: &ItemStruct,
        field: &str,
        kind: &Kind<'_>,
    ) -> anyhow::Result<Default> {
        let field_type =
            item.fields.iter().find(|other| other.ident.as_ref().is_some_and(|name| name == field));
        let field_type = &field_type.context("no such field")?.ty;
        let Some(body) = self.default_body(&item.ident.to_string()) else {
            return self.of_type(field_type, kind);
        };
        let Expr::Struct(literal) = body else { bail!("its `impl Default` is not one struct literal") };
        let is_field = |member: &Member| matches!(member, Member::Named(name) if name == field);
        let value = literal.fields.iter().find(|value| is_field(&value.member));
        let value = &value.context("its `impl Default` does not name it")?.expr;
        if !is_shown_in_place(kind) {
            // The tables below tell the defaults of their own type: another one would make them lie. One that is not
            // there unless it is written has none.
            let is_own = match value {
                Expr::Call(call) => last_part(&call.func).as_deref() == Some("default"),
                Expr::Path(path) => path.path.is_ident("None"),
                _ => false,
            };
            return if is_own {
                Ok(Default::NotSet)
            } else {
                bail!("its default is not the default of its type")
            };
        }
        Ok(shown(self.read(value)?))
    }

    /// The default of a type.
    pub(super) fn of_type(&self, of: &Type, kind: &Kind<'_>) -> anyhow::Result<Default> {
        let Type::Path(path) = of else { bail!("its type has no default") };
        if path.path.segments.last().is_some_and(|segment| segment.ident == "Option") {
            return Ok(Default::NotSet);
        }
        Ok(match kind {
            Kind::Table(..) | Kind::Tagged(..) => Default::NotSet,
            Kind::List(_) => Default::Text("`[]`".to_owned()),
            Kind::Named(_) => Default::Text("empty".to_owned()),
            Kind::Scalar("string") => Default::Text("`\"\"`".to_owned()),
            Kind::Scalar("whole number") => Default::Text("`0`".to_owned()),
            Kind::Scalar("number") => Default::Text("`0.0`".to_owned()),
            Kind::Scalar("duration") => Default::Text("`\"0s\"`".to_owned()),
            Kind::Scalar("`true` or `false`") => Default::Text("`false`".to_owned()),
            Kind::Scalar(other) => bail!("a {other} has no default"),
            Kind::OneOf(_) => shown(Value::Text(self.marked(&parts(&path.path))?)),
        })
    }

    /// The default that a function gives, named as in `#[serde(default = "…")]`.
    pub(super) fn of_function(&self, path: &str, kind: &Kind<'_>) -> anyhow::Result<Default> {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        let value = self.call(&path)?;
        match (value, kind) {
            (_, Kind::Table(..) | Kind::Tagged(..)) => bail!("a table's default is not told by a function"),
            (value, _) => Ok(shown(value)),
        }
    }

    /// The choice marked `#[default]`.
    fn marked(&self, path: &[String]) -> anyhow::Result<String> {
        let Some(Found { module, item: Item::Enum(item) }) = self.sources.find(self.module, path) else {
            bail!("`{}` is not found", path.join("::"))
        };
        let names = choices(&module, item)?;
        let is_marked =
            |attributes: &[syn::Attribute]| attributes.iter().any(|one| one.path().is_ident("default"));
        let marked = item.variants.iter().zip(names).find(|(variant, _)| is_marked(&variant.attrs));
        marked
            .map(|(_, choice)| quoted(&choice.name))
            .with_context(|| format!("`{}` marks no default", item.ident))
    }

    /// The body of `impl Default for owner` in this module.
    fn default_body(&self, owner: &str) -> Option<&Expr> {
        self.sources.items(self.module).iter().find_map(|item| {
            let Item::Impl(item) = item else { return None };
            let is_default = item.trait_.as_ref().is_some_and(|(_, path, _)| path.is_ident("Default"));
            if is_default && is_named(&item.self_ty, owner) {
                function_of(&item.items, "default")
            } else {
                None
            }
        })
    }

    /// What a function without arguments returns: a free one, or one of a type in this module.
    fn call(&self, path: &[String]) -> anyhow::Result<Value> {
        if let Some(Found { module, item: Item::Fn(function) }) = self.sources.find(self.module, path) {
            let body = last_expression(&function.block.stmts)
                .context("its default function is not one expression")?;
            return Values { sources: self.sources, module: &module, owner: None }.read(body);
        }
        if let [owner, name] = path {
            for item in self.sources.items(self.module) {
                if let Item::Impl(item) = item
                    && item.trait_.is_none()
                    && is_named(&item.self_ty, owner)
                    && let Some(body) = function_of(&item.items, name)
                {
                    return Values { owner: Some(owner.clone()), ..*self }.read(body);
                }
            }
        }
        bail!("`{}` is no function that is understood here", path.join("::"))
    }

    fn read(&self, value: &Expr) -> anyhow::Result<Value> {
        Ok(match value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => Value::Whole(number.base10_parse()?),
                Lit::Float(number) => Value::Text(number.base10_digits().to_owned()),
                Lit::Bool(is) => Value::Text(is.value.to_string()),
                Lit::Str(text) => Value::Text(quoted(&text.value())),
                _ => bail!("its default is a literal of a kind that is not understood here"),
            },
            Expr::Paren(inner) => self.read(&inner.expr)?,
            Expr::Group(inner) => self.read(&inner.expr)?,
            Expr::Cast(cast) => self.read(&cast.expr)?,
            Expr::Binary(sum) => {
                let (left, right) = (self.whole(&sum.left)?, self.whole(&sum.right)?);
                Value::Whole(
                    calculated(left, &sum.op, right)
                        .context("its default is a sum that is not understood here")?,
                )
            }
            Expr::MethodCall(call)
                if ["to_owned", "into", "to_string"].iter().any(|method| call.method == method) =>
            {
                self.read(&call.receiver)?
            }
            Expr::Call(call) => self.called(call)?,
            Expr::Path(path) => self.named(&parts(&path.path))?,
            _ => bail!("its default is no simple literal"),
        })
    }

    fn called(&self, call: &ExprCall) -> anyhow::Result<Value> {
        let Expr::Path(function) = call.func.as_ref() else { bail!("its default is no simple call") };
        let path = parts(&function.path);
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        Ok(match (names.as_slice(), call.args.first()) {
            ([.., "Duration", "from_secs"], Some(seconds)) => {
                Value::Micros(u128::try_from(self.whole(seconds)?)?.saturating_mul(1_000_000))
            }
            ([.., "Duration", "from_millis"], Some(milliseconds)) => {
                Value::Micros(u128::try_from(self.whole(milliseconds)?)?.saturating_mul(1_000))
            }
            ([.., "String" | "PathBuf", "from"] | ["Some"], Some(inner)) => self.read(inner)?,
            ([.., "String", "new"], None) => Value::Text(quoted("")),
            ([.., "Vec", "new"], None) => Value::Text("[]".to_owned()),
            ([owner @ .., "default"], None) => {
                Value::Text(self.marked(&owner.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>())?)
            }
            (_, None) => self.call(&path)?,
            _ => bail!("its default calls `{}`, which is not understood here", path.join("::")),
        })
    }

    /// A constant or a choice.
    fn named(&self, path: &[String]) -> anyhow::Result<Value> {
        let path: Vec<String> = path
            .iter()
            .map(|part| if part == "Self" { self.owner.clone().unwrap_or_default() } else { part.clone() })
            .collect();
        if let [name] = path.as_slice()
            && name == "None"
        {
            return Ok(Value::NotSet);
        }
        if path.ends_with(&["Duration".to_owned(), "ZERO".to_owned()]) {
            return Ok(Value::Text(quoted("0s")));
        }
        if let Some(Found { module, item: Item::Const(constant) }) = self.sources.find(self.module, &path) {
            return Values { sources: self.sources, module: &module, owner: None }.read(&constant.expr);
        }
        if let Some((variant, owner)) = path.split_last()
            && let Some(Found { module, item: Item::Enum(item) }) = self.sources.find(self.module, owner)
        {
            let named =
                item.variants.iter().zip(choices(&module, item)?).find(|(one, _)| one.ident == variant);
            let (_, choice) = named.with_context(|| format!("there is no `{}`", path.join("::")))?;
            return Ok(Value::Text(quoted(&choice.name)));
        }
        bail!("its default `{}` is not found", path.join("::"))
    }

    fn whole(&self, value: &Expr) -> anyhow::Result<i128> {
        match self.read(value)? {
            Value::Whole(number) => Ok(number),
            _ => bail!("its default is no whole number"),
        }
    }
}

/// Whether a kind stands in its table's own row.
pub(super) fn is_shown_in_place(kind: &Kind<'_>) -> bool {
    match kind {
        Kind::Scalar(_) | Kind::OneOf(_) => true,
        Kind::Table(..) | Kind::Tagged(..) => false,
        Kind::List(inner) | Kind::Named(inner) => is_shown_in_place(inner),
    }
}

fn function_of<'a>(items: &'a [ImplItem], name: &str) -> Option<&'a Expr> {
    items.iter().find_map(|item| match item {
        ImplItem::Fn(function) if function.sig.ident == name => last_expression(&function.block.stmts),
        _ => None,
    })
}

fn last_expression(statements: &[Stmt]) -> Option<&Expr> {
    match statements {
        [Stmt::Expr(body, None)] => Some(body),
        _ => None,
    }
}

fn is_named(of: &Type, name: &str) -> bool {
    let Type::Path(path) = of else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == name)
}

fn last_part(function: &Expr) -> Option<String> {
    let Expr::Path(path) = function else { return None };
    parts(&path.path).pop()
}

fn calculated(left: i128, with: &BinOp, right: i128) -> Option<i128> {
    match with {
        BinOp::Add(_) => left.checked_add(right),
        BinOp::Sub(_) => left.checked_sub(right),
        BinOp::Mul(_) => left.checked_mul(right),
        BinOp::Div(_) => left.checked_div(right),
        BinOp::Shl(_) => left.checked_shl(u32::try_from(right).ok()?),
        _ => None,
    }
}

fn shown(value: Value) -> Default {
    match value {
        Value::NotSet => Default::NotSet,
        Value::Whole(number) => Default::Text(format!("`{}`", grouped(number))),
        Value::Micros(micros) => Default::Text(format!("`\"{}\"`", duration(micros))),
        Value::Text(text) => Default::Text(format!("`{text}`")),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A duration as one would write it.
fn duration(micros: u128) -> String {
    let fits = |length: u128, least: u128| micros.is_multiple_of(length) && micros / length >= least;
    let unit = UNITS.iter().find(|(_, length, least)| fits(*length, *least));
    unit.map_or_else(|| format!("{micros}us"), |(name, length, _)| format!("{}{name}", micros / length))
}

/// A whole number with its thousands apart, as TOML takes it.
fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push('_');
        }
        text.push(digit);
    }
    text
}
