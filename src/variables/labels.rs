//! Labels and annotations as variables: `POD_LABEL_…` and `POD_ANNOTATION_…`.

use crate::facts::field::{Field, Source};
use crate::system::logging::{NAMED, several};
use crate::variables::variable::{Variable, Variables};

/// The maps of the pod whose entries can become variables, with the prefix of their names.
pub(crate) const MAPS: [(Field, &str); 2] =
    [(Field::LABELS, "POD_LABEL_"), (Field::ANNOTATIONS, "POD_ANNOTATION_")];

/// The map that the variable `name` comes from.
pub(crate) fn map_of(name: &str) -> Option<Field> {
    MAPS.into_iter().find(|(_, prefix)| name.starts_with(prefix)).map(|(map, _)| map)
}

/// The noun for an entry of `map` in messages.
pub(crate) fn entry_of(map: Field) -> &'static str {
    if map == Field::LABELS { "label" } else { "annotation" }
}

/// Adds a variable for each of `entries` of `map`, which have their values and sources. If several keys give the same
/// name, the first key wins.
pub(crate) fn add(map: Field, prefix: &str, entries: &[(&str, &str, Source)], variables: &mut Variables) {
    let named = entries.iter().map(|entry| (name_of(prefix, entry.0), entry));
    let (with_nul, mut named): (Vec<_>, Vec<_>) = named.partition(|(_, (_, value, _))| value.contains('\0'));
    named.sort_unstable_by(|one, other| (&one.0, one.1.0).cmp(&(&other.0, other.1.0)));
    let mut colliding = Vec::new();
    named.dedup_by(|next, first| {
        let is_same = next.0 == first.0;
        if is_same {
            colliding.push((next.1.0, first.1.0));
        }
        is_same
    });
    let variables_of = named.into_iter().map(|(name, (_, value, source))| {
        let variable = Variable::new((*value).to_owned(), source.name());
        (name, Variable { map: Some(map), ..variable })
    });
    // A tree that grows entry by entry takes almost twice the memory.
    variables.append(&mut variables_of.collect());
    let names = with_nul.iter().take(NAMED).map(|(name, _)| name.clone()).collect();
    let with_nul = left_out(map, with_nul.len(), names, "a variable cannot contain NUL");
    let pair = |(next, first): &(&str, &str)| format!("{next:?} ({} is {first:?})", name_of(prefix, first));
    let names = colliding.iter().take(NAMED).map(pair).collect();
    let why = "another key gives the same name";
    let colliding = left_out(map, colliding.len(), names, why);
    variables.warnings.extend(with_nul.into_iter().chain(colliding));
}

/// One warning about `count` entries of `map` that do not become variables, which names the first of them.
fn left_out(map: Field, count: usize, names: Vec<String>, why: &str) -> Option<String> {
    let noun = if count == 1 { "" } else { "s" };
    let (entry, names) = (entry_of(map), several(&names, count));
    (count > 0).then(|| format!("left out {count} {entry}{noun}, because {why}: {names}"))
}

/// The name of the variable for `key`: upper case, with `_` for every character outside `[A-Z0-9]`.
fn name_of(prefix: &str, key: &str) -> String {
    let mut name = String::with_capacity(prefix.len() + key.len());
    name.push_str(prefix);
    name.extend(key.chars().map(|letter| match letter.to_ascii_uppercase() {
        letter @ ('A'..='Z' | '0'..='9') => letter,
        _ => '_',
    }));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_keys_always_carry_their_prefix() {
        assert_eq!(name_of("POD_LABEL_", "app.kubernetes.io/name"), "POD_LABEL_APP_KUBERNETES_IO_NAME");
        assert_eq!(name_of("POD_ANNOTATION_", "ä\n=PATH"), "POD_ANNOTATION____PATH");
        assert_eq!(name_of("POD_LABEL_", "LD_PRELOAD"), "POD_LABEL_LD_PRELOAD");
    }

    #[test]
    fn a_key_whose_value_no_variable_can_have_does_not_take_a_name() {
        let entries = [("a-b", "x\0"), ("a.b", "1"), ("a_b", "2")];
        let entries = entries.map(|(key, value)| (key, value, Source::Volume));
        let mut variables = Variables::default();
        add(Field::ANNOTATIONS, "POD_ANNOTATION_", &entries, &mut variables);
        assert_eq!(variables["POD_ANNOTATION_A_B"].value, "1");
        assert_eq!(variables.len(), 1);
    }
}
