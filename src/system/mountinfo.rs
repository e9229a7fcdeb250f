//! `/proc/self/mountinfo`, as `proc_pid_mountinfo(5)` describes it.

use std::borrow::Cow;
use std::ops::Range;

/// One mount.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount<'a> {
    root: &'a str,
    mount_point: &'a str,
    /// The type of the file system: `ext4`, `cgroup2`.
    pub(crate) file_system: &'a str,
    super_options: &'a str,
}

impl<'a> Mount<'a> {
    /// The path, within its file system, of what is mounted.
    pub(crate) fn root(&self) -> Cow<'a, str> {
        // The kernel marks what was unlinked after it had been mounted.
        unescape(self.root.strip_suffix("//deleted").unwrap_or(self.root))
    }

    /// Where it is mounted.
    pub(crate) fn mount_point(&self) -> Cow<'a, str> {
        unescape(self.mount_point)
    }

    /// Whether `option` is among the comma-separated options of the superblock, which may hold blanks.
    pub(crate) fn has_super_option(&self, option: &str) -> bool {
        self.super_options.split(',').any(|it| it == option)
    }
}

/// The mounts of a process, parsed once for all who look.
#[derive(Debug)]
pub(crate) struct Mountinfo {
    text: String,
    /// Of each mount where its four parts stand in the text.
    parts: Vec<[Range<usize>; 4]>,
}

impl Mountinfo {
    /// The mounts in `text`.
    pub(crate) fn new(text: String) -> Self {
        let start = text.as_ptr().addr();
        let range = |part: &str| {
            let offset = part.as_ptr().addr() - start;
            offset..offset + part.len()
        };
        let parts = parse(&text)
            .map(|mount| [mount.root, mount.mount_point, mount.file_system, mount.super_options].map(range));
        let parts = parts.collect();
        Mountinfo { text, parts }
    }

    /// The mounts, in order.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = Mount<'_>> {
        self.parts.iter().map(|parts| {
            let [root, mount_point, file_system, super_options] =
                parts.each_ref().map(|part| &self.text[part.clone()]);
            Mount { root, mount_point, file_system, super_options }
        })
    }
}

/// The mounts in `text`; a line that is none is passed over.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(parse_line)
}

// Mount ID, parent ID, major:minor, root, mount point, options, any number of optional fields,
// a hyphen, then file system, source, super options.
fn parse_line(line: &str) -> Option<Mount<'_>> {
    let mut blanks = memchr::memchr_iter(b' ', line.as_bytes());
    let before_root = blanks.nth(2)?;
    let after_root = blanks.next()?;
    let after_mount_point = blanks.next()?;
    let mut before = blanks.next()?;
    let hyphen = loop {
        let after = blanks.next()?;
        if line.as_bytes()[before + 1..after] == *b"-" {
            break after;
        }
        before = after;
    };
    let after_file_system = blanks.next()?;
    let after_source = blanks.next()?;
    let super_options = &line[after_source + 1..];
    (!super_options.is_empty()).then(|| Mount {
        root: &line[before_root + 1..after_root],
        mount_point: &line[after_root + 1..after_mount_point],
        file_system: &line[hyphen + 1..after_file_system],
        super_options,
    })
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

    #[test]
    fn parsed_once_they_are_the_same() {
        let text = "1 2 0:1 / /m rw - proc proc rw\nbroken\n1 2 0:1 /r /n rw shared:1 - ext4 d rw,x\n";
        let mountinfo = Mountinfo::new(text.to_owned());
        assert!(mountinfo.mounts().eq(parse(text)));
        assert_eq!(mountinfo.mounts().count(), 2);
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
    fn broken_lines_are_passed_over() {
        for line in ["", "1 2 3", "1 2 0:1 / /m rw", "1 2 0:1 / /m rw - ext4", " - - - "] {
            assert_eq!(parse(line).next(), None, "{line:?}");
        }
    }
}
