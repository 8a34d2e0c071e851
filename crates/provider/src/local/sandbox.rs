//! What a function may access on the machine: the sandbox that its watchdog enters.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use skep_protocol::{FunctionDeployment, FunctionName, WORKDIR};

use crate::{Error, Result};

use super::{ProviderContext, make_folder};

/// A replica's folder for temporary files, for as long as it runs.
pub(super) struct Sandbox {
    pub(super) temporary: PathBuf,
    hidden: PathBuf,
    secrets: PathBuf,
}

impl Sandbox {
    /// Makes the folder for temporary files; `None` if the function runs without a sandbox.
    pub(super) fn prepare(
        context: &ProviderContext,
        name: &FunctionName,
        deployment: &FunctionDeployment,
        instance: &str,
    ) -> Result<Option<Self>> {
        if !is_wanted(context, deployment) {
            return Ok(None);
        }
        let temporary = context.own_folder(name).join("tmp").join(instance);
        Self::at(context, temporary, context.secrets_folder(name)).map(Some)
    }

    /// Makes this folder for temporary files.
    pub(super) fn at(context: &ProviderContext, temporary: PathBuf, secrets: PathBuf) -> Result<Self> {
        // Of a replica that was killed with skep.
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("empty", temporary)(error)),
            Ok(()) | Err(_) => make_folder(&temporary)?,
        }
        Ok(Self { temporary, hidden: context.config.data_dir.clone(), secrets })
    }

    /// The arguments for the watchdog, which finds its working folder and TMPDIR by itself.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let option = |name: &str, path: &Path| [name.into(), path.as_os_str().to_owned()];
        let options = [option("--hidden", &self.hidden), option("--readable", &self.secrets)];
        [OsString::from("--sandbox")].into_iter().chain(options.into_iter().flatten()).collect()
    }
}

/// Refuses a working folder among the files that the sandbox hides.
pub(super) fn check(
    context: &ProviderContext,
    name: &FunctionName,
    deployment: &FunctionDeployment,
    workdir: &Path,
) -> Result<()> {
    if !is_wanted(context, deployment) || !deployment.annotations.contains_key(WORKDIR) {
        return Ok(());
    }
    let found = workdir.canonicalize().map_err(Error::io("open", workdir))?;
    let data_dir = &context.config.data_dir;
    if found.starts_with(data_dir) && !found.starts_with(context.own_folder(&name.without_canary()).join("work")) {
        return Err(Error::Invalid(format!(
            "function {name}: annotation {WORKDIR} {} is in the data folder of skep, {}; choose another folder",
            workdir.display(),
            data_dir.display()
        )));
    }
    Ok(())
}

fn is_wanted(context: &ProviderContext, deployment: &FunctionDeployment) -> bool {
    context.config.sandbox && context.policy(deployment).sandbox
}
