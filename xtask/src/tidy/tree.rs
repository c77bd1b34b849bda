//! The files that are looked at: sources, manifests and pages, without what is built.

use anyhow::Context;
use std::path::Path;

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Path relative to the root, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

/// The checked-out tree.
#[derive(Debug)]
pub(crate) struct Tree {
    /// `.rs`, `.toml`, `.md`, sorted by path.
    pub(crate) files: Vec<File>,
    /// Every path, also of files that are not read, and of folders.
    pub(crate) paths: std::collections::BTreeSet<String>,
}

impl Tree {
    /// Reads the tree below `root`; `target` and hidden folders are passed over.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self { files: Vec::new(), paths: std::collections::BTreeSet::new() };
        tree.walk(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "target" || name == "node_modules" {
                continue;
            }
            let path = format!("{prefix}{name}");
            self.paths.insert(path.clone());
            if entry.file_type()?.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"))?;
            } else if [".rs", ".toml", ".md"].iter().any(|end| name.ends_with(end)) {
                let text = std::fs::read_to_string(entry.path()).with_context(|| path.clone())?;
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }

    /// The files whose names end so.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.ends_with(end))
    }
}
