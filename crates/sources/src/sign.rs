//! Signs a request as its provider would, so that the whole path of a source can be tried.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Request,
    json::{self, Found},
    key::{Key, KeyError},
    reference::{JsonPath, Reference},
    resolve::{Input, ResolveError, Scope},
    scheme::{Check, Scheme, Signed, TimeUnit, Verify},
    secret::{Secret, Secrets},
    signature::SignatureSource,
    url_form,
    verdict::{Reason, Verdict},
    verify::verify,
};

/// The parts of a request that its signature changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    pub headers: HeaderMap,
    pub query: Option<String>,
    /// As it was given, but where the provider writes time or signature into it.
    pub body: Vec<u8>,
}

/// Why a request cannot be signed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SignError {
    #[error("only the provider can sign its requests")]
    OnlyTheProvider,
    #[error("the provider writes to {0}, and the request has no such place: take the body of a real event")]
    NoPlace(String),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("the request was signed and does not verify: {0}")]
    Refused(Reason),
}

/// Signs a request with a secret, as of `received_at`. What the provider adds to a request, as an id of the delivery, is made up.
pub fn sign(
    verify: &Verify,
    request: &Request<'_>,
    secret: &Secret,
    url: Option<&str>,
) -> Result<SignedRequest, SignError> {
    let unsigned = || SignedRequest {
        headers: request.headers.clone(),
        query: request.query.map(str::to_owned),
        body: request.body.to_vec(),
    };
    let Verify::Schemes(schemes) = verify else { return Ok(unsigned()) };
    let secrets = Secrets::new(vec![secret.clone()]);
    let mut first_error = None;
    // One with `when` is for requests of another kind.
    let (special, usual): (Vec<_>, Vec<_>) = schemes.iter().partition(|scheme| scheme.when.is_some());
    for scheme in usual.into_iter().chain(special) {
        let mut draft = Draft { request, secret, url, out: unsigned() };
        let signed = draft.sign(scheme).and_then(|()| match verify_draft(verify, &draft, &secrets) {
            Verdict::Refused(reason) => Err(SignError::Refused(reason)),
            _ => Ok(()),
        });
        match signed {
            Ok(()) => return Ok(draft.out),
            Err(error) => _ = first_error.get_or_insert(error),
        }
    }
    Err(first_error.unwrap_or(SignError::OnlyTheProvider))
}

fn verify_draft(rules: &Verify, draft: &Draft<'_>, secrets: &Secrets) -> Verdict {
    verify(rules, &draft.request(), secrets, draft.url, None)
}

struct Draft<'d> {
    request: &'d Request<'d>,
    secret: &'d Secret,
    url: Option<&'d str>,
    out: SignedRequest,
}

/// The element that is being signed.
type Element<'e> = Option<(&'e JsonPath, usize)>;

impl Draft<'_> {
    fn request(&self) -> Request<'_> {
        let out = &self.out;
        Request { query: out.query.as_deref(), headers: &out.headers, body: &out.body, ..*self.request }
    }

    fn sign(&mut self, scheme: &Scheme) -> Result<(), SignError> {
        let elements = match &scheme.each {
            None => vec![None],
            Some(path) => (0..self.count(path)?).map(|n| Some((path, n))).collect(),
        };
        for element in elements {
            match &scheme.check {
                Check::Token(reference) => self.write(reference, self.secret.expose(), element)?,
                Check::Signed(signed) => self.add_signature(signed, element)?,
            }
        }
        Ok(())
    }

    fn add_signature(&mut self, signed: &Signed, element: Element<'_>) -> Result<(), SignError> {
        let Key::Hmac(key) = signed.algorithm.key(self.secret.expose())? else {
            return Err(SignError::OnlyTheProvider);
        };
        let time = match &signed.timestamp {
            Some(rule) => Some(rule.unit.write(self.request.received_at)),
            None => None,
        };
        let mut field = None;
        if let (Some(rule), Some(time)) = (&signed.timestamp, &time) {
            match &rule.from {
                Reference::Signature(name) => field = Some(name),
                from => self.write(from, time, element)?,
            }
        }
        for (reference, always) in signed.signed.references() {
            if let (Reference::Header(name), true) = (reference, always)
                && !self.out.headers.contains_key(name)
            {
                let made_up = format!("skep-{}", self.request.received_at.unix_timestamp_nanos());
                self.write(reference, &made_up, element)?;
            }
        }
        if let Some(rule) = &signed.body_hash {
            let hash = digest::digest(rule.hash.digest(), &self.out.body);
            self.write(&rule.from, &rule.encoding.encode(hash.as_ref()), element)?;
        }
        let tag = self.mac(&key, signed, time.as_deref(), element)?;
        let rule = &signed.signature;
        let signature = rule.encoding.encode(tag.as_ref());
        let mut text = rule.pick.as_ref().map_or(signature.clone(), |pick| pick.write(&signature));
        if let (Some(field), Some(time)) = (field, time) {
            let split = rule.split.as_deref().unwrap_or_default();
            let separator = split.chars().find(|c| *c != ' ').unwrap_or(' ');
            let time = if rule.first.is_some() { time } else { format!("{field}={time}") };
            text = format!("{time}{separator}{text}");
        }
        match &rule.from {
            SignatureSource::Reference(reference) => self.write(reference, &text, element),
            SignatureSource::Headers { names, .. } => match names.first() {
                Some(name) => self.write(&Reference::Header(name.clone()), &text, element),
                None => Err(SignError::OnlyTheProvider),
            },
        }
    }

    fn mac(
        &self,
        key: &hmac::Key,
        signed: &Signed,
        time: Option<&str>,
        element: Element<'_>,
    ) -> Result<hmac::Tag, SignError> {
        let request = self.request();
        let input = Input::new(&request, None);
        let item = match element {
            Some((path, n)) => json::find(request.body, &path.child(n)).ok().and_then(|found| match found {
                Found::Value(item) => Some(item),
                _ => None,
            }),
            None => None,
        };
        let urls = url_form::all(self.url, request.query, &[]);
        let timestamp = time.map(|time| time.as_bytes().into());
        let scope = Scope { item, timestamp, url: urls.first().map(String::as_str), ..Scope::of(&input) };
        let mut context = hmac::Context::with_key(key);
        for piece in signed.signed.pieces(&scope)? {
            context.update(&piece);
        }
        Ok(context.sign())
    }

    fn count(&self, path: &JsonPath) -> Result<usize, SignError> {
        match json::find(&self.out.body, path) {
            Ok(Found::Value(array)) => json::elements(array).map(|elements| elements.len()),
            _ => None,
        }
        .ok_or_else(|| SignError::NoPlace(format!("json:{path}")))
    }

    /// Writes a value to where a reference reads it.
    fn write(&mut self, reference: &Reference, value: &str, element: Element<'_>) -> Result<(), SignError> {
        let no_place = || SignError::NoPlace(reference.to_string());
        let mut header = |name: HeaderName, value: &str| {
            self.out.headers.insert(name, HeaderValue::from_str(value).map_err(|_| no_place())?);
            Ok(())
        };
        match reference {
            Reference::Header(name) => header(name.clone(), value),
            Reference::Bearer => header(AUTHORIZATION, &format!("Bearer {value}")),
            Reference::Basic => header(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(value))),
            Reference::Query(name) => {
                let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
                let query = self.out.query.take().filter(|query| !query.is_empty()).map(|query| query + "&");
                self.out.query = Some(format!("{}{}={}", query.unwrap_or_default(), encode(name), encode(value)));
                Ok(())
            }
            Reference::Json(path) => self.write_json(path, value).ok_or_else(no_place),
            Reference::Item(path) => {
                let (each, n) = element.ok_or_else(no_place)?;
                self.write_json(&each.child(n).join(path), value).ok_or_else(no_place)
            }
            _ => Err(no_place()),
        }
    }

    /// Replaces a value in the body's JSON, and nothing else of it.
    fn write_json(&mut self, path: &JsonPath, value: &str) -> Option<()> {
        let Found::Value(old) = json::find(&self.out.body, path).ok()? else { return None };
        let start = old.get().as_ptr().addr().checked_sub(self.out.body.as_ptr().addr())?;
        let is_number = old.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let new = if is_number && digits { value.to_owned() } else { serde_json::to_string(value).ok()? };
        let end = start.checked_add(old.get().len())?;
        let body = &self.out.body;
        self.out.body = [body.get(..start)?, new.as_bytes(), body.get(end..)?].concat();
        Some(())
    }
}

impl TimeUnit {
    fn write(self, time: OffsetDateTime) -> String {
        match self {
            Self::S => time.unix_timestamp().to_string(),
            Self::Ms => time.unix_timestamp_nanos().div_euclid(1_000_000).to_string(),
            Self::Rfc3339 => time.format(&Rfc3339).unwrap_or_default(),
        }
    }
}
