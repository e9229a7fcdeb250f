//! `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// One mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mount<'a> {
    id: &'a str,
    parent: &'a str,
    /// The device of the file system, `major:minor`.
    pub(crate) device: &'a str,
    root: &'a str,
    mount_point: &'a str,
    /// The type of the file system: `ext4`, `cgroup2`.
    pub(crate) file_system: &'a str,
    /// What is mounted: a device, or any word. gVisor shows `none` for everything.
    pub(crate) source: &'a str,
    super_options: &'a str,
}

impl<'a> Mount<'a> {
    /// The path of the mounted directory or file in its file system.
    pub(crate) fn root(&self) -> Cow<'a, str> {
        // The kernel marks a directory or file that was unlinked after the mount.
        unescape(self.root.strip_suffix("//deleted").unwrap_or(self.root))
    }

    /// The path of the mount point.
    pub(crate) fn mount_point(&self) -> Cow<'a, str> {
        unescape(self.mount_point)
    }

    /// Whether the superblock has `option`. The options are comma-separated, and may contain blanks.
    pub(crate) fn has_super_option(&self, option: &str) -> bool {
        self.super_options.split(',').any(|it| it == option)
    }

    /// Whether a sandbox shares the file or directory with its host (gVisor's gofer, Kata's shared directory).
    pub(crate) fn is_shared_by_sandbox(&self) -> bool {
        matches!(self.file_system, "9p" | "virtiofs")
    }
}

/// The number of steps that all lookups together may take. A real tree needs a few for each mount point; a
/// recorded one may have been made to need very many.
const STEPS: usize = 200_000;

/// The mounts that are `wanted` and visible: a lookup of the mount point ends at them, because no other mount of
/// `all` covers them.
pub(crate) fn visible<'m, 'a>(all: &'m [Mount<'a>], wanted: impl Fn(&Mount) -> bool) -> Vec<&'m Mount<'a>> {
    let points: BTreeSet<&str> =
        all.iter().filter(|mount| wanted(mount)).map(|mount| mount.mount_point).collect();
    let mut directory = String::new();
    let mut is_on_the_way = |mount: &&Mount| {
        directory.clear();
        directory += mount.mount_point.trim_end_matches('/');
        directory.push('/');
        let mut next = points.range::<str, _>((Bound::Included(directory.as_str()), Bound::Unbounded));
        points.contains(mount.mount_point) || next.next().is_some_and(|point| point.starts_with(&directory))
    };
    let on_the_way: Vec<&Mount> = all.iter().filter(|mount| is_on_the_way(mount)).collect();
    let ids: BTreeSet<&str> = on_the_way.iter().map(|mount| mount.id).collect();
    // The parent of the first mount of a lookup is outside this root directory.
    let parent = |mount: &Mount<'a>| match mount.parent != mount.id && ids.contains(mount.parent) {
        true => mount.parent,
        false => "",
    };
    // The last of several mounts at one mount point is on top.
    let children: BTreeMap<_, _> =
        on_the_way.iter().map(|mount| ((parent(mount), mount.mount_point), *mount)).collect();
    let mut steps = STEPS;
    let ends = points.iter().filter_map(|point| lookup(point, &children, &mut steps));
    ends.filter(|mount| wanted(mount)).collect()
}

/// The mount at `path` that a lookup ends at. `children` are the mounts by their parents' IDs and their mount
/// points.
fn lookup<'m, 'a>(
    path: &str,
    children: &BTreeMap<(&str, &str), &'m Mount<'a>>,
    steps: &mut usize,
) -> Option<&'m Mount<'a>> {
    let directories = path.match_indices('/').skip(1).map(|(end, _)| &path[..end]);
    let mut at: Option<&Mount> = None;
    for directory in std::iter::once("/").chain(directories).chain([path]) {
        *steps = steps.checked_sub(1)?;
        while let Some(mount) = children.get(&(at.map_or("", |mount| mount.id), directory)) {
            *steps = steps.checked_sub(1)?;
            at = Some(mount);
        }
    }
    at.filter(|mount| mount.mount_point == path)
}

/// The mounts in `text`. Lines that are not valid are skipped.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    let lines = Parts { text, end: b'\n' };
    let last = text.rfind('\n').map_or(text, |end| &text[end + 1..]);
    lines.chain([last]).filter_map(parse_line)
}

// Mount ID, parent ID, major:minor, root, mount point, options, any number of optional fields,
// a hyphen, then file system, source, super options.
fn parse_line(line: &str) -> Option<Mount<'_>> {
    let mut fields = Parts { text: line, end: b' ' };
    let (id, parent, device) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, mount_point, _options) = (fields.next()?, fields.next()?, fields.next()?);
    fields.find(|field| *field == "-")?;
    let (file_system, source) = (fields.next()?, fields.next()?);
    let super_options = fields.text;
    let mount = Mount { id, parent, device, root, mount_point, file_system, source, super_options };
    (!super_options.is_empty()).then_some(mount)
}

/// The parts of a text, each of which ends in the byte `end`. The rest of the text stays in the struct.
struct Parts<'a> {
    text: &'a str,
    end: u8,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let end = memchr::memchr(self.end, self.text.as_bytes())?;
        let (part, rest) = self.text.split_at_checked(end)?;
        self.text = rest.get(1..)?;
        Some(part)
    }
}

/// Undoes the kernel's `\ooo` for blank, tab, newline, backslash (`mangle` in `fs/proc_namespace.c`).
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        match octal(&bytes[position..]) {
            Some(byte) => {
                plain.push(byte);
                position += 4;
            }
            None => {
                plain.push(bytes[position]);
                position += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = bytes.get(..4)? else { return None };
    digits.iter().try_fold(0u8, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(line: &str) -> Mount<'_> {
        parse(line).next().expect("a mount")
    }

    /// Which of the mounts, by their IDs, are visible.
    fn visible(text: &str) -> Vec<&str> {
        let all: Vec<_> = parse(text).collect();
        let visible = super::visible(&all, |_| true);
        all.iter().filter(|mount| visible.contains(mount)).map(|mount| mount.id).collect()
    }

    #[test]
    fn a_mount_on_top_of_another_covers_it_and_what_is_below() {
        let root =
            "1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / /sys rw - sysfs s rw\n3 2 0:3 / /sys/fs rw - tmpfs t rw\n";
        assert_eq!(visible(root), ["1", "2", "3"]);
        assert_eq!(visible(&format!("{root}4 3 0:4 / /sys/fs rw - cgroup2 c rw\n")), ["1", "2", "4"]);
        assert_eq!(visible(&format!("{root}4 2 0:4 / /sys rw - sysfs s rw\n")), ["1", "4"]);
        let both = format!("{root}4 2 0:4 / /sys rw - sysfs s rw\n5 4 0:5 / /sys/fs rw - tmpfs t rw\n");
        assert_eq!(visible(&both), ["1", "4", "5"]);
        // A directory that the mount point's name begins with is another one.
        assert_eq!(visible(&format!("{root}4 1 0:4 / /s rw - tmpfs t rw\n")), ["1", "2", "3", "4"]);
    }

    #[test]
    fn a_tree_without_a_root_or_with_a_circle_ends() {
        assert_eq!(visible("7 6 0:1 / /a rw - tmpfs t rw\n9 8 0:1 / /b rw - tmpfs t rw\n"), ["7", "9"]);
        assert_eq!(visible("1 1 0:1 / / rw - tmpfs t rw\n"), ["1"]);
        visible("1 2 0:1 / / rw - tmpfs t rw\n2 1 0:1 / / rw - tmpfs t rw\n");
    }

    #[test]
    fn blanks_are_escaped_in_octal() {
        let mount = only(r"1 2 7:0 /a\040b\134040 /by\040sub\011path rw - ext4 /dev/loop0 rw");
        assert_eq!(mount.root(), r"/a b\040");
        assert_eq!(mount.mount_point(), "/by sub\tpath");
    }

    #[test]
    fn optional_fields_are_any_number() {
        for optional in ["", "master:1 ", "shared:1 master:2 propagate_from:3 unbindable "] {
            let line = format!("1 2 0:1 /r /m rw {optional}- cgroup cgroup rw,cpu,cpuacct");
            let mount = only(&line);
            assert_eq!(mount.file_system, "cgroup");
            assert!(mount.has_super_option("cpuacct"));
            assert!(!mount.has_super_option("cp"));
        }
    }

    #[test]
    fn super_options_may_hold_blanks() {
        let mount = only("1 2 0:1 / /m rw - overlay overlay rw,lowerdir=/a b,last");
        assert!(mount.has_super_option("lowerdir=/a b"));
        assert!(mount.has_super_option("last"));
    }

    #[test]
    fn a_hyphen_may_be_a_mount_point() {
        assert_eq!(only("1 2 0:1 / - rw - ext4 /dev/sda rw").mount_point(), "-");
    }

    #[test]
    fn what_was_unlinked_is_marked() {
        assert_eq!(only("1 2 0:1 /a//deleted /m rw - ext4 d rw").root(), "/a");
    }

    #[test]
    fn broken_lines_are_skipped() {
        for line in ["", "1 2 3", "1 2 0:1 / /m rw", "1 2 0:1 / /m rw - ext4", " - - - "] {
            assert_eq!(parse(line).next(), None, "{line:?}");
        }
    }
}
