//! Images without a registry: sent by `skep deploy`, kept by skep, and pulled by each engine that needs them.

use std::{
    fs,
    io::{Seek, Write},
    path::Path,
    process::{Command, Stdio},
};

use http::Method;
use serde_json::json;

use super::one_command::skep;
use crate::harness::{FUNCTION, Gateway, Load, Relay, Swarm, answer_to, wait_until};

/// A Swarm whose platform keeps images, and whose other nodes have no image of functions.
struct Hive {
    swarm: Swarm,
    url: String,
    password: String,
    gateway: Gateway,
}

impl Hive {
    async fn start(nodes: u8) -> Self {
        let swarm = Swarm::start(nodes).await;
        swarm.make_images().await;
        for node in &swarm.nodes[1..] {
            node.docker(&["image", "rm", FUNCTION]).await;
        }
        let up = ["swarm", "up", "--without-prometheus", "--images-port", "5757", "--images-bytes", "1GiB"];
        let gateways = nodes.to_string();
        let (code, said) = skep(&swarm, &[&up[..], &["--gateways", &gateways]].concat()).await;
        assert_eq!(code, Some(0), "{said}");
        let password = said.split_once("shown only here: ").unwrap().1.lines().next().unwrap().to_owned();
        let url = format!("http://{}:8080", swarm.manager().address);
        let gateway = Gateway::new(url.clone()).with_credentials("admin", &password);
        Self { swarm, url, password, gateway }
    }

    /// Runs `skep deploy` beside the engine of the first node, as a user would; what it said.
    async fn deploy(&self, arguments: &[&str]) -> String {
        let (code, said) = self.try_deploy(arguments).await;
        assert_eq!(code, Some(0), "{said}");
        said
    }

    async fn try_deploy(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut deploy = self.deploy_command(arguments);
        let output = tokio::task::spawn_blocking(move || deploy.output().unwrap()).await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn deploy_command(&self, arguments: &[&str]) -> Command {
        self.deploy_command_at(&self.url, arguments)
    }

    fn deploy_command_at(&self, url: &str, arguments: &[&str]) -> Command {
        let login = ["--gateway", url, "--user", "admin", "--password-stdin"];
        let mut deploy: Command = self.swarm.manager().skep(&[&["deploy"], arguments, &login].concat());
        let mut password = tempfile::tempfile().unwrap();
        password.write_all(self.password.as_bytes()).unwrap();
        password.rewind().unwrap();
        deploy.stdin(password).stdout(Stdio::piped()).stderr(Stdio::piped()).env("DOCKER_BUILDKIT", "0");
        deploy
    }

    /// Builds an image on the first node.
    async fn build(&self, tag: &str, dockerfile: &str, files: &[(&str, &str)]) {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[files, &[("Dockerfile", dockerfile)]].concat());
        self.swarm.manager().docker(&["build", "--quiet", "--tag", tag, folder.path().to_str().unwrap()]).await;
    }

    async fn image(&self, function: &str) -> String {
        self.gateway.function(function).await.unwrap()["image"].as_str().unwrap().to_owned()
    }
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// The bytes that a deployment says it has sent.
fn sent(said: &str) -> u64 {
    let line = said.lines().find(|line| line.contains(" is sent: ")).unwrap_or_else(|| panic!("{said}"));
    line.split_once(" is sent: ").unwrap().1.split(' ').next().unwrap().parse().unwrap()
}

/// A Dockerfile of an image with a word in it.
fn with_word() -> String {
    format!("FROM {FUNCTION}\nCOPY word /word\n")
}

#[tokio::test]
async fn an_image_of_this_machine_is_deployed_without_a_registry_and_goes_when_nothing_needs_it() {
    let hive = Hive::start(1).await;
    let deploy = ["words", "--image", "hive/words:1", "--command", "cat /word"];
    hive.build("hive/words:1", &with_word(), &[("word", "one")]).await;
    let said = hive.deploy(&deploy).await;
    assert!(sent(&said) > 1_000_000, "{said}");
    let image = hive.image("words").await;
    assert!(image.starts_with("127.0.0.1:5757/words@sha256:"), "{image}");
    assert_eq!(hive.gateway.call("words", "").await.text(), "one");

    // Another image of the same base: only what is new travels.
    hive.build("hive/words:1", &with_word(), &[("word", "two")]).await;
    let said = hive.deploy(&deploy).await;
    assert!(sent(&said) < 20_000, "{said}");
    assert_eq!(hive.gateway.call("words", "").await.text(), "two");
    let said = hive.deploy(&deploy).await;
    assert!(said.contains("stays as it is") && said.contains("is there already"), "{said}");

    // The port takes no stranger.
    let port = Gateway::new(format!("http://{}:5757", hive.swarm.manager().address));
    answer_to(port.get("/v2/")).await.assert_refused(401);
    answer_to(port.get("/system/functions")).await.assert_refused(401);

    let manager = hive.swarm.manager();
    let (code, said) = skep(&hive.swarm, &["swarm", "up", "--images-keep", "4s"]).await;
    assert_eq!(code, Some(0), "{said}");
    let environment = "{{.Spec.TaskTemplate.ContainerSpec.Env}}";
    for (service, setting) in [("gateway", "SKEP_IMAGES_BYTES=1GiB"), ("controller", "SKEP_IMAGES_KEEP=4s")] {
        let inspect = ["service", "inspect", "--format", environment, &format!("skep_{service}")];
        assert!(manager.docker(&inspect).await.contains(setting), "{service}");
    }
    wait_until("the controller is another one", async || hive.swarm.unhealthy().await.is_empty()).await;
    let bytes = async || answer_to(hive.gateway.get("/system/images")).await.json()["bytes"].as_u64();
    let before = bytes().await.unwrap();
    assert!(before > 1_000_000);
    hive.gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "words" })).await;
    wait_until("the images are gone", async || bytes().await == Some(0)).await;
}

#[tokio::test]
async fn an_upload_that_was_killed_goes_on_where_it_ended() {
    let hive = Hive::start(1).await;
    let manager = hive.swarm.manager();
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..96 << 20).map(|_| fastrand::u8(..)).collect();
    fs::write(folder.path().join("large"), &large).unwrap();
    fs::write(folder.path().join("Dockerfile"), format!("FROM {FUNCTION}\nCOPY large /large\n")).unwrap();
    manager.docker(&["build", "--quiet", "--tag", "hive/large:1", folder.path().to_str().unwrap()]).await;
    let layers = ["image", "inspect", "--format", "{{index .RootFS.Layers 1}}", "hive/large:1"];
    let layer = manager.docker(&layers).await;

    let deploy = ["large", "--image", "hive/large:1", "--command", "wc -c /large"];
    // It goes through this process, so while this one is held up, no more of it arrives.
    let relay = Relay::start((manager.address, 8080).into()).await;
    let mut first = hive.deploy_command_at(&format!("http://{}", relay.address), &deploy).spawn().unwrap();
    let pieces = async || {
        let answer = answer_to(hive.gateway.get(&format!("/system/images/blobs/{layer}"))).await;
        answer.json()["pieces"].as_array().map_or(0, Vec::len)
    };
    wait_until("some of the layer is there", async || pieces().await > 10).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let there = pieces().await;
    assert!(there < 190, "{there} pieces of 193");
    let said = hive.deploy(&deploy).await;
    assert!(sent(&said) < (large.len() - there * 400_000) as u64, "{there} pieces were there: {said}");
    let counted = hive.gateway.call("large", "").await.text();
    assert!(counted.starts_with(&large.len().to_string()), "{counted}");
}

#[tokio::test]
async fn a_folder_becomes_an_image() {
    let hive = Hive::start(1).await;
    let folder = tempfile::tempdir().unwrap();
    let [built, layered, copy] = ["built", "layered", "copy/layered"].map(|name| folder.path().join(name));
    for folder in [&built, &layered, &copy] {
        fs::create_dir_all(folder).unwrap();
    }
    write(&built, &[("Dockerfile", &format!("{}ENV fprocess=\"cat /word\"\n", with_word())), ("word", "built")]);
    hive.deploy(&[built.to_str().unwrap()]).await;
    assert_eq!(hive.gateway.call("built", "").await.text(), "built");

    let files = [("greet.sh", "cat word; id -u"), ("word", "layered ")];
    write(&layered, &files);
    let deploy = async |folder: &Path| {
        hive.deploy(&[folder.to_str().unwrap(), "--image", FUNCTION, "--command", "sh greet.sh"]).await
    };
    let said = deploy(&layered).await;
    assert!(sent(&said) < 20_000, "the base is there: {said}");
    assert!(hive.gateway.call("layered", "").await.text().starts_with("layered "));
    let image = hive.image("layered").await;
    write(&copy, &files);
    let said = deploy(&copy).await;
    assert!(said.contains("stays as it is"), "{said}");
    assert_eq!(hive.image("layered").await, image);

    let (code, said) = hive.try_deploy(&[layered.to_str().unwrap(), "--command", "cat"]).await;
    assert!(code == Some(2) && said.contains("has no Dockerfile"), "{said}");
    let (code, said) = hive.try_deploy(&[layered.to_str().unwrap(), "--image", FUNCTION]).await;
    assert!(code == Some(2) && said.contains("--command"), "{said}");
}

#[tokio::test]
async fn each_node_pulls_what_it_needs_and_a_node_that_joins_later_too() {
    let mut hive = Hive::start(3).await;
    let deploy = ["words", "--image", "hive/words:1", "--command", "cat", "--label", "com.openfaas.scale.min=3"];
    hive.build("hive/words:1", &with_word(), &[("word", "0")]).await;
    hive.deploy(&deploy).await;
    for node in &hive.swarm.nodes {
        let images = node.docker(&["image", "ls", "--format", "{{.Repository}}"]).await;
        assert!(images.contains("127.0.0.1:5757/words"), "{}: {images}", node.name);
    }
    let gateways = hive.swarm.nodes.iter().map(|node| format!("http://{}:8080", node.address));
    let gateways: Vec<_> = gateways.map(Gateway::new).collect();
    let load = Load::start(&gateways, "words");
    for edit in 1..=6 {
        hive.build("hive/words:1", &with_word(), &[("word", &edit.to_string())]).await;
        let began = std::time::Instant::now();
        let said = hive.deploy(&deploy).await;
        eprintln!(
            "edit {edit}: live on three nodes after {:.1} s, {} bytes sent",
            began.elapsed().as_secs_f64(),
            sent(&said)
        );
        assert!(sent(&said) < 20_000, "{said}");
    }
    let tally = load.stop().await;
    eprintln!("{} calls were answered meanwhile", tally.answered);
    assert_eq!(tally.failed, Vec::<String>::new());

    hive.swarm.add_worker_with(4, "skep/skep:latest").await;
    // Its relay may start after the replica, which is tried again then.
    hive.gateway.scale("words", 4).await;
    hive.gateway.wait_for_replicas("words", 4).await;
    let images = hive.swarm.nodes[3].docker(&["image", "ls", "--format", "{{.Repository}}"]).await;
    assert!(images.contains("127.0.0.1:5757/words"), "{images}");
}
