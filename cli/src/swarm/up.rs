//! `skep swarm up`: checks, a plan, the deployment, and waiting until all of it is healthy.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    checks,
    docker::docker,
    engine::{Engine, Membership},
    finding::Finding,
    services::{self, Service},
    stack::{self, failed},
};
use crate::{
    args::SwarmUpArgs,
    failure::{Failure, Result},
    healthcheck, output,
    password::USER,
};

const CHECK_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: SwarmUpArgs) -> Result<()> {
    let engine = check(&args).await?;
    // Without a Swarm there are no secrets yet.
    let missing = match &engine.swarm {
        Some(_) => stack::missing_secrets().await?,
        None => stack::SECRETS.to_vec(),
    };
    print_plan(&args, &missing);
    if args.dry_run {
        return Ok(());
    }
    let Some(swarm) = &engine.swarm else { return Err(Failure::setting("Swarm is off")) };
    let password = stack::create_secrets(&missing).await?;
    if let Some(password) = &password {
        output::line(format_args!("The password of {USER} is new, and is shown only here: {password}\n"));
    }
    stack::deploy(&args, &engine, swarm).await?;
    wait(&args).await?;
    let url = format!("http://{}:{}", swarm.address, args.port);
    say_what_is_next(&args, swarm, &url, password.as_deref()).await;
    Ok(())
}

/// Looks at everything before anything is changed, and says what it finds.
async fn check(args: &SwarmUpArgs) -> Result<Engine> {
    output::line("What is there:");
    let mut asked = Engine::ask().await;
    let mut changed = "nothing was changed";
    if args.init && !args.dry_run && asked.as_ref().is_ok_and(|engine| engine.swarm.is_none()) {
        docker(&["swarm", "init"]).await.map_err(failed)?;
        output::line("  ok     Swarm was off, and is on now");
        changed = "Swarm is on now (docker swarm leave --force turns it off), and nothing else was changed";
        asked = Engine::ask().await;
    }
    let mut findings = vec![checks::engine(&asked)];
    if let Ok(engine) = &asked {
        if args.init && engine.swarm.is_none() {
            findings.push(Finding::note("Swarm is off, and --init turns it on"));
            findings.push(checks::port(engine, &args.name, args.port).await);
            findings.push(checks::image(1, &args.image).await);
        } else {
            findings.push(checks::swarm(engine));
        }
        if let Some(swarm) = engine.swarm.as_ref().filter(|swarm| swarm.is_manager) {
            findings.push(checks::ipvs(engine));
            findings.push(checks::overlay(&args.name, args.encrypt_networks).await);
            findings.push(checks::port(engine, &args.name, args.port).await);
            findings.push(checks::image(swarm.nodes, &args.image).await);
            findings.push(gateways(args.gateways, swarm.nodes));
        }
    }
    findings.iter().for_each(Finding::print);
    match asked {
        Ok(engine) if !findings.iter().any(Finding::is_wrong) => Ok(engine),
        _ => Err(Failure::setting(format!("not everything is in place; {changed}"))),
    }
}

fn gateways(gateways: u32, nodes: u32) -> Finding {
    if gateways > nodes {
        let what = format!("{gateways} gateways are asked for on {}", checks::nodes(nodes));
        return Finding::wrong(
            what,
            "each has the port of its node, so --gateways must not be more than there are nodes",
        );
    }
    Finding::fine(format!("gateways on {gateways} of {}", checks::nodes(nodes)))
}

fn print_plan(args: &SwarmUpArgs, missing: &[&str]) {
    let name = &args.name;
    output::line("\nWhat is done:");
    for secret in missing {
        output::line(format_args!("  create the secret {secret}"));
    }
    output::line(format_args!("  deploy the stack {name} from {}:", args.image));
    output::line("    nats          1, with a volume, on a manager");
    output::line("    controller    1, on a manager, the only one with Docker's socket");
    output::line(format_args!("    gateway       {}, at port {} of their nodes", args.gateways, args.port));
    output::line(format_args!("    queue-worker  {}", args.workers));
    if !args.without_prometheus {
        output::line("    prometheus    1, and alertmanager 1: they scale functions by their calls");
    }
    output::line("  wait until all of it is healthy\n");
}

/// Shows what changes until every service has all its tasks.
async fn wait(args: &SwarmUpArgs) -> Result<()> {
    let deadline = Instant::now() + args.wait;
    let mut shown = BTreeMap::new();
    let mut told = BTreeMap::new();
    loop {
        let services = services::of_stack(&args.name).await.map_err(failed)?;
        let (complete, open): (Vec<&Service>, Vec<&Service>) = services.iter().partition(|one| one.is_complete());
        for service in &services {
            let state = format!("{}/{}", service.running, service.wanted);
            if shown.insert(service.name.clone(), state.clone()).as_ref() != Some(&state) {
                output::line(format_args!("  {:13} {state}", service.name));
            }
        }
        if open.is_empty() && !complete.is_empty() {
            return Ok(());
        }
        for service in &open {
            let Some(error) = services::newest_error(&args.name, &service.name).await else { continue };
            if told.insert(service.name.clone(), error.clone()).as_ref() != Some(&error) {
                let advice = services::advice(&args.name, &service.name, &error);
                output::line(format_args!("  {:13} {error}\n{:15} {advice}", service.name, ""));
            }
        }
        if Instant::now() > deadline {
            let names: Vec<&str> = open.iter().map(|service| service.name.as_str()).collect();
            let reason = format!("after {} s not healthy: {}; see skep doctor", args.wait.as_secs(), names.join(", "));
            return Err(Failure::internal(anyhow::Error::msg(reason)));
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

async fn say_what_is_next(args: &SwarmUpArgs, swarm: &Membership, url: &str, password: Option<&str>) {
    let name = &args.name;
    output::line(format_args!("\nskep {} is up on {}", skep_protocol::VERSION, checks::nodes(swarm.nodes)));
    output::line(format_args!("  gateway   {url}   user {USER}"));
    output::line(format_args!("  network   {name}_functions, for other stacks that call functions"));
    let address = format!("{}:{}", swarm.address, args.port).parse::<SocketAddr>();
    if let Ok(address) = address
        && let Err(failure) = healthcheck::ask(address, "/healthz").await
    {
        output::line(format_args!("  note      it does not answer from here: {failure}"));
    }
    let password = password.unwrap_or("$PASSWORD");
    output::line(format_args!(
        "\nNext, with an image that has fwatchdog in it (docs/swarm.md):\n  \
         curl -u {USER}:{password} -d '{{\"service\":\"hello\",\"image\":\"IMAGE\"}}' {url}/system/functions\n  \
         curl -d 'from the hive' {url}/function/hello\n\n\
         faas-cli works too: echo {password} | faas-cli login -g {url} --password-stdin\n\
         skep swarm down stops it, skep doctor tells what is wrong"
    ));
}
