//! Measures the way to NATS servers: how soon each takes a connection, and how long requests take.

use std::time::{Duration, Instant};

use async_nats::{Client, Request};
use serde::Deserialize;
use skep_protocol::Subjects;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::{Login, OPERATOR, Role, ServerUrls, backup, client::servers};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 5;
const REQUESTS: usize = 20;
/// More than any packet holds, so that what is too large for a part of the way is noticed.
const LARGE: usize = 256 * 1024;

/// How long something takes, or why it does not work.
pub type Measured = Result<Duration, String>;

/// The way to the servers.
#[derive(Clone, Debug)]
pub struct Way {
    /// Until each server has greeted a new connection, by its address.
    pub greetings: Vec<(String, Measured)>,
    /// A small request to JetStream, and its answer.
    pub small: Measured,
    /// The same with a message of 256 KiB.
    pub large: Measured,
}

impl Way {
    /// Measures each several times; the median counts.
    pub async fn measure(servers: &ServerUrls, login: Option<&Login>, subjects: &Subjects) -> Self {
        let mut greetings = Vec::new();
        for (host, port) in servers.hosts() {
            let measured = median(CONNECTIONS, async || greeting(&host, port).await).await;
            greetings.push((format!("{host}:{port}"), measured));
        }
        let client = match connect(servers, login, subjects).await {
            Ok(client) => client,
            Err(reason) => return Self { greetings, small: Err(reason.clone()), large: Err(reason) },
        };
        let small = median(REQUESTS, async || request(&client, subjects, 0).await).await;
        let large = median(CONNECTIONS, async || request(&client, subjects, LARGE).await).await;
        Self { greetings, small, large }
    }
}

/// A server speaks first.
async fn greeting(host: &str, port: u16) -> Measured {
    let began = Instant::now();
    let greeted = async {
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.read_u8().await
    };
    match timeout(ANSWER_TIMEOUT, greeted).await {
        Ok(Ok(_)) => Ok(began.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    }
}

async fn connect(servers: &ServerUrls, login: Option<&Login>, subjects: &Subjects) -> Result<Client, String> {
    let options = servers::options(servers, login).map_err(|error| error.to_string())?;
    let options = options.name("skep doctor").custom_inbox_prefix(inbox(login, subjects));
    let options = options.connection_timeout(ANSWER_TIMEOUT).request_timeout(Some(ANSWER_TIMEOUT));
    options.connect(servers.addresses()).await.map_err(|error| error.to_string())
}

/// Where a user may receive answers.
fn inbox(login: Option<&Login>, subjects: &Subjects) -> String {
    let Some(Login::Password { user, .. }) = login else { return "_INBOX".to_owned() };
    if is_user(user, OPERATOR) {
        return backup::inbox(subjects);
    }
    let role = Role::ALL.into_iter().find(|role| is_user(user, role.user()));
    role.map_or_else(|| "_INBOX".to_owned(), |role| role.inbox(subjects))
}

/// Whether a user is that of a role, of any generation: `skep-gateway`, or `skep-gateway-2` after passwords were rotated.
fn is_user(user: &str, of_role: &str) -> bool {
    let rest = user.strip_prefix(of_role);
    rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok()))
}

/// Asks for the names of the streams, which each user of skep may do.
async fn request(client: &Client, subjects: &Subjects, padding: usize) -> Measured {
    let began = Instant::now();
    let payload = format!("{{\"subject\":\"{}\"}}{}", subjects.invoke_all(), " ".repeat(padding));
    let request = Request::new().payload(payload.into());
    match client.send_request("$JS.API.STREAM.NAMES", request).await {
        Ok(answer) => match serde_json::from_slice::<Refusal>(&answer.payload) {
            Ok(Refusal { error: Some(error) }) => Err(error.description),
            Ok(_) | Err(_) => Ok(began.elapsed()),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// What JetStream answers when it cannot do what it is asked.
#[derive(Deserialize)]
struct Refusal {
    error: Option<Described>,
}

#[derive(Deserialize)]
struct Described {
    #[serde(default)]
    description: String,
}

async fn median(times: usize, measure: impl AsyncFn() -> Measured) -> Measured {
    let mut measured = Vec::with_capacity(times);
    for _ in 0..times {
        measured.push(measure().await?);
    }
    measured.sort_unstable();
    measured.get(times / 2).copied().ok_or_else(|| "nothing was measured".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_each_generation_receives_answers_where_its_role_does() {
        let subjects = Subjects::default();
        let inbox_of =
            |user: &str| inbox(Some(&Login::Password { user: user.to_owned(), password: "p".to_owned() }), &subjects);
        assert_eq!(inbox_of("skep-gateway"), Role::Gateway.inbox(&subjects));
        assert_eq!(inbox_of("skep-queue-worker-2"), inbox_of("skep-queue-worker"));
        assert_eq!(inbox_of("skep-operator-3"), backup::inbox(&subjects));
        assert_eq!(inbox_of("skep-gateway-of-mine"), "_INBOX");
    }
}
