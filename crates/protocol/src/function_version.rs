//! Versions of a function: a deploy that changes its settings makes one.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{FunctionDeployment, changes};

/// The longest note, in bytes.
const MAX_NOTE: usize = 500;
/// Settings that a version names; of more it only has the first ones.
const MAX_CHANGED: usize = 100;
/// The name of a setting is cut off after this many characters.
const MAX_CHANGED_NAME: usize = 100;

/// Who changes a function, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// As in the audit log: `user NAME`, `token NAME`, `anonymous`, `stack file`, or `controller`.
    #[serde(default)]
    pub actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// What somebody has to say about a version: one line of at most 500 bytes. What is read is made to fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Note(String);

/// Why a text cannot be the note of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("note is not valid: write one line of at most {MAX_NOTE} bytes, without control characters")]
pub struct InvalidNote;

/// What made a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionCause {
    Deploy,
    Update,
    Rollback,
    /// The version before it did not become ready, or failed its calls.
    AutomaticRollback,
    /// The function was there before versions were kept; or a cause that only a later skep knows.
    #[serde(other)]
    Unknown,
}

/// A version of a function, without its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionVersion {
    /// Counted from 1; no number is used twice as long as the function exists.
    pub number: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub actor: String,
    pub cause: VersionCause,
    /// The version whose settings a rollback has brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
    /// The version that a rollback has replaced, or the canary that an update has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// The settings that differ from the version before, such as `image` or `annotation skep.timeout`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// What its author says, or why the controller has rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// A version with its settings, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptVersion {
    #[serde(flatten)]
    pub version: FunctionVersion,
    pub deployment: FunctionDeployment,
}

/// A version as lists have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedVersion {
    #[serde(flatten)]
    pub version: FunctionVersion,
    pub state: VersionState,
}

/// What has become of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// It is the current one, and has been ready.
    Current,
    /// It is the current one, and has not been ready yet.
    Starting,
    Former,
    /// It did not become ready, or failed its calls, and was rolled back.
    Failed,
    /// It takes a share of the calls, beside the current one.
    Canary,
}

/// Which of a function's versions is what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionRoles {
    pub current: Option<u64>,
    /// The last one that has been ready.
    pub ready: Option<u64>,
    pub canary: Option<u64>,
}

impl Note {
    pub fn new(text: &str) -> Result<Self, InvalidNote> {
        let text = text.trim();
        match text.len() <= MAX_NOTE && !text.chars().any(char::is_control) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidNote),
        }
    }

    /// A text that is made to fit.
    pub fn fitted(text: &str) -> Self {
        let mut fitted = String::new();
        for letter in text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
            if fitted.len() + letter.len_utf8() > MAX_NOTE {
                break;
            }
            fitted.push(letter);
        }
        Self(fitted.trim().to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Note {
    fn from(text: String) -> Self {
        Self::fitted(&text)
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

impl Author {
    pub fn new(actor: &str, note: Option<Note>) -> Self {
        Self { actor: actor.to_owned(), note }
    }
}

impl VersionCause {
    /// How people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Update => "update",
            Self::Rollback => "rollback",
            Self::AutomaticRollback => "automatic-rollback",
            Self::Unknown => "unknown",
        }
    }
}

impl VersionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Starting => "starting",
            Self::Former => "former",
            Self::Failed => "failed",
            Self::Canary => "canary",
        }
    }
}

impl FunctionVersion {
    /// The version that was rolled back by skep, if this one has replaced it because of that.
    pub fn failed(&self) -> Option<u64> {
        self.replaces.filter(|_| self.cause == VersionCause::AutomaticRollback)
    }
}

/// The names of the settings that differ, as a version keeps them.
pub fn changed_settings(wanted: &FunctionDeployment, former: &FunctionDeployment) -> Vec<String> {
    let names = changes(wanted, former).into_iter().map(|change| change.setting);
    names.take(MAX_CHANGED).map(|name| name.chars().take(MAX_CHANGED_NAME).collect()).collect()
}

/// Whether two deployments of one function have the same settings, whatever its namespace was called.
pub fn has_same_settings(one: &FunctionDeployment, other: &FunctionDeployment) -> bool {
    FunctionDeployment { namespace: other.namespace.clone(), ..one.clone() } == *other
}

/// Versions as a list has them, the newest first.
pub fn listed(kept: Vec<KeptVersion>, roles: VersionRoles) -> Vec<ListedVersion> {
    let failed: Vec<u64> = kept.iter().filter_map(|kept| kept.version.failed()).collect();
    let state = |number: u64| match Some(number) {
        current if current == roles.current && roles.ready == current => VersionState::Current,
        current if current == roles.current => VersionState::Starting,
        canary if canary == roles.canary => VersionState::Canary,
        _ if failed.contains(&number) => VersionState::Failed,
        _ => VersionState::Former,
    };
    let newest_first = kept.into_iter().rev();
    newest_first.map(|kept| ListedVersion { state: state(kept.version.number), version: kept.version }).collect()
}

/// The version to go back to where none is named: the last one with other settings than the current one that did not fail.
///
/// `kept` begins with the oldest version.
pub fn previous(kept: &[KeptVersion], current: u64) -> Option<&KeptVersion> {
    let current = kept.iter().find(|kept| kept.version.number == current)?;
    // A canary that was not even rolled back by hand never was what ran.
    let is_by_hand = |version: &FunctionVersion| version.cause == VersionCause::Rollback;
    let by_others = kept.iter().filter(|kept| !is_by_hand(&kept.version));
    let given_up: Vec<u64> = by_others.filter_map(|kept| kept.version.replaces).collect();
    kept.iter()
        .rev()
        .find(|one| !given_up.contains(&one.version.number) && !has_same_settings(&one.deployment, &current.deployment))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(number: u64, image: &str) -> KeptVersion {
        KeptVersion {
            version: FunctionVersion {
                number,
                at: OffsetDateTime::UNIX_EPOCH,
                actor: "user admin".to_owned(),
                cause: VersionCause::Update,
                restores: None,
                replaces: None,
                changed: Vec::new(),
                note: None,
            },
            deployment: FunctionDeployment { image: image.to_owned(), ..FunctionDeployment::default() },
        }
    }

    /// A version that the controller has made, because one did not become ready.
    fn automatic(number: u64, image: &str, replaces: u64) -> KeptVersion {
        let mut made = version(number, image);
        (made.version.cause, made.version.replaces) = (VersionCause::AutomaticRollback, Some(replaces));
        made
    }

    #[test]
    fn a_note_is_one_line_with_a_bound() {
        assert_eq!(Note::new(" new colours ").unwrap().as_str(), "new colours");
        for bad in ["a\nb", "\u{1b}[31m", &"x".repeat(501)] {
            assert_eq!(Note::new(bad), Err(InvalidNote), "{bad:?}");
        }
        let fitted = Note::fitted(&format!("a\nb{}", "ä".repeat(400)));
        assert!(fitted.as_str().starts_with("a bä") && fitted.as_str().len() <= MAX_NOTE);
        let author: Author = serde_json::from_value(json!({ "actor": "x", "note": "a\nb" })).unwrap();
        assert_eq!(author.note.unwrap().as_str(), "a b");
        assert_eq!(serde_json::from_value::<Author>(json!({})).unwrap(), Author::default());
    }

    #[test]
    fn a_version_is_kept_with_its_settings_and_causes_of_later_versions_are_read() {
        let kept = version(3, "a:1");
        let text = serde_json::to_value(&kept).unwrap();
        assert_eq!((&text["number"], &text["deployment"]["image"]), (&json!(3), &json!("a:1")));
        assert_eq!(serde_json::from_value::<KeptVersion>(text.clone()).unwrap(), kept);
        let mut later = text;
        later["cause"] = json!("moon-phase");
        assert_eq!(serde_json::from_value::<KeptVersion>(later).unwrap().version.cause, VersionCause::Unknown);
    }

    #[test]
    fn each_version_has_a_state() {
        let states = |kept: Vec<KeptVersion>, roles| -> Vec<(u64, &str)> {
            listed(kept, roles).iter().map(|one| (one.version.number, one.state.as_str())).collect()
        };
        let kept = vec![version(1, "a"), version(2, "b"), automatic(3, "a", 2)];
        let roles = VersionRoles { current: Some(3), ready: Some(3), canary: None };
        assert_eq!(states(kept.clone(), roles), [(3, "current"), (2, "failed"), (1, "former")]);
        assert_eq!(states(kept.clone(), VersionRoles { ready: Some(1), ..roles })[0], (3, "starting"));
        let roles = VersionRoles { current: Some(1), ready: Some(1), canary: Some(2) };
        assert_eq!(states(kept[..2].to_vec(), roles), [(2, "canary"), (1, "current")]);
        assert!(states(Vec::new(), VersionRoles::default()).is_empty());
    }

    #[test]
    fn the_previous_version_has_other_settings_and_did_not_fail() {
        let of = |kept: &[KeptVersion]| {
            let current = kept.last().map_or(0, |kept| kept.version.number);
            previous(kept, current).map(|kept| kept.version.number)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[version(1, "a")]), None);
        assert_eq!(of(&[version(1, "a"), version(2, "b")]), Some(1));
        // After a rollback it is the one that was left.
        assert_eq!(of(&[version(1, "a"), version(2, "b"), version(3, "a")]), Some(2));
        assert_eq!(of(&[version(1, "a"), version(2, "b"), automatic(3, "a", 2)]), None);
        let update = |number, image, replaces| {
            let mut made = version(number, image);
            made.version.replaces = Some(replaces);
            made
        };
        assert_eq!(of(&[version(1, "a"), version(2, "b"), update(3, "c", 2)]), Some(1), "2 was a canary");
        assert_eq!(of(&[version(1, "z"), version(2, "a"), version(3, "b"), automatic(4, "a", 3)]), Some(1));
    }

    #[test]
    fn the_name_of_the_default_namespace_changes_nothing() {
        let default = FunctionDeployment { namespace: "openfaas-fn".to_owned(), ..FunctionDeployment::default() };
        assert!(has_same_settings(&default, &FunctionDeployment::default()));
        assert!(!has_same_settings(&version(1, "a").deployment, &version(2, "b").deployment));
    }
}
