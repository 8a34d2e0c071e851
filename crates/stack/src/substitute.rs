//! `${VAR}` and `${VAR:-default}` in a text, before it is read as YAML.

/// Replaces variables; one that is not set is empty. `$${` writes `${` itself. An error is a line and a reason.
pub(super) fn substitute(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, (u64, String)> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, variable) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &variable[2..];
            continue;
        }
        result.push_str(before);
        let line = || 1 + text[..text.len() - variable.len()].matches('\n').count() as u64;
        let end = variable.find(['}', '\n']).filter(|&end| variable[end..].starts_with('}'));
        let Some(end) = end else { return Err((line(), "${ is not closed on its line".to_owned())) };
        let inside = &variable[2..end];
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, default),
            None => (inside, ""),
        };
        if !is_name(name) {
            let reason = format!("${{{inside}}} is not ${{VAR}} or ${{VAR:-default}}; write $${{ for ${{ itself");
            return Err((line(), reason));
        }
        match lookup(name).filter(|value| !value.is_empty()) {
            Some(value) => result.push_str(&value),
            None => result.push_str(default),
        }
        rest = &variable[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let lookup = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        substitute(text, lookup).unwrap_or_else(|(line, reason)| format!("{line}: {reason}"))
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        assert_eq!(check("a ${SET} b ${UNSET}c"), "a value b c");
        assert_eq!(check("${SET:-x} ${UNSET:-a:-b} ${EMPTY:-y}"), "value a:-b y");
        assert_eq!(check("$SET $5 é$${SET} $${"), "$SET $5 é${SET} ${");
    }

    #[test]
    fn what_is_not_understood_is_an_error_with_its_line() {
        assert!(check("a\nb ${SET").starts_with("2: ${ is not closed"));
        assert!(check("a\n\n${SET\n}").starts_with("3: ${ is not closed"));
        assert!(check("${X:?no}").starts_with("1: ${X:?no} is not ${VAR}"));
        assert!(check("${}").starts_with("1: ${} is not"));
    }
}
