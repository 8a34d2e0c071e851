//! The log of a function, past and coming.

use futures_util::StreamExt;
use serde_json::Value;

use crate::harness::{Answer, Function, Platform, answer_to, wait_until};

fn speaker() -> Function {
    Function::new("speaker", r#"sh -c 'echo "said $(cat)" >&2'"#).env("combine_output", "false")
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn saying(lines: &[Value], wanted: &str) -> Vec<String> {
    let texts = lines.iter().map(|line| line["text"].as_str().unwrap().to_owned());
    texts.filter(|text| text.contains(wanted)).collect()
}

#[tokio::test]
async fn past_lines_are_told_as_one_object_a_line() {
    let platform = Platform::start([speaker()]).await;
    let ask = async |query: &str| {
        let answer = answer_to(platform.gateway.get(&format!("/system/logs?name=speaker{query}"))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
        lines(&answer)
    };
    for number in 1..=5 {
        platform.gateway.call("speaker", format!("word-{number}")).await;
        // Its line may come after the answer, and has the time at which it comes.
        wait_until("its line", async || saying(&ask("").await, "said").len() == number).await;
    }
    let all = ask("").await;
    let line = all.iter().find(|line| line["text"].as_str().unwrap().contains("word-3")).unwrap();
    assert_eq!((&line["name"], &line["instance"]), (&"speaker".into(), &"speaker-1".into()));
    assert_eq!(line["namespace"], "openfaas-fn");
    let time = line["timestamp"].as_str().unwrap();
    assert_eq!(saying(&ask(&format!("&since={time}")).await, "said").len(), 3);
    assert_eq!(ask("&tail=2").await.len(), 2);
    assert!(ask("&tail=0").await.len() >= all.len(), "the watchdog may have logged more of the last call meanwhile");
    assert_eq!(ask("&instance=speaker-9").await.len(), 0);
    for bad in ["&tail=many", "&follow=perhaps", "&since=yesterday", "&namespace=other"] {
        let answer = answer_to(platform.gateway.get(&format!("/system/logs?name=speaker{bad}"))).await;
        assert!([400, 404].contains(&answer.status), "{bad}: {answer:?}");
    }
    answer_to(platform.gateway.get("/system/logs")).await.assert_refused(400);
}

#[tokio::test]
async fn lines_of_several_functions_come_in_the_order_of_their_times() {
    let named = |name: &str| Function::new(name, r#"sh -c 'echo "said $(cat)" >&2'"#).env("combine_output", "false");
    let platform = Platform::start([named("first"), named("second"), named("third")]).await;
    let says =
        async |name: &str, word: &str| assert_eq!(platform.gateway.call(name, word.to_owned()).await.status, 200);
    let path = "/system/logs?name=first,second";
    let logged = async || saying(&lines(&answer_to(platform.gateway.get(path)).await), "said");
    says("third", "other").await;
    for (before, (name, word)) in [("first", "one"), ("second", "two"), ("first", "three")].into_iter().enumerate() {
        says(name, word).await;
        // A line may come after the answer, and has the time at which it comes.
        wait_until("its line", async || logged().await.len() > before).await;
    }
    let past = logged().await;
    assert_eq!(past.len(), 3, "{past:?}");
    for (line, word) in past.iter().zip(["one", "two", "three"]) {
        assert!(line.ends_with(&format!("said {word}")), "{past:?}");
    }

    let response = platform.gateway.get(&format!("{path}&follow=true&tail=1")).send().await.unwrap();
    let mut pieces = response.bytes_stream();
    let mut text = String::new();
    for (name, word) in [("second", "four"), ("first", "five")] {
        says(name, word).await;
        while !text.contains(word) {
            text.push_str(std::str::from_utf8(&pieces.next().await.unwrap().unwrap()).unwrap());
        }
    }
    assert!(!text.contains("other"), "{text}");
    answer_to(platform.gateway.get("/system/logs?name=first,nobody")).await.assert_refused(404);
    let many = vec!["first"; 17].join(",");
    answer_to(platform.gateway.get(&format!("/system/logs?name={many}"))).await.assert_refused(400);
}

#[tokio::test]
async fn coming_lines_are_told_as_they_come() {
    let platform = Platform::start([speaker()]).await;
    platform.gateway.call("speaker", "before").await;
    let response = platform.gateway.get("/system/logs?name=speaker&follow=true").send().await.unwrap();
    let mut pieces = response.bytes_stream();
    let mut text = String::new();
    for word in ["before", "after", "later"] {
        if word != "before" {
            platform.gateway.call("speaker", word).await;
        }
        while !text.contains(word) {
            text.push_str(std::str::from_utf8(&pieces.next().await.unwrap().unwrap()).unwrap());
        }
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(saying(&lines, "said").len(), 3, "each line comes once: {text}");
    // `skep up` shows them too.
    wait_until("the log is shown", async || platform.up.stdout().contains("said later")).await;
}
