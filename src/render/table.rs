//! A table for people.

use super::Document;

/// Renders the variables in columns; control characters are shown by their escapes.
pub(super) fn render(document: &Document) -> Vec<u8> {
    let width = |text: &str| text.chars().count();
    let names = document.shown().map(|(name, _)| width(name)).max().unwrap_or_default();
    let mut text = String::new();
    for (name, variable) in document.shown() {
        let value = crate::system::logging::one_line(&variable.value);
        text += &match document.explanation {
            None => format!("{name:names$}  {value}"),
            Some(_) => format!("{name:names$}  {:9}  {value}", variable.source),
        };
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    if let Some(explanation) = &document.explanation {
        text += "\n";
        for (source, why) in explanation {
            text += &format!("{source}: {}\n", crate::system::logging::one_line(why));
        }
    }
    text.into_bytes()
}
