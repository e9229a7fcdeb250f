//! A variable, and references to variables: `$(VAR)`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::kubernetes::expansion;
use crate::system::environment::Environment;

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: String,
    /// The name of the source, or of several.
    pub(crate) source: Cow<'static, str>,
    /// The pod's author set it already, so it needs no setting.
    pub(crate) is_set: bool,
}

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, Variable>;

/// `text` with its references resolved from `variables`, else from the first environment that has them.
///
/// A reference to a variable that nobody has stays as it is, with a warning that names it and
/// says that it stands in `place`.
pub(crate) fn expand(
    text: &[u8],
    variables: &Variables,
    environments: [&Environment; 2],
    place: &str,
) -> Vec<u8> {
    let lookup = |name: &[u8]| {
        let gathered = std::str::from_utf8(name).ok().and_then(|name| variables.get(name));
        let gathered = gathered.map(|variable| variable.value.as_bytes());
        let set = || environments.iter().find_map(|environment| environment.get_bytes(name));
        gathered.or_else(set).map(<[u8]>::to_vec)
    };
    let expanded = expansion::expand(text, &lookup);
    for name in expanded.unresolved.iter().filter(|name| is_name(name)) {
        let name = String::from_utf8_lossy(name);
        log::warn!("$({name}) stays as it is in {place}: no such variable is known");
    }
    expanded.text
}

/// Whether `name` can be a variable's (`IsEnvVarName` in `k8s.io/apimachinery/pkg/util/validation`);
/// what else stands in parentheses is meant for a shell.
fn is_name(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(is_letter)
}
