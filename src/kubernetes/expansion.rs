//! Expands references to variables in a command's arguments: `$(POD_NAME)`.

/// A text after its references were expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The text. Unresolved references are unchanged.
    pub(crate) text: Vec<u8>,
    /// The names of the unresolved references, in their order.
    pub(crate) unresolved: Vec<Vec<u8>>,
}

/// Replaces every `$(NAME)` in `text` by its value from `lookup`. References in a value are not
/// expanded. `$$` stands for `$`, so `$$(NAME)` is the text `$(NAME)`. An incomplete reference stays as
/// it is.
///
/// The rules are those of Kubernetes' `third_party/forked/golang/expansion/expand.go`, except for one
/// bug: if the character after a `$` is not ASCII, Kubernetes corrupts it.
pub(crate) fn expand(text: &[u8], lookup: &dyn Fn(&[u8]) -> Option<Vec<u8>>) -> Expanded {
    let mut expanded = Expanded { text: Vec::with_capacity(text.len()), unresolved: Vec::new() };
    let mut rest = text;
    while let Some(dollar) = position(rest, b'$') {
        expanded.text.extend_from_slice(&rest[..dollar]);
        rest = match &rest[dollar + 1..] {
            [b'$', after @ ..] => {
                expanded.text.push(b'$');
                after
            }
            [b'(', after @ ..] => match position(after, b')') {
                Some(end) => {
                    expanded.resolve(&after[..end], lookup);
                    &after[end + 1..]
                }
                None => {
                    expanded.text.extend_from_slice(b"$(");
                    after
                }
            },
            after => {
                expanded.text.push(b'$');
                after
            }
        };
    }
    expanded.text.extend_from_slice(rest);
    expanded
}

impl Expanded {
    fn resolve(&mut self, name: &[u8], lookup: &dyn Fn(&[u8]) -> Option<Vec<u8>>) {
        if let Some(value) = lookup(name) {
            self.text.extend_from_slice(&value);
            return;
        }
        self.text.extend_from_slice(b"$(");
        self.text.extend_from_slice(name);
        self.text.push(b')');
        self.unresolved.push(name.to_vec());
    }
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn variable(name: &[u8]) -> Option<Vec<u8>> {
        (name == b"A").then(|| b"value".to_vec())
    }

    #[test]
    fn what_kubernetes_makes_of_each_text() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors/expansion.json");
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let lookup = |name: &[u8]| {
            let value = vectors["env"].get(str::from_utf8(name).ok()?)?;
            Some(value.as_str()?.as_bytes().to_vec())
        };
        for case in vectors["cases"].as_array().unwrap() {
            let expanded = expand(case["in"].as_str().unwrap().as_bytes(), &lookup);
            assert_eq!(String::from_utf8(expanded.text).unwrap(), case["out"], "{case}");
        }
    }

    #[test]
    fn what_nobody_resolves_is_listed_and_stays() {
        let expanded = expand(b"$(B) $(A) $$(C) $() $(D", &variable);
        assert_eq!(expanded.text, b"$(B) value $(C) $() $(D");
        assert_eq!(expanded.unresolved, [b"B".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn bytes_need_not_be_utf8() {
        let expanded = expand(b"\xff$(A)\xfe$\xc3\xa9$(\xff)", &variable);
        assert_eq!(expanded.text, b"\xffvalue\xfe$\xc3\xa9$(\xff)");
        assert_eq!(expanded.unresolved, [b"\xff".to_vec()]);
    }

    #[test]
    fn a_dollar_before_a_reference_that_has_no_end_does_not_hide_the_next() {
        assert_eq!(expand(b"$x$(A)", &variable).text, b"$xvalue");
        assert_eq!(expand(b"$($(A)", &variable).text, b"$($(A)");
    }
}
