//! Makes environment variables from facts.

mod already_set;
pub(crate) mod definition;
pub(crate) mod expression;
pub(crate) mod labels;
mod missing;
mod operand;
pub(crate) mod otel;
mod set;
pub(crate) mod template;
pub(crate) mod variable;

use crate::facts::Value;
use crate::facts::field::{Field, Kind};
use crate::facts::reference::Reference;
use crate::facts::wanted::Wanted;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::resource_field;
use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::variables::definition::Definition;
use crate::variables::labels::Map;
pub(crate) use crate::variables::missing::{explain, why_missing};
use crate::variables::variable::{Variable, Variables};

/// A required variable is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariablesError {
    #[error("required variable {name} is not known: {why}")]
    Required { name: String, why: String },
}

/// The variables to make beside the standard ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Names and definitions. Each comes after those that it refers to ([`definition::in_order`]).
    pub(crate) set: Vec<(String, Definition)>,
    pub(crate) labels: bool,
    pub(crate) annotations: bool,
    pub(crate) require: Vec<String>,
    pub(crate) otel: bool,
    /// The variables that are left out.
    pub(crate) omit: Vec<String>,
    /// Whether all variables of the table that no option names are left out.
    pub(crate) omits_standard: bool,
    /// The variables that replace those that the pod's author set, or `*`.
    pub(crate) overrides: Vec<String>,
}

impl Selection {
    /// Whether every entry of `map` becomes a variable: by its option, or because one is required.
    fn has_all(&self, map: Map) -> bool {
        let is_selected = match map {
            Map::Labels => self.labels,
            Map::Annotations => self.annotations,
        };
        is_selected || self.require.iter().any(|name| Map::of_variable(name) == Some(map))
    }

    /// Whether the variable `name` replaces the one that the pod's author set.
    pub(crate) fn overrides(&self, name: &str) -> bool {
        self.overrides.iter().any(|other| other == name || other == "*")
    }

    /// Whether the variable `name` is left out.
    fn omits(&self, name: &str) -> bool {
        let is_named =
            || self.require.iter().chain(self.set.iter().map(|(set, _)| set)).any(|other| other == name);
        self.omit.iter().any(|other| other == name)
            || (self.omits_standard && Field::of_variable(name).is_some() && !is_named())
    }

    /// The fields that were requested by name.
    pub(crate) fn wanted(&self) -> Wanted {
        let set = self.set.iter().flat_map(|(_, definition)| definition.wanted());
        let maps = Map::ALL.into_iter().filter(|map| self.has_all(*map)).map(Map::field);
        let required = self.require.iter().filter_map(|name| Field::of_variable(name));
        let fields = maps.chain(required);
        let welcome = self.otel.then_some(otel::wanted as _);
        let awaited = set.chain(fields.map(|field| vec![Reference::Field(field)])).collect();
        Wanted { awaited, welcome, ..Wanted::default() }
    }
}

/// Makes the variables for the application.
///
/// `environment` is what the pod's author set. `application` is what the application has anyway.
pub(crate) fn variables(
    gathered: &Gathered,
    selection: &Selection,
    environment: &Environment,
    application: &Environment,
) -> Variables {
    let environments = [environment, application];
    let mut variables = of_fields(gathered);
    add_maps(&mut variables, gathered, selection);
    set::add_expressions(&mut variables, gathered, selection, environments);
    already_set::warn_of_contradictions(&gathered.facts, selection, environment);
    for (name, variable) in variables.iter_mut().filter(|(name, _)| !selection.overrides(name)) {
        already_set::keep(name, variable, gathered, environment);
    }
    if selection.otel {
        // Last, because it merges the attributes that are already set.
        let is_named = selection.set.iter().any(|(name, _)| name == otel::SERVICE_NAME);
        for (name, variable) in otel::variables(&gathered.facts, environment, is_named) {
            // --set wins.
            variables.entry(name).or_insert(variable);
        }
    }
    set::add_templates(&mut variables, gathered, selection, environments);
    // Last, because others may refer to them.
    variables.retain(|name, _| !selection.omits(name));
    variables
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
fn of_fields(gathered: &Gathered) -> Variables {
    let mut variables = Variables::new();
    for field in Field::all() {
        let (Some(name), Some(fact)) = (field.variable, gathered.facts.get(field)) else { continue };
        if let Some(value) = as_variable(field, &fact.value) {
            insert(&mut variables, name.to_owned(), Variable::new(value, fact.source.name()));
        }
    }
    variables
}

fn add_maps(variables: &mut Variables, gathered: &Gathered, selection: &Selection) {
    for map in Map::ALL.into_iter().filter(|map| selection.has_all(*map)) {
        let fact = gathered.facts.get(map.field());
        match fact.map(|fact| (&fact.value, fact.source)) {
            Some((Value::Map(entries), source)) => map.add(entries, source, variables),
            _ => log::warn!("no {}… is set: {}", map.prefix(), missing::why_no_map(map, gathered)),
        }
    }
}

fn insert(variables: &mut Variables, name: String, variable: Variable) {
    if variable.value.contains('\0') {
        log::warn!("{name} is left out: its value contains NUL, which no variable can contain");
        return;
    }
    variables.insert(name, variable);
}

/// The value of the variable `name`, if it may be shown.
pub(crate) fn shown_value<'a>(
    name: &str,
    variables: &'a Variables,
    gathered: &Gathered,
    selection: &Selection,
    environment: &Environment,
) -> Result<&'a str, VariablesError> {
    let shown = variables.get(name).filter(|variable| !variable.is_private);
    shown.map(|variable| variable.value.as_str()).ok_or_else(|| VariablesError::Required {
        name: name.to_owned(),
        why: why_missing(name, variables, gathered, selection, environment),
    })
}

/// The variables of `--require` that are not known, and why.
pub(crate) fn missing_required(
    variables: &Variables,
    gathered: &Gathered,
    selection: &Selection,
    environment: &Environment,
) -> Vec<VariablesError> {
    let is_missing = |name: &&String| {
        let is_of_table = Field::of_variable(name).is_some() || Map::of_variable(name).is_some();
        let is_defined = is_of_table || selection.set.iter().any(|(set, _)| set == *name);
        let is_set = !is_defined && environment.get_nonempty(name).is_some();
        !variables.contains_key(*name) && !is_set
    };
    let error = |name: &String| VariablesError::Required {
        name: name.clone(),
        why: why_missing(name, variables, gathered, selection, environment),
    };
    selection.require.iter().filter(is_missing).map(error).collect()
}
