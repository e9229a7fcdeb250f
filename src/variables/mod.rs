//! Makes environment variables from facts.

mod already_set;
pub(crate) mod labels;
mod missing;
pub(crate) mod otel;
mod set;
pub(crate) mod value;
pub(crate) mod variable;

use std::rc::Rc;

use crate::facts::field::{Field, Kind};
use crate::facts::reference::Reference;
use crate::facts::wanted::{FindMissed, Missed, Wanted};
use crate::facts::{Facts, Value};
use crate::kubernetes::path::Path;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::resource_field;
use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::system::surroundings::Surroundings;
use crate::variables::labels::Map;
pub(crate) use crate::variables::missing::{explain, reasons, why_missing};
pub(crate) use crate::variables::set::Lookup;
use crate::variables::value::Definition;
use crate::variables::value::evaluate::evaluate;
use crate::variables::value::parse::Node;
use crate::variables::value::template::Template;
use crate::variables::variable::{Variable, Variables};

/// A required variable is not known.
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

/// The variables to make beside the standard ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Selection<'a> {
    /// Names and definitions. Each comes after those that it refers to ([`value::order`]).
    pub(crate) set: &'a [(String, Definition)],
    pub(crate) labels: bool,
    pub(crate) annotations: bool,
    pub(crate) require: &'a [String],
    pub(crate) otel: bool,
    /// `--override`: the names of variables that are replaced if they are set, or `*`.
    pub(crate) overrides: &'a [String],
    /// `--omit`: the names of variables that only others refer to.
    pub(crate) omit: &'a [String],
    /// `--standard=false`: so are the standard variables that are not required.
    pub(crate) omits_standard: bool,
}

/// What variables are made of, besides facts.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) selection: Selection<'a>,
    /// What the pod's author set, and what the application has anyway.
    pub(crate) environments: [&'a Environment; 2],
    /// The container whose files can be read.
    pub(crate) container: Option<&'a Surroundings<'a>>,
    /// Other texts whose references are requested.
    pub(crate) templates: &'a [Rc<Template>],
}

impl Selection<'_> {
    /// Whether a value replaces that of the variable `name` that is already set.
    pub(crate) fn overrides(&self, name: &str) -> bool {
        self.overrides.iter().any(|overridden| overridden == name || overridden == "*")
    }

    fn omits(&self, name: &str) -> bool {
        let has = |names: &[String]| names.iter().any(|known| known == name);
        let is_standard = Field::of_variable(name).is_some() && !self.set.iter().any(|(set, _)| set == name);
        has(self.omit) || (self.omits_standard && is_standard && !has(self.require))
    }

    /// Whether every entry of `map` becomes a variable: by its option, or because one is required.
    fn has_all(&self, map: Map) -> bool {
        let is_selected = match map {
            Map::Labels => self.labels,
            Map::Annotations => self.annotations,
        };
        is_selected || self.require.iter().any(|name| Map::of_variable(name) == Some(map))
    }
}

impl Inputs<'_> {
    /// The fields that were requested by name.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        let maps = Map::ALL.into_iter().filter(|map| self.selection.has_all(*map)).map(Map::field);
        let required = self.selection.require.iter().filter_map(|name| Field::of_variable(name));
        let fields = maps.chain(required).map(Reference::Field).collect();
        let optional = self.selection.otel.then_some(otel::wanted as _);
        let has_values = !self.selection.set.is_empty() || !self.templates.is_empty();
        let missed = has_values.then(|| Rc::new(|facts: &Facts| self.missed(facts)) as FindMissed);
        let (named, paths) = self.named();
        Wanted { fields, missed, named, optional, has_no_container: false, paths }
    }

    /// The fields that options and values name, themselves or their variables, and the paths in values.
    fn named(&self) -> (Vec<Field>, Vec<Path>) {
        let mut named: Vec<_> =
            self.selection.require.iter().filter_map(|name| Field::of_variable(name)).collect();
        let mut paths = Vec::new();
        let mut visit = |node: &Node| match node {
            Node::Field(field) => match &field.0 {
                Reference::Path(path) => paths.push(path.clone()),
                reference => named.extend(reference.field()),
            },
            Node::Variable(name) => named.extend(Field::of_variable(name)),
            _ => {}
        };
        self.selection.set.iter().for_each(|(_, definition)| definition.each(&mut visit));
        self.templates
            .iter()
            .flat_map(|template| template.expressions())
            .for_each(|node| node.each(&mut visit));
        (named, paths)
    }

    /// The fields that the values of `--set` and the templates need, and that `facts` do not have.
    fn missed(&self, facts: &Facts) -> Vec<Missed> {
        let mut missed = Vec::new();
        let mut variables = of_fields(facts);
        set::add(&mut variables, facts, self, true, &mut missed);
        let lookup = Lookup { facts, variables: &variables, inputs: self, own: None };
        for node in self.templates.iter().flat_map(|template| template.expressions()) {
            // Only what it misses counts.
            let _ = evaluate(node, &lookup, &mut missed);
        }
        missed
    }
}

/// Makes the variables for the application, and the warnings to log.
pub(crate) fn variables(gathered: &Gathered, inputs: &Inputs) -> Variables {
    let selection = &inputs.selection;
    let environment = inputs.environments[0];
    let is_own = gathered.subject.is_own();
    let mut variables = of_fields(&gathered.facts);
    add_maps(&mut variables, gathered, selection);
    variables.warnings.extend(already_set::contradictions(&gathered.facts, inputs));
    for (name, variable) in variables.iter_mut().filter(|(name, _)| !selection.overrides(name)) {
        already_set::keep(name, variable, is_own, environment);
    }
    if selection.otel {
        let is_named = selection.set.iter().any(|(name, _)| name == otel::SERVICE_NAME);
        let made = otel::variables(&gathered.facts, environment, is_named, &mut variables.warnings);
        variables.extend(made);
    }
    set::add(&mut variables, &gathered.facts, inputs, is_own, &mut Vec::new());
    set::report(&mut variables, gathered, inputs);
    for (name, variable) in variables.iter_mut() {
        variable.is_omitted = selection.omits(name);
    }
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
fn of_fields(facts: &Facts) -> Variables {
    let mut variables = Variables::default();
    for field in Field::all() {
        let (Some(name), Some(fact)) = (field.variable, facts.get(field)) else { continue };
        if let Some(value) = as_variable(field, &fact.value) {
            insert(&mut variables, name.to_owned(), Variable::new(value, fact.source.name()));
        }
    }
    variables
}

fn add_maps(variables: &mut Variables, gathered: &Gathered, selection: &Selection) {
    for map in Map::ALL.into_iter().filter(|map| selection.has_all(*map)) {
        let (entries, is_whole) = gathered.facts.entries(map.field(), "");
        if entries.is_empty() && !is_whole {
            let why = missing::why_no_map(map, gathered);
            variables.warnings.push(format!("no {}… is set: {why}", map.prefix()));
        }
        map.add(&entries, variables);
    }
}

fn insert(variables: &mut Variables, name: String, variable: Variable) {
    if variable.value.contains('\0') {
        let warning = format!("{name} is left out: its value contains NUL, which no variable can contain");
        return variables.warnings.push(warning);
    }
    variables.insert(name, variable);
}

/// The value of the variable `name`, if it may be shown.
pub(crate) fn shown_value<'a>(
    name: &str,
    variables: &'a Variables,
    gathered: &Gathered,
    environment: &Environment,
) -> Result<&'a str, VariablesError> {
    match variables.get(name) {
        Some(variable) if variable.is_shown() => Ok(&variable.value),
        Some(variable) if !variable.is_set && variable.is_private => {
            Err(VariablesError::Private(name.to_owned()))
        }
        _ if environment.get_bytes(name.as_bytes()).is_some() => Err(VariablesError::Hidden(name.to_owned())),
        _ => Err(VariablesError::Required {
            name: name.to_owned(),
            why: why_missing(name, variables, gathered, environment),
        }),
    }
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
        let is_set = !is_defined && environment.get_bytes(name.as_bytes()).is_some();
        !variables.contains_key(*name) && !is_set
    };
    let error = |name: &String| VariablesError::Required {
        name: name.clone(),
        why: why_missing(name, variables, gathered, environment),
    };
    selection.require.iter().filter(is_missing).map(error).collect()
}
