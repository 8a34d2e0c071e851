//! A function as a test describes it, to be written into a stack file or deployed through the API.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::programs::repository;

#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    command: String,
    folder: Option<PathBuf>,
    environment: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    secrets: Vec<String>,
}

impl Function {
    pub(crate) fn new(name: &str, command: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: command.to_owned(),
            folder: None,
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            secrets: Vec::new(),
        }
    }

    /// Answers with its input.
    pub(crate) fn cat() -> Self {
        Self::new("cat", "cat")
    }

    /// Writes its call id to the file `runs`, and answers with its input.
    pub(crate) fn counted() -> Self {
        Self::new("counted", r#"sh -c 'echo "$Http_X_Call_Id" >> runs; cat'"#)
    }

    /// Writes its call id to the file `runs`, and answers with its input once the file `gate` is there.
    pub(crate) fn gated() -> Self {
        let script = r#"echo "$Http_X_Call_Id" >> runs; while [ ! -e gate ]; do sleep 0.1; done; cat"#;
        Self::new("gated", &format!("sh -c '{script}'"))
    }

    /// Looks whether the file `gate` is there, writes its attempt and how many there are to the file `runs`, and fails if it was not.
    pub(crate) fn failing() -> Self {
        let script = r#"[ -e gate ] || code=3; echo "$Http_X_Skep_Attempt/$Http_X_Skep_Attempts" >> runs; [ ! "$code" ] || { echo sorry; exit $code; }; cat"#;
        Self::new("failing", &format!("sh -c '{script}'"))
    }

    /// The sample that answers with the request as JSON.
    pub(crate) fn echo_http() -> Self {
        Self::new("echo", "./echo-http.py").folder(repository().join("functions/echo-http")).env("mode", "http")
    }

    /// The server for odd answers: `tests/functions/upstream.py`.
    pub(crate) fn upstream() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions/upstream.py");
        Self::new("upstream", program.to_str().unwrap()).env("mode", "http")
    }

    /// Where it runs; by default in the test's folder.
    pub(crate) fn folder(self, folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..self }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Whatever it answers is not tried again.
    pub(crate) fn answers_once(self) -> Self {
        self.annotation("com.openfaas.retry.codes", "")
    }

    /// It has so many attempts, soon after one another.
    pub(crate) fn attempts(self, attempts: u64) -> Self {
        let policy = self.annotation("com.openfaas.retry.attempts", &attempts.to_string());
        policy.annotation("com.openfaas.retry.min_wait", "300ms").annotation("skep.retry.backoff", "fixed")
    }

    pub(crate) fn secret(mut self, name: &str) -> Self {
        self.secrets.push(name.to_owned());
        self
    }

    /// Its section of a stack file.
    pub(crate) fn section(&self) -> Value {
        json!({
            "handler": self.folder,
            "fprocess": self.command,
            "environment": self.environment,
            "labels": self.labels,
            "annotations": self.annotations,
            "secrets": self.secrets,
        })
    }

    /// The body that deploys it.
    pub(crate) fn deployment(&self, test_folder: &Path) -> Value {
        let mut annotations = self.annotations.clone();
        let folder = self.folder.as_deref().unwrap_or(test_folder);
        annotations.insert("skep.workdir".to_owned(), folder.to_str().unwrap().to_owned());
        json!({
            "service": self.name,
            "envProcess": self.command,
            "envVars": self.environment,
            "labels": self.labels,
            "annotations": annotations,
            "secrets": self.secrets,
        })
    }
}
