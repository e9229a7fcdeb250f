//! A table for people.

use super::Explanation;
use crate::system::logging::one_line;
use crate::variables::Run;

/// Renders the variables in columns, with escape sequences for control characters. With an explanation, there are also
/// the sources, and the reasons why values are not known.
pub(super) fn render(run: &Run, explanation: Option<&Explanation>) -> Vec<u8> {
    let known = run.variables.shown().map(|(name, variable)| (&**name, &*variable.source, &*variable.value));
    let unknown = explanation.into_iter().flat_map(|explanation| &explanation.unknown);
    let mut rows: Vec<_> = known.chain(unknown.map(|(name, why)| (&**name, "-", &**why))).collect();
    rows.sort_unstable();
    let width = |text: &str| text.chars().count();
    let names = rows.iter().map(|row| width(row.0)).max().unwrap_or_default();
    let sources = rows.iter().map(|row| width(row.1)).max().unwrap_or_default();
    let mut text = String::new();
    for (name, source, value) in rows {
        let mut line = format!("{name:names$}  ");
        if explanation.is_some() {
            line += &format!("{source:sources$}  ");
        }
        line += &one_line(value);
        text += line.trim_end_matches(' ');
        text.push('\n');
    }
    if let Some(explanation) = explanation {
        text.push('\n');
        for (source, why) in &explanation.sources {
            text += &format!("{source}: {}\n", one_line(why));
        }
    }
    text.into_bytes()
}
