//! `skep doctor`: checks this machine and its Swarm, and says what is wrong and how to fix it.

use std::{net::SocketAddr, path::Path};

use tokio::net::TcpListener;

use crate::{
    args::DoctorArgs,
    failure::{Failure, Result},
    healthcheck, output,
    swarm::{
        checks,
        engine::Engine,
        finding::Finding,
        services::{self, Service},
    },
    up,
};

pub(crate) async fn run(args: DoctorArgs) -> Result<()> {
    let mut findings = Vec::new();
    section("Programs for skep up", programs(&args), &mut findings);
    section("The gateway", vec![gateway(args.listen).await], &mut findings);
    section("Docker Swarm", swarm(&args.name).await, &mut findings);
    match findings.iter().filter(|finding| finding.is_wrong()).count() {
        0 => {
            output::line("\nNothing is wrong.");
            Ok(())
        }
        1 => Err(Failure::setting("one thing is wrong, see above")),
        count => Err(Failure::setting(format!("{count} things are wrong, see above"))),
    }
}

fn section(title: &str, found: Vec<Finding>, findings: &mut Vec<Finding>) {
    output::line(format_args!("{title}:"));
    found.iter().for_each(Finding::print);
    findings.extend(found);
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
            Ok(_) => Finding::note(format!("none runs at http://{listen}, and the port is free")),
            Err(error) => Finding::wrong(
                format!("http://{listen} is no healthy gateway: {said}; and none could listen there: {error}"),
                "if it is skep, look into its log for what it waits for; if not, end it or choose another port with --listen",
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
            findings.extend(stack_services(stack).await);
        }
    }
    if engine.is_local && !Path::new("/var/run/docker.sock").exists() {
        let fix = "the controller looks for it there: start the engine with -H unix:///var/run/docker.sock as well";
        findings.push(Finding::wrong("the engine's socket is not at /var/run/docker.sock", fix));
    }
    findings
}

async fn stack_services(stack: &str) -> Vec<Finding> {
    let services = match services::of_stack(stack).await {
        Ok(services) => services,
        Err(error) => return vec![Finding::wrong(format!("the services cannot be listed: {error}"), "see above")],
    };
    if services.is_empty() {
        return vec![Finding::note(format!("there is no stack {stack}; skep swarm up deploys it"))];
    }
    let mut findings = Vec::new();
    for service in &services {
        findings.push(one_service(stack, service).await);
    }
    findings
}

async fn one_service(stack: &str, service: &Service) -> Finding {
    let Service { name, running, wanted } = service;
    if service.is_complete() {
        return Finding::fine(format!("{name} {running}/{wanted}"));
    }
    match services::newest_error(stack, name).await {
        Some(error) => {
            Finding::wrong(format!("{name} {running}/{wanted}: {error}"), services::advice(stack, name, &error))
        }
        None => Finding::wrong(
            format!("{name} {running}/{wanted}: it is starting, or not healthy yet"),
            format!("wait a little; docker service ps {stack}_{name} shows its tasks"),
        ),
    }
}
