//! Templates: text with `$(expression)` in it.

use std::ops::Range;

use super::evaluate::{Scope, Why, evaluate};
use super::parse::{Expression, ParseError, reference};
use crate::facts::reference::Problem;

const UNCLOSED: &str = "$( has no closing parenthesis on its line; $$( is a literal $(";

/// Text with references. It need not be UTF-8.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Template {
    text: Vec<u8>,
    /// Bytes of the text, each with its expression if they are a reference.
    parts: Vec<(Range<usize>, Option<Expression>)>,
}

/// A rendered template.
#[derive(Debug, Default)]
pub(crate) struct Rendered<'t> {
    pub(crate) text: Vec<u8>,
    /// A private value is in it.
    pub(crate) is_private: bool,
    /// The references that are not known.
    pub(crate) unknown: Vec<Unknown<'t>>,
}

/// A reference that is not known.
#[derive(Debug)]
pub(crate) struct Unknown<'t> {
    /// The number of its line, from 1.
    pub(crate) line: usize,
    /// The reference as it is written: `$(NAME)`.
    pub(crate) text: &'t str,
    pub(crate) why: Vec<Why>,
}

impl Template {
    /// Parses a template: `$(expression)` is a reference, and `$$(` is the text `$(`. All other text is literal.
    ///
    /// What is not valid stays literal up to its closing parenthesis or, without one, to the end of its line.
    /// The errors have their offsets in `text`.
    pub(crate) fn parse(text: Vec<u8>) -> (Self, Vec<ParseError>) {
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        let (mut literal, mut at) = (0, 0);
        while let Some(found) = (at..text.len()).find(|at| text[*at..].starts_with(b"$(")) {
            if found > literal && text[found - 1] == b'$' {
                parts.push((literal..found, None));
                (literal, at) = (found + 1, found + 2);
                continue;
            }
            match reference(&text, found + 2) {
                Ok((node, end)) => {
                    parts.extend([(literal..found, None), (found..end, Some(node))]);
                    (literal, at) = (end, end);
                }
                Err(error) => {
                    let end = closing(&text, found + 2);
                    at = end.unwrap_or_else(|end| end);
                    let unclosed =
                        ParseError { offset: found, problem: Problem::Form(UNCLOSED), is_of_form: true };
                    errors.push(if end.is_ok() { error } else { unclosed });
                }
            }
        }
        parts.push((literal..text.len(), None));
        (Template { text, parts }, errors)
    }

    /// The text as it is written.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The expressions of its references.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|(_, node)| node.as_ref())
    }

    /// Makes references to no field, variable or file literal.
    pub(crate) fn keep_constants(&mut self) {
        for (_, reference) in &mut self.parts {
            reference.take_if(|expression| expression.is_constant());
        }
    }

    /// The text with the value of each reference; `None` if it has more than `limit` bytes. References that are not known
    /// stay as they are written, and private ones if `hides_private`.
    pub(crate) fn render<'t>(
        &'t self,
        scope: &'t dyn Scope,
        hides_private: bool,
        limit: usize,
    ) -> Option<Rendered<'t>> {
        let mut rendered =
            Rendered { text: Vec::with_capacity(self.text.len().min(limit)), ..Rendered::default() };
        let mut line = (1, 0);
        for (range, node) in &self.parts {
            let written = &self.text[range.clone()];
            let value = match node.as_ref().map(|node| evaluate(node, scope, &mut Vec::new())) {
                Some(Ok(known)) if !(known.is_private && hides_private) => {
                    rendered.is_private |= known.is_private;
                    known.text()
                }
                Some(Err(why)) => {
                    let lines = self.text[line.1..range.start].iter().filter(|byte| **byte == b'\n');
                    line.0 += lines.count();
                    line.1 = range.start;
                    let text = std::str::from_utf8(written).unwrap_or_default();
                    rendered.unknown.push(Unknown { line: line.0, text, why });
                    written.into()
                }
                Some(Ok(_)) | None => written.into(),
            };
            if rendered.text.len() + value.len() > limit {
                return None;
            }
            rendered.text.extend_from_slice(&value);
        }
        Some(rendered)
    }
}

impl From<Template> for Expression {
    fn from(Template { text, parts }: Template) -> Self {
        let literal = |range| Expression::Text(String::from_utf8_lossy(&text[range]).into());
        let parts = parts.into_iter().map(|(range, reference)| reference.unwrap_or_else(|| literal(range)));
        Expression::Template(parts.collect())
    }
}

/// The offset after the parenthesis that closes the parenthesis before `start`. Parentheses in single quotes do not
/// count.
///
/// # Errors
/// No parenthesis on this line closes it. The error is the offset of the line's end.
fn closing(text: &[u8], start: usize) -> Result<usize, usize> {
    let (mut depth, mut is_quoted) = (1, false);
    for (position, byte) in text.iter().enumerate().skip(start) {
        match byte {
            b'\n' => return Err(position),
            b'\'' => is_quoted = !is_quoted,
            b'(' if !is_quoted => depth += 1,
            b')' if !is_quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(position + 1);
        }
    }
    Err(text.len())
}
