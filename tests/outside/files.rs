//! Files from templates: `--template`, `--file`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::made::{lines, only_line, output};
use crate::world::{Outcome, World, introspod, pod_json, run};

/// A directory with a template `in` and room for results.
struct Place {
    world: World,
    directory: tempfile::TempDir,
}

fn place(template: impl AsRef<[u8]>) -> Place {
    let place = Place { world: World::recorded("downward", "main"), directory: tempfile::tempdir().unwrap() };
    fs::write(place.path("in"), template).unwrap();
    place
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `IN:OUT` of files in the directory.
    fn pair(&self, input: &str, out: &str) -> String {
        format!("{}:{}", self.path(input).display(), self.path(out).display())
    }

    fn write(&self, options: &[&str]) -> Outcome {
        self.world.run([&["write", "--api=never"], options].concat())
    }

    /// The content of `out` after `--template in:out`.
    fn rendered(&self, options: &[&str]) -> Vec<u8> {
        let pair = self.pair("in", "out");
        self.write(&[options, &["--template", &pair]].concat()).expect_code(0);
        fs::read(self.path("out")).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    fn names(&self) -> Vec<String> {
        names(self.directory.path())
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn references_are_replaced_and_everything_else_is_kept_byte_for_byte() {
    for (template, expected) in [
        (&b"name=$(POD_NAME)\n"[..], &b"name=downward\n"[..]),
        (b"$(metadata.labels['foo']):$(metadata.uid)", b"bar:e9547980-83bf-438d-9893-b0834b7358b8"),
        (b"a\r\n$(POD_NAME)\r\n\r\n", b"a\r\ndownward\r\n\r\n"),
        (b"\xff\x00$(POD_NAME)\xfe\n", b"\xff\x00downward\xfe\n"),
        (b"\xef\xbb\xbf$(POD_NAME)", b"\xef\xbb\xbfdownward"),
        (b"", b""),
        (b"$HOME ${POD_NAME} $POD_NAME $ ( $", b"$HOME ${POD_NAME} $POD_NAME $ ( $"),
        (b"$$(POD_NAME) $$$(POD_NAME) $$", b"$(POD_NAME) $$(POD_NAME) $$"),
        (b"$(max(limits.memory - 32Mi, 8Mi)) $(NOBODY_S:-'none')", b"33554432 none"),
        (b"[$(OWN)]", b"[of --set downward]"),
        (b"a\n\nlast without newline $(POD_IP)", b"a\n\nlast without newline 10.244.0.3"),
    ] {
        let place = place(template);
        let found = place.rendered(&["--container=main", "--set=OWN=of --set $(POD_NAME)"]);
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(template));
        assert_eq!((place.mode("out"), place.names()), (0o644, vec!["in".to_owned(), "out".to_owned()]));
    }
}

#[test]
fn a_large_template_with_many_references_is_no_trouble() {
    let line = format!("{}$(POD_NAME)\n", "x".repeat(80));
    let place = place(line.repeat(10_000));
    let expected = line.replace("$(POD_NAME)", "downward").repeat(10_000);
    assert!(place.rendered(&[]) == expected.as_bytes());
}

#[test]
fn what_is_unknown_is_named_with_its_file_line_and_reason_and_nothing_is_written() {
    let place = place("a\n$(POD_NAME) $(CONTAINER_IMAGE)\n\nb $(metadata.labels['none'])$(NOBODY_S)\n");
    fs::write(place.path("good"), "$(POD_NAME)").unwrap();
    let (good, pair, out) = (place.pair("good", "made"), place.pair("in", "out"), place.path("x.env"));
    let options = ["--template", &good, "--template", &pair, "--out", out.to_str().unwrap()];
    let outcome = place.write(&options).expect_code(1);
    let errors: Vec<&str> = lines(&outcome).into_iter().filter(|line| line.contains(" error: ")).collect();
    let file = place.path("in").display().to_string();
    for (error, part) in errors.iter().zip([
        ", line 2: $(CONTAINER_IMAGE): container.image ",
        ", line 4: $(metadata.labels['none']): ",
        ", line 4: $(NOBODY_S): ",
    ]) {
        assert!(error.contains(&format!("{file}{part}")), "{error}");
    }
    assert_eq!(errors.len(), 3, "{outcome:?}");
    assert_eq!(place.names(), ["good", "in"], "nothing is written");
    // exec does not start the application on half a configuration.
    let mut command =
        place.world.command(["exec", "--api=never", "--template", &pair, "--", "echo", "started"]);
    command.env("OTHER", "");
    let outcome = run(command);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (125, ""), "{outcome:?}");
    assert_eq!(place.names(), ["good", "in"]);
}

#[test]
fn a_malformed_reference_is_a_usage_error_with_its_line() {
    for (text, part) in [
        ("a\nb\n$(metadata.nam)", "line 3: "),
        ("$(POD_NAME", "line 1: "),
        ("\n$(limits.memory*)", "line 2: "),
        ("$(date +%s)", "line 1: "),
    ] {
        let place = place(text);
        let pair = place.pair("in", "out");
        let outcome = place.write(&["--template", &pair]).expect_code(2);
        assert!(only_line(&outcome).contains(part), "{outcome:?}");
        let outcome = place.world.run(["exec", "--template", &pair, "--", "true"]).expect_code(125);
        assert!(only_line(&outcome).contains(part), "{outcome:?}");
        assert_eq!(place.names(), ["in"]);
    }
}

#[test]
fn a_directory_is_rendered_file_by_file() {
    let place = place("");
    // As the kubelet mounts a ConfigMap.
    let version = place.path("map/..2026_01_01");
    fs::create_dir_all(version.join("sub")).unwrap();
    for (name, text) in [("a.conf", "a $(POD_NAME)"), ("b", "b\r\n"), (".hidden", "$(POD_NAM")] {
        fs::write(version.join(name), text).unwrap();
        symlink(format!("..data/{name}"), place.path("map").join(name)).unwrap();
    }
    fs::write(version.join("sub/c"), "c").unwrap();
    symlink("..2026_01_01", place.path("map/..data")).unwrap();
    let pair = place.pair("map", "made");
    place.write(&["--template", &pair]).expect_code(0);
    assert_eq!(names(&place.path("made")), ["a.conf", "b"]);
    assert_eq!(fs::read_to_string(place.path("made/a.conf")).unwrap(), "a downward");
    assert_eq!(fs::read_to_string(place.path("made/b")).unwrap(), "b\r\n");
    // Only the last component is created, and only for a directory.
    for pair in [place.pair("map", "no/such"), place.pair("in", "no/such")] {
        assert!(only_line(&place.write(&["--template", &pair]).expect_code(1)).contains("does not exist"));
    }
    // An error names the file by the name that its author knows.
    fs::write(version.join("a.conf"), "\n$(NOBODY_S)").unwrap();
    let outcome = place.write(&["--template", &pair]).expect_code(1);
    assert!(
        only_line(&outcome).contains(&format!("{}/a.conf, line 2: ", place.path("map").display())),
        "{outcome:?}"
    );
    assert_eq!(fs::read_to_string(place.path("made/a.conf")).unwrap(), "a downward", "it stays");
}

#[test]
fn a_file_from_a_text_ends_in_a_newline() {
    let place = place("");
    let file = |name: &str, text: &str| format!("{}={text}", place.path(name).display());
    let files = [file("myid", "$(max(0, 1) + 1)"), file("a", "x=$(POD_NAME)=y\n"), file("empty", "")];
    place.write(&["--file", &files[0], "--file", &files[1], "--file", &files[2]]).expect_code(0);
    for (name, text) in [("myid", "2\n"), ("a", "x=downward=y\n"), ("empty", "\n")] {
        assert_eq!(fs::read_to_string(place.path(name)).unwrap(), text);
    }
    // As a variable, one on each line.
    let mut command = place.world.command(["exec", "--", "true"]);
    command.env("INTROSPOD_FILE", format!("{}\n{}\n", file("b", "1"), file("c", "$(POD_NAME)")));
    command.env("INTROSPOD_TEMPLATE", format!("# a comment\n{}\n", place.pair("in", "d")));
    run(command).expect_code(0);
    assert_eq!(fs::read_to_string(place.path("c")).unwrap(), "downward\n");
    assert_eq!(fs::read_to_string(place.path("d")).unwrap(), "");
    for (name, value) in
        [("INTROSPOD_FILE", "x"), ("INTROSPOD_TEMPLATE", "/in"), ("INTROSPOD_FILE", "/x=$(POD_NAM")]
    {
        let mut command = place.world.command(["exec", "--", "true"]);
        command.env(name, value);
        only_line(&run(command).expect_code(125));
    }
    // The kubelet may have expanded a secret in the text.
    for (text, code) in [("$(no.field) swordfish", 2), ("\n$(replace(NOBODY_S, 'swordfish', 'x'))", 1)] {
        let secret = file("s", text);
        let outcome = place.write(&["--file", &secret]).expect_code(code);
        assert!(!only_line(&outcome).contains("swordfish"), "{outcome:?}");
        assert!(only_line(&outcome).contains(", line "), "{outcome:?}");
    }
}

#[test]
fn a_private_file_is_its_owner_s_alone() {
    let place = place("password=$(file('/etc/password'))\n");
    place.world.write("etc/password", "swordfish\n");
    assert_eq!(place.rendered(&[]), b"password=swordfish\n");
    assert_eq!(place.mode("out"), 0o600);
    assert_eq!(place.rendered(&["--mode=0640"]), b"password=swordfish\n");
    assert_eq!(place.mode("out"), 0o640, "a mode alone is a difference");
    let pair = place.pair("in", "out");
    let mut command = place.world.command(["write", "--template", &pair]);
    command.env("INTROSPOD_LOG", "info");
    let outcome = run(command).expect_code(0);
    assert!(outcome.stderr.contains("0600") && !outcome.stderr.contains("swordfish"), "{outcome:?}");
    // It is not shown.
    let shown = place.world.run(["print", "--template", place.path("in").to_str().unwrap()]).expect_code(0);
    assert_eq!(shown.stdout, "password=$(file('/etc/password'))\n");
}

#[test]
fn a_file_is_replaced_only_if_its_bytes_or_its_mode_differ() {
    let place = place("$(POD_NAME)\n");
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(place.path("out")).unwrap());
    place.rendered(&[]);
    // Another file takes the number of the replaced one only if that is free.
    let _held = fs::File::open(place.path("out")).unwrap();
    let first = inode();
    place.rendered(&[]);
    assert_eq!(inode(), first);
    fs::write(place.path("in"), "$(POD_IP)\n").unwrap();
    place.rendered(&[]);
    assert_ne!(inode(), first);
}

#[test]
fn usage_errors_come_before_any_file() {
    let place = place("x");
    fs::write(place.path("large"), vec![b'x'; (1 << 20) + 1]).unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    fs::write(place.path("dir/a"), "a").unwrap();
    let (same, dot) = (place.pair("in", "out"), place.pair("in", "./out"));
    let out = format!("--out={}", place.path("x.env").display());
    let of_out = place.pair("in", "x.env");
    let file = format!("{}=y", place.path("out").display());
    let (itself, large, itself_dir) =
        (place.pair("in", "in"), place.pair("large", "out"), place.pair("dir", "dir"));
    symlink(place.path("in"), place.path("link")).unwrap();
    let by_link = place.pair("link", "in");
    for options in [
        &["--template", &same, "--template", &dot][..],
        &["--template", &same, "--file", &file],
        &[&out, "--template", &of_out],
        &["--template", &itself],
        &["--template", &by_link],
        &["--template", &itself_dir],
        &["--template", &large],
        &["--template", "/in"],
        &["--template", ":/out"],
        &["--file", "/out"],
        &["--file", "=x"],
        &["--container=a", "--container=b", "--template", &same],
        &["--template", "/in:/{container}"],
    ] {
        let outcome = place.write(options).expect_code(2);
        only_line(&outcome);
        assert_eq!(place.names(), ["dir", "in", "large", "link"], "{options:?}");
    }
    for input in ["none", "dir/none"] {
        let pair = place.pair(input, "out");
        assert!(only_line(&place.write(&["--template", &pair]).expect_code(1)).contains(input));
    }
    nix::unistd::mkfifo(&place.path("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    for input in ["/dev/zero", place.path("fifo").to_str().unwrap()] {
        let pair = format!("{input}:{}", place.path("out").display());
        assert!(
            only_line(&place.write(&["--template", &pair]).expect_code(1)).contains("not a regular file")
        );
    }
}

#[test]
fn each_container_gets_its_own_files_from_templates() {
    let place = place("$(container.name)");
    let (pair, file) = (
        place.pair("in", "{container}.conf"),
        format!("{}=$(CONTAINER_NAME)", place.path("{container}.id").display()),
    );
    place
        .write(&["--container=app", "--container=side", "--template", &pair, "--file", &file])
        .expect_code(0);
    for name in ["app", "side"] {
        assert_eq!(fs::read_to_string(place.path(&format!("{name}.conf"))).unwrap(), name);
        assert_eq!(fs::read_to_string(place.path(&format!("{name}.id"))).unwrap(), format!("{name}\n"));
    }
}

#[test]
fn print_shows_what_a_template_gives() {
    let place = place("name=$(POD_NAME) zone=$(node.labels['topology.kubernetes.io/zone']:-'none')");
    let input = place.path("in");
    let outcome = place.world.run(["print", "--template", input.to_str().unwrap()]).expect_code(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("name=downward zone=none", ""));
    let mut command = introspod(["print", "--template"]);
    command.arg(&input).arg("--pod").arg(pod_json("bare")).env("INTROSPOD_FORMAT", "json");
    assert_eq!(run(command).expect_code(0).stdout, "name=bare zone=none");
    // It reads none of the variable, which is for another subcommand.
    let mut command = place.world.command(["print", "--format=json"]);
    command.env("INTROSPOD_TEMPLATE", "/none:/x").env("INTROSPOD_FILE", "x").env("INTROSPOD_WAIT", "x");
    run(command).expect_code(0).json();
    fs::write(place.path("a:b"), "colon").unwrap();
    let both = [place.path("a:b"), place.path("in")].map(|path| path.to_str().unwrap().to_owned());
    let outcome = place.world.run(["print", "--template", &both[0], "--template", &both[1]]).expect_code(0);
    let expected = format!("==> {} <==\ncolon==> {} <==\nname=downward zone=none", both[0], both[1]);
    assert_eq!(outcome.stdout, expected);
    fs::write(&input, "$(NOBODY_S)").unwrap();
    let outcome = place.world.run(["print", "--template", input.to_str().unwrap()]).expect_code(1);
    assert!(outcome.stdout.is_empty() && only_line(&outcome).contains("line 1: $(NOBODY_S)"), "{outcome:?}");
    for option in ["--format=json", "--explain", "POD_NAME"] {
        place.world.run(["print", "--template", input.to_str().unwrap(), option]).expect_code(2);
    }
}

#[test]
fn exec_writes_files_before_it_becomes_the_application() {
    let place = place("id=$(container.name) own=$(OWN)\n");
    let pair = place.pair("in", "out");
    let mut command = introspod(["exec", "--container=app", "--template", &pair, "--", "cat"]);
    command.arg(place.path("out")).env("OWN", "swordfish");
    assert_eq!(run(command).expect_code(0).stdout, "id=app own=swordfish\n");
    assert_eq!(place.mode("out"), 0o600, "a variable of the environment may be a secret");
    let mut command = introspod(["exec", "--template", &pair, "--", "cat"]);
    command.arg(place.path("in")).env("INTROSPOD_DISABLED", "1");
    fs::remove_file(place.path("out")).unwrap();
    run(command).expect_code(0);
    assert_eq!(place.names(), ["in"], "disabled");
}

#[test]
fn a_template_of_bytes_that_are_not_utf_8_from_the_environment() {
    let place = place("$(BYTES)");
    let bytes: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(b"\xff\x80".to_vec());
    let mut command = introspod(["exec", "--template", &place.pair("in", "out"), "--", "cat"]);
    command.arg(place.path("out")).env("BYTES", bytes);
    assert_eq!(output(command).stdout, b"\xff\x80");
}
