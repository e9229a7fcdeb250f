//! Lines `export NAME='value'` for a POSIX shell. They can represent every value without NUL.

use super::{Document, comments, is_assignable};

/// Renders the variables.
pub(super) fn render(document: &Document) -> Vec<u8> {
    let mut text = comments(document);
    for (name, variable) in document.named("sh", is_assignable) {
        text += &format!("export {name}='{}'\n", variable.value.replace('\'', r"'\''"));
    }
    text.into_bytes()
}
