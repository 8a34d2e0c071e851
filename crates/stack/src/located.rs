//! YAML values that know the line of each of their keys and elements.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;
use skep_sources::KeyStep;

/// A value of any shape.
pub(super) enum Located {
    Scalar(Value),
    List(Vec<Spanned<Located>>),
    Mapping(Vec<(Spanned<String>, Located)>),
}

impl Located {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::List(list) => list.iter().map(|element| element.value.to_json()).collect(),
            Self::Mapping(map) => map.iter().map(|(key, value)| (key.value.clone(), value.to_json())).collect(),
        }
    }

    /// The line of the last step of a way that is there.
    pub(super) fn line_of(&self, way: &[KeyStep]) -> Option<u64> {
        let (step, rest) = way.split_first()?;
        let (line, value) = match (self, step) {
            (Self::Mapping(map), KeyStep::Key(wanted)) => {
                let (key, value) = map.iter().find(|(key, _)| key.value == *wanted)?;
                (key.referenced.line(), value)
            }
            (Self::List(list), KeyStep::Index(index)) => {
                let element = list.get(*index)?;
                (element.referenced.line(), &element.value)
            }
            _ => return None,
        };
        Some(value.line_of(rest).unwrap_or(line))
    }
}

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LocatedVisitor)
    }
}

struct LocatedVisitor;

impl<'de> Visitor<'de> for LocatedVisitor {
    type Value = Located;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Located, E> {
        Ok(Located::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Located, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Located, D::Error> {
        Located::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Located, E> {
        Ok(Located::Scalar(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Located, E> {
        Ok(Located::Scalar(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Located, E> {
        Ok(Located::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Located, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number that JSON has"))?;
        Ok(Located::Scalar(number.into()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Located, E> {
        Ok(Located::Scalar(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Located, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = sequence.next_element()? {
            list.push(element);
        }
        Ok(Located::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Located, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Located::Mapping(map))
    }
}
