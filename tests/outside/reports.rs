//! Containers and Pod objects as people have posted them in public reports, and their neighbours: other runtimes,
//! spellings and versions. `tests/fixtures/reports.json` has the files, and the variables that are right.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::made::token;
use crate::world::{Outcome, World, introspod, run_with_input};

/// The content of a file: a text, the claims of a token, or the name of a text that several cases share.
fn content(written: &Value, texts: &Value) -> String {
    match written {
        Value::String(text) => text.clone(),
        _ if written["same"].is_string() => content(&texts[written["same"].as_str().unwrap()], texts),
        _ => token(&written["claims"]),
    }
}

fn print(case: &Value, texts: &Value) -> Outcome {
    let arguments = case["arguments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let arguments =
        ["print", "--format=json"].into_iter().chain(arguments.iter().map(|it| it.as_str().unwrap()));
    if case["pod"].is_object() {
        let command = introspod(arguments.chain(["--pod=-"]));
        return run_with_input(command, case["pod"].to_string().as_bytes());
    }
    let world = World::empty();
    for (path, written) in case["files"].as_object().unwrap() {
        world.write(path, content(written, texts));
    }
    world.run(arguments)
}

/// The variables of `known` that the outcome has otherwise: `null` is a variable that must not be told.
fn wrong(known: &Map<String, Value>, variables: &Value) -> BTreeMap<String, Value> {
    let is_wrong = |(name, value): &(&String, &Value)| variables[name.as_str()] != **value;
    known.iter().filter(is_wrong).map(|(name, _)| (name.clone(), variables[name.as_str()].clone())).collect()
}

#[test]
fn every_reported_container_is_told_right_or_not_at_all() {
    let text = std::fs::read(crate::world::fixtures().join("reports.json")).unwrap();
    let all: Value = serde_json::from_slice(&text).unwrap();
    let mut failures = Vec::new();
    for (name, case) in all["cases"].as_object().unwrap() {
        let outcome = print(case, &all["texts"]).expect_code(0);
        let wrong = wrong(case["known"].as_object().unwrap(), &outcome.json()["variables"]);
        if !wrong.is_empty() {
            failures.push(format!("{name}: {wrong:?}\n{}", outcome.stderr));
        }
    }
    assert!(failures.is_empty(), "{} wrong:\n{}", failures.len(), failures.join("\n"));
}
