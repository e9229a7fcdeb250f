//! `--set`: variables made from facts and from other variables.

use std::path::Path;

use crate::facts::field::Field;
use crate::facts::reference::Reference;
use crate::facts::wanted::Missed;
use crate::facts::{Facts, Found};
use crate::kubernetes::fraction::Fraction;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::{resource_field, stepped};
use crate::sources::gather::Origin;
use crate::sources::token;
use crate::system::environment::Environment;
use crate::variables::value::evaluate::{Content, Known, Scope, Why, evaluate};
use crate::variables::value::{Expression, SIZE_LIMIT};
use crate::variables::variable::{Variable, Variables};
use crate::variables::{Run, Selection, already_set};

/// The largest size of all values of `--set` together, in bytes.
const TOTAL_LIMIT: usize = 8 * SIZE_LIMIT;

/// The source of a value without a field in it, in `--explain` and JSON.
const DEFAULT: &str = "default";

/// The variables that every runtime sets.
const OF_RUNTIMES: [&str; 3] = ["HOME", "HOSTNAME", "PATH"];

/// What a value can refer to.
pub(crate) struct Lookup<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) variables: &'a Variables,
    pub(crate) selection: &'a Selection<'a>,
    pub(crate) origin: &'a Origin<'a>,
    /// The variable whose value is computed. It means the value that it would have otherwise.
    pub(crate) own: Option<&'a str>,
}

impl Scope for Lookup<'_> {
    fn field(&self, reference: &Reference, divisor: Option<&Quantity>) -> Option<Known<'_>> {
        let (found, source) = self.facts.find(reference)?;
        let resource = reference.resource();
        let content = match found {
            Found::Number(text) if let Some(number) = Fraction::parse(text) => {
                Content::Number(number, Some(text))
            }
            Found::Text(text) | Found::Number(text) => Content::Text(text.as_bytes().into()),
            Found::Map(map) => Content::Map(map),
            Found::Quantity(quantity) => match (resource.unwrap_or_default(), divisor) {
                (resource, None) => Content::Number(stepped(resource, quantity), None),
                (resource, Some(divisor)) => {
                    Content::Text(resource_field(resource, quantity, divisor).into_bytes().into())
                }
            },
        };
        let (is_private, is_of_resource) = (reference.is_private(), reference.is_limit_or_request());
        Some(Known { content, sources: vec![source.name()], is_private, is_of_resource })
    }

    fn variable(&self, name: &str) -> Result<Known<'_>, Why> {
        if let Some(variable) = self.variables.get(name) {
            return Ok(Known {
                is_private: variable.is_private,
                ..Known::of_text(variable.value.as_bytes())
            });
        }
        match environments(self.selection, self.origin).find_map(|set| set.get_bytes(name.as_bytes())) {
            Some(value) => Ok(Known { is_private: true, ..Known::of_text(value) }),
            None if self.own == Some(name) => Ok(Known::of_text(&b""[..])),
            None => Err(match Field::of_variable(name) {
                Some(field) if !self.variables.unknown.contains_key(name) => {
                    Why::Field(Reference::Field(field))
                }
                _ => Why::Variable(name.to_owned()),
            }),
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let container = self.origin.surroundings().ok_or("no files are read with --pod")?;
        let content = container.root.read(Path::new(path)).map_err(|error| error.to_string())?;
        if content.len() > SIZE_LIMIT {
            return Err("larger than 1 MiB".to_owned());
        }
        if token::is_token(container, &content) {
            return Err("this is a service account token, which no variable may have".to_owned());
        }
        let mut text = String::from_utf8(content).map_err(|_| "not valid UTF-8")?;
        if text.ends_with('\n') {
            text.pop();
            text.truncate(text.len() - usize::from(text.ends_with('\r')));
        }
        Ok(text)
    }
}

/// Adds the variables of `--set`. A variable whose value is not known is removed. Adds the fields to `missed` that the
/// values need and that are not known. `is_own` is as in [`already_set::keep`]. It logs nothing.
pub(crate) fn add(
    variables: &mut Variables,
    facts: &Facts,
    selection: &Selection,
    origin: &Origin,
    is_own: bool,
    missed: &mut Vec<Missed>,
) {
    let mut left = TOTAL_LIMIT;
    // They are sorted: each comes after the definitions that it refers to.
    for (name, definition) in selection.set {
        let lookup = Lookup { facts, variables, selection, origin, own: Some(name) };
        let made = made(definition, &lookup, missed).and_then(|variable| {
            let why = || Why::only("the values of --set together would be longer than 8 MiB");
            left = left.checked_sub(variable.value.len()).ok_or_else(why)?;
            Ok(variable)
        });
        match made {
            Ok(mut variable) => {
                if !selection.overrides(name) && !definition.variables().contains(&&**name) {
                    already_set::keep(name, &mut variable, is_own, origin.environment());
                }
                variables.insert(name.clone(), variable);
            }
            Err(mut why) => {
                why.dedup();
                variables.remove(name);
                variables.unknown.insert(name.clone(), why);
            }
        }
    }
}

fn made(definition: &Expression, lookup: &Lookup, missed: &mut Vec<Missed>) -> Result<Variable, Vec<Why>> {
    let known = evaluate(definition, lookup, missed)?;
    let source = if known.sources.is_empty() { DEFAULT.to_owned() } else { known.sources.join(",") };
    let is_private = known.is_private;
    let text = String::from_utf8(known.text().into_owned());
    let value = text.map_err(|_| Why::only("its value is not UTF-8"))?;
    if value.contains('\0') {
        return Err(Why::only("its value contains NUL, which no variable can contain"));
    }
    Ok(Variable { is_private, ..Variable::new(value, source) })
}

/// The environment that the pod's author set, and what the application has anyway.
fn environments<'a>(selection: &'a Selection, origin: &'a Origin) -> impl Iterator<Item = &'a Environment> {
    [origin.environment()].into_iter().chain(selection.application)
}

impl Run<'_> {
    /// Adds warnings about the values of `--set` that the application does not get, and why.
    pub(super) fn report_set(&mut self) {
        let mut warnings = Vec::new();
        for (name, _) in self.selection.set {
            match (self.variables.get(name), self.variables.unknown.get(name)) {
                (Some(variable), _) if variable.is_set && OF_RUNTIMES.contains(&&**name) => {
                    warnings.push(format!(
                        "--set {name} has no effect, because every runtime sets {name}; add --override {name}"
                    ));
                }
                (Some(variable), _) if variable.is_set => {
                    log::info!("{name} keeps the value that was set, not that of --set {name}");
                }
                (Some(variable), _) if variable.is_private => {
                    log::info!(
                        "{name} is not printed or written: it contains text of the environment or of a file"
                    );
                }
                // If the variable is required, an error reports the reason.
                (None, Some(why)) if !self.selection.require.contains(name) => {
                    let is_set = environments(&self.selection, self.origin)
                        .any(|set| set.get_bytes(name.as_bytes()).is_some());
                    let outcome = if is_set { "keeps the value that was set" } else { "is not set" };
                    warnings.push(format!("{name} {outcome}: {}", self.reasons(why)));
                }
                _ => {}
            }
        }
        self.variables.warnings.extend(warnings);
    }
}
