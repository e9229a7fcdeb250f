//! The fields that the user requested, for which the API server may be queried.

use std::rc::Rc;

use crate::facts::Facts;
use crate::facts::field::Field;
use crate::facts::reference::Reference;
use crate::kubernetes::path::Path;

/// A field that was looked up and is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) reference: Reference,
    /// It has a default: an operand of `:-` comes after it.
    pub(crate) has_default: bool,
}

/// The fields that values need and that facts do not have.
pub(crate) type FindMissed<'a> = Rc<dyn Fn(&Facts) -> Vec<Missed> + 'a>;

/// The fields that the user requested, for which the API server may be queried.
#[derive(Clone, Default)]
pub(crate) struct Wanted<'a> {
    /// If the API does not have one of these yet, introspod waits for it.
    pub(crate) fields: Vec<Reference>,
    /// The fields that values need. introspod waits for those without a default.
    pub(crate) missed: Option<FindMissed<'a>>,
    /// The fields that options and values name.
    pub(crate) named: Vec<Field>,
    /// Optional fields, which depend on the known facts. introspod does not wait for them.
    pub(crate) optional: Option<fn(&Facts) -> Vec<Field>>,
    /// The facts describe no container ([`Subject::Pod`](crate::facts::subject::Subject::Pod)).
    pub(crate) has_no_container: bool,
    /// Every path that a value refers to. Of objects, only what these name is kept.
    pub(crate) paths: Vec<Path>,
}

/// Why the API server is not queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotQueried {
    #[error("not queried: --api=never")]
    Never,
    #[error("not queried: nothing requested needs it; force it with --api=always")]
    NotRequested,
    #[error("not queried: --root turns the network off; add --api-url")]
    Root,
    /// Everything comes from the Pod object of `--pod`.
    #[error("not queried: --pod")]
    Object,
}

impl Wanted<'_> {
    /// The requested references that `facts` do not settle.
    pub(crate) fn unsettled(&self, facts: &Facts) -> Vec<Reference> {
        let optional = self.optional.map(|optional| optional(facts)).unwrap_or_default();
        let optional = optional.into_iter().map(Reference::Field).filter(|field| self.is_open(field, facts));
        self.open(facts, |_| true).chain(optional).collect()
    }

    /// The references to wait for that `facts` do not settle.
    pub(crate) fn awaited(&self, facts: &Facts) -> Vec<Reference> {
        self.open(facts, |missed| !missed.has_default).collect()
    }

    fn open(&self, facts: &Facts, counts: fn(&Missed) -> bool) -> impl Iterator<Item = Reference> {
        let missed = self.missed.as_ref().map(|missed| missed(facts)).unwrap_or_default();
        let missed = missed.into_iter().filter(counts).map(|missed| missed.reference);
        let open = self.fields.iter().cloned().chain(missed).filter(|field| self.is_open(field, facts));
        open.collect::<Vec<_>>().into_iter()
    }

    fn is_open(&self, reference: &Reference, facts: &Facts) -> bool {
        self.can_be_known(reference) && !facts.is_settled(reference)
    }

    /// Whether `field` was requested by name.
    pub(crate) fn names(&self, field: Field) -> bool {
        self.named.contains(&field)
    }

    /// Whether the subject can have the field.
    fn can_be_known(&self, reference: &Reference) -> bool {
        !(self.has_no_container && reference.is_of_container())
    }
}
