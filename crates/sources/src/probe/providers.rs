//! Whether a request is rather one of another provider.

use http::{HeaderName, header::AUTHORIZATION};

use super::Held;
use crate::{
    preset::Presets,
    scheme::{Check, Scheme, Verify},
    signature::SignatureSource,
};

/// Providers that are named; more would be no help.
const MAX_NAMED: usize = 5;

/// A sentence if other presets fit, or have a header of this request that the source's own scheme does not read.
pub(super) fn sentence(held: &Held<'_>) -> Option<String> {
    let others = || Presets::embedded().iter().filter(|(_, preset)| preset.verify != *held.verify);
    let fitting: Vec<&str> = others()
        .filter(|(_, preset)| preset.verify != Verify::None)
        .filter(|(_, preset)| held.fits(&preset.verify, held.request.body, held.secrets, held.url))
        .map(|(name, _)| name)
        .collect();
    if !fitting.is_empty() {
        return Some(format!("Fits the preset {}: the source has the wrong one.", listed(&fitting)));
    }
    let own = headers_of(held.verify);
    let is_there = |name: &HeaderName| held.request.headers.contains_key(name);
    if own.iter().any(is_there) {
        return None;
    }
    let (name, header) = others().find_map(|(name, preset)| {
        let header = headers_of(&preset.verify).into_iter().find(|header| is_there(header) && !own.contains(header))?;
        Some((name, header))
    })?;
    let mut names: Vec<&str> =
        others().filter(|(_, preset)| headers_of(&preset.verify).contains(&header)).map(|(name, _)| name).collect();
    names.retain(|other| *other != name);
    names.insert(0, name);
    Some(format!(
        "It has the header {header}, as requests of {} have: the source has another preset, or it came to the wrong source.",
        listed(&names)
    ))
}

fn listed(names: &[&str]) -> String {
    let mut listed = names.get(..names.len().min(MAX_NAMED)).unwrap_or_default().join(", ");
    if names.len() > MAX_NAMED {
        listed.push_str(" and others");
    }
    listed
}

/// The headers that hold what is checked. `Authorization` says nothing of a provider.
fn headers_of(verify: &Verify) -> Vec<HeaderName> {
    let mut headers: Vec<HeaderName> = verify.schemes().iter().flat_map(of_scheme).collect();
    headers.retain(|name| *name != AUTHORIZATION);
    headers
}

fn of_scheme(scheme: &Scheme) -> Vec<HeaderName> {
    match &scheme.check {
        Check::Token(token) => token.header().cloned().into_iter().collect(),
        Check::Signed(signed) => {
            let mut names: Vec<_> = signed.signature.references().filter_map(|from| from.header().cloned()).collect();
            if let SignatureSource::Headers { names: numbered, .. } = &signed.signature.from {
                names.extend(numbered.iter().cloned());
            }
            names
        }
    }
}
