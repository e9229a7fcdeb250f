//! Makes environment variables from facts.

mod already_set;
pub(crate) mod labels;
mod missing;
pub(crate) mod otel;
mod selection;
mod set;
pub(crate) mod value;
pub(crate) mod variable;

use crate::facts::field::{Field, Kind};
use crate::facts::reference::Reference;
use crate::facts::subject::Subject;
use crate::facts::{Facts, Value};
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::resource_field;
use crate::sources::gather::Origin;
use crate::system::environment::Environment;
use crate::system::files::NewFile;
use crate::variables::labels::{MAPS, map_of};
pub(crate) use crate::variables::selection::Selection;
pub(crate) use crate::variables::set::Lookup;
use crate::variables::variable::{Variable, Variables};

/// A variable is not known, not in a file, or not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariablesError {
    #[error("required variable {name} is not known: {why}")]
    Required { name: String, why: String },
    #[error("required variable {name} is not in {file}: {why}")]
    NotInFile { name: String, file: String, why: String },
    #[error("{0} is set, but is no fact about the pod, and print hides such values. Use printenv {0}")]
    Hidden(String),
    #[error(
        "{0} contains text of the environment or of a file, and print hides such values; the application gets it"
    )]
    Private(String),
}

/// The facts about one subject, and the variables and files made from them.
pub(crate) struct Run<'a> {
    pub(crate) subject: Subject,
    pub(crate) facts: Facts,
    pub(crate) selection: Selection<'a>,
    pub(crate) origin: &'a Origin<'a>,
    pub(crate) variables: Variables,
    /// The files that are made from templates.
    pub(crate) files: Vec<NewFile>,
}

impl<'a> Run<'a> {
    /// Makes the variables. Their warnings are not logged yet.
    pub(crate) fn new(
        origin: &'a Origin<'a>,
        selection: Selection<'a>,
        (subject, facts): (Subject, Facts),
    ) -> Self {
        let variables = of_fields(&facts);
        let mut run = Run { subject, facts, selection, origin, variables, files: Vec::new() };
        run.add_maps();
        run.add_contradictions();
        let Run { subject, facts, selection, variables, .. } = &mut run;
        let (is_own, environment) = (subject.is_own(), origin.environment());
        // Labels can be many more than the names of an environment, which is searched from its start.
        for name in environment.names_with_prefix("").filter(|name| !selection.overrides(name)) {
            if let Some(variable) = variables.get_mut(name) {
                already_set::keep(name, variable, is_own, environment);
            }
        }
        if selection.otel {
            let is_named = selection.sets(otel::SERVICE_NAME);
            otel::add(facts, environment, is_named, variables);
        }
        set::add(variables, facts, selection, origin, is_own, &mut Vec::new());
        for (name, variable) in variables.iter_mut() {
            variable.is_omitted = selection.omits(name);
        }
        run.report_set();
        run
    }

    /// The environment that the pod's author set.
    pub(crate) fn environment(&self) -> &Environment {
        self.origin.environment()
    }

    /// What an expression can refer to.
    pub(crate) fn lookup(&self) -> Lookup<'_> {
        let Run { facts, selection, origin, variables, .. } = self;
        Lookup { facts, variables, selection, origin, own: None }
    }

    /// Whether the environment of this process has the variables that the pod's author set.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.origin.surroundings().is_some_and(|surroundings| surroundings.root.is_system())
    }

    fn add_maps(&mut self) {
        for (map, prefix) in MAPS.into_iter().filter(|(map, _)| self.selection.has_all(*map)) {
            let (entries, is_whole) = self.facts.entries(map, "");
            if entries.is_empty() && !is_whole {
                let why = self.why_unknown(&Reference::Field(map));
                self.variables.warnings.push(format!("no {prefix}… is set: {why}"));
            }
            labels::add(map, prefix, &entries, &mut self.variables);
        }
    }

    /// The value of the variable `name`.
    ///
    /// # Errors
    /// Why it may not be shown, or is not known.
    pub(crate) fn shown_value(&self, name: &str) -> Result<&str, VariablesError> {
        match self.variables.get(name) {
            Some(variable) if variable.is_shown() => Ok(&variable.value),
            Some(variable) if !variable.is_set && variable.is_private => {
                Err(VariablesError::Private(name.to_owned()))
            }
            _ if self.environment().get_bytes(name.as_bytes()).is_some() => {
                Err(VariablesError::Hidden(name.to_owned()))
            }
            _ => Err(self.not_known(name)),
        }
    }

    /// Each variable of `--require` that is not known, and why.
    pub(crate) fn missing_required(&self) -> Vec<VariablesError> {
        let is_missing = |name: &&String| {
            let is_of_table = Field::of_variable(name).is_some() || map_of(name).is_some();
            let is_defined = is_of_table || self.selection.sets(name);
            let is_set = !is_defined && self.environment().get_bytes(name.as_bytes()).is_some();
            !self.variables.contains_key(*name) && !is_set
        };
        let missing = self.selection.require.iter().filter(is_missing);
        missing.map(|name| self.not_known(name)).collect()
    }

    fn not_known(&self, name: &str) -> VariablesError {
        VariablesError::Required { name: name.to_owned(), why: self.why_missing(name) }
    }
}

/// `value` as the text of `field`'s variable. A resource is in the unit that the variable's name states.
pub(crate) fn as_variable(field: Field, value: &Value) -> Option<String> {
    match (value, field.kind) {
        (Value::Text(text), _) => Some(text.clone()),
        (Value::Quantity(quantity), Kind::Resource { name, unit }) => {
            Some(resource_field(name, quantity, &Quantity::parse(unit).ok()?))
        }
        _ => None,
    }
}

/// The variables of the table of fields.
fn of_fields(facts: &Facts) -> Variables {
    let mut variables = Variables::default();
    for field in Field::all() {
        let (Some(name), Some(fact)) = (field.variable, facts.get(field)) else { continue };
        if let Some(value) = as_variable(field, &fact.value) {
            variables.add(name, Variable::new(value, fact.source.name()));
        }
    }
    variables
}
