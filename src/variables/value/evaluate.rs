//! Evaluates expressions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use serde_json::Number;

use super::SIZE_LIMIT;
use super::parse::{Expression, MIN};
use crate::facts::reference::Reference;
use crate::facts::wanted::Missed;
use crate::kubernetes::fraction::Fraction;
use crate::kubernetes::key_value;
use crate::kubernetes::quantity::Quantity;

pub(crate) const TOO_LONG: &str = "its value would be longer than 1 MiB";

/// What fields, variables and files are known.
pub(crate) trait Scope {
    /// The value of a field, if it is known. That of a resource is in units of `divisor`, as the kubelet gives it,
    /// or exact.
    fn field(&self, reference: &Reference, divisor: Option<&Quantity>) -> Option<Known<'_>>;
    /// The value of a variable.
    ///
    /// # Errors
    /// [`Why::Field`] if its field is not known, or [`Why::Variable`].
    fn variable(&self, name: &str) -> Result<Known<'_>, Why>;
    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// A known value.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) content: Content<'a>,
    /// The names of the sources of the fields in it.
    pub(crate) sources: Vec<&'static str>,
    /// It may be a secret.
    pub(crate) is_private: bool,
    /// It was computed from a limit or a request. So a value above 0 must not become 0.
    pub(crate) is_of_resource: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Content<'a> {
    /// It need not be UTF-8.
    Text(Cow<'a, [u8]>),
    /// A number, and how it was written if that is its text.
    Number(Fraction, Option<&'a str>),
    Map(&'a BTreeMap<String, String>),
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("{0} is not known")]
    Field(Reference),
    #[error("$({0}) is not set")]
    Variable(String),
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl Why {
    /// The only reason, in words.
    pub(crate) fn only(words: impl Into<Cow<'static, str>>) -> Vec<Why> {
        vec![Why::Other(words.into())]
    }
}

/// A value, or every reason why it is not known.
pub(crate) type Outcome<'a> = Result<Known<'a>, Vec<Why>>;

impl<'a> Known<'a> {
    /// A public value without a source.
    pub(crate) fn new(content: Content<'a>) -> Self {
        Known { content, sources: Vec::new(), is_private: false, is_of_resource: false }
    }

    /// A public text without a source.
    pub(crate) fn of_text(text: impl Into<Cow<'a, [u8]>>) -> Self {
        Known::new(Content::Text(text.into()))
    }

    fn is_empty(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_empty(),
            Content::Map(map) => map.is_empty(),
            Content::Number(..) => false,
        }
    }

    /// The text. A number is rounded down, but a limit or request that is more than 0 is at least 1.
    pub(crate) fn text(&self) -> Cow<'a, [u8]> {
        match &self.content {
            Content::Text(text) => text.clone(),
            Content::Map(map) => key_value::format(map).into_bytes().into(),
            Content::Number(_, Some(text)) => text.as_bytes().into(),
            Content::Number(number, None) => {
                let least = if number.signum() > 0 && self.is_of_resource { 1 } else { i128::MIN };
                number.floor().max(least).to_string().into_bytes().into()
            }
        }
    }

    /// The same with another text.
    fn with(self, text: impl Into<Vec<u8>>) -> Outcome<'a> {
        let text = text.into();
        if text.len() > SIZE_LIMIT {
            return Err(Why::only(TOO_LONG));
        }
        Ok(Known { content: Content::Text(text.into()), ..self })
    }

    fn add_sources(&mut self, other: &Known) {
        for source in &other.sources {
            if !self.sources.contains(source) {
                self.sources.push(source);
            }
        }
    }

    fn utf8(&self, node: &Expression) -> Result<String, Vec<Why>> {
        String::from_utf8(self.text().into_owned())
            .map_err(|_| Why::only(format!("{} is not UTF-8", described(node))))
    }

    fn number(&self, node: &Expression) -> Result<Fraction, Vec<Why>> {
        let number = match &self.content {
            Content::Number(number, _) => Some(*number),
            // For Kubernetes a quantity may lack all its digits.
            Content::Text(text) if text.iter().any(u8::is_ascii_digit) => {
                let quantity = Quantity::parse(std::str::from_utf8(text).unwrap_or_default());
                quantity.ok().map(|quantity| quantity.amount())
            }
            _ => None,
        };
        number.ok_or_else(|| Why::only(format!("{} is not a number", described(node))))
    }
}

/// The value of an outermost expression, as a text. A result below zero is not known. Adds the fields to `missed` that
/// it needs and that are not known.
pub(crate) fn evaluate<'a>(
    expression: &'a Expression,
    scope: &'a dyn Scope,
    missed: &mut Vec<Missed>,
) -> Outcome<'a> {
    Evaluator { scope, missed }.outermost(expression)
}

struct Evaluator<'a, 'm> {
    scope: &'a dyn Scope,
    missed: &'m mut Vec<Missed>,
}

impl<'a> Evaluator<'a, '_> {
    fn outermost(&mut self, expression: &'a Expression) -> Outcome<'a> {
        let operands = match expression {
            Expression::Chain(operands) => operands,
            expression => std::slice::from_ref(expression),
        };
        self.first_of(operands, |known| match known.content {
            Content::Number(number, None) if number.signum() < 0 => {
                Err(Why::only("the result is below zero"))
            }
            _ => Ok(Known { content: Content::Text(known.text()), ..known }),
        })
    }

    /// What `finish` makes of the first operand that is known and not empty, else of the last.
    fn first_of(&mut self, operands: &'a [Expression], finish: fn(Known<'a>) -> Outcome<'a>) -> Outcome<'a> {
        let mut unknown = Vec::new();
        for (position, operand) in operands.iter().enumerate() {
            let is_last = position + 1 == operands.len();
            let first_missed = self.missed.len();
            match self.value(operand).and_then(finish) {
                Ok(known) if is_last || !known.is_empty() => return Ok(known),
                Ok(_) => {}
                Err(why) => unknown.extend(why),
            }
            self.missed[first_missed..].iter_mut().for_each(|missed| missed.has_default |= !is_last);
        }
        Err(unknown)
    }

    fn value(&mut self, node: &'a Expression) -> Outcome<'a> {
        let found = match node {
            Expression::Chain(operands) => return self.first_of(operands, Ok),
            Expression::Arithmetic(parts) => return self.computed(parts),
            Expression::Template(parts) => return self.rendered(parts),
            Expression::Call(function, arguments) => return self.call(function, arguments),
            Expression::Number(value, text) => {
                // With the suffix of a quantity, its text is the number in units.
                let has_suffix = text.ends_with(|last: char| last.is_ascii_alphabetic());
                Ok(Known::new(Content::Number(*value, (!has_suffix).then_some(&**text))))
            }
            Expression::Text(text) => Ok(Known::of_text(text.as_bytes())),
            Expression::Field(field) => {
                let (reference, divisor) = &**field;
                self.scope.field(reference, divisor.as_ref()).ok_or_else(|| Why::Field(reference.clone()))
            }
            Expression::Variable(name) => self.scope.variable(name),
        };
        if let Err(Why::Field(reference)) = &found {
            self.missed.push(Missed { reference: reference.clone(), has_default: false });
        }
        found.map_err(|why| vec![why])
    }

    /// The texts of all parts, one after the other.
    fn rendered(&mut self, parts: &'a [Expression]) -> Outcome<'a> {
        let (mut text, mut is_private, mut unknown) = (Vec::new(), false, Vec::new());
        for part in parts {
            match self.outermost(part) {
                Ok(known) => {
                    is_private |= known.is_private;
                    text.extend_from_slice(&known.text());
                }
                Err(why) => unknown.extend(why),
            }
            if text.len() > SIZE_LIMIT {
                return Err(Why::only(TOO_LONG));
            }
        }
        let known = Known { sources: vec!["template"], is_private, ..Known::of_text(text) };
        if unknown.is_empty() { Ok(known) } else { Err(unknown) }
    }

    /// The values of all nodes, and an empty value with the properties of all of them.
    ///
    /// # Errors
    /// Every reason of every node that has no value.
    fn all(
        &mut self,
        nodes: impl Iterator<Item = &'a Expression>,
    ) -> Result<(Known<'a>, Vec<Known<'a>>), Vec<Why>> {
        let (mut values, mut unknown) = (Vec::new(), Vec::new());
        let mut made = Known::of_text(&b""[..]);
        for node in nodes {
            match self.value(node) {
                Ok(value) => {
                    made.add_sources(&value);
                    made.is_private |= value.is_private;
                    made.is_of_resource |= value.is_of_resource;
                    values.push(value);
                }
                Err(why) => unknown.extend(why),
            }
        }
        if unknown.is_empty() { Ok((made, values)) } else { Err(unknown) }
    }

    /// Applies the operators to the numbers of all parts, from left to right. The result is public.
    fn computed(&mut self, parts: &'a [(u8, Expression)]) -> Outcome<'a> {
        let (made, values) = self.all(parts.iter().map(|(_, node)| node))?;
        let numbers = values.iter().zip(parts).map(|(value, (_, node))| value.number(node));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        let mut result = numbers[0];
        for (number, (operator, _)) in numbers.into_iter().zip(parts).skip(1) {
            let computed = match *operator {
                b'+' => result.plus(number),
                b'-' => result.minus(number),
                b'*' => result.times(number),
                b'/' if number.signum() == 0 => return Err(Why::only("the divisor is zero")),
                b'/' => result.divided_by(number),
                MIN => number.is_less(result).map(|is_less| if is_less { number } else { result }),
                _ => result.is_less(number).map(|is_less| if is_less { number } else { result }),
            };
            result = computed.ok_or_else(|| Why::only("a number is too large"))?;
        }
        Ok(Known { content: Content::Number(result, None), is_private: false, ..made })
    }

    fn call(&mut self, function: &str, arguments: &'a [Expression]) -> Outcome<'a> {
        match (function, arguments) {
            ("pick", [number, values @ ..]) => self.pick(number, values),
            ("replace", [_, _, _]) => self.replace(arguments),
            ("host", [node]) => {
                let known = self.value(node)?;
                let text = known.text();
                let is_ipv6 = std::str::from_utf8(&text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
                known.with(if is_ipv6 { [b"[", &*text, b"]"].concat() } else { text.into_owned() })
            }
            ("json", [node]) => self.json(node),
            ("file", [Expression::Text(path)]) => match self.scope.file(path) {
                Ok(text) => {
                    Ok(Known { is_private: true, sources: vec!["file"], ..Known::of_text(text.into_bytes()) })
                }
                Err(why) => Err(Why::only(format!("{path}: {why}"))),
            },
            // The parser has counted the arguments.
            _ => Err(Why::only("no function")),
        }
    }

    fn pick(&mut self, number: &'a Expression, values: &'a [Expression]) -> Outcome<'a> {
        let index = self.value(number)?;
        let position = usize::try_from(index.number(number)?.floor()).ok();
        let Some(picked) = position.and_then(|position| values.get(position)) else {
            return Err(Why::only("pick has no value of this number"));
        };
        let mut picked = self.value(picked)?;
        picked.add_sources(&index);
        Ok(picked)
    }

    fn replace(&mut self, arguments: &'a [Expression]) -> Outcome<'a> {
        let (made, values) = self.all(arguments.iter())?;
        let texts = values.iter().zip(arguments).map(|(value, node)| value.utf8(node));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let (text, old, new) = (&*texts[0], &*texts[1], &*texts[2]);
        if old.is_empty() {
            return Err(Why::only("replace has nothing to replace"));
        }
        let growth = new.len().saturating_sub(old.len()).saturating_mul(text.matches(old).count());
        if text.len() + growth > SIZE_LIMIT {
            return Err(Why::only(TOO_LONG));
        }
        made.with(text.replace(old, new))
    }

    fn json(&mut self, node: &'a Expression) -> Outcome<'a> {
        let known = self.value(node)?;
        let json = match &known.content {
            Content::Map(map) => serde_json::to_string(map).unwrap_or_default(),
            Content::Text(_) => serde_json::to_string(&known.utf8(node)?).unwrap_or_default(),
            Content::Number(number, Some(text)) if serde_json::from_str::<Number>(text).is_err() => {
                number.floor().to_string()
            }
            Content::Number(..) => known.utf8(node)?,
        };
        known.with(escaped(&json))
    }
}

/// What `node` is, for messages.
fn described(node: &Expression) -> String {
    match node {
        Expression::Field(field) => field.0.to_string(),
        Expression::Variable(name) => format!("the value of {name}"),
        _ => "a text".to_owned(),
    }
}

/// JSON text that is valid YAML, too: with the escapes of characters that YAML does not print.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}') || is_noncharacter(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text += &format!("\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

/// Whether Unicode reserves it for internal use (Unicode 16.0, section 23.7).
pub(crate) fn is_noncharacter(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe
}
