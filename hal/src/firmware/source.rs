//! Where manifests and images come from.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{
    disk::{blocking, trouble},
    retry::delay,
};
use crate::{ErrorCode, Failure, api::HalFuture};

/// Bytes that a source gives at once.
pub const PIECE_BYTES: usize = 64 << 10;
/// A small file that is not there as a whole after this does not come any more: enough for the
/// longest manifest on the slowest mobile network.
const SMALL_TIME_MAX: Duration = Duration::from_secs(120);
/// Tries to get a small file.
const SMALL_TRIES_MAX: u32 = 3;

/// A place with manifests and images, by plain names.
pub trait Source: Send + Sync {
    /// Whether it is reached over the terminal's network.
    fn is_remote(&self) -> bool;

    /// The bytes of a file from `offset` on. `None` when there is no such file.
    ///
    /// # Errors
    /// `DOWNLOAD_FAILED` and `NETWORK_UNAVAILABLE` for what another try may mend; anything else is
    /// final.
    fn open<'a>(&'a self, name: &'a str, offset: u64) -> HalFuture<'a, Option<Box<dyn Bytes>>>;
}

/// Bytes that come piece by piece.
pub trait Bytes: Send {
    /// The next piece; `None` at the end. An empty one says that something came which is not
    /// wanted, such as the beginning of a file from a server that does not know ranges.
    ///
    /// # Errors
    /// As [`Source::open`].
    fn next(&mut self) -> HalFuture<'_, Option<Vec<u8>>>;
}

/// A small file as a whole, in a few tries. `None` when there is no such file.
pub(super) async fn read_whole(
    source: &dyn Source,
    name: &str,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, Failure> {
    let mut tries = 1;
    loop {
        let late = || Failure::new(ErrorCode::DownloadFailed, format!("{name} does not arrive"));
        let read = timeout(SMALL_TIME_MAX, read_once(source, name, bytes_max)).await;
        match read.unwrap_or_else(|_| Err(late())) {
            Err(failure) if failure.retryable && tries < SMALL_TRIES_MAX => {
                tracing::info!(%failure, "tried again");
                sleep(delay(tries)).await;
                tries += 1;
            }
            read => return read,
        }
    }
}

async fn read_once(
    source: &dyn Source,
    name: &str,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(mut pieces) = source.open(name, 0).await? else { return Ok(None) };
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await? {
        if whole.len() + piece.len() > bytes_max {
            let reason = format!("{name} is longer than {bytes_max} bytes");
            return Err(Failure::new(ErrorCode::PayloadTooLarge, reason));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(Some(whole))
}

/// A folder, such as a mounted stick or what another program keeps filled.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Source for Folder {
    fn is_remote(&self) -> bool {
        false
    }

    fn open<'a>(&'a self, name: &'a str, offset: u64) -> HalFuture<'a, Option<Box<dyn Bytes>>> {
        Box::pin(async move {
            let path = self.0.join(name);
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_dir() => {
                    return Ok(None);
                }
                file => file.map_err(|error| unreadable(name, &error))?,
            };
            file.seek(SeekFrom::Start(offset)).map_err(|error| unreadable(name, &error))?;
            Ok(Some(Box::new(OpenFile { name: name.to_owned(), file: Some(file) }) as _))
        })
    }
}

struct OpenFile {
    name: String,
    /// Away while a piece is read.
    file: Option<File>,
}

impl Bytes for OpenFile {
    fn next(&mut self) -> HalFuture<'_, Option<Vec<u8>>> {
        Box::pin(async {
            let Some(file) = self.file.take() else { return Ok(None) };
            let read = blocking(move || {
                let mut piece = Vec::new();
                (&file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
                Ok((piece, file))
            });
            let read = read.await.and_then(|read: io::Result<_>| read);
            let (piece, file) = read.map_err(|error| trouble(&self.name, &error))?;
            self.file = Some(file);
            Ok((!piece.is_empty()).then_some(piece))
        })
    }
}

/// A medium that is not there may be put in.
fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::new(ErrorCode::DownloadFailed, format!("cannot read {name}: {error}"))
}
