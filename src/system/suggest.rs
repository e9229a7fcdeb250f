//! Finds the known name that is nearest to a misspelt one.

/// The cost of an added, missing or replaced letter. A letter in the other case costs 1.
const EDIT: usize = 4;
/// The smallest number of letters that can abbreviate a longer name.
const SHORTEST_PREFIX: usize = 3;

/// The name in `known` that is nearest to `word`; none if no name is near.
///
/// A name is near if it starts with `word`, or if at most a third of its letters (at least one) are
/// missing, added, replaced, or swapped with their neighbour. The first of equally near names wins.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().collect();
    let near = known.filter_map(|name| {
        let letters: Vec<char> = name.chars().collect();
        let is_prefix = word.len() >= SHORTEST_PREFIX && letters.starts_with(&word);
        let most = (letters.len() / 3).max(1);
        if !is_prefix && word.len().abs_diff(letters.len()) > most {
            return None;
        }
        let distance = distance(&word, &letters);
        (is_prefix || distance <= most * EDIT).then_some(((!is_prefix, distance), name))
    });
    near.min_by_key(|(rank, _)| *rank).map(|(_, name)| name)
}

/// The distance of Damerau and Levenshtein (optimal string alignment). Upper and lower case differ little.
fn distance(one: &[char], other: &[char]) -> usize {
    let first: Vec<usize> = (0..=other.len()).map(|column| column * EDIT).collect();
    let mut rows = [first.clone(), first.clone(), first];
    for (line, a) in one.iter().enumerate() {
        rows.rotate_left(1);
        let [before, above, row] = &mut rows;
        row[0] = (line + 1) * EDIT;
        for (column, b) in other.iter().enumerate() {
            let replaced = match a {
                a if a == b => 0,
                a if a.eq_ignore_ascii_case(b) => 1,
                _ => EDIT,
            };
            let least = (above[column] + replaced).min(above[column + 1] + EDIT).min(row[column] + EDIT);
            let is_swapped = line > 0 && column > 0 && *a == other[column - 1] && *b == one[line - 1];
            row[column + 1] = if is_swapped { least.min(before[column - 1] + EDIT) } else { least };
        }
    }
    rows[2][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(one: &str, other: &str) -> usize {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        distance(&letters(one), &letters(other))
    }

    #[test]
    fn edits_are_counted_and_case_counts_little() {
        for (one, other, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("lables", "labels", 1)]
        {
            assert_eq!(of(one, other), edits * EDIT, "{one} {other}");
            assert_eq!(of(other, one), edits * EDIT, "{other} {one}");
        }
        assert_eq!(of("podip", "podIP"), 2);
        assert_eq!(of("ab", "BA"), 2 * EDIT);
    }

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
