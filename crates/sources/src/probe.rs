//! Says why a signature does not fit, by trying what usually is wrong. For an operator who looks at a held event, never on a request's way in.

mod providers;

use std::{collections::BTreeSet, time::Duration};

use crate::{
    Request,
    key::KeyForm,
    scheme::{Algorithm, Check, Scheme, Verify},
    secret::{Secret, Secrets},
    url_form,
    verdict::{Reason, Verdict},
    verify::verify,
};

/// Every time is within this.
const NO_TOLERANCE: Duration = Duration::MAX;

/// A held request, and what it is tried with.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub verify: &'a Verify,
    pub request: &'a Request<'a>,
    pub secrets: &'a Secrets,
    /// Secrets that the source had before.
    pub previous: &'a [Secret],
    pub url: Option<&'a str>,
    pub tolerance: Option<Duration>,
}

/// A sentence for each change that makes the request fit; none if it fits as it is, or whatever is tried.
pub fn probe(held: &Held<'_>) -> Vec<String> {
    let as_it_is = verify(held.verify, held.request, held.secrets, held.url, held.tolerance);
    match as_it_is {
        Verdict::Refused(Reason::Stale { by }) => {
            return vec![format!(
                "Fits if the time is not looked at: it was signed {} s before it came. It was on its way for long or is a replay, or the clock here is ahead.",
                by.as_secs()
            )];
        }
        Verdict::Refused(Reason::Future { by }) => {
            return vec![format!(
                "Fits if the time is not looked at: it was signed {} s after it came. The clock here is behind the sender's.",
                by.as_secs()
            )];
        }
        Verdict::Refused(_) => {}
        _ => return Vec::new(),
    }
    let mut sentences = Vec::new();
    held.body(&mut sentences);
    held.urls(&mut sentences);
    held.key_forms(&mut sentences);
    held.previous(&mut sentences);
    if sentences.is_empty() {
        sentences.extend(providers::sentence(held));
    }
    sentences
}

impl Held<'_> {
    fn fits(&self, rules: &Verify, body: &[u8], secrets: &Secrets, url: Option<&str>) -> bool {
        let request = Request { body, ..*self.request };
        verify(rules, &request, secrets, url, Some(NO_TOLERANCE)).is_accepted()
    }

    fn body(&self, sentences: &mut Vec<String>) {
        let body = self.request.body;
        let fits = |body: &[u8]| self.fits(self.verify, body, self.secrets, self.url);
        let changes = "something between the sender and skep changes the body";
        let trimmed = body.trim_ascii_end();
        if trimmed.len() < body.len() && fits(trimmed) {
            sentences.push(format!("Fits if the white space at the end of the body is removed: {changes}."));
        } else if [b"\n".as_slice(), b"\r\n"].iter().any(|end| fits(&[trimmed, end].concat())) {
            sentences.push(format!("Fits if the body ends in a line break: {changes}."));
        }
        match compact(body) {
            Some(compact) if compact != body && fits(&compact) => {
                sentences.push(format!(
                    "Fits if the JSON is written without white space: {changes}, probably by parsing it."
                ));
            }
            _ => {}
        }
    }

    fn urls(&self, sentences: &mut Vec<String>) {
        let Some(url) = self.url.filter(|_| self.verify.needs_url()) else { return };
        for variant in variants(url) {
            if self.fits(self.verify, self.request.body, self.secrets, Some(&variant)) {
                sentences.push(format!(
                    "Fits the URL {variant}: the provider signs that, so write it as the source's `url`."
                ));
            }
        }
    }

    fn key_forms(&self, sentences: &mut Vec<String>) {
        let Verify::Schemes(schemes) = self.verify else { return };
        for (form, words) in [
            (KeyForm::Utf8, "is the key as it is (key: utf8)"),
            (KeyForm::Whsec, "is the key in base64 after whsec_ (key: whsec)"),
            (KeyForm::Hex, "is the key in hexadecimal (key: hex)"),
            (KeyForm::Base64, "is the key in base64 (key: base64)"),
        ] {
            let rules = Verify::Schemes(schemes.iter().filter_map(|scheme| with_form(scheme, form)).collect());
            if self.fits(&rules, self.request.body, self.secrets, self.url) {
                sentences.push(format!(
                    "Fits if the secret's text {words}: the provider's secrets have another form than the source says."
                ));
            }
        }
    }

    fn previous(&self, sentences: &mut Vec<String>) {
        for secret in self.previous.iter().filter(|secret| !self.secrets.keys().contains(secret)) {
            if self.fits(self.verify, self.request.body, &Secrets::new(vec![secret.clone()]), self.url) {
                sentences.push(format!(
                    "Fits secret {}, which was removed: the provider still signs with it.",
                    secret.name()
                ));
            }
        }
    }
}

/// The scheme with its secret in another form; none if it has no such secret.
fn with_form(scheme: &Scheme, form: KeyForm) -> Option<Scheme> {
    let mut scheme = scheme.clone();
    match &mut scheme.check {
        Check::Signed(signed) => match &mut signed.algorithm {
            Algorithm::Hmac(_, old) if *old != form => *old = form,
            _ => return None,
        },
        Check::Token(_) => return None,
    }
    Some(scheme)
}

/// The URL with the other scheme, with and without its default port and the slash at its end.
fn variants(url: &str) -> Vec<String> {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let mut variants = BTreeSet::from([base.to_owned()]);
    let mut add = |change: fn(&str) -> Option<String>| {
        let more: Vec<_> = variants.iter().filter_map(|url| change(url)).collect();
        variants.extend(more);
    };
    add(|url| match url.split_once("://")? {
        ("https", rest) => Some(format!("http://{rest}")),
        ("http", rest) => Some(format!("https://{rest}")),
        _ => None,
    });
    add(url_form::other_port);
    add(|url| Some(url.strip_suffix('/').map_or_else(|| format!("{url}/"), str::to_owned)));
    variants.remove(base);
    variants.into_iter().map(|variant| url_form::with_query(&variant, query)).collect()
}

/// JSON without the white space between its parts; none if it is no JSON.
fn compact(json: &[u8]) -> Option<Vec<u8>> {
    serde_json::from_slice::<serde::de::IgnoredAny>(json).ok()?;
    let (mut in_string, mut escaped) = (false, false);
    let keep = |&&byte: &&u8| {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            return true;
        }
        in_string = byte == b'"';
        !byte.is_ascii_whitespace()
    };
    Some(json.iter().filter(keep).copied().collect())
}
