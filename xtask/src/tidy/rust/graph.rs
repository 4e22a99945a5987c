//! Which file of a crate uses which others, and where they use each other in a circle.
//!
//! A file uses another if it imports something from it, names it by a path, or calls a method that the other adds to
//! the same type. `mod x;` does not count as a use, and neither does `pub use` of something below: it only adds a name,
//! and whoever uses that name uses the file that defines it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::module_tree::Crate;
use super::resolve::{self, Named};

/// Where a file uses another, and by which words.
pub(crate) struct Use {
    pub(crate) line: usize,
    /// The path or the call.
    pub(crate) words: String,
    /// Whether it is only a call on `self` and not a path.
    pub(crate) is_call: bool,
}

impl Use {
    fn path(line: usize, path: &[String]) -> Self {
        Self { line, words: path.join("::"), is_call: false }
    }
}

/// Uses by the using file and the used file.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) uses: BTreeMap<PathBuf, BTreeMap<PathBuf, Use>>,
}

/// Files with inherent `impl` blocks of one type.
pub(crate) struct Methods {
    pub(crate) type_name: String,
    /// The index of the module that defines the type.
    pub(crate) home: usize,
    /// The blocks' modules and lines.
    pub(crate) blocks: Vec<(usize, usize)>,
    /// The modules that define each method.
    defined_in: BTreeMap<String, BTreeSet<usize>>,
}

impl Graph {
    /// The uses within one crate.
    pub(crate) fn of(tree: &Crate) -> Self {
        let mut graph = Self::default();
        let methods = methods(tree);
        for (place, module) in tree.modules.iter().enumerate() {
            for import in &module.contents.imports {
                for named in resolve::path(tree, place, &import.path) {
                    let target = &tree.modules[named.module()];
                    let is_below = target.path.starts_with(&module.path);
                    if !(import.is_reexport && is_below) {
                        graph.add(&module.file, &target.file, Use::path(import.line, &import.path));
                    }
                }
            }
            for reference in &module.contents.references {
                // A single word may be a local variable, so it counts only if it is the name of a re-export.
                let by_one_word = reference.path.len() == 1;
                if by_one_word && !resolve::import(tree, place, &reference.path[0]).is_some_and(|i| i.is_reexport) {
                    continue;
                }
                for named in resolve::path(tree, place, &reference.path) {
                    let file = &tree.modules[named.module()].file;
                    graph.add(&module.file, file, Use::path(reference.line, &reference.path));
                }
            }
            for block in &module.contents.impls {
                let Some(of) = type_of(tree, place, &block.of) else { continue };
                let Some(methods) = methods.get(&of) else { continue };
                for (name, line) in &block.calls {
                    let Some(homes) = methods.defined_in.get(name) else { continue };
                    for home in homes {
                        let call = Use { line: *line, words: format!("self.{name}()"), is_call: true };
                        graph.add(&module.file, &tree.modules[*home].file, call);
                    }
                }
            }
        }
        graph
    }

    /// Keeps only the first use of `to` by `from`.
    fn add(&mut self, from: &Path, to: &Path, used: Use) {
        if from != to {
            self.uses.entry(from.to_owned()).or_default().entry(to.to_owned()).or_insert(used);
        }
    }

    /// Circles that share no use, the shortest first: removing one use of each leaves no circle. A circle is a list of
    /// files, each with its use of the next one; the last file uses the first.
    pub(crate) fn circles(mut self) -> Vec<Vec<(PathBuf, Use)>> {
        let mut circles = Vec::new();
        while let Some(files) = self.uses.keys().filter_map(|file| self.shortest_circle(file)).min_by_key(Vec::len) {
            let next: Vec<PathBuf> = files.iter().skip(1).chain(files.first()).cloned().collect();
            let steps = files.into_iter().zip(next).filter_map(|(from, to)| {
                let step = self.uses.get_mut(&from)?.remove(&to)?;
                Some((from, step))
            });
            circles.push(steps.collect());
        }
        circles
    }

    /// The shortest path from `start` back to itself.
    fn shortest_circle(&self, start: &Path) -> Option<Vec<PathBuf>> {
        let mut reached_from: BTreeMap<&Path, &Path> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(file) = queue.pop_front() {
            for next in self.uses.get(file).into_iter().flat_map(BTreeMap::keys) {
                if next == start {
                    let back = std::iter::successors(Some(file), |file| reached_from.get(file).copied());
                    let mut circle: Vec<PathBuf> = back.map(Path::to_owned).collect();
                    circle.reverse();
                    return Some(circle);
                }
                if !reached_from.contains_key(next.as_path()) {
                    reached_from.insert(next, file);
                    queue.push_back(next);
                }
            }
        }
        None
    }
}

/// The types of a crate that have methods, by the module that defines them and by name.
pub(crate) fn methods(tree: &Crate) -> BTreeMap<(usize, String), Methods> {
    let mut found: BTreeMap<(usize, String), Methods> = BTreeMap::new();
    for (place, module) in tree.modules.iter().enumerate() {
        for block in module.contents.impls.iter().filter(|block| block.is_inherent) {
            let Some((home, type_name)) = type_of(tree, place, &block.of) else { continue };
            let methods = found.entry((home, type_name.clone())).or_insert_with(|| Methods {
                type_name,
                home,
                blocks: Vec::new(),
                defined_in: BTreeMap::new(),
            });
            methods.blocks.push((place, block.line));
            for name in &block.defines {
                methods.defined_in.entry(name.clone()).or_default().insert(place);
            }
        }
    }
    found
}

/// The module that defines a type of this crate, and the type's name.
fn type_of(tree: &Crate, from: usize, path: &[String]) -> Option<(usize, String)> {
    let defined = resolve::path(tree, from, path).into_iter().find_map(|named| match named {
        Named::Item(module) => Some(module),
        Named::Module(_) => None,
    });
    Some((defined?, path.last()?.clone()))
}
