//! The order in which values are evaluated.

use std::collections::BTreeMap;

use super::Definition;

/// The definitions are not valid together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum OrderError {
    #[error("--set {0} is given twice")]
    Twice(String),
    #[error("--set values must not refer to each other in a cycle: {0}")]
    Cycle(String),
}

/// Sorts `definitions`: each comes after those that it refers to, else the order stays. One that refers to
/// itself means the value that the variable would have without it.
pub(crate) fn in_order(
    definitions: Vec<(String, Definition)>,
) -> Result<Vec<(String, Definition)>, OrderError> {
    let mut positions = BTreeMap::new();
    for (position, (name, _)) in definitions.iter().enumerate() {
        if positions.insert(name.as_str(), position).is_some() {
            return Err(OrderError::Twice(name.clone()));
        }
    }
    let references: Vec<Vec<usize>> = definitions
        .iter()
        .enumerate()
        .map(|(own, (_, definition))| {
            let others = definition.variables().into_iter().filter_map(|name| positions.get(name).copied());
            others.filter(|other| *other != own).collect()
        })
        .collect();
    let order = sorted(&references).map_err(|circle| {
        let names: Vec<&str> = circle.into_iter().map(|position| definitions[position].0.as_str()).collect();
        OrderError::Cycle(names.join(" -> "))
    })?;
    let mut definitions: Vec<Option<(String, Definition)>> = definitions.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|position| definitions[position].take()).collect())
}

/// The positions in `references`, each after those that it refers to, or a cycle.
fn sorted(references: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut order = Vec::with_capacity(references.len());
    let mut left: Vec<_> = references.iter().map(|own| own.iter()).collect();
    let mut is_done = vec![false; references.len()];
    let mut is_open = is_done.clone();
    for start in 0..references.len() {
        let mut path = if is_done[start] { Vec::new() } else { vec![start] };
        while let Some(&position) = path.last() {
            is_open[position] = true;
            match left[position].next() {
                Some(&next) if is_open[next] => {
                    path.push(next);
                    return Err(path.into_iter().skip_while(|position| *position != next).collect());
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
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(definitions: &[(&str, &str)]) -> Result<String, String> {
        let parsed =
            definitions.iter().map(|(name, text)| (name.to_string(), Definition::parse(text).unwrap()));
        let ordered = in_order(parsed.collect()).map_err(|error| error.to_string())?;
        Ok(ordered.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
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
            (&[("A", "$(B)"), ("B", "$(A)")] as &[_], ": A -> B -> A"),
            (
                &[("X", "$(A)"), ("A", "$(B)"), ("B", "$(C)"), ("C", "$(D)$(A)"), ("D", "metadata.name")],
                ": A -> B -> C -> A",
            ),
            (&[("A", "metadata.name"), ("A", "metadata.uid")], "--set A is given twice"),
        ] {
            let error = ordered(definitions).unwrap_err();
            assert!(error.ends_with(circle), "{error}");
        }
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let definitions: Vec<_> = (0..20_000)
            .map(|number| (format!("V{number}"), Definition::parse(&format!("$(V{})", number + 1)).unwrap()))
            .collect();
        assert_eq!(in_order(definitions).unwrap()[0].0, "V19999");
    }
}
