//! The environment of a process, with its entries unchanged.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// Entries `NAME=value` in their order, including duplicates and malformed ones.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The entries, each with its NUL, as in `/proc/<pid>/environ` (`proc_pid_environ(5)`).
    content: Vec<u8>,
    /// Where the entries with a name begin, and how long their names are, sorted by name and position. The first
    /// lookup creates this index, because lookups far outnumber entries.
    by_name: OnceLock<Vec<(u32, u32)>>,
}

impl Environment {
    /// An environment of these entries, of which each ends in NUL.
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        let mut content = content.into();
        // A process can cut off the end of its environment.
        if content.last().is_some_and(|last| *last != 0) {
            content.push(0);
        }
        Environment { content, by_name: OnceLock::new() }
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
        let (start, _) = self.names_from(name).next().filter(|(_, found)| *found == name)?;
        let value = start + name.len() + 1;
        Some(&self.content[value..value + memchr::memchr(0, &self.content[value..])?])
    }

    /// Whether there is an entry whose name starts with `prefix`.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        let first = self.names_from(prefix.as_bytes()).next();
        first.is_some_and(|(_, name)| name.starts_with(prefix.as_bytes()))
    }

    /// The names that start with `prefix` and are UTF-8, sorted, with duplicates.
    pub(crate) fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let names = self.names_from(prefix.as_bytes());
        let names = names.take_while(move |(_, name)| name.starts_with(prefix.as_bytes()));
        names.filter_map(|(_, name)| std::str::from_utf8(name).ok())
    }

    /// The entries of this environment with some variables set, which must be sorted by name. A new entry at
    /// the end replaces all entries of the same name.
    ///
    /// A value with NUL is skipped, because an environment cannot contain it.
    pub(crate) fn with(&self, variables: &[(&str, &str)]) -> Vec<Cow<'_, CStr>> {
        let is_kept = |entry: &[u8]| {
            let name = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
            let is_named = name.len() < entry.len() - 1;
            !is_named || variables.binary_search_by(|(set, _)| set.as_bytes().cmp(name)).is_err()
        };
        let old = self.entries().map(|(_, entry)| entry).filter(|entry| is_kept(entry));
        let old = old.filter_map(|entry| CStr::from_bytes_with_nul(entry).ok()).map(Cow::Borrowed);
        let new = variables.iter().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok());
        old.chain(new.map(Cow::Owned)).collect()
    }

    /// Where each entry begins, and its bytes with the NUL.
    fn entries(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        memchr::memchr_iter(0, &self.content).map(move |end| {
            let entry = (start, &self.content[start..=end]);
            start = end + 1;
            entry
        })
    }

    /// The names that are not before `name`, in their order, and where their entries begin.
    fn names_from(&self, name: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
        let by_name = self.by_name.get_or_init(|| {
            let named = self.entries().filter_map(|(start, entry)| {
                let length = memchr::memchr(b'=', entry)?;
                Some((u32::try_from(start).ok()?, u32::try_from(length).ok()?))
            });
            let mut by_name: Vec<(u32, u32)> = named.collect();
            by_name.sort_unstable_by_key(|entry| (self.name(*entry), entry.0));
            by_name
        });
        let first = by_name.partition_point(|entry| self.name(*entry) < name);
        by_name[first..].iter().map(|entry| (entry.0 as usize, self.name(*entry)))
    }

    /// The name of an entry of the index.
    fn name(&self, (start, length): (u32, u32)) -> &[u8] {
        &self.content[start as usize..][..length as usize]
    }
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
    fn a_prefix_is_there_if_a_name_begins_with_it() {
        let environment = Environment::new("AB_C=1\0Z=2\0");
        for (prefix, is_there) in
            [("AB_", true), ("AB_C", true), ("AB_D", false), ("AA", false), ("ZZ", false)]
        {
            assert_eq!(environment.has_prefix(prefix), is_there, "{prefix}");
        }
    }
}
