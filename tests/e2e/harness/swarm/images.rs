//! Images without a registry: FROM scratch, of what cargo built and of programs of this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use super::{
    super::programs::{NATS_SERVER, SKEP, repository, variable},
    Node, Swarm,
};

/// A function image: fwatchdog, and programs for `fprocess`.
pub(crate) const FUNCTION: &str = "skep-test/function:latest";

/// The images that the stack file names.
const PLATFORM: &str = "skep/skep:latest";
const NATS: &str = "nats:2.15.1-alpine";
const PROMETHEUS: &str = "prom/prometheus:v3.5.0";
const ALERTMANAGER: &str = "prom/alertmanager:v0.28.1";

/// What functions run; by these names in `/bin`.
const PROGRAMS: [&str; 12] =
    ["cat", "env", "false", "head", "hostname", "id", "ls", "sh", "sha256sum", "sleep", "touch", "wc"];

/// The watchdog as users copy it into their images.
static STATIC_WATCHDOG: LazyLock<PathBuf> = LazyLock::new(|| match variable("SKEP_TEST_STATIC_WATCHDOG") {
    Some(given) => given.into(),
    None => run(Command::new("sh").arg(repository().join("scripts/static-watchdog.sh")).arg("dev")).into(),
});

/// Programs of others, which are fetched once. That needs the machine's network, so it is done before a Swarm is started.
pub(crate) struct Others(PathBuf);

impl Others {
    pub(crate) fn fetch() -> Self {
        Self(run(Command::new("sh").arg(repository().join("tests/programs.sh"))).into())
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Swarm {
    /// Makes the images of the stack file, but for Prometheus and Alertmanager, and of functions, on all nodes.
    pub(crate) async fn make_images(&self) {
        let folder = tempfile::tempdir_in(&self.world.folder).unwrap();
        let programs = PROGRAMS.map(|name| format!("{}:/bin/{name}", on_path(name).display()));
        let watchdog = format!("{}:/usr/bin/fwatchdog", STATIC_WATCHDOG.display());
        let function = folder.path().join("function");
        fill(&function.join("image"), programs.into_iter().chain([watchdog]));
        self.build(FUNCTION, &function, "FROM scratch\nCOPY image /\nCMD [\"fwatchdog\"]\n").await;

        self.make_platform_image(PLATFORM, &SKEP).await;

        let nats = folder.path().join("nats");
        // As in the image of Alpine, wget is there for the health check.
        let wget = format!("{}:/usr/bin/wget", on_path("wget").display());
        fill(&nats.join("image"), [format!("{}:/usr/local/bin/nats-server", NATS_SERVER.display()), wget]);
        self.build(NATS, &nats, "FROM scratch\nCOPY image /\nCMD [\"nats-server\"]\n").await;
    }

    /// Makes an image of the platform of a build of skep.
    pub(crate) async fn make_platform_image(&self, tag: &str, program: &Path) {
        let folder = tempfile::tempdir_in(&self.world.folder).unwrap();
        fill(&folder.path().join("image"), [format!("{}:/skep", program.display())]);
        self.build(tag, folder.path(), &target("skep")).await;
    }

    /// Makes the images of Prometheus and Alertmanager that the stack file names.
    pub(crate) async fn make_monitoring_images(&self, others: &Others) {
        let wget = on_path("wget");
        for (tag, program, name) in
            [(PROMETHEUS, "prometheus", "prometheus"), (ALERTMANAGER, "prometheus-alertmanager", "alertmanager")]
        {
            let folder = tempfile::tempdir_in(&self.world.folder).unwrap();
            let program = format!("{}:/bin/{name}", others.program(program).display());
            let wget = format!("{}:/usr/bin/wget", wget.display());
            let templates = ["default.tmpl", "email.tmpl"]
                .map(|file| format!("{}:/usr/share/prometheus/alertmanager/{file}", others.program(file).display()));
            fill(&folder.path().join("image"), [program, wget].into_iter().chain(templates));
            fs::create_dir(folder.path().join("data")).unwrap();
            let nobody = "65534:65534";
            let text = format!(
                "FROM scratch\nCOPY image /\nCOPY --chown={nobody} data /{name}\nUSER {nobody}\nENTRYPOINT [\"/bin/{name}\"]\n"
            );
            self.build(tag, folder.path(), &text).await;
        }
    }

    /// Builds an image on the first node and takes it to the others.
    async fn build(&self, tag: &str, folder: &Path, dockerfile: &str) {
        fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        self.manager().docker(&["build", "--quiet", "--tag", tag, folder.to_str().unwrap()]).await;
        self.take_to(tag, &self.nodes[1..].iter().collect::<Vec<_>>()).await;
    }

    /// Takes the images that were made to a node.
    pub(super) async fn take_all_to(&self, node: &Node) {
        for tag in [FUNCTION, PLATFORM, NATS] {
            self.take_to(tag, &[node]).await;
        }
    }

    /// Takes an image of the first node to others.
    pub(super) async fn take_to(&self, tag: &str, nodes: &[&Node]) {
        if nodes.is_empty() {
            return;
        }
        let file = self.world.folder.join("image.tar");
        self.manager().docker(&["save", "--output", file.to_str().unwrap(), tag]).await;
        for node in nodes {
            node.docker(&["load", "--quiet", "--input", file.to_str().unwrap()]).await;
        }
        fs::remove_file(file).unwrap();
    }
}

/// The last stage of a target of the Dockerfile; what it copies from another stage is in the folder that it is built in.
fn target(name: &str) -> String {
    let text = fs::read_to_string(repository().join("Dockerfile")).unwrap();
    let from = format!("FROM scratch AS {name}\n");
    let stage = text.split_once(&from).unwrap().1.split("\nFROM ").next().unwrap();
    format!("{from}{}", stage.replace(&format!("--from=build-{name} /"), ""))
}

/// Puts programs and what they need into the root folder of an image.
fn fill(root: &Path, programs: impl IntoIterator<Item = String>) {
    run(Command::new("sh").arg(repository().join("scripts/image-root.sh")).arg(root).args(programs));
}

fn on_path(program: &str) -> PathBuf {
    let path = variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{program} is not on PATH"))
}

/// Runs a command, which must succeed, and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
