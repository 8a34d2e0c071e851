//! Forms and queries (`application/x-www-form-urlencoded`), decoded to bytes.

use std::borrow::Cow;

use http::{HeaderMap, header::CONTENT_TYPE};
use percent_encoding::percent_decode;

/// A field's name and value.
pub(crate) type Field<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);
pub(crate) type OwnedField = (Vec<u8>, Vec<u8>);

pub(crate) fn fields(text: &[u8]) -> impl Iterator<Item = Field<'_>> {
    text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=');
        let (name, value) = at.and_then(|at| pair.split_at_checked(at)).unwrap_or((pair, b""));
        (decode(name), decode(value.strip_prefix(b"=").unwrap_or(value)))
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'+') {
        let text: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
        return Cow::Owned(percent_decode(&text).collect());
    }
    percent_decode(text).into()
}

/// Whether the body is a form; without a content type it may be one.
pub(crate) fn may_be_form(headers: &HeaderMap) -> bool {
    !headers.contains_key(CONTENT_TYPE) || is_form(headers)
}

pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(CONTENT_TYPE).map(|kind| kind.to_str()) else { return false };
    let kind = kind.split_once(';').map_or(kind, |(kind, _)| kind);
    kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Name and value of each field, sorted, each pair once, with nothing between them.
pub(crate) fn sorted(fields: &[OwnedField]) -> Vec<u8> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort();
    fields.dedup();
    fields.into_iter().flat_map(|(name, value)| name.iter().chain(value.iter()).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_to_bytes() {
        let fields: Vec<_> = fields(b"a+b=%2B%ff&&c&d=e=f").collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"a b", b"+\xff"), (b"c", b""), (b"d", b"e=f")];
        assert_eq!(fields.iter().map(|(n, v)| (&**n, &**v)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn sorted_fields_come_once() {
        let fields: Vec<_> =
            fields(b"b=2&a=3&a=1&b=2").map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        assert_eq!(sorted(&fields), b"a1a3b2");
    }
}
