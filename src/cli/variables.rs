//! The variables `INTROSPOD_…`.

use super::subcommands::SUBCOMMANDS;
use crate::system::environment::Environment;
use crate::system::{logging, suggest};

/// The prefix of the variables of options.
pub(super) const PREFIX: &str = "INTROSPOD_";
/// Makes `exec` execute its command at once.
const DISABLED: &str = "INTROSPOD_DISABLED";
/// The variables that do not belong to an option.
const OTHERS: [&str; 2] = [DISABLED, logging::VARIABLE];

/// The variable of an option: `INTROSPOD_API_URL` of `--api-url`.
pub(super) fn variable_of(option: &str) -> String {
    let name = option.trim_start_matches('-').replace('-', "_");
    PREFIX.to_owned() + &name.to_ascii_uppercase()
}

/// Whether `name` is the variable of `option`.
pub(super) fn is_variable_of(name: &str, option: &str) -> bool {
    let letters = name.strip_prefix(PREFIX).unwrap_or_default().bytes();
    letters.eq(option.trim_start_matches('-').bytes().map(|byte| match byte {
        b'-' => b'_',
        byte => byte.to_ascii_uppercase(),
    }))
}

/// Parses the value of a switch.
pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Whether `exec` must execute its command at once and do nothing else.
pub(crate) fn is_disabled(environment: &Environment) -> bool {
    environment.get_nonempty(DISABLED).and_then(parse_boolean) == Some(true)
}

/// Warns about misspelt variables of options, which have no effect.
pub(super) fn warn_of_near_misses(environment: &Environment) {
    let flags = || SUBCOMMANDS.iter().flat_map(|subcommand| subcommand.flags());
    for name in environment.names_with_prefix(PREFIX).filter(|name| !is_of_service(name)) {
        if OTHERS.contains(&name) || flags().any(|flag| is_variable_of(name, flag.long)) {
            continue;
        }
        let known: Vec<String> =
            flags().map(|flag| variable_of(flag.long)).chain(OTHERS.map(str::to_owned)).collect();
        let known = known.iter().map(|known| &known[PREFIX.len()..]);
        if let Some(nearest) = suggest::nearest(&name[PREFIX.len()..], known) {
            log::warn!("the variable {name} has no effect; did you mean {PREFIX}{nearest}?");
        }
    }
}

/// Whether `name` may come from a Service called introspod or introspod-…: the kubelet sets
/// `INTROSPOD_SERVICE_HOST`, `INTROSPOD_PORT_80_TCP` and the like (`FromServices` in
/// `pkg/kubelet/envvars/envvars.go`). No option has such a word in its name.
fn is_of_service(name: &str) -> bool {
    name.split('_').any(|word| word == "SERVICE" || word == "PORT")
}
