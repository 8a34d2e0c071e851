//! Where the gateway listens, and what is open there.

use std::net::SocketAddr;

use http::Method;

use crate::harness::{Function, Gateway, Platform, Site, answer_to, free_address, http_client, raw};

#[tokio::test]
async fn a_gateway_that_other_machines_reach_needs_a_password_or_an_explicit_word() {
    let mut site = Site::new([]);
    let loopback = site.listen;
    let open = |ip: &str| SocketAddr::new(ip.parse().unwrap(), loopback.port());
    for (flag, listen, admin_api) in [
        ("--listen", open("0.0.0.0"), None),
        ("--listen", open("::"), None),
        ("--admin-api-listen", loopback, Some("0.0.0.0:0")),
    ] {
        site.listen = listen;
        let arguments = admin_api.map_or(vec![], |address| vec!["--admin-api-listen", address]);
        for command in [site.up_command(&arguments), site.gateway_command(&arguments)] {
            let (code, said) = site.run_to_the_end(command).await;
            assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
            let ways = [
                "--basic-auth (SKEP_BASIC_AUTH)",
                "SKEP_ADMIN_API_LISTEN",
                "--insecure-open-admin (SKEP_INSECURE_OPEN_ADMIN)",
            ];
            for named in [&[flag][..], &ways].concat() {
                assert!(said.contains(named), "{named}: {said}");
            }
        }
    }
    assert!(site.processes().is_empty(), "{:?}", site.processes());
    site.listen = open("0.0.0.0");
    let up = site.up(&["--insecure-open-admin"]).await;
    let request = |host: &str| format!("GET /system/functions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    for (host, status) in [("192.0.2.1:8080", 200), ("localhost", 200), ("evil.test", 403)] {
        let answer = raw::exchange(loopback, request(host)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}: {answer}");
    }
    drop(up);
    // Where it is apart, only its own listener matters.
    let mut site = Site::new([]);
    site.listen = SocketAddr::new([0, 0, 0, 0].into(), site.listen.port());
    let api = free_address().to_string();
    site.gateway = Gateway::new(format!("http://{api}"));
    let _up = site.up(&["--admin-api-listen", &api]).await;
}

#[tokio::test]
async fn the_admin_api_may_have_a_listener_of_its_own() {
    let api = free_address().to_string();
    let mut site = Site::new([Function::cat()]);
    site.gateway = Gateway::new(format!("http://{api}"));
    let up = site.up(&["--admin-api-listen", &api]).await;
    let (admin, public) = (site.gateway.clone(), Gateway::new(format!("http://{}", site.listen)));
    assert_eq!(public.call("cat", "x").await.text(), "x");
    let id = public.queue("cat", "x").await;
    assert_eq!(admin.finished(&id).await["state"], "succeeded");
    for (method, path) in
        [(Method::GET, "/system/functions"), (Method::POST, "/system/functions"), (Method::GET, "/ui/")]
    {
        answer_to(public.request(method, path).body("{}")).await.assert_refused(404);
    }
    assert!([404, 405].contains(&public.cancel(&id).await.status));
    for path in ["/function/cat", "/async-function/cat", "/"] {
        let answer = answer_to(admin.post(path).body("x")).await;
        assert!([404, 405].contains(&answer.status), "nothing of functions is on the admin API's origin: {answer:?}");
    }
    let late = public.queue_later("cat", "1h").await;
    assert_eq!(admin.cancel(&late).await.status, 202);
    assert_eq!(answer_to(admin.get("/healthz")).await.status, 200);
    let foreign = admin.post("/system/functions").header("Sec-Fetch-Site", "cross-site").body("{}");
    answer_to(foreign).await.assert_refused(403);
    drop(up);
}

#[tokio::test]
async fn metrics_are_on_the_admin_port_and_where_functions_are_called_only_if_that_is_wanted() {
    let platform = Platform::start([Function::cat()]).await;
    answer_to(platform.gateway.get("/metrics")).await.assert_refused(404);
    let admin = answer_to(http_client().get(format!("http://{}/metrics", platform.site.admin))).await;
    assert!(admin.text().contains("gateway_"), "{admin:?}");
    let open = Platform::start_with(&["--open-metrics"], [Function::cat()]).await;
    assert_eq!(answer_to(open.gateway.get("/metrics")).await.status, 200);
}
