//! What people read: tables, and texts that cannot do anything to the terminal.

use comfy_table::{Table, presets};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::output;

/// Prints rows under their headings, the columns aligned.
pub(crate) fn print<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headings);
    for row in rows {
        table.add_row(row.map(|cell| one_line(&cell)));
    }
    print_lines(&table);
}

/// Prints names and what they stand for; those that stand for nothing are left out.
pub(super) fn print_facts(facts: impl IntoIterator<Item = (impl Into<String>, String)>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for (name, value) in facts {
        if !value.is_empty() {
            table.add_row([one_line(&name.into()), one_line(&value)]);
        }
    }
    print_lines(&table);
}

fn print_lines(table: &Table) {
    for line in table.lines() {
        output::line(line.trim());
    }
}

pub(super) fn one_line(text: &str) -> String {
    output::harmless(text).replace(['\n', '\t'], " ")
}

/// A time to the second.
pub(crate) fn at(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

/// What there may be; nothing is an empty text.
pub(super) fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_no_line_breaks() {
        assert_eq!(one_line("a\nb\tc"), "a b c");
    }
}
