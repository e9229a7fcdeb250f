//! `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::borrow::Cow;

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

    /// Whether no other mount of `all` covers this one: a lookup of its mount point ends at it.
    pub(crate) fn is_visible(&self, all: &[Mount]) -> bool {
        let is_on_the_way = |mount: &&Mount| is_below(self.mount_point, mount.mount_point);
        let on_the_way: Vec<_> = all.iter().filter(is_on_the_way).collect();
        let is_listed = |id: &str| on_the_way.iter().any(|mount| mount.id == id);
        // The next mount of the lookup. The first is a mount whose parent is outside this root directory.
        let next = |at: Option<&Mount>| {
            let is_next = |mount: &&&Mount| match at {
                Some(at) => mount.parent == at.id && mount.id != at.id,
                None => !is_listed(mount.parent) || mount.parent == mount.id,
            };
            // The last of several mounts at one mount point is on top.
            on_the_way.iter().rev().filter(is_next).min_by_key(|mount| mount.mount_point.len()).copied()
        };
        let mut at = next(None);
        // The mount tree of a recorded file may contain a cycle.
        for _ in 0..on_the_way.len() {
            match next(at) {
                Some(mount) => at = Some(mount),
                None => break,
            }
        }
        at == Some(self)
    }
}

/// Whether `path` is `directory` or below it. Both are escaped alike.
fn is_below(path: &str, directory: &str) -> bool {
    let rest = path.strip_prefix(directory.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The mounts in `text`. Lines that are not valid are skipped.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(parse_line)
}

/// The mounts in `text` whose lines contain `part`.
pub(crate) fn parse_with<'a>(text: &'a str, part: &'a str) -> impl Iterator<Item = Mount<'a>> {
    text.lines().filter(move |line| line.contains(part)).filter_map(parse_line)
}

// Mount ID, parent ID, major:minor, root, mount point, options, any number of optional fields,
// a hyphen, then file system, source, super options.
fn parse_line(line: &str) -> Option<Mount<'_>> {
    let mut fields = Fields(line);
    let (id, parent, device) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, mount_point, _options) = (fields.next()?, fields.next()?, fields.next()?);
    fields.find(|field| *field == "-")?;
    let (file_system, _source) = (fields.next()?, fields.next()?);
    let super_options = fields.0;
    let mount = Mount { id, parent, device, root, mount_point, file_system, super_options };
    (!super_options.is_empty()).then_some(mount)
}

/// The fields of a line, each of which ends in a blank. The rest of the line stays in the struct.
struct Fields<'a>(&'a str);

impl<'a> Iterator for Fields<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let end = memchr::memchr(b' ', self.0.as_bytes())?;
        let (field, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(field)
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
        all.iter().filter(|mount| mount.is_visible(&all)).map(|mount| mount.id).collect()
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
