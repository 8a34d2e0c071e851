//! The lane of a function, as our hash and as the server's own `partition()` have it.

use async_nats::jetstream::{self, stream};
use skep_protocol::{FunctionName, lane_of};

use crate::{harness::Site, nats};

#[tokio::test]
async fn our_lanes_are_those_of_the_servers_partition() {
    let site = Site::new([]);
    let _server = site.start_nats().await;
    let jetstream = jetstream::new(nats::client(&site).await);
    let config = stream::Config {
        name: "LANES".to_owned(),
        subjects: vec!["published.*".to_owned()],
        storage: stream::StorageType::Memory,
        subject_transform: Some(stream::SubjectTransform {
            source: "published.*".to_owned(),
            destination: "lane.{{partition(16,1)}}.{{wildcard(1)}}".to_owned(),
        }),
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    let mut names: Vec<String> = (0..300).map(|number| format!("function-{number}")).collect();
    names.extend(["a", "0", "figlet", "webhook-stash", "github-summary"].map(str::to_owned));
    names.push("x".repeat(63));
    for name in &names {
        let published = jetstream.publish(format!("published.{name}"), "".into()).await.unwrap();
        let sequence = published.await.unwrap().sequence;
        let stored = stream.get_raw_message(sequence).await.unwrap();
        let lane = lane_of(&name.parse::<FunctionName>().unwrap());
        assert_eq!(stored.subject.as_str(), format!("lane.{lane}.{name}"));
    }
}
