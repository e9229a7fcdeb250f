//! The order in which values are evaluated.

use std::collections::{BTreeMap, BTreeSet};

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
    let references: Vec<BTreeSet<usize>> = definitions
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

/// The positions in `references`, each after those that it refers to (Kahn's algorithm), or a cycle.
fn sorted(references: &[BTreeSet<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> = references.iter().map(BTreeSet::len).collect();
    let mut referring = vec![Vec::new(); references.len()];
    for (position, own) in references.iter().enumerate() {
        own.iter().for_each(|other| referring[*other].push(position));
    }
    let mut ready: BTreeSet<usize> =
        (0..references.len()).filter(|position| missing[*position] == 0).collect();
    let mut order = Vec::with_capacity(references.len());
    while let Some(position) = ready.pop_first() {
        order.push(position);
        for other in &referring[position] {
            missing[*other] -= 1;
            if missing[*other] == 0 {
                ready.insert(*other);
            }
        }
    }
    match missing.iter().position(|count| *count > 0) {
        None => Ok(order),
        Some(left) => Err(circle(references, &missing, left)),
    }
}

/// A cycle that can be reached from `start`. Its first position is also its last.
fn circle(references: &[BTreeSet<usize>], missing: &[usize], start: usize) -> Vec<usize> {
    let mut path = Vec::new();
    let mut seen = vec![false; references.len()];
    let mut position = start;
    while !std::mem::replace(&mut seen[position], true) {
        path.push(position);
        // Every remaining definition refers to another remaining one.
        let next = references[position].iter().find(|other| missing[**other] > 0);
        position = next.copied().unwrap_or(position);
    }
    let first = path.iter().position(|other| *other == position).unwrap_or_default();
    path.drain(..first);
    path.push(position);
    path
}
