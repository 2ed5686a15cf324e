//! The tar archive of an update: what is taken can be unpacked and stays beneath its slot.

use std::{
    cell::LazyCell,
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Component, Path},
    process,
};

use terminal_hal::ErrorCode;

use self::reader::{Content, Entry, check};

#[rustfmt::skip]
#[path = "../../../hal/src/firmware/ab/archive.rs"]
mod reader;

const BLOCK: usize = 512;
/// Where a header has its checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;

thread_local! {
    static FILE: LazyCell<io::Result<File>> = const { LazyCell::new(nameless_file) };
}

/// The first byte says whether the headers get their checksums and the archive its end.
pub fn archive(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let bytes = if which % 2 == 0 { rest.to_vec() } else { mended(rest) };
    FILE.with(|file| {
        let written = file.as_ref().map(|file| write(file, &bytes));
        assert!(matches!(written, Ok(Ok(()))), "no file for the input: {written:?}");
        if let Ok(file) = &**file {
            read(file, bytes.len() as u64);
        }
    });
}

fn read(file: &File, length: u64) {
    match check(file) {
        Ok(entries) => {
            assert!(!entries.is_empty());
            let mut known = BTreeMap::new();
            for entry in &entries {
                stays_beneath(entry, &known, length);
                let is_folder = matches!(entry.content, Content::Folder { .. });
                assert_eq!(
                    known.insert(entry.path.as_path(), is_folder),
                    None,
                    "it is there twice"
                );
            }
        }
        Err(failure) => assert_eq!(failure.code, ErrorCode::InstallFailed, "{failure}"),
    }
}

fn stays_beneath(entry: &Entry, known: &BTreeMap<&Path, bool>, length: u64) {
    let path = &entry.path;
    assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    assert!(parent.is_none_or(|parent| known.get(parent) == Some(&true)), "{path:?}");
    match &entry.content {
        Content::Folder { mode } => assert!(*mode <= 0o777),
        Content::File { mode, offset, size } => {
            assert!(*mode <= 0o777);
            assert!(offset.checked_add(*size).is_some_and(|end| end <= length), "{entry:?}");
        }
        Content::Link { target } => {
            assert!(target.is_relative());
            let mut depth = path.components().count() - 1;
            for part in target.components() {
                match part {
                    Component::ParentDir => {
                        assert!(depth > 0, "{entry:?}");
                        depth -= 1;
                    }
                    Component::Normal(_) => depth += 1,
                    Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
                }
            }
        }
    }
}

/// Whole blocks, each header with its checksum, and the mark of the end.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut mended = bytes.to_vec();
    mended.resize(bytes.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    let mut at = 0;
    while let Some(header) = mended.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        at += BLOCK + mend(header).next_multiple_of(BLOCK);
    }
    mended
}

/// Gives the size of what follows.
fn mend(header: &mut [u8]) -> usize {
    if let Some(checksum) = header.get_mut(CHECKSUM) {
        checksum.fill(b' ');
    }
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    if let Some(checksum) = header.get_mut(CHECKSUM) {
        checksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let size = header.get(124..136).unwrap_or_default().split(|byte| *byte == 0).next();
    let size = size.and_then(|digits| std::str::from_utf8(digits).ok());
    let size = size.and_then(|digits| usize::from_str_radix(digits.trim(), 8).ok());
    // What is longer than any input leads to the end at once.
    size.unwrap_or_default().min(1 << 20)
}

fn write(file: &File, bytes: &[u8]) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(bytes, 0)
}

/// A file that is gone with this thread.
fn nameless_file() -> io::Result<File> {
    let name = format!("terminal-fuzz-{}-{:?}", process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
