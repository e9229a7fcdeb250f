//! downwardAPI volumes.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use crate::facts::field::{Field, Kind, List, Row, TABLE};
use crate::facts::{Told, Value};
use crate::kubernetes::key_value;
use crate::kubernetes::quantity::Quantity;
use crate::system::root::Directory;
use crate::system::surroundings::Surroundings;

/// Where volumes are by convention: the Kubernetes documentation's place, and that of
/// *Kubernetes in Action*. Other mounts are not looked at: a Secret looks just the same.
pub(crate) const DEFAULT_PLACES: [&str; 2] = ["/etc/podinfo", "/etc/downward"];

/// The link that the kubelet swaps when the volume changes
/// (`pkg/volume/util/atomic_writer.go`).
pub(crate) const DATA: &str = "..data";

/// How often a volume that changes while it is read is read again. The kubelet changes it at most
/// every second or so, and reading takes a fraction of a millisecond.
const ATTEMPTS: usize = 100;

/// Annotations of the kubelet's own; a restarted kubelet changes them
/// (`pkg/kubelet/types/pod_update.go`).
const KUBELET_ANNOTATIONS: &str = "kubernetes.io/config.";

/// Whether the annotation `key` is the kubelet's own, and none of the pod's.
pub(crate) fn is_of_kubelet(key: &str) -> bool {
    key.starts_with(KUBELET_ANNOTATIONS)
}

/// Tells what the files of the volumes say.
pub(crate) fn tell(surroundings: &Surroundings) -> Told {
    let mut told = Told::default();
    let places = places(surroundings);
    for place in &places {
        if let Err(error) = tell_volume(surroundings, place, &mut told) {
            let place = surroundings.root.display(place);
            match error.kind() {
                io::ErrorKind::NotFound if surroundings.volumes.is_empty() => {}
                io::ErrorKind::NotADirectory => {
                    told.broken(format!("{place}: it is not a directory, so not a downwardAPI volume"));
                }
                _ => told.broken(format!("{place}: {error}; is the downwardAPI volume mounted there?")),
            }
        }
    }
    if told.values.is_empty() && told.notes.is_empty() {
        let places: Vec<_> = places.iter().map(|place| surroundings.root.display(place)).collect();
        told.absent(format!(
            "no downwardAPI volume with files of known names is mounted at {}; --volume names another place",
            places.join(" or ")
        ));
    }
    told
}

/// The directories that are looked at.
fn places(surroundings: &Surroundings) -> Vec<PathBuf> {
    match surroundings.volumes.is_empty() {
        true => DEFAULT_PLACES.iter().map(PathBuf::from).collect(),
        false => surroundings.volumes.clone(),
    }
}

fn tell_volume(surroundings: &Surroundings, place: &Path, told: &mut Told) -> io::Result<()> {
    let volume = surroundings.root.directory(place)?;
    // Held open, the directory behind the link stays the same when the kubelet swaps the link, but
    // is emptied right after: what was read is whole if the link is still the same.
    for _ in 0..ATTEMPTS {
        let data = data(&volume)?;
        let read = read_version(data.as_ref().unwrap_or(&volume), surroundings, place)?;
        if !is_swapped(&volume, data.as_ref()) {
            told.values.extend(read.values);
            told.notes.extend(read.notes);
            return Ok(());
        }
    }
    Err(io::Error::other("it changes faster than it can be read"))
}

/// The directory that the volume's link names, if there is a link.
fn data(volume: &Directory) -> io::Result<Option<Directory>> {
    // The kernel may follow the link just when what it named is removed: then it names another.
    for _ in 0..3 {
        match volume.directory(DATA) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            data => return data.map(Some),
        }
    }
    Ok(None)
}

/// Whether the link names another directory than `data` by now.
fn is_swapped(volume: &Directory, data: Option<&Directory>) -> bool {
    let Some(data) = data else { return false };
    volume.directory(DATA).map_or(true, |now| !now.is(data))
}

fn read_version(directory: &Directory, surroundings: &Surroundings, place: &Path) -> io::Result<Told> {
    let mut told = Told::default();
    for name in directory.names()? {
        let Some(meaning) = meaning(&name) else { continue };
        // Seldom needed, and not for nothing to be had.
        let path = || surroundings.root.display(&place.join(&name));
        match directory.read(&name) {
            Ok(content) => match String::from_utf8(content) {
                Ok(text) => meaning.tell(&path, text, &mut told),
                Err(_) => told.broken(format!("{}: it is not UTF-8; it is not used", path())),
            },
            Err(error) => told.broken(format!("{}: {error}; it is not used", path())),
        }
    }
    Ok(told)
}

/// What a file's name says that it holds.
enum Meaning {
    Text(&'static Row),
    Map(Field),
    Resource(Field, &'static str),
    WithoutUnit,
}

fn meaning(name: &str) -> Option<Meaning> {
    if let Some(row) = TABLE.iter().find(|row| !row.files.is_empty() && row.files.contains(&name)) {
        return Some(match row.kind {
            Kind::Map => Meaning::Map(row.field()),
            _ => Meaning::Text(row),
        });
    }
    resource_file(name)
}

/// Resource files by the unit that their names promise.
#[rustfmt::skip]
const RESOURCE_FILES: [(&str, List, &str, &str); 10] = [
    ("containerCpuLimitCores", List::Limits, "cpu", "1"),
    ("containerCpuLimitMilliCores", List::Limits, "cpu", "1m"),
    ("containerCpuRequestCores", List::Requests, "cpu", "1"),
    ("containerCpuRequestMilliCores", List::Requests, "cpu", "1m"),
    ("containerMemoryLimitBytes", List::Limits, "memory", "1"),
    ("containerMemoryLimitKibiBytes", List::Limits, "memory", "1Ki"),
    ("containerMemoryLimitMebiBytes", List::Limits, "memory", "1Mi"),
    ("containerMemoryRequestBytes", List::Requests, "memory", "1"),
    ("containerMemoryRequestKibiBytes", List::Requests, "memory", "1Ki"),
    ("containerMemoryRequestMebiBytes", List::Requests, "memory", "1Mi"),
];

/// Names as the Kubernetes documentation has them, which do not say in what unit their number is.
const WITHOUT_UNIT: [&str; 6] =
    ["cpuLimit", "cpuRequest", "memLimit", "memRequest", "memoryLimit", "memoryRequest"];

fn resource_file(name: &str) -> Option<Meaning> {
    if !["container", "cpu", "mem"].iter().any(|start| name.starts_with(start)) {
        return None;
    }
    let is = |camel: &str| name == camel || is_separated(name, camel);
    if let Some((_, list, resource, unit)) = RESOURCE_FILES.iter().find(|(camel, ..)| is(camel)) {
        let field = Field::Resource(*list, Cow::Borrowed(resource));
        return Some(Meaning::Resource(field, unit));
    }
    WITHOUT_UNIT.iter().any(|camel| is(camel)).then_some(Meaning::WithoutUnit)
}

/// Whether `name` is `camel` in lower case with `_` between words: `container_cpu_limit_cores`.
fn is_separated(name: &str, camel: &str) -> bool {
    name.contains('_') && name.replace('_', "") == camel.to_ascii_lowercase()
}

impl Meaning {
    fn tell(self, path: &dyn Fn() -> String, text: String, told: &mut Told) {
        match self {
            Meaning::Text(row) if row.kind.accepts(&text) => told.text(row.field(), text),
            Meaning::Text(_) if text.is_empty() => {}
            Meaning::Text(row) => told.broken_field(
                row.field(),
                format!("{}: the content is not {}; it is not used", path(), row.kind.noun()),
            ),
            Meaning::Map(field) => tell_map(field, path, &text, told),
            Meaning::Resource(field, unit) => match text.trim().parse::<u64>() {
                Ok(number) => {
                    // 0 stands for a request that is not set.
                    let quantity = Quantity::of_units(number, unit).filter(|quantity| !quantity.is_zero());
                    told.values.extend(quantity.map(|quantity| (field, Value::Quantity(quantity))));
                }
                Err(_) => told.broken(format!("{}: {text:?} is not a number; it is not used", path())),
            },
            Meaning::WithoutUnit => told.absent(format!(
                "{} is a number without a unit in its name, so it is not used: \
                 name the file containerCpuLimitMilliCores or containerMemoryLimitBytes, after its divisor",
                path()
            )),
        }
    }
}

fn tell_map(field: Field, path: &dyn Fn() -> String, text: &str, told: &mut Told) {
    let (mut map, broken) = key_value::parse(text);
    for line in broken {
        told.broken(format!("{}: line {}: {}; the other lines are used", path(), line.number, line.reason));
    }
    if field == Field::Annotations {
        map.retain(|key, _| !is_of_kubelet(key));
    }
    told.value(field, Value::Map(map));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str) -> Option<(String, &'static str)> {
        match meaning(name)? {
            Meaning::Resource(field, unit) => Some((field.path(), unit)),
            _ => None,
        }
    }

    #[test]
    fn resource_files_say_their_unit() {
        let known = |path: &str, unit| Some((path.to_owned(), unit));
        assert_eq!(resource("containerCpuLimitMilliCores"), known("limits.cpu", "1m"));
        assert_eq!(resource("container_cpu_request_cores"), known("requests.cpu", "1"));
        assert_eq!(resource("container_memory_limit_mebi_bytes"), known("limits.memory", "1Mi"));
        assert_eq!(resource("containerMemoryRequestBytes"), known("requests.memory", "1"));
        for name in ["containerCpuLimitBytes", "ContainerCpuLimitCores", "memLimitMi", "x_limit"] {
            assert!(meaning(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_not_known() {
        for name in ["cpu_limit", "mem_request", "cpuLimit", "memory_limit"] {
            assert!(matches!(meaning(name), Some(Meaning::WithoutUnit)), "{name}");
        }
    }
}
