//! What is in a tar archive, looked at as a whole before anything is unpacked: only folders, files
//! and symbolic links that stay beneath the slot.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Component, Path, PathBuf},
};

use crate::{ErrorCode, Failure, firmware::disk::trouble};

const BLOCK_BYTES: usize = 512;
/// Most entries: each is held in memory.
const ENTRIES_MAX: usize = 32_768;
/// Longest path.
const PATH_BYTES_MAX: u64 = 1_024;
/// Longest extended header.
const EXTENSION_BYTES_MAX: u64 = 16 << 10;

/// Something to unpack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Beneath the slot.
    pub(super) path: PathBuf,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Folder { mode: u32 },
    File { mode: u32, offset: u64, size: u64 },
    Link { target: PathBuf },
}

/// Everything that the archive holds, in its order.
///
/// # Errors
/// `INSTALL_FAILED` with what is wrong with the archive: nothing has been unpacked.
pub(super) fn check(file: &File) -> Result<Vec<Entry>, Failure> {
    let mut reader = Reader { file, offset: 0 };
    let mut accepted = Accepted::default();
    while let Some(entry) = reader.next()? {
        accepted.add(entry)?;
    }
    if accepted.entries.is_empty() {
        return Err(refused("it is empty"));
    }
    Ok(accepted.entries)
}

/// What has been found to be harmless.
#[derive(Default)]
struct Accepted {
    entries: Vec<Entry>,
    /// Whether a path is a folder.
    known: BTreeMap<PathBuf, bool>,
}

impl Accepted {
    fn add(&mut self, entry: Entry) -> Result<(), Failure> {
        let name = entry.path.display();
        // What lies behind a link would land elsewhere.
        let mut parents = entry.path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty());
        if parents.any(|parent| self.known.get(parent) != Some(&true)) {
            return Err(refused(&format!("{name} is in no folder of the archive")));
        }
        if let Content::Link { target } = &entry.content {
            if !stays_beneath(&entry.path, target) {
                let to = target.display();
                return Err(refused(&format!("{name} links to {to}, which is not beneath it")));
            }
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(refused(&format!("it has more than {ENTRIES_MAX} entries")));
        }
        let is_folder = matches!(entry.content, Content::Folder { .. });
        if self.known.insert(entry.path.clone(), is_folder).is_some() {
            return Err(refused(&format!("{name} is in it twice")));
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// Relative, up only at its beginning, and never above the slot.
fn stays_beneath(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    let mut goes_down = false;
    for component in target.components() {
        match component {
            Component::ParentDir if goes_down || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => goes_down = true,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

struct Reader<'a> {
    file: &'a File,
    offset: u64,
}

/// What an extended header says about the entry after it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<Option<Entry>, Failure> {
        let mut extension = Extension::default();
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.size()?;
            let at = self.offset;
            self.offset = at.saturating_add(size.next_multiple_of(BLOCK_BYTES as u64));
            match header.kind() {
                b'x' => extension.read_pax(&self.extension(at, size)?)?,
                b'L' => extension.path = Some(text(&self.extension(at, size)?)),
                b'K' => extension.target = Some(text(&self.extension(at, size)?)),
                // Of the archive as a whole: nothing that is needed.
                b'g' => {}
                kind => {
                    let path = extension.path.take().unwrap_or_else(|| header.path());
                    let path = beneath(&path)?;
                    if path.as_os_str().is_empty() {
                        // The folder that was packed.
                        continue;
                    }
                    let target = extension.target.take().unwrap_or_else(|| header.target());
                    let content = content(kind, &header, at, size, target)
                        .ok_or_else(|| refused(&format!("{} is no file", path.display())))?;
                    return Ok(Some(Entry { path, content }));
                }
            }
        }
    }

    /// The next header; `None` at the end mark.
    fn header(&mut self) -> Result<Option<Header>, Failure> {
        let mut block = [0; BLOCK_BYTES];
        self.read(self.offset, &mut block)?;
        self.offset += BLOCK_BYTES as u64;
        if block == [0; BLOCK_BYTES] {
            return Ok(None);
        }
        let header = Header(block);
        if header.has_checksum() { Ok(Some(header)) } else { Err(refused("it is no tar archive")) }
    }

    fn extension(&self, offset: u64, size: u64) -> Result<Vec<u8>, Failure> {
        let length = usize::try_from(size.min(EXTENSION_BYTES_MAX + 1)).unwrap_or(usize::MAX);
        if size > EXTENSION_BYTES_MAX {
            return Err(refused("an extended header is too long"));
        }
        let mut bytes = vec![0; length];
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                refused("it ends too early")
            } else {
                trouble("the update archive", &error)
            }
        })
    }
}

impl Extension {
    /// Lines of the form `LENGTH KEY=VALUE`.
    fn read_pax(&mut self, mut records: &[u8]) -> Result<(), Failure> {
        let malformed = || refused("an extended header is malformed");
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
            let length =
                records.get(..space).and_then(|l| std::str::from_utf8(l).ok()?.parse().ok());
            let record = length.and_then(|length: usize| records.get(space + 1..length));
            let record = record.and_then(|r| r.strip_suffix(b"\n")).ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            match key {
                b"path" => self.path = Some(value.to_owned()),
                b"linkpath" => self.target = Some(value.to_owned()),
                b"size" => return Err(refused("a file in it is too large")),
                _ => {}
            }
            records = records.get(length.unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// One block in front of an entry.
struct Header([u8; BLOCK_BYTES]);

impl Header {
    fn field(&self, from: usize, length: usize) -> &[u8] {
        self.0.get(from..from + length).unwrap_or_default()
    }

    fn number(&self, from: usize, length: usize) -> Option<u64> {
        let digits = text(self.field(from, length));
        u64::from_str_radix(std::str::from_utf8(&digits).ok()?.trim(), 8).ok()
    }

    fn size(&self) -> Result<u64, Failure> {
        self.number(124, 12).ok_or_else(|| refused("a size in it is malformed"))
    }

    fn mode(&self) -> Option<u32> {
        self.number(100, 8).and_then(|mode| u32::try_from(mode & 0o777).ok())
    }

    fn kind(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or_default()
    }

    fn path(&self) -> Vec<u8> {
        let name = text(self.field(0, 100));
        let is_posix = self.field(257, 6) == b"ustar\0";
        let prefix = if is_posix { text(self.field(345, 155)) } else { Vec::new() };
        if prefix.is_empty() { name } else { [prefix.as_slice(), b"/", &name].concat() }
    }

    fn target(&self) -> Vec<u8> {
        text(self.field(157, 100))
    }

    fn has_checksum(&self) -> bool {
        let counted = |(index, byte): (usize, &u8)| {
            u64::from(if (148..156).contains(&index) { b' ' } else { *byte })
        };
        let sum: u64 = self.0.iter().enumerate().map(counted).sum();
        self.number(148, 8) == Some(sum)
    }
}

fn content(kind: u8, header: &Header, offset: u64, size: u64, target: Vec<u8>) -> Option<Content> {
    let mode = header.mode()?;
    match kind {
        b'0' | 0 => Some(Content::File { mode, offset, size }),
        b'5' => Some(Content::Folder { mode }),
        b'2' => Some(Content::Link { target: path_of(target) }),
        // Hard links, devices, pipes and whatever else there may be.
        _ => None,
    }
}

/// Without `.`; anything that could lead elsewhere is refused.
fn beneath(path: &[u8]) -> Result<PathBuf, Failure> {
    let name = String::from_utf8_lossy(path).into_owned();
    if path.len() as u64 > PATH_BYTES_MAX {
        return Err(refused("a path in it is too long"));
    }
    let mut clean = PathBuf::new();
    for component in path_of(path.to_owned()).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(refused(&format!("{name} is not beneath the slot")));
            }
        }
    }
    Ok(clean)
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

/// Up to the first zero.
fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn refused(problem: &str) -> Failure {
    Failure::new(ErrorCode::InstallFailed, format!("the update archive is refused: {problem}"))
}

#[cfg(test)]
mod tests;
