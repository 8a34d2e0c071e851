//! What must be in place before the stack is deployed.

use std::net::{Ipv4Addr, TcpListener};

use super::{
    docker::{Refused, docker},
    engine::{Engine, Membership, OLDEST_API},
    finding::Finding,
};

/// Whether there is an engine that is new enough; nothing else can be checked without.
pub(crate) fn engine(asked: &Result<Engine, Refused>) -> Finding {
    let engine = match asked {
        Ok(engine) => engine,
        Err(Refused(said)) => return Finding::wrong(format!("no Docker engine answers: {said}"), fix_of_engine(said)),
    };
    let found = format!("Docker {} with API {}", engine.version, engine.api);
    if engine.is_new_enough() {
        Finding::fine(found)
    } else {
        let (major, minor) = OLDEST_API;
        Finding::wrong(found, format!("skep needs API {major}.{minor} or newer, which is Docker 20.10; update Docker"))
    }
}

fn fix_of_engine(said: &str) -> &'static str {
    if said.contains("not on PATH") {
        "install Docker, its engine and its command line"
    } else if said.contains("permission denied") {
        "run this as a user of the group docker, or as root"
    } else {
        "start the engine (systemctl start docker), or name another one with DOCKER_HOST or docker context use"
    }
}

pub(crate) fn swarm(engine: &Engine) -> Finding {
    match &engine.swarm {
        None => Finding::wrong(
            "Swarm is off in this engine",
            "docker swarm init, or skep swarm up --init; with several addresses add --advertise-addr ADDRESS to the first",
        ),
        Some(Membership { is_manager: false, .. }) => Finding::wrong(
            "this node is a worker, and only a manager can deploy",
            "run this on a manager, or docker node promote this node there",
        ),
        Some(swarm) => Finding::fine(format!("Swarm of {}, {} of them managers", nodes(swarm.nodes), swarm.managers)),
    }
}

pub(crate) fn nodes(count: u32) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

pub(crate) fn ipvs(engine: &Engine) -> Finding {
    let port = "the gateway's port is one of its nodes' own, so it does not matter";
    match engine.has_ipvs() {
        Some(true) => Finding::note(format!("the kernel has IPVS; {port}")),
        Some(false) => Finding::note(format!("the kernel has no IPVS, so there is no routing mesh; {port}")),
        None => Finding::note(format!("whether that machine has IPVS is unknown; {port}")),
    }
}

/// Whether the functions' network is as it must be, or such a network can be made.
pub(crate) async fn overlay(stack: &str, encrypt: bool) -> Finding {
    let name = format!("{stack}_functions");
    let format = "{{.Driver}} {{.Attachable}} {{index .Labels \"openfaas\"}}\
                  {{range $name, $_ := .Options}}{{if eq $name \"encrypted\"}} encrypted{{end}}{{end}}";
    if let Ok(found) = docker(&["network", "inspect", "--format", format, &name]).await {
        let kind = found.strip_suffix(" encrypted");
        return if encrypt && kind.is_none() {
            let fix = format!("skep swarm down --name {stack}, then this again; volumes and secrets stay");
            Finding::wrong(format!("the network {name} is there already, and is not encrypted"), fix)
        } else if kind.unwrap_or(&found) == "overlay true true" {
            let encrypted = if kind.is_some() { "encrypted " } else { "" };
            Finding::fine(format!("the network {name} is an attachable {encrypted}overlay"))
        } else {
            let fix =
                format!("docker network rm {name}; it is made anew as an attachable overlay labelled openfaas=true");
            Finding::wrong(format!("there is a network {name} of another kind ({found})"), fix)
        };
    }
    let probe = format!("skep-probe-{}", std::process::id());
    let made = docker(&["network", "create", "--driver", "overlay", "--attachable", &probe]).await;
    match made {
        Ok(_) => {
            // It is named after this process, and nothing uses it.
            let _ = docker(&["network", "rm", &probe]).await;
            Finding::fine("attachable overlay networks can be made")
        }
        Err(Refused(said)) => Finding::wrong(
            format!("no attachable overlay network can be made: {said}"),
            "look into the log of the engine; the kernel must have VXLAN (modprobe vxlan)",
        ),
    }
}

/// Whether a port is free on this machine, which `setting` asks for. A service that runs already may have it.
pub(crate) async fn port(engine: &Engine, service: &str, port: u16, setting: &str) -> Finding {
    let published = "{{range .Spec.EndpointSpec.Ports}}{{.PublishedPort}} {{end}}";
    let published = docker(&["service", "inspect", "--format", published, service]).await.unwrap_or_default();
    if published.split(' ').any(|one| one.parse() == Ok(port)) {
        return Finding::fine(format!("port {port} is that of {service}, which runs already"));
    }
    if !engine.is_local {
        return Finding::note(format!("port {port} must be free on the nodes"));
    }
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => Finding::fine(format!("port {port} is free here")),
        Err(error) => Finding::wrong(
            format!("port {port} cannot be used here: {error}"),
            format!("end what listens there (ss -ltnp 'sport = :{port}'), or choose another with {setting}"),
        ),
    }
}

pub(crate) async fn image(nodes: u32, image: &str) -> Finding {
    let is_here = docker(&["image", "inspect", "--format", "{{.Id}}", image]).await.is_ok();
    let has_registry = image.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']));
    match (is_here, nodes) {
        (true, 1) => Finding::fine(format!("the image {image} is here")),
        (true, _) if has_registry => Finding::fine(format!("the image {image} is here, and other nodes pull it")),
        (true, _) => Finding::note(format!(
            "the image {image} is here; the other nodes need it too: load it there, or push it to a registry and name it with --image"
        )),
        (false, _) if has_registry => Finding::note(format!("the image {image} is pulled by each node that needs it")),
        (false, _) => Finding::wrong(
            format!("the image {image} is not in this engine"),
            "make images builds it, in a clone of the repository; or name one in a registry with --image",
        ),
    }
}
