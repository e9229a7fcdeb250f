//! Facts to environment variables.

pub(crate) mod expression;
pub(crate) mod otel;
pub(crate) mod variable;

use std::borrow::Cow;

use crate::facts::field::{self, Field, Source, TABLE};
use crate::facts::reference::Reference;
use crate::facts::wanted::Wanted;
use crate::facts::{Fact, Value, as_variable};
use crate::sources::gather::Gathered;
use crate::system::environment::Environment;
use crate::variables::expression::Expression;
use crate::variables::variable::{Variable, Variables, expand};

/// Prefixes of the variables that labels and annotations become.
const LABEL: &str = "POD_LABEL_";
const ANNOTATION: &str = "POD_ANNOTATION_";

/// A variable that was required is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariablesError {
    #[error("required variable {name} is not known: {why}")]
    Required { name: String, why: String },
}

/// What is to become a variable, beside the standard set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) set: Vec<(String, Expression)>,
    pub(crate) labels: bool,
    pub(crate) annotations: bool,
    pub(crate) require: Vec<String>,
    pub(crate) otel: bool,
    pub(crate) expand_env: Vec<String>,
    pub(crate) replaces: bool,
}

impl Selection {
    /// Whether labels (or annotations) become variables: said so, or implied by a requirement.
    fn wants_all(&self, prefix: &str) -> bool {
        let is_said = if prefix == LABEL { self.labels } else { self.annotations };
        is_said || self.require.iter().any(|name| name.starts_with(prefix))
    }

    /// What is asked for by name.
    pub(crate) fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        wanted.awaited.extend(self.set.iter().map(|(_, expression)| expression.reference.clone()));
        for (prefix, field) in [(LABEL, Field::Labels), (ANNOTATION, Field::Annotations)] {
            if self.wants_all(prefix) {
                wanted.awaited.push(Reference::Field(field));
            }
        }
        let rows = self.require.iter().filter_map(|name| field::by_variable(name));
        wanted.awaited.extend(rows.map(|row| Reference::Field(row.field())));
        wanted.otel = self.otel;
        wanted
    }
}

/// The variables that the application is to have, by the facts.
///
/// `environment` is what the pod's author set, and `application` what the application gets as well.
pub(crate) fn variables(
    gathered: &Gathered,
    selection: &Selection,
    environment: &Environment,
    application: &Environment,
) -> Result<Variables, VariablesError> {
    let facts = &gathered.facts;
    let mut variables = Variables::new();
    for row in TABLE {
        let (Some(name), Some(fact)) = (row.variable, facts.get(&row.field())) else { continue };
        if let Some(value) = as_variable(row, &fact.value) {
            insert(&mut variables, name.to_owned(), value, fact.source);
        }
    }
    for (prefix, field) in [(LABEL, Field::Labels), (ANNOTATION, Field::Annotations)] {
        if !selection.wants_all(prefix) {
            continue;
        }
        match facts.get(&field) {
            Some(fact) => add_map(&mut variables, prefix, fact),
            None => log::warn!(
                "no variable {prefix}…: {} are not known{}",
                field.path(),
                unless_said(gathered, &field)
            ),
        }
    }
    add_set(&mut variables, gathered, selection);
    if !selection.replaces {
        keep_what_is_set(&mut variables, gathered, environment);
    }
    if selection.otel {
        // After what is set was kept: the attributes that are set are merged, not replaced.
        for (name, variable) in crate::variables::otel::variables(facts, environment) {
            // What --set says of them counts.
            variables.entry(name).or_insert(variable);
        }
    }
    expand_values(&mut variables, &selection.expand_env, [environment, application]);
    require(&variables, gathered, selection, environment)?;
    Ok(variables)
}

fn insert(variables: &mut Variables, name: String, value: String, source: Source) {
    if value.contains('\0') {
        log::warn!("{name} is left out: its value holds NUL, which no variable can");
        return;
    }
    let source = Cow::Borrowed(source.name());
    variables.insert(name, Variable { value, source, is_set: false });
}

/// A name for a label's key: upper case, and `_` for everything outside `[A-Z0-9]`.
fn name_of(prefix: &str, key: &str) -> String {
    let mut name = Vec::with_capacity(prefix.len() + key.len());
    name.extend_from_slice(prefix.as_bytes());
    for byte in key.bytes() {
        match byte.to_ascii_uppercase() {
            letter @ (b'A'..=b'Z' | b'0'..=b'9') => name.push(letter),
            // The bytes of a letter after its first (RFC 3629).
            0x80..=0xbf => {}
            _ => name.push(b'_'),
        }
    }
    String::from_utf8(name).unwrap_or_default()
}

fn add_map(variables: &mut Variables, prefix: &str, fact: &Fact) {
    let Value::Map(map) = &fact.value else { return };
    for (key, value) in map {
        let name = name_of(prefix, key);
        if !variables.contains_key(&name) {
            insert(variables, name, value.clone(), fact.source);
            continue;
        }
        // Keys come in order, so the first of two that collide has become the variable.
        let first = map.keys().find(|first| name_of(prefix, first) == name);
        log::warn!("{key:?} is left out: {:?} has become {name} already", first.map_or("", String::as_str));
    }
}

fn add_set(variables: &mut Variables, gathered: &Gathered, selection: &Selection) {
    for (name, expression) in &selection.set {
        match expression.evaluate(&gathered.facts) {
            Some((value, source)) => insert(variables, name.clone(), value, source),
            None => {
                variables.remove(name);
                // Whoever required it is told so by the error.
                if !selection.require.contains(name) {
                    let field = expression.reference.field();
                    log::warn!(
                        "{name} is not set: {} is not known: {}",
                        expression.reference,
                        why(gathered, field)
                    );
                }
            }
        }
    }
}

/// Why `field` is not known, unless a warning has said so already.
fn unless_said(gathered: &Gathered, field: &Field) -> String {
    match gathered.why_unknown(field) {
        Some(note) if note.is_broken && !gathered.facts.is_settled(field) => String::new(),
        _ => format!(": {}", why(gathered, field)),
    }
}

/// Why `field` is not known, and what to do.
fn why(gathered: &Gathered, field: &Field) -> String {
    let is_limit = matches!(field, Field::Resource(..));
    if gathered.facts.is_settled(field) {
        return if is_limit { "the container has none".to_owned() } else { "the pod has none".to_owned() };
    }
    match gathered.why_unknown(field) {
        Some(note) => note.text.clone(),
        None => "no source told it; print --explain says why".to_owned(),
    }
}

fn keep_what_is_set(variables: &mut Variables, gathered: &Gathered, environment: &Environment) {
    let is_of_container = |name: &str| field::by_variable(name).is_some_and(|row| row.is_of_container);
    variables.retain(|name, variable| {
        // What this container's author set says nothing about another one.
        if !gathered.subject.is_own() && is_of_container(name) {
            return true;
        }
        let set = environment.get_bytes(name.as_bytes()).filter(|value| !value.is_empty());
        let Some(set) = set.map(String::from_utf8_lossy) else { return true };
        // It may be a secret of the application's, which keeps it.
        if field::by_variable(name).is_some_and(|row| !row.kind.accepts(&set)) {
            return false;
        }
        if variable.value != set {
            log::info!("{name} stays as it is set");
            variable.value = set.into_owned();
            variable.source = Cow::Borrowed(Source::Environment.name());
        }
        variable.is_set = true;
        true
    });
}

/// `--expand-env`: `$(VAR)` in the values of these variables.
fn expand_values(variables: &mut Variables, names: &[String], environments: [&Environment; 2]) {
    for name in names {
        let gathered = variables.get(name).map(|variable| (variable.value.clone(), variable.source.clone()));
        let set = || {
            let value = environments.iter().find_map(|environment| environment.get(name))?;
            Some((value.to_owned(), Cow::Borrowed(Source::Environment.name())))
        };
        let Some((value, source)) = gathered.or_else(set) else {
            log::warn!("--expand-env {name}: there is no such variable, or it is not UTF-8");
            continue;
        };
        let expanded = expand(value.as_bytes(), variables, environments, name);
        if let Ok(value) = String::from_utf8(expanded) {
            variables.insert(name.clone(), Variable { value, source, is_set: false });
        }
    }
}

fn require(
    variables: &Variables,
    gathered: &Gathered,
    selection: &Selection,
    environment: &Environment,
) -> Result<(), VariablesError> {
    for name in &selection.require {
        if variables.contains_key(name) {
            continue;
        }
        let set = selection.set.iter().find(|(set, _)| set == name);
        let field = set.map(|(_, expression)| expression.reference.field().clone());
        let field = field.or_else(|| field::by_variable(name).map(|row| row.field()));
        let why = match field {
            Some(field) => why(gathered, &field),
            None if name.starts_with(LABEL) => why_no_key(gathered, &Field::Labels, "label"),
            None if name.starts_with(ANNOTATION) => why_no_key(gathered, &Field::Annotations, "annotation"),
            None if environment.get_nonempty(name).is_some() => continue,
            None => {
                "it is not in the environment, and no option sets it (--set NAME=EXPRESSION does)".to_owned()
            }
        };
        return Err(VariablesError::Required { name: name.clone(), why });
    }
    Ok(())
}

fn why_no_key(gathered: &Gathered, field: &Field, kind: &str) -> String {
    match gathered.facts.get(field) {
        Some(_) => format!("the pod has no {kind} of which it could come"),
        None => why(gathered, field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_keys_always_carry_their_prefix() {
        assert_eq!(name_of(LABEL, "app.kubernetes.io/name"), "POD_LABEL_APP_KUBERNETES_IO_NAME");
        assert_eq!(name_of(ANNOTATION, "ä\n=PATH"), "POD_ANNOTATION____PATH");
        assert_eq!(name_of(LABEL, "LD_PRELOAD"), "POD_LABEL_LD_PRELOAD");
    }
}
