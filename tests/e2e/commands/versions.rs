//! `skep versions`, `skep diff` and `skep rollback`.

use serde_json::Value;

use crate::harness::{Function, Platform};

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn versions_are_listed_compared_and_brought_back() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    let deploy = async |more: &[&str]| site.client(&[&["deploy", "up"], more].concat()).await.said();
    deploy(&["--command", "tr a-z A-Z", "--env", "KEY=one-secret", "--note", "the first one"]).await;
    let changed = ["--command", "tr a-z B-ZA", "--env", "KEY=two-secret", "--note", "Cäsar's"];
    assert!(deploy(&changed).await.contains("up  1 of 1 ready"));
    assert!(deploy(&changed).await.contains("stays as it is"), "an unchanged deploy makes no version");
    assert_eq!(platform.gateway.call("up", "hal").await.text(), "IBM");

    let versions = site.client(&["versions", "up"]).await.said();
    assert!(!versions.contains("secret"), "{versions}");
    let rows = lines(&versions);
    assert_eq!(rows[0], "VERSION STATE AT BY CHANGED NOTE");
    assert!(rows[1].starts_with("2 current 20") && rows[1].ends_with("anonymous command, environment KEY Cäsar's"));
    assert!(rows[2].starts_with("1 former 20") && rows[2].ends_with("anonymous deployed the first one"), "{versions}");
    let differences = "command: tr a-z A-Z -> tr a-z B-ZA\nenvironment KEY: *** -> ***\n";
    assert_eq!(site.client(&["diff", "up", "1", "2"]).await.said(), differences);
    assert_eq!(site.client(&["diff", "up", "1"]).await.said(), differences);
    let same = site.client(&["diff", "up", "2"]).await.said();
    assert_eq!(same, "Versions 2 and 2 have the same settings.\n");
    let json: Value = serde_json::from_str(&site.client(&["diff", "up", "2", "1", "--json"]).await.said()).unwrap();
    assert_eq!((&json["from"], &json["changes"][0]["to"]), (&2.into(), &"tr a-z A-Z".into()));

    let said = site.client(&["rollback", "up", "--note", "it was better"]).await.said();
    assert!(said.starts_with("up has version 3 now, with the settings of version 1\n"), "{said}");
    assert!(said.contains("up  1 of 1 ready"), "{said}");
    assert_eq!(platform.gateway.call("up", "hal").await.text(), "HAL");
    let described = site.client(&["describe", "up"]).await.said();
    assert!(described.contains("by anonymous: it was better"), "{described}");
    let json: Value = serde_json::from_str(&site.client(&["versions", "up", "--json"]).await.said()).unwrap();
    let newest = &json[0];
    assert_eq!(
        (&newest["cause"], &newest["restores"], &newest["replaces"]),
        (&"rollback".into(), &1.into(), &2.into())
    );
    let again: Value = serde_json::from_str(&site.client(&["rollback", "up", "--json"]).await.said()).unwrap();
    assert_eq!((&again["version"], &again["restores"]), (&4.into(), &2.into()), "the one that was left");
}

#[tokio::test]
async fn what_cannot_be_brought_back_is_said_in_words_and_changes_nothing() {
    let platform = Platform::start([Function::cat()]).await;
    let site = &platform.site;
    let rollback = async |more: &[&str]| site.client(&[&["rollback", "cat"], more].concat()).await;
    rollback(&[]).await.failed(1, "function cat has no former version with other settings");
    rollback(&["1"]).await.failed(1, "function cat has version 1 already");
    rollback(&["7"]).await.failed(3, "function cat has no version 7; 1 to 1 are kept");
    rollback(&["1", "--note", "two\nlines"]).await.failed(2, "note is not valid");
    for command in
        [&["versions", "nobody"][..], &["rollback", "nobody"], &["diff", "nobody", "1"], &["diff", "cat", "9"]]
    {
        site.client(command).await.code_is(3);
    }
    let noted = ["deploy", "cat", "--command", "cat -u", "--note", &"x".repeat(501)];
    site.client(&noted).await.failed(2, "note is not valid");
    // A version whose secret is gone cannot be brought back.
    site.client_reading("1", &["secret", "set", "key"]).await.said();
    site.client(&["deploy", "cat", "--command", "cat", "--secret", "key"]).await.said();
    site.client(&["deploy", "cat", "--command", "cat -u"]).await.said();
    site.client(&["secret", "remove", "key"]).await.said();
    rollback(&["2"]).await.failed(1, "function cat cannot go back to version 2: ");
    let json: Value = serde_json::from_str(&site.client(&["versions", "cat", "--json"]).await.said()).unwrap();
    assert_eq!((json.as_array().unwrap().len(), &json[0]["state"]), (3, &"current".into()));
}
