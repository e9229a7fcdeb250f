//! The world of a test: a directory with the file system of a container, in which the binary runs with an
//! environment of the test.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The binary under test: this build's, or the one that `TEST_BINARY` named when the tests were compiled.
pub const INTROSPOD: &str = match option_env!("TEST_BINARY") {
    Some(path) => path,
    None => env!("CARGO_BIN_EXE_introspod"),
};

/// The directory of the recordings from real pods.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The root of a recorded container, such as `("downward", "main")`.
pub fn recorded(pod: &str, container: &str) -> PathBuf {
    fixtures().join("pods").join(pod).join(container).join("root")
}

/// The recorded Pod object of `pod`.
pub fn pod_json(pod: &str) -> PathBuf {
    fixtures().join("pods").join(pod).join("pod.json")
}

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code, or 128 plus the signal, as a shell reports it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Standard output as a JSON document, valid by the published schema.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        crate::schema::checked(&self.stdout)
    }

    /// The outcome, if it ended with `code`; the test fails otherwise.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A directory that plays the container's root, removed when dropped.
pub struct World {
    directory: tempfile::TempDir,
}

impl World {
    /// A container with nothing in it.
    pub fn empty() -> Self {
        World { directory: tempfile::tempdir().unwrap() }
    }

    /// A copy of a recorded container, to be changed by the test.
    pub fn recorded(pod: &str, container: &str) -> Self {
        let world = World::empty();
        let status = Command::new("cp")
            .arg("-a")
            .arg(recorded(pod, container).join("."))
            .arg(world.path())
            .status()
            .unwrap();
        assert!(status.success());
        world
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file below the root, its directories made, whatever was there replaced.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        std::fs::write(path, content).unwrap();
        self
    }

    /// Removes a file or a directory below the root.
    pub fn remove(&self, path: &str) -> &Self {
        let path = self.path().join(path.trim_start_matches('/'));
        if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
        self
    }

    /// Adds variables to the recorded environment, or changes them.
    pub fn environ(&self, variables: &[(&str, &str)]) -> &Self {
        let path = self.path().join("proc/self/environ");
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        let mut entries: Vec<Vec<u8>> =
            bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).map(Vec::from).collect();
        for (name, value) in variables {
            let prefix = format!("{name}=");
            entries.retain(|entry| !entry.starts_with(prefix.as_bytes()));
            entries.push(format!("{prefix}{value}").into_bytes());
        }
        bytes = entries.iter().flat_map(|entry| [entry.as_slice(), b"\0"].concat()).collect();
        self.write("proc/self/environ", bytes)
    }

    /// Runs `introspod` with `arguments` and `--root` at this world.
    ///
    /// `--root` is given by its variable, so that `arguments` may begin with the subcommand.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        run(self.command(arguments))
    }

    /// The command that [`World::run`] runs, to be changed before it is.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = introspod(arguments);
        command.env("INTROSPOD_ROOT", self.path());
        command
    }
}

/// `introspod` with `arguments` and nothing in its environment but `PATH`.
pub fn introspod<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(INTROSPOD);
    command.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// Runs a command to its end.
pub fn run(command: Command) -> Outcome {
    run_with_input(command, b"")
}

/// Runs a command to its end, with `input` on its standard input.
pub fn run_with_input(mut command: Command, input: &[u8]) -> Outcome {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The child may end without reading: that is its business.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let status = output.status;
    Outcome {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap()),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Writes an executable file.
///
/// Another process writes it: a file that this process has open for writing could be inherited by a child that
/// another test starts at this moment, and then it cannot be executed (ETXTBSY).
pub fn write_executable(path: &Path, text: &str, mode: u32) {
    let mut command = Command::new("sh");
    command.args(["-c", r#"cat >"$1" && chmod "$2" "$1""#, "sh"]).arg(path).arg(format!("{mode:o}"));
    run_with_input(command, text.as_bytes()).expect_code(0);
}
