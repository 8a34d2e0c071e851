//! Functions on a Swarm.

use serde_json::{Value, json};

use super::{super::Gateway, FUNCTION};

/// The body that deploys a function of the test image.
pub(crate) fn deployment(name: &str, command: &str) -> Value {
    json!({ "service": name, "image": FUNCTION, "envProcess": command })
}

impl Gateway {
    /// Deploys it and waits until all its replicas answer.
    pub(crate) async fn deploy(&self, function: &Value) {
        let answer = self.send(http::Method::POST, "/system/functions", function).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        self.wait_for_function(function["service"].as_str().unwrap()).await;
    }

    async fn wait_for_function(&self, name: &str) {
        let replicas = async || {
            let function = self.function(name).await?;
            Some(function).filter(|function| function["availableReplicas"] == function["replicas"])
        };
        super::super::wait_for(&format!("the replicas of {name}"), replicas).await;
    }
}
