//! `--set`: variables made from facts and from other variables.

use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::variables::already_set::keep;
use crate::variables::definition::Definition;
use crate::variables::missing::{why_no_value, why_not_rendered};
use crate::variables::template::{NoValue, Template};
use crate::variables::variable::{Scope, Variable, Variables};
use crate::variables::{Selection, insert};

/// The source of a template's value, in `--explain` and JSON.
const TEMPLATE: &str = "template";

/// Adds the variables of expressions. If an expression has no value, its variable is removed.
pub(crate) fn add_expressions(
    variables: &mut Variables,
    gathered: &Gathered,
    selection: &Selection,
    environments: [&Environment; 2],
) {
    for (name, definition) in &selection.set {
        let Definition::Expression(expression) = definition else { continue };
        match expression.evaluate(&gathered.facts) {
            Some((value, source)) => insert(variables, name.clone(), Variable::new(value, source)),
            None => {
                variables.remove(name);
                warn(name, &why_no_value(expression, gathered), selection, environments);
            }
        }
    }
}

/// Adds the variables of templates. If a template has no value, its variable is removed.
///
/// A template refers to `variables` or, for other names, to `environments`.
pub(crate) fn add_templates(
    variables: &mut Variables,
    gathered: &Gathered,
    selection: &Selection,
    environments: [&Environment; 2],
) {
    // The definitions are sorted: each comes after those that it refers to.
    for (name, definition) in &selection.set {
        let Definition::Template(template) = definition else { continue };
        match render(template, Scope { variables, environments }) {
            Ok(mut variable) => {
                if !selection.overrides(name) {
                    keep(name, &mut variable, gathered, environments[0]);
                }
                if variable.is_private {
                    log::info!("{name} is not printed or written: its value comes from the environment");
                }
                insert(variables, name.clone(), variable);
            }
            Err(no_value) => {
                variables.remove(name);
                warn(name, &why_not_rendered(&no_value, gathered, selection), selection, environments);
            }
        }
    }
}

fn render<'a>(template: &'a Template, scope: Scope) -> Result<Variable, NoValue<'a>> {
    // An empty variable of the environment counts as unset; an empty gathered variable is a value.
    let get = |name: &str| {
        scope
            .get(name.as_bytes())
            .filter(|(value, _)| scope.variables.contains_key(name) || !value.is_empty())
    };
    let value = template.render(|name| std::str::from_utf8(get(name)?.0).ok())?;
    let is_private = template.references().any(|name| get(name).is_some_and(|(_, is_private)| is_private));
    Ok(Variable { is_private, ..Variable::new(value, TEMPLATE) })
}

fn warn(name: &str, why: &str, selection: &Selection, environments: [&Environment; 2]) {
    // If the variable is required, an error reports the reason.
    if selection.require.iter().any(|required| required == name) {
        return;
    }
    let is_set = environments.iter().any(|environment| environment.get_nonempty(name).is_some());
    let outcome = if is_set { "keeps the value that was set" } else { "is not set" };
    log::warn!("{name} {outcome}: {why}");
}
