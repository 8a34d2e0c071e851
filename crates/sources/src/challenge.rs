//! Answers to challenges. Some providers have the receiver sign a text of the asker's choice, so that an answer without guards would sign forged events.

use std::{borrow::Cow, time::Duration};

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use subtle::ConstantTimeEq as _;

use crate::{
    Request,
    challenge_rule::{Challenge, ChallengeNeed, Condition, ContentType, Scalar},
    challenge_value::AnswerKeys,
    json::{Found, find, has_only_keys},
    key::KeyForm,
    reference::Reference,
    resolve::{Input, Scope},
    scheme::{Algorithm, Check, Verify},
    secret::{Secret, Secrets},
    template::Template,
    verify::verify,
};

/// The most that is echoed.
const MAX_ECHO_BYTES: usize = 1024;

/// What a source has for challenges.
#[derive(Clone, Copy, Debug)]
pub struct Challenged<'a> {
    pub challenges: &'a [Challenge],
    pub verify: &'a Verify,
    pub secrets: &'a Secrets,
    /// The source's own URL.
    pub url: Option<&'a str>,
    /// The preset's `body.form`.
    pub json_field: Option<&'a str>,
    /// How far a signed time may be from now, in place of the preset's.
    pub tolerance: Option<Duration>,
    /// Whether the source's time to learn its secret from a request is not over.
    pub learning: bool,
}

/// The answer to a challenge. It is no event, and nothing of it is stored but what was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// With the content type.
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The source's secret from now on.
    pub learned: Option<Secret>,
}

/// Answers a challenge; none if the request is none, or does not prove what it must: then it is checked as an event is.
pub fn challenge(source: &Challenged<'_>, request: &Request<'_>) -> Option<Answer> {
    if source.challenges.is_empty() {
        return None;
    }
    let input = Input::new(request, source.json_field);
    source
        .challenges
        .iter()
        .filter(|challenge| challenge.when.holds(&input))
        .find_map(|challenge| source.answer(challenge, &input))
}

impl Challenged<'_> {
    fn answer(&self, challenge: &Challenge, input: &Input<'_>) -> Option<Answer> {
        let Some(secret) = self.proved(challenge, input) else {
            let status = challenge.deny?;
            return Some(Answer { status, headers: HeaderMap::new(), body: Vec::new(), learned: None });
        };
        if let Some(only) = &challenge.only {
            let value = input.resolve(&only.reference).ok()??;
            if !only.pattern.is_match(&value) {
                return None;
            }
        }
        let learned = match &challenge.learn {
            // A stranger must not replace the secret.
            Some(_) if !self.learning || !self.secrets.keys().is_empty() => return None,
            Some(reference) => Some(learned(&input.resolve(reference).ok()??)?),
            None => None,
        };
        let signing = self.key_form().and_then(|form| Some((secret?, form)));
        let answer = Some(AnswerKeys { secrets: self.secrets, signing });
        let scope = Scope { url: self.url, answer, ..Scope::of(input) };
        let rule = &challenge.answer;
        let mut headers = HeaderMap::new();
        for (name, template) in &rule.headers {
            headers.insert(name, HeaderValue::from_bytes(&echo(template, &scope, ContentType::Plain)?).ok()?);
        }
        let body = match &rule.body {
            Some(template) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(rule.content.as_str()));
                headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                echo(template, &scope, rule.content)?
            }
            None => Vec::new(),
        };
        Some(Answer { status: rule.status, headers, body, learned })
    }

    /// If the challenge proves what it must: the secret that its answer is signed with, which is the one that the request is signed with, or the newest.
    fn proved(&self, challenge: &Challenge, input: &Input<'_>) -> Option<Option<&Secret>> {
        let keys = self.secrets.keys();
        match &challenge.need {
            ChallengeNeed::None => Some(keys.first()),
            ChallengeNeed::Signature => {
                let verdict = verify(self.verify, &input.request, self.secrets, self.url, self.tolerance);
                verdict.is_accepted().then(|| keys.iter().find(|secret| Some(secret.name()) == verdict.key()))
            }
            ChallengeNeed::Secret { secret, equals } => {
                let expected = self.secrets.named(secret)?.expose();
                let given = input.resolve(equals).ok()??;
                let fits = !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(&given));
                fits.then_some(keys.first())
            }
        }
    }

    fn key_form(&self) -> Option<KeyForm> {
        self.verify.schemes().iter().find_map(|scheme| match &scheme.check {
            Check::Signed(signed) => match signed.algorithm {
                Algorithm::Hmac(_, form) => Some(form),
                _ => None,
            },
            Check::Token(_) => None,
        })
    }
}

fn learned(value: &[u8]) -> Option<Secret> {
    let text = std::str::from_utf8(value).ok()?.trim();
    (!text.is_empty() && text.len() <= MAX_ECHO_BYTES).then(|| Secret::new("learned", text))
}

fn echo(template: &Template, scope: &Scope<'_>, content: ContentType) -> Option<Vec<u8>> {
    let escape = match content {
        ContentType::Plain => |value: Cow<'_, [u8]>| Some(value.into_owned()),
        ContentType::Json => |value: Cow<'_, [u8]>| in_json(&value),
    };
    template.render_answer(scope, escape).filter(|text| text.len() <= MAX_ECHO_BYTES)
}

/// A text as it stands between the quotes of a JSON string.
fn in_json(value: &[u8]) -> Option<Vec<u8>> {
    let quoted = serde_json::to_string(std::str::from_utf8(value).ok()?).ok()?;
    Some(quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes().to_vec())
}

impl Condition {
    fn holds(&self, input: &Input<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == input.request.method)
            && self.values.iter().all(|(reference, value)| value.is_at(reference, input))
            && self.present.iter().all(|reference| input.is_there(reference))
            && !self.absent.iter().any(|reference| input.is_there(reference))
            && self.json_is.as_ref().is_none_or(|keys| input.json().is_some_and(|json| has_only_keys(json, keys)))
    }
}

impl Scalar {
    fn is_at(&self, reference: &Reference, input: &Input<'_>) -> bool {
        let text = match self {
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        };
        let quoted = matches!(self, Self::Text(_));
        match reference {
            Reference::Json(path) => match input.json().map(|json| find(json, path)) {
                Some(Ok(Found::Value(value))) => {
                    value.get().starts_with('"') == quoted
                        && matches!(input.resolve(reference), Ok(Some(found)) if *found == *text.as_bytes())
                }
                _ => false,
            },
            _ => matches!(input.resolve(reference), Ok(Some(found)) if *found == *text.as_bytes()),
        }
    }
}
