//! What the kernel asks of the disk.

use std::{
    ffi::OsStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::{
    Fault,
    files::{Content, File, Files, Folder, Number},
};

/// The kernel may cache it; nobody else changes it.
const KEPT: Duration = Duration::from_secs(3600);
const GENERATION: Generation = Generation(0);
const HANDLE: FileHandle = FileHandle(0);
const BLOCK: u32 = 4096;
/// What the disk says its size is.
const BLOCKS: u64 = 1024 * 1024;

pub(super) struct Mounted(pub(super) Arc<Mutex<Files>>);

impl Mounted {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, parent: INodeNo, name: &OsStr, content: Content) -> Result<FileAttr, Fault> {
        let mut files = self.files();
        let number = files.make(parent.0, name, content)?;
        attributes(&mut files, number)
    }
}

impl From<Fault> for Errno {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotFound => Self::ENOENT,
            Fault::Exists => Self::EEXIST,
            Fault::NotEmpty => Self::ENOTEMPTY,
            Fault::IsFolder => Self::EISDIR,
            Fault::IsNoFolder => Self::ENOTDIR,
            Fault::Full => Self::ENOSPC,
            Fault::Broken => Self::EIO,
        }
    }
}

fn attributes(files: &mut Files, number: Number) -> Result<FileAttr, Fault> {
    let (kind, size) = match &files.node(number)?.content {
        Content::File(file) => (FileType::RegularFile, file.now.len() as u64),
        Content::Folder(_) => (FileType::Directory, 0),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind,
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn done(result: Result<(), Fault>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(fault) => reply.error(fault.into()),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut files = self.files();
        match files.find(parent.0, name).and_then(|number| attributes(&mut files, number)) {
            Ok(found) => reply.entry(&KEPT, &found, GENERATION),
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&mut self.files(), number.0) {
            Ok(found) => reply.attr(&KEPT, &found),
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut files = self.files();
        let resized = size.map_or(Ok(()), |size| files.resize(number.0, usize::try_from(size).unwrap()));
        match resized.and_then(|()| attributes(&mut files, number.0)) {
            Ok(found) => reply.attr(&KEPT, &found),
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        match self.make(parent, name, Content::Folder(Folder::default())) {
            Ok(made) => reply.entry(&KEPT, &made, GENERATION),
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(parent, name, Content::File(File::default())) {
            Ok(made) => {
                if let Ok(node) = self.files().node(made.ino.0) {
                    node.opened += 1;
                }
                reply.created(&KEPT, &made, GENERATION, HANDLE, FopenFlags::empty());
            }
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.files().remove(parent.0, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.files().remove(parent.0, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(self.files().rename((parent.0, name), (new_parent.0, new_name)), reply);
    }

    fn open(&self, _: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.files().node(number.0) {
            Ok(node) => {
                node.opened += 1;
                reply.opened(HANDLE, FopenFlags::empty());
            }
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn release(
        &self,
        _: &Request,
        number: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        if let Ok(node) = self.files().node(number.0) {
            node.opened = node.opened.saturating_sub(1);
        }
        reply.ok();
    }

    fn flush(&self, _: &Request, _number: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.files().node(number.0).map(|node| &node.content) {
            Ok(Content::File(file)) => {
                let start = usize::try_from(offset).unwrap().min(file.now.len());
                let end = (start + size as usize).min(file.now.len());
                reply.data(&file.now[start..end]);
            }
            Ok(Content::Folder(_)) => reply.error(Errno::EISDIR),
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.files().write(number.0, usize::try_from(offset).unwrap(), data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap()),
            Err(fault) => reply.error(fault.into()),
        }
    }

    fn fsync(&self, _: &Request, number: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.files().sync(number.0), reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        done(self.files().sync(number.0), reply);
    }

    fn readdir(&self, _: &Request, number: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut files = self.files();
        let names = match files.folder(number.0) {
            Ok(folder) => folder.now.clone(),
            Err(fault) => return reply.error(fault.into()),
        };
        for (place, (name, number)) in (1_u64..).zip(names).skip(usize::try_from(offset).unwrap()) {
            let kind = match files.node(number).map(|node| &node.content) {
                Ok(Content::Folder(_)) => FileType::Directory,
                Ok(Content::File(_)) | Err(_) => FileType::RegularFile,
            };
            if reply.add(INodeNo(number), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _number: INodeNo, reply: ReplyStatfs) {
        let used = (self.files().used() as u64).div_ceil(BLOCK.into());
        let free = BLOCKS.saturating_sub(used);
        reply.statfs(BLOCKS, free, free, 0, 1_000_000, BLOCK, 255, BLOCK);
    }
}
