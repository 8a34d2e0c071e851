//! `cgi_response`: an output that begins with header lines and an empty line, as RFC 3875 section 6 has it.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use skep_protocol::headers::{remove_hop_by_hop, remove_platform_words};

/// In bytes.
pub(super) const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// What a process said about its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Where the body begins.
    pub(super) length: usize,
}

/// Where the empty line ends; lines end with LF or CRLF.
pub(super) fn head_end(output: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let rest = output.get(start..)?;
        let line_end = rest.iter().position(|byte| *byte == b'\n')?;
        start += line_end + 1;
        if matches!(rest.get(..line_end), Some(b"" | b"\r")) {
            return Some(start);
        }
    }
}

/// `Status` defaults to 200, or to 302 with a `Location`. Headers about the connection or the length are left out, because the watchdog sets them itself.
pub(super) fn parse(output: &[u8]) -> Result<Head, &'static str> {
    let length = head_end(output).ok_or("there is no empty line")?;
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let head = output.get(..length).unwrap_or_default();
    let lines = match httparse::parse_headers(head, &mut lines) {
        Ok(httparse::Status::Complete((_, lines))) => lines,
        Ok(httparse::Status::Partial) => return Err("it is cut"),
        Err(httparse::Error::TooManyHeaders) => return Err("it has more than 100 lines"),
        Err(_) => return Err("a line is not NAME: VALUE"),
    };
    let (mut status, mut headers) = (None, HeaderMap::new());
    for line in lines {
        if line.name.eq_ignore_ascii_case("status") {
            status = Some(parse_status(line.value).ok_or("Status is not a number from 200 to 599")?);
            continue;
        }
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| "a line is not NAME: VALUE")?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| "a line is not NAME: VALUE")?;
        headers.append(name, value);
    }
    remove_hop_by_hop(&mut headers);
    remove_platform_words(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    let usual = if headers.contains_key(header::LOCATION) { StatusCode::FOUND } else { StatusCode::OK };
    Ok(Head { status: status.unwrap_or(usual), headers, length })
}

/// `404 Not Found`; 1xx would not be an answer.
fn parse_status(value: &[u8]) -> Option<StatusCode> {
    let code = value.trim_ascii().split(|byte| *byte == b' ').next()?;
    StatusCode::from_bytes(code).ok().filter(|status| (200..600).contains(&status.as_u16()))
}

/// What holds for every output, whatever its bytes; used by the fuzzer.
#[cfg(any(test, fuzzing))]
pub mod laws {
    use super::*;

    /// Panics if a head breaks one of the rules of an answer.
    pub fn hold(output: &[u8]) {
        let Ok(Head { status, headers, length }) = parse(output) else { return };
        assert_eq!(Some(length), head_end(output));
        assert!((200..600).contains(&status.as_u16()));
        assert!(headers.len() <= MAX_HEADERS);
        let mut end_to_end = headers.clone();
        remove_hop_by_hop(&mut end_to_end);
        assert_eq!(headers, end_to_end);
        assert!(!headers.contains_key(header::CONTENT_LENGTH));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_with_either_kind_of_line_end() {
        for output in
            ["Status: 404 Not Found\nX-A: 1\nX-A: 2\n\nbody\n\n", "status: 404\r\nx-a: 1\r\nX-A: 2\r\n\r\nbody"]
        {
            let head = parse(output.as_bytes()).unwrap();
            assert_eq!(head.status, StatusCode::NOT_FOUND);
            assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
            assert!(output[head.length..].starts_with("body"));
        }
    }

    #[test]
    fn a_status_may_be_missing_and_lengths_are_not_the_programs_to_say() {
        let head =
            parse(b"Content-Length: 7\nTransfer-Encoding: chunked\nConnection: close\nX-Skep-Error: x\n\n").unwrap();
        assert_eq!((head.status, head.headers.len()), (StatusCode::OK, 0));
        assert_eq!(parse(b"Location: /there\n\n").unwrap().status, StatusCode::FOUND);
        assert_eq!(parse(b"\nonly a body").unwrap().length, 1);
    }

    #[test]
    fn other_outputs_are_refused() {
        for output in
            ["", "hello", "hello\n\n", "Status: 99\n\n", "Status: ok\n\n", "Status: 101\n\n", "a b: c\n\n", "a: \0\n\n"]
        {
            assert!(parse(output.as_bytes()).is_err(), "{output:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_output_is_refused_or_gives_a_head_that_can_be_sent(output in "(Status|X|TE|Connection|\\PC)?: ?[0-9a-z, ]{0,9}\r?\n{0,3}\\PC*") {
            laws::hold(output.as_bytes());
        }
    }
}
