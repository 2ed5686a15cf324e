//! Getting an image: goes on where an earlier try broke off, and hands out the very handle that
//! was verified.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::{sleep, timeout};

use super::{
    disk::{Disk, blocking, check_room, read_record, trouble},
    manifest::Release,
    retry::delay,
    source::{Bytes, Source},
};
use crate::{ErrorCode, Failure, api::Call};

/// What a power cut may cost.
const SYNC_BYTES: u64 = 4 << 20;
/// Tries in a row that brought nothing new.
const TRIES_MAX: u32 = 6;
/// Tries in all.
const RESUMES_MAX: u32 = 1_000;
/// Without any byte for so long a try has failed.
const IDLE_MAX: Duration = Duration::from_secs(60);
const HASH_BUFFER_BYTES: usize = 256 << 10;

/// An image that is what its manifest promised.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// Open for reading only, at its beginning; nobody has it open for writing.
    pub(super) file: Arc<File>,
    pub(super) size_bytes: u64,
    pub(super) bytes_downloaded: u64,
    pub(super) resumes: u32,
}

/// What has arrived for certain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Arrived {
    sha256: String,
    size_bytes: u64,
    /// On the medium.
    synced_bytes: u64,
    /// In all tries.
    bytes_downloaded: u64,
    resumes: u32,
}

/// The place of the one image that is being downloaded.
pub(super) struct Download<'a> {
    pub(super) disk: &'a Disk,
    pub(super) folder: &'a Path,
    pub(super) source: &'a dyn Source,
    pub(super) call: &'a Call,
}

impl Download<'_> {
    /// Downloads what is missing, then verifies the whole.
    pub(super) async fn fetch(&self, release: &Release) -> Result<Image, Failure> {
        let mut arrived = self.begin(release).map_err(|error| trouble("the download", &error))?;
        let missing = release.size_bytes.saturating_sub(arrived.synced_bytes);
        check_room(self.folder, missing, "the download")?;
        self.fetch_missing(release, &mut arrived).await?;
        self.call.progress("verifying", Some(60));
        let file = self.verify(release).await?;
        Ok(Image {
            file: Arc::new(file),
            size_bytes: release.size_bytes,
            bytes_downloaded: arrived.bytes_downloaded,
            resumes: arrived.resumes,
        })
    }

    /// What an earlier try has left of the same image; anything else is removed.
    fn begin(&self, release: &Release) -> io::Result<Arrived> {
        let known = read_record::<Arrived>(&self.record()).ok().flatten().filter(|known| {
            // RAUC may have made a plain bundle its own.
            let part = File::options().read(true).write(true).open(self.part());
            let there = part.and_then(|part| part.metadata()).map_or(0, |known| known.len());
            known.sha256 == release.sha256
                && known.size_bytes == release.size_bytes
                && (1..=there).contains(&known.synced_bytes)
        });
        if let Some(known) = known {
            return Ok(known);
        }
        discard(self.disk, self.folder)?;
        Ok(Arrived {
            sha256: release.sha256.clone(),
            size_bytes: release.size_bytes,
            synced_bytes: 0,
            bytes_downloaded: 0,
            resumes: 0,
        })
    }

    async fn fetch_missing(&self, release: &Release, arrived: &mut Arrived) -> Result<(), Failure> {
        let mut tries = 0;
        let mut has_begun = arrived.bytes_downloaded > 0;
        while arrived.synced_bytes < release.size_bytes {
            if has_begun {
                arrived.resumes = arrived.resumes.saturating_add(1);
            }
            let before = arrived.synced_bytes;
            let tried = self.try_once(release, arrived).await;
            has_begun |= arrived.bytes_downloaded > 0;
            let Err(failure) = tried else { continue };
            tries = if arrived.synced_bytes > before { 1 } else { tries + 1 };
            if !failure.retryable || tries >= TRIES_MAX || arrived.resumes >= RESUMES_MAX {
                return Err(failure);
            }
            tracing::info!(operation_id = %self.call.id, %failure, "download broke off");
            self.or_cancelled(async {
                sleep(delay(tries)).await;
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// From where it broke off. What has come is kept, however it ends.
    async fn try_once(&self, release: &Release, arrived: &mut Arrived) -> Result<(), Failure> {
        let offset = arrived.synced_bytes;
        let opened = self.or_cancelled(self.source.open(&release.file, offset)).await?;
        let Some(mut bytes) = opened else {
            let reason = format!("the source does not have {}", release.file);
            return Err(Failure::new(ErrorCode::NoUpdate, reason));
        };
        let mut part = self.open_part(offset).map_err(|error| trouble("the download", &error))?;
        let received = self.receive(release, bytes.as_mut(), &mut part, arrived).await;
        let synced = self.sync(part, arrived).await;
        received.and(synced)
    }

    async fn receive(
        &self,
        release: &Release,
        bytes: &mut dyn Bytes,
        part: &mut Part,
        arrived: &mut Arrived,
    ) -> Result<(), Failure> {
        while part.length < release.size_bytes {
            let silent = |_| failed("the source sends nothing any more");
            let next = async { timeout(IDLE_MAX, bytes.next()).await.map_err(silent)? };
            let Some(piece) = self.or_cancelled(next).await? else {
                return Err(failed("the source ended before the image did"));
            };
            let length = piece.len() as u64;
            if part.length + length > release.size_bytes {
                let reason = format!("{} is longer than its manifest says", release.file);
                return Err(Failure::new(ErrorCode::DigestMismatch, reason));
            }
            self.disk.step().and_then(|()| part.file.write_all(&piece)).map_err(storage)?;
            part.length += length;
            arrived.bytes_downloaded += length;
            let percent = part.length.saturating_mul(55) / release.size_bytes;
            self.call.progress("downloading", Some(u8::try_from(5 + percent).unwrap_or(60)));
            if part.length - arrived.synced_bytes >= SYNC_BYTES {
                let copy = part.file.try_clone().map_err(storage)?;
                self.sync(Part { file: copy, length: part.length }, arrived).await?;
            }
        }
        Ok(())
    }

    /// What has been written is on the medium before the record says so.
    async fn sync(&self, part: Part, arrived: &mut Arrived) -> Result<(), Failure> {
        arrived.synced_bytes = part.length;
        let (disk, record, known) = (self.disk.clone(), self.record(), arrived.clone());
        let synced = blocking(move || {
            disk.step()?;
            part.file.sync_all()?;
            disk.write_record(&record, &known)
        });
        synced.await.and_then(|synced| synced).map_err(storage)
    }

    async fn verify(&self, release: &Release) -> Result<File, Failure> {
        let path = self.part();
        let cancellation = self.call.cancellation.clone();
        let hashed = blocking(move || {
            let mut file = File::open(path)?;
            let digest = digest(&mut file, &|| cancellation.is_cancelled())?;
            file.seek(SeekFrom::Start(0))?;
            Ok((digest, file))
        });
        let hashed = hashed.await.and_then(|hashed: io::Result<_>| hashed);
        let (digest, file) = hashed.map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted { canceled() } else { storage(error) }
        })?;
        if digest == release.sha256 {
            return Ok(file);
        }
        // The next try begins anew.
        discard(self.disk, self.folder).map_err(storage)?;
        let reason = format!("{} is not the file that the manifest promised", release.file);
        Err(Failure::new(ErrorCode::DigestMismatch, reason))
    }

    fn open_part(&self, length: u64) -> io::Result<Part> {
        self.disk.step()?;
        let mut file = OpenOptions::new();
        let file = file.write(true).create(true).truncate(false).mode(0o600);
        let mut file = file.open(self.part())?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Part { file, length })
    }

    async fn or_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.call.cancellation.cancelled() => Err(canceled()),
            result = work => result,
        }
    }

    fn part(&self) -> PathBuf {
        self.folder.join("download")
    }

    fn record(&self) -> PathBuf {
        record(self.folder)
    }
}

/// The file that grows.
struct Part {
    file: File,
    length: u64,
}

/// Removes what has been downloaded.
pub(super) fn discard(disk: &Disk, folder: &Path) -> io::Result<()> {
    disk.remove(&record(folder))?;
    disk.remove(&folder.join("download"))
}

fn record(folder: &Path) -> PathBuf {
    folder.join("download.json")
}

/// SHA-256 in hex; `Interrupted` when told to stop.
fn digest(file: &mut File, stop: &dyn Fn() -> bool) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    loop {
        if stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        sha256.update(read);
    }
    Ok(sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn canceled() -> Failure {
    Failure::new(ErrorCode::Canceled, "withdrawn before anything was installed")
}

fn failed(reason: &str) -> Failure {
    Failure::new(ErrorCode::DownloadFailed, reason)
}

fn storage(error: io::Error) -> Failure {
    trouble("the download", &error)
}
