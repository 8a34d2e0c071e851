//! Images that skep keeps: what is stored of an upload, who may pull, and what is removed.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use skep_bus::{Bus, Swept};

use crate::{
    bus,
    harness::{Answer, Gateway, Program, Site, answer_to, free_address},
    large_bodies::{large, sum_of},
};

const PIECE: usize = 512 * 1024;
/// 32 bytes, which are no secret here.
const KEY: [u8; 32] = [7; 32];

struct Store {
    gateway: Gateway,
    pull_at: SocketAddr,
    bus: Bus,
    _gateway: Program,
    _nats: Program,
    _site: Site,
}

impl Store {
    async fn start(arguments: &[&str]) -> Self {
        let site = Site::new([]);
        let nats = site.start_nats().await;
        let key = site.path("seal.key");
        std::fs::write(&key, base64::engine::general_purpose::STANDARD.encode(KEY)).unwrap();
        let pull_at = free_address();
        let (listen, key) = (pull_at.to_string(), key.to_str().unwrap().to_owned());
        let own = ["--images-listen", &listen, "--images-address", "127.0.0.1:5757", "--seal-key-file", &key];
        let program = site.start_gateway(&[&own, arguments].concat()).await;
        let bus = bus::connect(&site).await;
        Self { gateway: site.gateway.clone(), pull_at, bus, _gateway: program, _nats: nats, _site: site }
    }

    async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let path = format!("/system/images/{path}");
        answer_to(self.gateway.request(Method::PUT, &path).body(body.into())).await
    }

    async fn state(&self, digest: &str) -> Value {
        let answer = answer_to(self.gateway.get(&format!("/system/images/blobs/{digest}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn store(&self, blob: &Bytes, numbers: &[usize]) -> String {
        let digest = format!("sha256:{}", sum_of(blob));
        for number in numbers {
            let piece = blob.slice(number * PIECE..blob.len().min((number + 1) * PIECE));
            let answer = self.put(&format!("blobs/{digest}/{number}"), piece).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        digest
    }

    async fn finish(&self, digest: &str, size: usize) -> Answer {
        answer_to(self.gateway.post(&format!("/system/images/blobs/{digest}?size={size}"))).await
    }

    /// Stores an image of a configuration and one layer; returns its digest.
    async fn image(&self, config: &Bytes, layer: &Bytes) -> String {
        let mut blobs = Vec::new();
        for blob in [config, layer] {
            let numbers: Vec<usize> = (0..blob.len().div_ceil(PIECE)).collect();
            let digest = self.store(blob, &numbers).await;
            assert_eq!(self.finish(&digest, blob.len()).await.status, 201);
            blobs.push((digest, blob.len()));
        }
        let manifest = manifest(&blobs);
        let digest = format!("sha256:{}", sum_of(&manifest));
        let answer = self.put(&format!("manifests/{digest}"), manifest).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        digest
    }

    fn login() -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
        mac.update(b"skep password\npulling images");
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    async fn pull(&self, path: &str, range: Option<&str>) -> Answer {
        let puller = Gateway::new(format!("http://{}", self.pull_at)).with_credentials("skep", &Self::login());
        let request = puller.get(path);
        answer_to(range.into_iter().fold(request, |request, range| request.header("range", range))).await
    }

    async fn sweep(&self, needed: &[&str], age: Duration) -> Swept {
        let needed: HashSet<_> = needed.iter().map(|digest| digest.parse().unwrap()).collect();
        self.bus.images.sweep(&needed, age).await.unwrap()
    }
}

fn manifest(blobs: &[(String, usize)]) -> Bytes {
    let blob = |(digest, size): &(String, usize)| json!({ "mediaType": "x", "digest": digest, "size": size });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(&blobs[0]),
        "layers": blobs[1..].iter().map(blob).collect::<Vec<_>>(),
    });
    manifest.to_string().into()
}

#[tokio::test]
async fn an_upload_goes_on_where_it_ended_and_counts_if_it_is_what_its_digest_says() {
    let store = Store::start(&[]).await;
    let layer = large(11 * PIECE + 17);
    let digest = store.store(&layer, &[10, 4, 2, 0]).await;
    assert_eq!(store.state(&digest).await, json!({ "complete": false, "pieces": [0, 2, 4, 10] }));
    store.finish(&digest, layer.len()).await.assert_refused(422);
    assert!(store.pull(&format!("/v2/f/blobs/{digest}"), None).await.status == 404, "it is not complete");

    // One bit is another.
    let mut flipped = layer[PIECE..2 * PIECE].to_vec();
    flipped[99] ^= 4;
    store.put(&format!("blobs/{digest}/1"), flipped).await;
    store.store(&layer, &[3, 5, 6, 7, 8, 9, 11]).await;
    let refused = store.finish(&digest, layer.len()).await;
    refused.assert_refused(422);
    assert!(refused.text().contains(&digest), "{refused:?}");
    store.store(&layer, &[1]).await;
    assert_eq!(store.finish(&digest, layer.len()).await.status, 201);
    assert_eq!(store.state(&digest).await, json!({ "complete": true }));

    // What counts is not written over.
    assert_eq!(store.put(&format!("blobs/{digest}/1"), vec![0; 9]).await.status, 201);
    let pulled = store.pull(&format!("/v2/f/blobs/{digest}"), None).await;
    assert!(pulled.status == 200 && pulled.body == layer);
    store.put(&format!("blobs/{digest}/x"), vec![0; 9]).await.assert_refused(400);
    store.put("blobs/sha256:12/0", vec![0; 9]).await.assert_refused(400);
    store.put(&format!("blobs/{digest}/9"), vec![0; PIECE + 1]).await.assert_refused(413);
}

#[tokio::test]
async fn an_engine_pulls_with_its_login_alone_and_changes_nothing() {
    let store = Store::start(&[]).await;
    let (config, layer) = (Bytes::from_static(b"{}"), large(PIECE + 100));
    let digest = store.image(&config, &layer).await;
    let paths =
        ["/v2/".to_owned(), format!("/v2/f/manifests/{digest}"), format!("/v2/f/blobs/sha256:{}", sum_of(&layer))];
    let stranger = Gateway::new(format!("http://{}", store.pull_at));
    for path in &paths {
        assert_eq!(store.pull(path, None).await.status, 200, "{path}");
        for caller in [stranger.clone(), stranger.clone().with_credentials("skep", "guess")] {
            let refused = answer_to(caller.get(path)).await;
            refused.assert_refused(401);
            assert!(refused.header("www-authenticate").starts_with("Basic"), "{refused:?}");
        }
    }
    let pulled = store.pull(&paths[1], None).await;
    assert_eq!(pulled.header("content-type"), "application/vnd.oci.image.manifest.v1+json");
    assert_eq!((pulled.header("docker-content-digest"), sum_of(&pulled.body)), (&*digest, digest[7..].to_owned()));
    let part = store.pull(&paths[2], Some(&format!("bytes={}-", PIECE - 3))).await;
    assert_eq!((part.status, part.body.clone()), (206, layer.slice(PIECE - 3..)));
    assert_eq!(part.header("content-range"), format!("bytes {}-{}/{}", PIECE - 3, layer.len() - 1, layer.len()));

    assert_eq!(store.pull("/v2/f/manifests/latest", None).await.status, 404);
    assert_eq!(store.pull("/v2/_catalog", None).await.status, 404);
    assert_eq!(store.pull("/system/functions", None).await.status, 404);
    let puller = stranger.with_credentials("skep", &Store::login());
    for method in [Method::PUT, Method::DELETE, Method::POST] {
        answer_to(puller.request(method, &paths[1])).await.assert_refused(405);
    }
    // Nor is anything of it where functions are called.
    assert_eq!(answer_to(store.gateway.get(&paths[1])).await.status, 404);
}

#[tokio::test]
async fn a_manifest_is_taken_when_all_that_it_names_is_there() {
    let store = Store::start(&[]).await;
    let layer = large(1000);
    let blobs = [&Bytes::from_static(b"{}"), &layer].map(|blob| (format!("sha256:{}", sum_of(blob)), blob.len()));
    let manifest = manifest(&blobs);
    let path = format!("manifests/sha256:{}", sum_of(&manifest));
    let refused = store.put(&path, manifest.clone()).await;
    refused.assert_refused(409);
    assert!(refused.text().contains(&blobs[1].0), "{refused:?}");
    store.put(&path, "{}").await.assert_refused(422);
    let other = Bytes::from_static(br#"{"schemaVersion":2}"#);
    store.put(&format!("manifests/sha256:{}", sum_of(&other)), other).await.assert_refused(400);
    store.image(&Bytes::from_static(b"{}"), &layer).await;
    assert_eq!(store.put(&path, manifest).await.status, 201);
}

#[tokio::test]
async fn images_take_no_more_than_they_may() {
    let store = Store::start(&["--images-bytes", "1MiB"]).await;
    let layer = large(3 * PIECE);
    let digest = store.store(&layer, &[0]).await;
    let full = store.put(&format!("blobs/{digest}/1"), layer.slice(PIECE..2 * PIECE)).await;
    full.assert_refused(507);
    assert!(full.text().contains("--images-bytes (SKEP_IMAGES_BYTES) permits 1048576"), "{full:?}");
    let reported = answer_to(store.gateway.get("/system/images")).await.json();
    assert_eq!((&reported["address"], &reported["limit"]), (&json!("127.0.0.1:5757"), &json!(1 << 20)));
}

#[tokio::test]
async fn what_no_function_needs_is_removed_after_its_time() {
    let store = Store::start(&[]).await;
    let (config, shared) = (Bytes::from_static(b"{}"), large(PIECE + 5));
    let needed = store.image(&config, &shared).await;
    let unneeded = store.image(&Bytes::from_static(b"{ }"), &shared).await;
    let broken_off = store.store(&large(3 * PIECE), &[0, 1]).await;
    let hour = Duration::from_secs(3600);
    assert_eq!(store.sweep(&[&needed], hour).await, Swept::default(), "all of it is new");
    let swept = store.sweep(&[&needed], Duration::ZERO).await;
    assert_eq!(swept, Swept { manifests: 1, blobs: 2 }, "an image, its configuration, and what has broken off");
    assert_eq!(store.pull(&format!("/v2/f/manifests/{unneeded}"), None).await.status, 404);
    assert_eq!(store.state(&broken_off).await, json!({ "complete": false }));
    let layer = store.pull(&format!("/v2/f/blobs/sha256:{}", sum_of(&shared)), None).await;
    assert!(layer.status == 200 && layer.body == shared);
    assert_eq!(store.sweep(&[], Duration::ZERO).await, Swept { manifests: 1, blobs: 2 });
    assert_eq!(store.bus.images.bytes().await.unwrap(), 0);
}

#[tokio::test]
async fn a_gateway_that_keeps_no_images_says_how_it_would() {
    let mut site = Site::new([]);
    let _up = site.up_with_password(&[]).await;
    let refused = answer_to(site.gateway.get("/system/images")).await;
    refused.assert_refused(404);
    assert!(refused.text().contains("skep swarm up --images-port"), "{refused:?}");
    let gateway = site.begin_gateway_at(free_address(), &["--images-listen", "127.0.0.1:0", "--images-address", "a:1"]);
    let mut gateway = gateway;
    assert_eq!(gateway.ended().await.code(), Some(2), "without a key there is no login: {}", gateway.stderr());
    assert!(gateway.stderr().contains("--seal-key-file"), "{}", gateway.stderr());
}
