//! The templates of `skep new` in languages that Debian has.

use crate::harness::Platform;

#[tokio::test]
async fn functions_in_go_and_node_are_built_deployed_and_called() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    for (lang, request, expected) in
        [("go", "request.txt", "hello Ada, from my-go\n"), ("node", "request.json", "{\"hello\":\"Ada\"}\n")]
    {
        let name = format!("my-{lang}");
        site.client(&["new", &name, "--lang", lang, "-f", "app.yml"]).await.said();
        let said = site.client(&["deploy", "-f", "app.yml", "--build", "--filter", &name]).await;
        assert!(said.code == Some(0) && said.stdout.contains("1 of 1 ready"), "{said:?}");
        let file = format!("{name}/{request}");
        assert_eq!(site.client(&["invoke", &name, "--file", &file]).await.said(), expected);
    }
}
