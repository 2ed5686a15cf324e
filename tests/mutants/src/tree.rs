//! A copy of the workspace in which files may be broken.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::Mutant;

/// Folders of the workspace that are not copied.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The copy.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Makes `root` a copy of the workspace. What is there and the same is left as it is, so that
    /// it need not be built again.
    pub fn copy_to(root: &Path) -> Result<Self> {
        let mut files = BTreeSet::new();
        list(&workspace(), Path::new(""), &mut files)?;
        let mut old = BTreeSet::new();
        if root.is_dir() {
            list(root, Path::new(""), &mut old)?;
        }
        for gone in old.difference(&files) {
            fs::remove_file(root.join(gone))?;
        }
        for file in &files {
            let content = fs::read(workspace().join(file))?;
            let copy = root.join(file);
            if fs::read(&copy).is_ok_and(|there| there == content) {
                continue;
            }
            if let Some(folder) = copy.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(copy, content)?;
        }
        Ok(Self { root: root.to_owned() })
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Does something while a mutant is in place.
    pub fn with<T>(&self, mutant: &Mutant, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.root.join(&mutant.file);
        let text = fs::read_to_string(&path).with_context(|| mutant.file.clone())?;
        fs::write(&path, mutant.applied_to(&text)?)?;
        let done = work();
        fs::write(&path, text)?;
        done
    }
}

/// Adds the files below a folder, as paths from `root`.
fn list(root: &Path, folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else {
            files.insert(path);
        }
    }
    Ok(())
}
