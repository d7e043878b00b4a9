//! The crates' sources as syntax trees, and how a name in one of them is found.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use syn::{Item, UseTree};

/// A module: its crate first, then the path within it.
pub(super) type Module = Vec<String>;

/// Uses of uses that are followed for one name.
const STEPS_MAX: usize = 8;

/// All modules of all crates.
#[derive(Default)]
pub(super) struct Sources {
    modules: BTreeMap<Module, syn::File>,
}

/// An item and the module it stands in.
pub(super) struct Found<'a> {
    pub(super) module: Module,
    pub(super) item: &'a Item,
}

impl Sources {
    /// Reads `crates/*/src`.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut sources = Self::default();
        let crates = root.join("crates");
        for entry in std::fs::read_dir(&crates).with_context(|| crates.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().replace('-', "_");
            let folder = entry.path().join("src");
            if folder.is_dir() {
                sources.read_folder(&folder, &vec![name])?;
            }
        }
        Ok(sources)
    }

    fn read_folder(&mut self, folder: &Path, module: &Module) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mut inner = module.clone();
            if path.is_dir() {
                inner.push(stem);
                self.read_folder(&path, &inner)?;
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let is_root = module.len() == 1 && ["lib", "main"].contains(&stem.as_str());
                if !is_root {
                    inner.push(stem);
                }
                let text = std::fs::read_to_string(&path)?;
                self.add(inner, &text).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    /// Adds one module.
    pub(super) fn add(&mut self, module: Module, text: &str) -> syn::Result<()> {
        self.modules.insert(module, syn::parse_file(text)?);
        Ok(())
    }

    /// Finds a struct, enum, constant or function by a path as it stands in `module`.
    pub(super) fn find(&self, module: &Module, path: &[String]) -> Option<Found<'_>> {
        self.follow(module, path, 0)
    }

    fn follow(&self, module: &Module, path: &[String], steps: usize) -> Option<Found<'_>> {
        let file = self.modules.get(module)?;
        let (first, rest) = path.split_first()?;
        if rest.is_empty()
            && let Some(item) =
                file.items.iter().find(|item| name_of(item).is_some_and(|name| name == *first))
        {
            return Some(Found { module: module.clone(), item });
        }
        if steps == STEPS_MAX {
            return None;
        }
        let used = uses(file).into_iter().find(|used| used.last() == Some(first)).map(|mut used| {
            used.extend_from_slice(rest);
            used
        });
        if let Some(found) = used.and_then(|used| self.follow_from(module, &used, steps + 1)) {
            return Some(found);
        }
        self.follow_from(module, path, steps + 1)
    }

    /// Follows a path of more than one part: from this crate, this module, a module below, or another crate.
    fn follow_from(&self, module: &Module, path: &[String], steps: usize) -> Option<Found<'_>> {
        let (first, rest) = path.split_first()?;
        if rest.is_empty() {
            return None;
        }
        let next = match first.as_str() {
            "crate" => module.get(..1)?.to_vec(),
            "self" => module.clone(),
            "super" => module.split_last()?.1.to_vec(),
            name => {
                let below: Module = module.iter().cloned().chain([name.to_owned()]).collect();
                if self.modules.contains_key(&below) { below } else { vec![name.to_owned()] }
            }
        };
        if next == *module && first != "crate" && first != "self" {
            return None;
        }
        self.follow(&next, rest, steps)
    }

    /// The items of a module.
    pub(super) fn items(&self, module: &Module) -> &[Item] {
        self.modules.get(module).map_or(&[], |file| &file.items)
    }
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Const(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// All paths that a module's `use` lines bring in, each ending with the name it has here.
fn uses(file: &syn::File) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for item in &file.items {
        if let Item::Use(item) = item {
            collect(&item.tree, &[], &mut paths);
        }
    }
    paths
}

fn collect(tree: &UseTree, before: &[String], paths: &mut Vec<Vec<String>>) {
    let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
    match tree {
        UseTree::Path(path) => collect(&path.tree, &with(path.ident.to_string()), paths),
        UseTree::Name(name) if name.ident == "self" => paths.push(before.to_vec()),
        UseTree::Name(name) => paths.push(with(name.ident.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, before, paths)),
        // Renamed and glob imports do not occur in configuration.
        UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

/// A path as its parts.
pub(super) fn parts(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}
