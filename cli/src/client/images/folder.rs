//! A folder that becomes an image: by its Dockerfile, or as one layer on an image that is there.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skep_protocol::{Digest, FunctionDeployment};

use super::{Image, archive::Archive, cannot_read, engine, engine::Workplace, layer};
use crate::failure::{Failure, Result};

const DOCKERFILE: &str = "Dockerfile";
/// Layers have no time, so that the same files are the same image.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// What `skep deploy ./folder` deploys.
pub(crate) struct Folder {
    path: PathBuf,
    /// The image that the folder comes on top of; none if its Dockerfile says.
    base: Option<String>,
}

impl Folder {
    /// The folder that an argument names, if it is a path and no name.
    pub(crate) fn of(argument: &str) -> Option<PathBuf> {
        let is_path = argument.contains('/') || argument.starts_with('.');
        is_path.then(|| PathBuf::from(argument))
    }

    /// Checks that something can be made of it.
    pub(crate) fn new(path: &Path, base: Option<String>, has_command: bool) -> Result<Self> {
        let path = path.canonicalize().map_err(|error| cannot_read(path, &error))?;
        if !path.is_dir() {
            return Err(cannot_read(&path, &"it is no folder"));
        }
        if base.is_none() && !path.join(DOCKERFILE).is_file() {
            let reason =
                format!("{} has no {DOCKERFILE}, so name the image that the folder comes on top of", path.display());
            return Err(Failure::setting(format!("--image: {reason}")));
        }
        if base.is_some() && !has_command {
            return Err(Failure::setting("--command: say what the function runs in its folder"));
        }
        Ok(Self { path, base })
    }

    /// The function's name, if none is given: that of the folder.
    pub(crate) fn name(&self) -> Result<String> {
        let name = self.path.file_name().and_then(|name| name.to_str()).map(str::to_ascii_lowercase);
        name.ok_or_else(|| cannot_read(&self.path, &"its name names no function"))
    }

    pub(super) async fn image(&self, function: &FunctionDeployment, workplace: &Workplace) -> Result<Image> {
        let Some(base) = &self.base else {
            let name = format!("skep-deploy/{}:latest", function.service.to_ascii_lowercase());
            engine::build(&self.path.to_string_lossy(), &name).await?;
            return Image::of(function, Archive::open(workplace.save(&name).await?).await?);
        };
        let mut archive = Archive::open(workplace.save(base).await?).await?;
        let (folder, file) = (self.path.clone(), workplace.file("layer"));
        let added =
            tokio::task::spawn_blocking(move || layer::write(&folder, file)).await.map_err(Failure::internal)?;
        let added = added.map_err(|error| cannot_read(&self.path, &format!("{error:#}")))?;
        archive.config = with_layer(&archive.config, &added.blob.digest)
            .ok_or_else(|| Failure::setting(format!("the configuration of image {base} cannot be read")))?;
        archive.layers.push(added);
        Image::of(function, archive)
    }
}

/// A configuration with one more layer, in which the function runs.
fn with_layer(config: &[u8], layer: &Digest) -> Option<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(config).ok()?;
    config.pointer_mut("/rootfs/diff_ids")?.as_array_mut()?.push(json!(layer));
    if let Some(history) = config.get_mut("history").and_then(Value::as_array_mut) {
        history.push(json!({ "created": NO_TIME, "created_by": "skep deploy" }));
    }
    let of_containers = config.as_object_mut()?.entry("config").or_insert_with(|| json!({}));
    of_containers.as_object_mut()?.insert("WorkingDir".to_owned(), json!(format!("/{}", layer::PLACE)));
    serde_json::to_vec(&config).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_slash_or_begins_with_a_dot() {
        for path in ["./upper", "../upper", ".", "/srv/upper", "functions/upper"] {
            assert!(Folder::of(path).is_some(), "{path}");
        }
        for name in ["upper", "upper.dev", "upper-2"] {
            assert!(Folder::of(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_layer_is_added_to_what_the_base_says() {
        let digest = Digest::of_hash(&[1; 32]).unwrap();
        let base = json!({ "os": "linux", "config": { "Cmd": ["fwatchdog"] }, "rootfs": { "diff_ids": ["a"] }, "history": [] });
        let made = with_layer(base.to_string().as_bytes(), &digest).unwrap();
        assert_eq!(made, with_layer(base.to_string().as_bytes(), &digest).unwrap());
        let made: Value = serde_json::from_slice(&made).unwrap();
        assert_eq!(made["rootfs"]["diff_ids"], json!(["a", digest]));
        assert_eq!(made["config"], json!({ "Cmd": ["fwatchdog"], "WorkingDir": "/function" }));
        assert_eq!(made["history"].as_array().unwrap().len(), 1);
        assert!(with_layer(b"{}", &digest).is_none());
    }
}
