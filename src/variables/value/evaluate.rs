//! Evaluates expressions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use serde_json::Number;

use super::SIZE_LIMIT;
use super::parse::Node;
use crate::facts::reference::Reference;
use crate::facts::wanted::Missed;
use crate::kubernetes::fraction::Fraction;
use crate::kubernetes::key_value;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::resource_field;

/// What fields, variables and files are known.
pub(crate) trait Scope {
    /// The value of a field, if it is known.
    fn field(&self, reference: &Reference) -> Option<Known<'_>>;
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
    /// A limit or a request went into it, so that 0 would be wrong if it is more.
    pub(crate) is_of_resource: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Content<'a> {
    /// It need not be UTF-8.
    Text(Cow<'a, [u8]>),
    /// A number, and how it was written if that is its text.
    Number(Fraction, Option<&'a str>),
    Quantity(Quantity),
    Map(&'a BTreeMap<String, String>),
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error("{0} is not known")]
    Field(Reference),
    #[error("$({0}) is not set")]
    Variable(String),
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    #[error("{0} is not a number")]
    NotANumber(String),
    #[error("the result is below zero")]
    Negative,
    #[error("the divisor is zero")]
    Zero,
    #[error("a number is too large")]
    Overflow,
    #[error("its value would be longer than 1 MiB")]
    TooLong,
    #[error("the values of --set together would be longer than 8 MiB")]
    TogetherTooLong,
    #[error("pick has no value of this number")]
    NoElement,
    #[error("replace has nothing to replace")]
    NothingToReplace,
    #[error("its value contains NUL, which no variable can contain")]
    Nul,
    #[error("{path}: {why}")]
    File { path: String, why: String },
}

/// A value, or every reason why there is none.
pub(crate) type Outcome<'a> = Result<Known<'a>, Vec<Why>>;

impl<'a> Known<'a> {
    /// A public text.
    pub(crate) fn of_text(text: impl Into<Cow<'a, [u8]>>) -> Self {
        Known::of(Content::Text(text.into()))
    }

    /// A public value without a source.
    pub(crate) fn of(content: Content<'a>) -> Self {
        Known { content, sources: Vec::new(), is_private: false, is_of_resource: false }
    }

    fn is_empty(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_empty(),
            Content::Map(map) => map.is_empty(),
            Content::Number(..) | Content::Quantity(_) => false,
        }
    }

    /// The text. A number is rounded down, but a limit or request that is more than 0 is at least 1.
    pub(crate) fn text(&self) -> Cow<'a, [u8]> {
        match &self.content {
            Content::Text(text) => text.clone(),
            Content::Map(map) => key_value::format(map).into_bytes().into(),
            Content::Number(_, Some(text)) => text.as_bytes().into(),
            Content::Number(number, None) => {
                let is_more = !number.is_zero() && !number.is_negative();
                let least = if is_more && self.is_of_resource { 1 } else { i128::MIN };
                number.floor().max(least).to_string().into_bytes().into()
            }
            Content::Quantity(quantity) => quantity.to_string().into_bytes().into(),
        }
    }

    /// The same with another text.
    fn with(self, text: impl Into<Vec<u8>>) -> Self {
        Known { content: Content::Text(Cow::Owned(text.into())), ..self }
    }

    fn add_sources(&mut self, other: &Known) {
        let new = other.sources.iter().filter(|source| !self.sources.contains(source));
        let new: Vec<_> = new.copied().collect();
        self.sources.extend(new);
    }

    fn utf8(&self, node: &Node) -> Result<Cow<'a, str>, Vec<Why>> {
        let text = match self.text() {
            Cow::Borrowed(text) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
            Cow::Owned(text) => String::from_utf8(text).ok().map(Cow::Owned),
        };
        text.ok_or_else(|| vec![Why::NotUtf8(described(node))])
    }

    fn number(&self, node: &Node) -> Result<Fraction, Vec<Why>> {
        let number = match &self.content {
            Content::Number(number, _) => Some(*number),
            Content::Quantity(quantity) => Some(quantity.amount()),
            Content::Text(text) => {
                let text = std::str::from_utf8(text).ok();
                // For Kubernetes a quantity may lack all its digits.
                let text = text.filter(|text| text.bytes().any(|byte| byte.is_ascii_digit()));
                text.and_then(|text| Quantity::parse(text).ok()).map(|quantity| quantity.amount())
            }
            Content::Map(_) => None,
        };
        number.ok_or_else(|| vec![Why::NotANumber(described(node))])
    }
}

/// The value of an outermost expression: a text that is not a number below zero. Adds the fields to `missed`
/// that would have to be known before it.
pub(crate) fn evaluate<'a>(node: &'a Node, scope: &'a dyn Scope, missed: &mut Vec<Missed>) -> Outcome<'a> {
    let operands = match node {
        Node::Chain(operands) => operands,
        node => std::slice::from_ref(node),
    };
    Evaluator { scope, missed }.first_of(operands, |known| match known.content {
        Content::Number(number, None) if number.is_negative() => Err(vec![Why::Negative]),
        _ => Ok(Known { content: Content::Text(known.text()), ..known }),
    })
}

struct Evaluator<'a, 'm> {
    scope: &'a dyn Scope,
    missed: &'m mut Vec<Missed>,
}

impl<'a> Evaluator<'a, '_> {
    /// What `finish` makes of the first operand that is known and not empty, else of the last.
    fn first_of(&mut self, operands: &'a [Node], finish: fn(Known<'a>) -> Outcome<'a>) -> Outcome<'a> {
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

    fn value(&mut self, node: &'a Node) -> Outcome<'a> {
        match node {
            Node::Chain(operands) => self.first_of(operands, Ok),
            Node::Arithmetic(parts) => {
                let (made, numbers) = self.numbers(parts.iter().map(|(_, node)| node))?;
                let mut numbers = numbers.into_iter().zip(parts);
                let first = numbers.next().map_or(Fraction::default(), |(first, _)| first);
                let result = numbers.try_fold(first, |result, (number, (operator, _))| match operator {
                    b'+' => result.plus(number).ok_or(Why::Overflow),
                    b'-' => result.minus(number).ok_or(Why::Overflow),
                    b'*' => result.times(number).ok_or(Why::Overflow),
                    _ if number.is_zero() => Err(Why::Zero),
                    _ => result.divided_by(number).ok_or(Why::Overflow),
                });
                Ok(Known { content: Content::Number(result.map_err(|why| vec![why])?, None), ..made })
            }
            Node::Call(function, arguments) => self.call(function, arguments),
            Node::Number(number) => {
                let own_text = (!number.has_suffix).then_some(&*number.text);
                Ok(Known::of(Content::Number(number.value, own_text)))
            }
            Node::Text(text) => Ok(Known::of_text(text.as_bytes())),
            Node::Field(reference) => {
                let mut known = self.field(reference)?;
                if let (Content::Quantity(quantity), Some(resource)) = (&known.content, reference.resource())
                {
                    let step = match resource {
                        "cpu" => Fraction::new(quantity.milli_value().into(), 1000),
                        _ => Some(Fraction::from(quantity.value())),
                    };
                    known.content = Content::Number(step.unwrap_or_default(), None);
                    known.is_of_resource = true;
                }
                Ok(known)
            }
            Node::Resource(resource) => {
                let (reference, divisor) = &**resource;
                let known = self.field(reference)?;
                match (&known.content, reference.resource()) {
                    (Content::Quantity(quantity), Some(resource)) => {
                        let units = resource_field(resource, quantity, divisor);
                        Ok(known.with(units))
                    }
                    _ => Ok(known),
                }
            }
            Node::Variable(name) => self.scope.variable(name).map_err(|why| {
                if let Why::Field(reference) = &why {
                    self.missed.push(Missed { reference: reference.clone(), has_default: false });
                }
                vec![why]
            }),
        }
    }

    fn field(&mut self, reference: &Reference) -> Outcome<'a> {
        self.scope.field(reference).ok_or_else(|| {
            self.missed.push(Missed { reference: reference.clone(), has_default: false });
            vec![Why::Field(reference.clone())]
        })
    }

    /// The values of all nodes, or the reasons of all that have none; and a public value that they went into.
    fn all(
        &mut self,
        nodes: impl Iterator<Item = &'a Node>,
    ) -> Result<(Known<'a>, Vec<Known<'a>>), Vec<Why>> {
        let (mut values, mut unknown) = (Vec::new(), Vec::new());
        let mut made = Known::of_text(&b""[..]);
        for node in nodes {
            match self.value(node) {
                Ok(value) => {
                    made.add_sources(&value);
                    made.is_of_resource |= value.is_of_resource;
                    values.push(value);
                }
                Err(why) => unknown.extend(why),
            }
        }
        if unknown.is_empty() { Ok((made, values)) } else { Err(unknown) }
    }

    /// The same with the numbers.
    fn numbers(
        &mut self,
        nodes: impl Iterator<Item = &'a Node> + Clone,
    ) -> Result<(Known<'a>, Vec<Fraction>), Vec<Why>> {
        let (made, values) = self.all(nodes.clone())?;
        let numbers = values.iter().zip(nodes).map(|(value, node)| value.number(node));
        Ok((made, numbers.collect::<Result<_, _>>()?))
    }

    fn call(&mut self, function: &str, arguments: &'a [Node]) -> Outcome<'a> {
        match (function, arguments) {
            ("min" | "max", _) => {
                let (made, numbers) = self.numbers(arguments.iter())?;
                let mut best = numbers[0];
                for number in &numbers[1..] {
                    let difference = number.minus(best).ok_or_else(|| vec![Why::Overflow])?;
                    best = if difference.is_negative() == (function == "min") { *number } else { best };
                }
                Ok(Known { content: Content::Number(best, None), ..made })
            }
            ("pick", [number, values @ ..]) => {
                let index = self.value(number)?;
                let position = usize::try_from(index.number(number)?.floor()).ok();
                let picked = position.and_then(|position| values.get(position));
                let mut picked = self.value(picked.ok_or_else(|| vec![Why::NoElement])?)?;
                picked.add_sources(&index);
                Ok(picked)
            }
            ("replace", [_, _, _]) => {
                let (made, values) = self.all(arguments.iter())?;
                let is_private = values.iter().any(|value| value.is_private);
                let texts = values.iter().zip(arguments).map(|(value, node)| value.utf8(node));
                let texts = texts.collect::<Result<Vec<_>, _>>()?;
                let (text, old, new) = (&*texts[0], &*texts[1], &*texts[2]);
                if old.is_empty() {
                    return Err(vec![Why::NothingToReplace]);
                }
                let growth = new.len().saturating_sub(old.len()).saturating_mul(text.matches(old).count());
                if text.len() + growth > SIZE_LIMIT {
                    return Err(vec![Why::TooLong]);
                }
                Ok(Known { is_private, ..made.with(text.replace(old, new)) })
            }
            ("host", [node]) => {
                let known = self.value(node)?;
                let text = known.text();
                let is_ipv6 = std::str::from_utf8(&text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
                let host = if is_ipv6 { [b"[", &*text, b"]"].concat() } else { text.into_owned() };
                Ok(known.with(host))
            }
            ("json", [node]) => {
                let known = self.value(node)?;
                let json = escaped(&match &known.content {
                    Content::Map(map) => serde_json::to_string(map).unwrap_or_default(),
                    Content::Text(_) => serde_json::to_string(&known.utf8(node)?).unwrap_or_default(),
                    Content::Number(number, Some(text)) if serde_json::from_str::<Number>(text).is_err() => {
                        number.floor().to_string()
                    }
                    _ => known.utf8(node)?.into_owned(),
                });
                if json.len() > SIZE_LIMIT { Err(vec![Why::TooLong]) } else { Ok(known.with(json)) }
            }
            ("file", [Node::Text(path)]) => match self.scope.file(path) {
                Ok(text) => {
                    Ok(Known { is_private: true, sources: vec!["file"], ..Known::of_text(text.into_bytes()) })
                }
                Err(why) => Err(vec![Why::File { path: path.to_string(), why }]),
            },
            // The parser has counted the arguments.
            _ => Err(vec![Why::NoElement]),
        }
    }
}

/// What `node` is, for messages.
fn described(node: &Node) -> String {
    match node {
        Node::Field(reference) => reference.to_string(),
        Node::Resource(resource) => resource.0.to_string(),
        Node::Variable(name) => format!("the value of {name}"),
        Node::Call("file", _) => "the text of the file".to_owned(),
        _ => "a text".to_owned(),
    }
}

/// JSON text that is valid YAML, too: with the escapes of characters that YAML does not print.
fn escaped(json: &str) -> String {
    let is_printed = |character: char| {
        let code = u32::from(character);
        !matches!(code, 0x7f..=0x9f | 0x2028 | 0x2029 | 0xfdd0..=0xfdef) && code & 0xfffe != 0xfffe
    };
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_printed(character) {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            text += &format!("\\u{unit:04x}");
        }
    }
    text
}
