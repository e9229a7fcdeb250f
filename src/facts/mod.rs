//! Facts: the known values of fields, each with its source.

pub(crate) mod field;
pub(crate) mod limits;
pub(crate) mod owner;
pub(crate) mod reference;
mod report;
pub(crate) mod subject;
pub(crate) mod topology;
pub(crate) mod wanted;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use crate::facts::field::{Field, Kind, Source};
use crate::facts::limits::{Machine, Quota};
use crate::facts::owner::Ownership;
use crate::facts::reference::Reference;
pub(crate) use crate::facts::report::{Note, Report};
use crate::facts::wanted::NotQueried;
use crate::kubernetes::path::{Path, Scalar};
use crate::kubernetes::quantity::Quantity;

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Map(BTreeMap<String, String>),
    /// Some entries of a map: one that is not here may exist.
    Part(BTreeMap<String, String>),
    Quantity(Quantity),
    /// A quantity that the kubelet rounded up to a larger unit.
    Rounded(Quantity),
    /// Quantities by the names of their resources.
    Quantities(BTreeMap<String, Quantity>),
    /// A CPU limit in the kernel's form.
    Quota(Quota),
    /// The field is known to have no value, such as a limit that is not set.
    Nothing,
}

impl Value {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A value and its source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// What the sources reported about one field.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// The values, in the order in which the sources count.
    facts: Vec<Fact>,
    /// Why other sources have no value, in the order of reading.
    notes: Vec<(Source, Rc<Note>)>,
    /// The limit that the sources together report ([`limits`]).
    limit: Option<Fact>,
}

impl Slot {
    /// Adds a value. Of one source, the first value of each kind counts; a resource has them all.
    fn add(&mut self, field: Field, fact: Fact) {
        let rank = |source: Source| field.sources.iter().position(|it| *it == source);
        let Some(own) = rank(fact.source) else { return };
        let position = self.facts.iter().position(|other| rank(other.source) > Some(own));
        self.facts.insert(position.unwrap_or(self.facts.len()), fact);
    }

    fn known(&self, field: Field) -> Option<&Fact> {
        match field.kind {
            Kind::Resource { .. } => self.limit.as_ref(),
            _ => self.facts.iter().find(|fact| !matches!(fact.value, Value::Part(_))),
        }
    }
}

/// A value that a reference found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found<'a> {
    Text(&'a str),
    /// A number as it is written.
    Number(&'a str),
    Map(&'a BTreeMap<String, String>),
    Quantity(&'a Quantity),
}

/// Everything that the sources reported. Of the values of a field one wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// By the field's position in the table.
    slots: Vec<Slot>,
    /// What the API's objects have at the paths that were asked for, or why they have nothing.
    paths: Vec<(Path, Result<Scalar, Note>)>,
    /// Every note, in the order of reading.
    notes: Vec<(Source, Rc<Note>)>,
    /// The machine, for the choice of a limit.
    pub(crate) machine: Machine,
    /// When the pod was created, in minutes since 1970: at the latest, if only the token says it.
    pub(crate) created: u64,
    /// Why the API server was not queried, if it was not.
    pub(crate) not_queried: Option<NotQueried>,
    /// What the API says about the pod's owners.
    pub(crate) ownership: Option<Ownership>,
}

impl Facts {
    pub(crate) fn new(page_size: u64) -> Self {
        let slots = Field::all().map(|_| Slot::default()).collect();
        let machine = Machine { page_size, ..Machine::default() };
        Facts { slots, machine, ..Facts::default() }
    }

    /// Adds the report of `source`.
    pub(crate) fn add(&mut self, source: Source, report: impl Into<Report>) {
        let Report { values, notes } = report.into();
        for (field, value) in values {
            self.slots[field.position()].add(field, Fact { value, source });
            if matches!(field.kind, Kind::Resource { .. }) {
                self.settle_limit(field);
            }
        }
        let notes: Vec<_> = notes.into_iter().map(|note| (source, Rc::new(note))).collect();
        for (field, slot) in Field::all().zip(&mut self.slots) {
            slot.notes.extend(notes.iter().filter(|(_, note)| note.about.contains(&field)).cloned());
            let is_silent = !slot.facts.iter().any(|it| it.source == source);
            if is_silent && field.sources.contains(&source) {
                slot.notes.extend(notes.iter().find(|(_, note)| note.about.is_empty()).cloned());
            }
        }
        self.notes.extend(notes);
    }

    fn settle_limit(&mut self, field: Field) {
        let slot = &mut self.slots[field.position()];
        slot.limit = limits::resolve(field, &slot.facts.iter().collect::<Vec<_>>(), &self.machine);
    }

    /// Adds what an object has at `path`.
    pub(crate) fn add_path(&mut self, path: Path, found: Result<Scalar, Note>) {
        self.paths.retain(|(other, _)| *other != path);
        self.paths.push((path, found));
    }

    /// Removes everything that `source` reported.
    pub(crate) fn forget(&mut self, source: Source) {
        Field::all().for_each(|field| self.retract(source, field));
        self.notes.retain(|(other, _)| *other != source);
        if source == Source::Api {
            self.paths.clear();
        }
    }

    /// Removes what `source` reported about `field`.
    pub(crate) fn retract(&mut self, source: Source, field: Field) {
        let slot = &mut self.slots[field.position()];
        slot.facts.retain(|fact| fact.source != source);
        slot.notes.retain(|(other, _)| *other != source);
        if matches!(field.kind, Kind::Resource { .. }) {
            self.settle_limit(field);
        }
    }

    /// The fact about `field`, if there is one.
    pub(crate) fn get(&self, field: Field) -> Option<&Fact> {
        self.look_up(field).filter(|fact| fact.value != Value::Nothing)
    }

    /// The fact about `field`, or a part of it that is known.
    pub(crate) fn get_part(&self, field: Field) -> Option<&Fact> {
        let part = |fact: &&Fact| matches!(fact.value, Value::Part(_));
        self.get(field).or_else(|| self.slots[field.position()].facts.iter().find(part))
    }

    /// The text of `field`.
    pub(crate) fn text(&self, field: Field) -> Option<&str> {
        self.get(field)?.value.text()
    }

    /// The whole map of `field`.
    pub(crate) fn map(&self, field: Field) -> Option<&BTreeMap<String, String>> {
        match &self.get(field)?.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The entries of a map that are known and whose keys begin with `prefix`, each with its value from the first source
    /// that has it, and with that source; and whether there can be no others.
    pub(crate) fn entries(&self, field: Field, prefix: &str) -> (Vec<(&str, &str, Source)>, bool) {
        let facts = &self.slots[field.position()].facts;
        let last = facts.iter().position(|fact| !matches!(fact.value, Value::Part(_)));
        let mut entries = Vec::new();
        let mut before: Vec<&BTreeMap<String, String>> = Vec::new();
        for fact in &facts[..last.map_or(facts.len(), |last| last + 1)] {
            let (Value::Map(map) | Value::Part(map)) = &fact.value else { continue };
            let from = map.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            let named = from.take_while(|(key, _)| key.starts_with(prefix));
            let new = named.filter(|(key, _)| !before.iter().any(|map| map.contains_key(*key)));
            entries.extend(new.map(|(key, value)| (key.as_str(), value.as_str(), fact.source)));
            before.push(map);
        }
        (entries, last.is_some())
    }

    /// The value of `reference`, and its source.
    pub(crate) fn find(&self, reference: &Reference) -> Option<(Found<'_>, Source)> {
        self.first(reference).and_then(|(found, source)| Some((found?, source)))
    }

    /// Whether `reference` has a value, or is known to have none.
    pub(crate) fn is_settled(&self, reference: &Reference) -> bool {
        self.first(reference).is_some()
    }

    /// The first answer to `reference`: a value, or that there is none.
    fn first(&self, reference: &Reference) -> Option<(Option<Found<'_>>, Source)> {
        match reference {
            Reference::Path(path) => {
                let (_, found) = self.paths.iter().find(|(other, _)| other == path)?;
                // A path that leads nowhere now may come late: it is not settled.
                let (text, is_number) = found.as_ref().ok()?;
                Some((Some(if *is_number { Found::Number(text) } else { Found::Text(text) }), Source::Api))
            }
            Reference::Field(field) => {
                let fact = self.look_up(*field)?;
                let found = match &fact.value {
                    Value::Text(text) if field.kind == Kind::Ordinal => Some(Found::Number(text)),
                    Value::Text(text) => Some(Found::Text(text)),
                    Value::Map(map) => Some(Found::Map(map)),
                    Value::Quantity(quantity) => Some(Found::Quantity(quantity)),
                    _ => None,
                };
                Some((found, fact.source))
            }
            Reference::Entry(field, key) => self.slots[field.position()].facts.iter().find_map(|fact| {
                let found = match &fact.value {
                    Value::Map(map) | Value::Part(map) => map.get(key).map(|text| Found::Text(text)),
                    Value::Quantities(quantities) => quantities.get(key).map(Found::Quantity),
                    _ => None,
                };
                let is_last = !matches!(fact.value, Value::Part(_));
                (is_last || found.is_some()).then_some((found, fact.source))
            }),
        }
    }

    fn look_up(&self, field: Field) -> Option<&Fact> {
        self.slots[field.position()].known(field)
    }

    /// Whether `reported` is the value `known` of the same field, as another source writes it.
    pub(crate) fn agree(&self, known: &Value, reported: &Value) -> bool {
        known == reported || limits::agree(known, reported, &self.machine)
    }

    /// The value that `source` reported for `field`, even if it did not win.
    pub(crate) fn reported_by(&self, source: Source, field: Field) -> Option<&Value> {
        let mut facts = self.slots[field.position()].facts.iter();
        facts.find(|fact| fact.source == source).map(|fact| &fact.value)
    }

    /// Every note, in the order of reading.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (Source, &Note)> {
        self.notes.iter().map(|(source, note)| (*source, &**note))
    }

    /// Why the sources have no value for `reference`, in the order of reading.
    pub(crate) fn reasons(&self, reference: &Reference) -> Vec<(Source, &Note)> {
        match reference {
            Reference::Path(path) => {
                let found = self.paths.iter().find(|(other, _)| other == path);
                found
                    .and_then(|(_, found)| found.as_ref().err())
                    .map(|note| (Source::Api, note))
                    .into_iter()
                    .collect()
            }
            Reference::Field(field) | Reference::Entry(field, _) => {
                let notes = self.slots[field.position()].notes.iter();
                notes.map(|(source, note)| (*source, &**note)).collect()
            }
        }
    }
}

#[cfg(test)]
#[path = "../../tests/inside/policy.rs"]
mod policy;
