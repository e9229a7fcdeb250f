//! Evaluates expressions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use serde_json::Number;

use super::SIZE_LIMIT;
use super::parse::{Function, Literal, Node};
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
    #[error("its value would be longer than 1 MiB, or all values of --set together longer than 8 MiB")]
    TooLong,
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
    pub(crate) fn text(text: impl Into<Cow<'a, [u8]>>) -> Self {
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
    pub(crate) fn into_text(self) -> Cow<'a, [u8]> {
        match self.content {
            Content::Text(text) => text,
            Content::Map(map) => Cow::Owned(key_value::format(map).into_bytes()),
            Content::Number(_, Some(text)) => Cow::Borrowed(text.as_bytes()),
            Content::Number(number, None) => {
                let is_more = !number.is_zero() && !number.is_negative();
                let whole = number.floor().max(if is_more && self.is_of_resource { 1 } else { i128::MIN });
                Cow::Owned(whole.to_string().into_bytes())
            }
            Content::Quantity(quantity) => Cow::Owned(quantity.to_string().into_bytes()),
        }
    }

    /// The same with another text.
    fn with(self, text: impl Into<Vec<u8>>) -> Self {
        Known { content: Content::Text(Cow::Owned(text.into())), ..self }
    }

    fn into_utf8(self, node: &Node) -> Result<Cow<'a, str>, Vec<Why>> {
        let error = |_| vec![Why::NotUtf8(described(node))];
        match self.into_text() {
            Cow::Borrowed(text) => std::str::from_utf8(text).map(Cow::Borrowed).map_err(error),
            Cow::Owned(text) => {
                String::from_utf8(text).map(Cow::Owned).map_err(|wrong| error(wrong.utf8_error()))
            }
        }
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
    let mut evaluator = Evaluator { scope, missed };
    evaluator.first_of(operands, &|evaluator, operand| {
        let known = evaluator.value(operand)?;
        if matches!(known.content, Content::Number(number, None) if number.is_negative()) {
            return Err(vec![Why::Negative]);
        }
        let (sources, is_private) = (known.sources.clone(), known.is_private);
        Ok(Known { sources, is_private, ..Known::text(known.into_text()) })
    })
}

struct Evaluator<'a, 'm> {
    scope: &'a dyn Scope,
    missed: &'m mut Vec<Missed>,
}

impl<'a> Evaluator<'a, '_> {
    /// The value of the first operand that is known and not empty, else the outcome of the last.
    fn first_of(
        &mut self,
        operands: &'a [Node],
        value: &dyn Fn(&mut Self, &'a Node) -> Outcome<'a>,
    ) -> Outcome<'a> {
        let mut unknown = Vec::new();
        for (position, operand) in operands.iter().enumerate() {
            let is_last = position + 1 == operands.len();
            let first_missed = self.missed.len();
            match value(self, operand) {
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
            Node::Chain(operands) => self.first_of(operands, &Self::value),
            Node::Sum(terms) => self.folded(terms, |sum, is_minus, term| match is_minus {
                false => sum.plus(term).ok_or(Why::Overflow),
                true => sum.minus(term).ok_or(Why::Overflow),
            }),
            Node::Product(factors) => self.folded(factors, |product, divides, factor| match divides {
                false => product.times(factor).ok_or(Why::Overflow),
                true if factor.is_zero() => Err(Why::Zero),
                true => product.divided_by(factor).ok_or(Why::Overflow),
            }),
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::Number(number) => {
                let Literal { value, text, has_suffix, .. } = &**number;
                Ok(Known::of(Content::Number(*value, (!has_suffix).then_some(text))))
            }
            Node::Text(text) => Ok(Known::text(text.as_bytes())),
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
                let mut known = self.field(reference)?;
                if let (Content::Quantity(quantity), Some(resource)) = (&known.content, reference.resource())
                {
                    let units = resource_field(resource, quantity, divisor);
                    known.content = Content::Text(Cow::Owned(units.into_bytes()));
                }
                Ok(known)
            }
            Node::Variable(name) => {
                let known = self.scope.variable(name);
                if let Err(Why::Field(reference)) = &known {
                    self.missed.push(Missed { reference: reference.clone(), has_default: false });
                }
                known.map_err(|why| vec![why])
            }
        }
    }

    fn field(&mut self, reference: &Reference) -> Outcome<'a> {
        self.scope.field(reference).ok_or_else(|| {
            self.missed.push(Missed { reference: reference.clone(), has_default: false });
            vec![Why::Field(reference.clone())]
        })
    }

    /// The values of all nodes, or the reasons of all that have none.
    fn all(&mut self, nodes: impl Iterator<Item = &'a Node>) -> Result<Vec<Known<'a>>, Vec<Why>> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for node in nodes {
            match self.value(node) {
                Ok(value) => known.push(value),
                Err(why) => unknown.extend(why),
            }
        }
        if unknown.is_empty() { Ok(known) } else { Err(unknown) }
    }

    /// The numbers of all nodes joined by `join`. What arithmetic makes is public.
    fn folded(
        &mut self,
        nodes: &'a [(bool, Node)],
        join: impl Fn(Fraction, bool, Fraction) -> Result<Fraction, Why>,
    ) -> Outcome<'a> {
        let values = self.all(nodes.iter().map(|(_, node)| node))?;
        let numbers = values.iter().zip(nodes).map(|(value, (_, node))| value.number(node));
        let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
        let mut joined = numbers[0];
        for (number, (sign, _)) in numbers.iter().zip(nodes).skip(1) {
            joined = join(joined, *sign, *number).map_err(|why| vec![why])?;
        }
        Ok(made_of(&values, Content::Number(joined, None)))
    }

    fn call(&mut self, function: Function, arguments: &'a [Node]) -> Outcome<'a> {
        match (function, arguments) {
            (Function::Min | Function::Max, _) => {
                let values = self.all(arguments.iter())?;
                let numbers = values.iter().zip(arguments).map(|(value, node)| value.number(node));
                let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
                let mut best = numbers[0];
                for number in &numbers[1..] {
                    let difference = number.minus(best).ok_or_else(|| vec![Why::Overflow])?;
                    let is_better = difference.is_negative() == (function == Function::Min);
                    best = if is_better { *number } else { best };
                }
                Ok(made_of(&values, Content::Number(best, None)))
            }
            (Function::Pick, [number, values @ ..]) => {
                let index = self.value(number)?;
                let position = usize::try_from(index.number(number)?.floor()).ok();
                let picked = position.and_then(|position| values.get(position));
                let mut picked = self.value(picked.ok_or_else(|| vec![Why::NoElement])?)?;
                add_sources(&mut picked.sources, &index.sources);
                Ok(picked)
            }
            (Function::Replace, _) => {
                let values = self.all(arguments.iter())?;
                let is_private = values.iter().any(|value| value.is_private);
                let made = Known { is_private, ..made_of(&values, Content::Text(Cow::Borrowed(b""))) };
                let mut texts = values.into_iter().zip(arguments).map(|(value, node)| value.into_utf8(node));
                let mut next = || texts.next().unwrap_or(Ok(Cow::Borrowed("")));
                let (text, old, new) = (next()?, next()?, next()?);
                if old.is_empty() {
                    return Err(vec![Why::NothingToReplace]);
                }
                let growth = new.len().saturating_sub(old.len());
                if text.len() + growth.saturating_mul(text.matches(&*old).count()) > SIZE_LIMIT {
                    return Err(vec![Why::TooLong]);
                }
                Ok(made.with(text.replace(&*old, &new)))
            }
            (Function::Host, [node]) => {
                let known = self.value(node)?;
                let text = known.clone().into_text();
                let is_ipv6 = std::str::from_utf8(&text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
                let host = if is_ipv6 { [b"[", &*text, b"]"].concat() } else { text.into_owned() };
                Ok(known.with(host))
            }
            (Function::Json, [node]) => {
                let known = self.value(node)?;
                let json = match &known.content {
                    Content::Map(map) => serde_json::to_string(map).unwrap_or_default(),
                    Content::Number(_, Some(text)) if serde_json::from_str::<Number>(text).is_ok() => {
                        text.to_string()
                    }
                    Content::Number(number, Some(_)) => number.floor().to_string(),
                    Content::Text(_) => {
                        let text = known.clone().into_utf8(node)?;
                        serde_json::to_string(&text).unwrap_or_default()
                    }
                    _ => known.clone().into_utf8(node)?.into_owned(),
                };
                let json = escaped(&json);
                if json.len() > SIZE_LIMIT {
                    return Err(vec![Why::TooLong]);
                }
                Ok(known.with(json))
            }
            (Function::File, [Node::Text(path)]) => {
                let text = self.scope.file(path);
                let text = text.map_err(|why| vec![Why::File { path: path.to_string(), why }])?;
                Ok(Known { is_private: true, sources: vec!["file"], ..Known::text(text.into_bytes()) })
            }
            // The parser has counted the arguments.
            _ => Err(vec![Why::NoElement]),
        }
    }
}

/// A public value that `values` went into.
fn made_of<'a>(values: &[Known], content: Content<'a>) -> Known<'a> {
    let mut made = Known::of(content);
    values.iter().for_each(|value| add_sources(&mut made.sources, &value.sources));
    made.is_of_resource = values.iter().any(|value| value.is_of_resource);
    made
}

fn add_sources(sources: &mut Vec<&'static str>, more: &[&'static str]) {
    let new = more.iter().filter(|source| !sources.contains(source));
    let new: Vec<_> = new.copied().collect();
    sources.extend(new);
}

/// What `node` is, for messages.
fn described(node: &Node) -> String {
    match node {
        Node::Field(reference) => reference.to_string(),
        Node::Resource(resource) => resource.0.to_string(),
        Node::Variable(name) => format!("the value of {name}"),
        Node::Call(Function::File, _) => "the text of the file".to_owned(),
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
