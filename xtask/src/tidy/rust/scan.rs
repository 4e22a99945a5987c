//! The contents of one module: the items that it defines, the modules that it declares, and the names that it uses.
//!
//! Code under `#[cfg(test)]` is left out: a test may use anything.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, UseTree, Visibility};

/// A path as written, such as `crate::store::Name`, by its segments.
pub(crate) type Path = Vec<String>;

/// A name that a `use` brings into the module.
pub(crate) struct Import {
    /// The name in this module; `None` for a glob.
    pub(crate) name: Option<String>,
    /// The path that it names; for a glob, the path from which all names are taken.
    pub(crate) path: Path,
    /// Whether it is a `pub use`, with any visibility.
    pub(crate) is_reexport: bool,
    pub(crate) line: usize,
}

/// A path that is not in a `use`.
pub(crate) struct Reference {
    pub(crate) path: Path,
    pub(crate) line: usize,
}

/// An `impl` block.
pub(crate) struct Impl {
    /// The type that the block is for, as written.
    pub(crate) of: Path,
    /// The methods and constants of an inherent block; empty if the block implements a trait.
    pub(crate) defines: BTreeSet<String>,
    pub(crate) is_inherent: bool,
    /// Methods called as `self.name()` or `Self::name`, with their lines.
    pub(crate) calls: Vec<(String, usize)>,
    pub(crate) line: usize,
}

/// A module declared in another.
pub(crate) struct Submodule {
    pub(crate) name: String,
    /// The contents of the braces of `mod name { … }`; `None` for `mod name;`.
    pub(crate) body: Option<Contents>,
    /// The value of its attribute `#[path = "…"]`.
    pub(crate) file: Option<String>,
}

/// The contents of a module.
#[derive(Default)]
pub(crate) struct Contents {
    /// Names of the items defined at its top level.
    pub(crate) items: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) references: Vec<Reference>,
    pub(crate) impls: Vec<Impl>,
    /// Macros called, by their last segment, with their lines.
    pub(crate) macros: Vec<(String, usize)>,
    pub(crate) submodules: Vec<Submodule>,
}

impl Contents {
    /// Collects the contents of the items of a file or of an inline module.
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut scanner = Scanner::default();
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            scanner.found.items.extend(name(item));
            scanner.visit_item(item);
        }
        scanner.found
    }
}

#[derive(Default)]
struct Scanner {
    found: Contents,
    /// The `impl` blocks around the current node, the innermost last.
    inside: Vec<Impl>,
}

impl Scanner {
    fn import(&mut self, tree: &UseTree, prefix: &[String], is_reexport: bool) {
        let to = |last: &syn::Ident| [prefix, &[last.to_string()]].concat();
        let (name, path, at) = match tree {
            UseTree::Path(tree) => return self.import(&tree.tree, &to(&tree.ident), is_reexport),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, prefix, is_reexport));
            }
            UseTree::Name(tree) if tree.ident == "self" => (prefix.last().cloned(), prefix.to_vec(), tree.ident.span()),
            UseTree::Name(tree) => (Some(tree.ident.to_string()), to(&tree.ident), tree.ident.span()),
            UseTree::Rename(tree) if tree.ident == "self" => {
                (Some(tree.rename.to_string()), prefix.to_vec(), tree.ident.span())
            }
            UseTree::Rename(tree) => (Some(tree.rename.to_string()), to(&tree.ident), tree.ident.span()),
            UseTree::Glob(glob) => (None, prefix.to_vec(), glob.star_token.span),
        };
        let line = at.start().line;
        self.found.imports.push(Import { name, path, is_reexport, line });
    }

    fn reference(&mut self, path: Path, line: usize) {
        if let [first, method] = path.as_slice()
            && first == "Self"
        {
            self.call(method.clone(), line);
        } else {
            self.found.references.push(Reference { path, line });
        }
    }

    fn call(&mut self, method: String, line: usize) {
        if let Some(block) = self.inside.last_mut() {
            block.calls.push((method, line));
        }
    }

    /// Collects paths in the arguments of a macro or an attribute. `in_strings`: attributes of serde name functions in
    /// strings.
    fn tokens(&mut self, tokens: TokenStream, in_strings: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is_punct = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == c);
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let line = token.span().start().line;
            match token {
                TokenTree::Group(group) => self.tokens(group.stream(), in_strings),
                TokenTree::Ident(first) => {
                    let is_member = at > 0 && is_punct(at - 1, '.');
                    let mut path = vec![first.to_string()];
                    while let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                        && is_punct(at + 1, ':')
                        && is_punct(at + 2, ':')
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if is_member && at > 1 && matches!(&tokens[at - 2], TokenTree::Ident(owner) if owner == "self") {
                        self.call(first.to_string(), line);
                    } else if !is_member {
                        self.reference(path, line);
                    }
                }
                TokenTree::Literal(text) if in_strings => {
                    let text = text.to_string();
                    let path: Path = text.trim_matches('"').split("::").map(str::to_owned).collect();
                    if path.len() > 1 && ["crate", "self", "super"].contains(&path[0].as_str()) {
                        self.reference(path, line);
                    }
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Scanner {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let file = module.attrs.iter().find(|attribute| attribute.path().is_ident("path")).and_then(|attribute| {
            let text = &attribute.meta.require_name_value().ok()?.value;
            let Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = text else { return None };
            Some(text.value())
        });
        let body = module.content.as_ref().map(|(_, items)| Contents::of(items));
        self.found.submodules.push(Submodule { name: module.ident.to_string(), body, file });
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        if import.leading_colon.is_none() {
            self.import(&import.tree, &[], !matches!(import.vis, Visibility::Inherited));
        }
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let of = match block.self_ty.as_ref() {
            syn::Type::Path(of) => segments(&of.path),
            _ => Path::new(),
        };
        let is_inherent = block.trait_.is_none();
        let defined = block.items.iter().filter(|_| is_inherent).filter_map(|item| match item {
            ImplItem::Fn(function) => Some(function.sig.ident.to_string()),
            ImplItem::Const(constant) => Some(constant.ident.to_string()),
            _ => None,
        });
        let (defines, line) = (defined.collect(), block.impl_token.span.start().line);
        self.inside.push(Impl { of, defines, is_inherent, calls: Vec::new(), line });
        visit::visit_item_impl(self, block);
        self.found.impls.extend(self.inside.pop());
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if let Expr::Path(receiver) = call.receiver.as_ref()
            && receiver.path.is_ident("self")
        {
            self.call(call.method.to_string(), call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let (None, Some(first)) = (&path.leading_colon, path.segments.first()) {
            self.reference(segments(path), first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        if let Some(name) = called.path.segments.last() {
            self.found.macros.push((name.ident.to_string(), name.ident.span().start().line));
        }
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone(), true);
        }
    }

    // `pub(in crate::store)` is about visibility, not a use.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn segments(path: &syn::Path) -> Path {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test" || condition.starts_with("all (test ,") || condition.starts_with("all(test ,")
        }
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines in its module; modules and imports are handled separately.
fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
