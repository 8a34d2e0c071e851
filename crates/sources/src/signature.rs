//! Where a request has its signatures, and how they are written.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::HeaderName;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    reference::{ParseError, Place, Reference, quoted},
    resolve::{ResolveError, Scope},
};

/// More signatures than this in one request are not looked at.
const MAX_SIGNATURES: usize = 128;
/// The most headers that `headers:NAME-{1..N}` may name.
const MAX_NUMBERED_HEADERS: usize = 100;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Base64 with padding or without.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
pub(crate) const BASE64_URL: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING.with_encode_padding(false));

/// How a signature or a hash is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Of any case.
    Hex,
    Base64,
    Base64Url,
}

/// The key `signature` of a scheme.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignatureRule {
    pub from: SignatureSource,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Reference>,
    /// The characters that separate items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pick: Option<Pick>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<First>,
    pub encoding: Encoding,
}

/// What the first item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum First {
    Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureSource {
    Reference(Reference),
    /// `headers:PREFIX{1..N}`.
    Headers {
        text: String,
        names: Vec<HeaderName>,
    },
}

/// `pick`: what an item looks like that holds a signature (`v1={sig}`, `{any}|{sig}`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    text: String,
    before: String,
    /// What stands between `{any}` and `{sig}`.
    after_any: Option<String>,
    after: String,
}

/// `signature` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenSignature {
    from: String,
    #[serde(default)]
    also: Vec<String>,
    split: Option<String>,
    pick: Option<Pick>,
    first: Option<First>,
    encoding: Encoding,
}

impl WrittenSignature {
    pub(crate) fn has_fields(&self) -> bool {
        self.split.is_some()
    }

    pub(crate) fn check(self, each: bool) -> Result<SignatureRule, ParseError> {
        let place = Place::Scheme { each, timestamp: false, fields: false };
        let from = match self.from.strip_prefix("headers:") {
            Some(range) => SignatureSource::Headers { names: numbered(range)?, text: self.from.clone() },
            None => SignatureSource::Reference(Reference::parse(&self.from, place)?),
        };
        if self.split.as_ref().is_some_and(String::is_empty) {
            return Err(ParseError("`split` is empty: write the characters that separate signatures".to_owned()));
        }
        if self.first.is_some() && self.split.is_none() {
            return Err(ParseError("`first` needs `split`".to_owned()));
        }
        let also = self.also.iter().map(|text| Reference::parse(text, place)).collect::<Result<_, _>>()?;
        Ok(SignatureRule { from, also, split: self.split, pick: self.pick, first: self.first, encoding: self.encoding })
    }
}

impl SignatureRule {
    /// Each reference that names where signatures are.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        let from = if let SignatureSource::Reference(reference) = &self.from { Some(reference) } else { None };
        from.into_iter().chain(&self.also)
    }

    /// The texts that hold signatures: each value of a header, and what `also` names.
    pub(crate) fn groups<'s>(&'s self, scope: &'s Scope<'s>) -> Result<Vec<Cow<'s, [u8]>>, ResolveError> {
        let headers = scope.input.request.headers;
        let mut groups = Vec::new();
        let all = |name: &HeaderName| headers.get_all(name).iter().map(|value| Cow::Borrowed(value.as_bytes()));
        let mut references = self.also.iter().collect::<Vec<_>>();
        match &self.from {
            SignatureSource::Headers { names, .. } => groups.extend(names.iter().flat_map(all)),
            SignatureSource::Reference(reference) => references.insert(0, reference),
        }
        for reference in references {
            match reference {
                Reference::Header(name) => groups.extend(all(name)),
                _ => groups.extend(scope.resolve(reference)?),
            }
        }
        Ok(groups)
    }

    /// The signatures that can be decoded; others are passed over.
    pub(crate) fn signatures(&self, groups: &[Cow<'_, [u8]>]) -> Vec<Vec<u8>> {
        let items = groups.iter().flat_map(|group| self.items(group).skip(usize::from(self.first.is_some())));
        items
            .filter_map(|item| {
                let signature = match &self.pick {
                    Some(pick) => pick.signature(item)?,
                    None => item,
                };
                self.encoding.decode(signature).filter(|signature| !signature.is_empty())
            })
            .take(MAX_SIGNATURES)
            .collect()
    }

    fn items<'g>(&self, group: &'g [u8]) -> impl Iterator<Item = &'g [u8]> {
        let split = self.split.clone().unwrap_or_default();
        group.split(move |byte| split.as_bytes().contains(byte)).map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
    }

    /// The `key=value` items of the first group.
    pub(crate) fn fields<'g>(&self, groups: &'g [Cow<'_, [u8]>]) -> Fields<'g> {
        match groups.first() {
            Some(group) if self.split.is_some() => {
                Fields { items: self.items(group).collect(), first: self.first.is_some() }
            }
            _ => Fields::default(),
        }
    }
}

/// The items of a signature header that `signature:FIELD` can name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'g> {
    items: Vec<&'g [u8]>,
    first: bool,
}

impl<'g> Fields<'g> {
    pub(crate) fn get(&self, field: &str) -> Option<&'g [u8]> {
        if self.first && field == "first" {
            return self.items.first().copied();
        }
        self.items.iter().find_map(|item| item.strip_prefix(field.as_bytes())?.strip_prefix(b"="))
    }
}

impl Pick {
    fn parse(text: &str) -> Result<Self, ParseError> {
        let bad =
            || ParseError(format!("`pick` {} needs {{sig}} once, and {{any}} once at most before it", quoted(text)));
        let (start, after) = text.split_once("{sig}").ok_or_else(bad)?;
        let (before, after_any) = match start.split_once("{any}") {
            Some((before, between)) if !between.is_empty() => (before, Some(between)),
            Some(_) => return Err(bad()),
            None => (start, None),
        };
        if [before, after_any.unwrap_or_default(), after].iter().any(|literal| literal.contains(['{', '}'])) {
            return Err(bad());
        }
        Ok(Self {
            text: text.to_owned(),
            before: before.to_owned(),
            after_any: after_any.map(str::to_owned),
            after: after.to_owned(),
        })
    }

    fn signature<'i>(&self, item: &'i [u8]) -> Option<&'i [u8]> {
        let mut rest = item.strip_prefix(self.before.as_bytes())?;
        if let Some(literal) = &self.after_any {
            let literal = literal.as_bytes();
            let at = rest.windows(literal.len()).position(|window| window == literal)?;
            let (any, after) = rest.split_at_checked(at)?;
            if any.contains(&b'|') {
                return None;
            }
            rest = after.strip_prefix(literal)?;
        }
        rest.strip_suffix(self.after.as_bytes())
    }

    /// An item that holds a signature.
    pub(crate) fn write(&self, signature: &str) -> String {
        let any = self.after_any.as_ref().map(|literal| format!("skep{literal}")).unwrap_or_default();
        format!("{}{any}{signature}{}", self.before, self.after)
    }
}

impl Encoding {
    pub(crate) fn decode(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex_decode(text),
            Self::Base64 => BASE64.decode(text).ok(),
            Self::Base64Url => BASE64_URL.decode(text).ok(),
        }
    }

    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex_encode(bytes),
            Self::Base64 => BASE64.encode(bytes),
            Self::Base64Url => BASE64_URL.encode(bytes),
        }
    }
}

pub(crate) fn hex_decode(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

pub(crate) fn hex_encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The names of `PREFIX{1..N}`.
fn numbered(range: &str) -> Result<Vec<HeaderName>, ParseError> {
    let bad = || {
        ParseError(format!(
            "headers:{range} is no range: write headers:NAME-{{1..N}}, N at most {MAX_NUMBERED_HEADERS}"
        ))
    };
    let (prefix, numbers) = range.strip_suffix('}').and_then(|range| range.split_once('{')).ok_or_else(bad)?;
    let (first, last) = numbers.split_once("..").ok_or_else(bad)?;
    let (first, last): (usize, usize) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if first > last || last > MAX_NUMBERED_HEADERS {
        return Err(bad());
    }
    (first..=last).map(|number| format!("{prefix}{number}").parse().map_err(|_| bad())).collect()
}

impl Serialize for SignatureSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Reference(reference) => reference.serialize(serializer),
            Self::Headers { text, .. } => serializer.serialize_str(text),
        }
    }
}

impl Serialize for Pick {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pick {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
