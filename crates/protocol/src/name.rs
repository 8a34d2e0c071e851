//! Names that travel: of functions and of calls.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::{NoContext, Timestamp, Uuid};

use crate::{EventId, Namespace, RouteName, SourceName};

/// The longest name of a function, its namespace included: what a Swarm takes as the name of a service.
const MAX_FUNCTION_NAME: usize = 63;
const MAX_CALL_ID: usize = 128;
/// What the name of a function's canary ends in, where a provider needs one.
const CANARY_SUFFIX: &str = "--canary";

/// The name of a function: lower-case letters, digits and inner hyphens, and after a `_` the namespace, unless that is the default one.
///
/// That makes it safe as a Swarm service name, a NATS subject token and a file name at once.
/// For people it is written `NAME.NAMESPACE`; [`DefaultNamespace`](crate::DefaultNamespace) reads that.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionName(String);

/// Why a text does not name a function.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    #[error("function name is missing")]
    Empty,
    #[error(
        "function name {0:?} is not valid: use lower-case letters, digits and inner hyphens, at most 63 characters with its namespace"
    )]
    Invalid(String),
    #[error("namespace {0:?} is not valid: use lower-case letters, digits and inner hyphens, at most 63 characters")]
    InvalidNamespace(String),
    #[error(
        "function {0} cannot have a canary: its name and its namespace may have 55 characters together, so that the canary's has at most 63"
    )]
    TooLongForCanary(String),
    #[error("function {0} is not in namespace {1}: name one namespace")]
    TwoNamespaces(String, String),
}

impl FunctionName {
    pub(crate) fn new(name: &str, namespace: Option<&Namespace>) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let token = match namespace {
            Some(namespace) => format!("{name}_{namespace}"),
            None => name.to_owned(),
        };
        if is_label(name) && token.len() <= MAX_FUNCTION_NAME {
            return Ok(Self(token));
        }
        Err(NameError::Invalid(beginning(name)))
    }

    /// `NAME`, or `NAME_NAMESPACE`, as it stands in subjects, keys and file names.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name alone.
    pub fn name(&self) -> &str {
        self.0.split_once('_').map_or(&self.0, |(name, _)| name)
    }

    /// The name under which a provider runs the function's canary. No function is deployed under such a name.
    pub fn of_canary(&self) -> Result<Self, NameError> {
        let (name, rest) = (self.name(), self.0.get(self.name().len()..).unwrap_or_default());
        let token = format!("{name}{CANARY_SUFFIX}{rest}");
        if token.len() > MAX_FUNCTION_NAME {
            return Err(NameError::TooLongForCanary(self.to_string()));
        }
        Ok(Self(token))
    }

    /// The function that this is the canary of, or the function itself.
    pub fn without_canary(&self) -> Self {
        match self.name().strip_suffix(CANARY_SUFFIX).filter(|name| !name.is_empty()) {
            Some(name) => Self(format!("{name}{}", self.0.get(self.name().len()..).unwrap_or_default())),
            None => self.clone(),
        }
    }

    pub(crate) fn is_of_canary(&self) -> bool {
        self.without_canary() != *self
    }

    /// The namespace, if it is not the default one.
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once('_').map(|(_, namespace)| namespace)
    }
}

/// Whether a text is a name without a namespace.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    !text.is_empty() && text.len() <= MAX_FUNCTION_NAME && edges && text.bytes().all(inner)
}

/// As much of a text as an error shows.
pub(crate) fn beginning(text: &str) -> String {
    text.chars().take(MAX_FUNCTION_NAME + 1).collect()
}

impl FromStr for FunctionName {
    type Err = NameError;

    fn from_str(token: &str) -> Result<Self, NameError> {
        match token.split_once('_') {
            Some((name, namespace)) => Self::new(name, Some(&namespace.parse()?)),
            None => Self::new(token, None),
        }
    }
}

impl TryFrom<String> for FunctionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<FunctionName> for String {
    fn from(name: FunctionName) -> Self {
        name.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace() {
            Some(namespace) => write!(formatter, "{}.{namespace}", self.name()),
            None => formatter.write_str(&self.0),
        }
    }
}

/// The id of one call, given by the caller in `X-Call-Id` or made by the entry point that accepted it.
///
/// It is the last token of several NATS subjects, so its characters are few: letters, digits, `-` and `_`, at most 128.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallId(String);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("call id is not valid: use 1 to 128 letters, digits, hyphens and underscores")]
pub struct CallIdError;

impl CallId {
    /// A new id that nobody can guess; ids of a later millisecond sort later (UUID version 7).
    pub fn generate() -> Self {
        // Not `now_v7`: it counts up within a millisecond, so that one id tells most of its neighbours' bits.
        // Without a counter all 74 bits beside the time are random, from the CSPRNG of `rand`.
        Self(Uuid::new_v7(Timestamp::now(NoContext)).to_string())
    }

    /// When an id of skep's own making was made; an id that a caller chose has no time.
    pub fn made_at(&self) -> Option<OffsetDateTime> {
        let (seconds, nanoseconds) = Uuid::try_parse(&self.0).ok()?.get_timestamp()?.to_unix();
        let at = OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()?;
        Some(at + std::time::Duration::from_nanos(nanoseconds.into()))
    }

    /// The id of a call that follows from this one, always the same: `ID-SUFFIX`, or for a long id its beginning and a hash of it.
    pub fn derived(&self, suffix: &str) -> Self {
        let whole = format!("{}-{suffix}", self.0);
        if whole.len() <= MAX_CALL_ID {
            return Self(whole);
        }
        // FNV-1a; ids are ASCII, so any byte is a place to cut.
        let hash = whole
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let tail = format!("-{hash:016x}-{suffix}");
        let kept = MAX_CALL_ID.saturating_sub(tail.len());
        Self(format!("{}{tail}", self.0.get(..kept).unwrap_or_default()))
    }

    /// The id of a call that an event of a source makes, always the same for the same parts: `ev-SOURCE-` and a hash of them all.
    pub(crate) fn of_event<'a>(source: &'a SourceName, parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(source.as_str()).chain(parts) {
            hash.update(part);
            hash.update([0]);
        }
        Self(format!("ev-{source}-{}", digits(hash, 12)))
    }

    /// The id of the call that a route makes of an occurrence of a schedule: `cron-SOURCE_ROUTE-OCCURRENCE`.
    ///
    /// No source has `_` in its name, so no two have the same id; a route's dots become `_`, too.
    /// Names that are declared are bounded so that it is no longer than an id may be; a longer one has a hash of its route.
    pub fn of_occurrence(source: &SourceName, route: &RouteName, occurrence: &EventId) -> Self {
        let of_route = |route: &str| format!("{}{route}-{occurrence}", Self::of_schedule(source));
        let id = of_route(&route.as_str().replace('.', "_"));
        if id.len() <= MAX_CALL_ID {
            return Self(id);
        }
        Self(of_route(&format!("h{}", digits(Sha256::new_with_prefix(route.as_str()), 8))))
    }

    /// How the ids of all calls of a schedule begin.
    pub fn of_schedule(source: &SourceName) -> String {
        format!("cron-{source}_")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first bytes of a hash, in hexadecimal digits.
fn digits(hash: Sha256, bytes: usize) -> String {
    hash.finalize().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

impl FromStr for CallId {
    type Err = CallIdError;

    fn from_str(text: &str) -> Result<Self, CallIdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > MAX_CALL_ID || !text.bytes().all(allowed) {
            return Err(CallIdError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CallId {
    type Error = CallIdError;

    fn try_from(text: String) -> Result<Self, CallIdError> {
        text.parse()
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> Self {
        id.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_naming_rule() {
        for good in ["a", "figlet", "a-b", "0", "a_b", &"x".repeat(63)] {
            assert_eq!(good.parse::<FunctionName>().unwrap().as_str(), good);
        }
        for bad in ["-a", "a-", "A", "A_b", "a b", "a.b", "*", ">", "é", &"x".repeat(64)] {
            assert!(matches!(bad.parse::<FunctionName>(), Err(NameError::Invalid(_))), "{bad}");
        }
        assert_eq!("".parse::<FunctionName>(), Err(NameError::Empty));
        for bad in ["a_", "a_B", "a_b_c"] {
            assert!(matches!(bad.parse::<FunctionName>(), Err(NameError::InvalidNamespace(_))), "{bad}");
        }
        assert!(format!("{}_{}", "x".repeat(32), "y".repeat(31)).parse::<FunctionName>().is_err());
    }

    #[test]
    fn a_canary_has_a_name_of_its_own() {
        for (function, canary) in [("a", "a--canary"), ("a_dev", "a--canary_dev")] {
            let (function, canary): (FunctionName, FunctionName) = (function.parse().unwrap(), canary.parse().unwrap());
            assert_eq!(function.of_canary().unwrap(), canary);
            assert_eq!(canary.without_canary(), function);
            assert!(canary.is_of_canary() && !function.is_of_canary());
        }
        assert!(matches!(
            "x".repeat(56).parse::<FunctionName>().unwrap().of_canary(),
            Err(NameError::TooLongForCanary(_))
        ));
    }

    #[test]
    fn ids_of_one_millisecond_have_nothing_but_the_time_in_common() {
        let ids: Vec<u128> =
            (0..20_000).map(|_| CallId::generate().as_str().parse::<Uuid>().unwrap().as_u128()).collect();
        // Version and variant are fixed; of the other bits each differs from the neighbour's in about half of the pairs.
        let random = 0x0fff_3fff_ffff_ffff_ffff_u128;
        let pairs: Vec<u128> =
            ids.windows(2).filter(|pair| pair[0] >> 80 == pair[1] >> 80).map(|pair| pair[0] ^ pair[1]).collect();
        assert!(pairs.len() > 10_000, "{}", pairs.len());
        for bit in (0..80).filter(|bit| random >> bit & 1 == 1) {
            let differ = pairs.iter().filter(|pair| **pair >> bit & 1 == 1).count();
            assert!(
                (pairs.len() * 4 / 10..pairs.len() * 6 / 10).contains(&differ),
                "bit {bit}: {differ} of {}",
                pairs.len()
            );
        }
    }

    #[test]
    fn an_id_of_skep_s_own_tells_when_it_was_made() {
        let age = OffsetDateTime::now_utc() - CallId::generate().made_at().unwrap();
        assert!(age.abs() < time::Duration::seconds(60), "{age}");
        assert!("order-7".parse::<CallId>().unwrap().made_at().is_none());
    }

    #[test]
    fn call_ids_are_safe_as_subject_tokens() {
        assert!("order_17-A".parse::<CallId>().is_ok());
        for bad in ["", "a.b", "a b", "*", ">", "ü", &"x".repeat(129)] {
            assert_eq!(bad.parse::<CallId>(), Err(CallIdError), "{bad}");
        }
        assert!(CallId::generate().as_str().parse::<CallId>().is_ok());
    }
}
