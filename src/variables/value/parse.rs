//! Parses expressions.
//!
//! ```text
//! expression = sum { ":-" sum }
//! sum        = product { ( "+" | " - " ) product }
//! product    = factor { ( "*" | "/" ) factor }
//! factor     = number [ "%" ] | quantity | 'text' | field | NAME | "(" expression ")"
//!            | function "(" expression { "," expression } ")"
//! ```

use crate::facts::reference::{Reference, ReferenceError};
use crate::kubernetes::fraction::Fraction;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::is_valid_divisor;

/// Parentheses and functions may be nested this deep.
const DEPTH_LIMIT: usize = 64;
/// The longest text in brackets after a field, in bytes. No key and no name is longer.
const BRACKET_LIMIT: usize = 1024;
const DECIMALS_LIMIT: usize = 9;

/// An expression, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// The first operand that is known and not empty. There are at least two.
    Chain(Vec<Node>),
    /// At least two terms, each with whether it is subtracted.
    Sum(Vec<(bool, Node)>),
    /// At least two factors, each with whether it divides.
    Product(Vec<(bool, Node)>),
    Call(Function, Vec<Node>),
    Number(Box<Literal>),
    Text(Box<str>),
    Field(Box<Reference>),
    /// A resource in units of a divisor, rounded up as the kubelet does.
    Resource(Box<(Reference, Quantity)>),
    Variable(Box<str>),
}

/// A number as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Literal {
    pub(crate) value: Fraction,
    pub(crate) text: Box<str>,
    /// A suffix of a quantity, such as `Mi`. Without one, a number that stands alone is its text.
    pub(crate) has_suffix: bool,
    is_percentage: bool,
}

/// A function of expressions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Min,
    Max,
    Pick,
    Replace,
    Host,
    Json,
    File,
}

const FUNCTIONS: [(&str, Function); 7] = [
    ("min", Function::Min),
    ("max", Function::Max),
    ("pick", Function::Pick),
    ("replace", Function::Replace),
    ("host", Function::Host),
    ("json", Function::Json),
    ("file", Function::File),
];

/// An expression is not valid. No message contains its text, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("expected {0}")]
    Expected(&'static str),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error("- needs a blank on each side, as in limits.memory - 64Mi, because names contain hyphens")]
    Hyphen,
    #[error("a number with a sign must stand alone, as in limits.cpu:--1")]
    Sign,
    #[error(
        "not a field (introspod help fields). Constants belong in the manifest's env, text in single quotes, and variables in $( )"
    )]
    Variable,
    #[error("a constant. Constants belong in the manifest's env")]
    Constant,
    #[error("not a function; the functions are min, max, pick, replace, host, json and file")]
    Function,
    #[error("{0} takes {1}")]
    Arguments(&'static str, &'static str),
    #[error("a percentage must be multiplied, as in limits.memory*75%")]
    Percentage,
    #[error("the text has no closing single quote")]
    Quote,
    #[error("a number has digits, at most 9 decimals, and a suffix such as m, k, Mi or %")]
    Number,
    #[error("the number is too large")]
    TooLarge,
    #[error("division by zero")]
    Zero,
    #[error("parentheses are nested deeper than 64")]
    Depth,
    #[error("$( has no closing parenthesis on its line; $$( is a literal $(")]
    Unclosed,
}

/// A problem, and the offset of the byte where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) offset: usize,
    pub(crate) problem: Problem,
    /// The text does not have the form of an expression. A template may.
    pub(crate) is_of_form: bool,
}

impl ParseError {
    /// Whether a field was probably meant, and misspelt.
    pub(crate) fn is_near_a_field(&self) -> bool {
        matches!(&self.problem, Problem::Reference(error) if error.nearest().is_some())
    }
}

impl Node {
    /// Whether it refers to no field, variable or file.
    pub(crate) fn is_constant(&self) -> bool {
        let mut is_constant = true;
        self.each(&mut |node| {
            use Node::{Call, Field, Resource, Variable};
            is_constant &= !matches!(node, Field(_) | Resource(_) | Variable(_) | Call(Function::File, _));
        });
        is_constant
    }

    /// Calls `visit` with this node and all nodes in it.
    pub(crate) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        visit(self);
        match self {
            Node::Chain(nodes) | Node::Call(_, nodes) => nodes.iter().for_each(|node| node.each(visit)),
            Node::Sum(nodes) | Node::Product(nodes) => nodes.iter().for_each(|(_, node)| node.each(visit)),
            _ => {}
        }
    }
}

type Parsed<T> = Result<T, ParseError>;

/// Parses all of `text` as an expression. It cannot refer to variables.
pub(crate) fn whole(text: &str) -> Parsed<Node> {
    let mut parser = Parser::new(text.as_bytes(), 0, false);
    let node = parser.outermost().and_then(|node| {
        parser.skip_blanks();
        let is_all = parser.at == text.len();
        if is_all {
            Ok(node)
        } else {
            parser.error(Problem::Expected("an operator, such as + or :-, or the end"))
        }
    });
    if matches!(node, Ok(Node::Number(_) | Node::Text(_))) {
        parser.note(0, Problem::Constant);
    }
    parser.finish(node)
}

/// Parses the expression of a reference `$(expression)`, whose first byte is at `start`. Answers with the
/// offset after its closing parenthesis, too.
pub(crate) fn reference(text: &[u8], start: usize) -> Parsed<(Node, usize)> {
    let mut parser = Parser::new(text, start, true);
    let node = parser.outermost();
    let node = node.and_then(|node| parser.expect(b')', "an operator, such as + or :-, or )").map(|()| node));
    let node = parser.finish(node)?;
    Ok((node, parser.at))
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// It is inside `$( )`: variables count, and a line end is the end.
    is_reference: bool,
    /// Where a resource is divided by a literal 0. Only the kubelet's own division can do that.
    zero: Option<usize>,
    /// The first problem that is not one of form.
    noted: Option<ParseError>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8], at: usize, is_reference: bool) -> Self {
        Parser { text, at, depth: 0, is_reference, zero: None, noted: None }
    }

    fn error<T>(&self, problem: Problem) -> Parsed<T> {
        Err(ParseError { offset: self.at, problem, is_of_form: true })
    }

    /// Notes a problem that is not one of form.
    fn note(&mut self, offset: usize, problem: Problem) {
        self.noted.get_or_insert(ParseError { offset, problem, is_of_form: false });
    }

    /// What was parsed, or the first problem.
    fn finish(&mut self, parsed: Parsed<Node>) -> Parsed<Node> {
        match (self.noted.take(), parsed) {
            (None, parsed) => parsed,
            (Some(noted), parsed) => Err(ParseError { is_of_form: parsed.is_err(), ..noted }),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The bytes from here on for which `is_part` holds. It goes to their end.
    fn take(&mut self, is_part: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn skip_blanks(&mut self) {
        self.take(is_blank);
    }

    fn eat(&mut self, token: &[u8]) -> bool {
        let start = self.at;
        self.skip_blanks();
        let is_next = self.text[self.at..].starts_with(token);
        self.at = if is_next { self.at + token.len() } else { start };
        is_next
    }

    fn expect(&mut self, token: u8, what: &'static str) -> Parsed<()> {
        if self.eat(&[token]) {
            return Ok(());
        }
        self.skip_blanks();
        self.error(Problem::Expected(what))
    }

    /// The outermost chain, in which a resource is the kubelet's own value.
    fn outermost(&mut self) -> Parsed<Node> {
        let mut operands = Vec::new();
        loop {
            self.skip_blanks();
            let is_plain = self.peek() != Some(b'(');
            let operand = self.operand()?;
            operands.push(if is_plain { as_kubelet(operand, &mut self.zero) } else { operand });
            if let Some(offset) = self.zero.take() {
                self.note(offset, Problem::Zero);
            }
            if !self.eat(b":-") {
                return Ok(alone_or(operands, Node::Chain));
            }
        }
    }

    fn chain(&mut self) -> Parsed<Node> {
        if self.depth == DEPTH_LIMIT {
            return self.error(Problem::Depth);
        }
        self.depth += 1;
        let mut operands = vec![self.operand()?];
        while self.eat(b":-") {
            operands.push(self.operand()?);
        }
        self.depth -= 1;
        Ok(alone_or(operands, Node::Chain))
    }

    /// An operand of `:-`: a number of its own, which may have a sign, or a sum.
    fn operand(&mut self) -> Parsed<Node> {
        self.skip_blanks();
        let start = self.at;
        let sign = self.take(|byte| matches!(byte, b'+' | b'-'));
        if sign.len() > 1 || (sign.len() == 1 && !self.peek().is_some_and(|byte| byte.is_ascii_digit())) {
            self.at = start;
            return self.error(Problem::Expected("a field, a number, a text or a function"));
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            let number = self.number()?;
            self.skip_blanks();
            let rest = &self.text[self.at..];
            let is_alone = rest.is_empty() || rest.starts_with(b":-") || matches!(rest[0], b')' | b',');
            if is_alone && !number.is_percentage {
                let negated = Fraction::from(0).minus(number.value).filter(|_| sign == b"-");
                let text = [std::str::from_utf8(sign).unwrap_or_default(), &number.text].concat().into();
                let value = negated.unwrap_or(number.value);
                return Ok(Node::Number(Box::new(Literal { value, text, ..number })));
            }
            self.at = start;
            if !sign.is_empty() {
                return self.error(Problem::Sign);
            }
        }
        self.sum()
    }

    fn sum(&mut self) -> Parsed<Node> {
        let mut terms = vec![(false, self.product()?)];
        loop {
            let end = self.at;
            if self.eat(b"+") {
                terms.push((false, self.product()?));
            } else if self.eat(b"-") {
                let has_blanks = self.at - 1 > end && self.peek().is_some_and(is_blank);
                if !has_blanks {
                    self.note(self.at - 1, Problem::Hyphen);
                }
                terms.push((true, self.product()?));
            } else {
                return Ok(alone_or_pairs(terms, Node::Sum));
            }
        }
    }

    fn product(&mut self) -> Parsed<Node> {
        self.skip_blanks();
        let start = self.at;
        let (first, is_percentage) = self.factor()?;
        let mut factors = vec![(false, first)];
        loop {
            let divides = match self.eat(b"*") {
                true => false,
                false if self.eat(b"/") => true,
                false => {
                    if is_percentage && factors.len() == 1 {
                        self.note(start, Problem::Percentage);
                    }
                    return Ok(alone_or_pairs(factors, Node::Product));
                }
            };
            self.skip_blanks();
            let start = self.at;
            let (factor, _) = self.factor()?;
            if divides && matches!(&factor, Node::Number(number) if number.value.is_zero()) {
                self.zero.get_or_insert(start);
            }
            factors.push((divides, factor));
        }
    }

    /// A factor, and whether it is a percentage.
    fn factor(&mut self) -> Parsed<(Node, bool)> {
        self.skip_blanks();
        let node = match self.peek() {
            Some(b'(') => {
                self.at += 1;
                let inner = self.chain()?;
                self.expect(b')', "an operator, such as + or :-, or )")?;
                inner
            }
            Some(b'\'') => Node::Text(self.quoted()?.into()),
            Some(byte) if byte.is_ascii_digit() || byte == b'.' => {
                let number = self.number()?;
                let is_percentage = number.is_percentage;
                return Ok((Node::Number(Box::new(number)), is_percentage));
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => self.word()?,
            _ => return self.error(Problem::Expected("a field, a number, a text or a function")),
        };
        Ok((node, false))
    }

    fn quoted(&mut self) -> Parsed<&'a str> {
        let rest = &self.text[self.at + 1..];
        let end = memchr::memchr2(b'\'', if self.is_reference { b'\n' } else { b'\'' }, rest);
        let Some(end) = end.filter(|end| rest[*end] == b'\'') else { return self.error(Problem::Quote) };
        let Ok(text) = std::str::from_utf8(&rest[..end]) else {
            return self.error(Problem::Expected("a text in UTF-8"));
        };
        self.at += end + 2;
        Ok(text)
    }

    fn number(&mut self) -> Parsed<Literal> {
        let start = self.at;
        let digits = self.take(|byte| byte.is_ascii_digit() || byte == b'.');
        let suffix = self.take(|byte| byte.is_ascii_alphabetic());
        let is_percentage = suffix.is_empty() && self.take(|byte| byte == b'%').len() == 1;
        let literal = || {
            let (whole, decimals) = match memchr::memchr(b'.', digits) {
                Some(point) => (&digits[..point], &digits[point + 1..]),
                None => (digits, &b""[..]),
            };
            // A percentage may lack the digits on one side.
            let has_digits = !whole.is_empty() && (!decimals.is_empty() || whole.len() == digits.len());
            let is_number = has_digits || (is_percentage && digits.len() > 1);
            let is_valid = is_number && decimals.len() <= DECIMALS_LIMIT && !decimals.contains(&b'.');
            let unit = Quantity::unit(std::str::from_utf8(suffix).ok()?)?;
            is_valid.then_some(unit)
        };
        let follows =
            self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"._%'[(".contains(&byte));
        let Some(unit) = literal().filter(|_| !follows) else {
            self.at = start;
            return self.error(Problem::Number);
        };
        let unit = if is_percentage { Fraction::new(1, 100) } else { Some(unit) };
        let number = std::str::from_utf8(digits).ok().and_then(Fraction::parse);
        match number.zip(unit).and_then(|(number, unit)| number.times(unit)) {
            Some(value) => {
                let text = String::from_utf8_lossy(&self.text[start..self.at]).into();
                Ok(Literal { value, text, is_percentage, has_suffix: !suffix.is_empty() })
            }
            None => {
                self.note(start, Problem::TooLarge);
                Ok(Literal {
                    value: Fraction::from(1),
                    text: "".into(),
                    is_percentage: false,
                    has_suffix: true,
                })
            }
        }
    }

    /// A field, a variable, or a function with its arguments.
    fn word(&mut self) -> Parsed<Node> {
        let start = self.at;
        self.take(is_word);
        while self.peek() == Some(b'[') {
            self.bracket()?;
            self.take(is_word);
        }
        // It is ASCII but for what is in brackets.
        let word = std::str::from_utf8(&self.text[start..self.at]);
        let after = self.at;
        let is_call = self.eat(b"(");
        let is_field = word.is_ok_and(|word| word.contains(['.', '[']));
        let node = match word {
            Ok(word) if is_call => return self.call(word, start),
            Ok(word) if is_field => Reference::parse(word)
                .map(|reference| Node::Field(Box::new(reference)))
                .map_err(|error| if has_minus(word) { Problem::Hyphen } else { error.into() }),
            Ok(word) if self.is_reference && !word.contains('-') => Ok(Node::Variable(word.into())),
            _ if self.is_reference => Err(Problem::Hyphen),
            _ => Err(Problem::Variable),
        };
        self.at = after;
        Ok(node.unwrap_or_else(|problem| {
            self.note(start, problem);
            Node::Text("".into())
        }))
    }

    /// A key or a condition in brackets.
    fn bracket(&mut self) -> Parsed<()> {
        let rest = &self.text[self.at..];
        let mut is_quoted = false;
        let end = rest.iter().take(BRACKET_LIMIT).position(|byte| {
            is_quoted ^= *byte == b'\'';
            *byte == b'\n' || (*byte == b']' && !is_quoted)
        });
        match end.filter(|end| rest[*end] == b']') {
            Some(end) => {
                self.at += end + 1;
                Ok(())
            }
            None => self.error(Problem::Expected("a key in brackets, as in metadata.labels['KEY']")),
        }
    }

    fn call(&mut self, name: &str, start: usize) -> Parsed<Node> {
        let mut arguments = vec![self.chain()?];
        while self.eat(b",") {
            arguments.push(self.chain()?);
        }
        self.expect(b')', "an operator, such as + or :-, a comma or )")?;
        let Some((name, function)) = FUNCTIONS.into_iter().find(|(known, _)| *known == name) else {
            self.note(start, Problem::Function);
            return Ok(Node::Call(Function::Min, arguments));
        };
        let takes = match (function, &arguments[..]) {
            (Function::File, [Node::Text(path)]) if path.starts_with('/') => None,
            (Function::File, _) => Some("the absolute path of a file in single quotes"),
            (Function::Replace, [_, Node::Text(old), _]) if old.is_empty() => {
                Some("no empty text to be replaced")
            }
            (Function::Replace, [_, _, _]) | (Function::Host | Function::Json, [_]) => None,
            (Function::Replace, _) => Some("three arguments"),
            (Function::Host | Function::Json, _) => Some("one argument"),
            (Function::Pick, [_]) => Some("a number and the values to pick from"),
            (Function::Min | Function::Max | Function::Pick, _) => None,
        };
        if let Some(what) = takes {
            self.note(start, Problem::Arguments(name, what));
        }
        Ok(Node::Call(function, arguments))
    }
}

/// A resource, alone or divided by a divisor that the API allows. Its division by 0, which stands for 1, is
/// no `zero`.
fn as_kubelet(node: Node, zero: &mut Option<usize>) -> Node {
    let factors = match &node {
        Node::Product(factors) => &factors[..],
        _ => &[],
    };
    let (reference, divisor) = match (&node, factors) {
        (Node::Field(reference), _) => (reference, "1"),
        (_, [(_, Node::Field(reference)), (true, Node::Number(divisor))]) => (reference, &*divisor.text),
        _ => return node,
    };
    let allowed =
        reference.resource().filter(|resource| divisor == "1" || is_valid_divisor(resource, divisor));
    let Some(divisor) = allowed.and_then(|_| Quantity::parse(divisor).ok()) else { return node };
    *zero = None;
    let divisor = if divisor.is_zero() { Quantity::from_bytes(1) } else { divisor };
    Node::Resource(Box::new(((**reference).clone(), divisor)))
}

fn alone_or(mut nodes: Vec<Node>, all: fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => all(nodes),
    }
}

fn alone_or_pairs(mut nodes: Vec<(bool, Node)>, all: fn(Vec<(bool, Node)>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0).1,
        _ => all(nodes),
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

/// Whether one of the first hyphens of `word` was meant to be a minus: what stands before it is a field.
fn has_minus(word: &str) -> bool {
    let mut hyphens = word.match_indices('-').take(8);
    hyphens.any(|(position, _)| Reference::parse(&word[..position]).is_ok())
}
