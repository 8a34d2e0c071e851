//! Reads what `docker save` writes: engines before 25 an archive of their own, later ones an OCI layout too.
//!
//! Both have a `manifest.json`, which says where the configuration and the layers are.

use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    os::unix::fs::FileExt,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, anyhow};
use serde::Deserialize;
use skep_protocol::{Digest, ImageBlob, ImageManifest};

use super::{Part, Source, cannot_read};
use crate::failure::{Failure, Result};

const MANIFEST: &str = "manifest.json";
/// A manifest or a configuration is not longer, in bytes.
const MAX_TEXT: u64 = 8 * 1024 * 1024;
/// What compressed layers begin with, and how their media type ends.
const COMPRESSED: [(&[u8], &str); 2] = [(&[0x1f, 0x8b], "+gzip"), (&[0x28, 0xb5, 0x2f, 0xfd], "+zstd")];
/// Where an OCI layout has its blobs, by their hash.
const BLOBS: &str = "blobs/sha256/";

/// An image in a file.
pub(super) struct Archive {
    pub(super) config: Vec<u8>,
    pub(super) layers: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    config: String,
    layers: Vec<String>,
}

/// The part of a configuration that says which layers there are.
#[derive(Deserialize)]
struct Config {
    rootfs: Layers,
}

#[derive(Deserialize)]
struct Layers {
    diff_ids: Vec<Digest>,
}

/// Where in the archive a file is.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    size: u64,
}

impl Archive {
    pub(super) async fn open(path: PathBuf) -> Result<Self> {
        let read = tokio::task::spawn_blocking(move || {
            Self::read(&path).map_err(|error| cannot_read(&path, &format!("{error:#}")))
        });
        read.await.map_err(Failure::internal)?
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path)?;
        let places = places(&file)?;
        let text = |name: &str| read_text(&file, find(&places, name)?);
        let described: Vec<Described> = serde_json::from_slice(&text(MANIFEST)?).context(MANIFEST)?;
        let described = described.into_iter().next().ok_or_else(|| anyhow!("{MANIFEST} names no image"))?;
        let config = text(&described.config)?;
        let known: Config = serde_json::from_slice(&config).context("the configuration")?;
        let diff_ids = known.rootfs.diff_ids;
        if diff_ids.len() != described.layers.len() {
            return Err(anyhow!("{} layers are there, and {} are named", described.layers.len(), diff_ids.len()));
        }
        let layers = described.layers.iter().zip(diff_ids).map(|(name, diff_id)| {
            let place = find(&places, name)?;
            let source = Source::File { path: path.to_owned(), offset: place.offset };
            Ok(Part { blob: layer(&file, name, place, diff_id)?, source })
        });
        Ok(Self { config, layers: layers.collect::<anyhow::Result<_>>()? })
    }
}

/// A layer is named by the hash of what is in the archive; if that is not compressed, it is the one in the configuration.
fn layer(file: &File, name: &str, place: Place, diff_id: Digest) -> anyhow::Result<ImageBlob> {
    let mut beginning = [0; 4];
    let length = usize::try_from(place.size.min(4))?;
    file.read_exact_at(&mut beginning[..length], place.offset)?;
    let compressed = COMPRESSED.into_iter().find(|(magic, _)| beginning.starts_with(magic)).map(|(_, ending)| ending);
    let digest = match (compressed, name.strip_prefix(BLOBS)) {
        (None, _) => diff_id,
        (Some(_), Some(digits)) => format!("sha256:{digits}").parse()?,
        (Some(_), None) => return Err(anyhow!("layer {name} is compressed, and its hash is not known")),
    };
    let media_type = format!("{}{}", ImageManifest::LAYER_TYPE, compressed.unwrap_or_default());
    Ok(ImageBlob { media_type, digest, size: place.size })
}

/// Where each file is; layers that are the same may be links to one of them.
fn places(file: &File) -> anyhow::Result<HashMap<PathBuf, Place>> {
    let (mut places, mut links) = (HashMap::new(), Vec::new());
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        match entry.link_name()? {
            Some(link) if entry.header().entry_type().is_symlink() => {
                links.push((path.clone(), joined(path.parent().unwrap_or(Path::new("")), &link)));
            }
            Some(link) => links.push((path, link.into_owned())),
            None => drop(places.insert(path, Place { offset: entry.raw_file_position(), size: entry.size() })),
        }
    }
    for (path, link) in links {
        if let Some(place) = places.get(&link).copied() {
            places.insert(path, place);
        }
    }
    Ok(places)
}

/// A link as a path from the root of the archive.
fn joined(folder: &Path, link: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    for part in link.components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

fn find(places: &HashMap<PathBuf, Place>, name: &str) -> anyhow::Result<Place> {
    places.get(Path::new(name)).copied().ok_or_else(|| anyhow!("{name} is not in it"))
}

fn read_text(mut file: &File, place: Place) -> anyhow::Result<Vec<u8>> {
    if place.size > MAX_TEXT {
        return Err(anyhow!("a text in it has {} bytes", place.size));
    }
    let mut text = Vec::new();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(place.offset))?;
    file.take(place.size).read_to_end(&mut text)?;
    Ok(text)
}
