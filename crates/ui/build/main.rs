//! Writes the table of the files below `assets`: each one compressed, and a hash of all of them.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a build script talks to Cargo in this way")]

mod join;

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

/// What `index.html` has in place of the hash.
const PLACE_OF_HASH: &str = "/ui/assets/HASH/";
const HASH_LENGTH: usize = 16;

fn main() -> io::Result<()> {
    let assets = PathBuf::from("assets");
    let mut paths = Vec::new();
    walk(&assets, &mut paths)?;
    paths.sort();
    let files = paths.iter().map(fs::read).collect::<io::Result<Vec<_>>>()?;
    let hash = hash_of(&paths, &files);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    let mut table = format!("pub(crate) const HASH: &str = {hash:?};\npub(crate) const FILES: &[File] = &[\n");
    for (index, (path, mut content)) in paths.iter().zip(files).enumerate() {
        let name = name_of(path, &assets);
        match name.as_str() {
            "index.html" => content = with_hash(content, &hash)?,
            "app.js" => content = join::joined(path)?,
            other if is_joined(other) => continue,
            _ => {}
        }
        let packed = out.join(format!("{index}.gz"));
        fs::write(&packed, compressed(&content)?)?;
        let kind = media_type(path)?;
        table += &format!("    File {{ path: {name:?}, media_type: {kind:?}, gzip: include_bytes!({packed:?}) }},\n");
    }
    fs::write(out.join("table.rs"), table + "];\n")?;
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=build");
    Ok(())
}

/// All files below a folder, without those that are only for readers of the source.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, paths)?;
        } else if !is_for_readers(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether a file is a part of `app.js`.
fn is_joined(name: &str) -> bool {
    name.ends_with(".js") && !name.starts_with("vendor/") && name != "theme.js"
}

/// Notes on where files are from, and files of editors. Licences have to be where the files are.
fn is_for_readers(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || name.ends_with('~') || name == "SOURCES"
}

/// A path within the assets, with slashes.
fn name_of(path: &Path, assets: &Path) -> String {
    let parts = path.strip_prefix(assets).unwrap_or(path).components();
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn hash_of(paths: &[PathBuf], files: &[Vec<u8>]) -> String {
    let mut digest = Sha256::new();
    for (path, content) in paths.iter().zip(files) {
        digest.update(format!("{}\n{}\n", path.display(), content.len()));
        digest.update(content);
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..HASH_LENGTH].to_owned()
}

fn with_hash(shell: Vec<u8>, hash: &str) -> io::Result<Vec<u8>> {
    let shell = String::from_utf8(shell).map_err(io::Error::other)?;
    if !shell.contains(PLACE_OF_HASH) {
        return Err(io::Error::other(format!("index.html loads nothing from {PLACE_OF_HASH}")));
    }
    Ok(shell.replace(PLACE_OF_HASH, &format!("/ui/assets/{hash}/")).into_bytes())
}

fn compressed(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

fn media_type(path: &Path) -> io::Result<&'static str> {
    if path.ends_with("LICENSES") {
        return Ok("text/plain; charset=utf-8");
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => Ok("text/html; charset=utf-8"),
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("svg") => Ok("image/svg+xml"),
        _ => Err(io::Error::other(format!("{} is of no type that is known here", path.display()))),
    }
}
