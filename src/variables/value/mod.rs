//! The language of values, in `--set NAME=VALUE` and in templates.

pub(crate) mod evaluate;
pub(crate) mod order;
pub(crate) mod parse;
pub(crate) mod template;

pub(crate) use parse::Expression;
use parse::ParseError;
use template::Template;

/// The longest value, in bytes. Without a limit, values that refer to each other could grow exponentially.
pub(crate) const SIZE_LIMIT: usize = 1 << 20;

impl Expression {
    /// Parses the value of `--set NAME=`: an expression, or a template if the text does not have the form of an
    /// expression and contains `$(`.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        match parse::whole(text) {
            Err(error) if error.is_of_form && text.contains("$(") => {
                let (template, mut errors) = Template::parse(text.into());
                if errors.is_empty() { Ok(template.into()) } else { Err(errors.swap_remove(0)) }
            }
            result => result,
        }
    }

    /// The names of the variables that it refers to.
    pub(crate) fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.each(&mut |part| {
            if let Expression::Variable(name) = part {
                names.push(&**name);
            }
        });
        names
    }
}

#[cfg(test)]
#[path = "../../../tests/inside/values.rs"]
mod tests;
