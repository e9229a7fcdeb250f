//! A process's environment, entries as they are.

use std::ffi::CString;

/// Entries `NAME=value`, in order, duplicates and malformed ones included.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    entries: Vec<CString>,
}

impl Environment {
    /// An environment of these entries.
    pub fn new(entries: Vec<CString>) -> Self {
        Environment { entries }
    }

    /// The content of `/proc/<pid>/environ`: entries that end in NUL (`proc_pid_environ(5)`).
    pub(crate) fn from_proc(content: &[u8]) -> Self {
        let entries = content.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        Environment { entries: entries.filter_map(|entry| CString::new(entry).ok()).collect() }
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
        self.entries.iter().find_map(|entry| value_of(entry, name))
    }

    /// Sets a variable: every entry of that name goes, the new one comes last.
    ///
    /// A name or value with NUL cannot be in an environment, and changes nothing.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        if let Ok(entry) = CString::new([name.as_bytes(), b"=", value].concat()) {
            self.entries.retain(|entry| value_of(entry, name.as_bytes()).is_none());
            self.entries.push(entry);
        }
    }

    /// The entries.
    pub(crate) fn entries(&self) -> &[CString] {
        &self.entries
    }
}

fn value_of<'a>(entry: &'a CString, name: &[u8]) -> Option<&'a [u8]> {
    entry.as_bytes().strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(|entry| CString::new(*entry).unwrap()).collect())
    }

    #[test]
    fn the_first_of_two_is_found_and_both_are_replaced() {
        let mut environment = environment(&["A=1", "B=2", "A=3", "malformed", "AA=4"]);
        assert_eq!(environment.get("A"), Some("1"));
        environment.set("A", b"5");
        let entries: Vec<_> = environment.entries().iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(entries, ["B=2", "malformed", "AA=4", "A=5"]);
    }

    #[test]
    fn proc_environ_ends_each_entry_in_nul() {
        let environment = Environment::from_proc(b"A=1\0EMPTY=\0MULTI=a\nb\0");
        assert_eq!(environment.get("MULTI"), Some("a\nb"));
        assert_eq!(environment.get("EMPTY"), Some(""));
        assert_eq!(environment.get_nonempty("EMPTY"), None);
        assert_eq!(environment.entries().len(), 3);
    }
}
