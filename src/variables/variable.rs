//! Variables, and the expansion of references to them: `$(VAR)`.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use crate::kubernetes::expansion;
use crate::system::environment::Environment;
use crate::variables::labels::Map;

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: String,
    /// The name of its source, or the names of several.
    pub(crate) source: Cow<'static, str>,
    /// The pod's author set this value, so the application has it already.
    pub(crate) is_set: bool,
    /// The value contains text from the environment that is not a fact, so it may be a secret. The
    /// application gets it, but it is not printed or written.
    pub(crate) is_private: bool,
    /// The map whose entry this is: `--labels`, `--annotations`.
    pub(crate) map: Option<Map>,
}

impl Variable {
    /// A variable that the application does not have yet, and that may be printed.
    pub(crate) fn new(value: String, source: impl Into<Cow<'static, str>>) -> Self {
        Variable { value, source: source.into(), is_set: false, is_private: false, map: None }
    }
}

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, Variable>;

/// The variables that may be printed and written.
pub(crate) fn shown(variables: &Variables) -> impl Iterator<Item = (&String, &Variable)> {
    variables.iter().filter(|(_, variable)| !variable.is_private)
}

/// Where a reference looks for its name: in the variables, then in each environment.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) variables: &'a Variables,
    pub(crate) environments: [&'a Environment; 2],
}

impl<'a> Scope<'a> {
    /// The value of the variable `name`, and whether it is private.
    pub(crate) fn get(&self, name: &[u8]) -> Option<(&'a [u8], bool)> {
        let gathered = std::str::from_utf8(name).ok().and_then(|name| self.variables.get(name));
        let gathered = gathered.map(|variable| (variable.value.as_bytes(), variable.is_private));
        let set = || self.environments.iter().find_map(|environment| environment.get_bytes(name));
        gathered.or_else(|| Some((set()?, true)))
    }
}

/// Expands the references in `text`. Also answers whether the result contains a private value.
///
/// An unresolved reference stays as it is. The warning about it says that it is in `place`.
pub(crate) fn expand(text: &[u8], scope: Scope, place: &str) -> (Vec<u8>, bool) {
    let is_private = Cell::new(false);
    let lookup = |name: &[u8]| {
        let (value, is_one_private) = scope.get(name)?;
        is_private.set(is_private.get() || is_one_private);
        Some(value.to_vec())
    };
    let expanded = expansion::expand(text, &lookup);
    for name in expanded.unresolved.iter().filter(|name| is_name(name)) {
        let name = String::from_utf8_lossy(name);
        log::warn!("$({name}) stays as it is in {place}: there is no variable {name}");
    }
    (expanded.text, is_private.get())
}

/// Whether `name` can be the name of a variable (`IsEnvVarName` in
/// `k8s.io/apimachinery/pkg/util/validation`). Any other text in parentheses is meant for a shell.
pub(crate) fn is_name(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(is_letter)
}
