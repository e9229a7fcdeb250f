//! A table for people.

use std::collections::BTreeMap;

use super::Explanation;
use crate::system::logging::one_line;
use crate::variables::Run;
use crate::variables::variable::Variables;

/// Renders the variables in columns, with escape sequences for control characters.
pub(super) fn render(run: &Run, explanation: Option<&Explanation>) -> Vec<u8> {
    let Some(explanation) = explanation else {
        let rows = run.variables.shown().map(|(name, variable)| (name.as_str(), [variable.value.as_str()]));
        return columns(rows.collect()).into_bytes();
    };
    let mut text = columns(explained(&run.variables, explanation));
    text.push('\n');
    for (source, why) in &explanation.sources {
        text += &format!("{source}: {}\n", one_line(why));
    }
    text.into_bytes()
}

/// Each variable with its source and its value, or with the reason why the value is not known.
fn explained<'a>(variables: &'a Variables, explanation: &'a Explanation) -> BTreeMap<&'a str, [&'a str; 2]> {
    let known = variables
        .shown()
        .map(|(name, variable)| (name.as_str(), [&*variable.source, variable.value.as_str()]));
    let unknown = explanation.unknown.iter().map(|(name, why)| (name.as_str(), ["-", why.as_str()]));
    known.chain(unknown).collect()
}

/// The cells in aligned columns. The last column is not padded.
fn columns<const COUNT: usize>(rows: BTreeMap<&str, [&str; COUNT]>) -> String {
    let width = |text: &str| text.chars().count();
    let names = rows.keys().map(|name| width(name)).max().unwrap_or_default();
    let widest = |column: usize| rows.values().map(|cells| width(cells[column])).max().unwrap_or_default();
    let widths: [usize; COUNT] =
        std::array::from_fn(|column| if column + 1 < COUNT { widest(column) } else { 0 });
    let mut text = String::new();
    for (name, cells) in &rows {
        let mut line = format!("{name:names$}");
        for (cell, width) in cells.iter().zip(widths) {
            line += &format!("  {:width$}", one_line(cell));
        }
        text += line.trim_end_matches(' ');
        text.push('\n');
    }
    text
}
