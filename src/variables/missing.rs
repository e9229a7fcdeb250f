//! Why a variable is missing, and how the pod's author can make it known.

use crate::facts::Note;
use crate::facts::field::{Field, Object, Source};
use crate::facts::reference::Reference;
use crate::facts::subject::Subject;
use crate::facts::wanted::NotQueried;
use crate::variables::Run;
use crate::variables::labels::{entry_of, map_of};
use crate::variables::value::evaluate::Why;

const FROM_ENVIRONMENT: &str = "its value comes from the environment; it is not shown";
const MOUNT_TOKEN: &str = "mount the service account token";

impl Run<'_> {
    /// Why there is no variable `name`, or why its value is not shown.
    pub(super) fn why_missing(&self, name: &str) -> String {
        if self.variables.get(name).is_some_and(|variable| variable.is_private) {
            return match Field::of_variable(name) {
                Some(field) => {
                    format!("the value that was set is not {}; it is not shown", field.kind.noun())
                }
                None => FROM_ENVIRONMENT.to_owned(),
            };
        }
        if let Some(why) = self.variables.unknown.get(name) {
            return self.reasons(why);
        }
        if let Some(field) = Field::of_variable(name) {
            return self.why_unknown(&Reference::Field(field));
        }
        match map_of(name) {
            Some(map) if self.facts.get(map).is_some() => {
                format!("no {} of the pod gives this name", entry_of(map))
            }
            Some(map) => self.why_unknown(&Reference::Field(map)),
            None if self.environment().get_nonempty(name).is_some() => FROM_ENVIRONMENT.to_owned(),
            None => "it is not in the environment, and no option sets it; use --set NAME=VALUE".to_owned(),
        }
    }

    /// Why a value of `--set` or a reference is not known.
    pub(crate) fn reasons(&self, why: &[Why]) -> String {
        let reasons = why.iter().map(|why| match why {
            Why::Field(reference) => self.why_unknown(reference),
            why => why.to_string(),
        });
        reasons.collect::<Vec<_>>().join("; ")
    }

    /// Why `reference` has no value. The first of these that exists: the notes of the sources about this field alone,
    /// the reason why the API server was not queried, the note of the API, the note of the first source.
    pub(super) fn why_unknown(&self, reference: &Reference) -> String {
        if self.facts.is_settled(reference) {
            return match (reference.resource(), &self.subject) {
                (Some(_), Subject::Other { name, .. }) => format!("the container {name} has no {reference}"),
                (Some(_), _) => format!("the container has no {reference}"),
                _ => format!("the pod has no {reference}"),
            };
        }
        let reasons = self.facts.reasons(reference);
        let is_its_own =
            |(_, note): &&(Source, &Note)| reference.field().is_none_or(|field| note.about.contains(&field));
        let said = |(source, note): &(Source, &Note)| {
            if note.is_broken {
                format!("see the message of the source {}", source.name())
            } else {
                note.text.clone()
            }
        };
        let mut own: Vec<String> = reasons.iter().filter(is_its_own).map(said).collect();
        own.dedup();
        let of_api = || reasons.iter().find(|(source, _)| *source == Source::Api);
        let why = if !own.is_empty() {
            own.join("; ")
        } else if let Some(why) = self.why_not_queried(reference) {
            return why;
        } else {
            of_api().or(reasons.first()).map_or_else(|| "no source has it".to_owned(), said)
        };
        format!("{reference} is not known: {why}")
    }

    /// Why the API server was not queried for `reference`, which it could have.
    fn why_not_queried(&self, reference: &Reference) -> Option<String> {
        let object = reference.object()?;
        let (option, remedy) = match self.facts.not_queried? {
            NotQueried::Object if object.is_in_pod() => return None,
            NotQueried::Object => return Some(format!("{reference} is not in a Pod object")),
            NotQueried::NotRequested => {
                let is_first =
                    reference.field().is_none_or(|field| field.sources.first() == Some(&Source::Api));
                let why = if is_first { "not asked for" } else { "no local source has it" };
                return Some(why.to_owned());
            }
            NotQueried::Root => ("--root", "; add --api-url"),
            NotQueried::Never => ("--api=never", ""),
        };
        Some(if reference.is_only_in_api() {
            format!("{reference} comes only from the API, which {option} turns off{remedy}")
        } else {
            format!(
                "{reference} is not known: no local source has it, and {option} turns the API off{remedy}"
            )
        })
    }

    /// Why the variable `name` is missing, and how the pod's author can make it known.
    pub(crate) fn explain(&self, name: &str) -> String {
        let why = self.why_missing(name);
        let field = Field::of_variable(name)
            .filter(|field| !self.selection.sets(name) && !self.facts.is_settled(&Reference::Field(*field)));
        match field.map(|field| self.ways_to_know(field, name)) {
            Some(ways) if !ways.is_empty() => format!("{why}; {}", ways.join(", or ")),
            _ => why,
        }
    }

    /// The two easiest ways in which the pod's author can make `field` known.
    fn ways_to_know(&self, field: Field, name: &str) -> Vec<String> {
        let has = |source: Source| field.sources.contains(&source);
        let has_token = self.facts.reported_by(Source::Token, Field::POD_NAME).is_some();
        let is_downward = ["metadata.", "spec.", "status."].iter().any(|start| field.path.starts_with(start));
        let mut ways = Vec::new();
        if self.facts.not_queried == Some(NotQueried::Object) {
            return ways;
        }
        // A static pod cannot mount a token. Its UID is no UUID.
        let is_static = self.facts.text(Field::POD_UID).is_some_and(|uid| !uid.contains('-'));
        if has(Source::Token) && !has_token && !is_static {
            ways.push(MOUNT_TOKEN.to_owned());
        }
        if has(Source::Environment) && is_downward {
            ways.push(format!("set {name} with fieldRef {}", field.path));
        }
        if has(Source::Labels) && self.facts.map(Field::LABELS).is_none() {
            ways.push("mount labels in a downwardAPI volume".to_owned());
        }
        // Not for limits: without a limit the kubelet sets the variable to the size of the node.
        if field.path.starts_with("requests.") && self.subject.is_own() {
            ways.push(format!("set {name} with resourceFieldRef {}", field.path));
        }
        if field == Field::CONTAINER_NAME {
            ways.push("add --container NAME".to_owned());
        }
        // What is in the token needs no request.
        if self.facts.not_queried == Some(NotQueried::NotRequested)
            && field.place.is_some()
            && (has_token || !(has(Source::Token) || is_static))
        {
            let first = if has_token { String::new() } else { format!("{MOUNT_TOKEN} and ") };
            let resource = if field.object() == Some(Object::Node) { "nodes" } else { "pods" };
            let path = field.path;
            ways.push(format!(
                "{first}ask the API with --set {name}={path} (one request; needs get on {resource})"
            ));
        }
        ways.into_iter().take(2).collect()
    }
}
