//! What commands print, compared with what was agreed on: `--help` of each, and tables of an installation.
//!
//! With SKEP_UPDATE_SNAPSHOTS=1 the files are written anew; `git diff` shows what has changed.

use std::{fs, path::PathBuf, process::Command};

use crate::harness::{Function, Platform, SKEP, repository, variable};

fn compare(name: &str, text: &str) {
    let file: PathBuf = repository().join("tests/snapshots").join(name);
    if variable("SKEP_UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let differs = expected.lines().zip(text.lines()).position(|(one, other)| one != other);
    let line = differs.unwrap_or(expected.lines().count().min(text.lines().count()));
    assert!(
        expected == text,
        "{} is different from line {} on: {:?}; SKEP_UPDATE_SNAPSHOTS=1 writes it anew",
        file.display(),
        line + 1,
        text.lines().nth(line)
    );
}

/// The help of a command, without what the environment says.
fn help(words: &[String]) -> String {
    let output = Command::new(&*SKEP).args(words).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands below one, as its help names them.
fn below(help: &str) -> Vec<String> {
    let commands = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let lines = commands.lines().take_while(|line| !line.is_empty());
    // A description that is wrapped is indented further.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn collect(words: &[String], pages: &mut String) {
    let help = help(words);
    *pages += &format!("$ skep {} --help\n{help}\n", words.join(" "));
    for name in below(&help) {
        collect(&[words, &[name]].concat(), pages);
    }
}

#[test]
fn the_help_of_each_command_is_as_agreed() {
    let first = help(&[]);
    compare("help/skep.txt", &first);
    let commands = below(&first);
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let mut pages = String::new();
        collect(std::slice::from_ref(&command), &mut pages);
        compare(&format!("help/{command}.txt"), &pages);
    }
}

/// A text without what differs from run to run: each digit is 0, and each decimal number 0.0.
fn settled(text: &str) -> String {
    let mut settled = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !c.is_ascii_digit() {
            settled.push(c);
            continue;
        }
        let mut number = "0".to_owned();
        while rest.next_if(char::is_ascii_digit).is_some() {
            number.push('0');
        }
        let mut ahead = rest.clone();
        if ahead.next() == Some('.') && ahead.next().is_some_and(|c| c.is_ascii_digit()) {
            rest.next();
            while rest.next_if(char::is_ascii_digit).is_some() {}
            number = "0.0".to_owned();
        }
        settled += &number;
    }
    settled
}

#[tokio::test]
async fn the_tables_of_an_installation_are_as_agreed() {
    let platform = Platform::start([Function::cat(), Function::failing().attempts(1)]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let mut shown = String::new();
    let mut show = async |arguments: &[&str]| {
        let ran = site.client(arguments).await;
        let folder = site.folder().display().to_string();
        let text = ran.stdout.replace(&folder, "FOLDER").replace(&gateway.url, "GATEWAY");
        // While a function is in use, this is the reason of the second.
        let text = text.replace("nothing runs or waits", "REASON").replace("automatic scaling is off", "REASON");
        shown += &format!("$ skep {}\n{}\n", arguments.join(" "), settled(&text));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    };
    gateway.queue_as("good", "cat", "honey").await;
    gateway.finished("good").await;
    gateway.queue_as("bad", "failing", "wax").await;
    gateway.finished("bad").await;
    fs::write(site.path("key"), "honey").unwrap();
    show(&["secret", "list"]).await;
    show(&["secret", "set", "api-key", "--file", "key"]).await;
    show(&["secret", "list"]).await;
    show(&["namespace", "create", "dev"]).await;
    show(&["namespace", "list"]).await;
    show(&["deploy", "cat.dev", "--command", "cat", "--dry-run"]).await;
    show(&["list"]).await;
    show(&["list", "--namespace", "dev"]).await;
    show(&["describe", "cat"]).await;
    show(&["calls", "list", "--function", "cat"]).await;
    show(&["calls", "show", "good"]).await;
    show(&["dead", "list"]).await;
    show(&["status", "--once", "--interval", "100ms"]).await;
    show(&["sources", "add", "github", "--preset", "github", "--to", "cat"]).await;
    show(&["sources", "list"]).await;
    show(&["audit"]).await;
    show(&["scale", "cat", "0"]).await;
    show(&["remove", "cat"]).await;
    compare("tables.txt", &shown);
}
