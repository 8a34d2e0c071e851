//! The content type of an output by its first bytes, the same as Go's `http.DetectContentType` for the common types.

const LOOK: usize = 512;
const TEXT: &str = "text/plain; charset=utf-8";

const MAGIC: [(&[u8], &str); 12] = [
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"OggS\0", "application/ogg"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"\0asm", "application/wasm"),
    (b"<?xml", "text/xml; charset=utf-8"),
];
const HTML: [&str; 8] = ["<!doctype html", "<html", "<head", "<body", "<script", "<title", "<div", "<table"];

pub(super) fn sniff(output: &[u8]) -> &'static str {
    let start = output.get(..LOOK).unwrap_or(output);
    let trimmed = start.trim_ascii_start();
    for tag in HTML {
        let matches = trimmed.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes()));
        if matches && matches!(trimmed.get(tag.len()), Some(b' ' | b'>')) {
            return "text/html; charset=utf-8";
        }
    }
    for (magic, content_type) in MAGIC {
        if start.starts_with(magic) || (magic == b"<?xml" && trimmed.starts_with(magic)) {
            return content_type;
        }
    }
    if start.starts_with(b"RIFF") && start.get(8..14) == Some(b"WEBPVP") {
        return "image/webp";
    }
    if start.iter().any(|byte| is_binary(*byte)) { "application/octet-stream" } else { TEXT }
}

fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_outputs_are_told_apart_as_in_go() {
        for (output, expected) in [
            (&b""[..], TEXT),
            (b"{\"a\": 1}", TEXT),
            (b"  <!DOCTYPE html>", "text/html; charset=utf-8"),
            (b"<htmlx>", TEXT),
            (b"\x89PNG\r\n\x1a\n...", "image/png"),
            (b"a\0b", "application/octet-stream"),
            ("gr\u{fc}n".as_bytes(), TEXT),
        ] {
            assert_eq!(sniff(output), expected, "{output:?}");
        }
    }
}
