//! Values as people write them in a declaration: durations, sizes, rates and addresses.

use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer, Visitor},
};
use skep_protocol::{parse_duration, parse_size};

/// How many events a source takes in a time: `50/s`, `100/m` or `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub events: NonZeroU32,
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error =
            || format!("{:?} is not a rate: write events per second, minute or hour (50/s, 100/m, 1000/h)", cut(text));
        let (events, unit) = text.split_once('/').ok_or_else(error)?;
        let per = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(error()),
        };
        let events = events.trim().parse().map_err(|_| error())?;
        Ok(Self { events, per: Duration::from_secs(per) })
    }
}

/// As much of a text as an error shows.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A text, or a number or a truth value that is as good as one.
struct Text {
    text: String,
    is_truth: bool,
}

impl Text {
    /// An error that quotes what was written; readers of YAML do not say which word it was.
    fn quoted(&self, error: &str) -> String {
        if !self.is_truth {
            return error.to_owned();
        }
        let words = if self.text == "on" { "yes, on or true" } else { "no, off or false" };
        let error = error.replace(&format!("{:?}", self.text), words).replace(&format!("`{}`", self.text), words);
        format!("{error}; YAML reads that as a truth value")
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text { text: text.to_owned(), is_truth: false })
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Text, E> {
        Ok(Text { text: if on { "on" } else { "off" }.to_owned(), is_truth: true })
    }
}

fn parsed<'de, D: Deserializer<'de>, T, R: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, R>,
) -> Result<T, D::Error> {
    let text = Text::deserialize(deserializer)?;
    parse(&text.text).map_err(|error| de::Error::custom(text.quoted(&error.to_string())))
}

/// One of a list of words.
pub(crate) fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    parsed(deserializer, |text| T::deserialize(text.into_deserializer()).map_err(|error: de::value::Error| error))
}

/// One of a list of words, of a key that may be left out.
pub(crate) fn maybe_word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    word(deserializer).map(Some)
}

/// A duration of more than nothing.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let duration = parsed(deserializer, parse_duration)?;
    if duration.is_zero() {
        return Err(de::Error::custom("must be more than 0"));
    }
    Ok(Some(duration))
}

pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    parsed(deserializer, |text| parse_size(text).map_err(|reason| format!("{:?}: {reason}", cut(text)))).map(Some)
}

pub(crate) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    parsed(deserializer, Rate::from_str).map(Some)
}

/// `on` or `off`, which YAML readers may take for `true` or `false`.
pub(crate) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    parsed(deserializer, |text| match text {
        "on" | "true" => Ok(Some(true)),
        "off" | "false" => Ok(Some(false)),
        other => Err(format!("{:?} is neither on nor off", cut(other))),
    })
}

/// Something that is read from a text, with the text's own error.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    parsed(deserializer, |text| text.parse()).map(Some)
}

/// Addresses and ranges of addresses.
pub(crate) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| network(text).map_err(de::Error::custom)).collect()
}

fn network(text: &str) -> Result<IpNet, String> {
    skep_networks::network(text).ok_or_else(|| {
        format!(
            "{:?} is neither an address nor a range of addresses (192.0.2.1, 192.0.2.0/24, 2001:db8::/32)",
            cut(text)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_a_second_a_minute_or_an_hour() {
        for (text, events, per) in [("50/s", 50, 1), ("1/m", 1, 60), (" 1000 / h", 1000, 3600)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.events.get(), rate.per.as_secs()), (events, per), "{text}");
        }
        for bad in ["", "50", "0/s", "-1/s", "50/d", "50/", "/s", "1.5/s"] {
            assert!(bad.parse::<Rate>().unwrap_err().contains("50/s, 100/m"), "{bad}");
        }
    }

    #[test]
    fn a_word_that_yaml_reads_as_a_truth_value_is_quoted_as_it_may_have_been_written() {
        for (yaml, expected) in [
            (
                "{every: 1h, overlap: no}",
                "overlap: no, off or false is not one of skip, queue, replace, allow; YAML reads",
            ),
            ("{every: 1h, missed: yes}", "missed: yes, on or true is not one of latest, all, skip; YAML reads"),
            ("{every: 1h, overlap: 'off'}", "overlap: \"off\" is not one of skip, queue, replace, allow"),
            (
                "{preset: github, unverified: off}",
                "unverified: unknown variant no, off or false, expected `reject` or `hold`",
            ),
            ("{preset: github, answer: on}", "answer: unknown variant yes, on or true, expected `ack` or `function`"),
            ("{preset: github, else: no}", "else: unknown variant no, off or false, expected"),
            ("{program: cat, format: no}", "format: unknown variant no, off or false, expected one of `lines`"),
            ("{program: cat, ack: yes}", "ack: unknown variant yes, on or true, expected `stdin`"),
            ("{preset: github, keep: no}", "keep: no, off or false is not a duration"),
            ("{preset: no}", "preset: invalid type: truth value (no, off or false), expected"),
        ] {
            let error = crate::testing::try_receiver(yaml).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{yaml}: {error}");
        }
        assert!(crate::testing::try_receiver("{preset: github, dedup: off}").is_ok());
    }

    #[test]
    fn addresses_are_single_or_ranges() {
        for good in ["192.0.2.1", "192.0.2.0/24", "::1", "2001:db8::/32"] {
            assert!(network(good).is_ok(), "{good}");
        }
        for bad in ["", "192.0.2.0/33", "192.0.2", "example.com", "192.0.2.1:80"] {
            assert!(network(bad).unwrap_err().contains("neither an address"), "{bad}");
        }
    }
}
