//! `skep swarm up`: checks, a plan, the deployment, and waiting until all of it is healthy.

use std::net::SocketAddr;

use skep_protocol::without_credentials;

use super::{
    checks,
    docker::docker,
    engine::{Engine, Membership},
    finding::Finding,
    ha, mqtt, nodes, operator, roll, services,
    settings::{self, Now, Settings},
    stack::{self, failed},
};
use crate::{
    args::SwarmUpArgs,
    failure::{Failure, Result},
    healthcheck, output,
    password::USER,
};

pub(crate) async fn run(args: SwarmUpArgs) -> Result<()> {
    deploy(&Settings::of(&args).await).await
}

/// Deploys with these settings, and waits until that is done.
pub(super) async fn deploy(settings: &Settings) -> Result<()> {
    let engine = check(settings).await?;
    // Without a Swarm there are no secrets yet.
    let missing = match &engine.swarm {
        Some(_) => stack::missing_secrets(settings).await?,
        None => stack::secrets(settings),
    };
    print_plan(settings, &missing);
    if settings.now.dry_run {
        return Ok(());
    }
    let Some(swarm) = &engine.swarm else { return Err(Failure::setting("Swarm is off")) };
    let new = stack::create_secrets(&missing).await?;
    let passwords = [(USER, &new.people), ("admin at Grafana", &new.grafana), (mqtt::USER, &new.devices)];
    for (user, password) in passwords {
        if let Some(password) = password {
            output::line(format_args!("The password of {user} is new, and is shown only here: {password}\n"));
        }
    }
    if settings.ha {
        ha::place(settings).await.map_err(failed)?;
    }
    roll::roll(settings, &engine, swarm).await?;
    if let Some(file) = &settings.now.restore {
        output::line(format_args!("  restoring {}", file.display()));
        operator::restore(settings, file).await?;
        let now = Now { restore: None, without_roles: false, ..settings.now.clone() };
        roll::roll(&Settings { now, ..settings.clone() }, &engine, swarm).await?;
    }
    // The controller's service has them now.
    settings::forget(&settings.now.name).await;
    say_what_is_next(settings, swarm, new.people.as_deref()).await;
    Ok(())
}

/// Looks at everything before anything is changed, and says what it finds.
pub(super) async fn check(settings: &Settings) -> Result<Engine> {
    output::line("Found:");
    let mut asked = Engine::ask().await;
    let mut changed = "nothing was changed";
    if settings.now.init && !settings.now.dry_run && asked.as_ref().is_ok_and(|engine| engine.swarm.is_none()) {
        docker(&["swarm", "init"]).await.map_err(failed)?;
        output::line("  ok     Swarm was off, and is on now");
        changed = "Swarm is on now (docker swarm leave --force turns it off), and nothing else was changed";
        asked = Engine::ask().await;
    }
    let mut findings = vec![checks::engine(&asked)];
    if let Ok(engine) = &asked {
        if settings.now.init && engine.swarm.is_none() {
            findings.push(Finding::note("Swarm is off, and --init turns it on"));
            findings.extend(ports(engine, settings).await);
            findings.push(checks::image(1, &settings.image).await);
        } else {
            findings.push(checks::swarm(engine));
        }
        if let Some(swarm) = engine.swarm.as_ref().filter(|swarm| swarm.is_manager) {
            findings.push(checks::ipvs(engine));
            findings.push(checks::overlay(&settings.now.name, settings.now.encrypt_networks).await);
            findings.extend(ports(engine, settings).await);
            findings.push(checks::image(swarm.nodes, &settings.image).await);
            findings.push(gateways(settings.gateways, swarm.nodes));
            findings.extend(ha::check(settings).await.map_err(failed)?);
        }
    }
    findings.iter().for_each(Finding::print);
    match asked {
        Ok(engine) if !findings.iter().any(Finding::is_wrong) => Ok(engine),
        _ => Err(Failure::setting(format!("not everything is in place; {changed}"))),
    }
}

async fn ports(engine: &Engine, settings: &Settings) -> Vec<Finding> {
    let service = |service: &str| format!("{}_{service}", settings.now.name);
    let mut findings = vec![checks::port(engine, &service("gateway"), settings.port, "--port").await];
    if let Some(port) = settings.mqtt_port {
        findings.push(checks::port(engine, &service("nats"), port, "--mqtt-port").await);
    }
    if let Some(port) = settings.images_port {
        findings.push(checks::port(engine, &service("image-relay"), port, "--images-port").await);
    } else if settings.images_bytes.is_some() || settings.images_keep.is_some() {
        findings.push(Finding::note("--images-bytes and --images-keep say nothing without --images-port"));
    }
    if let Some(port) = settings.grafana_port {
        findings.push(checks::port(engine, &service("grafana"), port, "--grafana-port").await);
    }
    findings
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

fn print_plan(settings: &Settings, missing: &[String]) {
    let name = &settings.now.name;
    output::line("\nWhat is done:");
    for secret in missing {
        output::line(format_args!("  create the secret {secret}"));
    }
    output::line(format_args!("  deploy the stack {name} from {}:", settings.image));
    let mqtt = settings.mqtt_port.map(|port| format!(", and MQTT at port {port} of its node")).unwrap_or_default();
    if settings.ha {
        output::line("    nats          3, on three nodes, each with a volume");
        output::line("    controller    2, on managers, one of them waits; the only ones with Docker's socket");
    } else {
        output::line(format_args!("    nats          1, with a volume, on a manager{mqtt}"));
        output::line("    controller    1, on a manager, the only one with Docker's socket");
    }
    output::line(format_args!("    gateway       {}, at port {} of their nodes", settings.gateways, settings.port));
    output::line(format_args!("    queue-worker  {}", settings.workers));
    if let Some(port) = settings.images_port {
        output::line(format_args!(
            "    image-relay   1 on each node, at port {port}, where engines pull the images that skep keeps"
        ));
    }
    if settings.prometheus {
        output::line("    prometheus    1, and alertmanager 1: metrics, and alerts that scale functions");
    }
    if settings.grafana {
        let port = settings.grafana_port.map_or("no port".to_owned(), |port| format!("port {port} of its node"));
        output::line(format_args!("    grafana       1, with a volume, at {port}"));
    }
    if let Some(endpoint) = &settings.otlp_endpoint {
        let endpoint = without_credentials(endpoint.clone());
        output::line(format_args!("  have the roles send traces to {endpoint}"));
    }
    if let Some(file) = &settings.now.restore {
        output::line(format_args!("  restore {} before the roles start", file.display()));
    }
    output::line("  update one part after the other, and wait until all of it is healthy\n");
}

/// The address of a node that has a gateway: of this one, if it has.
async fn address_of_gateway(stack: &str, swarm: &Membership) -> String {
    let with_gateway = services::nodes_of(stack, "gateway").await.unwrap_or_default();
    let mut nodes = nodes::all().await.unwrap_or_default();
    nodes.retain(|node| node.is_ready && with_gateway.contains(&node.name));
    match nodes.first() {
        Some(first) if nodes.iter().all(|node| node.id != swarm.node) => first.address.clone(),
        _ => swarm.address.clone(),
    }
}

async fn say_what_is_next(settings: &Settings, swarm: &Membership, password: Option<&str>) {
    let name = &settings.now.name;
    let address = address_of_gateway(name, swarm).await;
    let url = format!("http://{address}:{}", settings.port);
    output::line(format_args!("\nskep {} is up on {}", skep_protocol::VERSION, checks::nodes(swarm.nodes)));
    output::line(format_args!("  gateway   {url}   user {USER}"));
    output::line(format_args!("  network   {name}_functions, for other stacks that call functions"));
    match settings.grafana_port {
        Some(port) => output::line(format_args!("  grafana   http://{}:{port}   user admin", swarm.address)),
        None if settings.grafana => output::line("  grafana   has no port; --grafana-port gives it one"),
        None => {}
    }
    if let Ok(address) = format!("{address}:{}", settings.port).parse::<SocketAddr>()
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
