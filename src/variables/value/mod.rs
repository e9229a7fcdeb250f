//! The language of values: what `--set NAME=` takes, and what a file may have in it.

pub(crate) mod evaluate;
pub(crate) mod order;
pub(crate) mod parse;
pub(crate) mod template;

use crate::facts::wanted::Missed;
use evaluate::{Known, Scope, Why};
use parse::{Node, ParseError};
use template::{Stays, Template};

/// The longest value, in bytes. Without a limit, values that refer to each other could grow exponentially.
pub(crate) const SIZE_LIMIT: usize = 1 << 20;

/// A value of `--set`. No message contains its text, which may be a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("at character {position}: {error}", error = error.problem)]
pub(crate) struct ValueError {
    /// The number of the character at which the problem begins, from 1.
    position: usize,
    error: ParseError,
}

/// The value of `--set NAME=`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Definition {
    /// From facts.
    Expression(Node),
    /// Text with values in it.
    Template(Template),
}

impl Definition {
    /// Parses an expression, or a template if it is none and contains `$(`.
    pub(crate) fn parse(text: &str) -> Result<Self, ValueError> {
        let error = match parse::whole(text) {
            Ok(node) => return Ok(Definition::Expression(node)),
            Err(error) if !(error.is_of_form && text.contains("$(")) => error,
            Err(_) => {
                let (template, errors) = Template::parse(text.into());
                match errors.into_iter().next() {
                    Some(error) => error,
                    None => return Ok(Definition::Template(template)),
                }
            }
        };
        let position = 1 + String::from_utf8_lossy(&text.as_bytes()[..error.offset]).chars().count();
        Err(ValueError { position, error })
    }

    /// Calls `visit` with every part of its expressions.
    pub(crate) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        match self {
            Definition::Expression(node) => node.each(visit),
            Definition::Template(template) => template.expressions().for_each(|node| node.each(visit)),
        }
    }

    /// The names of the variables that it refers to.
    pub(crate) fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.each(&mut |node| {
            if let Node::Variable(name) = node {
                names.push(&**name);
            }
        });
        names
    }

    /// Its value, or why it has none. Adds the fields to `missed` that would have to be known before.
    ///
    /// # Errors
    /// Every reason.
    pub(crate) fn evaluate<'a>(
        &'a self,
        scope: &'a dyn Scope,
        missed: &mut Vec<Missed>,
    ) -> Result<Known<'a>, Vec<Why>> {
        let template = match self {
            Definition::Expression(node) => return evaluate::evaluate(node, scope, missed),
            Definition::Template(template) => template,
        };
        let rendered = template.render(scope, Stays::Unknown, SIZE_LIMIT, missed);
        match rendered {
            _ if !rendered.unknown.is_empty() => {
                Err(rendered.unknown.into_iter().flat_map(|unknown| unknown.why).collect())
            }
            _ if rendered.is_too_long => Err(vec![Why::TooLong]),
            _ => Ok(Known {
                sources: vec![TEMPLATE],
                is_private: rendered.is_private,
                ..Known::text(rendered.text)
            }),
        }
    }
}

/// The source of a template's value, in `--explain` and JSON.
const TEMPLATE: &str = "template";

#[cfg(test)]
mod tests;
