//! Challenges as they are written.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    challenge_rule::{Challenge, ContentType, Scalar},
    reference::Reference,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenChallenge {
    pub(crate) when: WrittenCondition,
    pub(crate) need: WrittenNeed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learn: Option<String>,
    pub(crate) answer: WrittenAnswer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deny: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WrittenCondition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) query: BTreeMap<String, Scalar>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) header: BTreeMap<String, Scalar>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) json: BTreeMap<String, Scalar>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) present: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) absent: Vec<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json_is: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WrittenNeed {
    Word(String),
    Secret(WrittenSecretNeed),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenSecretNeed {
    pub(crate) secret: String,
    pub(crate) equals: Reference,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenAnswer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    #[serde(rename = "type", default)]
    pub(crate) content: ContentType,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

impl From<Challenge> for WrittenChallenge {
    fn from(challenge: Challenge) -> Self {
        challenge.written
    }
}

impl Serialize for WrittenNeed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => serializer.serialize_str(word),
            Self::Secret(need) => need.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for WrittenNeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrSecret;
        impl<'de> Visitor<'de> for WordOrSecret {
            type Value = WrittenNeed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("none, signature, or a named secret and what must be equal to it")
            }

            fn visit_str<E>(self, word: &str) -> Result<WrittenNeed, E> {
                Ok(WrittenNeed::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenNeed, A::Error> {
                WrittenSecretNeed::deserialize(MapAccessDeserializer::new(map)).map(WrittenNeed::Secret)
            }
        }
        deserializer.deserialize_any(WordOrSecret)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a whole number, true or false")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                i64::try_from(number).map(Scalar::Number).map_err(E::custom)
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(One)
    }
}
