//! The environment, as the pod's author set it.

use std::borrow::Cow;

use crate::facts::field::{Field, Row, Source, TABLE};
use crate::facts::{Told, Value};
use crate::kubernetes::quantity::Quantity;
use crate::system::environment::Environment;
use crate::system::surroundings::Surroundings;

/// Prefixes under which manifests hand on downward API fields.
const PREFIXES: [&str; 3] = ["", "K8S_", "MY_"];

/// Where the Job controller tells a pod of an Indexed Job which one it is.
const COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";

/// Tells what variables say.
pub(crate) fn tell(surroundings: &Surroundings) -> Told {
    let mut told = Told::default();
    let environment = &surroundings.environment;
    let prefixes = prefixes(environment);
    for row in TABLE.iter().filter(|row| row.sources.contains(&Source::Environment)) {
        let Some((name, text)) = find_with(&prefixes, row, environment) else { continue };
        match value(row, text) {
            Ok(Some(value)) => told.value(row.field.clone(), value),
            Ok(None) => {}
            Err(reason) => told.broken(format!("variable {name} is not used: {reason}")),
        }
    }
    if told.values.is_empty() {
        told.absent("no variable such as POD_NAME, K8S_POD_NAME or MY_POD_NAME is set by the manifest");
    }
    told
}

/// The variable that the pod's author set for `row`: its name and value.
pub(crate) fn find<'a>(row: &Row, environment: &'a Environment) -> Option<(Cow<'static, str>, &'a str)> {
    find_with(&prefixes(environment), row, environment)
}

/// Those of the prefixes that some variable has.
fn prefixes(environment: &Environment) -> Vec<&'static str> {
    PREFIXES.into_iter().filter(|prefix| environment.has_prefix(prefix)).collect()
}

fn find_with<'a>(
    prefixes: &[&str],
    row: &Row,
    environment: &'a Environment,
) -> Option<(Cow<'static, str>, &'a str)> {
    let get = |name: Cow<'static, str>| {
        let value = environment.get_nonempty(&name)?;
        Some((name, value))
    };
    if row.field == Field::Ordinal
        && let Some(index) = get(Cow::Borrowed(COMPLETION_INDEX))
    {
        return Some(index);
    }
    row.variable.iter().chain(row.spellings).find_map(|spelling| {
        prefixes.iter().find_map(|prefix| match prefix.is_empty() {
            true => get(Cow::Borrowed(spelling)),
            false => get(Cow::Owned(format!("{prefix}{spelling}"))),
        })
    })
}

fn value(row: &Row, text: &str) -> Result<Option<Value>, String> {
    match &row.field {
        Field::Resource(..) => {
            let number = text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"))?;
            // Where no request is set the kubelet puts 0 into the variable, and none is meant.
            let quantity = Quantity::of_units(number, row.divisor).filter(|quantity| !quantity.is_zero());
            Ok(quantity.map(Value::Quantity))
        }
        Field::Ordinal => {
            let ordinal = text.parse::<u32>().map_err(|_| format!("{text:?} is not a number"))?;
            Ok(Some(Value::Text(ordinal.to_string())))
        }
        _ => Ok(Some(Value::Text(text.to_owned()))),
    }
}
