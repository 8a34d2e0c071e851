//! What people read: tables, and texts that cannot do anything to the terminal.

use comfy_table::{Cell, Table, presets};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::output;

/// Prints rows under their headings, the columns aligned.
pub(crate) fn print<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    lines(headings, rows).into_iter().for_each(output::line);
}

/// The same as lines of text.
pub(crate) fn lines(
    headings: impl IntoIterator<Item = impl Into<Cell>>,
    rows: impl IntoIterator<Item = impl IntoIterator<Item = String>>,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headings);
    for row in rows {
        table.add_row(row.into_iter().map(|cell| one_line(&cell)));
    }
    trimmed(&table)
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
    trimmed(&table).into_iter().for_each(output::line);
}

fn trimmed(table: &Table) -> Vec<String> {
    table.lines().map(|line| line.trim().to_owned()).collect()
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
