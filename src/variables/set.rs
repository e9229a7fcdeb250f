//! `--set`: variables made of facts, and of other variables.

use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::variables::already_set::keep;
use crate::variables::definition::Definition;
use crate::variables::missing::{why_no_value, why_not_rendered};
use crate::variables::template::{NoValue, Template};
use crate::variables::variable::{Scope, Variable, Variables};
use crate::variables::{Selection, insert};

/// The name of the source of a template.
const TEMPLATE: &str = "template";

/// Adds what expressions make of facts; one without a value takes away what has its name.
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

/// Adds what templates make of `variables` and, where they have no such variable, of `environments`;
/// one without a value takes away what has its name.
pub(crate) fn add_templates(
    variables: &mut Variables,
    gathered: &Gathered,
    selection: &Selection,
    environments: [&Environment; 2],
) {
    // Each comes after those that it refers to.
    for (name, definition) in &selection.set {
        let Definition::Template(template) = definition else { continue };
        match render(template, Scope { variables, environments }) {
            Ok(mut variable) => {
                if !selection.replaces {
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
    // Empty is unset in an environment; of a gathered variable it is a value.
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
    // The error says it of what is required.
    if selection.require.iter().any(|required| required == name) {
        return;
    }
    let is_set = environments.iter().any(|environment| environment.get_nonempty(name).is_some());
    let outcome = if is_set { "keeps the value that was set" } else { "is not set" };
    log::warn!("{name} {outcome}: {why}");
}
