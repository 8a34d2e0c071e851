//! TLS whose certificate is replaced while it is in use.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often to check whether the files have changed.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// HTTP/2 if the client can.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

pub(crate) type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// What connections are encrypted with; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    files: Arc<Files>,
}

/// The certificate that is in use, and where it comes from.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    pair: ArcSwap<Pair>,
}

#[derive(Debug)]
struct Pair {
    /// As the files have them.
    text: [Vec<u8>; 2],
    certified: Arc<CertifiedKey>,
    not_after: Option<i64>,
}

impl Tls {
    /// Reads a certificate with the chain that follows it, and its key, both in PEM.
    pub fn read(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let pair = ArcSwap::from_pointee(Pair::of(read_both(certificate, key)?, &provider)?);
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        let files = Arc::new(Files { certificate, key, provider: Arc::clone(&provider), pair });
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::<Files>::clone(&files));
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self { config: Arc::new(config), files })
    }

    /// When the certificate in use, or the first one of its chain, runs out, in seconds since 1970; `None` if that cannot be read.
    pub fn not_after(&self) -> Option<i64> {
        self.files.pair.load().not_after
    }

    /// Begins to encrypt a connection, and says whether its client wants HTTP/2.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream, bool)> {
        let stream = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, is_http2))
    }

    /// Loads changed files for later connections, until `end`. Files that cannot be used are logged, and the last ones stay in use.
    pub(crate) async fn follow(self, end: CancellationToken) {
        let mut refused = None;
        while end.run_until_cancelled(sleep(CHECK_INTERVAL)).await.is_some() {
            // Files are small, and read no more often than this.
            let found = read_both(&self.files.certificate, &self.files.key);
            let taken = match found {
                Ok(text) if text == self.files.pair.load().text || Some(&text) == refused.as_ref() => continue,
                Ok(text) => Pair::of(text.clone(), &self.files.provider).map_err(|error| (Some(text), error)),
                Err(error) => Err((None, error)),
            };
            match taken {
                Ok(pair) => {
                    self.files.pair.store(Arc::new(pair));
                    info!(certificate = %self.files.certificate.display(), "the new certificate is in use");
                    refused = None;
                }
                // The two may be written one after the other, so it is looked again.
                Err((text, error)) => {
                    if refused.is_none() || text.is_some() {
                        warn!(
                            error = format!("{error:#}"),
                            "the certificate stays, because the new one cannot be used"
                        );
                    }
                    refused = text.or(Some([Vec::new(), Vec::new()]));
                }
            }
        }
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.load().certified))
    }
}

impl Pair {
    fn of(text: [Vec<u8>; 2], provider: &CryptoProvider) -> anyhow::Result<Self> {
        let [certificate, key] = &text;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>()?;
        if chain.is_empty() {
            return Err(anyhow!("there is no certificate in PEM in it"));
        }
        let not_after = chain.iter().filter_map(|certificate| {
            let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
            Some(certificate.validity().not_after.timestamp())
        });
        let not_after = not_after.min();
        let key = PrivateKeyDer::from_pem_slice(key).context("there is no private key in PEM in it")?;
        let certified = CertifiedKey::from_der(chain, key, provider).context("certificate and key do not fit")?;
        Ok(Self { text, certified: Arc::new(certified), not_after })
    }
}

fn read_both(certificate: &Path, key: &Path) -> anyhow::Result<[Vec<u8>; 2]> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    Ok([read(certificate)?, read(key)?])
}
