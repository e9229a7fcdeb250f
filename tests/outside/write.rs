//! `write`: files are complete or unchanged, and one line says why a file cannot be written.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::made::{annotated, in_mount_namespace, only_line, pod};
use crate::needs::{has_strace, is_root, needs};
use crate::world::{INTROSPOD, Outcome, World, introspod, run, run_with_input};

/// A directory with a Pod object in it that is not where files are written.
struct Place {
    directory: tempfile::TempDir,
    pod: tempfile::NamedTempFile,
}

fn place() -> Place {
    let pod_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&pod_file, pod(json!({})).to_string()).unwrap();
    Place { directory: tempfile::tempdir().unwrap(), pod: pod_file }
}

impl Place {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// `introspod write --pod … --out NAME OPTIONS`
    fn command(&self, name: &str, options: &[&str]) -> Command {
        let mut command = introspod(["write", "--pod"]);
        command.arg(self.pod.path()).arg("--out").arg(self.path(name)).args(options);
        command
    }

    fn write(&self, name: &str, options: &[&str]) -> Outcome {
        run(self.command(name, options))
    }

    /// The names in the directory.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The run failed in one line that names the target and says `why`, and left nothing behind.
    #[track_caller]
    fn fails(&self, name: &str, why: &str) {
        let before = self.names();
        let outcome = self.write(name, &[]).expect_code(1);
        let line = only_line(&outcome);
        assert!(line.starts_with("introspod: error: cannot write ") && line.contains(why), "{line}");
        assert!(line.contains(self.path(name).to_str().unwrap()), "{line}");
        assert_eq!(self.names(), before);
    }
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_suffix_says_the_format() {
    let place = place();
    let env = place.path("x.env");
    let outcome = place
        .write("x.json", &["--out", env.to_str().unwrap(), "--out", place.path("x.sh").to_str().unwrap()]);
    let outcome = outcome.expect_code(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    assert_eq!(place.names(), ["x.env", "x.json", "x.sh"]);
    let text = |name: &str| fs::read_to_string(place.path(name)).unwrap();
    assert!(text("x.env").contains("POD_NAME='web-0'\n"));
    assert!(text("x.sh").contains("export POD_NAME='web-0'\n"));
    let told: Value = crate::schema::checked(&text("x.json"));
    assert_eq!(told["variables"]["POD_NAME"], "web-0");
}

#[test]
fn exec_and_print_write_files_too() {
    let place = place();
    for subcommand in [&["print"][..], &["exec", "--pod", "/dev/null"]] {
        let out = place.path("x.env");
        let mut command = introspod([subcommand[0]]);
        command.arg("--pod").arg(place.pod.path()).arg("--out").arg(&out);
        command
            .args((subcommand[0] == "exec").then_some("cat"))
            .args((subcommand[0] == "exec").then_some(&out));
        let outcome = run(command).expect_code(0);
        assert_eq!(outcome.stdout, fs::read_to_string(&out).unwrap(), "written before the command runs");
        fs::remove_file(out).unwrap();
    }
}

#[test]
fn an_unknown_suffix_is_a_usage_error() {
    for name in ["x.txt", "x", "x.yaml", "x.ENV", "x.env.", "env"] {
        let place = place();
        let outcome = place.write(name, &[]).expect_code(2);
        assert!(
            only_line(&outcome).contains("must name files that end in .env, .sh, .list or .json"),
            "{name}"
        );
        assert!(place.names().is_empty());
    }
}

#[test]
fn write_without_a_file_is_a_usage_error() {
    let outcome = run(introspod(["write"])).expect_code(2);
    assert!(only_line(&outcome).contains("--out FILE"));
}

#[test]
fn the_mode_is_what_was_said_whatever_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        for (options, expected) in [(&[][..], 0o644), (&["--mode", "0600"], 0o600), (&["--mode=666"], 0o666)]
        {
            let place = place();
            let inner = place.command("x.env", options);
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(inner.get_program());
            run({
                command.args(inner.get_args());
                command
            })
            .expect_code(0);
            assert_eq!(mode(place.path("x.env")), expected, "umask {umask} {options:?}");
        }
    }
}

#[test]
fn modes_that_are_none_are_usage_errors() {
    for mode in ["888", "rw", "01000", "", "+644", "-1", "0o644"] {
        let place = place();
        let outcome = place.write("x.env", &[&format!("--mode={mode}")]).expect_code(2);
        assert!(only_line(&outcome).contains("octal"), "{mode:?}: {outcome:?}");
    }
}

#[test]
fn an_old_file_is_replaced_and_not_written_into() {
    let place = place();
    fs::write(place.path("x.env"), "old ".repeat(10_000)).unwrap();
    fs::hard_link(place.path("x.env"), place.path("link")).unwrap();
    place.write("x.env", &[]).expect_code(0);
    let new = fs::read_to_string(place.path("x.env")).unwrap();
    assert!(new.contains("POD_NAME='web-0'") && !new.contains("old"));
    assert_eq!(
        fs::read_to_string(place.path("link")).unwrap(),
        "old ".repeat(10_000),
        "a reader of the old file"
    );
    assert_eq!(place.names(), ["link", "x.env"]);
}

#[test]
fn a_reader_sees_one_file_or_the_other_and_never_half_of_one() {
    let place = place();
    let pods = ["a", "b"].map(|letter| annotated([("k", letter.repeat(500_000).as_str())]).to_string());
    let out = place.path("x.sh");
    let write = |number: usize| {
        let mut command = introspod(["write", "--annotations", "--pod", "-", "--out"]);
        command.arg(&out);
        run_with_input(command, pods[number % 2].as_bytes()).expect_code(0);
    };
    write(0);
    let wholes = [0, 1].map(|number| {
        write(number);
        fs::read(&out).unwrap()
    });
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) || reads == 0 {
                let content = fs::read(&out).unwrap();
                assert!(wholes.contains(&content), "{} bytes", content.len());
                reads += 1;
            }
            reads
        });
        (0..60).for_each(write);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    place().fails("missing/x.env", "missing does not exist");
}

#[test]
fn a_file_where_a_directory_should_be_is_said() {
    let place = place();
    fs::write(place.path("file"), "").unwrap();
    place.fails("file/x.env", "is not a directory");
}

#[test]
fn a_target_that_is_a_directory_is_said() {
    let place = place();
    fs::create_dir(place.path("x.env")).unwrap();
    place.fails("x.env", "this is a directory; name a file");
    fs::write(place.path("x.env/full"), "").unwrap();
    place.fails("x.env", "this is a directory; name a file");
}

#[test]
fn a_directory_without_permission_is_said() {
    let place = place();
    // As another user: root may write anywhere. The binary may be where others must not look.
    let binary = place.path("introspod");
    fs::hard_link(INTROSPOD, &binary).or_else(|_| fs::copy(INTROSPOD, &binary).map(drop)).unwrap();
    fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    let outcome = run({
        command.arg("write").arg("--out").arg(place.path("x.env"));
        command
    });
    if !needs("root", is_root) {
        return;
    }
    let outcome = outcome.expect_code(1);
    assert!(only_line(&outcome).contains("no permission in "), "{outcome:?}");
    assert_eq!(place.names(), ["introspod"]);
}

#[test]
fn a_name_as_long_as_a_name_can_be_is_written() {
    let place = place();
    // NAME_MAX (`limits.h(0p)`).
    let name = |length: usize| format!("{}.env", "x".repeat(length - 4));
    for length in [250, 255] {
        place.write(&name(length), &[]).expect_code(0);
        place.write(&name(length), &["--mode", "600"]).expect_code(0);
    }
    assert_eq!(place.names(), [name(250), name(255)]);
    place.fails(&name(256), "the file name is longer than 255 bytes");
}

#[test]
fn a_link_planted_at_the_target_is_replaced_and_not_followed() {
    let place = place();
    fs::write(place.path("victim"), "precious").unwrap();
    symlink("victim", place.path("x.env")).unwrap();
    symlink("/no/such/place/at/all", place.path("dangling.env")).unwrap();
    fs::create_dir(place.path("directory")).unwrap();
    symlink("directory", place.path("to-directory.env")).unwrap();
    for name in ["x.env", "dangling.env", "to-directory.env"] {
        place.write(name, &[]).expect_code(0);
        let metadata = fs::symlink_metadata(place.path(name)).unwrap();
        assert!(metadata.is_file(), "{name}");
    }
    assert_eq!(fs::read_to_string(place.path("victim")).unwrap(), "precious");
    assert_eq!(place.names(), ["dangling.env", "directory", "to-directory.env", "victim", "x.env"]);
}

#[test]
fn a_fifo_at_the_target_is_replaced_and_does_not_hang() {
    let place = place();
    mkfifo(&place.path("x.env"), Mode::S_IRWXU).unwrap();
    place.write("x.env", &[]).expect_code(0);
    assert!(fs::symlink_metadata(place.path("x.env")).unwrap().is_file());
}

#[test]
fn a_path_without_a_directory_is_in_the_current_one() {
    let place = place();
    let mut command = introspod(["write", "--out", "x.env"]);
    command.current_dir(place.directory.path());
    run(command).expect_code(0);
    assert_eq!(place.names(), ["x.env"]);
}

#[test]
fn of_two_files_the_one_that_can_be_written_is() {
    let place = place();
    let outcome = place.write("x.env", &["--out", "/no/such/place/y.env"]).expect_code(1);
    assert!(only_line(&outcome).contains("/no/such/place/y.env"));
    assert_eq!(place.names(), ["x.env"]);
}

/// Runs `script` in a mount namespace, where `$dir` is a new directory, and `$introspod`
/// the binary; `write` there is `introspod write --pod … --out`.
fn mounted(place: &Place, script: &str) -> Option<Outcome> {
    let script =
        format!("write() {{ \"$introspod\" write --pod \"$pod\" --out \"$@\"; }}; cd \"$dir\"; {script}");
    let variables = [
        ("dir", place.directory.path().as_os_str()),
        ("introspod", INTROSPOD.as_ref()),
        ("pod", place.pod.path().as_os_str()),
    ];
    in_mount_namespace(&script, &variables)
}

#[test]
fn a_full_file_system_is_said_and_nothing_is_left_there() {
    let script = "mount -t tmpfs -o size=64k tmpfs \"$dir\" && cd \"$dir\" && echo old >x.env || exit 9
        cat /dev/zero >fill 2>/dev/null
        write \"$dir/x.env\"; code=$?; ls -A; cat x.env; exit $code";
    let place = place();
    let Some(outcome) = mounted(&place, script) else { return };
    let outcome = outcome.expect_code(1);
    assert!(only_line(&outcome).contains("is full"), "{outcome:?}");
    assert_eq!(outcome.stdout, "fill\nx.env\nold\n", "the old file is there, whole");
}

#[test]
fn a_file_system_without_room_for_another_file_is_said_too() {
    let script = "mount -t tmpfs -o nr_inodes=2 tmpfs \"$dir\" && cd \"$dir\" && echo old >x.env || exit 9
        write \"$dir/x.env\"; code=$?; ls -A; cat x.env; exit $code";
    let place = place();
    let Some(outcome) = mounted(&place, script) else { return };
    let outcome = outcome.expect_code(1);
    assert!(only_line(&outcome).contains("is full"), "{outcome:?}");
    assert_eq!(outcome.stdout, "x.env\nold\n");
}

#[test]
fn a_read_only_file_system_is_said() {
    let script = "mount -t tmpfs tmpfs \"$dir\" && mount -o remount,ro \"$dir\" && cd \"$dir\" || exit 9
        write \"$dir/x.env\"; code=$?; ls -A; exit $code";
    let place = place();
    let Some(outcome) = mounted(&place, script) else { return };
    let outcome = outcome.expect_code(1);
    let line = only_line(&outcome);
    assert!(line.contains("is read-only; write to a volume, such as an emptyDir"), "{line}");
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_target_that_is_a_mount_point_is_written_in_place_with_a_warning() {
    let place = place();
    fs::write(place.path("behind.env"), "old ".repeat(1000)).unwrap();
    fs::write(place.path("x.env"), "").unwrap();
    let inode = fs::metadata(place.path("behind.env")).unwrap().ino();
    let script =
        "mount --bind behind.env x.env || exit 9; write \"$dir/x.env\" --mode 0640 || exit; ls -A; cat x.env";
    let Some(outcome) = mounted(&place, script) else { return };
    let outcome = outcome.expect_code(0);
    let line = only_line(&outcome);
    assert!(line.starts_with("introspod: warn: ") && line.contains("is a mount point"), "{line}");
    let content = fs::read_to_string(place.path("behind.env")).unwrap();
    assert!(
        content.ends_with("POD_UID='3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77'\n"),
        "nothing old is left: {content}"
    );
    assert_eq!(outcome.stdout, format!("behind.env\nx.env\n{content}"), "and no temporary file");
    assert_eq!(mode(place.path("behind.env")), 0o640);
    assert_eq!(fs::metadata(place.path("behind.env")).unwrap().ino(), inode);
}

#[test]
fn a_mount_point_on_a_full_file_system_keeps_its_content() {
    // The file may be shorter or longer than the new one.
    for size in [10, 100_000] {
        let script = format!(
            "mkdir full && mount -t tmpfs -o size=200k tmpfs full && : >x.sh && head -c {size} /dev/zero >full/x
            mount --bind full/x x.sh || exit 9
            cat /dev/zero >full/fill 2>/dev/null
            write \"$dir/x.sh\" --annotations; code=$?; cmp x.sh full/x && stat -c %s x.sh; exit $code"
        );
        let place = place();
        let value = "x".repeat(if size == 10 { 100_000 } else { 400_000 });
        fs::write(&place.pod, annotated([("k", value.as_str())]).to_string()).unwrap();
        let Some(outcome) = mounted(&place, &script) else { return };
        let outcome = outcome.expect_code(1);
        assert!(outcome.stderr.lines().last().unwrap().contains("is full"), "{outcome:?}");
        assert_eq!(outcome.stdout, format!("{size}\n"));
    }
}

#[test]
fn a_mount_point_that_cannot_be_written_is_said() {
    let place = place();
    fs::write(place.path("x.env"), "").unwrap();
    let script = "mount --bind x.env x.env && mount -o remount,bind,ro x.env || exit 9; write \"$dir/x.env\"";
    let Some(outcome) = mounted(&place, script) else { return };
    let outcome = outcome.expect_code(1);
    assert!(outcome.stderr.lines().last().unwrap().contains("read-only"), "{outcome:?}");
    assert_eq!(place.names(), ["x.env"]);
}

#[test]
fn an_unwritable_file_is_125_for_exec_and_the_command_does_not_start() {
    let world = World::recorded("bare", "web");
    let outcome = world.run(["exec", "--out", "/no/such/place/x.env", "echo", "started"]).expect_code(125);
    assert_eq!(outcome.stdout, "");
    assert!(only_line(&outcome).contains("/no/such/place does not exist"));
}

/// The names in the directory that begin with a dot.
fn hidden(place: &Place) -> Vec<String> {
    place.names().into_iter().filter(|name| name.starts_with('.')).collect()
}

/// `introspod write --out NAME` under strace, with `options` of strace's.
fn traced(place: &Place, options: &[&str]) -> Option<Outcome> {
    let inner = place.command("x.env", &[]);
    let mut command = Command::new("strace");
    command.arg("--quiet=all").args(options).arg(inner.get_program()).args(inner.get_args());
    needs("the Debian package strace", has_strace).then(|| run(command))
}

#[test]
fn of_many_killed_runs_one_temporary_file_stays_and_the_next_run_removes_it() {
    let place = place();
    for _ in 0..5 {
        let options = ["--output=/dev/null", "--inject=fsync:signal=KILL:when=1"];
        let Some(outcome) = traced(&place, &options) else { return };
        assert_eq!(outcome.code, 137);
        assert_eq!(hidden(&place).len(), 1, "{:?}", hidden(&place));
    }
    place.write("x.env", &[]).expect_code(0);
    assert_eq!(place.names(), ["x.env"]);
}

#[test]
fn each_target_has_its_own_temporary_file() {
    let place = place();
    for name in ["x.env", "y.env"] {
        let options = ["--output=/dev/null", "--inject=fsync:signal=KILL:when=1"];
        let inner = place.command(name, &[]);
        let mut command = Command::new("strace");
        command.arg("--quiet=all").args(options).arg(inner.get_program()).args(inner.get_args());
        if !needs("the Debian package strace", has_strace) {
            return;
        }
        assert_eq!(run(command).code, 137);
    }
    assert_eq!(hidden(&place).len(), 2);
    place.write("x.env", &[]).expect_code(0);
    assert_eq!(hidden(&place).len(), 1);
}

#[test]
fn a_temporary_file_of_a_running_process_is_left_alone() {
    let place = place();
    let options = ["--output=/dev/null", "--inject=fsync:signal=KILL:when=1"];
    let Some(_) = traced(&place, &options) else { return };
    let [name] = hidden(&place).try_into().unwrap();
    // As the running process has it (flock(2)).
    let file = fs::File::open(place.path(&name)).unwrap();
    file.lock().unwrap();
    place.write("x.env", &[]).expect_code(0);
    assert_eq!(place.names(), [name, "x.env".to_owned()]);
    // A child that another test starts at this moment has the file open, too: only this releases the lock.
    file.unlock().unwrap();
    // A file with the same bytes and mode would not be written.
    place.write("x.env", &["--mode=0600"]).expect_code(0);
    assert_eq!(place.names(), ["x.env"]);
}

#[test]
fn a_file_of_somebody_else_at_the_temporary_name_is_left_alone() {
    if !needs("root", is_root) {
        return;
    }
    let place = place();
    let options = ["--output=/dev/null", "--inject=fsync:signal=KILL:when=1"];
    let Some(_) = traced(&place, &options) else { return };
    let [name] = hidden(&place).try_into().unwrap();
    std::os::unix::fs::chown(place.path(&name), Some(65_000), None).unwrap();
    place.write("x.env", &[]).expect_code(0);
    assert_eq!(hidden(&place), [name]);
}

#[test]
fn a_signal_at_any_call_leaves_no_temporary_file() {
    let place = place();
    let log = tempfile::NamedTempFile::new().unwrap();
    let Some(outcome) = traced(&place, &["--output", log.path().to_str().unwrap()]) else { return };
    outcome.expect_code(0);
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let log = fs::read_to_string(log).unwrap();
    let mut has_begun = false;
    for line in log.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        has_begun |= line.contains("O_EXCL");
        if !has_begun || name == "exit_group" {
            continue;
        }
        for signal in ["TERM", "QUIT"] {
            let inject = format!("--inject={name}:signal={signal}:when={count}");
            let outcome = traced(&place, &["--output=/dev/null", &inject]).unwrap();
            assert!([0, 143, 131].contains(&outcome.code), "{inject}: {outcome:?}");
            assert_eq!(place.names(), ["x.env"], "{inject}");
        }
    }
    assert!(has_begun);
}

#[test]
fn a_file_that_is_larger_than_allowed_is_an_error_like_a_full_disk() {
    let place = place();
    fs::write(place.path("x.env"), "old").unwrap();
    for (subcommand, code) in [("write", 1), ("exec", 125)] {
        let mut command = Command::new("sh");
        let script = "ulimit -c 0; ulimit -f 0; exec \"$introspod\" \"$subcommand\" --pod \"$pod\" --out \"$out\" $command";
        command.args(["-c", script]).env("introspod", INTROSPOD).env("subcommand", subcommand);
        command.env("pod", place.pod.path()).env("out", place.path("x.env"));
        command.env("command", if subcommand == "exec" { "echo started" } else { "" });
        let outcome = run(command).expect_code(code);
        let line = only_line(&outcome);
        assert!(line.contains("cannot write ") && line.contains("ulimit -f"), "{line}");
        assert_eq!((outcome.stdout.as_str(), place.names()), ("", vec!["x.env".to_owned()]));
        assert_eq!(fs::read_to_string(place.path("x.env")).unwrap(), "old");
    }
}

/// A crash of the machine after the rename must not leave an empty file.
#[test]
fn a_file_is_synced_before_it_is_renamed() {
    let place = place();
    let log = tempfile::NamedTempFile::new().unwrap();
    let options =
        ["--trace=fsync,fdatasync,rename,renameat,renameat2", "--output", log.path().to_str().unwrap()];
    let Some(outcome) = traced(&place, &options) else { return };
    outcome.expect_code(0);
    let log = fs::read_to_string(log).unwrap();
    let calls: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once('(')?.0)).collect();
    assert!(matches!(calls[..], ["fsync" | "fdatasync", "rename" | "renameat" | "renameat2"]), "{log}");
}

/// Where the kubelet mounts the termination message: a file of its own at a path of the container's.
#[test]
fn when_it_gives_up_the_termination_message_says_why() {
    let log = "pods/3f1c2a4e-9f0e-4a58-8a51-0d3c1b3b8a77/containers/app/0a1b2c3d";
    for (arguments, code, why) in [
        ("exec --out /nowhere/x.env echo", 125, "cannot write /nowhere/x.env"),
        ("exec --explian echo", 125, "unknown option --explian"),
        ("exec -- no-such-command", 127, "cannot execute \"no-such-command\": not found in PATH"),
        ("write --out /nowhere/x.env", 1, "cannot write /nowhere/x.env"),
        ("write", 2, "--out FILE"),
        ("exec --require NOPE echo", 125, "required variable NOPE"),
        ("print --require NOPE", 1, ""),
        ("exec true", 0, ""),
    ] {
        let script = format!(
            "mkdir -p ${{log%/*}}; echo old >\"$log\"; : >message; mount --bind \"$log\" message || exit 9
            env -i PATH=/bin \"$introspod\" {arguments} >/dev/null; code=$?; cat message; exit $code"
        );
        let place = place();
        let variables = [
            ("log", log.as_ref()),
            ("introspod", INTROSPOD.as_ref()),
            ("dir", place.directory.path().as_os_str()),
        ];
        let Some(outcome) = in_mount_namespace(&format!("cd \"$dir\"; {script}"), &variables) else { return };
        let outcome = outcome.expect_code(code);
        if why.is_empty() {
            assert_eq!(outcome.stdout, "old\n", "{arguments}");
            continue;
        }
        assert_eq!(outcome.stdout, format!("{}\n", outcome.stderr.lines().last().unwrap()), "{arguments}");
        assert!(
            outcome.stdout.starts_with("introspod: error: ") && outcome.stdout.contains(why),
            "{outcome:?}"
        );
    }
}

/// What others may do with a file in a directory that they share: make it theirs, or let everybody write it.
#[test]
fn install_replaces_a_file_of_somebody_else_with_the_same_bytes() {
    if !needs("root", is_root) {
        return;
    }
    type Plant = fn(&Path);
    let plants: [Plant; 3] = [
        |path| std::os::unix::fs::chown(path, Some(65_000), None).unwrap(),
        |path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap(),
        |path| {
            fs::rename(path, path.with_extension("other")).unwrap();
            symlink("introspod.other", path).unwrap();
        },
    ];
    for plant in plants {
        let place = place();
        let install =
            || run(introspod([OsStr::new("install"), place.directory.path().as_os_str()])).expect_code(0);
        install();
        let path = place.path("introspod");
        let inode = || fs::symlink_metadata(&path).unwrap().ino();
        let first = inode();
        install();
        assert_eq!(inode(), first, "nothing to do");
        plant(&path);
        install();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.is_file());
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o755));
    }
}

#[test]
fn a_warning_about_the_pod_is_said_once_for_all_its_containers() {
    let world = World::empty();
    // Two keys have the same name as a variable, and one value is too long for an attribute.
    let long = format!("resource.opentelemetry.io/long=\"{}\"\n", "x".repeat(2_000));
    world.write("etc/podinfo/annotations", format!("a-b=\"1\"\na.b=\"2\"\n{long}"));
    let out = world.path().join("{container}.env");
    let mut arguments = vec!["write", "--otel", "--labels", "--annotations", "--set=UID=metadata.uid"];
    arguments.extend(["--container=a", "--container=b", "--out", out.to_str().unwrap()]);
    let outcome = world.run(arguments).expect_code(0);
    for warning in [
        "service.name and OTEL_SERVICE_NAME are left out",
        "no POD_LABEL_… is set",
        "left out 1 annotation",
        "long is left out: it is longer than 1 KiB",
        "UID is not set",
    ] {
        assert_eq!(outcome.stderr.matches(warning).count(), 1, "{warning}: {outcome:#?}");
    }
}
