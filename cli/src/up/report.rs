//! What `skep up` says when everything runs.

use std::{fmt::Write, net::SocketAddr, path::Path, sync::Arc};

use skep_bus::ServerUrls;
use skep_dispatch::Function;
use skep_protocol::SourceName;

use crate::{output, up::login::Login};

/// What to do where nothing is deployed; the password is found from the same folder.
const FIRST_STEPS: &str = "No function is deployed yet. Try, in another terminal and in the same folder:
  skep deploy upper --command 'tr a-z A-Z'
  echo shout | skep invoke upper
";

/// Whether all replicas that are wanted have answered.
pub(crate) fn is_up(function: &Function) -> bool {
    function.replicas() as u64 >= function.record.replicas
}

/// Where what comes in comes in, and where callbacks may go.
pub(crate) struct EntryPoints<'up> {
    /// The gateway's address.
    pub(crate) gateway: String,
    /// The admin API's, if it has one of its own.
    pub(crate) admin_api: Option<String>,
    pub(crate) admin: SocketAddr,
    pub(crate) nats: &'up str,
    pub(crate) callbacks: &'static str,
    pub(crate) login: Option<Login>,
}

/// Where NATS is, and how a service of one's own gets in.
pub(crate) fn nats(servers: &ServerUrls, publisher: Option<&Path>, device: Option<(SocketAddr, &Path)>) -> String {
    let device = device.map(|(address, file)| {
        format!("\n  mqtt       mqtt://{address}, for devices with the user in {}", file.display())
    });
    let line = match publisher {
        Some(file) => format!("{servers}, for services with the user in {}", file.display()),
        None => servers.to_string(),
    };
    line + &device.unwrap_or_default()
}

/// A webhook source, and the address that its provider knows, if that is declared.
pub(crate) type Webhook = (SourceName, Option<String>);

pub(crate) fn print(functions: &[Arc<Function>], sources: &[Webhook], entry_points: &EntryPoints<'_>, all_up: bool) {
    let EntryPoints { gateway, admin_api, admin, nats, callbacks, login } = entry_points;
    let own_api = admin_api.as_ref().map(|address| format!("  admin API  {address}\n")).unwrap_or_default();
    let password = login.as_ref().map_or("not asked for (--basic-auth=false)".to_owned(), Login::describe);
    let mut text = format!(
        "\nskep {} is up\n  gateway    {gateway}\n{own_api}  password   {password}\n  admin      http://{admin}/metrics\n  \
         nats       {nats}\n  callbacks  to {callbacks}\n\n",
        skep_protocol::VERSION
    );
    let longest = functions.iter().map(|function| function.name.to_string().len()).max().unwrap_or_default().max(8);
    if functions.is_empty() {
        text.push_str(FIRST_STEPS);
    } else {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{:longest$}  REPLICAS  COMMAND", "FUNCTION");
    }
    for function in functions {
        let replicas = format!("{}/{}", function.replicas(), function.record.replicas);
        let command = &function.record.deployment.env_process;
        let _ = writeln!(text, "{:longest$}  {replicas:8}  {command}", function.name.to_string());
    }
    for (source, url) in sources {
        let url = url.clone().unwrap_or_else(|| format!("{gateway}/hooks/{source}"));
        let _ = writeln!(text, "source {source} takes events at {url}");
    }
    if !all_up {
        text.push_str("Some replicas have not answered yet; their log is below.\n");
    }
    text.push_str(&hints(functions, gateway, admin_api.as_ref().unwrap_or(gateway), login.as_ref()));
    output::line(text);
}

/// Three calls to try, of functions that are there.
fn hints(functions: &[Arc<Function>], gateway: &str, admin_api: &str, login: Option<&Login>) -> String {
    let mut names: Vec<String> = functions.iter().map(|function| function.name.to_string()).collect();
    // The samples that answer anything at once come first.
    names.sort_by_key(|name| !["wordcount", "sha256"].contains(&name.as_str()));
    let (Some(other), Some(one)) = (names.first(), names.get(1).or(names.first())) else { return String::new() };
    let user = login.map_or_else(String::new, Login::for_curl);
    format!(
        "\nTry:\n  \
         curl -d 'the bees and the hive' {gateway}/function/{one}\n  \
         curl -i -d 'later' -H 'X-Call-Id: my-first-call' {gateway}/async-function/{other}\n  \
         curl {user}'{admin_api}/system/calls/my-first-call?wait=10s'\n\n\
         Ctrl-C drains and stops; what is queued stays. Log of the functions:\n"
    )
}
