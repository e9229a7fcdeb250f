//! Unit tests of the language of values, outside of the program's own sources: what each sentence of
//! `docs/expressions.md` promises.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::Expression;
use super::evaluate::{Content, Known, Scope, Why, evaluate};
use super::template::Template;
use crate::facts::reference::Reference;
use crate::facts::wanted::Missed;
use crate::kubernetes::fraction::Fraction;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::{resource_field, stepped};

/// A pod whose container has 1500m and 1 GiB + 1 byte.
struct Pod {
    labels: BTreeMap<String, String>,
}

fn pod() -> Pod {
    let labels = [
        ("team", "core"),
        ("empty", ""),
        ("port", "8080"),
        ("size", "512Mi"),
        ("bad", "\u{7f}\u{2028}\u{ffff}é"),
    ];
    Pod { labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into() }
}

impl Scope for Pod {
    fn field(&self, reference: &Reference, divisor: Option<&Quantity>) -> Option<Known<'_>> {
        let quantity = |text| {
            let (resource, quantity) = (reference.resource().unwrap(), Quantity::parse(text).unwrap());
            let units =
                |divisor| Content::Text(resource_field(resource, &quantity, divisor).into_bytes().into());
            let content = divisor.map_or_else(|| Content::Number(stepped(resource, &quantity), None), units);
            Known { is_of_resource: true, ..Known::new(content) }
        };
        let known = match &*reference.to_string() {
            "metadata.name" => Known::of_text(&b"web-0"[..]),
            "metadata.labels" => Known::new(Content::Map(&self.labels)),
            "pod.ordinal" => Known::new(Content::Number(Fraction::new(3, 1).unwrap(), Some("3"))),
            "limits.cpu" => quantity("1500m"),
            "limits.memory" => quantity("1073741825"),
            "requests.memory" => quantity("1"),
            "limits['nvidia.com/gpu']" => quantity("2"),
            "status.podIP" => Known::of_text(&b"fd00::1"[..]),
            "status.hostIP" => Known::of_text(&b"10.0.0.1"[..]),
            _ => match reference {
                Reference::Entry(field, key) if field.path == "metadata.labels" => {
                    Known::of_text(self.labels.get(key)?.as_bytes())
                }
                _ => return None,
            },
        };
        Some(Known { sources: vec!["api"], ..known })
    }

    fn variable(&self, name: &str) -> Result<Known<'_>, Why> {
        let secret = |text: &'static [u8]| Known { is_private: true, ..Known::of_text(text) };
        match name {
            "A" => Ok(Known::of_text(&b"value"[..])),
            "AGAIN" => Ok(Known::of_text(&b"$(A)"[..])),
            "EMPTY" => Ok(Known::of_text(&b""[..])),
            "SECRET" => Ok(secret(b"7")),
            "BYTES" => Ok(secret(b"\xff")),
            _ => Err(Why::Variable(name.to_owned())),
        }
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "/secret" { Ok("it's".to_owned()) } else { Err("no such file".to_owned()) }
    }
}

/// The value of `text`, or why it has none.
fn outcome(text: &str) -> Result<String, String> {
    let expression = Expression::parse(text).map_err(|error| error.to_string())?;
    let pod = pod();
    let known = evaluate(&expression, &pod, &mut Vec::new());
    let known = known.map_err(|why| why.iter().map(Why::to_string).collect::<Vec<_>>().join("; "))?;
    Ok(String::from_utf8(known.text().into_owned()).unwrap())
}

fn is_private(text: &str) -> bool {
    evaluate(&Expression::parse(text).unwrap(), &pod(), &mut Vec::new()).unwrap().is_private
}

#[track_caller]
fn are(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(outcome(text).as_deref(), Ok(*expected), "{text}");
    }
}

#[track_caller]
fn fail(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = outcome(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn arithmetic_is_exact_and_rounded_down_at_the_end() {
    are(&[
        ("limits.cpu*2 + 1", "4"),
        ("limits.cpu * 2+1", "4"),
        ("limits.memory*75%/1Mi", "768"),
        ("limits.memory - 64Mi", "1006632961"),
        ("max(limits.memory - 2Gi, 32Mi)", "33554432"),
        ("min(limits.memory*50%, 31Gi)", "536870912"),
        ("limits.memory/3*3", "1073741825"),
        ("2*(limits.cpu + 0.5)", "4"),
        ("pod.ordinal + 100", "103"),
        ("pod.ordinal*2 - 1", "5"),
        ("pod.ordinal/2", "1"),
        ("metadata.labels['port'] + 1", "8081"),
        ("metadata.labels['size']/1Mi", "512"),
        ("max(1, limits.cpu)", "1"),
        ("limits.memory*250%/1Gi", "2"),
        ("limits.memory*33.3333333%/1", "357913941"),
        ("10 - 4 - 3 + pod.ordinal", "6"),
        ("64/4/2*pod.ordinal", "24"),
        ("limits.memory*.5%/1Mi", "5"),
        ("limits.memory*5.%/1Mi", "51"),
        ("limits['nvidia.com/gpu'] + 1", "3"),
        ("limits['cpu'] * 2", "3"),
    ]);
}

#[test]
fn a_resource_alone_is_the_kubelets_and_rounded_up() {
    are(&[
        ("limits.cpu", "2"),
        ("limits.cpu/1m", "1500"),
        ("limits.memory/1Mi", "1025"),
        ("limits.memory/1024Ki", "1025"),
        ("limits.memory*100%/1Mi", "1024"),
        ("limits.memory/1024", "1048576"),
        ("limits.memory/0", "1073741825"),
        ("limits.memory/1%", "107374182500"),
        ("requests.cpu:-limits.cpu", "2"),
        ("limits.cpu/1:-2", "2"),
        ("(limits.cpu)", "1"),
        ("(requests.cpu:-limits.cpu)", "1"),
        ("limits['nvidia.com/gpu']", "2"),
    ]);
}

#[test]
fn of_limits_and_requests_what_is_more_than_nothing_is_at_least_1() {
    are(&[
        ("limits.memory*1%/1Gi", "1"),
        ("limits.cpu*10%", "1"),
        ("requests.memory*50%", "1"),
        ("limits.cpu*0%", "0"),
        ("limits.cpu - limits.cpu", "0"),
        ("pod.ordinal/4", "0"),
    ]);
}

#[test]
fn what_comes_first_and_is_known_and_not_empty_counts() {
    are(&[
        ("metadata.labels['team']:-'none'", "core"),
        ("metadata.labels['empty']:-'none'", "none"),
        ("metadata.labels['missing']:-'none'", "none"),
        ("metadata.labels['missing']:-''", ""),
        ("metadata.labels['missing']:-metadata.labels['empty']", ""),
        ("spec.nodeName:-metadata.name:-'x'", "web-0"),
        ("metadata.uid:-limits.memory*50%:-1", "536870912"),
        ("metadata.uid:-limits.memory - 2Gi:-1", "1"),
        ("limits.memory - 2Gi:-1Mi", "1048576"),
        ("max((metadata.uid:-5), 2)*2", "10"),
        ("max(metadata.uid:-5, 2)*2", "10"),
        ("metadata.uid :- 2", "2"),
        ("2:-metadata.name", "2"),
        ("metadata.uid:-007", "007"),
        ("metadata.uid:--1", "-1"),
        ("metadata.uid:-+1", "+1"),
        ("metadata.uid:-0.5", "0.5"),
        ("metadata.uid:-1.5k", "1500"),
        ("metadata.uid:-1m", "0"),
        ("metadata.uid:-'a:-b'", "a:-b"),
        ("metadata.uid:-'$(A)'", "$(A)"),
        ("metadata.uid:-pod.ordinal/0.5", "6"),
    ]);
    fail(&[
        ("spec.nodeName:-metadata.uid", "spec.nodeName is not known; metadata.uid is not known"),
        ("metadata.labels['empty']:-metadata.uid", "metadata.uid is not known"),
        ("limits.memory - 2Gi", "below zero"),
        ("metadata.uid:--1Ki", "below zero"),
        ("metadata.name + 1", "metadata.name is not a number"),
        ("metadata.labels['empty'] + 1", "metadata.labels['empty'] is not a number"),
        ("metadata.labels + 1", "metadata.labels is not a number"),
        ("pod.ordinal/(pod.ordinal - 3)", "zero"),
        ("min(spec.nodeName, 1)", "spec.nodeName is not known"),
        ("99999999999999999999999999999*pod.ordinal*99999999999", "too large"),
    ]);
}

#[test]
fn functions() {
    are(&[
        ("min(3, 1, 2)", "1"),
        ("max(limits.cpu*2, 1)", "3"),
        ("pick(min(pod.ordinal, 1), 'primary', 'replica')", "replica"),
        ("pick(limits.cpu, 'a', 'b')", "b"),
        ("pick(1, spec.nodeName, 'b')", "b"),
        ("pick(9, 'a'):-'other'", "other"),
        ("pick(0, metadata.labels['missing']:-'x')", "x"),
        ("pick(1, 'a', limits.memory/1Mi) + 1", "1025"),
        ("replace(metadata.name, '-', '_')", "web_0"),
        ("replace(metadata.name, 'web-', '')", "0"),
        ("replace('aaa', 'a', 'aa')", "aaaaaa"),
        ("replace(pod.ordinal, '3', 'x')", "x"),
        ("host(status.podIP)", "[fd00::1]"),
        ("host(status.hostIP)", "10.0.0.1"),
        ("host(metadata.name)", "web-0"),
        ("json(metadata.name)", "\"web-0\""),
        ("json(limits.memory/1Mi)", "1024"),
        ("json(pod.ordinal)", "3"),
        ("json(metadata.labels['port'])", "\"8080\""),
        ("json(0.5)", "0.5"),
        ("json(007)", "7"),
        ("json(metadata.labels['bad'])", "\"\\u007f\\u2028\\uffffé\""),
        (
            "json(metadata.labels)",
            "{\"bad\":\"\\u007f\\u2028\\uffffé\",\"empty\":\"\",\"port\":\"8080\",\"size\":\"512Mi\",\"team\":\"core\"}",
        ),
        ("file('/secret')", "it's"),
        ("file('/missing'):-'none'", "none"),
    ]);
    fail(&[
        ("pick(1, 'a'):-spec.nodeName", "pick"),
        ("pick(0 - 1, 'a')", "pick"),
        ("pick(metadata.name, 'a')", "not a number"),
        ("file('/missing')", "/missing: no such file"),
        ("replace(metadata.name, metadata.labels['empty'], 'x')", "nothing to replace"),
        ("min()", "expected"),
        ("pick(1)", "write pick(n, e0, e1)"),
        ("replace('a', 'b')", "write replace(x"),
        ("replace('a', '', 'b')", "write replace(x"),
        ("host('a', 'b')", "write host(x)"),
        ("file(metadata.name)", "write file("),
        ("file('relative')", "write file("),
        ("sqrt(2)", "expected one of the functions"),
    ]);
}

#[test]
fn templates() {
    are(&[
        ("$(A)", "value"),
        ("-Xmx$(limits.memory*75%/1Mi)m", "-Xmx768m"),
        ("<$(A)$(A)>", "<valuevalue>"),
        ("$(AGAIN)", "$(A)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$$(A)"),
        ("a$b$$c$ $(A) $", "a$b$$c$ value $"),
        ("it's \"$(A)\"", "it's \"value\""),
        ("é$(A)é", "évalueé"),
        ("$$(", "$("),
        ("$(EMPTY)", ""),
        ("$(EMPTY:-'x')", "x"),
        ("$(MISSING:-A)", "value"),
        ("$( MISSING :- 'a)b' )", "a)b"),
        ("$(replace(A, 'v', '$(A)'))", "$(A)alue"),
        ("$((limits.cpu*2))", "3"),
        ("$(SECRET*2)", "14"),
        ("PLAINTEXT://$(metadata.name):9092", "PLAINTEXT://web-0:9092"),
        ("metadata.name:-$(A)", "metadata.name:-value"),
        ("$(A) $(A:-'$(')", "value value"),
        ("{\"a\": \"$(A)\", (b)}", "{\"a\": \"value\", (b)}"),
    ]);
    fail(&[
        ("$(MISSING)$(A)$(NONE)", "$(MISSING) is not set; $(NONE) is not set"),
        ("$(", "$( has no closing parenthesis"),
        ("é$(A", "at byte 3: $( has no closing parenthesis"),
        ("$(A\n)", "no closing parenthesis"),
        ("$()", "expected"),
        ("$(date +%s)", "expected"),
        ("$(1 2)", "expected"),
        ("$($(A))", "expected"),
        ("$(é)", "expected"),
        ("$(metadata.nam)", "did you mean metadata.name?"),
        ("$(A - B)", "B) is not set"),
        ("$(A-B)", "- needs a blank"),
        ("$(limits.memory - 2Gi)", "below zero"),
        ("metadata.nam:-'$(A)'", "did you mean metadata.name?"),
    ]);
}

#[test]
fn mistakes() {
    fail(&[
        ("limits.memory-64Mi", "- needs a blank on each side"),
        ("limits.memory -64Mi", "- needs a blank on each side"),
        ("limits.memory- 64Mi", "- needs a blank on each side"),
        ("limits.memory*75%-1", "- needs a blank on each side"),
        ("metadata.labels['a-b']-1", "- needs a blank on each side"),
        ("pod.ordinal-1", "- needs a blank on each side"),
        ("production", "not a field (introspod help fields). Constants belong"),
        ("my-app", "not a field"),
        ("POD_NAME", "not a field"),
        ("POD_NAME + 1", "not a field"),
        ("limits.cpu:-none", "at byte 13: not a field"),
        ("5", "Constants belong in the manifest's env"),
        ("-5", "Constants belong"),
        ("512Mi", "Constants belong"),
        ("'text'", "Constants belong"),
        ("('text')", "Constants belong"),
        ("", "expected"),
        ("limits.cpu:-", "expected"),
        (":-2", "expected"),
        ("limits.cpu 2", "at byte 12: expected an operator"),
        ("limits.cpu*50%:2", "expected an operator"),
        ("metadata.name metadata.uid", "expected an operator"),
        ("50%", "a percentage must be multiplied"),
        ("limits.cpu + 50%", "a percentage must be multiplied"),
        ("min(50%, limits.cpu)", "a percentage must be multiplied"),
        ("limits.cpu:-50%", "a percentage must be multiplied"),
        ("1 + -1", "expected a field"),
        ("limits.cpu:--1 + 2", "at byte 16: expected an operator"),
        ("pod.ordinal/0", "division by zero"),
        ("limits.memory*2/0", "division by zero"),
        ("(limits.memory/0)", "division by zero"),
        ("limits.memory/0 + 1", "division by zero"),
        ("limits.memory/0Mi*2", "division by zero"),
        ("limits.memory*0.1234567891", "at most 9 decimals"),
        ("limits.memory*1e3", "a number has digits"),
        ("limits.memory*1.", "a number has digits"),
        ("limits.memory*0x10", "a number has digits"),
        ("limits.memory/1MB", "a number has digits"),
        ("limits.memory*999999999999999999999999999999999999999999", "too large"),
        ("limits.cpu:-'none", "no closing single quote"),
        ("metadata.labels[foo]", "metadata.labels['KEY']"),
        ("spec.priorityClassName", "begins with pod., as in pod.spec."),
        ("spec.nodename", "did you mean spec.nodeName?"),
        ("metadata.name['a']", "takes no key"),
        ("metadata.labels['a b']", "invalid key"),
        ("node.labels", "node.labels['KEY']"),
        ("limits.hugepages-", "not a field"),
        ("metadata.labels['a'", "expected a key in brackets"),
    ]);
    let nested = "(".repeat(100_000);
    fail(&[(&nested, "nested deeper than 64"), (&format!("$({nested}"), "no closing")]);
}

#[test]
fn no_error_contains_the_text() {
    for text in [
        "hunter2",
        "hunter2.x",
        "hunter2['x']",
        "metadata.hunter2",
        "metadata.labels[hunter2]",
        "'hunter2",
        "'hunter2'",
        "hunter2(1)",
        "1 hunter2",
        "2hunter2",
        "$(hunter2 1)",
        "$(hunter2-1)",
        "a.[hunter2",
        "metadata.labels['hunter2 ']",
        "metadata.name['hunter2']",
    ] {
        let error = Expression::parse(text).expect_err(text).to_string();
        assert!(!error.contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn private_is_what_the_environment_or_a_file_gives() {
    for text in [
        "$(SECRET)",
        "x$(SECRET)",
        "$(A:-SECRET)$(SECRET)",
        "file('/secret')",
        "replace(file('/secret'), 'a', 'b')",
        "replace(metadata.name, 'web', file('/secret'))",
        "json(file('/secret'))",
        "$(host(SECRET))",
        "pick(0, file('/secret'), 'b')",
        "$((SECRET))",
        "metadata.uid:-file('/secret')",
        "$(EMPTY:-SECRET)",
    ] {
        assert!(is_private(text), "{text}");
    }
    for text in [
        "$(A)",
        "$(A:-SECRET)",
        "$(SECRET*1)",
        "$(min(SECRET, 9))",
        "pick(1, file('/secret'), 'b')",
        "metadata.name:-file('/secret')",
        "$(pick(SECRET - 7, 'a'))",
        "$(json(SECRET + 1))",
        "$(SECRET + 1:-SECRET)",
    ] {
        assert!(!is_private(text), "{text}");
    }
}

#[test]
fn only_what_no_operand_before_has_is_missed() {
    let missed = |text: &str| -> Vec<(String, bool)> {
        let mut missed: Vec<Missed> = Vec::new();
        let _ = evaluate(&Expression::parse(text).unwrap(), &pod(), &mut missed);
        missed.into_iter().map(|missed| (missed.reference.to_string(), missed.has_default)).collect()
    };
    let of = |name: &str, has_default| (name.to_owned(), has_default);
    assert_eq!(missed("metadata.name:-spec.nodeName"), []);
    assert_eq!(missed("spec.nodeName:-metadata.name"), [of("spec.nodeName", true)]);
    assert_eq!(missed("spec.nodeName:-metadata.uid"), [of("spec.nodeName", true), of("metadata.uid", false)]);
    assert_eq!(missed("min(spec.nodeName, metadata.uid)").len(), 2);
    assert_eq!(missed("pick(0, 'a', spec.nodeName)"), []);
    assert_eq!(
        missed("$(pick(spec.nodeName, metadata.uid))-$(A:-metadata.uid)"),
        [of("spec.nodeName", false)]
    );
    assert_eq!(missed("(spec.nodeName:-1) + 1"), [of("spec.nodeName", true)]);
    assert_eq!(missed("metadata.labels['empty']:-spec.nodeName:-'x'"), [of("spec.nodeName", true)]);
}

#[test]
fn values_do_not_grow_without_end() {
    let mebibyte = "a".repeat(super::SIZE_LIMIT);
    assert_eq!(outcome(&format!("$(EMPTY){mebibyte}")).map(|text| text.len()), Ok(super::SIZE_LIMIT));
    for text in [
        format!("$(A){mebibyte}"),
        format!("$(replace('{mebibyte}', 'a', 'aa'))"),
        format!("json('{mebibyte}')"),
        format!("$(replace('aaaaaaaaaaaaaaaaaaaaa', 'a', replace('{}', 'b', 'bb')))", "b".repeat(40_000)),
    ] {
        assert!(outcome(&text).unwrap_err().contains("1 MiB"), "{}", &text[..20]);
    }
}

fn rendered(text: &[u8], hides_private: bool) -> Vec<u8> {
    Template::parse(text.to_vec()).0.render(&pod(), hides_private, usize::MAX).unwrap().text
}

#[test]
fn everything_outside_of_references_is_kept_byte_for_byte() {
    for text in [
        &b"\xff\xfe$"[..],
        b"\r\n\0 $$ $x ${A} `date`",
        b"$(date +%s) $()",
        b"$(\xff) $('\xff')",
        b"$(A",
        b"$((A)",
    ] {
        assert_eq!(rendered(text, false), text);
    }
    assert_eq!(rendered(b"\xff$(A)\xfe$(BYTES)\r\n", false), b"\xffvalue\xfe\xff\r\n");
    assert_eq!(rendered(b"$(SECRET)$(A)$(MISSING)", true), b"$(SECRET)value$(MISSING)");
    // What is no expression stays whole, its inside included.
    assert_eq!(rendered(b"$(echo $(A) ')' x) $(A)", false), b"$(echo $(A) ')' x) value");
}

#[test]
fn what_is_unknown_has_its_line_its_text_and_a_reason() {
    let (template, errors) =
        Template::parse(b"$(A)\n\n $(MISSING) $(spec.nodeName:-NONE)\n$(A)\n$(MISSING)".to_vec());
    assert_eq!(errors, []);
    let pod = pod();
    let rendered = template.render(&pod, false, usize::MAX).unwrap();
    let unknown: Vec<_> =
        rendered.unknown.iter().map(|unknown| (unknown.line, unknown.text, unknown.why.len())).collect();
    assert_eq!(unknown, [(3, "$(MISSING)", 1), (3, "$(spec.nodeName:-NONE)", 2), (5, "$(MISSING)", 1)]);
    let (_, errors) = Template::parse(b"$(A)\n$(A B)$(x.y)$(".to_vec());
    assert_eq!(errors.iter().map(|error| error.offset).collect::<Vec<_>>(), [9, 13, 17]);
}

#[test]
fn large_texts_take_linear_time() {
    let times = |text: &str| text.repeat((1 << 17) / text.len());
    for text in [
        times("$("),
        times("$(a.["),
        times("$(a.[)"),
        times("$('"),
        times("$('a)"),
        times("$(("),
        times("$(a"),
        times("$(a)"),
        times("$(a-"),
        times("$(metadata.name"),
        times("$(metadata.name)"),
        times("$(x.y)\n"),
        times("$$("),
        times("$("),
        format!("$(a.{})", times("-")),
        format!("$(a.b{})", times("[]")),
        format!("$(a.b{})", times("-a")),
        times("$(1,"),
        times("$(min("),
    ] {
        let (template, _) = Template::parse(text.into_bytes());
        template.render(&pod(), false, usize::MAX);
    }
}

/// An expression as text, with its exact value as a fraction of small numbers, if it has one.
#[derive(Clone, Debug)]
struct Made {
    text: String,
    value: Option<(i128, i128)>,
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = prop_oneof![
        (0i128..200, 0i128..100).prop_map(|(whole, decimals)| Made {
            text: format!("{whole}.{decimals:02}"),
            value: Some((whole * 100 + decimals, 100)),
        }),
        (1i128..300).prop_map(|percent| Made { text: format!("1*{percent}%"), value: Some((percent, 100)) }),
        Just(Made { text: "limits.cpu".to_owned(), value: Some((3, 2)) }),
        Just(Made { text: "2k".to_owned(), value: Some((2000, 1)) }),
        Just(Made { text: "spec.nodeName".to_owned(), value: None }),
        Just(Made { text: "pod.ordinal".to_owned(), value: Some((3, 1)) }),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), inner, 0..7).prop_map(|(one, two, operator)| {
            let both = one.value.zip(two.value);
            let text = |operator: &str| format!("({}) {operator} ({})", one.text, two.text);
            let is_less = |((a, b), (c, d)): ((i128, i128), (i128, i128))| a * d < c * b;
            let (text, value) = match operator {
                0 => (text("+"), both.map(|((a, b), (c, d))| (a * d + c * b, b * d))),
                1 => (text("-"), both.map(|((a, b), (c, d))| (a * d - c * b, b * d))),
                2 => (text("*"), both.map(|((a, b), (c, d))| (a * c, b * d))),
                3 => (
                    text("/"),
                    both.filter(|(_, (c, _))| *c != 0)
                        .map(|((a, b), (c, d))| (a * d * c.signum(), b * c.abs())),
                ),
                4 => (
                    format!("min({}, {})", one.text, two.text),
                    both.map(|it| if is_less(it) { it.0 } else { it.1 }),
                ),
                5 => (
                    format!("max({}, {})", one.text, two.text),
                    both.map(|it| if is_less(it) { it.1 } else { it.0 }),
                ),
                _ => (format!("({}:-{})", one.text, two.text), one.value.or(two.value)),
            };
            Made { text, value }
        })
    })
}

proptest! {
    #[test]
    fn arithmetic_agrees_with_fractions(made in made()) {
        let text = format!("0 + ({})", made.text);
        let is_of_resource = made.text.contains("limits.cpu");
        let value = made.value.filter(|(numerator, _)| *numerator >= 0);
        let expected = value.map(|(numerator, denominator)| match numerator / denominator {
            0 if is_of_resource && numerator > 0 => 1,
            whole => whole,
        });
        match (outcome(&text), expected) {
            (Ok(value), Some(expected)) => {
                // Not every limit in the text went into the value.
                let is_floor = made.value.is_some_and(|(numerator, _)| numerator >= 0) && value == "0" && expected == 1;
                prop_assert!(is_floor || value == expected.to_string(), "{}: {} {}", text, value, expected);
            }
            (Err(error), None) => prop_assert!(!error.is_empty()),
            // A literal 0 as a divisor is no expression at all.
            (Err(error), _) => prop_assert!(error.contains("zero") || error.contains("too large"), "{}: {}", text, error),
            (Ok(value), None) => prop_assert!(false, "{}: {}", text, value),
        }
    }

    #[test]
    fn no_text_panics(text in "[a-z.'$()\\[\\]0-9 %*/+,:M-]{0,40}|\\PC{0,40}") {
        let _ = outcome(&text);
        let _ = rendered(text.as_bytes(), true);
    }

    #[test]
    fn what_has_no_reference_stays(text in prop::collection::vec(any::<u8>(), 0..60)) {
        prop_assume!(!text.windows(2).any(|pair| pair == b"$("));
        prop_assert_eq!(rendered(&text, false), text);
    }
}
