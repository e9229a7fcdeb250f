//! Expressions of `--set`: every case with a recorded result of Kubernetes' code, and percentages.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::made::{lines, only_line, run_with_pod, variables, with_resources};
use crate::world::{Outcome, fixtures, introspod, run};

fn vectors(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("vectors").join(name)).unwrap()).unwrap()
}

/// The cases of a file, without the one whose upper bits Go loses.
fn cases(name: &str) -> Vec<Value> {
    let mut cases: Vec<Value> = serde_json::from_value(vectors(name)).unwrap();
    cases.retain(|case| case["in"] != "-1Pi");
    cases
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().unwrap()
}

#[test]
fn field_paths_are_what_kubernetes_makes_of_them() {
    let vectors = vectors("field-path.json");
    let mut pod = vectors["pod"].clone();
    pod["kind"] = json!("Pod");
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let path = text(case, "path");
        // Of a label that the pod does not have the downward API makes the empty string.
        let empty = if case["value"] == "" { ":-''" } else { "" };
        let outcome = run_with_pod("print", ["--format=json", "--set", &format!("V={path}{empty}")], &pod);
        if case.get("error").is_some() {
            let outcome = outcome.expect_code(2);
            let line = only_line(&outcome);
            let says = ["not a field", "invalid key", "takes no key", "must be in single quotes", "expected"];
            assert!(says.iter().any(|words| line.contains(words)), "{case}: {line}");
            assert_eq!(outcome.stdout, "");
        } else {
            let outcome = outcome.expect_code(0);
            assert_eq!(outcome.stderr, "", "{case}");
            assert_eq!(outcome.json()["variables"]["V"], case["value"], "{case}");
        }
    }
}

/// The cases of `resource-ref.json` in rounds: in each at most one quantity for each resource.
fn rounds() -> Vec<Vec<Value>> {
    let mut rounds: Vec<Vec<Value>> = Vec::new();
    for case in cases("resource-ref.json") {
        let fits = |round: &&mut Vec<Value>| {
            round
                .iter()
                .all(|other| other["resource"] != case["resource"] || other["quantity"] == case["quantity"])
        };
        match rounds.iter_mut().find(fits) {
            Some(round) => round.push(case),
            None => rounds.push(vec![case]),
        }
    }
    rounds
}

#[test]
fn resources_are_divided_as_the_kubelet_divides_them() {
    let mut compared = 0;
    for round in rounds() {
        let mut resources = json!({"limits": {}, "requests": {}});
        let mut options = Vec::new();
        for (number, case) in round.iter().enumerate() {
            let (list, resource) = text(case, "resource").split_once('.').unwrap();
            resources[list][resource] = case["quantity"].clone();
            options.push(format!("--set=V{number}={}/{}", text(case, "resource"), text(case, "divisor")));
            // The default divisor need not be written.
            if case["divisor"] == "0" {
                options.push(format!("--set=W{number}={}", text(case, "resource")));
            }
        }
        let told = variables(&options, &with_resources(resources));
        for (number, case) in round.iter().enumerate() {
            // 0 means no limit, so the kubelet's 0 would be wrong.
            let is_none = case["value"] == "0" && text(case, "resource").starts_with("limits.");
            let expected = if is_none { &Value::Null } else { &case["value"] };
            assert_eq!(&told[format!("V{number}")], expected, "{case}");
            if case["divisor"] == "0" {
                assert_eq!(&told[format!("W{number}")], expected, "{case}");
            }
            compared += 1;
        }
    }
    assert!(compared > 600, "{compared}");
}

/// The value of requests of each of `quantities` by `expression`, where that is one; each is the
/// request of a resource of its own.
fn values_of(quantities: &[&str]) -> (Value, Outcome) {
    let name = |number: usize| format!("hugepages-{}", number + 1);
    let requests: Map<_, _> =
        quantities.iter().enumerate().map(|(number, quantity)| (name(number), (*quantity).into())).collect();
    let set = |number: usize| format!("--set=V{number}=requests.{}", name(number));
    let options = ["--format=json".to_owned()].into_iter().chain((0..quantities.len()).map(set));
    let outcome =
        run_with_pod("print", options, &with_resources(json!({"requests": requests}))).expect_code(0);
    (outcome.json()["variables"].take(), outcome)
}

#[test]
fn quantities_are_whole_units_rounded_up_or_no_quantities() {
    let cases = cases("quantity.json");
    assert!(cases.len() > 300);
    let (told, outcome) = values_of(&cases.iter().map(|case| text(case, "in")).collect::<Vec<_>>());
    for (number, case) in cases.iter().enumerate() {
        let is_none = case.get("error").is_some();
        let expected = if is_none { &Value::Null } else { &case["value"] };
        assert_eq!(&told[format!("V{number}")], expected, "{case}");
        // An empty one is one that is not there.
        if is_none && case["in"] != "" {
            let named = format!("warn: api: requests.hugepages-{} is {:?}: ", number + 1, text(case, "in"));
            assert_eq!(outcome.stderr.matches(&named).count(), 1, "{case}");
        }
    }
}

#[test]
fn quantities_are_thousandths_of_a_cpu_rounded_up() {
    // The kubelet divides thousandths as a float64, which is exact up to here.
    let is_exact = |case: &&Value| {
        let milli = case.get("milli").map(|milli| milli.as_str().unwrap().parse::<i64>().unwrap());
        milli.is_some_and(|milli| milli.unsigned_abs() <= 1 << 53)
    };
    let cases = cases("quantity.json");
    assert!(cases.iter().filter(is_exact).count() > 200);
    for case in cases.iter().filter(is_exact) {
        let told = variables(
            ["--set", "V=requests.cpu/1m"],
            &with_resources(json!({"requests": {"cpu": case["in"]}})),
        );
        assert_eq!(told["V"], case["milli"], "{case}");
    }
}

#[test]
fn references_in_arguments_are_resolved_as_kubernetes_resolves_them() {
    let vectors = vectors("expansion.json");
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 200);
    let mut command = introspod(["exec", "--expand", "--", "sh", "-c", "cat /proc/$$/cmdline", "sh"]);
    command.args(cases.iter().map(|case| text(case, "in")));
    command.envs(
        vectors["env"].as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap())),
    );
    let outcome = run(command).expect_code(0);
    let told: Vec<&str> = outcome.stdout.split_terminator('\0').skip(4).collect();
    assert_eq!(told.len(), cases.len());
    for (case, told) in cases.iter().zip(told) {
        // Elsewhere than before a parenthesis, $$ is the shell's.
        if !text(case, "in").contains("$$") {
            assert_eq!(told, text(case, "out"), "{case}");
        }
    }
}

#[test]
fn without_expand_arguments_stay_as_they_are() {
    let outcome = run(introspod(["exec", "--container=c", "echo", "$(CONTAINER_NAME) $$"])).expect_code(0);
    assert_eq!(outcome.stdout, "$(CONTAINER_NAME) $$\n");
    let outcome = run(introspod(["exec", "--container=c", "--expand", "echo", "$(CONTAINER_NAME) $$"]));
    assert_eq!(outcome.expect_code(0).stdout, "c $$\n", "facts can be referred to");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_share_never_exceeds_the_limit_it_came_from(
        bytes in prop_oneof![1u64..5000, 1u64..1 << 40, Just(1 << 62)],
        percents in prop::collection::vec(1u32..=1000, 1..10),
        divisor in prop::sample::select(vec![("1", 1u64), ("1k", 1000), ("1Ki", 1 << 10), ("1M", 1_000_000), ("1Mi", 1 << 20), ("1Gi", 1 << 30)]),
    ) {
        let (written, unit) = divisor;
        let set = |(number, tenths): (usize, &u32)| {
            format!("--set=V{number}=limits.memory*{}.{}%/{written}", tenths / 10, tenths % 10)
        };
        let options: Vec<String> = percents.iter().enumerate().map(set).collect();
        let told = variables(&options, &with_resources(json!({"limits": {"memory": bytes.to_string()}})));
        for (number, tenths) in percents.iter().enumerate() {
            let exact = u128::from(bytes) * u128::from(*tenths) / (1000 * u128::from(unit));
            prop_assert_eq!(told[format!("V{number}")].as_str().unwrap(), exact.max(1).to_string());
        }
    }

    #[test]
    fn a_share_of_a_cpu_is_rounded_down_too(milli in 1u64..1_000_000, percent in 1u64..=100) {
        let options = [format!("--set=CORES=limits.cpu*{percent}%"), format!("--set=MILLI=limits.cpu*{percent}%/1m")];
        let told = variables(&options, &with_resources(json!({"limits": {"cpu": format!("{milli}m")}})));
        prop_assert_eq!(told["CORES"].as_str().unwrap(), (milli * percent / 100_000).max(1).to_string());
        prop_assert_eq!(told["MILLI"].as_str().unwrap(), (milli * percent / 100).max(1).to_string());
    }
}

#[test]
fn the_examples_of_the_design() {
    let mut pod = with_resources(json!({"limits": {"cpu": "2500m", "memory": "1Gi"}}));
    pod["metadata"]["labels"] = json!({"team": "core"});
    let told = variables(
        [
            "--set=TEAM=metadata.labels['team']",
            "--set=CPUS=limits.cpu",
            "--set=HEAP_MB=limits.memory*75%/1Mi",
            "--set=GOMEMLIMIT=limits.memory*90%",
        ],
        &pod,
    );
    for (name, value) in [("TEAM", "core"), ("CPUS", "3"), ("HEAP_MB", "768"), ("GOMEMLIMIT", "966367641")] {
        assert_eq!(told[name], value, "{name}");
    }
}

#[test]
fn a_mistake_names_what_is_nearest_or_valid() {
    for (expression, says) in [
        ("spec.nodename", "did you mean spec.nodeName?"),
        ("metadata.nam", "did you mean metadata.name?"),
        ("status.podip", "did you mean status.podIP?"),
        ("limits.mem", "did you mean limits.memory?"),
        ("limit.cpu", "did you mean limits.cpu?"),
        ("metadata.label['a']", "did you mean metadata.labels['KEY']?"),
        ("node.labels", "node.labels['KEY']"),
        ("metadata.name['a']", "takes no key"),
        ("metadata.labels[foo]", "metadata.labels['KEY']"),
        ("hello", "--set V: not a field (introspod help fields). Constants belong in the manifest's env"),
        ("2", "Constants belong in the manifest's env"),
        ("'text'", "Constants belong in the manifest's env"),
        ("limits.cpu:-none", "at byte 13: not a field"),
        ("limits.cpu:-'none", "has no closing single quote"),
        ("limits.cpu:-", "at byte 13: expected a field"),
        ("limits.memory-64Mi", "- needs a blank on each side"),
        ("limits.memory/0*1", "division by zero"),
        ("75%", "a percentage must be multiplied"),
        ("$(A", "no closing parenthesis"),
        ("$(date +%s)", "expected"),
        ("metadata.labels['a b']", "invalid key"),
        ("limits.hugepages-", "not a field"),
        ("limits.nvidia.com/gpu", "not a field"),
    ] {
        let outcome = run(introspod(["print", "--set", &format!("V={expression}")])).expect_code(2);
        let line = only_line(&outcome);
        assert!(line.starts_with("introspod: error: ") && line.contains(says), "{expression}: {line}");
    }
}

#[test]
fn names_of_variables_are_checked() {
    for set in ["=metadata.name", "é=metadata.name", "A"] {
        let outcome = run(introspod(["print", "--set", set])).expect_code(2);
        assert_eq!(lines(&outcome).len(), 1, "{outcome:?}");
    }
    let told = variables(["--set", "_a1=metadata.name"], &crate::made::pod(json!({})));
    assert_eq!(told["_a1"], "web-0");
}

#[test]
fn a_variable_that_is_set_twice_is_a_usage_error() {
    let outcome =
        run(introspod(["print", "--set", "A=metadata.name", "--set", "A=metadata.uid"])).expect_code(2);
    assert!(only_line(&outcome).contains("--set A is given twice"));
    let outcome = run(introspod(["exec", "--set", "A=metadata.name", "--set=A=metadata.name", "true"]));
    assert!(only_line(&outcome.expect_code(125)).contains("--set A is given twice"));
}
