//! The environment of a process, with its entries unchanged.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// Entries `NAME=value` in their order, including duplicates and malformed ones.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    entries: Vec<CString>,
    /// The entries with a name, sorted by name and position. The first lookup creates this index, because
    /// lookups far outnumber entries.
    by_name: OnceLock<Vec<Named>>,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    /// The first eight bytes of the name as a number. Most names differ in it.
    prefix: u64,
    position: usize,
    /// The length of the name, before `=`.
    length: usize,
}

impl Environment {
    /// An environment of these entries.
    pub fn new(entries: Vec<CString>) -> Self {
        Environment { entries, by_name: OnceLock::new() }
    }

    fn by_name(&self) -> &[Named] {
        self.by_name.get_or_init(|| {
            let named = self.entries.iter().enumerate().filter_map(|(position, entry)| {
                let length = memchr::memchr(b'=', entry.as_bytes())?;
                Some(Named { prefix: prefix(&entry.as_bytes()[..length]), position, length })
            });
            let mut by_name: Vec<Named> = named.collect();
            by_name.sort_unstable_by(|one, other| {
                let by_prefix = one.prefix.cmp(&other.prefix);
                // Rare, because most names differ in their prefix.
                by_prefix
                    .then_with(|| (self.name(one), one.position).cmp(&(self.name(other), other.position)))
            });
            by_name
        })
    }

    /// The content of `/proc/<pid>/environ`: entries that end in NUL (`proc_pid_environ(5)`).
    pub(crate) fn from_proc(content: &[u8]) -> Self {
        let mut entries = Vec::new();
        let mut rest = content;
        while let Ok(entry) = CStr::from_bytes_until_nul(rest) {
            entries.push(entry.to_owned());
            rest = &rest[entry.count_bytes() + 1..];
        }
        // A process can cut off the end of its environment.
        entries.extend(CString::new(rest));
        entries.retain(|entry| !entry.is_empty());
        Environment::new(entries)
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
        let first =
            self.by_name().get(self.first_not_before(name)).filter(|named| self.name(named) == name)?;
        Some(&self.entries[first.position].as_bytes()[first.length + 1..])
    }

    /// Whether there is an entry whose name starts with `prefix`.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        let prefix = prefix.as_bytes();
        let first = self.by_name().get(self.first_not_before(prefix));
        first.is_some_and(|named| self.name(named).starts_with(prefix))
    }

    /// The names that start with `prefix` and are UTF-8, sorted, with duplicates.
    pub(crate) fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let from_first = self.by_name().iter().skip(self.first_not_before(prefix.as_bytes()));
        let names = from_first.map(|named| self.name(named));
        let names = names.take_while(move |name| name.starts_with(prefix.as_bytes()));
        names.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The entries of this environment with some variables set. A new entry at the end replaces all entries
    /// of the same name.
    ///
    /// A value with NUL is skipped, because an environment cannot contain it.
    pub(crate) fn with(&self, variables: &[(&str, &str)]) -> Vec<Cow<'_, CStr>> {
        let mut is_replaced = vec![false; self.entries.len()];
        for (name, _) in variables {
            let from_first = self.by_name().iter().skip(self.first_not_before(name.as_bytes()));
            for named in from_first.take_while(|named| self.name(named) == name.as_bytes()) {
                is_replaced[named.position] = true;
            }
        }
        let mut entries: Vec<Cow<CStr>> = Vec::with_capacity(self.entries.len() + variables.len());
        for (entry, is_replaced) in self.entries.iter().zip(is_replaced) {
            if !is_replaced {
                entries.push(Cow::Borrowed(entry));
            }
        }
        for (name, value) in variables {
            if let Ok(entry) = CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()) {
                entries.push(Cow::Owned(entry));
            }
        }
        entries
    }

    fn name(&self, named: &Named) -> &[u8] {
        &self.entries[named.position].as_bytes()[..named.length]
    }

    fn first_not_before(&self, name: &[u8]) -> usize {
        let prefix = prefix(name);
        self.by_name().partition_point(|named| {
            named.prefix < prefix || (named.prefix == prefix && self.name(named) < name)
        })
    }
}

/// The first eight bytes as a number with the same order.
fn prefix(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = name.len().min(bytes.len());
    bytes[..length].copy_from_slice(&name[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(|entry| CString::new(*entry).unwrap()).collect())
    }

    #[test]
    fn the_first_of_two_is_found_and_both_are_replaced() {
        let environment = environment(&["A=1", "B=2", "A=3", "malformed", "AA=4", "=x"]);
        assert_eq!(environment.get("A"), Some("1"));
        assert_eq!(environment.get("malformed"), None);
        let entries = environment.with(&[("A", "5"), ("C", "=6"), ("D", "\0")]);
        let entries: Vec<_> = entries.iter().map(|entry| entry.to_str().unwrap()).collect();
        assert_eq!(entries, ["B=2", "malformed", "AA=4", "=x", "A=5", "C==6"]);
    }

    #[test]
    fn proc_environ_ends_each_entry_in_nul() {
        let environment = Environment::from_proc(b"A=1\0EMPTY=\0MULTI=a\nb\0");
        assert_eq!(environment.get("MULTI"), Some("a\nb"));
        assert_eq!(environment.get("EMPTY"), Some(""));
        assert_eq!(environment.get_nonempty("EMPTY"), None);
        assert_eq!(environment.with(&[]).len(), 3);
    }

    #[test]
    fn prefixes() {
        let environment = environment(&["AB_C=1", "Z=2"]);
        for (prefix, is_there) in
            [("AB_", true), ("AB_C", true), ("AB_D", false), ("AA", false), ("ZZ", false)]
        {
            assert_eq!(environment.has_prefix(prefix), is_there, "{prefix}");
        }
    }
}
