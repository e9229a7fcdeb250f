//! The environment of a process, with its entries unchanged.

use std::borrow::Cow;
use std::ffi::{CStr, CString};

/// Entries `NAME=value` in their order, including duplicates and malformed ones.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The entries, each with its NUL, as in `/proc/<pid>/environ` (`proc_pid_environ(5)`).
    content: Vec<u8>,
    /// Where the entries with a name begin, and how long their names are.
    names: Vec<(usize, usize)>,
}

impl Environment {
    /// An environment of these entries, of which each ends in NUL.
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        let mut content = content.into();
        // A process can cut off the end of its environment.
        if content.last().is_some_and(|last| *last != 0) {
            content.push(0);
        }
        let mut names = Vec::with_capacity(entries(&content).count());
        let mut start = 0;
        for entry in entries(&content) {
            names.extend(length_of_name(entry).map(|length| (start, length)));
            start += entry.to_bytes_with_nul().len();
        }
        Environment { content, names }
    }

    /// The value of the first entry `name`, like `getenv(3)`; none if it is not UTF-8.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(name.as_bytes())?).ok()
    }

    /// The value of the first entry `name`, unless it is empty. Kubernetes and most other readers of
    /// variables treat an empty variable as unset.
    pub(crate) fn get_nonempty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The bytes of the first entry `name`.
    pub(crate) fn get_bytes(&self, name: &[u8]) -> Option<&[u8]> {
        let is_it = |(start, length): &&(usize, usize)| {
            *length == name.len() && self.content[*start..].starts_with(name)
        };
        let (start, length) = self.names.iter().find(is_it)?;
        Some(CStr::from_bytes_until_nul(&self.content[start + length + 1..]).ok()?.to_bytes())
    }

    /// The names that start with `prefix` and are UTF-8, in the order of the entries, with duplicates.
    pub(crate) fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let names = self.names.iter().map(|(start, length)| &self.content[*start..][..*length]);
        let names = names.filter(move |name| name.starts_with(prefix.as_bytes()));
        names.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The entries of this environment with some variables set, which must be sorted by name. A new entry at
    /// the end replaces all entries of the same name.
    ///
    /// A value with NUL is skipped, because an environment cannot contain it.
    pub(crate) fn with(&self, variables: &[(&str, &str)]) -> Vec<Cow<'_, CStr>> {
        let is_kept = |entry: &&CStr| {
            let name = length_of_name(entry).map(|length| &entry.to_bytes()[..length]);
            name.is_none_or(|name| variables.binary_search_by(|(set, _)| set.as_bytes().cmp(name)).is_err())
        };
        let old = entries(&self.content).filter(is_kept).map(Cow::Borrowed);
        let new = variables.iter().filter_map(|(name, value)| {
            CString::from_vec_with_nul([name, "=", value, "\0"].concat().into_bytes()).ok()
        });
        old.chain(new.map(Cow::Owned)).collect()
    }
}

fn entries(mut content: &[u8]) -> impl Iterator<Item = &CStr> {
    std::iter::from_fn(move || {
        let entry = CStr::from_bytes_until_nul(content).ok()?;
        content = &content[entry.to_bytes_with_nul().len()..];
        Some(entry)
    })
}

/// The length of an entry's name; none if the entry is malformed.
fn length_of_name(entry: &CStr) -> Option<usize> {
    entry.to_bytes().iter().position(|byte| *byte == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_is_found_and_both_are_replaced() {
        let environment = Environment::new("A=1\0B=2\0A=3\0malformed\0AA=4\0=x\0\0");
        assert_eq!(environment.get("A"), Some("1"));
        assert_eq!(environment.get("malformed"), None);
        let entries = environment.with(&[("A", "5"), ("C", "=6"), ("D", "\0"), ("malformed", "7")]);
        let entries: Vec<_> = entries.iter().map(|entry| entry.to_str().unwrap()).collect();
        assert_eq!(entries, ["B=2", "malformed", "AA=4", "=x", "", "A=5", "C==6", "malformed=7"]);
    }

    #[test]
    fn proc_environ_may_be_cut_off() {
        for content in ["A=1\0EMPTY=\0MULTI=a\nb\0", "A=1\0EMPTY=\0MULTI=a\nb"] {
            let environment = Environment::new(content);
            assert_eq!(environment.get("MULTI"), Some("a\nb"));
            assert_eq!(environment.get("EMPTY"), Some(""));
            assert_eq!(environment.get_nonempty("EMPTY"), None);
            assert_eq!(environment.with(&[]).len(), 3);
        }
        assert_eq!(Environment::new("\0".repeat(9)).get("A"), None);
    }

    #[test]
    fn names_with_a_prefix_are_in_the_order_of_the_entries() {
        let environment = Environment::new("AB_C=1\0Z=2\0AB_\0AB_=3\0AB_C=4\0A=5\0");
        let names = |prefix| environment.names_with_prefix(prefix).collect::<Vec<_>>();
        assert_eq!(names("AB_"), ["AB_C", "AB_", "AB_C"]);
        assert_eq!(names("AB_D"), [""; 0]);
    }
}
