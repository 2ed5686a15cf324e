//! The drive as a file `disk` of a FUSE file system, for a loop device to stand on.
//!
//! The kernel must not cache, join or delay anything: the file is opened for direct I/O, the
//! write-back cache is never asked for, and one thread answers one request after the other, so the
//! order of the log is the order of the answers.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, Session, WriteFlags,
};

use crate::drive::{Drive, Event};

/// Name of the one file.
pub(crate) const DISK: &str = "disk";

const DISK_INODE: INodeNo = INodeNo(2);
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Serves the drive below `directory` until the session ends.
pub(crate) fn serve(drive: Drive, directory: &Path) -> Result<BackgroundSession> {
    let session = Session::new(Disk(drive), directory, &Config::default());
    session.and_then(Session::spawn).context("mounting the recording file system")
}

struct Disk(Drive);

impl Disk {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            DISK_INODE => (FileType::RegularFile, 0o600, self.0.bytes()),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(DISK_INODE) {
            Some(attributes) if parent == INodeNo::ROOT && name == DISK => {
                reply.entry(&FOR_EVER, &attributes, Generation(0));
            }
            Some(_) | None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&FOR_EVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let left = self.0.bytes().saturating_sub(offset).min(u64::from(size));
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(0)];
        self.0.read(offset, &mut bytes);
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if offset.saturating_add(u64::from(length)) > self.0.bytes() {
            return reply.error(Errno::ENOSPC);
        }
        self.0.write(offset, bytes);
        reply.written(length);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0.note(Event::Flush);
        reply.ok();
    }

    // The closing of a descriptor: no promise about the medium.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}
