//! `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::borrow::Cow;
use std::cmp::Reverse;

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

    /// Whether it is mounted at `path`, in which the kernel escapes nothing.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.mount_point == path
    }

    /// Whether the superblock has `option`. The options are comma-separated, and may contain blanks.
    pub(crate) fn has_super_option(&self, option: &str) -> bool {
        self.super_options.split(',').any(|it| it == option)
    }

    /// Whether a sandbox shares the file or directory with its host (gVisor's gofer, Kata's shared directory).
    pub(crate) fn is_shared_by_sandbox(&self) -> bool {
        matches!(self.file_system, "9p" | "virtiofs")
    }

    /// Whether a lookup of its mount point ends at it, because no other mount of `all` covers it. `all` are at least the mounts
    /// that it is below.
    fn is_visible(&self, all: &[Mount]) -> bool {
        let mut on_the_way: Vec<&Mount> = all.iter().filter(|it| self.is_below(it)).collect();
        let has = |id: &str| on_the_way.iter().any(|it| it.id == id);
        let Some(first) = on_the_way.iter().find(|it| !has(it.parent)) else { return false };
        let (mut parent, mut end) = (first.parent, None);
        on_the_way.sort_by_key(|it| it.parent);
        for _ in 0..=on_the_way.len() {
            let start = on_the_way.partition_point(|it| it.parent < parent);
            let children = on_the_way[start..].iter().take_while(|it| it.parent == parent);
            // The last of several mounts at one mount point is on top.
            match children.max_by_key(|it| Reverse(it.mount_point.len())) {
                Some(entered) => (parent, end) = (entered.id, Some(entered.id)),
                None => return end == Some(self.id),
            }
        }
        false
    }

    /// Whether its mount point is `other`'s or below it.
    fn is_below(&self, other: &Mount) -> bool {
        let directory = other.mount_point.strip_suffix('/').unwrap_or(other.mount_point);
        let below = self.mount_point.strip_prefix(directory);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

/// Those of `some` that a lookup of their mount points ends at, because no other mount of `all` covers them.
pub(crate) fn visible<'a>(some: Vec<Mount<'a>>, all: impl Iterator<Item = Mount<'a>>) -> Vec<Mount<'a>> {
    let on_the_way: Vec<Mount> = all.filter(|it| some.iter().any(|mount| mount.is_below(it))).collect();
    some.into_iter().filter(|mount| mount.is_visible(&on_the_way)).collect()
}

/// The mounts in `text`. Lines that are not valid are skipped.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.split('\n').filter_map(parse_line)
}

/// The mounts in `text` whose lines have one of `parts` in them. The others are not parsed.
pub(crate) fn parse_with<'a>(text: &'a str, parts: &'static [&str]) -> impl Iterator<Item = Mount<'a>> {
    let with = text.split('\n').filter(|line| parts.iter().any(|part| line.contains(part)));
    with.filter_map(parse_line)
}

// Mount ID, parent ID, major:minor, root, mount point, options, any number of optional fields,
// a hyphen, then file system, source, super options.
fn parse_line(mut line: &str) -> Option<Mount<'_>> {
    let mut field = || {
        let end = line.bytes().position(|byte| byte == b' ')?;
        let field = &line[..end];
        line = &line[end + 1..];
        Some(field)
    };
    let (id, parent, device, root, mount_point) = (field()?, field()?, field()?, field()?, field()?);
    let _options = field()?;
    while field()? != "-" {}
    let (file_system, source, super_options) = (field()?, field()?, line);
    // The first mount of a system is its own parent.
    let parent = if parent == id { "" } else { parent };
    let mount = Mount { id, parent, device, root, mount_point, file_system, source, super_options };
    (!super_options.is_empty()).then_some(mount)
}

/// Undoes the kernel's `\ooo` for blank, tab, newline, backslash (`mangle` in `fs/proc_namespace.c`).
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = octal(rest);
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[4..] } else { after };
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
        let visible = super::visible(all.clone(), all.into_iter());
        visible.iter().map(|mount| mount.id).collect()
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
