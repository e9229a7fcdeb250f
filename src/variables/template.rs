//! Text with references to variables: `-Xmx$(HEAP_MB)m`.

use crate::variables::variable::is_name;

/// The longest value of a template, in bytes. Without a limit, templates that refer to each other
/// could grow exponentially.
const SIZE_LIMIT: usize = 1 << 20;

/// A template is not valid.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
    #[error("\"$(\" in {text:?} has no closing parenthesis; write $$( for a literal $(")]
    Unclosed { text: String },
    #[error("$({name}) does not name a variable; write $$( for a literal $(")]
    Name { name: String },
}

/// Why a template has no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoValue<'a> {
    /// These variables are not known.
    Unknown(Vec<&'a str>),
    /// The value would be longer than [`SIZE_LIMIT`] bytes.
    TooLong,
}

/// Text with references to variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The name of a variable.
    Reference(String),
}

impl Template {
    /// Parses a template: `$(NAME)` refers to a variable, and `$$(` is the text `$(`. All other text
    /// is literal.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(position) = rest.find("$(") {
            if rest[..position].ends_with('$') {
                literal += &rest[..position - 1];
                literal += "$(";
                rest = &rest[position + 2..];
                continue;
            }
            literal += &rest[..position];
            let (name, after) = rest[position + 2..]
                .split_once(')')
                .ok_or_else(|| TemplateError::Unclosed { text: text.to_owned() })?;
            if !is_name(name.as_bytes()) {
                return Err(TemplateError::Name { name: name.to_owned() });
            }
            parts.extend([Part::Text(std::mem::take(&mut literal)), Part::Reference(name.to_owned())]);
            rest = after;
        }
        literal += rest;
        parts.push(Part::Text(literal));
        Ok(Template { parts })
    }

    /// The names of the variables that it refers to.
    pub(crate) fn references(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with each reference replaced by its `value`. References in a value are not expanded.
    pub(crate) fn render<'a, 'v>(
        &'a self,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<String, NoValue<'a>> {
        let mut unknown: Vec<&str> = self.references().filter(|name| value(name).is_none()).collect();
        if !unknown.is_empty() {
            unknown.dedup();
            return Err(NoValue::Unknown(unknown));
        }
        let mut rendered = String::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text,
                Part::Reference(name) => value(name).unwrap_or_default(),
            };
            if rendered.len() + text.len() > SIZE_LIMIT {
                return Err(NoValue::TooLong);
            }
            rendered += text;
        }
        Ok(rendered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> String {
        let template = Template::parse(text).unwrap();
        let value = |name: &str| match name {
            "A" => Some("value"),
            "AGAIN" => Some("$(A)"),
            _ => None,
        };
        template.render(value).unwrap()
    }

    #[test]
    fn references_are_replaced_once() {
        for (text, expected) in [
            ("$(A)", "value"),
            ("-Xmx$(A)m", "-Xmxvaluem"),
            ("<$(A)$(A)>", "<valuevalue>"),
            ("$(AGAIN)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$$(A)"),
            ("a$b$$c$ $(A) $", "a$b$$c$ value $"),
            ("it's \"$(A)\"", "it's \"value\""),
            ("é$(A)é", "évalueé"),
            ("$$(", "$("),
            ("", ""),
        ] {
            assert_eq!(render(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_unknown_is_named() {
        let template = Template::parse("$(A)$(B)$(C)").unwrap();
        let known = |name: &str| (name == "A").then_some("a");
        assert_eq!(template.render(known), Err(NoValue::Unknown(vec!["B", "C"])));
    }

    #[test]
    fn references_name_variables() {
        for text in ["$(", "$(A", "a$$($(B"] {
            let error = Template::parse(text).unwrap_err();
            assert!(matches!(error, TemplateError::Unclosed { .. }), "{text}");
        }
        for text in ["$()", "$(date +%s)", "$(1)", "$($(A))", "$(é)"] {
            assert!(matches!(Template::parse(text), Err(TemplateError::Name { .. })), "{text}");
        }
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let template = Template::parse("$(A)$(A)").unwrap();
        let half = "a".repeat(SIZE_LIMIT / 2);
        assert_eq!(template.render(|_| Some(&half)).map(|text| text.len()), Ok(SIZE_LIMIT));
        let more = half.clone() + "a";
        assert_eq!(template.render(|_| Some(&more)), Err(NoValue::TooLong));
    }
}
