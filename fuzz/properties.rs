//! The fuzz targets: one function for each parser of input from outside. It panics if the parser
//! breaks a rule that must hold for any bytes.
//!
//! `fuzz/run` searches for such bytes. `cargo test` runs the inputs in `fuzz/corpus` through the same
//! functions.

#[path = "../tests/outside/kubelet_env/parser.rs"]
mod kubelet_env;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::facts::field::{Field, Source};
use crate::facts::subject::{Asked, Subject};
use crate::facts::wanted::Wanted;
use crate::facts::{Facts, Report, Value};
use crate::kubernetes::image_reference::tag_and_digest;
use crate::kubernetes::key_value;
use crate::kubernetes::quantity::Quantity;
use crate::kubernetes::resource::{is_valid_divisor, resource_field};
use crate::render;
use crate::sources::gather::{Origin, Shared, gather};
use crate::system::environment::Environment;
use crate::system::root::Root;

use crate::sources::api::{Settings, When};
use crate::sources::{self, pod};
use crate::system::mountinfo;
use crate::system::surroundings::Surroundings;
use crate::variables::value::Expression;
use crate::variables::value::evaluate::evaluate;
use crate::variables::value::template::Template;
use crate::variables::variable::{Variable, Variables};
use crate::variables::{Run, Selection};

/// Checks a rule for any bytes, and panics if they break it.
type Target = fn(&[u8]);

/// Every target, with the name of its program and of its directory in the corpus.
const TARGETS: [(&str, Target); 13] = [
    ("cgroup", cgroup),
    ("expression", expression),
    ("files", files),
    ("hosts", hosts),
    ("image", image),
    ("labels", labels),
    ("mountinfo", mounts),
    ("pod", pod_object),
    ("quantity", quantity),
    ("resolv_conf", resolv_conf),
    ("template", template),
    ("token", token),
    ("volume", volume),
];

/// Runs the target `name` on `data`.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(data);
}

/// The report of a source for a container that has only these files.
fn report(read: fn(&Surroundings) -> Report, files: &[(&str, &[u8])], environment: Environment) -> Report {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (path, content) in files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, content).expect("a file");
    }
    let root = Root::open(directory.path()).expect("a root");
    let mut surroundings = Surroundings::new(root, &environment, Instant::now);
    surroundings.environment = Cow::Borrowed(&environment);
    read(&surroundings)
}

/// The reported text of `field`.
fn text_of(report: &Report, field: Field) -> Option<&str> {
    report.values.iter().find(|(known, _)| *known == field).and_then(|(_, value)| value.text())
}

/// The known quantities.
fn resources(facts: &Facts) -> impl Iterator<Item = &Quantity> {
    Field::all().filter_map(|field| match &facts.get(field)?.value {
        Value::Quantity(quantity) => Some(quantity),
        _ => None,
    })
}

/// Splits an input into the contents of several files.
fn parts<const COUNT: usize>(data: &[u8]) -> [&[u8]; COUNT] {
    let mut parts = data.splitn(COUNT, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

fn labels(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let parse = |text: &str| {
        let mut reader = key_value::Reader::default();
        text.split('\n').try_for_each(|line| reader.line(line)).map(|()| reader.finish()).ok()
    };
    let Some((map, broken)) = parse(text) else { return };
    assert!(broken.iter().all(|(number, _)| (1..=text.split('\n').count()).contains(number)));
    let is_read_back = |map: BTreeMap<String, String>| {
        assert_eq!(parse(&key_value::format(&map)), Some((map, Vec::new())));
    };
    is_read_back(map);
    is_read_back(BTreeMap::from([("key".to_owned(), text.to_owned())]));
}

fn token(data: &[u8]) {
    let _ = sources::token::decode(data);
    let claims = serde_json::from_slice::<serde_json::Value>(data).ok().filter(|claims| claims.is_object());
    let token = format!(" e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(data));
    assert_eq!(sources::token::decode(token.as_bytes()).ok(), claims);
    let path = "var/run/secrets/kubernetes.io/serviceaccount/token";
    let report = report(sources::token::read, &[(path, token.as_bytes())], Environment::default());
    assert!(report.values.iter().all(|(_, value)| value.text().is_some_and(|text| !text.is_empty())));
    assert!(claims.is_some() || report.values.is_empty());
    assert!(report.notes.iter().all(|note| !note.text.contains(token.trim())));
}

fn mounts(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    for mount in mountinfo::parse(text) {
        let _ = (mount.root(), mount.mount_point(), mount.has_super_option("memory"));
    }
    let report = report(sources::kubelet::read, &[("proc/self/mountinfo", data)], Environment::default());
    for field in [Field::POD_UID, Field::CONTAINER_NAME] {
        assert!(text_of(&report, field).is_none_or(|name| !name.is_empty() && !name.contains('/')));
    }
    // The kernel writes paths with these escape sequences (`mangle` in `fs/proc_namespace.c`).
    let escaped = |text: &str| -> String {
        let escape = |letter| match letter {
            ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(letter)),
            letter => letter.to_string(),
        };
        text.chars().map(escape).collect()
    };
    // `str::lines` removes a carriage return, and the kernel marks unlinked files.
    if !text.contains('\r') && !text.ends_with("//deleted") {
        let escaped = escaped(text);
        let line = format!("1 2 0:1 {escaped} {escaped} rw master:1 - ext4 /dev/sda rw,a b");
        let mount = mountinfo::parse(&line).next().expect("a mount");
        assert_eq!((&*mount.root(), &*mount.mount_point()), (text, text));
        assert!(mount.has_super_option("a b"));
    }
}

fn hosts(data: &[u8]) {
    let [hostname, hosts] = parts(data);
    let files = [("etc/hosts", hosts), ("etc/hostname", hostname)];
    let report = report(sources::kubelet::read, &files, Environment::default());
    let is_own = |ip: &str| ip.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback());
    match (text_of(&report, Field::POD_IP), text_of(&report, Field::POD_IPS)) {
        (Some(ip), Some(ips)) => {
            assert_eq!(ips.split(',').next(), Some(ip));
            assert!(ips.split(',').all(is_own), "{ips:?}");
        }
        (ip, ips) => assert_eq!((ip, ips), (None, None)),
    }
}

fn resolv_conf(data: &[u8]) {
    let read = |text: &[u8]| {
        let report = report(sources::kubelet::read, &[("etc/resolv.conf", text)], Environment::default());
        let text = |field| text_of(&report, field).map(str::to_owned);
        text(Field::POD_NAMESPACE).zip(text(Field::CLUSTER_DOMAIN))
    };
    if let Some((namespace, domain)) = read(data) {
        let list = format!("search {namespace}.svc.{domain} svc.{domain} {domain}\n");
        assert_eq!(read(list.as_bytes()), Some((namespace, domain)));
    }
}

fn cgroup(data: &[u8]) {
    let [group, memory, cpu, period] = parts(data);
    // The first group is mounted, so that its limits are read. One mount covers the other.
    let text = String::from_utf8_lossy(group);
    let path = text.lines().next().and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or("/");
    let root = path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
    let mountinfo = format!(
        "1 0 0:1 {root} /sys/fs/cgroup rw - cgroup2 cgroup rw\n\
         2 0 0:2 {root} /sys/fs/cgroup/. rw - cgroup cgroup rw,memory,cpu\n"
    );
    let files = [
        ("proc/self/mountinfo", mountinfo.as_bytes()),
        ("proc/self/cgroup", group),
        ("sys/fs/cgroup/memory.max", memory),
        ("sys/fs/cgroup/memory.limit_in_bytes", memory),
        ("sys/fs/cgroup/cpu.max", cpu),
        ("sys/fs/cgroup/cpu.cfs_quota_us", cpu),
        ("sys/fs/cgroup/cpu.cfs_period_us", period),
    ];
    let report = report(sources::cgroup::read, &files, Environment::default());
    if let Some(id) = text_of(&report, Field::CONTAINER_ID) {
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}");
    }
    if let Some(class) = text_of(&report, Field::QOS_CLASS) {
        assert!(["Guaranteed", "Burstable", "BestEffort"].contains(&class), "{class:?}");
    }
    let mut facts = Facts::new(4096);
    facts.add(Source::Cgroup, report.values);
    for quantity in resources(&facts) {
        assert!(quantity.milli_value() > 0 || quantity.value() == 0, "{quantity}");
        assert!(quantity.value() < i64::MAX, "{quantity}: that is no limit");
    }
}

fn quantity(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(quantity) = Quantity::parse(text) else { return };
    let canonical = quantity.to_string();
    let Ok(again) = Quantity::parse(&canonical) else {
        // More than 10²⁹ units are accepted only if they have at most 18 digits in Go.
        assert!([i64::MIN, i64::MAX].contains(&quantity.value()), "{canonical}");
        return;
    };
    // The rounding of negative amounts depends on Go's internal form, which the text does not show.
    if !text.starts_with('-') {
        assert_eq!(again.value(), quantity.value(), "{canonical}");
        assert_eq!(again.milli_value(), quantity.milli_value(), "{canonical}");
    }
    if let Some((value, milli_value)) = calculated(text) {
        assert_eq!((quantity.value(), quantity.milli_value()), (value, milli_value));
    }
    for resource in ["cpu", "memory"] {
        let _ = resource_field(resource, &quantity, &quantity);
    }
}

/// Whole units and thousandths of a short number with a suffix, computed with plain arithmetic.
fn calculated(text: &str) -> Option<(i64, i64)> {
    const SUFFIXES: [(&str, u128, u128); 16] = [
        ("n", 1, 1_000_000_000),
        ("u", 1, 1_000_000),
        ("m", 1, 1000),
        ("k", 1000, 1),
        ("M", 1_000_000, 1),
        ("G", 1_000_000_000, 1),
        ("T", 1_000_000_000_000, 1),
        ("P", 1_000_000_000_000_000, 1),
        ("E", 1_000_000_000_000_000_000, 1),
        ("Ki", 1 << 10, 1),
        ("Mi", 1 << 20, 1),
        ("Gi", 1 << 30, 1),
        ("Ti", 1 << 40, 1),
        ("Pi", 1 << 50, 1),
        ("Ei", 1 << 60, 1),
        ("", 1, 1),
    ];
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (_, times, by) = SUFFIXES.iter().find(|(known, ..)| *known == suffix)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() > 9 {
        return None;
    }
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let per_unit = |fine: u128| {
        // The number is first rounded up to a multiple of 10⁻⁹.
        let nanos = (digits * times * 1_000_000_000).div_ceil(10u128.pow(fraction.len() as u32) * by);
        let nanos = if suffix.ends_with('i') { nanos.min(i64::MAX as u128 * 1_000_000_000) } else { nanos };
        i64::try_from(nanos.div_ceil(1_000_000_000 / fine)).unwrap_or(i64::MAX)
    };
    Some((per_unit(1), per_unit(1000)))
}

/// No container and no environment.
fn nowhere() -> Origin<'static> {
    Origin::Object(serde_json::Value::Null, Environment::default())
}

fn expression(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (text, amount) = text.split_once('\n').unwrap_or((text, "1536Mi"));
    let Ok(expression) = Expression::parse(text) else { return };
    let Ok(amount) = Quantity::parse(amount) else { return };
    let mut facts = Facts::new(4096);
    let labels =
        BTreeMap::from([("team".to_owned(), "core".to_owned()), ("empty".to_owned(), String::new())]);
    facts.add(
        Source::Api,
        vec![
            (Field::POD_NAME, Value::Text("web-0".to_owned())),
            (Field::LABELS, Value::Map(labels)),
            (Field::CPU_LIMIT, Value::Quantity(amount.clone())),
            (Field::MEMORY_LIMIT, Value::Quantity(amount.clone())),
        ],
    );
    let origin = nowhere();
    let run = Run::new(&origin, Selection::default(), (Subject::Pod, facts));
    let lookup = run.lookup();
    let mut missed = Vec::new();
    let Ok(known) = evaluate(&expression, &lookup, &mut missed) else { return };
    let value = String::from_utf8(known.text().into_owned()).expect("all inputs are UTF-8");
    assert!(value.len() <= 1 << 20);
    if let Some(("limits.memory", divisor)) = text.split_once('/')
        && is_valid_divisor("memory", divisor)
    {
        let divisor = Quantity::parse(divisor).expect("a divisor");
        assert_eq!(value, resource_field("memory", &amount, &divisor));
    }
}

/// What has no reference stays, and each unknown reference stays as it is.
fn template(data: &[u8]) {
    let origin = nowhere();
    let run = Run::new(&origin, Selection::default(), (Subject::Pod, Facts::new(4096)));
    let lookup = run.lookup();
    let (template, errors) = Template::parse(data.to_vec());
    assert!(errors.iter().all(|error| error.offset <= data.len()));
    let Some(rendered) = template.render(&lookup, false, 1 << 20) else { return };
    for unknown in &rendered.unknown {
        assert!(unknown.text.starts_with("$(") && unknown.text.ends_with(')') && !unknown.why.is_empty());
    }
    if rendered.unknown.len() == template.expressions().count()
        && !data.windows(3).any(|three| three == b"$$(")
    {
        assert_eq!(rendered.text, data);
    }
}

fn image(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some((tag, digest)) = tag_and_digest(text) else { return };
    let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    assert!(text.ends_with(&format!("{tag}{digest}")) && (tag + &digest).is_ascii());
}

fn volume(data: &[u8]) {
    let [number, labels, environ] = parts(data);
    let files = [
        ("etc/podinfo/containerMemoryLimitMebiBytes", number),
        ("etc/podinfo/container_cpu_request_milli_cores", number),
        ("etc/podinfo/annotations", labels),
    ];
    let entries: Vec<u8> = environ.iter().map(|byte| if *byte == b'\n' { 0 } else { *byte }).collect();
    let environment = Environment::new(entries);
    let both = |surroundings: &Surroundings| {
        let mut both = sources::environment::read(surroundings);
        both.values.extend(sources::volume::read(surroundings, &Subject::Own { name: None }).values);
        both
    };
    let mut facts = Facts::new(4096);
    facts.add(Source::Volume, report(both, &files, environment.clone()).values);
    for quantity in resources(&facts) {
        assert!(quantity.value() > 0, "{quantity}");
    }
    let mut variables = Variables::default();
    crate::variables::otel::add(&facts, &environment, false, &mut variables);
    for (name, variable) in variables.iter() {
        assert!(OTEL.contains(&&**name) && !variable.value.is_empty());
    }
}

/// The variables of `--otel`.
const OTEL: [&str; 2] = ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"];

fn pod_object(data: &[u8]) {
    let Ok(pod) = pod::parse(data, &[]) else { return };
    let named = Asked { container: Some("main".to_owned()), is_beside: false };
    let beside = Asked { container: None, is_beside: true };
    let origin = Origin::Object(pod, Environment::default());
    for asked in [Asked::OWN, named, beside] {
        let settings = Settings { when: When::Never, url: None, timeout: Duration::ZERO };
        let gathered = gather(&origin, &asked, Wanted::default(), &mut Shared::new(settings));
        let selection = Selection { labels: true, annotations: true, otel: true, ..Selection::default() };
        let run = Run::new(&origin, selection, gathered);
        let variables = &run.variables;
        for (name, variable) in variables.iter() {
            let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            let is_ours = Field::of_variable(name).is_some()
                || ["POD_LABEL_", "POD_ANNOTATION_"].iter().any(|prefix| name.starts_with(prefix))
                || OTEL.contains(&&**name);
            assert!(is_ours && name.bytes().all(is_plain), "{name:?}");
            assert!(!variable.value.contains('\0'), "{name}");
        }
        if let Some(attributes) = variables.get(OTEL[0]) {
            for pair in attributes.value.split(',') {
                let (name, value) = pair.split_once('=').expect("a pair");
                assert!(!name.is_empty() && !value.contains('=') && pair.is_ascii(), "{pair:?}");
            }
        }
        are_read_back(&run);
    }
}

fn files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let variable = |value: &str| Variable::new(value.to_owned(), "api");
    let named = |(position, value)| (format!("V{position}"), variable(value));
    let origin = nowhere();
    let mut run = Run::new(&origin, Selection::default(), (Subject::Pod, Facts::new(4096)));
    run.variables.extend(text.split('\u{1f}').enumerate().map(named));
    are_read_back(&run);
}

/// Every format returns its input when it is read. The env format leaves out only values that it cannot
/// represent.
fn are_read_back(run: &Run) {
    let values: BTreeMap<&str, &str> =
        run.variables.iter().map(|(name, variable)| (&**name, &*variable.value)).collect();
    let json: serde_json::Value = serde_json::from_slice(&render::JSON.render(run, None)).expect("JSON");
    for (name, value) in &values {
        assert_eq!(json["variables"][name], **value, "{name}");
    }
    let sh = render::SH.render(run, None);
    assert_eq!(
        read_sh(&sh),
        values.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    );
    let env = read_as_the_kubelet_does(&render::ENV.render(run, None)).expect("an env file");
    for (name, value) in values {
        let alone = format!("{name}='{value}'\n");
        let alone = read_as_the_kubelet_does(alone.as_bytes()).ok();
        let expected = BTreeMap::from([(name.as_bytes().to_vec(), value.as_bytes().to_vec())]);
        let can_be_held = alone == Some(expected) && !value.contains('\0');
        assert_eq!(
            env.get(name.as_bytes()),
            can_be_held.then(|| value.as_bytes().to_vec()).as_ref(),
            "{name}"
        );
    }
}

/// Reads lines `export NAME='value'` as a POSIX shell does. Anything else would be an injection.
fn read_sh(file: &[u8]) -> BTreeMap<String, String> {
    let mut rest = str::from_utf8(file).expect("UTF-8");
    let mut values = BTreeMap::new();
    while !rest.is_empty() {
        let (name, quoted) = rest.strip_prefix("export ").and_then(|it| it.split_once("='")).expect("a name");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name:?}");
        let mut value = String::new();
        let mut quoted = quoted;
        loop {
            let (literal, after) = quoted.split_once('\'').expect("a closing quote");
            value += literal;
            match after.strip_prefix(r"\''") {
                Some(more) => quoted = more,
                None => {
                    rest = after.strip_prefix('\n').expect("the end of the line");
                    break;
                }
            }
            value.push('\'');
        }
        values.insert(name.to_owned(), value);
    }
    values
}

/// The variables that the kubelet reads from an env file: the first assignment of a name wins.
fn read_as_the_kubelet_does(file: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, kubelet_env::Rejected> {
    let mut values = BTreeMap::new();
    for assignment in kubelet_env::assignments(file) {
        let (name, value) = assignment?;
        values.entry(name.to_vec()).or_insert(value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus");

    #[test]
    fn what_fuzzing_has_found_holds() {
        for (name, target) in TARGETS {
            let mut count = 0;
            for file in std::fs::read_dir(Path::new(CORPUS).join(name)).unwrap() {
                let path = file.unwrap().path();
                // The test shows this line if the target panics.
                println!("{}", path.display());
                target(&std::fs::read(path).unwrap());
                count += 1;
            }
            assert!(count > 0, "{name}");
        }
    }

    #[test]
    fn every_directory_of_the_corpus_has_a_target() {
        for directory in std::fs::read_dir(CORPUS).unwrap() {
            let name = directory.unwrap().file_name();
            assert!(TARGETS.iter().any(|(known, _)| name == *known), "{name:?}");
        }
    }
}
