//! The order in which values are evaluated.

use std::collections::BTreeSet;

use super::Expression;

/// Sorts `definitions`, whose names differ. Each comes after the definitions that it refers to; otherwise the order
/// stays. A definition may refer to itself: that means the value that the variable would have without `--set`.
///
/// # Errors
/// A cycle, such as `A -> B -> A`, and the names in this cycle and in others.
pub(crate) fn sort(definitions: &mut Vec<(String, Expression)>) -> Result<(), (String, BTreeSet<String>)> {
    let mut positions: Vec<(&str, usize)> =
        definitions.iter().map(|(name, _)| name.as_str()).zip(0..).collect();
    positions.sort_unstable();
    let position_of = |name: &str| {
        let found = positions.binary_search_by_key(&name, |(name, _)| name);
        found.ok().map(|found| positions[found].1)
    };
    let references: Vec<Vec<usize>> = definitions
        .iter()
        .enumerate()
        .map(|(own, (_, definition))| {
            let others = definition.variables().into_iter().filter_map(position_of);
            others.filter(|other| *other != own).collect()
        })
        .collect();
    let order = sorted(&references).map_err(|(circle, is_in_circle)| {
        let circle: Vec<&str> = circle.into_iter().map(|position| &*definitions[position].0).collect();
        let mut names = BTreeSet::new();
        let all = definitions.iter().zip(is_in_circle).filter(|(_, is_in_circle)| *is_in_circle);
        names.extend(all.map(|((name, _), _)| name.clone()));
        (circle.join(" -> "), names)
    })?;
    let mut unsorted: Vec<_> = std::mem::take(definitions).into_iter().map(Some).collect();
    definitions.extend(order.into_iter().filter_map(|position| unsorted[position].take()));
    Ok(())
}

/// The positions in `references`, each after the positions that it refers to.
///
/// # Errors
/// A cycle, and for each position whether it is in a cycle that was found.
fn sorted(references: &[Vec<usize>]) -> Result<Vec<usize>, (Vec<usize>, Vec<bool>)> {
    let mut order = Vec::with_capacity(references.len());
    let mut left: Vec<_> = references.iter().map(|own| own.iter()).collect();
    let mut is_done = vec![false; references.len()];
    let (mut is_open, mut is_in_circle) = (is_done.clone(), is_done.clone());
    let mut circle = Vec::new();
    for start in 0..references.len() {
        let mut path = if is_done[start] { Vec::new() } else { vec![start] };
        while let Some(&position) = path.last() {
            is_open[position] = true;
            match left[position].next() {
                Some(&next) if is_open[next] => {
                    let own = path.iter().copied().skip_while(|position| *position != next);
                    own.clone().for_each(|position| is_in_circle[position] = true);
                    circle = if circle.is_empty() { own.chain([next]).collect() } else { circle };
                }
                Some(&next) if !is_done[next] => path.push(next),
                Some(_) => {}
                None => {
                    (is_open[position], is_done[position]) = (false, true);
                    order.push(position);
                    path.pop();
                }
            }
        }
    }
    if circle.is_empty() { Ok(order) } else { Err((circle, is_in_circle)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(definitions: &[(&str, &str)]) -> Result<String, String> {
        let parsed =
            definitions.iter().map(|(name, text)| (name.to_string(), Expression::parse(text).unwrap()));
        let mut definitions: Vec<_> = parsed.collect();
        sort(&mut definitions).map_err(|(circle, _)| circle)?;
        Ok(definitions.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn each_comes_after_those_that_it_refers_to() {
        let definitions =
            [("C", "$(B)$(A:-B)"), ("B", "$(A + 1)$(OTHER)"), ("D", "metadata.name"), ("A", "$(D)$(A)")];
        assert_eq!(ordered(&definitions).unwrap(), "D A B C");
        assert_eq!(ordered(&[("B", "metadata.name"), ("A", "metadata.uid")]).unwrap(), "B A");
    }

    #[test]
    fn circles_are_named() {
        for (definitions, circle) in [
            (&[("A", "$(B)"), ("B", "$(A)")] as &[_], "A -> B -> A"),
            (
                &[("X", "$(A)"), ("A", "$(B)"), ("B", "$(C)"), ("C", "$(D)$(A)"), ("D", "metadata.name")],
                "A -> B -> C -> A",
            ),
        ] {
            let error = ordered(definitions).unwrap_err();
            assert_eq!(error, circle);
        }
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let mut definitions: Vec<_> = (0..20_000)
            .map(|number| (format!("V{number}"), Expression::parse(&format!("$(V{})", number + 1)).unwrap()))
            .collect();
        sort(&mut definitions).unwrap();
        assert_eq!(definitions[0].0, "V19999");
    }
}
