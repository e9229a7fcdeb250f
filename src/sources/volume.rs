//! downwardAPI volumes.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::facts::field::{Field, Kind};
use crate::facts::subject::Subject;
use crate::facts::{Report, Value};
use crate::kubernetes::key_value;
use crate::kubernetes::quantity::Quantity;
use crate::sources::environment::in_unit;
use crate::sources::token::unreadable_by_user;
use crate::system::root::Directory;
use crate::system::surroundings::Surroundings;

/// The usual directories of volumes, from the Kubernetes documentation and *Kubernetes in Action*. Other
/// mounts are not read, because a Secret looks the same.
pub(crate) const DEFAULT_PLACES: [&str; 2] = ["/etc/podinfo", "/etc/downward"];

/// The link that the kubelet replaces when the volume changes
/// (`pkg/volume/util/atomic_writer.go`).
pub(crate) const DATA: &str = "..data";

/// The number of attempts to read a volume that changes during the read. The kubelet changes it at most
/// about once a second, and a read needs less than a millisecond.
const ATTEMPTS: usize = 100;

/// Annotations that the kubelet adds. They change when the kubelet restarts
/// (`pkg/kubelet/types/pod_update.go`).
const KUBELET_ANNOTATIONS: &str = "kubernetes.io/config.";

/// Whether the kubelet added the annotation `key`.
pub(crate) fn is_of_kubelet(key: &str) -> bool {
    key.starts_with(KUBELET_ANNOTATIONS)
}

/// Reads the files of the volumes that are about the pod or `subject`.
pub(crate) fn read(surroundings: &Surroundings, subject: &Subject) -> Report {
    let mut report = Report::default();
    let places = places(surroundings);
    for place in &places {
        if let Err(error) = read_volume(surroundings, place, subject, &mut report) {
            let place = surroundings.root.display(place);
            match error.kind() {
                io::ErrorKind::NotFound if surroundings.volumes.is_empty() => {}
                io::ErrorKind::NotADirectory => {
                    report.broken(format!("{place}: not a directory, so not a downwardAPI volume"));
                }
                io::ErrorKind::CrossesDevices => {
                    report.broken(format!("{place}/{DATA}: {}; the volume is not used", describe(&error)));
                }
                _ => report.broken(format!("{place}: {error}; is the downwardAPI volume mounted there?")),
            }
        }
    }
    if report.values.is_empty() && report.notes.is_empty() {
        let places: Vec<_> = places.iter().map(|place| surroundings.root.display(place)).collect();
        report.absent(format!(
            "no downwardAPI volume with files of known names is mounted at {}; --volume names another place",
            places.join(" or ")
        ));
    }
    report
}

/// The mount points in `places` of subPaths of volumes, whose files never change (`volumeMounts[].subPath`, Kubernetes
/// API reference).
pub(crate) fn sub_paths<'a>(
    surroundings: &'a Surroundings,
    places: &'a [PathBuf],
) -> impl Iterator<Item = PathBuf> + 'a {
    // Only volumes that the kubelet updates have versions. A subPath of an emptyDir does change.
    let mounts = surroundings.mounts().into_iter().flatten();
    let versions = mounts.filter(|mount| mount.root().split('/').any(|part| part.starts_with("..")));
    let points = versions.map(|mount| PathBuf::from(mount.mount_point().into_owned()));
    points.filter(|point| places.iter().any(|place| point == place || point.parent() == Some(place)))
}

/// Whether the file of `field` is mounted by subPath.
pub(crate) fn is_by_sub_path(surroundings: &Surroundings, field: Field) -> bool {
    let places = places(surroundings);
    sub_paths(surroundings, &places).any(|point| {
        let name = point.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        places.contains(&point) || field.files.contains(&name)
    })
}

/// The directories to read.
fn places(surroundings: &Surroundings) -> Vec<PathBuf> {
    if surroundings.volumes.is_empty() {
        return DEFAULT_PLACES.iter().map(PathBuf::from).collect();
    }
    surroundings.volumes.clone()
}

fn read_volume(
    surroundings: &Surroundings,
    place: &Path,
    subject: &Subject,
    report: &mut Report,
) -> io::Result<()> {
    let volume = surroundings.root.directory(place)?;
    report
        .extend(read_published(&volume, |published| read_version(published, surroundings, place, subject))?);
    Ok(())
}

/// Reads the published version of a volume: the directory that the link leads to, or `volume` itself without such a
/// link.
///
/// # Errors
/// Those of `read`, of `openat2(2)` and of [`settled`].
pub(crate) fn read_published<T>(
    volume: &Directory,
    mut read: impl FnMut(&Directory) -> io::Result<T>,
) -> io::Result<T> {
    settled(volume, || match volume.directory(DATA) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => read(volume),
        version => read(&version?),
    })?
}

/// What `read` answers while the link of `volume` stays the same.
///
/// The kubelet replaces the link, and then empties and removes the old version. The link is never absent. So a read during a
/// swap may find less or nothing.
///
/// # Errors
/// The link changes faster than the volume can be read.
pub(crate) fn settled<T>(volume: &Directory, mut read: impl FnMut() -> T) -> io::Result<T> {
    for _ in 0..ATTEMPTS {
        let link = volume.link(DATA);
        let answer = read();
        if volume.link(DATA) == link {
            return Ok(answer);
        }
    }
    Err(io::Error::other("the volume changes faster than it can be read"))
}

fn read_version(
    directory: &Directory,
    surroundings: &Surroundings,
    place: &Path,
    subject: &Subject,
) -> io::Result<Report> {
    let mut report = Report::default();
    let mut unreadable = Vec::new();
    for name in directory.names()? {
        let Some(meaning) = meaning_for(&name, subject) else { continue };
        let path = || surroundings.root.display(&place.join(&name));
        match meaning.read(&path, directory, &name, &mut report) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unreadable.push(path()),
            // The link of a file can be there before the file is.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                report.absent(format!("{}: a link to no file; not used", path()));
            }
            Err(error) => report.broken(format!("{}: {}; not used", path(), describe(&error))),
            Ok(()) => {}
        }
    }
    if !unreadable.is_empty() {
        report.broken(unreadable_by_user(&unreadable));
    }
    Ok(report)
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::CrossesDevices => "the link leads out of the volume".to_owned(),
        io::ErrorKind::InvalidData => "not valid UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// The meaning of a file, according to its name.
enum Meaning {
    Field(Field),
    /// A quantity in this unit.
    Resource(Field, &'static str),
    WithoutUnit,
}

/// The meaning of the file `name` for `subject`. A resource is that of the container whose name comes before a dot, as in an
/// item with `containerName`. Without a dot it is that of the container that mounts the volume.
fn meaning_for(name: &str, subject: &Subject) -> Option<Meaning> {
    match (name.split_once('.'), subject) {
        (Some((container, file)), subject) if subject.name() == Some(container) => resource_file(file),
        (Some(_), _) => None,
        (None, Subject::Own { .. }) => meaning(name),
        (None, _) => meaning(name).filter(|meaning| matches!(meaning, Meaning::Field(_))),
    }
}

fn meaning(name: &str) -> Option<Meaning> {
    let field = Field::all().find(|field| field.files.contains(&name));
    field.map(Meaning::Field).or_else(|| resource_file(name))
}

/// Names of resource files, with the unit that they state.
#[rustfmt::skip]
const RESOURCE_FILES: [(&str, Field, &str); 10] = [
    ("containerCpuLimitCores", Field::CPU_LIMIT, "1"),
    ("containerCpuLimitMilliCores", Field::CPU_LIMIT, "1m"),
    ("containerCpuRequestCores", Field::CPU_REQUEST, "1"),
    ("containerCpuRequestMilliCores", Field::CPU_REQUEST, "1m"),
    ("containerMemoryLimitBytes", Field::MEMORY_LIMIT, "1"),
    ("containerMemoryLimitKibiBytes", Field::MEMORY_LIMIT, "1Ki"),
    ("containerMemoryLimitMebiBytes", Field::MEMORY_LIMIT, "1Mi"),
    ("containerMemoryRequestBytes", Field::MEMORY_REQUEST, "1"),
    ("containerMemoryRequestKibiBytes", Field::MEMORY_REQUEST, "1Ki"),
    ("containerMemoryRequestMebiBytes", Field::MEMORY_REQUEST, "1Mi"),
];

/// Names from the Kubernetes documentation that do not state the unit.
const WITHOUT_UNIT: [&str; 6] =
    ["cpuLimit", "cpuRequest", "memLimit", "memRequest", "memoryLimit", "memoryRequest"];

fn resource_file(name: &str) -> Option<Meaning> {
    if !["container", "cpu", "mem"].iter().any(|start| name.starts_with(start)) {
        return None;
    }
    let is = |camel: &str| name == camel || is_separated(name, camel);
    if let Some((_, field, unit)) = RESOURCE_FILES.iter().find(|(camel, ..)| is(camel)) {
        return Some(Meaning::Resource(*field, unit));
    }
    WITHOUT_UNIT.iter().any(|camel| is(camel)).then_some(Meaning::WithoutUnit)
}

/// Whether `name` is `camel` in lower case with `_` between words: `container_cpu_limit_cores`.
fn is_separated(name: &str, camel: &str) -> bool {
    name.contains('_') && name.replace('_', "") == camel.to_ascii_lowercase()
}

impl Meaning {
    /// Reads the file `name` in `directory`. Messages show it as `path`.
    fn read(
        self,
        path: &dyn Fn() -> String,
        directory: &Directory,
        name: &str,
        report: &mut Report,
    ) -> io::Result<()> {
        match self {
            Meaning::Field(field) if field.kind == Kind::Map => {
                read_map(field, path, directory.file(name)?, report)?;
            }
            Meaning::Field(field) => match read_short(directory, name)? {
                text if field.kind.accepts(&text) => report.text(field, text),
                text if text.is_empty() => {}
                _ => report.broken_field(
                    field,
                    format!("{}: the content is not {}; not used", path(), field.kind.noun()),
                ),
            },
            Meaning::Resource(field, unit) => {
                let text = read_short(directory, name)?;
                match text.trim().parse::<u64>() {
                    Ok(number) => {
                        // 0 means that no request is set.
                        let quantity = Quantity::of_units(number, unit).filter(|it| !it.is_zero());
                        report.values.extend(quantity.map(|quantity| (field, in_unit(quantity, unit))));
                    }
                    Err(_) => report.broken(format!("{}: {text:?} is not a number; not used", path())),
                }
            }
            Meaning::WithoutUnit => report.absent(format!(
                "{} is a number without a unit in its name, so it is not used: \
                 name the file containerCpuLimitMilliCores or containerMemoryLimitBytes, after its divisor",
                path()
            )),
        }
        Ok(())
    }
}

/// The largest file of one value, in bytes. A name, a UID or a number is much shorter.
const SHORT: u64 = 4096;

/// The text of a file of one value.
fn read_short(directory: &Directory, name: &str) -> io::Result<String> {
    let mut text = String::new();
    directory.file(name)?.take(SHORT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SHORT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too long for the value of one field"));
    }
    Ok(text)
}

/// Reads a map line by line, so that the whole text is never in memory.
fn read_map(field: Field, path: &dyn Fn() -> String, file: impl Read, report: &mut Report) -> io::Result<()> {
    let mut reader = key_value::Reader::default();
    let mut file = BufReader::with_capacity(BUFFER, file);
    let mut line = String::new();
    while file.by_ref().take(LONGEST_LINE).read_line(&mut line)? > 0 {
        if !line.ends_with('\n') && line.len() as u64 == LONGEST_LINE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a line is longer than 2 MiB"));
        }
        let added = reader.line(line.strip_suffix('\n').unwrap_or(&line));
        added.map_err(|error| io::Error::new(io::ErrorKind::FileTooLarge, error))?;
        line.clear();
    }
    let (mut map, broken) = reader.finish();
    // A file with a broken line may be that of one label, so the pod may have other labels.
    let is_whole = broken.is_empty();
    for (number, reason) in broken {
        let why = format!("{}: line {number}: {reason}; the other lines are used", path());
        report.broken_field(field, why);
    }
    if field == Field::ANNOTATIONS {
        map.retain(|key, _| !is_of_kubelet(key));
    }
    report.value(field, if is_whole { Value::Map(map) } else { Value::Part(map) });
    Ok(())
}

/// The size of the buffer for a map file, in bytes. Most are smaller.
const BUFFER: usize = 2000;

/// The longest line of a map file, in bytes. Annotations have at most 256 KiB, and a quoted byte needs at
/// most four.
const LONGEST_LINE: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn resource(name: &str) -> Option<(&'static str, &'static str)> {
        match meaning(name)? {
            Meaning::Resource(field, unit) => Some((field.path, unit)),
            _ => None,
        }
    }

    #[test]
    fn resource_files_say_their_unit() {
        let known = |path: &'static str, unit| Some((path, unit));
        assert_eq!(resource("containerCpuLimitMilliCores"), known("limits.cpu", "1m"));
        assert_eq!(resource("container_cpu_request_cores"), known("requests.cpu", "1"));
        assert_eq!(resource("container_memory_limit_mebi_bytes"), known("limits.memory", "1Mi"));
        assert_eq!(resource("containerMemoryRequestBytes"), known("requests.memory", "1"));
        for name in ["containerCpuLimitBytes", "ContainerCpuLimitCores", "memLimitMi", "x_limit"] {
            assert!(meaning(name).is_none(), "{name}");
        }
    }

    /// A volume whose next version is published, and the old one removed, by each call of the answer.
    fn volume() -> (tempfile::TempDir, Directory, impl FnMut()) {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().to_owned();
        let mut count = 0;
        let mut swap = move || {
            let [old, new] = [count, count + 1].map(|count| format!("..{count}"));
            count += 1;
            fs::create_dir(path.join(&new)).unwrap();
            fs::write(path.join(&new).join("podName"), &new).unwrap();
            symlink(new, path.join("..data_tmp")).unwrap();
            fs::rename(path.join("..data_tmp"), path.join(DATA)).unwrap();
            let _ = fs::remove_dir_all(path.join(old));
        };
        swap();
        let volume = Directory::open(top.path()).unwrap();
        (top, volume, swap)
    }

    #[test]
    fn a_read_that_is_overtaken_by_swaps_is_repeated_until_it_is_of_one_version() {
        let (_top, volume, mut swap) = volume();
        for swaps in [0, 1, 2, 50] {
            let mut left = swaps;
            let read = read_published(&volume, |published| {
                if left > 0 {
                    left -= 1;
                    swap();
                }
                read_short(published, "podName")
            });
            assert_eq!(read.unwrap(), volume.link(DATA).0.unwrap().to_str().unwrap(), "{swaps}");
        }
        let read = read_published(&volume, |published| {
            swap();
            published.names()
        });
        assert_ne!(
            read.unwrap_err().kind(),
            io::ErrorKind::NotFound,
            "it is there, and changes at each look"
        );
    }

    #[test]
    fn without_a_link_that_leads_to_a_directory_the_volume_itself_is_read() {
        let (top, volume, mut swap) = volume();
        let is_itself = || read_published(&volume, |published| Ok(published.is(&volume))).unwrap();
        assert!(!is_itself());
        fs::remove_dir_all(top.path().join("..1")).unwrap();
        assert!(is_itself());
        // The link is made during the read.
        fs::remove_file(top.path().join(DATA)).unwrap();
        let mut looks = Vec::new();
        let read = read_published(&volume, |published| {
            looks.push(published.is(&volume));
            if looks.len() == 1 {
                swap();
            }
            Ok(())
        });
        read.unwrap();
        assert_eq!(looks, [true, false]);
    }

    #[test]
    fn a_number_without_a_unit_is_not_known() {
        for name in ["cpu_limit", "mem_request", "cpuLimit", "memory_limit"] {
            assert!(matches!(meaning(name), Some(Meaning::WithoutUnit)), "{name}");
        }
    }
}
