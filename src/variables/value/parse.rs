//! Parses expressions. Their grammar is in `docs/expressions.md`.

use crate::facts::reference::{Problem, Reference};
use crate::kubernetes::fraction::Fraction;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::is_valid_divisor;

/// Parentheses and functions may be nested this deep.
const DEPTH_LIMIT: usize = 64;
/// The longest text in brackets after a field, in bytes. No key and no name is longer.
const BRACKET_LIMIT: usize = 512;

const OPERAND: &str = "expected a field, a number, a text or a function";
const CLOSING: &str = "expected an operator, such as + or :-, or the end";
const NUMBER: &str = "a number has digits, at most 9 decimals, and perhaps a suffix such as m, k, Mi or %";
const HYPHEN: &str =
    "- needs a blank on each side, as in limits.memory - 64Mi, because names contain hyphens";
const NOT_A_FIELD: &str = "not a field (introspod help fields). Constants belong in the manifest's env, text in single \
    quotes, and variables in $( )";

/// The operators of the functions `min` and `max`.
pub(crate) const MIN: u8 = b'<';
const MAX: u8 = b'>';

/// The functions, and how each is written.
const FUNCTIONS: [(&str, &str); 7] = [
    ("min", "write min(a, b)"),
    ("max", "write max(a, b)"),
    ("pick", "write pick(n, e0, e1)"),
    ("replace", "write replace(x, 'a', 'b')"),
    ("host", "write host(x)"),
    ("json", "write json(x)"),
    ("file", "write file('/PATH')"),
];

/// An expression, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    /// The first operand that is known and not empty. There are at least two.
    Chain(Vec<Expression>),
    /// Terms, factors or arguments, each with its operator: `+`, `-`, `*`, `/`, [`MIN`] or [`MAX`]. That of the first has
    /// no meaning.
    Arithmetic(Vec<(u8, Expression)>),
    Call(&'static str, Vec<Expression>),
    /// A number, and how it was written.
    Number(Fraction, Box<str>),
    Text(Box<str>),
    /// A field. A resource with a divisor is in its units, rounded up as the kubelet does.
    Field(Box<(Reference, Option<Quantity>)>),
    Variable(Box<str>),
    /// Texts and outermost expressions, one after the other.
    Template(Vec<Expression>),
}

/// A problem, and the offset of the byte where it begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if *offset == 0 { String::new() } else { format!("at byte {}: ", offset + 1) })]
pub(crate) struct ParseError {
    pub(crate) offset: usize,
    pub(crate) problem: Problem,
    /// The text does not have the form of an expression. A template may.
    pub(crate) is_of_form: bool,
}

impl Expression {
    /// Whether it refers to no field, variable or file.
    pub(crate) fn is_constant(&self) -> bool {
        let mut is_constant = true;
        self.each(&mut |node| {
            is_constant &=
                !matches!(node, Expression::Field(_) | Expression::Variable(_) | Expression::Call("file", _));
        });
        is_constant
    }

    /// Calls `visit` with this node and all nodes in it.
    pub(crate) fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Expression)) {
        visit(self);
        match self {
            Expression::Chain(nodes) | Expression::Call(_, nodes) | Expression::Template(nodes) => {
                nodes.iter().for_each(|node| node.each(visit));
            }
            Expression::Arithmetic(nodes) => nodes.iter().for_each(|(_, node)| node.each(visit)),
            _ => {}
        }
    }
}

type Parsed<T = Expression> = Result<T, ParseError>;

/// Parses all of `text` as an expression. It cannot refer to variables.
pub(crate) fn whole(text: &str) -> Parsed {
    parse(text.as_bytes(), 0, false).map(|(node, _)| node)
}

/// Parses the expression of a reference `$(expression)`, whose first byte is at `start`. Answers with the
/// offset after its closing parenthesis, too.
pub(crate) fn reference(text: &[u8], start: usize) -> Parsed<(Expression, usize)> {
    parse(text, start, true)
}

fn parse(text: &[u8], start: usize, is_reference: bool) -> Parsed<(Expression, usize)> {
    let mut parser = Parser { text, at: start, depth: 0, is_reference, noted: None };
    let node = parser.chain(true).and_then(|node| {
        parser.skip_blanks();
        let is_end = if is_reference { parser.eat(b")") } else { parser.at == text.len() };
        if is_end { Ok(node) } else { Err(parser.error(CLOSING)) }
    });
    if !is_reference && matches!(node, Ok(Expression::Number(..) | Expression::Text(_))) {
        parser.note(0, Problem::Form("this is a constant. Constants belong in the manifest's env"));
    }
    match parser.noted {
        Some(noted) => Err(ParseError { is_of_form: node.is_err(), ..noted }),
        None => node.map(|node| (node, parser.at)),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// It is inside `$( )`: variables count, and a line end is the end.
    is_reference: bool,
    /// The first problem of a text that has the form of an expression so far.
    noted: Option<ParseError>,
}

impl<'a> Parser<'a> {
    /// The error that the next token is not what it must be.
    fn error(&mut self, problem: &'static str) -> ParseError {
        self.skip_blanks();
        ParseError { offset: self.at, problem: Problem::Form(problem), is_of_form: true }
    }

    /// Notes a problem that does not end parsing: what follows decides whether the text has the form of an expression.
    fn note(&mut self, offset: usize, problem: Problem) {
        self.noted.get_or_insert(ParseError { offset, problem, is_of_form: false });
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// The bytes from here on for which `is_part` holds. It goes to their end.
    fn take(&mut self, is_part: fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())];
        self.at += taken.len();
        std::str::from_utf8(taken).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.take(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// Goes to the end of `token` if it is next. Before it may be blanks.
    fn eat(&mut self, token: &[u8]) -> bool {
        let start = self.at;
        self.skip_blanks();
        let is_next = self.rest().starts_with(token);
        self.at = if is_next { self.at + token.len() } else { start };
        is_next
    }

    fn close(&mut self) -> Parsed<()> {
        if self.eat(b")") { Ok(()) } else { Err(self.error(CLOSING)) }
    }

    /// Operands of `:-`. In the outermost chain, a resource is the kubelet's own value.
    fn chain(&mut self, is_outermost: bool) -> Parsed {
        if self.depth > DEPTH_LIMIT {
            return Err(self.error("parentheses are nested deeper than 64"));
        }
        self.depth += 1;
        let mut operands = Vec::new();
        loop {
            self.skip_blanks();
            let is_plain = !self.rest().starts_with(b"(");
            let start = self.at;
            let operand = self.operand()?;
            let operand = if is_outermost && is_plain { as_kubelet(operand) } else { operand };
            if divides_by_zero(&operand) {
                self.note(start, Problem::Form("division by zero"));
            }
            operands.push(operand);
            if !self.eat(b":-") {
                break;
            }
        }
        self.depth -= 1;
        Ok(if operands.len() == 1 { operands.remove(0) } else { Expression::Chain(operands) })
    }

    /// An operand of `:-`: a number with a sign, or a sum.
    fn operand(&mut self) -> Parsed {
        let sign = match self.rest() {
            [sign @ (b'+' | b'-'), b'0'..=b'9', ..] => *sign,
            _ => return self.joined([b'+', b'-'], Self::product),
        };
        self.at += 1;
        let (value, text) = self.number()?;
        let signed = if sign == b'-' { Fraction::ZERO.minus(value) } else { Some(value) };
        let text = format!("{}{text}", char::from(sign)).into();
        Ok(self.checked(Expression::Number(signed.unwrap_or(Fraction::ZERO), text)))
    }

    fn product(&mut self) -> Parsed {
        let product = self.joined([b'*', b'/'], Self::factor)?;
        Ok(self.checked(product))
    }

    /// One part, or several with operators between them.
    fn joined(&mut self, operators: [u8; 2], part: fn(&mut Self) -> Parsed) -> Parsed {
        let mut parts = vec![(operators[0], part(self)?)];
        let mut end = self.at;
        while let Some(operator) = operators.into_iter().find(|operator| self.eat(&[*operator])) {
            let has_blanks = self.at - 1 > end && matches!(self.rest(), [b' ' | b'\t', ..]);
            if operator == b'-' && !has_blanks {
                self.note(self.at - 1, Problem::Form(HYPHEN));
            }
            parts.push((operator, part(self)?));
            end = self.at;
        }
        Ok(if parts.len() == 1 { parts.remove(0).1 } else { Expression::Arithmetic(parts) })
    }

    /// `node`, which ends here. Notes a problem if it is a percentage without another factor.
    fn checked(&mut self, node: Expression) -> Expression {
        if matches!(&node, Expression::Number(_, text) if text.ends_with('%')) {
            let problem = Problem::Form("a percentage must be multiplied, as in limits.memory*75%");
            self.note(self.at - 1, problem);
        }
        node
    }

    fn factor(&mut self) -> Parsed {
        if self.eat(b"(") {
            let inner = self.chain(false)?;
            self.close()?;
            return Ok(inner);
        }
        self.skip_blanks();
        match self.rest() {
            [b'\'', ..] => self.quoted(),
            [b'0'..=b'9' | b'.', ..] => {
                self.number().map(|(value, text)| Expression::Number(value, text.into()))
            }
            [b'a'..=b'z' | b'A'..=b'Z' | b'_', ..] => self.word(),
            _ => Err(self.error(OPERAND)),
        }
    }

    fn quoted(&mut self) -> Parsed {
        let rest = &self.rest()[1..];
        let end = rest.iter().position(|byte| *byte == b'\'' || (*byte == b'\n' && self.is_reference));
        let text = end.filter(|end| rest[*end] == b'\'').map(|end| std::str::from_utf8(&rest[..end]));
        match text {
            Some(Ok(text)) => {
                self.at += text.len() + 2;
                Ok(Expression::Text(text.into()))
            }
            Some(Err(_)) => Err(self.error("expected a text in UTF-8")),
            None => Err(self.error("the text has no closing single quote")),
        }
    }

    /// A number, and how it was written.
    fn number(&mut self) -> Parsed<(Fraction, String)> {
        let start = self.at;
        let digits = self.take(|byte| byte.is_ascii_digit() || byte == b'.');
        let suffix = self.take(|byte| byte.is_ascii_alphabetic());
        let is_percentage = suffix.is_empty() && self.eat(b"%");
        let unit = if is_percentage {
            Fraction::new(1, 100)
        } else {
            Quantity::parse(&format!("1{suffix}")).ok().map(|unit| unit.amount())
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        // A percentage may lack the digits on one side.
        let has_digits =
            if is_percentage { digits != "." } else { !whole.is_empty() && !decimals.is_empty() };
        let is_end =
            !matches!(self.rest(), [byte, ..] if byte.is_ascii_alphanumeric() || b"._%'[(".contains(byte));
        let is_valid = has_digits && is_end && decimals.len() <= 9 && !decimals.contains('.');
        let (Some(unit), true) = (unit, is_valid) else {
            self.at = start;
            return Err(self.error(NUMBER));
        };
        let value = Fraction::parse(digits).and_then(|number| number.times(unit)).unwrap_or_else(|| {
            self.note(start, Problem::Form("the number is too large"));
            unit
        });
        Ok((value, format!("{digits}{suffix}{}", if is_percentage { "%" } else { "" })))
    }

    /// A field, a variable, or a function with its arguments.
    fn word(&mut self) -> Parsed {
        let start = self.at;
        self.take(is_word);
        while let [b'[', rest @ ..] = self.rest() {
            // A key or a condition in brackets.
            let mut is_quoted = false;
            let end = rest.iter().take(BRACKET_LIMIT).position(|byte| {
                is_quoted ^= *byte == b'\'';
                *byte == b'\n' || (*byte == b']' && !is_quoted)
            });
            let Some(end) = end.filter(|end| rest[*end] == b']') else {
                return Err(self.error("expected a key in brackets, as in metadata.labels['KEY']"));
            };
            self.at += end + 2;
            self.take(is_word);
        }
        // Everything outside of brackets is ASCII.
        let word = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        if self.eat(b"(") {
            return self.call(word, start);
        }
        let is_name = !word.contains(['.', '[']);
        let problem = match Reference::parse(word) {
            Ok(reference) => return Ok(Expression::Field(Box::new((reference, None)))),
            Err(_) if self.is_reference && is_name && !word.contains('-') => {
                return Ok(Expression::Variable(word.into()));
            }
            Err(_) if has_minus(word) || (self.is_reference && is_name) => Problem::Form(HYPHEN),
            Err(_) if is_name => Problem::Form(NOT_A_FIELD),
            Err(problem) => problem,
        };
        self.note(start, problem);
        Ok(Expression::Variable(word.into()))
    }

    fn call(&mut self, name: &str, start: usize) -> Parsed {
        let mut arguments = vec![self.chain(false)?];
        while self.eat(b",") {
            arguments.push(self.chain(false)?);
        }
        self.close()?;
        let Some((name, form)) = FUNCTIONS.into_iter().find(|(known, _)| *known == name) else {
            let problem = "expected one of the functions min, max, pick, replace, host, json and file";
            self.note(start, Problem::Form(problem));
            return Ok(Expression::Call("", arguments));
        };
        let is_valid = match (name, &arguments[..]) {
            ("file", [Expression::Text(path)]) => path.starts_with('/'),
            ("replace", [_, Expression::Text(old), _]) => !old.is_empty(),
            ("host" | "json", [_]) | ("replace", [_, _, _]) | ("pick", [_, _, ..]) | ("min" | "max", _) => {
                true
            }
            _ => false,
        };
        if !is_valid {
            self.note(start, Problem::Form(form));
        }
        let operator = match name {
            "min" => MIN,
            "max" => MAX,
            _ => return Ok(Expression::Call(name, arguments)),
        };
        Ok(Expression::Arithmetic(arguments.into_iter().map(|argument| (operator, argument)).collect()))
    }
}

/// A resource, alone or divided by a divisor that the API allows, of which 0 stands for 1.
fn as_kubelet(node: Expression) -> Expression {
    let (field, divisor) = match &node {
        Expression::Field(field) => (field, "0"),
        Expression::Arithmetic(factors) => match &factors[..] {
            [(_, Expression::Field(field)), (b'/', Expression::Number(_, divisor))] => (field, &**divisor),
            _ => return node,
        },
        _ => return node,
    };
    let is_allowed = |resource: &str| field.0.is_limit_or_request() && is_valid_divisor(resource, divisor);
    match Quantity::parse(divisor) {
        Ok(divisor) if field.0.resource().is_some_and(is_allowed) => {
            Expression::Field(Box::new((field.0.clone(), Some(divisor))))
        }
        _ => node,
    }
}

/// Whether a term of `node` is divided by a literal 0. Terms in parentheses were checked before.
fn divides_by_zero(node: &Expression) -> bool {
    let Expression::Arithmetic(parts) = node else { return false };
    parts.iter().any(|(operator, part)| match part {
        Expression::Number(value, _) => *operator == b'/' && value.signum() == 0,
        part => divides_by_zero(part),
    })
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

/// Whether one of the first hyphens of `word` was meant to be a minus: the text before it is a field.
fn has_minus(word: &str) -> bool {
    let mut hyphens = word.match_indices('-').take(8);
    hyphens.any(|(position, _)| Reference::parse(&word[..position]).is_ok())
}
