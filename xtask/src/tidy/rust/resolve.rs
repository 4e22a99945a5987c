//! Resolves a path to a module, by declarations, imports, re-exports and globs.

use super::module_tree::Crate;
use super::scan::Import;

/// What a path names; the number is the module's index in the crate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    /// A module.
    Module(usize),
    /// Something that the module defines.
    Item(usize),
}

impl Named {
    /// The module itself, or the one that contains the item.
    pub(crate) fn module(self) -> usize {
        match self {
            Self::Module(module) | Self::Item(module) => module,
        }
    }
}

/// Resolves `path`, written in the module `from`. Empty if it is in another crate; more than one result if a function
/// and a module have the same name.
pub(crate) fn path(tree: &Crate, from: usize, path: &[String]) -> Vec<Named> {
    follow(tree, from, path, &mut Vec::new())
}

/// The import in the module `from` whose name there is `name`.
pub(crate) fn import<'a>(tree: &'a Crate, from: usize, name: &str) -> Option<&'a Import> {
    tree.modules[from].contents.imports.iter().find(|import| import.name.as_deref() == Some(name))
}

/// `asked` contains the names that are being looked up, because globs may be circular.
fn follow(tree: &Crate, from: usize, path: &[String], asked: &mut Vec<(usize, String)>) -> Vec<Named> {
    let Some((first, rest)) = path.split_first() else { return Vec::new() };
    let here = &tree.modules[from].path;
    let start = match first.as_str() {
        "crate" => tree.find(&[]),
        "self" => tree.find(here),
        "super" => here.split_last().and_then(|(_, parent)| tree.find(parent)),
        name => {
            let found = look_up(tree, from, name, asked);
            return found.into_iter().flat_map(|found| below(tree, found, rest, asked)).collect();
        }
    };
    start.map(|start| below(tree, Named::Module(start), rest, asked)).unwrap_or_default()
}

fn below(tree: &Crate, start: Named, rest: &[String], asked: &mut Vec<(usize, String)>) -> Vec<Named> {
    // The segments after an item are its variants and methods.
    let (Named::Module(module), Some((name, rest))) = (start, rest.split_first()) else { return vec![start] };
    if name == "super" {
        return follow(tree, module, &[std::slice::from_ref(name), rest].concat(), asked);
    }
    let found = look_up(tree, module, name, asked);
    if found.is_empty() {
        // It is made by a macro or imported from another crate; the path still names the module.
        return vec![Named::Item(module)];
    }
    found.into_iter().flat_map(|found| below(tree, found, rest, asked)).collect()
}

/// Resolves `name` inside `module`.
fn look_up(tree: &Crate, module: usize, name: &str, asked: &mut Vec<(usize, String)>) -> Vec<Named> {
    let question = (module, name.to_owned());
    if asked.contains(&question) {
        return Vec::new();
    }
    asked.push(question);
    let Some(part) = tree.modules.get(module) else { return Vec::new() };
    let mut found = Vec::new();
    found.extend(tree.find(&[part.path.as_slice(), &[name.to_owned()]].concat()).map(Named::Module));
    if part.contents.items.contains(name) {
        found.push(Named::Item(module));
    }
    if found.is_empty() {
        let imports = part.contents.imports.iter().filter(|import| import.name.as_deref() == Some(name));
        found = imports.flat_map(|import| follow(tree, module, &import.path, asked)).collect();
    }
    if found.is_empty() {
        for glob in part.contents.imports.iter().filter(|import| import.name.is_none()) {
            for source in follow(tree, module, &glob.path, asked) {
                if let Named::Module(source) = source {
                    found.extend(look_up(tree, source, name, asked));
                }
            }
        }
    }
    asked.pop();
    found.sort();
    found.dedup();
    found
}
