//! Log data as files: one growing part per operation and attempt, then the verified whole.
//! Blocking; called from a thread that may block.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use ring::digest;
use terminal_core::protocol::{LogEnd, error_code};
use terminal_hal::{ErrorCode, OperationId};
use tokio_tungstenite::tungstenite::Bytes;
use uuid::Uuid;

use crate::secret::hex;

/// Most bytes of one log: the largest that a terminal may be asked for, and some slack.
pub(crate) const LOG_BYTES_MAX: u64 = (64 << 20) + (1 << 20);
/// Logs, whole or growing, that are kept for one terminal; the oldest makes room for the next.
const FILES_MAX: usize = 1000;
/// Parts that are kept open; the others are opened again when they go on.
const OPEN_MAX: usize = 4;

/// Log data to be stored.
pub(super) enum Write {
    Chunk { id: OperationId, attempt: u32, offset: u64, data: Bytes },
    End(LogEnd),
}

impl Write {
    pub(super) const fn id(&self) -> OperationId {
        match self {
            Self::Chunk { id, .. } => *id,
            Self::End(end) => end.id,
        }
    }

    pub(super) const fn attempt(&self) -> u32 {
        match self {
            Self::Chunk { attempt, .. } => *attempt,
            Self::End(end) => end.attempt,
        }
    }
}

/// What is to be answered.
#[derive(Debug)]
pub(super) enum Outcome {
    Durable {
        id: OperationId,
        attempt: u32,
        offset: u64,
    },
    Complete {
        id: OperationId,
        attempt: u32,
        bytes: u64,
        sha256: String,
    },
    Refused {
        id: OperationId,
        code: &'static str,
        problem: String,
    },
    /// Made room for another one; nothing to answer.
    Dropped {
        id: OperationId,
    },
}

/// The logs of one terminal.
#[derive(Default)]
pub(super) struct LogStore {
    dir: PathBuf,
    open: BTreeMap<OperationId, Part>,
}

struct Part {
    attempt: u32,
    file: File,
    path: PathBuf,
    length: u64,
    unsynced: bool,
}

/// Where the verified log of an operation is.
pub(crate) fn path(data_dir: &Path, terminal_id: &str, id: OperationId) -> PathBuf {
    data_dir.join("logs").join(terminal_id).join(format!("{id}.log"))
}

impl LogStore {
    pub(super) fn new(data_dir: &Path, terminal_id: &str) -> Self {
        Self { dir: data_dir.join("logs").join(terminal_id), open: BTreeMap::new() }
    }

    /// Writes in order; what the answers say is on the medium when this returns.
    pub(super) fn write(&mut self, writes: Vec<Write>) -> io::Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        let mut touched = BTreeMap::new();
        for write in writes {
            let (id, attempt) = (write.id(), write.attempt());
            let mut part = match self.part(id, attempt, &mut outcomes)? {
                Ok(part) => part,
                Err(refused) => {
                    outcomes.push(refused);
                    continue;
                }
            };
            let outcome = match &write {
                Write::Chunk { offset, data, .. } => part.append(id, *offset, data)?,
                Write::End(end) => part.end(end, &self.dir)?,
            };
            match outcome {
                Some(outcome) => {
                    touched.remove(&id);
                    outcomes.push(outcome);
                }
                None => {
                    touched.insert(id, ());
                    self.keep(id, part)?;
                }
            }
        }
        for id in touched.into_keys() {
            if let Some(part) = self.open.get_mut(&id) {
                part.sync()?;
                let (attempt, offset) = (part.attempt, part.length);
                outcomes.push(Outcome::Durable { id, attempt, offset });
            }
        }
        Ok(outcomes)
    }

    fn keep(&mut self, id: OperationId, part: Part) -> io::Result<()> {
        if self.open.len() >= OPEN_MAX {
            if let Some((_, mut other)) = self.open.pop_first() {
                other.sync()?;
            }
        }
        self.open.insert(id, part);
        Ok(())
    }

    /// The growing part of an attempt; a newer attempt starts again at 0.
    fn part(
        &mut self,
        id: OperationId,
        attempt: u32,
        outcomes: &mut Vec<Outcome>,
    ) -> io::Result<Result<Part, Outcome>> {
        match self.open.remove(&id) {
            Some(part) if part.attempt == attempt => return Ok(Ok(part)),
            Some(part) => part.sync_now()?,
            None => {}
        }
        fs::create_dir_all(&self.dir)?;
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            match attempt_of(&path, id) {
                None => others.push(path),
                Some(stored) if stored > attempt => {
                    let problem = format!("attempt {attempt} after attempt {stored}");
                    let code = error_code::INVALID_MESSAGE;
                    return Ok(Err(Outcome::Refused { id, code, problem }));
                }
                Some(stored) if stored < attempt => fs::remove_file(&path)?,
                Some(_) => {}
            }
        }
        outcomes.extend(make_room(others)?);
        let path = self.dir.join(format!("{id}.{attempt}.part"));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        // What a crash left behind counts only once it is known to be durable.
        file.sync_data()?;
        File::open(&self.dir)?.sync_all()?;
        let length = file.metadata()?.len();
        Ok(Ok(Part { attempt, file, path, length, unsynced: false }))
    }
}

/// Deletes the oldest of the logs beside one when there are too many; tells which, if it was whole.
fn make_room(others: Vec<PathBuf>) -> io::Result<Option<Outcome>> {
    if others.len() < FILES_MAX {
        return Ok(None);
    }
    let mut oldest = None;
    for path in others {
        let at = fs::metadata(&path)?.modified()?;
        if oldest.as_ref().is_none_or(|(before, _)| at < *before) {
            oldest = Some((at, path));
        }
    }
    let Some((_, path)) = oldest else { return Ok(None) };
    fs::remove_file(&path)?;
    let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log"));
    let id = name.and_then(|name| Uuid::parse_str(name).ok()).map(OperationId);
    Ok(id.map(|id| Outcome::Dropped { id }))
}

/// The attempt in the name of a part of `id`.
fn attempt_of(path: &Path, id: OperationId) -> Option<u32> {
    let name = path.file_name()?.to_str()?.strip_suffix(".part")?;
    name.strip_prefix(&id.to_string())?.strip_prefix('.')?.parse().ok()
}

impl Part {
    /// Appends what is new; beyond a gap nothing is taken, the answer names the durable offset.
    fn append(&mut self, id: OperationId, offset: u64, data: &[u8]) -> io::Result<Option<Outcome>> {
        let Some(known) = self.length.checked_sub(offset) else { return Ok(None) };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let new = data.get(known..).unwrap_or_default();
        let length = self.length + new.len() as u64;
        if length > LOG_BYTES_MAX {
            fs::remove_file(&self.path)?;
            let problem = format!("log of more than {LOG_BYTES_MAX} bytes");
            let code = ErrorCode::PayloadTooLarge.as_str();
            return Ok(Some(Outcome::Refused { id, code, problem }));
        }
        self.file.write_all(new)?;
        self.length = length;
        self.unsynced |= !new.is_empty();
        Ok(None)
    }

    /// Verifies the whole and gives it its final name.
    fn end(&mut self, end: &LogEnd, dir: &Path) -> io::Result<Option<Outcome>> {
        if self.length < end.length {
            return Ok(None);
        }
        self.sync()?;
        let sha256 = digest_of(&self.path)?;
        if self.length != end.length || !sha256.eq_ignore_ascii_case(&end.sha256) {
            fs::remove_file(&self.path)?;
            return Ok(Some(Outcome::Refused {
                id: end.id,
                code: error_code::DIGEST_MISMATCH,
                problem: format!(
                    "got {} bytes with sha256 {sha256}, want {} bytes with {}",
                    self.length, end.length, end.sha256
                ),
            }));
        }
        fs::rename(&self.path, dir.join(format!("{}.log", end.id)))?;
        File::open(dir)?.sync_all()?;
        let (attempt, bytes) = (self.attempt, self.length);
        Ok(Some(Outcome::Complete { id: end.id, attempt, bytes, sha256 }))
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    fn sync_now(mut self) -> io::Result<()> {
        self.sync()
    }
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        match buffer.get(..count) {
            Some([]) | None => return Ok(hex(context.finish().as_ref())),
            Some(read) => context.update(read),
        }
    }
}
