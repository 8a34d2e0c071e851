//! `skep swarm backup`, and the restore within `skep swarm up --restore`: a container of skep's image does it on this node, on the network of NATS and with a user of its own there, for as long as it takes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    docker::{docker, docker_with_errors},
    engine::Engine,
    logins,
    settings::Settings,
    stack::{SEAL_KEY, failed},
};
use crate::{
    args::SwarmBackupArgs,
    failure::{Failure, Result},
    output,
};

const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// More than any disk needs.
const MAX_TIME: Duration = Duration::from_secs(6 * 3600);
/// Where the folder of the file is in the container.
const FOLDER: &str = "/backup";
/// The commands of skep that run there.
const BACKUP: &str = "backup";
const RESTORE: &str = "restore";
/// The servers of a stack.
const ONE: &str = "nats://nats:4222";
const THREE: &str = "nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222";
/// Where the command finds the key that the roles open secrets of sources with.
const SEAL_KEY_FLAG: &str = "--seal-key-file";
/// A container that runs once.
const CREATE: &str = "service create --detach --no-resolve-image --mode=replicated-job --restart-condition=none \
                      --read-only --cap-drop=ALL --no-healthcheck";

/// `skep swarm backup`.
pub(crate) async fn backup(args: SwarmBackupArgs) -> Result<()> {
    let Some(settings) = Settings::of_stack(&args.name).await else {
        return Err(Failure::setting(format!("there is no stack {} of skep swarm up", args.name)));
    };
    if args.file.exists() {
        return Err(Failure::setting(format!("{} exists already; choose another name", args.file.display())));
    }
    run(&args.name, &settings, BACKUP, &args.file).await?;
    output::line(
        "Secrets of functions are in Swarm and not in the file; those of sources are sealed with the secret skep-seal-key.",
    );
    Ok(())
}

/// Restores a file into the NATS servers of a stack whose roles do not run.
pub(super) async fn restore(settings: &Settings, file: &Path) -> Result<()> {
    run(&settings.now.name, settings, RESTORE, file).await
}

async fn run(stack: &str, settings: &Settings, verb: &str, file: &Path) -> Result<()> {
    let engine = Engine::ask().await.map_err(failed)?;
    let Some(swarm) = engine.swarm.as_ref().filter(|_| engine.is_local) else {
        return Err(Failure::setting(
            "the file is written by the engine of this machine, so that must be a manager of the Swarm",
        ));
    };
    let (folder, name) = place(file)?;
    let service = format!("{stack}_operator");
    let mut create: Vec<String> = CREATE.split(' ').map(str::to_owned).collect();
    create.extend([
        format!("--name={service}"),
        format!("--network={stack}_platform"),
        format!("--constraint=node.id == {}", swarm.node),
        format!("--mount=type=bind,source={},target={FOLDER}", folder.display()),
    ]);
    create.extend(command(settings, verb, &name));
    let create: Vec<&str> = create.iter().map(String::as_str).collect();
    // What an earlier run that was killed has left.
    let _ = docker(&["service", "rm", &service]).await;
    docker(&create).await.map_err(failed)?;
    let ended = wait(&service).await;
    let said = docker_with_errors(&["service", "logs", "--raw", &service]).await.unwrap_or_default();
    docker(&["service", "rm", &service]).await.map_err(failed)?;
    remove_containers(&service).await;
    // The caller knows the file and the key by other names.
    let said = said.replace(&format!("{FOLDER}/{name}"), &file.display().to_string());
    let said = said.replace(&format!("{SEAL_KEY_FLAG} (SKEP_SEAL_KEY_FILE)"), &format!("the secret {SEAL_KEY}"));
    match ended? {
        None => {
            output::line(said);
            Ok(())
        }
        Some(error) if said.is_empty() => Err(Failure::setting(error)),
        // Its last line says why.
        Some(_) => {
            let last = said.lines().last().unwrap_or_default();
            Err(Failure::setting(last.strip_prefix("skep: ").unwrap_or(last).to_owned()))
        }
    }
}

/// The command of the container, after its user and the secrets that it reads.
fn command(settings: &Settings, verb: &str, name: &str) -> Vec<String> {
    // The file is for the caller alone, who need not be the user of the image.
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let give = |secret: &str| format!("--secret=source={secret},uid={user},mode=0400");
    let login = logins::secret("operator", settings.login);
    let mut options = vec![format!("--user={user}:{group}"), give(&login)];
    let mut command = vec![
        settings.image.clone(),
        verb.to_owned(),
        format!("{FOLDER}/{name}"),
        format!("--nats-url={}", if settings.ha { THREE } else { ONE }),
        format!("--nats-user-password-file=/run/secrets/{login}"),
    ];
    if !settings.now.without_secrets {
        options.push(give(SEAL_KEY));
        command.push(format!("{SEAL_KEY_FLAG}=/run/secrets/{SEAL_KEY}"));
    }
    if verb == RESTORE {
        command.push(format!("--nats-replicas={}", if settings.ha { 3 } else { 1 }));
    }
    options.extend(command);
    options
}

/// Swarm keeps the containers of a job that has ended, even without its service.
async fn remove_containers(service: &str) {
    let of_service = format!("label=com.docker.swarm.service.name={service}");
    let ended = ["ps", "--all", "--quiet", "--filter", "status=exited", "--filter", &of_service];
    for container in docker(&ended).await.unwrap_or_default().lines() {
        // It does no harm.
        let _ = docker(&["rm", container]).await;
    }
}

/// The folder of a file, and its name there.
fn place(file: &Path) -> Result<(PathBuf, String)> {
    let bad = |reason: &str| Failure::setting(format!("{}: {reason}", file.display()));
    let name = file.file_name().and_then(|name| name.to_str()).ok_or_else(|| bad("is no name of a file"))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).map_err(|error| bad(&error.to_string()))?;
    Ok((folder, name.to_owned()))
}

/// Waits for its end; returns why that was a bad one, in the words of Docker.
async fn wait(service: &str) -> Result<Option<String>> {
    let deadline = Instant::now() + MAX_TIME;
    while Instant::now() < deadline {
        let tasks = docker(&["service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", service]).await;
        let task = tasks.map_err(failed)?;
        match task.split(' ').next() {
            Some("Complete") => return Ok(None),
            Some("Failed" | "Rejected") => return Ok(Some(task)),
            Some(_) | None => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
    Err(Failure::internal(anyhow::Error::msg(format!("it did not end within {} h", MAX_TIME.as_secs() / 3600))))
}
