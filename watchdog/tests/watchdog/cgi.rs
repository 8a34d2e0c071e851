//! `cgi_response`: programs that say status and headers themselves.

use crate::support::Watchdog;

const CGI: (&str, &str) = ("cgi_response", "true");

#[test]
fn a_script_sets_status_content_type_and_headers() {
    let script = "echo 'Status: 404 Not Found'; echo 'Content-Type: text/x-test'; echo 'X-Own: 1'; echo; echo gone";
    for settings in [&[CGI][..], &[CGI, ("mode", "streaming")]] {
        let answer = Watchdog::sh(script, settings).get("/");
        assert_eq!((answer.status, answer.text().as_str()), (404, "gone\n"));
        assert_eq!((answer.headers["content-type"].as_str(), answer.headers["x-own"].as_str()), ("text/x-test", "1"));
        assert!(!answer.headers.contains_key("x-skep-error"), "it is the function's answer");
    }
}

#[test]
fn a_head_that_comes_in_pieces_is_waited_for() {
    let script = "printf 'Status: 2'; sleep 0.2; printf '01\\nX-Own: 1\\n'; sleep 0.2; printf '\\nbody'";
    let answer = Watchdog::sh(script, &[CGI, ("mode", "streaming")]).get("/");
    assert_eq!((answer.status, answer.text().as_str()), (201, "body"));
}

#[test]
fn an_output_without_a_head_is_500_and_says_why() {
    for script in ["echo hello", "true", "echo 'Status: 99'; echo", "head -c 70000 /dev/zero; sleep 1000"] {
        for mode in ["fork", "streaming"] {
            let watchdog = Watchdog::sh(script, &[CGI, ("mode", mode), ("output_buffer_size", "1000")]);
            let answer = watchdog.get("/");
            assert_eq!((answer.status, answer.headers["x-skep-error"].as_str()), (500, "bad_output"), "{script}");
            assert!(answer.text().contains("head of a CGI answer"), "{}", answer.text());
            watchdog.wait_until_no_function_runs();
        }
    }
}

#[test]
fn a_failing_script_is_500_with_all_that_it_wrote() {
    let answer = Watchdog::sh("echo 'Status: 200'; echo; echo half; exit 3", &[CGI]).get("/");
    assert_eq!((answer.status, answer.text().as_str()), (500, "exit status 3\nStatus: 200\n\nhalf\n"));
}
