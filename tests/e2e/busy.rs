//! A skep that does everything which has metrics, again and again.

use std::{fs, net::SocketAddr, time::Duration};

use http::Method;
use rcgen::generate_simple_self_signed;
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    harness::{Function, Gateway, Platform, Program, Receiver, Site, answer_to, free_address},
    nats::client,
};

/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(300);

pub(crate) struct Busy {
    work: JoinHandle<()>,
    _second: Program,
    _platform: Platform,
    /// Where its metrics are: of all roles in one process, and of one more gateway that speaks TLS.
    pub(crate) shown_at: [SocketAddr; 2],
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Busy {
    pub(crate) async fn start() -> Self {
        let functions = [
            Function::cat(),
            Function::new("failing", "sh -c 'exit 3'").attempts(2),
            Function::new("sleepy", "cat").label("com.openfaas.scale.min", "1"),
        ];
        let mut site = Site::new(functions);
        let arguments = ["--scale-from-zero=true", "--audit-every", "1s", "--max-requests-per-address", "100000"];
        let up = site.up_with_password(&arguments).await;
        let platform = Platform { up, gateway: site.gateway.clone(), site };
        let (site, gateway) = (&platform.site, &platform.gateway);
        let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(site.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::write(site.path("cert.pem"), made.cert.pem()).unwrap();
        let second = free_address();
        let tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
        let second_gateway = site.start_gateway_shown_at([free_address(), second], &tls).await;
        declare_sources(gateway).await;
        let work = tokio::spawn(work(gateway.clone(), client(site).await));
        Self { work, _second: second_gateway, shown_at: [site.admin, second], _platform: platform }
    }
}

async fn declare_sources(gateway: &Gateway) {
    let to = |function: &str| json!([{ "to": function }]);
    let webhook = json!({ "preset": "github", "expect_every": "1h", "routes": to("cat") });
    gateway.declare("github", webhook).await;
    for spec in [
        json!({ "name": "ticks", "every": "1s", "overlap": "allow", "routes": to("cat") }),
        json!({ "name": "orders", "nats": { "subjects": ["orders.>"] }, "routes": to("cat") }),
        json!({ "name": "lines", "program": "sh -c 'while :; do date +%N; sleep 1; done'", "routes": to("cat") }),
        // One that ends is started again.
        json!({ "name": "ending", "program": "sh -c 'date +%N; sleep 1'", "routes": to("cat") }),
        json!({ "name": "platform", "skep": ["dead"], "routes": to("cat") }),
    ] {
        let answer = gateway.send(Method::POST, "/system/sources", &spec).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// Never ends.
async fn work(gateway: Gateway, nats: async_nats::Client) {
    let takes = Receiver::start().await;
    let refuses = Receiver::refusing(usize::MAX, http::StatusCode::NOT_FOUND).await;
    let busy = Receiver::refusing(usize::MAX, http::StatusCode::SERVICE_UNAVAILABLE).await;
    let stranger = Gateway::new(gateway.url.clone()).with_credentials("admin", "wrong");
    // Once, because many would slow down those who know the password.
    answer_to(stranger.get("/system/functions")).await;
    for round in 0.. {
        gateway.call("cat", "honey").await;
        gateway.call("failing", "honey").await;
        for receiver in [&takes, &refuses, &busy] {
            let call = gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url).body("honey");
            answer_to(call).await;
        }
        gateway.queue("failing", "honey").await;
        gateway.queue("cat", "honey").await;
        gateway.push("github", &format!("delivery-{round}")).await;
        answer_to(gateway.unsigned_webhook("github", "push", &format!("forged-{round}"), "{}")).await;
        nats.publish("orders.new", "honey".into()).await.unwrap();
        gateway.scale("sleepy", 0).await;
        while gateway.function("sleepy").await.is_some_and(|function| function["availableReplicas"] != 0) {
            sleep(PAUSE).await;
        }
        gateway.call("sleepy", "honey").await;
        sleep(PAUSE).await;
    }
}
