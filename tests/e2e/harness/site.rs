//! One test's own folder, ports and functions, and the programs that can be started on them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, json};
use tempfile::TempDir;

use super::{
    Function, Gateway, Process, Program, Ran, answer_to, free_address, http_client, processes_with,
    programs::{FWATCHDOG, NATS_SERVER, SKEP, variable},
    users::{password_file, write_users},
    wait_until,
};

pub(crate) struct Site {
    folder: TempDir,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) nats: SocketAddr,
    pub(crate) worker_admin: SocketAddr,
    pub(crate) controller_admin: SocketAddr,
    /// Where the platform keeps its data.
    pub(crate) data: PathBuf,
    /// Where a NATS server that a test starts keeps its data, and its configuration.
    pub(crate) nats_data: PathBuf,
    pub(crate) nats_configuration: PathBuf,
    /// Where it tells what it does.
    nats_monitor: SocketAddr,
    /// Where roles find NATS, and their other settings of it.
    pub(crate) nats_url: String,
    pub(crate) bus_arguments: Vec<String>,
    /// Further variables of programs that are started from now on.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What `skep up` starts as its NATS server.
    pub(crate) nats_server: PathBuf,
    pub(crate) functions: Vec<Function>,
    pub(crate) gateway: Gateway,
    /// Subjects that a role tries without the permission. Any other one is a bug, whatever the test is about.
    pub(crate) forbidden_subjects: Vec<&'static str>,
}

impl Site {
    pub(crate) fn new(functions: impl IntoIterator<Item = Function>) -> Self {
        let folder = tempfile::Builder::new().prefix("skep-test-").tempdir().unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        write_users(folder.path());
        let (listen, nats, nats_monitor) = (free_address(), free_address(), free_address());
        let site = Self {
            data: folder.path().join("data"),
            nats_data: folder.path().join("nats"),
            nats_configuration: folder.path().join("nats.conf"),
            nats_monitor,
            nats_url: format!("nats://{nats}"),
            bus_arguments: vec!["--nats-monitor".to_owned(), format!("http://{nats_monitor}")],
            nats_server: NATS_SERVER.clone(),
            environment: Vec::new(),
            folder,
            listen,
            admin: free_address(),
            nats,
            worker_admin: free_address(),
            controller_admin: free_address(),
            functions: functions.into_iter().collect(),
            gateway: Gateway::new(format!("http://{listen}")),
            forbidden_subjects: Vec::new(),
        };
        let sections: Map<_, _> = site.functions.iter().map(|one| (one.name.clone(), one.section())).collect();
        // JSON is YAML.
        fs::write(site.path("stack.yml"), json!({ "version": "1.0", "functions": sections }).to_string()).unwrap();
        site
    }

    /// A file in the test's folder, which is also where functions run.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the programs of this site said of panics.
    pub(crate) fn panics(&self) -> Vec<String> {
        self.said("panicked")
    }

    /// The lines with a text that the programs of this site wrote to STDERR.
    fn said(&self, text: &str) -> Vec<String> {
        let files = fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|kind| kind == "stderr"));
        let texts = logs.map(|log| String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned());
        let lines = texts.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>());
        lines.filter(|line| line.contains(text)).collect()
    }

    /// Opens the gate that [`Function::gated`] waits for.
    pub(crate) fn open_gate(&self) {
        fs::write(self.path("gate"), "").unwrap();
    }

    /// The call ids that functions have written to the file `runs`.
    pub(crate) fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("runs")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) async fn wait_for_runs(&self, count: usize) {
        wait_until(&format!("{count} runs"), async || self.runs().len() >= count).await;
    }

    /// All processes that were started on this site, directly or not.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes_with(&format!("LC_SKEP_SITE={}", self.path("tmp").display()))
    }

    /// `skep up` with the stack file, and what else is given.
    pub(crate) fn up_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.skep("up", self.listen, self.admin);
        command.arg("-f").arg(self.path("stack.yml")).args(["--nats-listen", &self.nats.to_string()]);
        command.arg("--nats-server").arg(&self.nats_server).arg("--data-dir").arg(&self.data).args(arguments);
        command
    }

    /// Starts `skep up` and waits until it and its functions are ready.
    pub(crate) async fn up(&self, arguments: &[&str]) -> Program {
        self.up_by(self.up_command(arguments)).await
    }

    /// Starts `skep up` as users do, with the password that it makes, which `self.gateway` has from then on.
    pub(crate) async fn up_with_password(&mut self, arguments: &[&str]) -> Program {
        let mut command = self.up_command(arguments);
        command.env_remove("SKEP_BASIC_AUTH");
        let mut up = Program::start("up", command, self.folder());
        wait_until_ready(&mut up, self.admin).await;
        self.gateway = self.gateway.clone().with_credentials("admin", &self.password());
        self.wait_for_functions().await;
        up
    }

    /// The password that `skep up` has made.
    pub(crate) fn password(&self) -> String {
        fs::read_to_string(self.data.join("auth/basic-auth-password")).unwrap().trim().to_owned()
    }

    /// The same by a command that leads to it.
    pub(crate) async fn up_by(&self, command: Command) -> Program {
        let mut up = Program::start("up", command, self.folder());
        wait_until_ready(&mut up, self.admin).await;
        self.wait_for_functions().await;
        up
    }

    pub(crate) async fn start_nats(&self) -> Program {
        let nats = self.nats_program(&self.nats_configuration, self.nats, self.nats_monitor, &self.nats_data);
        let listens = async || tokio::net::TcpStream::connect(self.nats).await.is_ok();
        wait_until("nats-server listens", listens).await;
        nats
    }

    pub(crate) fn nats_program(
        &self,
        configuration: &Path,
        listen: SocketAddr,
        monitor: SocketAddr,
        data: &Path,
    ) -> Program {
        let mut command = self.command(&NATS_SERVER);
        command.arg("-c").arg(configuration).args(["-a", "127.0.0.1", "-p", &listen.port().to_string()]);
        command.args(["-m", &monitor.port().to_string(), "-js", "-sd"]).arg(data);
        Program::start("nats-server", command, self.folder())
    }

    pub(crate) fn gateway_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.skep("gateway", self.listen, self.admin);
        command.args(["--nats-url", &self.nats_url]).args(&self.bus_arguments).args(arguments);
        command
    }

    pub(crate) async fn start_gateway(&self, arguments: &[&str]) -> Program {
        self.start_role("gateway", self.gateway_command(arguments), self.admin).await
    }

    /// A gateway that may not become ready.
    pub(crate) fn begin_gateway_at(&self, listen: SocketAddr, arguments: &[&str]) -> Program {
        let mut command = self.skep("gateway", listen, free_address());
        command.args(["--nats-url", &self.nats_url]).args(arguments);
        Program::start("gateway", command, self.folder())
    }

    /// One more gateway, beside what is there.
    pub(crate) async fn start_gateway_at(&self, listen: SocketAddr, arguments: &[&str]) -> Program {
        self.start_gateway_shown_at([listen, free_address()], arguments).await
    }

    /// The same, with its metrics and health at the second address.
    pub(crate) async fn start_gateway_shown_at(&self, at: [SocketAddr; 2], arguments: &[&str]) -> Program {
        let [listen, admin] = at;
        let mut command = self.skep("gateway", listen, admin);
        command.args(["--nats-url", &self.nats_url]).args(arguments);
        if let Some(file) = self.nats_user_file() {
            command.arg("--nats-user-password-file").arg(file);
        }
        self.start_role("gateway", command, admin).await
    }

    pub(crate) async fn start_worker(&self) -> Program {
        self.start_worker_with(self.worker_admin, &[]).await
    }

    pub(crate) async fn start_worker_with(&self, admin: SocketAddr, arguments: &[&str]) -> Program {
        let mut command = self.role("queue-worker");
        command.args(["--nats-url", &self.nats_url, "--callback-allow", "loopback"]);
        command.args(&self.bus_arguments).args(arguments).args(["--admin-listen", &admin.to_string()]);
        self.start_role("queue-worker", command, admin).await
    }

    pub(crate) async fn start_controller(&self) -> Program {
        let mut command = self.role("controller");
        command.args(["--nats-url", &self.nats_url]).args(&self.bus_arguments);
        command.args(["--admin-listen", &self.controller_admin.to_string()]);
        command.arg("--watchdog").arg(&*FWATCHDOG).arg("--data-dir").arg(&self.data);
        self.start_role("controller", command, self.controller_admin).await
    }

    /// Deploys through the API and waits for the replicas.
    pub(crate) async fn deploy(&self, function: &Function) {
        let body = function.deployment(self.folder());
        let answer = self.gateway.send(http::Method::POST, "/system/functions", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        self.wait_for_function(&function.name).await;
    }

    /// Waits until all replicas of the function that are wanted answer.
    pub(crate) async fn wait_for_function(&self, name: &str) {
        wait_until(&format!("the replicas of {name}"), async || {
            let function = self.gateway.function(name).await;
            function.is_some_and(|function| function["availableReplicas"] == function["replicas"])
        })
        .await;
    }

    pub(crate) async fn wait_for_functions(&self) {
        for function in &self.functions {
            self.wait_for_function(&function.name).await;
        }
    }

    /// Runs a command that asks the gateway, as `skep ARGUMENTS`.
    pub(crate) async fn client(&self, arguments: &[&str]) -> Ran {
        Ran::of(Program::start("skep", self.client_command(arguments), self.folder())).await
    }

    /// The same, with a text on STDIN.
    pub(crate) async fn client_reading(&self, input: &str, arguments: &[&str]) -> Ran {
        let file = self.path("input");
        fs::write(&file, input).unwrap();
        let (input, command) = (fs::File::open(file).unwrap().into(), self.client_command(arguments));
        Ran::of(Program::start_reading(input, "skep", command, self.folder())).await
    }

    /// The command of [`Self::client`].
    pub(crate) fn client_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&SKEP);
        command.args(arguments).env("SKEP_GATEWAY", &self.gateway.url);
        command
    }

    /// Runs `skep` to its end.
    pub(crate) async fn run_to_the_end(&self, command: Command) -> (Option<i32>, String) {
        let mut program = Program::start("skep", command, self.folder());
        let status = program.ended().await;
        (status.code(), program.stderr())
    }

    async fn start_role(&self, name: &str, command: Command, admin: SocketAddr) -> Program {
        let mut program = Program::start(name, command, self.folder());
        wait_until_ready(&mut program, admin).await;
        program
    }

    fn skep(&self, role: &str, listen: SocketAddr, admin: SocketAddr) -> Command {
        let mut command = self.role(role);
        command.args(["--listen", &listen.to_string(), "--admin-listen", &admin.to_string()]);
        command
    }

    /// A role, which connects to NATS as itself unless the arguments say otherwise.
    fn role(&self, role: &str) -> Command {
        let mut command = self.command(&SKEP);
        let file = password_file(self.folder(), role);
        if file.is_file() {
            command.env("SKEP_NATS_USER_PASSWORD_FILE", file);
        }
        command.arg(role);
        command
    }

    /// A program with a small environment of its own; by LC_SKEP_SITE all that it starts can be found.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("TMPDIR", self.path("tmp")).env("LC_SKEP_SITE", self.path("tmp"));
        command.current_dir(self.folder());
        // The login of who runs the tests is none of theirs.
        command.env("XDG_CONFIG_HOME", self.path("config"));
        // Tests of the password take this away.
        command.env("SKEP_BASIC_AUTH", "false");
        // What a test has scaled to 0 stays there, unless the test says otherwise.
        command.env("SKEP_SCALE_FROM_ZERO", "false");
        // And what it has not scaled has as many replicas as it started with.
        command.env("SKEP_AUTOSCALE", "off");
        // Tests run as root too.
        command.env("SKEP_ALLOW_ROOT", "true");
        for inherited in ["PATH", "HOME"] {
            command.env(inherited, variable(inherited).unwrap_or_default());
        }
        command.envs(self.environment.iter().cloned());
        command
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Whatever was left behind is a bug that a test of its own finds; here it is only swept up.
        self.processes().iter().for_each(Process::kill);
        let mut lacking = self.said("NATS does not permit");
        lacking.retain(|line| !self.forbidden_subjects.iter().any(|subject| line.contains(subject)));
        assert!(lacking.is_empty() || std::thread::panicking(), "{lacking:#?}");
    }
}

/// Waits until a role says on its admin port that it is ready.
async fn wait_until_ready(program: &mut Program, admin: SocketAddr) {
    let http = http_client();
    wait_until("the program is ready", async || {
        assert!(program.status().is_none(), "it ended: {}", program.stderr());
        let asked = http.get(format!("http://{admin}/readyz")).send().await;
        asked.is_ok_and(|response| response.status().is_success())
    })
    .await;
}

/// The metrics that an admin port shows.
pub(crate) async fn metrics_of(admin: SocketAddr) -> String {
    answer_to(http_client().get(format!("http://{admin}/metrics"))).await.text()
}
