//! The keys of labels and annotations: `app`, `app.kubernetes.io/name`.

use super::names::is_part_of_subdomain;

/// The most bytes of the name part (`labelKeyMaxLength`).
const MAXIMUM_NAME_LENGTH: usize = 63;

/// The most bytes of the prefix (`DNS1123SubdomainMaxLength`).
const MAXIMUM_PREFIX_LENGTH: usize = 253;

const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
    used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

const PREFIX_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// One rule that a key breaks, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error(
        "a valid label key {NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    )]
    Slashes,
    #[error("prefix part must be non-empty")]
    EmptyPrefix,
    #[error("prefix part must be no more than {MAXIMUM_PREFIX_LENGTH} bytes")]
    LongPrefix,
    #[error("prefix part {PREFIX_RULE}")]
    Prefix,
    #[error("name part must be non-empty")]
    EmptyName,
    #[error("name part must be no more than {MAXIMUM_NAME_LENGTH} bytes")]
    LongName,
    #[error("name part {NAME_RULE}")]
    Name,
}

/// Every rule that a key breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct KeyError(Vec<Problem>);

impl std::fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        // `pkg/fieldpath/fieldpath.go` joins them with a semicolon.
        let problems: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        formatter.write_str(&problems.join(";"))
    }
}

/// Checks that `key` can be the key of a label, as Kubernetes' `IsQualifiedName` does
/// (`k8s.io/apimachinery/pkg/api/validate/content/kube.go` and `dns.go`).
pub(crate) fn check(key: &str) -> Result<(), KeyError> {
    let mut errors = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, name)) if name.contains('/') => return Err(KeyError(vec![Problem::Slashes])),
        Some((prefix, name)) => {
            check_prefix(prefix, &mut errors);
            name
        }
    };
    check_name(name, &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    Err(KeyError(errors))
}

/// Checks that `key` can be the key of an annotation.
///
/// Unlike a label's key it may have upper-case letters in its prefix: Kubernetes converts the key to
/// lower case before it checks it (`pkg/fieldpath/fieldpath.go`).
pub(crate) fn check_annotation(key: &str) -> Result<(), KeyError> {
    check(&key.to_ascii_lowercase())
}

fn check_prefix(prefix: &str, errors: &mut Vec<Problem>) {
    if prefix.is_empty() {
        errors.push(Problem::EmptyPrefix);
        return;
    }
    if prefix.len() > MAXIMUM_PREFIX_LENGTH {
        errors.push(Problem::LongPrefix);
    }
    if !prefix.split('.').all(is_part_of_subdomain) {
        errors.push(Problem::Prefix);
    }
}

fn check_name(name: &str, errors: &mut Vec<Problem>) {
    if name.is_empty() {
        errors.push(Problem::EmptyName);
    }
    if name.len() > MAXIMUM_NAME_LENGTH {
        errors.push(Problem::LongName);
    }
    if !is_name(name) {
        errors.push(Problem::Name);
    }
}

/// Whether `name` starts and ends with an alphanumeric byte, and has only these, `-`, `_` and `.` between.
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn errors_are_those_of_kubernetes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors/field-path.json");
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut checked = 0;
        for case in vectors["cases"].as_array().unwrap() {
            let path = case["path"].as_str().unwrap();
            let subscript = |map: &str| path.strip_prefix(map)?.strip_suffix("']");
            let result = match (subscript("metadata.labels['"), subscript("metadata.annotations['")) {
                (Some(key), _) => check(key),
                (_, Some(key)) => check_annotation(key),
                _ => continue,
            };
            let expected = case["error"].as_str();
            let actual = result.err().map(|error| format!("invalid key subscript in {path}: {error}"));
            assert_eq!(actual.as_deref(), expected);
            checked += 1;
        }
        assert!(checked > 8, "{checked}");
    }

    #[test]
    fn keys_that_are_valid() {
        let prefix = format!("{}a", "a.".repeat(126));
        for key in ["a", "A-b_c.d9", "example.com/x", "a-b.c/9", &format!("{prefix}/{}", "n".repeat(63))] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
        assert_eq!(check_annotation("Mixed.Case/Key"), Ok(()));
    }

    #[test]
    fn an_error_lists_every_broken_rule() {
        let prefix = "a".repeat(254);
        for (key, expected) in [
            ("/x", "prefix part must be non-empty".to_owned()),
            ("Mixed.Case/Key", format!("prefix part {PREFIX_RULE}")),
            ("a..b/c", format!("prefix part {PREFIX_RULE}")),
            ("été", format!("name part {NAME_RULE}")),
            (&format!("{prefix}/x"), "prefix part must be no more than 253 bytes".to_owned()),
            (
                &format!("-{prefix}/-"),
                format!(
                    "prefix part must be no more than 253 bytes;prefix part {PREFIX_RULE};\
                     name part {NAME_RULE}"
                ),
            ),
            ("a/", format!("name part must be non-empty;name part {NAME_RULE}")),
        ] {
            assert_eq!(check(key).map_err(|error| error.to_string()), Err(expected), "{key}");
        }
    }
}
