//! The lookup of the command in PATH, and the messages if it cannot be executed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::made::{annotated, only_line, with_resources};
use crate::needs::{is_root, needs};
use crate::world::{INTROSPOD, Outcome, World, introspod, run, write_executable};

/// A directory with one file of this content and mode.
fn file(name: &str, content: &str, mode: u32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), name, content, mode);
    directory
}

fn put(directory: &Path, name: &str, content: &str, mode: u32) {
    write_executable(&directory.join(name), content, mode);
}

const SAY: &str = "#!/bin/sh\necho ran \"$0\"\n";

#[track_caller]
fn fails(word: &str, code: i32, why: &str) {
    let outcome = run(introspod(["exec", "--", word])).expect_code(code);
    let line = only_line(&outcome);
    assert!(line.starts_with("introspod: error: cannot execute ") && line.contains(why), "{line}");
    assert!(line.contains(word), "{line}");
    assert_eq!(outcome.stdout, "");
}

#[test]
fn what_is_not_there_is_127() {
    fails("no-such-command-anywhere", 127, "not found in PATH");
    fails("/no/such/file", 127, "no such file");
    fails("./no-such-file", 127, "no such file");
    fails("/bin/sh/under", 127, "no such file");
    fails("", 127, "");
}

/// The exit code of coreutils' `env`, run by a user who may search only directories that everyone may search.
#[test]
fn what_is_in_a_directory_that_may_not_be_searched_is_126() {
    if !needs("root", is_root) {
        return;
    }
    let world = World::empty();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.path(), open).unwrap();
    world.write("closed/it", SAY).write("open/found", SAY).write("open/not-executable", SAY);
    std::fs::set_permissions(world.path().join("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
    put(&world.path().join("open"), "found", SAY, 0o755);
    let introspod = world.path().join("introspod");
    std::fs::hard_link(INTROSPOD, &introspod)
        .or_else(|_| std::fs::copy(INTROSPOD, &introspod).map(drop))
        .unwrap();
    let path = world.path().display();
    let ends = |program: &[&str], word: &str, search: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).args(program).arg(word);
        run({
            command.env_clear().env("PATH", search.replace('@', &path.to_string()));
            command
        })
    };
    let introspod = [introspod.to_str().unwrap(), "exec", "--"];
    let closed = format!("{path}/closed/it");
    for (word, search, code, why) in [
        (
            closed.as_str(),
            "/usr/bin:/bin",
            126,
            "this user may not search one of the directories in this path",
        ),
        ("it", "@/closed:/usr/bin:/bin", 126, "this user may not search one of the directories in PATH"),
        ("it", "/usr/bin:/bin:@/closed", 126, "this user may not search one of the directories in PATH"),
        (
            "not-executable",
            "@/closed:@/open:/usr/bin:/bin",
            126,
            "permission denied: is the file executable?",
        ),
        ("found", "@/closed:@/open:/usr/bin:/bin", 0, ""),
        ("it", "@/open:/usr/bin:/bin", 127, "not found in PATH"),
    ] {
        assert_eq!(ends(&["/usr/bin/env"], word, search).code, code, "env {word} {search}");
        let outcome = ends(&introspod, word, search).expect_code(code);
        assert!(outcome.stderr.trim_end().ends_with(why), "{outcome:#?}");
    }
}

#[test]
fn what_is_there_and_cannot_be_executed_is_126() {
    let script = |content: &str, mode: u32| {
        let directory = file("it", content, mode);
        let path = directory.path().join("it").to_str().unwrap().to_owned();
        (directory, path)
    };
    let (_keep, path) = script(SAY, 0o644);
    fails(&path, 126, "permission denied");
    fails("/etc", 126, "is a directory");
    let (_keep, path) = script("echo no interpreter is named\n", 0o755);
    fails(&path, 126, "#! line");
    let (_keep, path) = script("", 0o755);
    fails(&path, 126, "#! line");
    let (_keep, path) = script("#!/no/such/interpreter\n", 0o755);
    fails(&path, 126, "interpreter");
    let (_keep, path) = script("\x7fELF garbage", 0o755);
    fails(&path, 126, "not a program for this machine");
}

#[test]
fn a_dangling_link_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/no/such/target", &link).unwrap();
    fails(link.to_str().unwrap(), 127, "no such file");
}

#[test]
fn what_introspod_itself_fails_at_is_125() {
    for arguments in [
        &["exec"][..],
        &["exec", "--"],
        &["exec", "--no-such-option", "true"],
        &["exec", "--set", "true"],
        &["exec", "--set", "A=metadata.nam", "true"],
        &["exec", "--require", "NOPE", "true"],
        &["exec", "--out", "/no/such/directory/x.env", "true"],
        &["exec", "--out", "x.txt", "true"],
        &["exec", "--mode", "999", "true"],
        &["exec", "--api", "sometimes", "true"],
        &["exec", "--timeout", "soon", "true"],
        &["exec", "--root", "/no/such/root", "true"],
        &["exec", "--pod", "/no/such/pod.json", "true"],
        &["exec", "--container"],
    ] {
        let outcome = run(introspod(arguments)).expect_code(125);
        let line = only_line(&outcome);
        assert!(line.starts_with("introspod: error: "), "{arguments:?}: {line}");
        assert_eq!(outcome.stdout, "");
    }
}

fn run_in(path: Option<&str>, directory: &Path, word: &str) -> Outcome {
    let mut command = introspod(["exec", "--", word]);
    command.current_dir(directory);
    match path {
        Some(path) => command.env("PATH", path),
        None => command.env_remove("PATH"),
    };
    run(command)
}

#[test]
fn the_first_directory_of_path_that_has_it_counts() {
    let (one, other) = (file("it", SAY, 0o755), file("it", SAY, 0o755));
    let path = format!("/no/such/place:{}:{}", one.path().display(), other.path().display());
    let outcome = run_in(Some(&path), Path::new("/"), "it").expect_code(0);
    assert_eq!(outcome.stdout, format!("ran {}/it\n", one.path().display()));
}

#[test]
fn what_is_not_executable_is_passed_over_if_a_later_directory_has_it() {
    let (one, other) = (file("it", SAY, 0o644), file("it", SAY, 0o755));
    let path = format!("{}:{}", one.path().display(), other.path().display());
    let outcome = run_in(Some(&path), Path::new("/"), "it").expect_code(0);
    assert_eq!(outcome.stdout, format!("ran {}/it\n", other.path().display()));
    let outcome = run_in(Some(one.path().to_str().unwrap()), Path::new("/"), "it").expect_code(126);
    assert!(only_line(&outcome).contains("permission denied"));
}

#[test]
fn a_directory_of_that_name_in_path_is_not_the_command() {
    let (one, other) = (tempfile::tempdir().unwrap(), file("it", SAY, 0o755));
    std::fs::create_dir(one.path().join("it")).unwrap();
    let path = format!("{}:{}", one.path().display(), other.path().display());
    run_in(Some(&path), Path::new("/"), "it").expect_code(0);
    let outcome = run_in(Some(one.path().to_str().unwrap()), Path::new("/"), "it").expect_code(126);
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn without_path_the_system_s_directories_are_searched() {
    let directory = file("sh", SAY, 0o755);
    let mut command = introspod(["exec", "sh", "-c", "echo the shell"]);
    command.env_remove("PATH").current_dir(directory.path());
    assert_eq!(run(command).expect_code(0).stdout, "the shell\n");
}

#[test]
fn an_empty_entry_of_path_is_the_current_directory() {
    let directory = file("it", SAY, 0o755);
    for path in ["", ":/no/such", "/no/such:", "/no::/such"] {
        run_in(Some(path), directory.path(), "it").expect_code(0);
    }
    run_in(Some("/no/such"), directory.path(), "it").expect_code(127);
}

#[test]
fn a_word_with_a_slash_is_not_looked_up() {
    let directory = file("it", SAY, 0o755);
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    put(&directory.path().join("sub"), "it", SAY, 0o755);
    let path = directory.path().to_str().unwrap();
    assert_eq!(run_in(Some(path), directory.path(), "sub/it").expect_code(0).stdout, "ran sub/it\n");
    run_in(Some(path), Path::new("/"), "sub/it").expect_code(127);
}

#[test]
fn the_path_is_that_of_the_application() {
    let directory = file("it", SAY, 0o755);
    let pod = annotated([("path", directory.path().to_str().unwrap())]);
    let options = ["--set", "PATH=metadata.annotations['path']", "--override=*", "it"];
    let outcome = crate::made::run_with_pod("exec", options, &pod).expect_code(0);
    assert!(outcome.stdout.starts_with("ran "), "{outcome:?}");
}

#[test]
fn there_is_no_shell_to_fall_back_on() {
    let directory = file("it", "echo a shell ran me\n", 0o755);
    let outcome = run_in(Some(directory.path().to_str().unwrap()), Path::new("/"), "it").expect_code(126);
    assert_eq!(outcome.stdout, "");
    assert!(only_line(&outcome).contains("#!"));
}

#[test]
fn a_known_variable_satisfies_require_and_an_unknown_one_is_named() {
    let pod = with_resources(json!({"limits": {"memory": "64Mi"}}));
    let exec =
        |options: &[&str]| crate::made::run_with_pod("exec", [options, &["echo", "started"]].concat(), &pod);
    let known = exec(&["--require", "POD_NAME", "--require=CONTAINER_MEMORY_LIMIT_KIBIBYTES"]).expect_code(0);
    assert_eq!(known.stdout, "started\n");
    for name in ["CONTAINER_CPU_LIMIT_MILLICORES", "NODE_NAME", "ANY_OTHER"] {
        let outcome = exec(&["--require", "POD_NAME", "--require", name]).expect_code(125);
        assert_eq!(outcome.stdout, "", "it was not started");
        assert!(only_line(&outcome).contains(&format!("required variable {name} is not known: ")));
    }
}

#[test]
fn an_entry_of_path_that_is_longer_than_a_path_can_be_is_passed_over() {
    let long = "x".repeat(5000);
    for path in [format!("/{long}:/bin"), format!("/nowhere:/{long}:/bin"), format!("/bin:/{long}")] {
        for program in [&["/usr/bin/env"][..], &[INTROSPOD, "exec", "--"]] {
            let mut command = Command::new(program[0]);
            command.args(&program[1..]).arg("true").env_clear().env("PATH", &path);
            run(command).expect_code(0);
        }
    }
    let mut command = introspod(["exec", "no-such-command"]);
    command.env("PATH", format!("/{long}"));
    assert!(only_line(&run(command).expect_code(127)).contains("not found in PATH"));
}
