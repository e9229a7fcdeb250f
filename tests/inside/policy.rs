//! A unit test of [`super::field`], outside of the program's own sources.
//!
//! The admission policy in `examples/admission-policy` sets variables without this program: its names,
//! fields, units and order must be those of the table of fields.

use yaml_rust2::YamlLoader;

use super::field::{Field, Kind};

const POLICY: &str = include_str!("../../examples/admission-policy/variables.yaml");
const README: &str = include_str!("../../examples/admission-policy/README.md");
/// The API server does not know these when it creates the pod, and the kubelet has no field for them.
const LEFT_OUT: [&str; 6] =
    ["NODE_UID", "CONTAINER_ID", "CONTAINER_IMAGE", "CONTAINER_IMAGE_ID", "POD_QOS_CLASS", "CLUSTER_DOMAIN"];

/// The expression of one of the policy's variables.
fn expression(name: &str) -> String {
    let documents = YamlLoader::load_from_str(POLICY).unwrap();
    let variables = documents[1]["spec"]["variables"].as_vec().unwrap().clone();
    let variable = variables.iter().find(|variable| variable["name"].as_str() == Some(name)).unwrap();
    variable["expression"].as_str().unwrap().to_owned()
}

/// The expression that sets variables, which the API server evaluates first.
fn mutation() -> String {
    let documents = YamlLoader::load_from_str(POLICY).unwrap();
    documents[1]["spec"]["mutations"][0]["jsonPatch"]["expression"].as_str().unwrap().to_owned()
}

/// The lists in an expression that begin with a variable's name, up to the first non-literal: `['NAME', 'text']`.
fn lists(expression: &str) -> Vec<Vec<&str>> {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    expression
        .split('[')
        .filter_map(|rest| rest.split(']').next())
        .map(|list| list.split(", ").map_while(|item| item.strip_prefix('\'')?.strip_suffix('\'')).collect())
        .filter(|list: &Vec<&str>| list.first().is_some_and(|name| is_name(name)))
        .collect()
}

fn field(variable: &str) -> Field {
    Field::of_variable(variable).unwrap_or_else(|| panic!("{variable}"))
}

#[test]
fn the_policy_sets_the_tables_variables_in_the_tables_order() {
    let mutation = mutation();
    let parts = ["variables.fields", "variables.resources", "['CONTAINER_NAME', ", "variables.values"];
    let places: Vec<_> = parts.iter().map(|part| mutation.find(part).unwrap()).collect();
    assert!(places.is_sorted(), "{mutation}");
    let (fields, resources, values) = (expression("fields"), expression("resources"), expression("values"));
    let lists: Vec<_> =
        [&fields, &resources, &mutation, &values].into_iter().flat_map(|part| lists(part)).collect();
    let set: Vec<&str> = lists.iter().map(|list| list[0]).collect();
    let table = Field::all().filter_map(|field| field.variable);
    let known: Vec<&str> = table.filter(|variable| !LEFT_OUT.contains(variable)).collect();
    assert_eq!(set, known);
}

#[test]
fn the_policy_takes_each_variable_from_its_field() {
    for list in lists(&expression("fields")) {
        assert_eq!(list[1..], [field(list[0]).path], "{}", list[0]);
    }
}

#[test]
fn the_policy_takes_resources_in_the_tables_units() {
    for list in lists(&expression("resources")) {
        let [variable, of, resource, divisor] = list[..] else { panic!("{list:?}") };
        assert_eq!(format!("{of}.{resource}"), field(variable).path);
        let Kind::Resource { unit, .. } = field(variable).kind else { panic!("{variable} is no resource") };
        assert_eq!(divisor, unit, "{variable}");
    }
}

/// What the policy adds beside them for OpenTelemetry, the program reads as the same fields.
#[test]
fn the_policys_variables_for_opentelemetry_are_spellings_in_the_table() {
    let telemetry = expression("telemetry");
    let lists = lists(&telemetry);
    assert_eq!(lists.len(), 3);
    for list in lists {
        let field = Field::of_path(list[1]).unwrap();
        assert!(field.spellings.contains(&list[0]), "{}", list[0]);
    }
}

#[test]
fn the_readme_names_what_the_policy_leaves_out() {
    let item = README.split("- Not added: ").nth(1).unwrap().split("\n- ").next().unwrap();
    let named: Vec<&str> = item.split('`').skip(1).step_by(2).collect();
    assert_eq!(named[..LEFT_OUT.len()], LEFT_OUT);
}
