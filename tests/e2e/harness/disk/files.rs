//! Files in memory, each with what a disk would have of it if the power was cut now.
//!
//! It is as strict as the file systems that people use (ext4, xfs): the content of a file is on disk when that file was synced, and not before.
//! Names are kept in a journal: what was made, renamed or removed is on disk, in order, with the next sync of whatever file.
//! So a name may be there whose content is not.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    ops::Range,
};

use super::Fault;

pub(super) type Number = u64;
pub(super) const ROOT: Number = 1;

pub(super) struct Files {
    nodes: HashMap<Number, Node>,
    last_number: Number,
    pub(super) faults: Faults,
}

/// What is wrong with the disk.
#[derive(Default)]
pub(super) struct Faults {
    /// No more than this fits on it.
    pub(super) capacity: Option<usize>,
    pub(super) syncs_fail: bool,
}

pub(super) struct Node {
    pub(super) content: Content,
    /// Handles on it that are open.
    pub(super) opened: usize,
}

pub(super) enum Content {
    File(File),
    Folder(Folder),
}

#[derive(Default)]
pub(super) struct File {
    pub(super) now: Vec<u8>,
    on_disk: Vec<u8>,
    /// What differs.
    unsynced: Option<Range<usize>>,
}

#[derive(Default)]
pub(super) struct Folder {
    pub(super) now: BTreeMap<OsString, Number>,
    on_disk: BTreeMap<OsString, Number>,
}

impl Default for Files {
    fn default() -> Self {
        let root = Node { content: Content::Folder(Folder::default()), opened: 0 };
        Self { nodes: HashMap::from([(ROOT, root)]), last_number: ROOT, faults: Faults::default() }
    }
}

impl Files {
    pub(super) fn node(&mut self, number: Number) -> Result<&mut Node, Fault> {
        self.nodes.get_mut(&number).ok_or(Fault::NotFound)
    }

    fn file(&mut self, number: Number) -> Result<&mut File, Fault> {
        match &mut self.node(number)?.content {
            Content::File(file) => Ok(file),
            Content::Folder(_) => Err(Fault::IsFolder),
        }
    }

    pub(super) fn folder(&mut self, number: Number) -> Result<&mut Folder, Fault> {
        match &mut self.node(number)?.content {
            Content::Folder(folder) => Ok(folder),
            Content::File(_) => Err(Fault::IsNoFolder),
        }
    }

    pub(super) fn find(&mut self, parent: Number, name: &OsStr) -> Result<Number, Fault> {
        self.folder(parent)?.now.get(name).copied().ok_or(Fault::NotFound)
    }

    pub(super) fn make(&mut self, parent: Number, name: &OsStr, content: Content) -> Result<Number, Fault> {
        if self.find(parent, name).is_ok() {
            return Err(Fault::Exists);
        }
        self.check_room(1)?;
        self.last_number += 1;
        let number = self.last_number;
        self.folder(parent)?.now.insert(name.to_owned(), number);
        self.nodes.insert(number, Node { content, opened: 0 });
        Ok(number)
    }

    pub(super) fn remove(&mut self, parent: Number, name: &OsStr) -> Result<(), Fault> {
        let number = self.find(parent, name)?;
        if matches!(&self.node(number)?.content, Content::Folder(folder) if !folder.now.is_empty()) {
            return Err(Fault::NotEmpty);
        }
        self.folder(parent)?.now.remove(name);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr)) -> Result<(), Fault> {
        let number = self.find(from.0, from.1)?;
        self.folder(to.0)?.now.insert(to.1.to_owned(), number);
        if from != to {
            self.folder(from.0)?.now.remove(from.1);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, number: Number, offset: usize, data: &[u8]) -> Result<(), Fault> {
        let end = offset + data.len();
        let more = end.saturating_sub(self.file(number)?.now.len());
        self.check_room(more)?;
        let file = self.file(number)?;
        if file.now.len() < end {
            file.now.resize(end, 0);
        }
        file.now[offset..end].copy_from_slice(data);
        file.differs(offset.min(end - more)..end);
        Ok(())
    }

    pub(super) fn resize(&mut self, number: Number, size: usize) -> Result<(), Fault> {
        let more = size.saturating_sub(self.file(number)?.now.len());
        self.check_room(more)?;
        let file = self.file(number)?;
        let before = file.now.len();
        file.now.resize(size, 0);
        file.differs(before.min(size)..before.max(size));
        Ok(())
    }

    /// Brings a file and all names to the disk.
    pub(super) fn sync(&mut self, number: Number) -> Result<(), Fault> {
        if self.faults.syncs_fail {
            return Err(Fault::Broken);
        }
        if let Ok(file) = self.file(number)
            && let Some(range) = file.unsynced.take()
        {
            file.on_disk.resize(file.now.len(), 0);
            let range = range.start.min(file.now.len())..range.end.min(file.now.len());
            file.on_disk[range.clone()].copy_from_slice(&file.now[range]);
        }
        for node in self.nodes.values_mut() {
            if let Content::Folder(folder) = &mut node.content
                && folder.on_disk != folder.now
            {
                folder.on_disk = folder.now.clone();
            }
        }
        self.forget_removed();
        Ok(())
    }

    pub(super) fn sync_all(&mut self) {
        let numbers: Vec<Number> = self.nodes.keys().copied().collect();
        for number in numbers {
            self.sync(number).unwrap();
        }
    }

    /// The power is cut: all is as the disk has it.
    pub(super) fn cut(&mut self) {
        for node in self.nodes.values_mut() {
            node.opened = 0;
            match &mut node.content {
                Content::File(file) => {
                    file.now = file.on_disk.clone();
                    file.unsynced = None;
                }
                Content::Folder(folder) => folder.now = folder.on_disk.clone(),
            }
        }
        self.forget_removed();
    }

    pub(super) fn used(&self) -> usize {
        let size = |node: &Node| match &node.content {
            Content::File(file) => file.now.len(),
            Content::Folder(_) => 0,
        };
        self.nodes.values().map(size).sum()
    }

    fn check_room(&self, more: usize) -> Result<(), Fault> {
        match self.faults.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => Err(Fault::Full),
            Some(_) | None => Ok(()),
        }
    }

    /// Drops what no name stands for, now or on disk, and nobody has open.
    fn forget_removed(&mut self) {
        let mut named = vec![ROOT];
        let mut next = 0;
        while let Some(&number) = named.get(next) {
            next += 1;
            if let Some(Node { content: Content::Folder(folder), .. }) = self.nodes.get(&number) {
                named.extend(folder.now.values().chain(folder.on_disk.values()));
            }
        }
        let named: std::collections::HashSet<Number> = named.into_iter().collect();
        self.nodes.retain(|number, node| named.contains(number) || node.opened > 0);
    }
}

impl File {
    fn differs(&mut self, range: Range<usize>) {
        self.unsynced = Some(match self.unsynced.take() {
            Some(before) => before.start.min(range.start)..before.end.max(range.end),
            None => range,
        });
    }
}
