//! Every JSON document of the tests is valid by the published schema.

use std::cell::OnceCell;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

const SCHEMA: &str = "docs/schema/introspod-v1.json";

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// `schema` without additional properties, so that it must describe everything that the program writes.
fn closed(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        if object.contains_key("properties") && !object.contains_key("additionalProperties") {
            object.insert("additionalProperties".to_owned(), false.into());
        }
        object.values_mut().for_each(|value| *value = closed(value.take()));
    }
    schema
}

fn compiled(schema: Value) -> (Schemas, SchemaIndex) {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("schema.json", schema).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    (schemas, index)
}

thread_local! {
    static COMPILED: OnceCell<(Schemas, SchemaIndex)> = const { OnceCell::new() };
}

/// The document in `text`.
#[track_caller]
pub fn checked(text: &str) -> Value {
    let document: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"));
    COMPILED.with(|compiled_once| {
        let (schemas, index) = compiled_once.get_or_init(|| compiled(closed(schema())));
        if let Err(error) = schemas.validate(&document, *index) {
            panic!("not valid by {SCHEMA}: {error}\n{text}");
        }
    });
    document
}

#[test]
fn every_property_is_described() {
    fn look(path: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            assert!(property["description"].as_str().is_some_and(|text| text.len() > 5), "{path}");
            look(&path, property);
        }
    }
    look("", &schema());
}

#[test]
fn a_document_of_another_shape_is_not_valid() {
    let (schemas, index) = compiled(closed(schema()));
    for wrong in [
        "{}",
        r#"{"schema": "introspod/v2", "sources": {}, "variables": {}}"#,
        r#"{"schema": "introspod/v1", "sources": {}, "variables": {}, "pod": {"name": null}}"#,
        r#"{"schema": "introspod/v1", "sources": {}, "variables": {"A": 1}}"#,
        r#"{"schema": "introspod/v1", "sources": {}, "variables": {}, "pod": {"nmae": "x"}}"#,
    ] {
        let wrong: Value = serde_json::from_str(wrong).unwrap();
        assert!(schemas.validate(&wrong, index).is_err(), "{wrong}");
    }
}

#[test]
fn readers_pass_over_what_a_later_version_adds() {
    let (schemas, index) = compiled(schema());
    let later = r#"{"schema": "introspod/v1", "sources": {}, "variables": {}, "pod": {"added": 1}, "x": {}}"#;
    let later: Value = serde_json::from_str(later).unwrap();
    assert!(schemas.validate(&later, index).is_ok());
}
