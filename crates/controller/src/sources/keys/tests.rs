use std::time::Duration;

use serde_json::json;
use skep_protocol::SourceRecord;

use super::*;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn source(secrets: SourceSecrets) -> Source {
    let name = "github".parse().unwrap();
    let record = SourceRecord {
        name,
        spec: json!({}),
        created_at: NOW,
        updated_at: NOW,
        paused: false,
        paused_at: None,
        function: None,
    };
    Source { record, secrets }
}

fn text(value: &str) -> SecretText {
    SecretText::new(value.to_owned())
}

fn asked(value: &str, name: Option<&str>) -> AddSourceSecret {
    AddSourceSecret {
        source: "github".parse().unwrap(),
        value: text(value),
        name: name.map(str::to_owned),
        expires_at: None,
        retire_others: None,
        learned: false,
    }
}

fn seal_key() -> SealKey {
    SealKey::parse(&SealKey::generate().unwrap()).unwrap()
}

fn numbers(secrets: &SourceSecrets, now: OffsetDateTime) -> Vec<u64> {
    secrets.active(now).map(|secret| secret.number).collect()
}

#[test]
fn the_newest_secret_is_the_first_and_there_are_four_at_most() {
    let key = seal_key();
    let mut known = source(SourceSecrets::default());
    let add = |known: &Source, asked: AddSourceSecret| Keys { seal_key: &key, source: known }.with(&asked, NOW);
    for (value, number) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        let (secrets, added) = add(&known, asked(value, None)).unwrap();
        assert_eq!(added, number);
        known = source(secrets);
    }
    assert_eq!(numbers(&known.secrets, NOW), [4, 3, 2, 1]);
    assert!(add(&known, asked("e", None)).unwrap_err().to_string().contains("remove one first"));
    assert!(add(&known, asked("b", None)).unwrap_err().to_string().contains("it is number 2"));
    // A named one is of another kind.
    known = source(add(&known, asked("b", Some("verify_token"))).unwrap().0);
    assert_eq!(numbers(&known.secrets, NOW), [5, 4, 3, 2, 1]);

    known = source(without(&known, &WhichSecret::Number(4), NOW).unwrap());
    known = source(without(&known, &WhichSecret::Name("verify_token".to_owned()), NOW).unwrap());
    assert!(matches!(without(&known, &WhichSecret::Number(4), NOW), Err(Error::NotFound(_))));
    // No number comes twice.
    assert_eq!(add(&known, asked("d", None)).unwrap().1, 6);
}

#[test]
fn others_retire_when_they_are_told_to_and_are_gone_then() {
    let key = seal_key();
    let add = |known: &Source, asked: AddSourceSecret, now| Keys { seal_key: &key, source: known }.with(&asked, now);
    let first = source(add(&source(SourceSecrets::default()), asked("a", None), NOW).unwrap().0);
    let retire = AddSourceSecret { retire_others: Some(Duration::from_secs(60)), ..asked("b", None) };
    let second = source(add(&first, retire, NOW).unwrap().0);
    let later = NOW + Duration::from_secs(60);
    assert_eq!((numbers(&second.secrets, NOW), numbers(&second.secrets, later)), (vec![2, 1], vec![2]));
    let third = add(&second, asked("c", None), later).unwrap().0;
    // One that does not count any more is kept for a day.
    assert_eq!(third.secrets.iter().map(|secret| secret.number).collect::<Vec<_>>(), [3, 2, 1]);
    let next_day = add(&source(third), asked("d", None), later + Duration::from_secs(24 * 3600)).unwrap().0;
    assert_eq!(next_day.secrets.iter().map(|secret| secret.number).collect::<Vec<_>>(), [4, 3, 2]);
    let expired = AddSourceSecret { expires_at: Some(NOW), ..asked("d", None) };
    assert!(add(&first, expired, NOW).is_err());
}

#[test]
fn a_source_has_the_secrets_of_its_files_and_those_that_stay_are_not_sealed_anew() {
    let key = seal_key();
    let set = |known: &Source, values: &[&str]| {
        let values = values.iter().map(|value| (None, text(value))).collect();
        Keys { seal_key: &key, source: known }.exactly(values, NOW).unwrap()
    };
    let first = source(set(&source(SourceSecrets::default()), &["new", "old"]));
    assert_eq!(numbers(&first.secrets, NOW), [2, 1]);
    assert_eq!(set(&first, &["new", "old"]), first.secrets);
    assert_eq!(set(&first, &["new", "old", "new"]).secrets.len(), 2);
    let second = set(&first, &["newest", "new"]);
    assert_eq!(numbers(&second, NOW), [3, 2]);
    assert_eq!(second.secrets.get(1), first.secrets.secrets.first());
    // The one that has left verifies nothing, and is kept for a day; this changes nothing either.
    assert_eq!(second.ended(NOW).map(|secret| secret.number).collect::<Vec<_>>(), [1]);
    assert_eq!(set(&source(second.clone()), &["newest", "new"]), second);
    // With another seal key nothing of what is there can be read, and all is sealed anew.
    let anew = Keys { seal_key: &seal_key(), source: &first }.exactly(vec![(None, text("new"))], NOW).unwrap();
    assert_eq!(numbers(&anew, NOW), [3]);
}

#[test]
fn a_file_has_a_key_a_line_or_keys_in_pem() {
    let keys = |content: &str| of_file("f", content.as_bytes().to_vec());
    assert_eq!(keys("new\r\n\n  old \n").unwrap(), [text("new"), text("old")]);
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
    assert_eq!(keys(&format!("{pem}\nother\n{pem}")).unwrap(), [text(pem), text("other"), text(pem)]);
    assert!(keys(" \n").unwrap_err().contains("has no key"));
    assert!(keys("-----BEGIN PUBLIC KEY-----\nAAAA").unwrap_err().contains("PEM"));
    assert!(of_file("f", vec![0xff]).unwrap_err().contains("not text"));
}
