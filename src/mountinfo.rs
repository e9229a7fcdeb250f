//! `/proc/self/mountinfo`, as `proc_pid_mountinfo(5)` describes it.

use std::borrow::Cow;

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

    /// Whether `option` is among the comma-separated options of the superblock.
    pub(crate) fn has_super_option(&self, option: &str) -> bool {
        self.super_options.split(',').any(|it| it == option)
    }
}

/// The mounts in `text`; a line that is none is passed over.
pub(crate) fn parse(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(parse_line)
}

// Mount ID, parent ID, major:minor, root, mount point, options, any number of optional fields,
// a hyphen, then file system, source, super options. The last may hold blanks.
fn parse_line(line: &str) -> Option<Mount<'_>> {
    let mut fields = line.split(' ');
    let root = fields.nth(3)?;
    let mount_point = fields.next()?;
    let _options = fields.next()?;
    fields.find(|field| *field == "-")?;
    let file_system = fields.next()?;
    let _source = fields.next()?;
    // What is left is the end of the line, whose blanks were split.
    let rest: usize = fields.map(|field| field.len() + 1).sum();
    let super_options = &line[line.len() - rest.saturating_sub(1)..];
    Some(Mount { root, mount_point, file_system, super_options })
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
