//! What one source reports.

use crate::facts::Value;
use crate::facts::field::Field;

/// The report of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) values: Vec<(Field, Value)>,
    pub(crate) notes: Vec<Note>,
}

/// Why a source does not know something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) text: String,
    /// Something is broken, not only absent, so it is logged as a warning.
    pub(crate) is_broken: bool,
    /// What to do about it, for a line of its own.
    pub(crate) advice: Option<String>,
    /// The fields that it is about; none if it is about all fields to which the source gives no value.
    pub(crate) about: Vec<Field>,
}

impl Note {
    /// A note without advice, about all fields of the source.
    pub(crate) fn new(text: impl Into<String>, is_broken: bool) -> Self {
        Note { text: text.into(), is_broken, advice: None, about: Vec::new() }
    }
}

impl Report {
    /// Adds the text of a field, unless it is empty.
    pub(crate) fn text(&mut self, field: Field, text: impl Into<String>) {
        let text = text.into();
        if !text.is_empty() {
            self.values.push((field, Value::Text(text)));
        }
    }

    /// The reported text of `field`.
    pub(crate) fn text_of(&self, field: Field) -> Option<&str> {
        self.values.iter().find(|(reported, _)| *reported == field).and_then(|(_, value)| value.text())
    }

    /// Removes the values of `fields`.
    pub(crate) fn drop(&mut self, fields: &[Field]) {
        self.values.retain(|(field, _)| !fields.contains(field));
    }

    /// Adds the value of a field.
    pub(crate) fn value(&mut self, field: Field, value: Value) {
        self.values.push((field, value));
    }

    /// Adds the values and notes of `other`.
    pub(crate) fn extend(&mut self, other: Report) {
        self.values.extend(other.values);
        self.notes.extend(other.notes);
    }

    /// Adds a note on something that the source does not know.
    pub(crate) fn absent(&mut self, text: impl Into<String>) {
        self.notes.push(Note::new(text, false));
    }

    /// Adds a note on something that is broken.
    pub(crate) fn broken(&mut self, text: impl Into<String>) {
        self.notes.push(Note::new(text, true));
    }

    /// Adds a note on why `fields` are not known.
    pub(crate) fn absent_of(&mut self, fields: &[Field], text: impl Into<String>) {
        self.notes.push(Note { about: fields.to_vec(), ..Note::new(text, false) });
    }

    /// Adds a note on something that is broken about `field` alone.
    pub(crate) fn broken_field(&mut self, field: Field, text: impl Into<String>) {
        self.notes.push(Note { about: vec![field], ..Note::new(text, true) });
    }
}

impl From<Note> for Report {
    fn from(note: Note) -> Self {
        Report { values: Vec::new(), notes: vec![note] }
    }
}

impl From<Vec<(Field, Value)>> for Report {
    fn from(values: Vec<(Field, Value)>) -> Self {
        Report { values, notes: Vec::new() }
    }
}
