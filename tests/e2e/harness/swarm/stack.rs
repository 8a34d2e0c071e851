//! The platform on a Swarm, from the stack file.

use std::path::Path;

use serde_json::Value;

use super::{
    super::{Gateway, programs::repository, wait_until},
    Node, Swarm,
    node::finish,
};

const USER: &str = "admin";
const PASSWORD: &str = "the bees know";

impl Swarm {
    /// Deploys the stack file, with settings as variables, and waits until all of it is healthy.
    ///
    /// Prometheus and Alertmanager stay away unless the settings say otherwise.
    pub(crate) async fn deploy_stack(&self, settings: &[(&str, &str)]) -> Gateway {
        self.create_secrets().await;
        self.update_stack(settings).await;
        self.gateways().remove(0)
    }

    /// Deploys the stack as it was when NATS had no password.
    pub(crate) async fn deploy_stack_without_nats_user(&self) -> Gateway {
        self.create_secrets().await;
        let file = repository().join("docker-compose.yml");
        let text =
            std::fs::read_to_string(&file).unwrap().replace("-c, /etc/skep-nats-stack.conf", "-c, /etc/skep-nats.conf");
        let text = text.replace("file: ./deploy", "file: ../deploy");
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("SKEP_NATS_USER_PASSWORD_FILE"));
        let former = repository().join("target/former-docker-compose.yml");
        std::fs::write(&former, lines.collect::<Vec<_>>().join("\n")).unwrap();
        self.deploy_file_as(&former, "skep", &[]).await;
        self.gateways().remove(0)
    }

    async fn create_secrets(&self) {
        let secrets = [
            ("basic-auth-user", USER),
            ("basic-auth-password", PASSWORD),
            ("nats-gateway", "skep-gateway:sting7"),
            ("nats-queue-worker", "skep-queue-worker:sting8"),
            ("nats-controller", "skep-controller:sting9"),
            ("nats-operator", "skep-operator:sting6"),
            ("skep-seal-key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ];
        for (secret, value) in secrets {
            self.create_secret(secret, value).await;
        }
    }

    /// The gateway of each node, if one runs there.
    pub(crate) fn gateways(&self) -> Vec<Gateway> {
        let gateway = |node: &Node| Gateway::new(format!("http://{}:8080", node.address));
        self.nodes.iter().map(|node| gateway(node).with_credentials(USER, PASSWORD)).collect()
    }

    /// Deploys the stack file again, with other settings, and waits until all of it is healthy.
    pub(crate) async fn update_stack(&self, settings: &[(&str, &str)]) {
        self.deploy_as("skep", settings).await;
    }

    /// Deploys the stack file as another stack, whose gateway has a port of its own.
    pub(crate) async fn deploy_beside(&self, stack: &str, port: &str) -> Gateway {
        self.deploy_as(stack, &[("SKEP_PORT", port)]).await;
        Gateway::new(format!("http://{}:{port}", self.manager().address)).with_credentials(USER, PASSWORD)
    }

    async fn deploy_as(&self, stack: &str, settings: &[(&str, &str)]) {
        self.deploy_file_as(&repository().join("docker-compose.yml"), stack, settings).await;
    }

    async fn deploy_file_as(&self, file: &Path, stack: &str, settings: &[(&str, &str)]) {
        let mut deploy = self.manager().command(&["stack", "deploy", "--resolve-image", "never", "-c"]);
        deploy.arg(file).arg(stack).env("SKEP_PROMETHEUS", "0").envs(settings.iter().copied());
        finish(deploy).await.unwrap_or_else(|said| panic!("docker stack deploy: {said}"));
        wait_until("the whole stack is healthy", async || self.unhealthy().await.is_empty()).await;
    }

    /// The services that do not have all their tasks, as `NAME HAS/WANTS`.
    pub(crate) async fn unhealthy(&self) -> Vec<String> {
        let services = self.manager().docker(&["service", "ls", "--format", "{{.Name}} {{.Replicas}}"]).await;
        let complete = |line: &&str| {
            let mut replicas = line.split(' ').nth(1).unwrap().split('/');
            replicas.next() == replicas.next()
        };
        services.lines().filter(|line| !complete(line)).map(str::to_owned).collect()
    }

    /// What the container of a service on the first node gets at a URL.
    pub(crate) async fn ask(&self, service: &str, url: &str) -> Value {
        let filter = format!("label=com.docker.swarm.service.name={service}");
        let container = self.manager().docker(&["ps", "--quiet", "--filter", &filter]).await;
        let answer = self.manager().docker(&["exec", &container, "wget", "-q", "-O", "-", url]).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{url}: {error}: {answer}"))
    }

    /// A secret of the Swarm, unless it is there.
    async fn create_secret(&self, name: &str, value: &str) {
        let file = self.world.folder.join("secret");
        std::fs::write(&file, value).unwrap();
        self.manager().docker(&["secret", "create", name, file.to_str().unwrap()]).await;
        std::fs::remove_file(file).unwrap();
    }
}
