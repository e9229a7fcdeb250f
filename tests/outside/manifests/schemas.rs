//! The schemas of the API server: the part of OpenAPI v3 that Kubernetes' built-in types use.

use serde_json::Value;

use super::examples::list;
use crate::world::fixtures;

/// The schemas of every kind that an example may have.
pub struct Schemas(Value);

impl Schemas {
    pub fn load() -> Self {
        let text = std::fs::read(fixtures().join("schemas/kubernetes-1.36.2.json")).unwrap();
        Schemas(serde_json::from_slice(&text).unwrap())
    }

    /// What the API server would not take of an object.
    pub fn problems(&self, object: &Value) -> Vec<String> {
        let kind = object["kind"].as_str().unwrap();
        let (group, version) = match object["apiVersion"].as_str().unwrap().split_once('/') {
            Some(parts) => parts,
            None => ("", object["apiVersion"].as_str().unwrap()),
        };
        let wanted = serde_json::json!([{"group": group, "kind": kind, "version": version}]);
        let schemas = self.0["components"]["schemas"].as_object().unwrap();
        let mut problems = Vec::new();
        match schemas.values().find(|schema| schema["x-kubernetes-group-version-kind"] == wanted) {
            Some(schema) => self.check(schema, object, kind, &mut problems),
            None => problems.push(format!("no schema for {wanted}")),
        }
        problems
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let referred = self.0.pointer(reference.trim_start_matches('#')).unwrap();
            return self.check(referred, value, path, problems);
        }
        for part in list(&schema["allOf"]) {
            self.check(part, value, path, problems);
        }
        let alternatives = list(&schema["oneOf"]);
        let accepts = |part: &Value| {
            let mut problems = Vec::new();
            self.check(part, value, path, &mut problems);
            problems.is_empty()
        };
        if !alternatives.is_empty() && !alternatives.iter().any(accepts) {
            problems.push(format!("{path}: of none of its types"));
        }
        let values = list(&schema["enum"]);
        if !values.is_empty() && !values.contains(value) {
            problems.push(format!("{path}: not one of {values:?}"));
        }
        let fits = match schema["type"].as_str() {
            None => true,
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            Some(other) => panic!("{path}: a schema of type {other}"),
        };
        if !fits {
            let kind = schema["type"].as_str().unwrap();
            problems.push(format!("{path}: not a {kind}"));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{path}[{index}]"), problems);
        }
        for (key, item) in value.as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            let open = schema["properties"].is_null();
            match (schema["properties"].get(key), schema.get("additionalProperties")) {
                (Some(property), _) | (None, Some(property)) => {
                    self.check(property, item, &path, problems);
                }
                (None, None) if open => {}
                (None, None) => problems.push(format!("{path}: unknown")),
            }
        }
        for key in list(&schema["required"]) {
            if value.is_object() && value.get(key.as_str().unwrap()).is_none() {
                problems.push(format!("{path}.{}: missing", key.as_str().unwrap()));
            }
        }
    }
}
