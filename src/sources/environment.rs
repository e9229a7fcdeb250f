//! The environment that the pod's author set.

use std::borrow::Cow;

use crate::facts::field::{Field, Kind, Row, Source};
use crate::facts::{Report, Value};
use crate::kubernetes::quantity::Quantity;
use crate::system::environment::Environment;
use crate::system::surroundings::Surroundings;

/// Prefixes that manifests use for downward API fields.
const PREFIXES: [&str; 3] = ["", "K8S_", "MY_"];

/// The variable in which the Job controller gives a pod of an Indexed Job its index.
const COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";

/// Reads the variables of the table.
pub(crate) fn read(surroundings: &Surroundings) -> Report {
    let mut report = Report::default();
    let environment = &surroundings.environment;
    let prefixes = prefixes(environment);
    for field in Field::all().filter(|field| field.sources.contains(&Source::Environment)) {
        let Some((name, text)) = find_with(&prefixes, &field, environment) else { continue };
        if !field.kind.accepts(text) {
            // The value is not shown, because it may be a secret.
            let why = format!("the variable {name} is set, but its value is not {}", field.kind.noun());
            report.absent_of(&[field], why);
        } else if let Some(value) = value(&field, text) {
            report.value(field, value);
        }
    }
    if report.values.is_empty() {
        report.absent("the manifest sets no variable such as POD_NAME, K8S_POD_NAME or MY_POD_NAME");
    }
    report
}

/// The variable that the pod's author set for `row`: its name and value.
pub(crate) fn find<'a>(row: &Row, environment: &'a Environment) -> Option<(Cow<'static, str>, &'a str)> {
    find_with(&prefixes(environment), row, environment)
}

/// The prefixes that at least one variable has.
fn prefixes(environment: &Environment) -> Vec<&'static str> {
    PREFIXES.into_iter().filter(|prefix| environment.names_with_prefix(prefix).next().is_some()).collect()
}

/// The first variable with a valid value, else the first one.
fn find_with<'a>(
    prefixes: &[&str],
    row: &Row,
    environment: &'a Environment,
) -> Option<(Cow<'static, str>, &'a str)> {
    let get = |name: Cow<'static, str>| {
        let value = environment.get_nonempty(&name)?;
        Some((name, value))
    };
    let index = (row.kind == Kind::Ordinal).then(|| get(Cow::Borrowed(COMPLETION_INDEX))).flatten();
    let spelled = row.variable.iter().chain(row.spellings).flat_map(|spelling| {
        prefixes.iter().filter_map(move |prefix| {
            get(if prefix.is_empty() {
                Cow::Borrowed(*spelling)
            } else {
                Cow::Owned(format!("{prefix}{spelling}"))
            })
        })
    });
    let mut first = None;
    let mut all = index.into_iter().chain(spelled);
    all.find(|(name, value)| {
        let is_valid = row.kind.accepts(value);
        first.get_or_insert_with(|| (name.clone(), *value));
        is_valid
    })
    .or(first)
}

/// A quantity that the kubelet rounded up to multiples of `unit`. Below one byte or one thousandth of a CPU there is
/// nothing to round.
pub(crate) fn in_unit(quantity: Quantity, unit: &str) -> Value {
    if matches!(unit, "1" | "1m") { Value::Quantity(quantity) } else { Value::Rounded(quantity) }
}

/// Converts `text` to a value of the row's kind.
fn value(row: &Row, text: &str) -> Option<Value> {
    match row.kind {
        // Without a request, the kubelet sets the variable to 0.
        Kind::Resource { unit, .. } => {
            let quantity = Quantity::of_units(text.parse().ok()?, unit)?;
            (!quantity.is_zero()).then(|| in_unit(quantity, unit))
        }
        Kind::Ordinal => Some(Value::Text(text.parse::<u32>().ok()?.to_string())),
        _ => Some(Value::Text(text.to_owned())),
    }
}
