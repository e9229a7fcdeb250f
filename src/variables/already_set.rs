//! Variables that the pod's author set. They keep their values unless `--override` is given.

use std::borrow::Cow;

use crate::facts::field::{Field, Source};
use crate::sources::environment;
use crate::system::environment::Environment;
use crate::variables::variable::Variable;
use crate::variables::{Run, as_variable};

/// Keeps the value that `environment` has for `name`. `is_own` says that this is the environment of the
/// described container.
pub(crate) fn keep(name: &str, variable: &mut Variable, is_own: bool, environment: &Environment) {
    let field = Field::of_variable(name);
    // The environment of this container says nothing about another container.
    if !is_own && field.is_some_and(|field| field.is_of_container) {
        return;
    }
    let Some(set) = environment.get_bytes(name.as_bytes()).map(String::from_utf8_lossy) else { return };
    if variable.value != set {
        let can_be_fact =
            |field: Field| field.sources.contains(&Source::Environment) && field.kind.accepts(&set);
        variable.is_private = !field.is_some_and(can_be_fact);
        variable.value = set.into_owned();
        variable.source = Cow::Borrowed(Source::Environment.name());
    }
    variable.is_set = true;
}

impl Run<'_> {
    /// Adds warnings about variables that differ from the value of a higher-ranked source. They do not show
    /// the variables' values, which may be secrets.
    pub(super) fn add_contradictions(&mut self) {
        let facts = &self.facts;
        for field in Field::all() {
            let Some(fact) = facts.get(field).filter(|fact| fact.source != Source::Environment) else {
                continue;
            };
            let Some(reported) = facts.reported_by(Source::Environment, field) else { continue };
            if facts.agree(&fact.value, reported) {
                continue;
            }
            let known = as_variable(field, &fact.value).unwrap_or_default();
            let Some((name, _)) = environment::find(&field, self.origin.environment()) else { continue };
            if self.selection.overrides(&name) {
                continue;
            }
            let (path, source) = (field.path, fact.source.name());
            self.variables.warnings.push(format!(
                "{name} is set, but differs from {path}, which is {known:?} (source: {source}); \
                 it keeps its value unless --override {name} is given",
            ));
        }
    }
}
