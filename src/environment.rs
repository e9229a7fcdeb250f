//! A process's environment, entries as they are.

use std::ffi::CString;

/// Entries `NAME=value`, in order, duplicates and malformed ones included.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    entries: Vec<CString>,
    /// The entries with a name, by name and then by position: what is looked up is many times more
    /// than what is there.
    by_name: Vec<Named>,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    position: usize,
    /// The length of the name, before `=`.
    length: usize,
}

impl Environment {
    /// An environment of these entries.
    pub fn new(entries: Vec<CString>) -> Self {
        let mut by_name: Vec<Named> = Vec::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            let Some(length) = entry.as_bytes().iter().position(|byte| *byte == b'=') else { continue };
            let name = |named: &Named| &entries[named.position].as_bytes()[..named.length];
            let new = Named { position, length };
            // Insertion is a tenth of the code that a sort is, and as quick for what environments hold.
            let place = by_name.partition_point(|named| name(named) <= name(&new));
            by_name.insert(place, new);
        }
        Environment { entries, by_name }
    }

    /// The content of `/proc/<pid>/environ`: entries that end in NUL (`proc_pid_environ(5)`).
    pub(crate) fn from_proc(content: &[u8]) -> Self {
        let entries = content.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        Environment::new(entries.filter_map(|entry| CString::new(entry).ok()).collect())
    }

    /// The value of the first entry `name`, as `getenv(3)` finds it; one that is not UTF-8 is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(name.as_bytes())?).ok()
    }

    /// The value of the first entry `name` unless it is empty: to Kubernetes, and to most who
    /// read variables, empty is unset.
    pub(crate) fn get_nonempty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The value of the first entry `name`, whatever its bytes.
    pub(crate) fn get_bytes(&self, name: &[u8]) -> Option<&[u8]> {
        let first = self.by_name.get(self.first_not_before(name)).filter(|named| self.name(named) == name)?;
        Some(&self.entries[first.position].as_bytes()[first.length + 1..])
    }

    /// Whether there is an entry whose name begins with `prefix`.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        let prefix = prefix.as_bytes();
        self.by_name
            .get(self.first_not_before(prefix))
            .is_some_and(|named| self.name(named).starts_with(prefix))
    }

    /// This environment with variables set: of each name every entry goes, and the new one comes last.
    ///
    /// A value with NUL cannot be in an environment, and changes nothing.
    pub(crate) fn with(&self, variables: &[(&str, &str)]) -> Self {
        let new = variables.iter().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok());
        let mut is_replaced = vec![false; self.entries.len()];
        for named in &self.by_name {
            is_replaced[named.position] =
                variables.iter().any(|(name, _)| name.as_bytes() == self.name(named));
        }
        let kept = self.entries.iter().zip(is_replaced).filter(|(_, is_replaced)| !is_replaced);
        Environment::new(kept.map(|(entry, _)| entry.clone()).chain(new).collect())
    }

    /// The entries.
    pub(crate) fn entries(&self) -> &[CString] {
        &self.entries
    }

    fn name(&self, named: &Named) -> &[u8] {
        &self.entries[named.position].as_bytes()[..named.length]
    }

    fn first_not_before(&self, name: &[u8]) -> usize {
        self.by_name.partition_point(|named| self.name(named) < name)
    }
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
        let environment = environment.with(&[("A", "5"), ("C", "=6")]);
        let entries: Vec<_> = environment.entries().iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(entries, ["B=2", "malformed", "AA=4", "=x", "A=5", "C==6"]);
        assert_eq!(environment.get("C"), Some("=6"));
    }

    #[test]
    fn proc_environ_ends_each_entry_in_nul() {
        let environment = Environment::from_proc(b"A=1\0EMPTY=\0MULTI=a\nb\0");
        assert_eq!(environment.get("MULTI"), Some("a\nb"));
        assert_eq!(environment.get("EMPTY"), Some(""));
        assert_eq!(environment.get_nonempty("EMPTY"), None);
        assert_eq!(environment.entries().len(), 3);
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
