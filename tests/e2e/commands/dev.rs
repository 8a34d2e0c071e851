//! `skep dev`: functions run anew when their files change.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Function, NATS_SERVER, Program, Site, wait_until};

/// `skep dev` in the folder of a site that has a stack.yml of its own.
struct Dev {
    program: Program,
    site: Site,
}

impl Dev {
    async fn start(site: Site, arguments: &[&str]) -> Self {
        let program = Program::start("dev", command(&site, arguments), site.folder());
        let mut dev = Self { program, site };
        dev.shows("skep dev follows the files of").await;
        dev
    }

    async fn shows(&mut self, text: &str) {
        wait_until(text, async || {
            assert!(self.program.status().is_none(), "it ended: {} {}", self.program.stdout(), self.program.stderr());
            self.program.stdout().contains(text)
        })
        .await;
    }

    /// A command in the same folder, which has to find the gateway and the password by itself.
    async fn client(&self, arguments: &[&str]) -> crate::harness::Ran {
        let mut command = self.site.client_command(arguments);
        command.env_remove("SKEP_GATEWAY");
        crate::harness::Ran::of(Program::start("skep", command, self.site.folder())).await
    }

    async fn answers(&self, function: &str, expected: &str) {
        wait_until(expected, async || {
            let answer = self.site.gateway.call(function, "Ada").await;
            answer.text() == expected
        })
        .await;
    }

    /// Ends it as Ctrl-C does; nothing that it has started is left.
    async fn end(mut self) -> String {
        self.program.signal(Signal::INT);
        let status = self.program.ended().await;
        assert!(status.success(), "{status} {}", self.program.stderr());
        assert!(self.site.processes().is_empty(), "{:?}", self.site.processes());
        self.program.stdout()
    }
}

fn command(site: &Site, arguments: &[&str]) -> Command {
    let mut command = site.command(&crate::harness::SKEP);
    command.args(["dev", "--listen", &site.listen.to_string(), "--nats-server"]).arg(&*NATS_SERVER);
    command.args(arguments).env_remove("SKEP_BASIC_AUTH");
    command
}

fn script(folder: &Path, text: &str) {
    fs::write(folder.join("handler.sh"), format!("#!/bin/sh\n{text}\n")).unwrap();
}

#[tokio::test]
async fn a_function_runs_anew_when_its_files_change() {
    let site = Site::new([]);
    fs::remove_file(site.path("stack.yml")).unwrap();
    let missing = Program::start("dev", command(&site, &[]), site.folder());
    crate::harness::Ran::of(missing).await.failed(2, "skep new hello --lang bash");
    site.client(&["new", "hello", "--lang", "bash"]).await.said();
    site.client(&["new", "other", "--lang", "bash"]).await.said();
    let folder = site.path("hello");
    let mut dev = Dev::start(site, &[]).await;
    dev.answers("hello", "hello Ada, from hello\n").await;
    dev.shows("hello answered 200, after ").await;

    script(&folder, "echo changed; echo said >&2");
    dev.shows("hello is restarted, after ").await;
    dev.answers("hello", "changed\nsaid\n").await;
    assert!(!dev.program.stdout().contains("other is restarted"), "only what has changed");
    assert!(dev.client(&["list"]).await.said().contains("hello"));

    // Queued calls are shown with their results.
    assert_eq!(
        dev.client(&["invoke", "hello", "--wait", "20s", "--file", "/dev/null"]).await.said(),
        "changed\nsaid\n"
    );
    dev.shows("of hello succeeded answered 200").await;
    dev.shows("of hello result changed said").await;

    // A stack file that is wrong is reported, and what runs goes on.
    let stack = fs::read_to_string(dev.site.path("stack.yml")).unwrap();
    fs::write(dev.site.path("stack.yml"), format!("{stack}  broken:\n    fproces: x\n")).unwrap();
    dev.shows("unknown key \"fproces\"").await;
    dev.answers("hello", "changed\nsaid\n").await;
    let upper = "  upper:\n    fprocess: tr a-z A-Z\n";
    let every = "sources:\n  tick:\n    every: 1s\n    body: tick\n    routes: [{ to: upper }]\n";
    fs::write(dev.site.path("stack.yml"), format!("{stack}{upper}{every}")).unwrap();
    dev.shows("upper runs, after ").await;
    dev.answers("upper", "ADA").await;
    dev.shows("of upper result TICK").await;
    fs::write(dev.site.path("stack.yml"), &stack).unwrap();
    dev.shows("\nupper is removed\n").await;
    dev.shows("\nsource tick is removed\n").await;
    dev.end().await;
}

#[tokio::test]
async fn what_has_to_be_built_is_built_again() {
    let site = Site::new([]);
    let folder = site.path("hello");
    fs::create_dir(&folder).unwrap();
    let stack = "functions:\n  hello:\n    handler: ./hello\n    build: sh make.sh\n    fprocess: ./program\n";
    fs::write(site.path("stack.yml"), stack).unwrap();
    fs::write(folder.join("source"), "echo one").unwrap();
    let make = "if grep -q wrong source; then echo 'it is wrong' >&2; exit 1; fi\n\
                { echo '#!/bin/sh'; cat source; } > new; chmod +x new; mv new program";
    fs::write(folder.join("make.sh"), make).unwrap();
    let mut dev = Dev::start(site, &[]).await;
    dev.answers("hello", "one\n").await;
    fs::write(folder.join("source"), "wrong").unwrap();
    dev.shows("function hello cannot be built").await;
    assert!(dev.program.stderr().contains("it is wrong"));
    dev.answers("hello", "one\n").await;
    fs::write(folder.join("source"), "echo two").unwrap();
    dev.answers("hello", "two\n").await;
    dev.shows("hello is restarted, after ").await;
    // A build that is under way ends with it.
    fs::write(folder.join("make.sh"), "sleep 1000 & sleep 1000").unwrap();
    wait_until("the build", async || dev.site.processes().iter().any(|process| process.is("sleep"))).await;
    let shown = dev.end().await;
    assert_eq!(shown.matches("hello is restarted").count(), 1, "what a build makes starts no other one: {shown}");
}

#[tokio::test]
async fn it_runs_beside_skep_up_and_a_signal_ends_its_first_builds() {
    let site = Site::new([Function::cat()]);
    let _up = site.up(&[]).await;
    let other = crate::harness::free_address().to_string();
    // A build before the start ends with a signal, too.
    let stack = json!({ "functions": { "cat": { "fprocess": "cat", "build": "sleep 1000" } } });
    fs::write(site.path("slow.yml"), stack.to_string()).unwrap();
    let arguments = ["dev", "-f", "slow.yml", "--listen", &other];
    let mut command = site.command(&crate::harness::SKEP);
    command.args(arguments).stdin(Stdio::null());
    let mut building = Program::start("dev", command, site.folder());
    let sleeps = || site.processes().iter().any(|process| process.is("sleep"));
    wait_until("the build", async || sleeps()).await;
    building.signal(Signal::INT);
    assert_eq!(building.ended().await.code(), Some(1));
    wait_until("its end", async || !sleeps()).await;

    let mut command = site.command(&crate::harness::SKEP);
    command.args(["dev", "-f", "stack.yml", "--listen", &other, "--nats-server"]).arg(&*NATS_SERVER);
    let mut dev = Program::start("dev", command, site.folder());
    wait_until("it runs", async || {
        assert!(dev.status().is_none(), "{}", dev.stderr());
        dev.stdout().contains("skep dev follows")
    })
    .await;
    assert_eq!(site.gateway.call("cat", "x").await.text(), "x");
    let through_dev = site.client(&["list", "--gateway", &format!("http://{other}")]).await;
    assert!(through_dev.said().contains("cat"));
    dev.signal(Signal::TERM);
    assert!(dev.ended().await.success());
    let wrong = site.client(&["dev", "-f", "stack.yml", "--", "--no-such-flag"]).await;
    assert!(wrong.code == Some(2) && wrong.stderr.contains("--no-such-flag"), "{wrong:?}");
}

#[tokio::test]
async fn a_function_that_does_not_start_keeps_no_other_change_from_being_seen() {
    let site = Site::new([]);
    fs::remove_file(site.path("stack.yml")).unwrap();
    site.client(&["new", "shop", "--lang", "python-http"]).await.said();
    site.client(&["new", "hello", "--lang", "bash"]).await.said();
    let (program, folder) = (site.path("shop/handler.py"), site.path("hello"));
    let good = fs::read_to_string(&program).unwrap();
    let mut dev = Dev::start(site, &[]).await;
    dev.answers("hello", "hello Ada, from hello\n").await;
    assert!(!dev.program.stderr().contains(" INFO "), "what skep itself does is not in the way");

    // It starts, and takes no connections.
    fs::write(&program, "import time\nprint('begun', flush=True)\ntime.sleep(1000)\n").unwrap();
    dev.shows("begun").await;
    script(&folder, "echo changed");
    dev.shows("hello is restarted, after ").await;
    fs::write(&program, good.replace("hello", "good day")).unwrap();
    dev.shows("shop is restarted, after ").await;
    let greeted = async || dev.site.gateway.call("shop", r#"{"name": "Ada"}"#).await.text().contains("good day");
    wait_until("the mended one answers", greeted).await;
    dev.end().await;
}
