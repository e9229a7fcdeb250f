//! Parses an object of the Kubernetes API from JSON, with a limit on memory.
//!
//! Parsed JSON can need much more memory than its text: 8 MiB of empty arrays need 200 MiB. But etcd
//! limits the objects in a cluster to 1.5 MiB (`--max-request-bytes`). So the parser rejects larger ones.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::path::{Path, Segment};
use crate::system::root::SIZE_LIMIT;

/// The longest text of an object, in bytes.
pub(crate) const BYTES_LIMIT: usize = SIZE_LIMIT as usize;
/// The longest string in an object, in bytes of JSON.
const STRING_LIMIT: usize = 3 << 19;
/// The deepest nesting. A Pod has fewer than 20 levels.
const DEPTH_LIMIT: usize = 100;
/// The largest heap memory of a parsed object, in bytes. It is enough for more than 20,000 labels.
const HEAP_LIMIT: usize = 5 << 20;
/// The largest memory for the text, the parser's copy of a string and the parsed object together.
const TOTAL_LIMIT: usize = 10 << 20;

/// The largest overhead of an allocation, in bytes.
const ALLOCATION: usize = 16;
/// The allocation for the first entry of a map: a node of 11 entries (`B` in Rust's `btree/node.rs`).
const NODE: usize = 11 * size_of::<(String, Value)>();

/// The bytes are not a valid object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    #[error("not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The object exceeds a limit, which is named here.
    #[error("the object has {0} than a Kubernetes object can have")]
    TooLarge(&'static str),
}

/// Parses an object, except for the parts that introspod never reads. In these parts it keeps only what `paths` name:
/// the elements that match, and in each element the members on the path.
///
/// # Errors
/// The bytes are not JSON, or the object is larger than one in a cluster can be.
pub(crate) fn parse(content: &[u8], paths: &[Path]) -> Result<Value, ObjectError> {
    // The parser's buffer for strings with escape sequences grows by doubling.
    let needed = content.len() + 2 * check_shape(content)?;
    let left = TOTAL_LIMIT.checked_sub(needed).ok_or(ObjectError::TooLarge("longer strings"))?;
    let left = Cell::new(left.min(HEAP_LIMIT));
    let mut deserializer = serde_json::Deserializer::from_slice(content);
    let tails: Vec<&[Segment]> = paths.iter().map(|path| &path.segments[..]).collect();
    let builder = Builder { left: &left, parent: "", is_whole: true, tails: &tails, compared: &[] };
    let value = builder.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    // The builder takes any value, until it has no memory left.
    value.map_err(|error| {
        if error.is_data() { ObjectError::TooLarge("more entries") } else { ObjectError::NotJson(error) }
    })
}

/// The length of the longest string. Rejects texts for which the parser itself would need much memory: it
/// copies strings with escape sequences, and stores every level of the parts that it skips.
fn check_shape(content: &[u8]) -> Result<usize, ObjectError> {
    if content.len() > BYTES_LIMIT {
        return Err(ObjectError::TooLarge("more bytes"));
    }
    let (mut depth, mut longest): (usize, usize) = (0, 0);
    let mut rest = content;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                let length = string_length(rest);
                longest = longest.max(length);
                rest = rest.get(length + 1..).unwrap_or_default();
            }
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return Err(ObjectError::TooLarge("more levels"));
        }
    }
    if longest > STRING_LIMIT {
        return Err(ObjectError::TooLarge("longer strings"));
    }
    Ok(longest)
}

/// The length of the string at the start of `text`, up to its closing quote.
fn string_length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let is_end = |byte: &u8| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    };
    text.iter().position(is_end).unwrap_or(text.len())
}

/// Builds a value, and counts its memory.
#[derive(Clone, Copy)]
struct Builder<'a> {
    /// The number of bytes that may still be allocated.
    left: &'a Cell<usize>,
    /// The key of the map that contains the value.
    parent: &'a str,
    /// Everything in the value is kept, except for the parts that are never read. Otherwise only what `tails` and
    /// `compared` name is kept.
    is_whole: bool,
    /// The rest of each path that leads to the value or further.
    tails: &'a [&'a [Segment]],
    /// The members that decide whether an element of a list matches.
    compared: &'a [&'a str],
}

impl Builder<'_> {
    fn charge<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| E::custom("too large"))?;
        self.left.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Builder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Builder<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.charge(ALLOCATION + value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        let mut steps: Vec<_> = self.tails.iter().filter_map(|tail| tail.split_first()).collect();
        let compared: Vec<&str> = steps.iter().filter_map(|(step, _)| step.compared()).collect();
        loop {
            // A number shows before reading whether the element matches. A value shows it only afterwards.
            let can_lead =
                |step: &Segment| step.compared().is_some() || step.leads_to(list.len(), &Value::Null);
            let tails: Vec<_> =
                steps.iter().filter(|(step, _)| can_lead(step)).map(|(_, rest)| *rest).collect();
            let before = self.left.get();
            let builder = Builder { tails: &tails, compared: &compared, ..self };
            let Some(mut item) = items.next_element_seed(builder)? else { return Ok(list.into()) };
            if !self.is_whole {
                let count = steps.len();
                // Only the first element that matches counts.
                steps.retain(|(step, _)| !step.leads_to(list.len(), &item));
                if steps.len() == count {
                    self.left.set(before);
                    item = Value::Null;
                }
            }
            if list.len() == list.capacity() {
                // The capacity doubles, and is at least 4 (`RawVec` in Rust's `alloc`).
                self.charge(ALLOCATION + size_of::<Value>() * list.len().max(4))?;
            }
            list.push(item);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let steps = self.tails.iter().filter_map(|tail| tail.split_first());
            let is_member = |step: &Segment| matches!(step, Segment::Key(member) if *member == key);
            let tails: Vec<_> = steps.filter(|(step, _)| is_member(step)).map(|(_, rest)| rest).collect();
            let is_whole = self.is_whole && !is_never_read(self.parent, &key);
            if !is_whole && tails.is_empty() && !self.compared.contains(&key.as_str()) {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            // All nodes except the first are at least half full.
            let entry = if map.is_empty() { NODE } else { 2 * size_of::<(String, Value)>() };
            self.charge(ALLOCATION + entry + ALLOCATION + key.len())?;
            let builder = Builder { left: self.left, parent: &key, is_whole, tails: &tails, compared: &[] };
            let value = entries.next_value_seed(builder)?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

/// Whether introspod never reads the entry `key` of the map `parent`, unless a path names it: they are large. Arrays do
/// not count: the parent of `env` is `containers`.
fn is_never_read(parent: &str, key: &str) -> bool {
    match parent {
        "metadata" => key == "managedFields",
        "spec" => matches!(key, "volumes" | "affinity" | "tolerations" | "topologySpreadConstraints"),
        "containers" | "initContainers" | "ephemeralContainers" => {
            matches!(key, "env" | "envFrom" | "volumeMounts")
        }
        "status" => matches!(key, "conditions" | "images"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            let map = prop::collection::btree_map(any::<String>(), inner.clone(), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(Value::from),
                map.prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(value in json()) {
            let text = value.to_string();
            prop_assert_eq!(parse(text.as_bytes(), &[]).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
        }

        #[test]
        fn what_is_not_json_is_refused(text in "[\\[\\]{}\",:\\\\0-9a-f ]{0,24}") {
            let expected = serde_json::from_str::<Value>(&text).ok();
            prop_assert_eq!(parse(text.as_bytes(), &[]).ok(), expected);
        }
    }

    #[test]
    fn parts_that_nothing_reads_are_left_out_and_labels_of_their_names_are_not() {
        let object = json!({
            "metadata": {"name": "a", "managedFields": [{}], "labels": {"env": "prod", "volumes": "1"}},
            "spec": {"volumes": [{}], "containers": [{"name": "c", "env": [{"name": "A"}]}], "env": 1},
            "status": {"conditions": [{}], "phase": "Running"},
        });
        let expected = json!({
            "metadata": {"name": "a", "labels": {"env": "prod", "volumes": "1"}},
            "spec": {"containers": [{"name": "c"}], "env": 1},
            "status": {"phase": "Running"},
        });
        assert_eq!(parse(object.to_string().as_bytes(), &[]).unwrap(), expected);
    }

    #[test]
    fn an_object_larger_than_a_cluster_holds_is_refused() {
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (text, what) in [
            (deep(DEPTH_LIMIT + 1), "more levels"),
            (format!("{{\"metadata\":{{\"managedFields\":{}}}}}", deep(1_000_000)), "more levels"),
            (format!("\"{}\"", "x".repeat(STRING_LIMIT + 1)), "longer strings"),
            (format!("{{\"{}\":1}}", "\\n".repeat(STRING_LIMIT)), "longer strings"),
            (" ".repeat(BYTES_LIMIT + 1), "more bytes"),
            (format!("[\"{}\",{}0]", "x".repeat(STRING_LIMIT), "0,".repeat(3 << 20)), "longer strings"),
            (format!("[{}0]", "0,".repeat(1 << 20)), "more entries"),
            (format!("[{}0]", "{\"\":0},".repeat(10_000)), "more entries"),
        ] {
            let error = parse(text.as_bytes(), &[]).unwrap_err();
            assert!(matches!(error, ObjectError::TooLarge(told) if told == what), "{what}: {error}");
        }
        assert!(parse(deep(DEPTH_LIMIT).as_bytes(), &[]).is_ok());
        assert!(parse(format!("\"{}\"", "\\\"".repeat(STRING_LIMIT / 2)).as_bytes(), &[]).is_ok());
    }
}
