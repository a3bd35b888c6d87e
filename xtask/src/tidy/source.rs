//! Source files, measured.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// One Rust file with what the rules ask about it.
pub(super) struct SourceFile {
    /// Path from the root, `/` between the parts.
    pub(super) path: String,
    /// The room: `wire` for `crates/wire/…`, `tests`, `xtask`, ….
    pub(super) room: String,
    /// The text of product code: test modules blanked out, lines kept.
    pub(super) code: String,
    /// Lines without test modules.
    pub(super) lines: usize,
    /// Lines of inline test modules.
    pub(super) test_lines: usize,
    /// All of it is test code.
    pub(super) is_test: bool,
    /// It opens with a `//!` doc.
    pub(super) has_module_doc: bool,
    /// Items other than `mod`, `use` and constants: code in a lib.rs.
    pub(super) code_items: usize,
    /// Functions outside test modules.
    pub(super) functions: Vec<Function>,
}

/// A function outside test modules.
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// Its first line.
    pub(super) line: usize,
    /// Its lines, signature included, comments and attributes above it not.
    pub(super) lines: usize,
}

impl SourceFile {
    /// Shipped code, not tests or tools.
    pub(super) fn is_product(&self) -> bool {
        self.path.starts_with("crates/") && !self.is_test
    }

    /// The file's name without its folders.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

const FOLDERS: [&str; 5] = ["crates", "tests", "benches", "fuzz/fuzz_targets", "xtask"];

pub(super) fn read_all(root: &Path) -> Result<Vec<SourceFile>> {
    let mut paths = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    paths.iter().map(|path| read(root, path)).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, paths)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn read(root: &Path, path: &Path) -> Result<SourceFile> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let relative = path
        .strip_prefix(root)?
        .to_string_lossy()
        .replace('\\', "/");
    let file = syn::parse_file(&text).with_context(|| relative.clone())?;
    let mut parts = relative.split('/');
    let room = match parts.next() {
        Some("crates") => parts.next().unwrap_or_default().to_owned(),
        first => first.unwrap_or_default().to_owned(),
    };
    let is_test = is_test_path(&relative);
    let mut measure = Measure::default();
    measure.visit_file(&file);
    let mut code: Vec<&str> = text.lines().collect();
    for (first, last) in &measure.test_spans {
        code.iter_mut()
            .take(*last)
            .skip(first - 1)
            .for_each(|line| *line = "");
    }
    let test_lines: usize = measure
        .test_spans
        .iter()
        .map(|(first, last)| last - first + 1)
        .sum();
    Ok(SourceFile {
        room,
        lines: code.len() - test_lines,
        code: code.join("\n"),
        test_lines,
        is_test,
        has_module_doc: text.starts_with("//!"),
        code_items: file.items.iter().filter(|item| is_code(item)).count(),
        functions: measure.functions,
        path: relative,
    })
}

fn is_test_path(path: &str) -> bool {
    let outside = ["tests/", "benches/", "fuzz/"]
        .iter()
        .any(|folder| path.starts_with(folder));
    outside
        || path.contains("/tests/")
        || ["/tests.rs", "_tests.rs", "/testing.rs"]
            .iter()
            .any(|end| path.ends_with(end))
}

fn is_code(item: &syn::Item) -> bool {
    !matches!(
        item,
        syn::Item::Mod(_) | syn::Item::Use(_) | syn::Item::Const(_) | syn::Item::ExternCrate(_)
    )
}

#[derive(Default)]
struct Measure {
    functions: Vec<Function>,
    test_spans: Vec<(usize, usize)>,
}

impl Measure {
    fn function(&mut self, name: &syn::Ident, from: proc_macro2::Span, to: proc_macro2::Span) {
        let line = from.start().line;
        let lines = to.end().line + 1 - line;
        self.functions.push(Function {
            name: name.to_string(),
            line,
            lines,
        });
    }
}

impl<'ast> Visit<'ast> for Measure {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_some() && item.attrs.iter().any(is_cfg_test) {
            let first = item
                .attrs
                .first()
                .map_or(item.span(), Spanned::span)
                .start()
                .line;
            self.test_spans.push((first, item.span().end().line));
            return;
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.sig.span(), item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.sig.span(), item.block.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig.ident, item.sig.span(), block.span());
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return false;
    };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}
