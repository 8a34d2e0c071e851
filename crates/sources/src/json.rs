//! One value of a JSON text, as it is written there: numbers keep their digits, and nothing is built of the rest.

use std::fmt;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::reference::JsonPath;

/// What is at a path.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Absent,
    Value(&'a RawValue),
    /// A step of the path goes into something that cannot have it, or a key is there twice, which two parsers read differently.
    Ambiguous,
}

/// Looks for a value; an error says that the text is no JSON.
pub(crate) fn find<'a>(json: &'a [u8], path: &JsonPath) -> Result<Found<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let found = Walk(path.segments()).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

/// The elements of an array.
pub(crate) fn elements(array: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(array.get()).ok()
}

/// Whether the text is an object of exactly these keys, each once.
pub(crate) fn has_only_keys(json: &[u8], keys: &[String]) -> bool {
    struct Keys(Vec<String>);
    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Keys;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some((key, IgnoredAny)) = map.next_entry()? {
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(Collect)
        }
    }
    serde_json::from_slice::<Keys>(json)
        .is_ok_and(|found| found.0.len() == keys.len() && keys.iter().all(|key| found.0.contains(key)))
}

struct Walk<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return <&RawValue>::deserialize(deserializer).map(Found::Value);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((segment, rest)) = self.0.split_first() else { return Ok(Found::Ambiguous) };
        let mut found = Found::Absent;
        let mut seen = false;
        while let Some(fits) = map.next_key_seed(KeyIs(segment))? {
            if !fits {
                map.next_value::<IgnoredAny>()?;
            } else if seen {
                map.next_value::<IgnoredAny>()?;
                found = Found::Ambiguous;
            } else {
                seen = true;
                found = map.next_value_seed(Walk(rest))?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let index = self.0.split_first().and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)));
        let mut found = if index.is_some() { Found::Absent } else { Found::Ambiguous };
        let mut at = 0;
        loop {
            match index {
                Some((index, rest)) if index == at => match seq.next_element_seed(Walk(rest))? {
                    Some(element) => found = element,
                    None => return Ok(found),
                },
                _ => {
                    if seq.next_element::<IgnoredAny>()?.is_none() {
                        return Ok(found);
                    }
                }
            }
            at += 1;
        }
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Found::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Found::Ambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Found::Ambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Found::Ambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Found::Ambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Found::Ambiguous)
    }
}

struct KeyIs<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}
