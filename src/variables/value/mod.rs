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
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        match parse::whole(text) {
            Ok(node) => Ok(Definition::Expression(node)),
            Err(error) if !(error.is_of_form && text.contains("$(")) => Err(error),
            Err(_) => match Template::parse(text.into()) {
                (template, errors) if errors.is_empty() => Ok(Definition::Template(template)),
                (_, mut errors) => Err(errors.swap_remove(0)),
            },
        }
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
                sources: vec!["template"],
                is_private: rendered.is_private,
                ..Known::of_text(rendered.text)
            }),
        }
    }
}

#[cfg(test)]
mod tests;
