//! Images that a deployment brings along: taken from this machine's engine, and sent to a gateway that keeps images.
//!
//! What an image consists of is named by its hash, so only what the gateway does not have is sent.

mod archive;
mod engine;
mod folder;
mod layer;
mod push;

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use ring::digest::{SHA256, digest};
use skep_protocol::{Digest, FunctionDeployment, ImageBlob, ImageManifest, ImageStore};

pub(super) use self::folder::Folder;
use self::{archive::Archive, engine::Workplace};
use super::api::Api;
use crate::failure::{Failure, Result};

/// An image, and where its parts are.
struct Image {
    function: String,
    digest: Digest,
    manifest: Vec<u8>,
    blobs: Vec<Part>,
}

/// A blob, and where it is.
struct Part {
    blob: ImageBlob,
    source: Source,
}

enum Source {
    Memory(Vec<u8>),
    File { path: PathBuf, offset: u64 },
}

/// The images of a deployment that are sent before it.
#[derive(Default)]
pub(super) struct Shipment {
    images: Vec<Image>,
    /// Their files are here.
    _workplace: Option<Workplace>,
}

impl Shipment {
    /// Takes the images that this machine's engine has, or that a folder makes, and has the functions name them as engines pull them.
    ///
    /// A name with a registry in it is left to the nodes, and so is every image where the gateway keeps none.
    pub(super) async fn prepare(
        api: &Api,
        functions: &mut [FunctionDeployment],
        folder: Option<&Folder>,
    ) -> Result<Self> {
        if folder.is_none() && !functions.iter().any(may_be_here) {
            return Ok(Self::default());
        }
        let store = match folder {
            Some(_) => Some(api.json(api.get(&["images"])).await?),
            None => store(api).await?,
        };
        let Some(store) = store else { return Ok(Self::default()) };
        let (mut images, workplace) = (Vec::new(), Workplace::create()?);
        for function in functions.iter_mut() {
            let image = match folder {
                Some(folder) => folder.image(function, &workplace).await?,
                None if may_be_here(function) && engine::has(&function.image).await => {
                    let file = workplace.save(&function.image).await?;
                    Image::of(function, Archive::open(file).await?)?
                }
                None => continue,
            };
            function.image = store.image(&function.service, &image.digest);
            images.push(image);
        }
        Ok(Self { images, _workplace: Some(workplace) })
    }

    /// Sends what the gateway does not have.
    pub(super) async fn send(&self, api: &Api) -> Result<()> {
        for image in &self.images {
            push::push(api, image).await?;
        }
        Ok(())
    }
}

/// How the gateway keeps images, if it does.
async fn store(api: &Api) -> Result<Option<ImageStore>> {
    match api.send_unless(api.get(&["images"]), StatusCode::NOT_FOUND).await? {
        Some(response) => api.read(response).await.map(Some),
        None => Ok(None),
    }
}

impl Image {
    fn of(function: &FunctionDeployment, archive: Archive) -> Result<Self> {
        let config = ImageBlob {
            media_type: ImageManifest::CONFIG_TYPE.to_owned(),
            digest: hash(&archive.config)?,
            size: archive.config.len() as u64,
        };
        let layers = archive.layers.iter().map(|layer| layer.blob.clone()).collect();
        let manifest = serde_json::to_vec(&ImageManifest::new(config.clone(), layers)).map_err(Failure::internal)?;
        let config = Part { blob: config, source: Source::Memory(archive.config) };
        let blobs = [config].into_iter().chain(archive.layers).collect();
        Ok(Self { function: function.service.clone(), digest: hash(&manifest)?, manifest, blobs })
    }
}

fn may_be_here(function: &FunctionDeployment) -> bool {
    !function.image.is_empty() && !has_registry(&function.image)
}

/// Whether the name of an image begins with a registry.
fn has_registry(image: &str) -> bool {
    image.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost")
}

fn hash(bytes: &[u8]) -> Result<Digest> {
    Digest::of_hash(digest(&SHA256, bytes).as_ref()).map_err(Failure::internal)
}

fn cannot_read(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::setting(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::has_registry;

    #[test]
    fn a_name_with_a_registry_begins_with_a_host() {
        for image in ["registry.lan/f:1", "localhost/f", "127.0.0.1:5757/f@sha256:0", "docker.io/library/f"] {
            assert!(has_registry(image), "{image}");
        }
        for image in ["f", "f:1", "hive/f:1.2", "sha256:0"] {
            assert!(!has_registry(image), "{image}");
        }
    }
}
