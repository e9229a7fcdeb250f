//! The variables `INTROSPOD_…`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::options::{DECLARATIONS, Declaration, Kind, PREFIX};
use super::values;
use crate::system::environment::Environment;
use crate::system::{logging, suggest};

/// Makes `exec` execute its command at once.
const DISABLED: &str = "INTROSPOD_DISABLED";
/// The variables that do not belong to an option.
const OTHERS: [&str; 2] = [DISABLED, logging::VARIABLE];

/// The value of `variable`, which is empty if it is not set; `None` if it is not UTF-8.
pub(super) fn value_of<'a>(variable: &str, environment: &'a Environment) -> Option<&'a str> {
    std::str::from_utf8(environment.get_bytes(variable.as_bytes()).unwrap_or_default()).ok()
}

/// `text` without the white space and byte order marks around it, which Secrets and editors add.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}')
}

/// The lines of a list with their numbers, without blank lines and comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.split('\n').enumerate().map(|(index, line)| (index + 1, trim(line)));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Whether `exec` must execute its command at once and do nothing else; `None` if the variable is not valid.
pub(crate) fn is_disabled(environment: &Environment) -> Option<bool> {
    match trim(value_of(DISABLED, environment)?) {
        "" => Some(false),
        text => values::boolean(text).ok(),
    }
}

/// Warns about variables whose names are nearly those of known ones. They have no effect.
pub(super) fn warn_of_misspelt(names: &BTreeSet<&str>, environment: &Environment) {
    if is_disabled(environment).is_none() {
        log::warn!("{DISABLED} must be true or false; it has no effect");
    }
    let known: Vec<String> =
        DECLARATIONS.iter().map(Declaration::variable).chain(OTHERS.map(str::to_owned)).collect();
    let is_known = |name: &str| OTHERS.contains(&name) || option_of(name, DECLARATIONS.iter()).is_some();
    for name in names.iter().filter(|name| !is_of_service(name) && !is_known(name)) {
        let known = known.iter().map(|known| &known[PREFIX.len()..]);
        if let Some(nearest) = suggest::nearest(&name[PREFIX.len()..], known) {
            log::warn!("the variable {name} has no effect; did you mean {PREFIX}{nearest}?");
        }
    }
}

/// The option that `variable` is for, and the NAME of `INTROSPOD_SET_<NAME>`.
pub(super) fn option_of(
    variable: &str,
    mut options: impl Iterator<Item = &'static Declaration>,
) -> Option<(&'static Declaration, Option<&str>)> {
    options.find_map(|option| match variable.strip_prefix(&option.variable())? {
        "" => Some((option, None)),
        rest if option.kind == Kind::PerName => {
            Some((option, Some(rest.strip_prefix('_').filter(|name| !name.is_empty())?)))
        }
        _ => None,
    })
}

/// Whether `name` may come from a Service called introspod or introspod-…: the kubelet sets
/// `INTROSPOD_SERVICE_HOST`, `INTROSPOD_PORT_80_TCP` and the like (`FromServices` in
/// `pkg/kubelet/envvars/envvars.go`). No option has such a word in its name.
fn is_of_service(name: &str) -> bool {
    name.split('_').any(|word| word == "SERVICE" || word == "PORT")
}

/// Whether `INTROSPOD_SET_<name>` has this value because of a Service called introspod-set: a URL, an address, a
/// port or a protocol.
pub(super) fn is_for_service(name: &str, value: &str) -> bool {
    let is_address = value.parse::<IpAddr>().is_ok() || value.parse::<u16>().is_ok();
    let is_protocol = |text| matches!(text, "tcp" | "udp" | "sctp");
    is_of_service(name) && (is_address || is_protocol(value.split("://").next().unwrap_or_default()))
}
