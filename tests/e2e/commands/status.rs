//! `skep status`: how the installation is, once and live.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::{Function, Platform, Program, SKEP, Site, answer_to, wait_until};

#[tokio::test]
async fn rates_queues_replicas_and_dead_letters_are_shown() {
    let functions = [Function::cat(), Function::gated(), Function::failing().attempts(1)];
    let platform = Platform::start(functions).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let dead = gateway.queue("failing", "x").await;
    assert_eq!(gateway.finished(&dead).await["state"], "dead");
    site.client(&["scale", "gated", "0"]).await.said();
    for _ in 0..3 {
        gateway.queue("gated", "x").await;
    }
    let figure = async |function: &str, name: &str| {
        let status = answer_to(gateway.get("/system/status")).await.json();
        let functions = status["functions"].as_array().unwrap().clone();
        functions.into_iter().find(|one| one["name"] == function).unwrap()[name].clone()
    };
    wait_until("the queue is seen", async || figure("gated", "queueDepth").await == 3).await;
    assert_eq!((figure("failing", "deadLetters").await, figure("cat", "deadLetters").await), (1.into(), 0.into()));
    assert_eq!(figure("failing", "failed").await, 1);

    // Somebody calls while the command looks twice.
    let calls = tokio::spawn({
        let gateway = gateway.clone();
        async move {
            loop {
                gateway.call("cat", "x").await;
            }
        }
    });
    let printed = site.client(&["status", "--json", "--interval", "2s"]).await.said();
    calls.abort();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["deadLetters"], 1);
    let cat = &printed["functions"][0];
    assert!(cat["rate"].as_f64().unwrap() > 0.0 && cat["latency"].as_f64().unwrap() > 0.0, "{cat}");
    assert_eq!((&cat["name"], &cat["errors"]), (&"cat".into(), &0.0.into()));
    assert_eq!(printed["functions"][2]["queueDepth"], 3);

    let table = site.client(&["status", "--once", "--interval", "100ms"]).await.said();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["FUNCTION", "READY", "RATE", "ERRORS", "LATENCY", "IN", "FLIGHT", "QUEUE", "OLDEST", "DEAD"]);
    assert_eq!(lines[3][..2], ["gated", "0/0"]);
    assert!(lines[3].contains(&"3"), "{table}");
}

/// `skep status` at a terminal, which `script` provides.
struct Live {
    program: Program,
    keyboard: Box<dyn Write>,
}

impl Live {
    /// On a screen of this size, which becomes 10 lines of 40 columns as soon as the file `small` is there.
    fn start(site: &Site, lines: u16, columns: u16, interval: &str) -> Self {
        let mut command: Command = site.command("script".as_ref());
        let resize = "until [ -e small ]; do sleep 0.1; done; stty rows 10 cols 40 </dev/tty";
        let skep = format!("{} status --interval {interval}", SKEP.display());
        let skep = format!("stty rows {lines} cols {columns}; ({resize}) & stty -g; {skep}; stty -g; kill $!");
        command.args(["--quiet", "--return", "--flush", "--command", &skep, "/dev/null"]);
        command.env("TERM", "xterm").env("SHELL", "/bin/sh").env("SKEP_GATEWAY", &site.gateway.url);
        let (reader, keyboard) = std::io::pipe().unwrap();
        let program = Program::start_reading(Stdio::from(reader), "script", command, site.folder());
        Self { program, keyboard: Box::new(keyboard) }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// The lines that the newest whole screen shows.
    fn screen(&self) -> Vec<String> {
        let shown = self.program.stdout();
        let screen = shown.rsplit("\x1b[H").find(|screen| screen.contains("q quit")).unwrap_or_default().to_owned();
        let sequences = ["\x1b[K", "\x1b[J", "\x1b[7m", "\x1b[0m", "\r"];
        let plain = |line: &str| sequences.iter().fold(line.to_owned(), |line, sequence| line.replace(sequence, ""));
        screen.split('\n').map(plain).collect()
    }

    /// Waits until the newest screen has a text.
    async fn shows(&self, text: &str) {
        wait_until(text, async || self.program.stdout().rsplit("\x1b[H").take(2).any(|screen| screen.contains(text)))
            .await;
    }
}

#[tokio::test]
async fn the_live_view_drills_down_and_leaves_the_terminal_as_it_was() {
    let platform = Platform::start([Function::cat(), Function::failing().attempts(1)]).await;
    let dead = platform.gateway.queue("failing", "x").await;
    platform.gateway.finished(&dead).await;
    let mut live = Live::start(&platform.site, 20, 100, "200ms");
    live.shows("FUNCTION").await;
    live.shows("1 dead letter ").await;
    live.shows("\x1b[7mcat").await;
    live.press("\r");
    live.shows("replicas cat-1").await;
    live.press("\x1b[B");
    live.shows("DEAD LETTERS").await;
    live.shows(&dead).await;
    live.shows("replicas failing-1").await;
    live.press("\x1b");
    live.shows("sort (by name)").await;
    live.shows("\x1b[7mfailing").await;
    live.press("s");
    live.shows("sort (by rate)").await;
    live.press("q");
    assert!(live.program.ended().await.success());
    let shown = live.program.stdout();
    assert!(shown.contains("\x1b[?1049h") && shown.contains("\x1b[?25h\x1b[?1049l"), "{shown:?}");
    let (before, after) = (shown.lines().next().unwrap(), shown.rsplit("\x1b[?1049l").next().unwrap());
    assert_eq!(before.trim(), after.trim(), "its settings are back");
}

#[tokio::test]
async fn the_live_view_fits_a_screen_that_becomes_small() {
    let platform = Platform::start((1..9).map(|number| Function::new(&format!("cat-{number}"), "cat"))).await;
    let live = Live::start(&platform.site, 24, 80, "1h");
    live.shows("LATENCY").await;
    assert!(live.screen().iter().all(|line| line.chars().count() <= 80), "{:?}", live.screen());
    std::fs::write(platform.site.path("small"), "").unwrap();
    wait_until("it is drawn anew", async || !live.screen().concat().contains("LATENCY")).await;
    let screen = live.screen();
    assert!(screen.len() == 10 && screen.iter().all(|line| line.chars().count() <= 40), "{screen:?}");
    let (headings, last) = (&screen[2], screen.last().unwrap());
    assert!(
        screen[0].starts_with("8 functions") && headings.contains("QUEUE") && headings.contains("DEAD"),
        "{screen:?}"
    );
    assert!(last.contains("q quit") && last.contains("sort (by name)"), "{screen:?}");
}

#[tokio::test]
async fn the_live_view_ends_by_ctrl_c_while_a_gateway_does_not_answer() {
    let mut platform = Platform::start([Function::cat()]).await;
    let mut live = Live::start(&platform.site, 24, 80, "200ms");
    live.shows("FUNCTION").await;
    platform.up.suspend().await;
    for order in ["rate", "queue", "dead letters"] {
        live.press("s");
        live.shows(&format!("sort (by {order})")).await;
    }
    live.press("\x03");
    assert!(live.program.ended().await.success());

    platform.up.signal(rustix::process::Signal::CONT);
    let mut live = Live::start(&platform.site, 24, 80, "200ms");
    live.shows("FUNCTION").await;
    platform.up.kill();
    live.shows("does not answer").await;
    wait_until("the second line says which", async || {
        live.screen().get(1).is_some_and(|line| line.starts_with("the gateway at http://127.0.0.1:"))
    })
    .await;
    live.press("q");
    assert!(live.program.ended().await.success());
}
