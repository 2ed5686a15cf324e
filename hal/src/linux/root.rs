//! Small files of the kernel, beneath a root that tests put elsewhere.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Most bytes that are read of a file: tables of routes may be longer than a page.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most entries of a folder that are looked at.
const ENTRIES_MAX: usize = 64;

/// What is above `proc` and `sys`.
#[derive(Clone, Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The text of a file without the white space around it; `None` when it cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        text_of(&self.0.join(path))
    }

    /// A file that holds nothing but a number.
    pub(super) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// The names in a folder, sorted; none when it cannot be read.
    pub(super) fn entries(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.0.join(path)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.take(ENTRIES_MAX).collect();
        names.sort_unstable();
        names
    }
}

/// The text of a small file without the white space around it.
pub(super) fn text_of(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}
