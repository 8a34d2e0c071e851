//! Adding a function to the text of a stack file, of which everything else stays as it is.

/// Usual, and what is used where the file has no function yet.
const INDENT: &str = "  ";

/// The text with one more function, behind those that there are. `lines` are its keys.
pub(super) fn add(text: &str, name: &str, lines: &[String]) -> String {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let heading = all.iter().position(|line| is_functions(line));
    let (before, after, indent) = match heading {
        Some(heading) => {
            let end = end_of_block(&all, heading);
            (all[..end].concat(), all[end..].concat(), indent_of(&all[heading + 1..end]))
        }
        None if text.trim().is_empty() => (format!("{text}functions:\n"), String::new(), INDENT),
        None => (format!("{}\nfunctions:\n", complete(text)), String::new(), INDENT),
    };
    let keys: String = lines.iter().map(|line| format!("{indent}{indent}{line}\n")).collect();
    format!("{}{indent}{name}:\n{keys}{after}", complete(&before))
}

fn is_functions(line: &str) -> bool {
    line.strip_prefix("functions:")
        .is_some_and(|rest| rest.trim_start().is_empty() || rest.trim_start().starts_with('#'))
}

/// Behind the last line that belongs to the key at this place.
fn end_of_block(lines: &[&str], heading: usize) -> usize {
    let mut end = heading + 1;
    for (at, line) in lines.iter().enumerate().skip(heading + 1) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            break;
        }
        end = at + 1;
    }
    end
}

/// How far the functions of a block are indented.
fn indent_of<'line>(lines: &[&'line str]) -> &'line str {
    let first = lines.iter().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    first.and_then(|line| line.get(..line.len() - line.trim_start().len())).unwrap_or(INDENT)
}

/// A text whose last line has an end.
fn complete(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(text: &str) -> String {
        add(text, "new", &["fprocess: cat".to_owned()])
    }

    #[test]
    fn a_function_comes_behind_the_others_and_nothing_else_changes() {
        for (before, after) in [
            ("", "functions:\n  new:\n    fprocess: cat\n"),
            ("version: 1.0", "version: 1.0\n\nfunctions:\n  new:\n    fprocess: cat\n"),
            ("functions:\n  a:\n    fprocess: b", "functions:\n  a:\n    fprocess: b\n  new:\n    fprocess: cat\n"),
            (
                "functions: # mine\n    a:\n        fprocess: b\n\n# of others\nsources:\n  s: {}\n",
                "functions: # mine\n    a:\n        fprocess: b\n    new:\n        fprocess: cat\n\n# of others\nsources:\n  s: {}\n",
            ),
            (
                "functions:\n  a:\n    fprocess: |\n      b\n\n      # c\nx-y: 1\n",
                "functions:\n  a:\n    fprocess: |\n      b\n\n      # c\n  new:\n    fprocess: cat\nx-y: 1\n",
            ),
            ("functions:\nsources:\n", "functions:\n  new:\n    fprocess: cat\nsources:\n"),
        ] {
            assert_eq!(added(before), after);
        }
    }
}
