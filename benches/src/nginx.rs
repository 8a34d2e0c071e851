//! nginx as reverse proxy before the upstream: what a good proxy costs on this machine.

use std::net::SocketAddr;

use anyhow::Result;

use crate::{
    bench::Bench,
    http::Target,
    process::{Launch, Process, arguments, free_address},
};

/// Starts nginx before an upstream; `None` if it is not installed.
pub(crate) async fn start(bench: &Bench, upstream: SocketAddr) -> Result<Option<(Process, Target)>> {
    let Some(program) = &bench.programs.nginx else { return Ok(None) };
    let folder = bench.new_folder("nginx-files")?;
    let target = Target::new(free_address()?, "/");
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration(target.address, upstream))?;
    let launch = Launch {
        name: "nginx",
        program,
        arguments: arguments([
            "-p".as_ref(),
            folder.as_ref(),
            "-c".as_ref(),
            file.as_ref(),
            "-e".as_ref(),
            "stderr".as_ref(),
        ]),
        variables: vec![],
    };
    let mut process = Process::start(bench, launch)?;
    process.until_ready(async || target.answers().await).await?;
    Ok(Some((process, target)))
}

/// A worker per core, connections to the upstream kept, no access log; the rest is as nginx has it.
fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "user root;
daemon off;
worker_processes auto;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 100000000;
    upstream function {{
        server {upstream};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://function;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}
