//! Variables.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use crate::facts::field::Field;
use crate::variables::value::evaluate::Why;

/// A variable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: String,
    /// The name of its source, or the names of several.
    pub(crate) source: Cow<'static, str>,
    /// The pod's author set this value, so the application has it already.
    pub(crate) is_set: bool,
    /// The value contains text of the environment or a file that is not a fact, so it may be a secret. The
    /// application gets it, but it is not printed or written.
    pub(crate) is_private: bool,
    /// The map whose entry this is: `--labels`, `--annotations`.
    pub(crate) map: Option<Field>,
    /// Only others refer to it: it is not printed or written, and the application does not get it.
    pub(crate) is_omitted: bool,
}

impl Variable {
    /// A variable that the application does not have yet, and that may be printed.
    pub(crate) fn new(value: String, source: impl Into<Cow<'static, str>>) -> Self {
        Variable {
            value,
            source: source.into(),
            is_set: false,
            is_private: false,
            map: None,
            is_omitted: false,
        }
    }

    /// Whether it may be printed and written.
    pub(crate) fn is_shown(&self) -> bool {
        !self.is_private && !self.is_omitted
    }
}

/// Variables by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    known: BTreeMap<String, Variable>,
    /// The variables of `--set` without a value, and every reason.
    pub(crate) unknown: BTreeMap<String, Vec<Why>>,
    /// The warnings to log. Other containers of the pod may cause the same ones.
    pub(crate) warnings: Vec<String>,
}

impl Deref for Variables {
    type Target = BTreeMap<String, Variable>;

    fn deref(&self) -> &Self::Target {
        &self.known
    }
}

impl DerefMut for Variables {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.known
    }
}

impl Variables {
    /// Adds a variable. If its value contains NUL, it adds a warning instead.
    pub(crate) fn add(&mut self, name: &str, variable: Variable) {
        if variable.value.contains('\0') {
            let warning =
                format!("{name} is left out: its value contains NUL, which no variable can contain");
            return self.warnings.push(warning);
        }
        self.known.insert(name.to_owned(), variable);
    }

    /// The variables that may be printed and written.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&String, &Variable)> {
        self.known.iter().filter(|(_, variable)| variable.is_shown())
    }
}
