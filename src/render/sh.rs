//! Lines `export NAME='value'` for a POSIX shell. They can represent every value without NUL.

use super::{NAME, is_assignable};

/// The line of a variable.
pub(super) fn line(name: &str, value: &str) -> Result<String, &'static str> {
    if !is_assignable(name) {
        return Err(NAME);
    }
    Ok(format!("export {name}='{}'", value.replace('\'', r"'\''")))
}
