//! What the controller needs of a source's declaration, which it checks whole.

use serde_json::Value;
use skep_protocol::{SecretText, SourceName};

use crate::{Error, Result};

/// The bytes of a declaration, as JSON; more would not go through NATS everywhere.
const MAX_DECLARATION: usize = 256 * 1024;

/// A declaration that is valid.
pub(super) struct Declaration {
    /// Whether it asks to be paused.
    pub(super) paused: Option<bool>,
    /// The secrets that it names.
    pub(super) files: Vec<FileUse>,
}

/// A secret that has keys, one a line.
pub(super) struct FileUse {
    /// What a challenge calls it; without a name its keys verify events.
    pub(super) name: Option<String>,
    pub(super) file: String,
}

impl Declaration {
    pub(super) fn read(name: &SourceName, spec: &Value) -> Result<Self> {
        let invalid = |reason: &str| Error::Invalid(format!("source {name}: {reason}"));
        let bytes = serde_json::to_vec(spec).map_or(usize::MAX, |text| text.len());
        if bytes > MAX_DECLARATION {
            return Err(invalid(&format!("its declaration has {bytes} bytes, and {MAX_DECLARATION} are allowed")));
        }
        let fields = spec.as_object().ok_or_else(|| invalid("its declaration is no mapping"))?;
        let files = fields.get("secrets").and_then(Value::as_array).into_iter().flatten();
        let files = files.filter_map(|file| Some(FileUse { name: None, file: file.as_str()?.to_owned() })).collect();
        Ok(Self { paused: fields.get("paused").and_then(Value::as_bool), files })
    }

    /// Fails if a value is no key in the form that the source has them in.
    pub(super) fn check_key(&self, _name: Option<&str>, value: &SecretText) -> Result<()> {
        if value.reveal().trim().is_empty() {
            return Err(Error::Invalid("the secret is empty".to_owned()));
        }
        Ok(())
    }
}
