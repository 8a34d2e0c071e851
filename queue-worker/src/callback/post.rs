//! Posts callbacks over HTTP, and only to addresses that the guard allows.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use http::HeaderMap;
use reqwest::{
    Body, Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use skep_protocol::{causes, error_chain};
use skep_trace::Span;
use time::OffsetDateTime;
use tracing::warn;
use url::{Host, Url};

use super::{
    guard::{Caller, Forbidden, Guard, Wish},
    schedule::{Refusal, judge},
};
use crate::spans;

/// Looks a name up.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// A large body gets one more second for this many bytes.
const MIN_BYTES_PER_SECOND: u64 = 1024 * 1024;

/// The clients of all callbacks: no redirects, no proxies of the environment.
pub(crate) struct Post {
    user_agent: String,
    timeout: Duration,
    guard: Arc<Guard>,
    lookup: Lookup,
    /// One for each wish, because a client knows of an address that it looks up only the name, and keeps its connections.
    clients: [OnceLock<Client>; 4],
}

impl Post {
    pub(crate) fn new(user_agent: String, timeout: Duration, guard: Guard) -> reqwest::Result<Self> {
        if !skep_https::trusts_somebody() {
            warn!("{}", skep_https::NOBODY_IS_TRUSTED);
        }
        let lookup = |name: String| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed();
        Self::with_lookup(user_agent, timeout, guard, Arc::new(lookup))
    }

    fn with_lookup(user_agent: String, timeout: Duration, guard: Guard, lookup: Lookup) -> reqwest::Result<Self> {
        let post = Self { user_agent, timeout, guard: Arc::new(guard), lookup, clients: Default::default() };
        post.client(Wish { caller: Caller::Any, is_own_port: false })?;
        Ok(post)
    }

    /// Posts a body of a length that is known; notes the answer in the span.
    pub(crate) async fn post(
        &self,
        url: &Url,
        caller: Caller,
        headers: HeaderMap,
        (body, length): (Body, u64),
        span: Option<&Span>,
    ) -> Result<(), Refusal> {
        let posted = self.try_post(url, caller, headers, (body, length), span).await;
        if let (Err(refusal), Some(span)) = (&posted, span) {
            spans::failed(span, refusal.reason());
        }
        posted
    }

    async fn try_post(
        &self,
        url: &Url,
        caller: Caller,
        headers: HeaderMap,
        (body, length): (Body, u64),
        span: Option<&Span>,
    ) -> Result<(), Refusal> {
        let wish = self.guard.wish(caller, url.port_or_known_default());
        // An address in the URL is dialled without a look-up, so it is judged here.
        if let Some(address) = literal(url)
            && let Err(forbidden) = self.guard.check(url.host_str().unwrap_or_default(), address, wish)
        {
            return Err(Refusal::ForGood { reason: forbidden.to_string() });
        }
        let client = self.client(wish).map_err(|error| refusal(&error))?;
        let timeout = self.timeout + Duration::from_secs(length / MIN_BYTES_PER_SECOND);
        match client.post(url.clone()).timeout(timeout).headers(headers).body(body).send().await {
            Ok(response) => {
                span.into_iter().for_each(|span| span.answered(response.status().as_u16(), None));
                judge(response.status(), response.headers(), OffsetDateTime::now_utc())
            }
            Err(error) => Err(refusal(&error.without_url())),
        }
    }

    /// The client for a wish; it is made when the first callback needs it.
    fn client(&self, wish: Wish) -> reqwest::Result<&Client> {
        let slot = match (wish.caller, wish.is_own_port) {
            (Caller::Any, false) => &self.clients[0],
            (Caller::Any, true) => &self.clients[1],
            (Caller::OfThisMachine, false) => &self.clients[2],
            (Caller::OfThisMachine, true) => &self.clients[3],
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let settings = || {
            let resolver = GuardedResolver { guard: Arc::clone(&self.guard), lookup: Arc::clone(&self.lookup), wish };
            let settings = Client::builder().user_agent(&self.user_agent).redirect(Policy::none());
            settings.no_proxy().dns_resolver(Arc::new(resolver))
        };
        let client = skep_https::client(settings)?;
        Ok(slot.get_or_init(|| client))
    }
}

/// The URL parser has read all spellings of an IPv4 address (`0x7f.1`, `2130706433`) already.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Gives the connector the addresses that pass, so what is judged is what is dialled.
struct GuardedResolver {
    guard: Arc<Guard>,
    lookup: Lookup,
    wish: Wish,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, wish) = (Arc::clone(&self.guard), self.wish);
        let host = name.as_str().to_owned();
        let found = (self.lookup)(host.clone());
        Box::pin(async move {
            let mut forbidden = None;
            let mut passing = Vec::new();
            for address in found.await? {
                match guard.check(&host, address.ip(), wish) {
                    Ok(()) => passing.push(address),
                    Err(refused) => forbidden = Some(refused),
                }
            }
            match forbidden {
                Some(refused) if passing.is_empty() => Err(refused.into()),
                Some(_) | None => Ok(Box::new(passing.into_iter()) as Addrs),
            }
        })
    }
}

fn refusal(error: &(dyn Error + 'static)) -> Refusal {
    match causes(error).find_map(|cause| cause.downcast_ref::<Forbidden>()) {
        Some(forbidden) => Refusal::ForGood { reason: forbidden.to_string() },
        None => Refusal::for_now(error_chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::{super::own::Own, *};

    fn post(allowances: &[&str], lookup: Lookup) -> Post {
        // Another test may have done it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let own = Own { listeners: Vec::new(), registry: None };
        let guard = Guard::new(allowances.iter().map(|text| text.parse().unwrap()).collect(), Vec::new(), own);
        Post::with_lookup("test".to_owned(), Duration::from_secs(2), guard, lookup).unwrap()
    }

    /// Names stand for these addresses, one after the other.
    fn names(addresses: &'static [&'static [&'static str]]) -> Lookup {
        let asked = AtomicUsize::new(0);
        Arc::new(move |_| {
            let turn = asked.fetch_add(1, Ordering::SeqCst).min(addresses.len() - 1);
            let found = addresses[turn].iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect();
            async move { Ok(found) }.boxed()
        })
    }

    /// A server that counts connections and answers each request with this head.
    async fn server(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (port, connections)
    }

    async fn send(post: &Post, url: &str) -> Result<(), Refusal> {
        post.post(&url.parse().unwrap(), Caller::Any, HeaderMap::new(), (Body::default(), 0), None).await
    }

    fn is_forbidden(result: &Result<(), Refusal>) -> bool {
        matches!(result, Err(Refusal::ForGood { reason }) if reason.contains("are not allowed"))
    }

    const TAKEN: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn every_spelling_of_an_address_is_judged() {
        let (port, connections) = server(TAKEN).await;
        let post = post(&[], names(&[&["127.0.0.1"]]));
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:ffff:7f00:0001]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "１２７.0.0.1",
            "127。0。0。1",
            "127.0.0.1.",
            "localhost",
            "LOCALHOST.",
            "anything.example",
            "user:pass@127.0.0.1",
            "%31%32%37.0.0.1",
        ] {
            let url = match host.split_once('@') {
                Some((user, host)) => format!("http://{user}@{host}:{port}/"),
                None => format!("http://{host}:{port}/"),
            };
            let result = send(&post, &url).await;
            assert!(is_forbidden(&result), "{url}: {result:?}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_name_that_changes_its_address_gains_nothing() {
        let (port, connections) = server(TAKEN).await;
        // First public as if for a check, then loopback: nothing is looked up twice for one connection.
        let post = post(&["192.0.2.0/24"], names(&[&["192.0.2.1"], &["127.0.0.1"], &["127.0.0.1"]]));
        let url = format!("http://rebinding.example:{port}/");
        let first = send(&post, &url).await;
        assert!(matches!(first, Err(Refusal::ForNow { .. })), "the public one does not answer: {first:?}");
        for _ in 0..2 {
            let later = send(&post, &url).await;
            assert!(is_forbidden(&later), "{later:?}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn of_several_addresses_only_the_permitted_ones_are_dialled() {
        let (port, connections) = server(TAKEN).await;
        let url = format!("http://both.example:{port}/");
        let allowed = post(&["127.0.0.1"], names(&[&["10.255.255.1", "::1", "127.0.0.1"]]));
        assert_eq!(send(&allowed, &url).await, Ok(()));
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (target, reached) = server(TAKEN).await;
        for status in
            ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
        {
            let answer = format!(
                "HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:{target}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let (port, _) = server(answer.leak()).await;
            let result = send(&post(&["loopback"], names(&[&[]])), &format!("http://127.0.0.1:{port}/")).await;
            assert!(matches!(&result, Err(Refusal::ForGood { reason }) if reason.contains("redirect")), "{result:?}");
        }
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_receiver_that_is_away_may_come_back() {
        let post = post(&["loopback"], names(&[&[]]));
        for url in ["http://127.0.0.1:1/", "http://nowhere.example/"] {
            let result = send(&post, url).await;
            assert!(matches!(result, Err(Refusal::ForNow { .. })), "{url}: {result:?}");
        }
    }
}
