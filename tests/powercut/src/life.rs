//! One life of a terminal between two power cuts: a worker on a recorded drive.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use fuser::BackgroundSession;

use crate::drive::{Drive, Event};
use crate::fuse;
use crate::ground::Ground;
use crate::image::Image;
use crate::mounted::{Mounted, make_ext4, unmount};
use crate::unrest::{Restless, Unrest};
use crate::worker::{self, Job};

/// Name of the store on the file system.
pub(crate) const STORE: &str = "store";

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Life {
    /// What was on the medium when the power came on.
    pub base: Image,
    /// Commit that the store had promised to hold before.
    pub promised: u64,
    /// Everything since then.
    pub log: Vec<Event>,
}

/// A file system on a drive that records.
#[derive(Debug)]
pub struct Recorded {
    drive: Drive,
    // In this order: the file system lets go of the drive before the drive is taken away.
    mounted: Mounted,
    session: BackgroundSession,
    below: PathBuf,
}

impl Recorded {
    /// Mounts the ext4 of `base` on the directory `name` of the ground.
    ///
    /// # Errors
    ///
    /// When one of the layers cannot be mounted.
    pub fn new(ground: &Ground, name: &str, base: Image) -> Result<Self> {
        let below = ground.directory(&format!("{name}.drive"))?;
        let drive = Drive::new(base);
        let session = fuse::serve(drive.clone(), &below)?;
        let mounted = Mounted::new(&below.join(fuse::DISK), &ground.directory(name)?)?;
        Ok(Self { drive, mounted, session, below })
    }

    /// The drive below.
    pub const fn drive(&self) -> &Drive {
        &self.drive
    }

    /// Takes everything down.
    ///
    /// # Errors
    ///
    /// When something does not let go.
    pub fn unmount(self) -> Result<()> {
        self.mounted.unmount()?;
        // The loop device may be a moment late in letting go of its file.
        unmount(&self.below)?;
        self.session.join().context("ending the recording file system")
    }
}

/// Records a worker on a drive that begins as `base`.
///
/// # Errors
///
/// When the machine fails, or the worker does: no power has been cut yet.
pub fn record(
    ground: &Ground,
    program: &Path,
    base: Image,
    promised: u64,
    unrest: Unrest,
    mut job: Job,
) -> Result<Life> {
    let recorded = Recorded::new(ground, "life", base.clone())?;
    job.store = ground.path("life").join(STORE);
    let restless = Restless::start(unrest, ground.path("life"), job.seed ^ job.begin);
    let mut worker = Command::new(program)
        .args(job.arguments())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the worker")?;
    let listened = listen(&mut worker, recorded.drive());
    // Nobody is promised anything after the last word of the worker.
    let log = recorded.drive().take_log();
    // Its standard input is closed: it ends even if it still wants to say something.
    let status = worker.wait().context("waiting for the worker")?;
    drop(restless);
    listened?;
    ensure!(status.success(), "the worker ended with {status}");
    recorded.unmount()?;
    Ok(Life { base, promised, log })
}

fn listen(worker: &mut Child, drive: &Drive) -> Result<()> {
    let mut answers = worker.stdin.take().context("no pipe to the worker")?;
    let lines = worker.stdout.take().context("no pipe from the worker")?;
    for line in BufReader::new(lines).lines() {
        drive.note(worker::heard(&line.context("hearing the worker")?)?);
        answers.write_all(b"go\n").context("answering the worker")?;
    }
    Ok(())
}

/// An empty ext4 of `bytes`.
///
/// # Errors
///
/// When it cannot be made.
pub fn empty_ext4(ground: &Ground, bytes: u64) -> Result<Image> {
    let path = ground.path("empty.ext4");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
    file.and_then(|file| file.set_len(bytes)).context("making an image")?;
    make_ext4(&path, bytes)?;
    Image::load(&path).context("reading the empty ext4")
}
