//! Joins the modules of the UI into one file: it is smaller than its parts packed one by one, and one request instead of eighty.
//!
//! Each module becomes a function that is called once, in an order in which a module comes after those that it imports.
//! It reads the few forms of `import` and `export` that the modules use, and fails at any other one.

use std::{
    collections::HashMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Modules below this folder are other people's, and stay files of their own.
const VENDOR: &str = "vendor";

#[derive(Default)]
struct Joined {
    /// The number of each module; `None` while those that it imports are read.
    numbers: HashMap<PathBuf, Option<usize>>,
    vendor: Vec<PathBuf>,
    text: String,
    /// Modules that are loaded when they are needed.
    later: Vec<PathBuf>,
}

/// The module at a path and all that it needs, as one.
pub(crate) fn joined(entry: &Path) -> io::Result<Vec<u8>> {
    let mut joined = Joined::default();
    joined.add(entry)?;
    while let Some(path) = joined.later.pop() {
        if !joined.numbers.contains_key(&path) {
            joined.add(&path)?;
        }
    }
    let folder = entry.parent().unwrap_or(Path::new(""));
    let imports = joined.vendor.iter().enumerate().map(|(number, path)| {
        let name = path.strip_prefix(folder).unwrap_or(path).display();
        format!("import * as v{number} from \"./{name}\";\n")
    });
    Ok((imports.collect::<String>() + "const m = {};\n" + &joined.text).into_bytes())
}

impl Joined {
    /// Adds a module behind those that it imports.
    fn add(&mut self, path: &Path) -> io::Result<()> {
        self.numbers.insert(path.to_owned(), None);
        let mut module = Module { path, head: String::new(), exports: Vec::new() };
        let source = without_comments(&fs::read_to_string(path)?);
        let body = module.read(self, &source)?;
        let number = self.numbers.values().flatten().count();
        self.numbers.insert(path.to_owned(), Some(number));
        let key = key_of(path);
        let Module { head, exports, .. } = module;
        self.text += &format!("m[{key:?}] = (() => {{\n{head}{body}return {{ {} }};\n}})();\n", exports.join(", "));
        Ok(())
    }

    /// What an import stands for.
    fn resolve(&mut self, path: PathBuf) -> io::Result<String> {
        if path.components().any(|part| part.as_os_str() == VENDOR) {
            let known = self.vendor.iter().position(|known| *known == path);
            let number = known.unwrap_or_else(|| {
                self.vendor.push(path);
                self.vendor.len() - 1
            });
            return Ok(format!("v{number}"));
        }
        match self.numbers.get(&path) {
            Some(Some(_)) => {}
            Some(None) => return Err(wrong(&path, "imports itself by way of others")),
            None => self.add(&path)?,
        }
        Ok(format!("m[{:?}]", key_of(&path)))
    }
}

/// A module while it is read.
struct Module<'a> {
    path: &'a Path,
    head: String,
    exports: Vec<String>,
}

impl Module<'_> {
    /// The body, with its imports in `head` and the names of its exports in `exports`.
    fn read(&mut self, joined: &mut Joined, source: &str) -> io::Result<String> {
        let mut body = String::new();
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let is_list = ["import ", "export {", "export *"].iter().any(|start| line.starts_with(start));
            if is_list {
                let mut statement = line.to_owned();
                while !statement.ends_with(';') {
                    statement += lines.next().ok_or_else(|| wrong(self.path, "has an import without an end"))?;
                }
                self.import(joined, &statement)?;
            } else if let Some(declared) = line.strip_prefix("export ") {
                body += &self.export(declared)?;
                body.push('\n');
            } else {
                body += &self.with_later(joined, line);
                body.push('\n');
            }
        }
        Ok(body)
    }

    /// `import { a, b as c } from "./x.js";`, `import x from …`, `export { a } from …`, or `export * from …`.
    fn import(&mut self, joined: &mut Joined, statement: &str) -> io::Result<()> {
        let (what, from) = statement.split_once(" from ").ok_or_else(|| wrong(self.path, statement))?;
        let from = joined.resolve(self.target(from))?;
        if what == "export *" {
            self.exports.push(format!("...{from}"));
            return Ok(());
        }
        let names = what.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(names, _)| names);
        let Some(names) = names else {
            let name = what.trim_start_matches("import ");
            self.head += &format!("const {name} = {from}.default;\n");
            return Ok(());
        };
        self.head += &format!("const {{ {} }} = {from};\n", names.trim().replace(" as ", ": "));
        if what.starts_with("export") {
            self.exports.push(names.trim().trim_end_matches(',').to_owned());
        }
        Ok(())
    }

    /// `const x = …`, `function x(…`, `class x …`, with `async` or `default` before it.
    fn export(&mut self, declared: &str) -> io::Result<String> {
        let (is_default, declared) = match declared.strip_prefix("default ") {
            Some(declared) => (true, declared),
            None => (false, declared),
        };
        let plain = declared.trim_start_matches("async ");
        let keywords = ["const ", "function ", "function* ", "class "];
        let rest = keywords.iter().find_map(|keyword| plain.strip_prefix(keyword));
        let ends = |letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '$';
        match (rest.and_then(|rest| rest.split(ends).next()), is_default) {
            (Some(name), false) => self.exports.push(name.to_owned()),
            (Some(name), true) => self.exports.push(format!("default: {name}")),
            (None, true) => {
                self.exports.push("default: page".to_owned());
                return Ok(format!("const page = {declared}"));
            }
            (None, false) => return Err(wrong(self.path, declared)),
        }
        Ok(declared.to_owned())
    }

    /// Has `import("./x.js")` find what is here already.
    fn with_later(&self, joined: &mut Joined, line: &str) -> String {
        let Some((before, rest)) = line.split_once("import(\"") else { return line.to_owned() };
        let Some((name, after)) = rest.split_once("\")") else { return line.to_owned() };
        let path = self.target(name);
        if path.components().any(|part| part.as_os_str() == VENDOR) {
            let name = path.iter().skip_while(|part| *part != VENDOR).collect::<PathBuf>();
            return format!("{before}import(\"./{}\"){after}", name.display());
        }
        let found = format!("Promise.resolve(m[{:?}])", key_of(&path));
        joined.later.push(path);
        format!("{before}{found}{after}")
    }

    /// The file that a name in quotes stands for.
    fn target(&self, name: &str) -> PathBuf {
        let name = name.trim_matches(|letter| matches!(letter, '"' | '\'' | ';' | ' '));
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut path = PathBuf::new();
        for part in folder.join(name).components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                Component::CurDir => {}
                other => path.push(other),
            }
        }
        path
    }
}

fn key_of(path: &Path) -> String {
    path.iter().skip(1).map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/").replace(".js", "")
}

/// Leaves out comments that have lines of their own, and those that say a type; they are for readers of the source.
fn without_comments(source: &str) -> String {
    let (mut text, mut is_comment) = (String::new(), false);
    for line in source.lines() {
        let mut line = line.to_owned();
        if is_comment {
            let Some((_, rest)) = line.split_once("*/") else { continue };
            line = rest.to_owned();
            is_comment = false;
        }
        while let Some((before, rest)) = line.split_once("/**") {
            let Some((_, after)) = rest.split_once("*/") else {
                line = before.to_owned();
                is_comment = true;
                break;
            };
            line = format!("{before}{}", after.trim_start());
        }
        let code = line.trim();
        if !code.is_empty() && !code.starts_with("//") {
            text += line.trim_end();
            text.push('\n');
        }
    }
    text
}

fn wrong(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}: the modules cannot be joined", path.display()))
}
