//! A folder as one layer of an image: the same files make the same bytes, on any machine and at any time.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use ignore::{DirEntry, WalkBuilder};
use ring::digest::{Context as Hash, SHA256};
use skep_protocol::{Digest, ImageBlob, ImageManifest};
use tar::{Builder, EntryType, Header};

use super::{Part, Source};

/// Where the files are in the image.
pub(super) const PLACE: &str = "function";
/// What is left out, with the rules of a `.gitignore`.
const IGNORED: &str = ".dockerignore";
const REPOSITORY: &str = ".git";
/// Who may do what with a file, all of which belong to root.
const READABLE: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;

/// Writes a folder into a file, as a layer.
pub(super) fn write(folder: &Path, file: PathBuf) -> anyhow::Result<Part> {
    let mut layer = Builder::new(Hashed::new(BufWriter::new(File::create_new(&file)?)));
    for entry in entries(folder) {
        let entry = entry?;
        append(&mut layer, folder, &entry).with_context(|| entry.path().display().to_string())?;
    }
    let mut hashed = layer.into_inner()?;
    hashed.flush()?;
    let digest = Digest::of_hash(hashed.hash.finish().as_ref())?;
    let blob = ImageBlob { media_type: ImageManifest::LAYER_TYPE.to_owned(), digest, size: hashed.length };
    Ok(Part { blob, source: Source::File { path: file, offset: 0 } })
}

/// The folder and all that is in it, in an order that depends on the names alone.
fn entries(folder: &Path) -> impl Iterator<Item = Result<DirEntry, ignore::Error>> {
    let mut walk = WalkBuilder::new(folder);
    walk.standard_filters(false).add_custom_ignore_filename(IGNORED).sort_by_file_name(OsStr::cmp);
    walk.filter_entry(|entry| entry.file_name() != REPOSITORY && entry.file_name() != IGNORED).build()
}

fn append(layer: &mut Builder<impl Write>, folder: &Path, entry: &DirEntry) -> anyhow::Result<()> {
    let path = entry.path();
    let place = Path::new(PLACE).join(path.strip_prefix(folder)?);
    let metadata = fs::symlink_metadata(path)?;
    if entry.depth() == 0 || metadata.is_dir() {
        layer.append_data(&mut header(EntryType::Directory, EXECUTABLE, 0), place.join(""), io::empty())?;
    } else if metadata.is_symlink() {
        layer.append_link(&mut header(EntryType::Symlink, 0o777, 0), place, fs::read_link(path)?)?;
    } else if metadata.is_file() {
        let mode = if metadata.permissions().mode() & 0o111 == 0 { READABLE } else { EXECUTABLE };
        layer.append_data(&mut header(EntryType::Regular, mode, metadata.len()), place, File::open(path)?)?;
    } else {
        anyhow::bail!("only files, folders and links can be in an image");
    }
    Ok(())
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// Hashes and counts what is written.
struct Hashed<W> {
    inner: W,
    hash: Hash,
    length: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Hash::new(&SHA256), length: 0 }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_are_the_same_layer_at_any_time_and_others_another() {
        let made = [("a", "one"), ("a", "one"), ("b", "two")].map(|(order, text)| {
            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
            let names = ["main.py", "data/words", "run.sh"];
            fs::create_dir(folder.path().join("data")).unwrap();
            fs::create_dir_all(folder.path().join(".git/objects")).unwrap();
            if order == "a" {
                names.iter().for_each(|name| write(name, text));
            } else {
                names.iter().rev().for_each(|name| write(name, text));
            }
            write(".dockerignore", "*.log\n");
            write("x.log", order);
            fs::set_permissions(folder.path().join("run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::symlink("main.py", folder.path().join("index.py")).unwrap();
            let place = tempfile::tempdir().unwrap();
            let file = place.path().join("layer");
            let part = super::write(folder.path(), file.clone()).unwrap();
            let mut archive = tar::Archive::new(File::open(file).unwrap());
            let entries = archive.entries().unwrap().map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (0, 0));
                format!("{} {:o}", entry.path().unwrap().display(), header.mode().unwrap())
            });
            (part.blob.digest, entries.collect::<Vec<_>>())
        });
        assert_eq!(made[0], made[1]);
        assert_ne!(made[0].0, made[2].0);
        let expected = [
            "function/ 755",
            "function/data/ 755",
            "function/data/words 644",
            "function/index.py 777",
            "function/main.py 644",
            "function/run.sh 755",
        ];
        assert_eq!(made[0].1, expected);
    }
}
