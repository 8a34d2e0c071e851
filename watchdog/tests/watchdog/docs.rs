//! The table of settings in docs/watchdog.md against what the program says itself.

use std::{collections::BTreeMap, fs, process::Command};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/watchdog.md");

#[test]
fn each_variable_is_in_the_table_with_its_default() {
    let page = fs::read_to_string(PAGE).unwrap();
    let documented: BTreeMap<&str, &str> = page
        .lines()
        .skip_while(|line| *line != "| variable | default | meaning |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .flat_map(|row| {
            let mut cells = row.split('|').skip(1).map(str::trim);
            let (names, default) = (cells.next().unwrap(), cells.next().unwrap());
            names.split(", ").map(move |name| (name.trim_matches('`'), default))
        })
        .collect();
    let help = Command::new(env!("CARGO_BIN_EXE_fwatchdog")).arg("--help").output().unwrap();
    let reported = settings(&String::from_utf8(help.stdout).unwrap());
    assert_eq!(documented.keys().copied().collect::<Vec<_>>(), reported.keys().map(String::as_str).collect::<Vec<_>>());
    for (name, default) in &reported {
        let cell = documented[name.as_str()];
        match default {
            Some(value) => assert!(cell.starts_with(&format!("`{value}`")), "{name}: {value} is not {cell}"),
            // Where it depends on other settings the table says so in words.
            None => assert!(!cell.starts_with('`') || cell.contains(' '), "{name} has no default like {cell}"),
        }
    }
}

/// The variables of the help page, each with its fixed default.
fn settings(help: &str) -> BTreeMap<String, Option<String>> {
    let mut settings = BTreeMap::new();
    let mut last = String::new();
    for line in help.lines().map(str::trim) {
        let value = |prefix| line.strip_prefix(prefix).and_then(|rest: &str| rest.strip_suffix(']'));
        if let Some(variable) = value("[env: ") {
            last = variable.split('=').next().unwrap().to_owned();
            settings.insert(last.clone(), None);
        } else if let Some(default) = value("[default: ") {
            settings.insert(last.clone(), Some(default.to_owned()));
        }
    }
    settings
}
