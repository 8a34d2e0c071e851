//! `challenge`: requests that a provider sends to see whose the address is, as they are written.

use http::{HeaderName, Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{
    ack::success,
    challenge_text::{WrittenAnswer, WrittenChallenge, WrittenCondition, WrittenNeed},
    reference::{JsonPath, ParseError, Place, Reference, quoted},
    template::Template,
    text::Pattern,
};

/// One kind of challenge, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenChallenge", into = "WrittenChallenge")]
pub struct Challenge {
    /// As it was written, to store it.
    pub(crate) written: WrittenChallenge,
    pub(crate) when: Condition,
    pub(crate) need: ChallengeNeed,
    /// What a value must look like: a MAC of any text would sign a forged event.
    pub(crate) only: Option<Only>,
    /// A value that becomes the source's secret.
    pub(crate) learn: Option<Reference>,
    pub(crate) answer: AnswerRule,
    /// The status if `need` is not met.
    pub(crate) deny: Option<StatusCode>,
}

/// What makes a request a challenge and not an event. All must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) method: Option<Method>,
    /// A reference to one of query, headers and JSON, and the value.
    pub(crate) values: Vec<(Reference, Scalar)>,
    pub(crate) present: Vec<Reference>,
    pub(crate) absent: Vec<Reference>,
    /// The body's JSON is an object of these keys only.
    pub(crate) json_is: Option<Vec<String>>,
}

/// A value in `when`; 0 is not "0" in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Bool(bool),
    Number(i64),
    Text(String),
}

/// What a challenge must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChallengeNeed {
    None,
    Signature,
    /// A value must be a named secret.
    Secret {
        secret: String,
        equals: Reference,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Only {
    pub(crate) reference: Reference,
    pub(crate) pattern: Pattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnswerRule {
    pub(crate) status: StatusCode,
    pub(crate) content: ContentType,
    pub(crate) headers: Vec<(HeaderName, Template)>,
    pub(crate) body: Option<Template>,
}

/// Never HTML: an echo of what a stranger sends must not run in a browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ContentType {
    #[default]
    #[serde(rename = "text/plain")]
    Plain,
    #[serde(rename = "application/json")]
    Json,
}

fn refused<T>(reason: String) -> Result<T, ParseError> {
    Err(ParseError(reason))
}

impl TryFrom<WrittenChallenge> for Challenge {
    type Error = ParseError;

    fn try_from(written: WrittenChallenge) -> Result<Self, ParseError> {
        let kept = written.clone();
        let need = match written.need {
            WrittenNeed::Word(word) if word == "none" => ChallengeNeed::None,
            WrittenNeed::Word(word) if word == "signature" => ChallengeNeed::Signature,
            WrittenNeed::Word(word) => {
                return refused(format!("`need` {} must be none, signature, or secret with equals", quoted(&word)));
            }
            WrittenNeed::Secret(need) => ChallengeNeed::Secret { secret: need.secret, equals: need.equals },
        };
        let only = written.only.as_deref().map(Only::parse).transpose()?;
        let answer = written.answer.check()?;
        for inner in answer.macs() {
            if only.as_ref().is_none_or(|only| only.reference != *inner) {
                return refused(format!(
                    "the answer has a MAC of {inner}, so the challenge needs `only: \"{inner} ^…$\"`: without it anybody can have an event signed"
                ));
            }
        }
        let deny = match written.deny.map(StatusCode::from_u16) {
            None => None,
            Some(Ok(status)) if status.is_client_error() => Some(status),
            Some(_) => return refused("`deny` must be from 400 to 499".to_owned()),
        };
        let learn = written.learn.as_deref().map(|text| Reference::parse(text, Place::Event)).transpose()?;
        let when = written.when.check()?;
        Ok(Self { written: kept, when, need, only, learn, answer, deny })
    }
}

impl WrittenCondition {
    fn check(self) -> Result<Condition, ParseError> {
        let mut values = Vec::new();
        for (name, value) in self.query {
            values.push((Reference::Query(name), value));
        }
        for (name, value) in self.header {
            values.push((Reference::parse(&format!("header:{name}"), Place::Event)?, value));
        }
        for (path, value) in self.json {
            values.push((Reference::Json(path.parse::<JsonPath>()?), value));
        }
        let method = self
            .method
            .map(|method| method.parse().map_err(|_| ParseError(format!("`method` {} is no method", quoted(&method)))));
        let method = method.transpose()?;
        let condition = Condition { method, values, present: self.present, absent: self.absent, json_is: self.json_is };
        if condition == Condition::default() {
            return refused("`when` is empty: every request would be a challenge".to_owned());
        }
        Ok(condition)
    }
}

impl Only {
    fn parse(text: &str) -> Result<Self, ParseError> {
        let Some((reference, pattern)) = text.split_once(' ') else {
            return refused(format!("`only` {} must be a reference, a blank and a pattern", quoted(text)));
        };
        Ok(Self { reference: Reference::parse(reference, Place::Event)?, pattern: Pattern::parse(pattern)? })
    }
}

impl WrittenAnswer {
    fn check(self) -> Result<AnswerRule, ParseError> {
        let template = |text: &str| Template::parse(text, Place::Answer);
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let name = name.parse().map_err(|_| ParseError(format!("{} is no name of a header", quoted(name))))?;
            headers.push((name, template(value)?));
        }
        Ok(AnswerRule {
            status: self.status.map_or(Ok(StatusCode::OK), |status| success(status, "answer"))?,
            content: self.content,
            headers,
            body: self.body.as_deref().map(template).transpose()?,
        })
    }
}

impl ContentType {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "text/plain",
            Self::Json => "application/json",
        }
    }
}

impl AnswerRule {
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.headers.iter().map(|(_, template)| template).chain(&self.body)
    }

    /// What the answer has a MAC of.
    fn macs(&self) -> Vec<&Reference> {
        fn inside<'r>(reference: &'r Reference, macs: &mut Vec<&'r Reference>) {
            match reference {
                Reference::Hmac(_, inner) => macs.push(inner),
                Reference::Lower(inner) => inside(inner, macs),
                Reference::Sha256Hex(parts) => parts.iter().for_each(|part| inside(part, macs)),
                _ => {}
            }
        }
        let mut macs = Vec::new();
        for (reference, _) in self.templates().flat_map(Template::references) {
            inside(reference, &mut macs);
        }
        macs
    }
}
