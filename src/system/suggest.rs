//! Finds the known name that is nearest to a misspelt one.

/// The smallest number of letters that can abbreviate a longer name.
const SHORTEST_PREFIX: usize = 3;

/// The name in `known` that is nearest to `word`; `None` if no name is near.
///
/// A name is near if it starts with `word`, or if at most a third of its letters (at least one) are
/// missing, added, replaced, or swapped with their neighbour. Upper and lower case differ little. The first of
/// equally near names wins.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.filter_map(|name| {
        let is_prefix = word.len() >= SHORTEST_PREFIX && name.starts_with(word);
        let most = (name.len() / 3).max(1);
        if !is_prefix && word.len().abs_diff(name.len()) > most {
            return None;
        }
        let distance = strsim::osa_distance(&word.to_lowercase(), &name.to_lowercase());
        let rank = (!is_prefix, distance, strsim::osa_distance(word, name));
        (is_prefix || distance <= most).then_some((rank, name))
    });
    near.min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["labels", "override", "require", "api", "api-url", "limits.memory", "spec.nodeName"];
        let nearest = |word| nearest(word, known.into_iter());
        assert_eq!(nearest("lables"), Some("labels"));
        assert_eq!(nearest("overide"), Some("override"));
        assert_eq!(nearest("apiurl"), Some("api-url"));
        assert_eq!(nearest("API"), Some("api"));
        assert_eq!(nearest("limits.mem"), Some("limits.memory"));
        assert_eq!(nearest("limit.memory"), Some("limits.memory"));
        assert_eq!(nearest("spec.nodename"), Some("spec.nodeName"));
        assert_eq!(nearest("req"), Some("require"));
        for far in ["verbose", "hello", "", "l", "x", &"x".repeat(1 << 20)] {
            assert_eq!(nearest(far), None, "{far:.20}");
        }
    }
}
