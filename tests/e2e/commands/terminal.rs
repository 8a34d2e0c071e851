//! Questions at a terminal, which `script` provides.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::harness::{Function, Program, SKEP, Site, free_address, wait_until};

/// Runs `skep ARGUMENTS` at a terminal; what it shows there is the program's STDOUT.
struct Terminal {
    program: Program,
    keyboard: Box<dyn Write>,
}

impl Terminal {
    fn run(site: &Site, arguments: &str) -> Self {
        let mut command: Command = site.command("script".as_ref());
        let skep = format!("PATH= {} {arguments}", SKEP.display());
        command.args(["--quiet", "--return", "--flush", "--command", &skep]);
        command.arg("/dev/null").env("TERM", "dumb").env("SHELL", "/bin/sh");
        command.env("XDG_CACHE_HOME", site.path("cache")).env_remove("SKEP_GATEWAY");
        let (reader, keyboard) = std::io::pipe().unwrap();
        let program = Program::start_reading(Stdio::from(reader), "script", command, site.folder());
        Self { program, keyboard: Box::new(keyboard) }
    }

    async fn asked(&self, question: &str) {
        wait_until(question, async || self.program.stdout().contains(question)).await;
    }

    fn type_line(&mut self, text: &str) {
        self.keyboard.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    /// The exit code, and all that was shown.
    async fn ended(mut self) -> (Option<i32>, String) {
        let code = self.program.ended().await.code();
        (code, self.program.stdout())
    }
}

#[tokio::test]
async fn a_password_is_asked_for_and_not_shown() {
    let mut site = Site::new([Function::cat()]);
    let _up = site.up_with_password(&[]).await;
    let password = site.password();
    let login = format!("login --gateway {}", site.gateway.url);
    for (typed, code) in [("wrong", 2), (password.as_str(), 0)] {
        let mut terminal = Terminal::run(&site, &login);
        terminal.asked("Password or token of admin at http://").await;
        terminal.type_line(typed);
        let (ended, shown) = terminal.ended().await;
        assert_eq!(ended, Some(code), "{shown}");
        assert!(!shown.contains(typed) || typed == "wrong" && !shown.contains("wrong\r\n"), "{shown}");
    }
    assert!(site.client(&["list"]).await.said().contains("cat"), "the login is kept");
    // Nobody can be asked here.
    site.client(&["login"]).await.failed(2, "skep login --password-stdin <");
    let name = site.listen.to_string();
    site.client(&["context", "remove", &name]).await.said();
    site.client(&["context", "remove", &name]).await.failed(3, &name);
    site.client(&["list"]).await.failed(2, "skep login");
}

#[tokio::test]
async fn nats_server_is_fetched_only_if_the_answer_is_yes() {
    let site = Site::new([]);
    let index = format!("http://{}/simple", free_address());
    // No nats-server is on this PATH.
    let up = format!("up --nats-index {index} --data-dir {}", site.data.display());
    for (answer, expected) in [("n", "--fetch-nats"), ("", "Connection refused"), ("yes", "Connection refused")] {
        let mut terminal = Terminal::run(&site, &up);
        terminal.asked("? [Y/n] ").await;
        terminal.type_line(answer);
        let (code, shown) = terminal.ended().await;
        assert_eq!(code, Some(2), "{shown}");
        assert!(shown.contains(expected), "{answer:?}: {shown}");
        assert!(!site.data.exists(), "nothing is begun");
    }
}
