//! A server: each call is a POST, signed so that the server knows who asks.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use reqwest::{Client, ClientBuilder, Response, redirect::Policy};
use skep_https::SigningKeys;
use skep_protocol::error_chain;
use time::OffsetDateTime;
use tokio::time::timeout;
use url::Url;

use super::{CALL_TIMEOUT, MAX_ANSWER, last_line};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Web {
    url: Url,
    keys: Option<SigningKeys>,
    /// Made at the first call, and shared by all copies.
    client: Arc<OnceLock<Client>>,
}

impl Web {
    pub(super) fn new(url: Url) -> Self {
        Self { url, keys: None, client: Arc::default() }
    }

    pub(super) fn with_keys(self, keys: SigningKeys) -> Self {
        Self { keys: Some(keys), ..self }
    }

    /// Posts a message; `key` is the same for each call about the same thing.
    pub(super) async fn call(&self, key: Option<&str>, message: Vec<u8>) -> Result<Vec<u8>, String> {
        let client = self.client().map_err(|error| error_chain(&error))?;
        let headers = self.headers(key, &message, OffsetDateTime::now_utc());
        let answered = async {
            let sent = client.post(self.url.clone()).headers(headers).body(message).send().await;
            let mut response = sent.map_err(|error| error_chain(&error.without_url()))?;
            let said = read(&mut response).await.map_err(|error| error_chain(&error.without_url()))?;
            let status = response.status();
            if status.is_success() {
                return Ok(said);
            }
            let reason = last_line(&said).unwrap_or_else(|| "its answer has no body".to_owned());
            Err(format!("it answers {status}: {reason}"))
        };
        let answered = timeout(CALL_TIMEOUT, answered).await;
        answered.unwrap_or_else(|_| Err(format!("it did not answer within {CALL_TIMEOUT:?}")))
    }

    fn headers(&self, key: Option<&str>, message: &[u8], now: OffsetDateTime) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(keys) = &self.keys {
            let id = key.map_or_else(|| format!("list-{}", now.unix_timestamp_nanos()), str::to_owned);
            let mut signature = keys.begin(&id, now);
            signature.update(message);
            signature.end(&mut headers);
        }
        headers
    }

    fn client(&self) -> reqwest::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = skep_https::client(settings)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// No redirects, no proxies of the environment, and nothing that is not encrypted.
fn settings() -> ClientBuilder {
    let settings = Client::builder().user_agent(concat!("skep-controller/", env!("CARGO_PKG_VERSION")));
    settings.redirect(Policy::none()).no_proxy().https_only(true).connect_timeout(CONNECT_TIMEOUT)
}

async fn read(response: &mut Response) -> reqwest::Result<Vec<u8>> {
    let mut said = Vec::new();
    while let Some(piece) = response.chunk().await? {
        said.extend_from_slice(&piece);
        if said.len() as u64 > MAX_ANSWER {
            break;
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
    use reqwest::Certificate;
    use standardwebhooks::Webhook;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::mpsc,
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
    };

    use super::{
        super::{Ask, NodeHook, Way},
        *,
    };

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// A TLS server that gives each request this answer.
    struct Server {
        address: SocketAddr,
        certificate: Certificate,
        requests: mpsc::UnboundedReceiver<(HeaderMap, Vec<u8>)>,
    }

    impl Server {
        async fn start(answer: &'static str) -> Self {
            // Another test may have done it before.
            let _ = ring::default_provider().install_default();
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config(cert.der().to_vec(), &signing_key)));
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let (sender, requests) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                    let request = request(&mut stream).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                    sender.send(request).unwrap();
                }
            });
            Self { address, certificate: Certificate::from_pem(cert.pem().as_bytes()).unwrap(), requests }
        }

        /// A hook that trusts it.
        fn hook(&self) -> NodeHook {
            let hook = format!("https://{}/machines?zone=a", self.address).parse::<NodeHook>().unwrap();
            let hook = hook.with_keys(SigningKeys::parse(KEY).unwrap());
            let Way::Web(web) = &hook.0 else { unreachable!() };
            let trusting = settings().tls_certs_only([self.certificate.clone()]).build().unwrap();
            web.client.set(trusting).unwrap();
            hook
        }
    }

    fn config(certificate: Vec<u8>, key: &KeyPair) -> ServerConfig {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap()
    }

    /// Reads a request to the end of its body.
    async fn request(stream: &mut (impl AsyncReadExt + Unpin)) -> (HeaderMap, Vec<u8>) {
        let mut read = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            read.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&read).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            let headers: HeaderMap =
                fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            if body.len() == headers["content-length"].to_str().unwrap().parse::<usize>().unwrap() {
                return (headers, body.as_bytes().to_vec());
            }
        }
    }

    #[tokio::test]
    async fn a_server_gets_signed_requests_and_lists_machines() {
        let answer =
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"machines\":[\"a\"],\"size\":{\"cpus\":2,\"memory\":7}}";
        let mut server = Server::start(answer).await;
        let hook = server.hook();
        assert_eq!(hook.list().await.unwrap().machines, ["a"]);
        let remove = || Ask::Remove { key: "remove-n".to_owned(), hostname: "a", node: Some("n") };
        for _ in 0..2 {
            hook.call(&remove()).await.unwrap();
        }
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (headers, body) = server.requests.recv().await.unwrap();
            Webhook::new(KEY).unwrap().verify(&body, &headers).unwrap();
            assert_eq!(headers["content-type"], "application/json");
            ids.push(headers["webhook-id"].to_str().unwrap().to_owned());
        }
        assert!(ids[0].starts_with("list-"), "{ids:?}");
        assert_eq!(ids[1..], ["remove-n", "remove-n"], "it is the same call again");
    }

    #[tokio::test]
    async fn a_server_that_refuses_says_why() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\nsorry\nthe quota is used up\n";
        let error = Server::start(answer).await.hook().list().await.unwrap_err();
        assert_eq!(error, "it answers 503 Service Unavailable: the quota is used up");
        let redirect = "HTTP/1.1 302 Found\r\nLocation: https://example.org/\r\nConnection: close\r\n\r\n";
        let error = Server::start(redirect).await.hook().list().await.unwrap_err();
        assert_eq!(error, "it answers 302 Found: its answer has no body");
    }

    #[tokio::test]
    async fn a_server_that_nobody_vouches_for_is_asked_nothing() {
        let mut server = Server::start("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"machines\":[]}").await;
        let hook: NodeHook = format!("https://{}/", server.address).parse().unwrap();
        let error = hook.list().await.unwrap_err();
        assert!(error.contains("certificate"), "{error}");
        server.requests.close();
        assert!(server.requests.recv().await.is_none());
    }
}
