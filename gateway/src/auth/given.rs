//! The credentials in a request.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

use super::token::PREFIX;

/// The contents of `Authorization`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    Nothing,
    /// `user:password`.
    Basic(Vec<u8>),
    Bearer(String),
    /// A scheme that skep does not know, or one of its own that cannot be read.
    Unreadable,
}

impl Given {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if headers.contains_key(header::AUTHORIZATION) { Self::Unreadable } else { Self::Nothing };
        };
        let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
        match parts {
            Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => {
                STANDARD.decode(encoded.trim()).map_or(Self::Unreadable, Self::Basic)
            }
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Self::Bearer(token.trim().to_owned()),
            Some(_) | None => Self::Unreadable,
        }
    }

    /// A token, which clients that know only basic authentication send as the password of any user.
    pub(super) fn token(&self) -> Option<&str> {
        let text = match self {
            Self::Bearer(token) => token,
            Self::Basic(pair) => std::str::from_utf8(pair).ok()?.split_once(':')?.1,
            Self::Nothing | Self::Unreadable => return None,
        };
        text.starts_with(PREFIX).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[&str]) -> Given {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        Given::read(&headers)
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_the_password_of_any_user() {
        let basic = format!("bAsIc {}", STANDARD.encode("anyone:skep_1_2"));
        assert_eq!(given(&[&basic]).token(), Some("skep_1_2"));
        assert_eq!(given(&["Bearer skep_1_2"]).token(), Some("skep_1_2"));
        assert_eq!(given(&["bearer eyJhbGciOi"]).token(), None);
        assert_eq!(given(&[&format!("Basic {}", STANDARD.encode("a:b"))]), Given::Basic(b"a:b".to_vec()));
        assert_eq!(given(&[]), Given::Nothing);
        for bad in [&[""][..], &["Basic"], &["Basic ???"], &["Digest x"], &["skep_1_2"], &["Basic YTpi", "Basic YTpi"]]
        {
            assert_eq!(given(bad), Given::Unreadable, "{bad:?}");
        }
    }
}
