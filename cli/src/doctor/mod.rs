//! `skep doctor`: checks this machine and its Swarm, and says what is wrong and how to fix it.

mod disk;
mod nats;

use std::{net::SocketAddr, path::Path};

use skep_bus::{Login, ServerUrls};
use tokio::net::TcpListener;

use crate::{
    args::{DoctorArgs, DoctorPart},
    failure::{Failure, Result},
    healthcheck,
    nats::login,
    output,
    swarm::{checks, engine::Engine, finding::Finding, inside, look},
    up,
};

/// A title, and what was found.
type Section = (&'static str, Vec<Finding>);

pub(crate) async fn run(args: DoctorArgs) -> Result<()> {
    let sections = match args.part {
        Some(DoctorPart::Disk) => vec![("The disk", disk::look(&args.data_dir).await)],
        Some(DoctorPart::Nats) => Box::pin(servers(&args)).await?.into_iter().collect(),
        None => Box::pin(all(&args)).await?,
    };
    if args.json {
        let findings: Vec<&Finding> = sections.iter().flat_map(|(_, findings)| findings).collect();
        output::line(serde_json::to_string(&findings).map_err(Failure::internal)?);
    } else {
        sections.iter().for_each(print);
    }
    match sections.iter().flat_map(|(_, findings)| findings).filter(|finding| finding.is_wrong()).count() {
        0 if args.json => Ok(()),
        0 => {
            output::line("\nNothing is wrong.");
            Ok(())
        }
        1 => Err(Failure::setting("one thing is wrong, see above")),
        count => Err(Failure::setting(format!("{count} things are wrong, see above"))),
    }
}

fn print((title, found): &Section) {
    output::line(format_args!("{title}:"));
    found.iter().for_each(Finding::print);
}

async fn all(args: &DoctorArgs) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    // A stack needs no programs of skep up.
    if !look::has_stack(&args.name).await {
        sections.push(("Programs for skep up", programs(args)));
    }
    sections.push(("The gateway", vec![gateway(args.listen).await]));
    sections.extend(servers(args).await?);
    if up::surroundings::DataDir::is_in_use(&args.data_dir) {
        sections.push(("The disk of skep up", disk::look(&args.data_dir).await));
    }
    sections.push(("Docker Swarm", swarm(&args.name).await));
    Ok(sections)
}

/// The NATS servers that are named, or that of a skep up that runs here.
async fn servers(args: &DoctorArgs) -> Result<Option<Section>> {
    let (servers, login): (ServerUrls, Option<Login>) = match &args.nats_url {
        Some(servers) => (servers.clone(), login(&args.login)?),
        None if up::surroundings::DataDir::is_in_use(&args.data_dir) => {
            let (servers, login) = up::users::of_running(&args.data_dir)?;
            (servers, Some(login))
        }
        None => return Ok(None),
    };
    let found = nats::look(&servers, login.as_ref(), &args.nats_monitor, &args.subject_prefix).await;
    Ok(Some(("NATS", found)))
}

fn programs(args: &DoctorArgs) -> Vec<Finding> {
    let nats = match crate::nats_program::find(args.nats_server.as_deref()) {
        Ok(program) => Finding::fine(format!("{} is new enough", program.display())),
        Err(failure) => Finding::note(failure.to_string()),
    };
    let mut findings = vec![nats];
    if !skep_https::trusts_somebody() {
        findings.push(Finding::note(skep_https::NOBODY_IS_TRUSTED));
    }
    match up::surroundings::find_watchdog(None) {
        Ok(found) => {
            findings.push(Finding::fine(format!("fwatchdog is {}", found.display())));
            findings.extend(sandbox(&found));
        }
        Err(failure) => findings.push(Finding::note(format!("{failure}"))),
    }
    findings
}

/// What this machine can do of the functions' sandbox, tried with the folder for temporary files.
fn sandbox(watchdog: &Path) -> Vec<Finding> {
    let folder = std::env::temp_dir();
    let gaps = up::surroundings::sandbox_gaps(watchdog, &folder.canonicalize().unwrap_or(folder));
    if gaps.is_empty() {
        return vec![Finding::fine("functions can be kept in a sandbox")];
    }
    gaps.into_iter().map(|gap| Finding::note(format!("a weaker sandbox: {gap}"))).collect()
}

/// Whether a gateway answers, or could listen.
async fn gateway(listen: SocketAddr) -> Finding {
    match healthcheck::ask(listen, "/healthz").await {
        Ok(()) => Finding::fine(format!("http://{listen} answers, and has NATS behind it")),
        Err(said) => match TcpListener::bind(listen).await {
            Ok(_) => Finding::note(format!("no gateway runs at http://{listen}, and the port is free")),
            Err(error) => Finding::wrong(
                format!("http://{listen} is not a healthy gateway: {said}; and no gateway could listen there: {error}"),
                "if it is skep, its log says what it waits for; if not, stop it or choose another port with --listen",
            ),
        },
    }
}

async fn swarm(stack: &str) -> Vec<Finding> {
    let asked = Engine::ask().await;
    let Ok(engine) = &asked else {
        let Finding::Wrong { what, fix } = checks::engine(&asked) else { return Vec::new() };
        return vec![Finding::note(format!("{what}; for a Swarm, {fix}"))];
    };
    let mut findings = vec![checks::engine(&asked)];
    match &engine.swarm {
        None => findings.push(Finding::note("Swarm is off; docker swarm init turns it on, skep up does not need it")),
        Some(swarm) if !swarm.is_manager => findings.push(checks::swarm(engine)),
        Some(_) => {
            findings.push(checks::swarm(engine));
            findings.push(checks::ipvs(engine));
            findings.push(checks::overlay(stack, false).await);
            findings.extend(look::at_stack(stack).await);
            findings.extend(inside::look(stack).await);
        }
    }
    if engine.is_local && !Path::new("/var/run/docker.sock").exists() {
        let fix = "the controller looks for it there: start the engine with -H unix:///var/run/docker.sock as well";
        findings.push(Finding::wrong("the engine's socket is not at /var/run/docker.sock", fix));
    }
    findings
}
