//! What this machine's engine is asked for.

use std::{fs, os::unix::fs::DirBuilderExt, path::PathBuf, time::Duration};

use uuid::Uuid;

use crate::{
    failure::{Failure, Result},
    swarm::docker::{Refused, docker, docker_within},
};

/// A build may compile something large.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);
const SAVE_TIMEOUT: Duration = Duration::from_secs(600);

/// A folder for the files of images, which nobody else can read and which goes when it is dropped.
pub(super) struct Workplace(pub(super) PathBuf);

impl Workplace {
    pub(super) fn create() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("skep-deploy-{}", Uuid::new_v4().simple()));
        fs::DirBuilder::new().mode(0o700).create(&folder).map_err(Failure::internal)?;
        Ok(Self(folder))
    }

    pub(super) fn file(&self, ending: &str) -> PathBuf {
        self.0.join(format!("{}.{ending}", Uuid::new_v4().simple()))
    }

    /// Has the engine write an image into a file.
    pub(super) async fn save(&self, image: &str) -> Result<PathBuf> {
        let file = self.file("image");
        let path = file.to_string_lossy();
        docker_within(&["save", "--output", &path, image], SAVE_TIMEOUT).await.map_err(|refused| failed(&refused))?;
        Ok(file)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // It holds copies only.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether there is an engine, and it has the image.
pub(super) async fn has(image: &str) -> bool {
    docker(&["image", "inspect", "--format", "{{.Id}}", image]).await.is_ok()
}

/// Builds the Dockerfile of a folder; the image has this name afterwards.
pub(super) async fn build(folder: &str, name: &str) -> Result<()> {
    let build = docker_within(&["build", "--quiet", "--tag", name, folder], BUILD_TIMEOUT).await;
    build.map(|_| ()).map_err(|refused| failed(&refused))
}

fn failed(refused: &Refused) -> Failure {
    Failure::internal(anyhow::anyhow!("{refused}"))
}
