//! The templates of `skep new`, which are part of the program.

use clap::ValueEnum;

/// What a new function is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// A script: the body on STDIN, the answer on STDOUT
    Bash,
    /// A script: the body on STDIN, the answer on STDOUT
    Python,
    /// An HTTP server of Python's own library
    PythonHttp,
    /// An HTTP server of Node's own library
    Node,
    /// An HTTP server of Go's own library; go builds it
    Go,
    /// A program: the body on STDIN, the answer on STDOUT; cargo builds it
    Rust,
    /// A folder of files
    Static,
    /// A script with a Dockerfile, for a Swarm; without an image it runs on this machine
    Docker,
}

/// What a template consists of. `@NAME@` stands for the function's name.
pub(super) struct Template {
    /// Its files, in the function's folder.
    pub(super) files: &'static [File],
    /// The keys of its entry in stack.yml, behind `handler`.
    pub(super) entry: &'static [&'static str],
    /// The file with the test request, if the function takes a body.
    pub(super) request: Option<&'static str>,
}

pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
    pub(super) is_executable: bool,
}

macro_rules! file {
    ($path:literal, $from:literal) => {
        File { path: $path, text: include_str!(concat!("../../templates/", $from)), is_executable: false }
    };
}

macro_rules! program {
    ($path:literal, $from:literal) => {
        File { path: $path, text: include_str!(concat!("../../templates/", $from)), is_executable: true }
    };
}

pub(super) fn of(lang: Lang) -> Template {
    match lang {
        Lang::Bash => BASH,
        Lang::Python => PYTHON,
        Lang::PythonHttp => PYTHON_HTTP,
        Lang::Node => NODE,
        Lang::Go => GO,
        Lang::Rust => RUST,
        Lang::Static => STATIC,
        Lang::Docker => DOCKER,
    }
}

const BASH: Template = Template {
    files: &[program!("handler.sh", "bash/handler.sh"), file!("request.txt", "bash/request.txt")],
    entry: &["fprocess: ./handler.sh"],
    request: Some("request.txt"),
};

const PYTHON: Template = Template {
    files: &[program!("handler.py", "python/handler.py"), file!("request.json", "python/request.json")],
    // Isolated: no packages of the user, and a faster start.
    entry: &["fprocess: python3 -I handler.py", "environment:", "  content_type: application/json"],
    request: Some("request.json"),
};

const PYTHON_HTTP: Template = Template {
    files: &[program!("handler.py", "python-http/handler.py"), file!("request.json", "python-http/request.json")],
    entry: &["fprocess: python3 handler.py", "environment:", "  mode: http"],
    request: Some("request.json"),
};

const NODE: Template = Template {
    files: &[file!("handler.mjs", "node/handler.mjs"), file!("request.json", "node/request.json")],
    entry: &["fprocess: node handler.mjs", "environment:", "  mode: http"],
    request: Some("request.json"),
};

const GO: Template = Template {
    files: &[
        file!("main.go", "go/main.go"),
        file!("go.mod", "go/go.mod.template"),
        file!(".gitignore", "go/gitignore"),
        file!("request.txt", "go/request.txt"),
    ],
    entry: &["build: go build -o handler .", "fprocess: ./handler", "environment:", "  mode: http"],
    request: Some("request.txt"),
};

const RUST: Template = Template {
    files: &[
        file!("src/main.rs", "rust/src/main.rs"),
        file!("Cargo.toml", "rust/Cargo.toml.template"),
        file!(".gitignore", "rust/gitignore"),
        file!("request.txt", "rust/request.txt"),
    ],
    entry: &["build: cargo build --release --quiet --target-dir target", "fprocess: ./target/release/handler"],
    request: Some("request.txt"),
};

const STATIC: Template = Template {
    files: &[
        file!("public/index.html", "static/public/index.html"),
        file!("public/style.css", "static/public/style.css"),
    ],
    entry: &["environment:", "  mode: static", "  static_path: public"],
    request: None,
};

const DOCKER: Template = Template {
    files: &[
        program!("handler.sh", "docker/handler.sh"),
        file!("Dockerfile", "docker/Dockerfile"),
        file!("request.txt", "docker/request.txt"),
    ],
    entry: &["image: @NAME@:latest", "fprocess: ./handler.sh"],
    request: Some("request.txt"),
};
