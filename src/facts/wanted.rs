//! What is asked for by name, so that it is worth a request.

use crate::facts::Facts;
use crate::facts::reference::{self, Reference};

/// What is asked for by name, so that it is worth a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// These are waited for where the API has them only after a while.
    pub(crate) awaited: Vec<Reference>,
    /// What OpenTelemetry has attributes for is taken if it is there.
    pub(crate) otel: bool,
    /// No container is spoken of ([`Subject::Pod`](crate::facts::subject::Subject::Pod)).
    pub(crate) of_nobody: bool,
}

impl Wanted {
    /// What is wanted and not settled by `facts`.
    pub(crate) fn unsettled(&self, facts: &Facts) -> Vec<Reference> {
        let otel = if self.otel { crate::variables::otel::wanted(facts) } else { Vec::new() };
        let welcome = otel.into_iter().map(Reference::Field);
        let all = self.awaited.iter().cloned().chain(welcome);
        all.filter(|reference| self.can_be_told(reference) && !is_settled(reference, facts)).collect()
    }

    /// Whether there is something to tell: nothing of a container if none is spoken of.
    pub(crate) fn can_be_told(&self, reference: &Reference) -> bool {
        !(self.of_nobody && reference.field().is_of_container())
    }
}

/// Whether there is an answer to `reference`, be it that there is none.
pub(crate) fn is_settled(reference: &Reference, facts: &Facts) -> bool {
    facts.is_settled(reference.field()) || reference::topology_label(reference, facts).is_some()
}
