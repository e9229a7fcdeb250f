//! Lines `export NAME='value'` for a POSIX shell. They can represent every value without NUL.

use super::{Document, comments};

/// Renders the variables.
pub(super) fn render(document: &Document) -> Vec<u8> {
    let mut text = comments(document);
    for (name, variable) in document.assignable("sh") {
        text += &format!("export {name}='{}'\n", variable.value.replace('\'', r"'\''"));
    }
    text.into_bytes()
}
