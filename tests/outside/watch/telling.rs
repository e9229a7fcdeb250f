//! `--notify`: the application gets a notification of each visible change, even if it behaves badly.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::needs::{is_root, needs};

/// A request as it arrived, and the way to answer it.
struct Told {
    head: String,
    body: Vec<u8>,
    arrived: Instant,
    stream: TcpStream,
}

impl Told {
    fn answer(mut self, status: &str) {
        // The client may have closed the connection before the answer.
        let _ = write!(self.stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}

/// The application's HTTP listener, with its own address, so that it can stop and start.
struct Application {
    address: SocketAddr,
    sender: Sender<Told>,
    told: Receiver<Told>,
}

impl Application {
    /// One that does not listen yet.
    fn down() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        // All of 127.0.0.0/8 is loopback; the other tests, and other runs of these, are elsewhere.
        let [_, .., high, low] = std::process::id().to_be_bytes();
        let own = Ipv4Addr::new(127, 1 + high % 250, low, NEXT.fetch_add(1, Ordering::Relaxed));
        let address = TcpListener::bind((own, 0)).unwrap().local_addr().unwrap();
        let (sender, told) = channel();
        Application { address, sender, told }
    }

    fn up() -> Self {
        let application = Application::down();
        application.listen();
        application
    }

    fn listen(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let sender = self.sender.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(told) = read(stream.unwrap()) else { continue };
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
    }

    fn option(&self) -> String {
        format!("--notify=http://{}/-/reload?now=1", self.address)
    }

    /// The next request.
    #[track_caller]
    fn next(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("a notification")
    }

    /// Checks that there are no more notifications.
    #[track_caller]
    fn assert_untold(&self) {
        assert!(self.told.try_recv().is_err(), "one notification too many");
    }
}

/// Reads a request: to the end of its head, and what comes after it in the same breath.
fn read(mut stream: TcpStream) -> Option<Told> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8(bytes).unwrap();
            return Some(Told { head, body, arrived: Instant::now(), stream });
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            count => bytes.extend(&buffer[..count]),
        }
    }
}

const WELL: &str = "204 No Content";

#[test]
fn one_post_for_each_change_that_shows() {
    let (world, mut volume) = labelled();
    world.write("out/pod.json", "{}");
    let application = Application::up();
    let watching = Watching::start(&world, [application.option()]);
    watching.wait_for_label("red");
    // Nothing shows of a swap that changes nothing.
    watching.after(|| volume.label("red"));
    for (number, (team, status)) in
        [("blue", WELL), ("green", "200 OK"), ("red", WELL)].into_iter().enumerate()
    {
        volume.label(team);
        watching.wait_for_label(team);
        let told = application.next();
        assert_eq!(watching.document().unwrap()["pod"]["labels"]["team"], team, "the file is first");
        assert!(told.head.starts_with("POST /-/reload?now=1 HTTP/1.1\r\n"), "{}", told.head);
        let head = told.head.to_ascii_lowercase();
        assert!(head.contains("\r\ncontent-length: 0\r\n"), "some servers insist: {head}");
        assert!(head.contains(&format!("\r\nhost: {}\r\n", application.address)), "{head}");
        assert!(!head.contains("authorization") && !head.contains("chunked"), "{head}");
        assert_eq!(told.body, b"");
        told.answer(status);
        let line = watching.wait_for_lines(number + 1, ": notified");
        assert!(line.contains("/-/reload") && !line.contains("now=1"), "a query may hold a token: {line}");
        application.assert_untold();
    }
    assert_eq!(watching.complaints(), [""; 0]);
}

#[test]
fn localhost_is_the_loopback() {
    let (world, mut volume) = labelled();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let watching = Watching::start(&world, [format!("--notify=http://localhost:{port}")]);
    watching.wait_for_label("red");
    volume.label("blue");
    let told = read(listener.accept().unwrap().0).unwrap();
    assert!(told.head.starts_with("POST / HTTP/1.1\r\n"), "{}", told.head);
    told.answer(WELL);
    watching.wait_for_lines(1, ": notified");
}

#[test]
fn a_burst_is_one() {
    const CHANGES: usize = 4;
    let application = Application::up();
    // On a busy machine the changes may take longer than a burst. Then the test tries again.
    for _ in 0..20 {
        let (world, mut volume) = labelled();
        let watching = Watching::start(&world, [application.option()]);
        watching.wait_for_label("red");
        let start = Instant::now();
        for number in 1..=CHANGES {
            volume.label(&number.to_string());
            watching.wait_for_label(&number.to_string());
        }
        watching.wait_for_lines(CHANGES, "changed: ");
        let took = start.elapsed();
        let told = application.next();
        assert!(told.arrived - start >= Duration::from_millis(100), "it waits for a burst to end");
        told.answer(WELL);
        if took < Duration::from_millis(90) {
            watching.wait_for_lines(1, ": notified");
            volume.label("last");
            application.next().answer(WELL);
            watching.wait_for_lines(2, ": notified");
            application.assert_untold();
            return;
        }
        drop(watching);
        while application.told.try_recv().is_ok() {}
    }
    panic!("{CHANGES} changes never came within 90 ms: this machine is too busy");
}

#[test]
fn an_application_that_is_down_is_told_once_it_is_up() {
    let (world, mut volume) = labelled();
    let application = Application::down();
    let watching = Watching::start(&world, [application.option()]);
    watching.wait_for_label("red");
    volume.label("blue");
    let line = watching.wait_for_lines(2, "trying again");
    assert!(line.contains("Connection refused"), "{line}");
    // The same notification covers the changes during the pause.
    for (number, team) in ["green", "yellow"].into_iter().enumerate() {
        volume.label(team);
        watching.wait_for_label(team);
        watching.wait_for_lines(number + 2, "changed: ");
    }
    application.listen();
    application.next().answer(WELL);
    watching.wait_for_lines(1, ": notified");
    volume.label("red");
    application.next().answer(WELL);
    watching.wait_for_lines(2, ": notified");
    application.assert_untold();
    assert_eq!(watching.complaints(), [""; 0]);
}

#[test]
fn an_application_that_fails_is_told_again() {
    let (world, mut volume) = labelled();
    let application = Application::up();
    let watching = Watching::start(&world, [application.option()]);
    watching.wait_for_label("red");
    volume.label("blue");
    // Redirects are not followed, because they may lead anywhere.
    let failing =
        ["500 Internal Server Error", "503 Service Unavailable", "307 Temporary Redirect\r\nLocation: /"];
    for (number, status) in failing.into_iter().enumerate() {
        application.next().answer(status);
        let line = watching.wait_for_lines(number + 1, "trying again");
        assert!(!line.contains("now=1"), "a query may hold a token: {line}");
        assert!(line.contains(&format!("the application answered {}", &status[..3])), "{line}");
    }
    // One that goes away without an answer.
    drop(application.next());
    watching.wait_for_lines(4, "trying again");
    application.next().answer(WELL);
    watching.wait_for_lines(1, ": notified");
    volume.label("green");
    application.next().answer(WELL);
    watching.wait_for_lines(2, ": notified");
    application.assert_untold();
    assert_eq!(watching.complaints(), [""; 0]);
}

#[test]
fn an_application_that_is_slow_does_not_hold_up_the_files() {
    let (world, mut volume) = labelled();
    let application = Application::up();
    let watching = Watching::start(&world, [application.option()]);
    watching.wait_for_label("red");
    volume.label("blue");
    let slow = application.next();
    for (number, team) in ["green", "yellow", "red"].into_iter().enumerate() {
        volume.label(team);
        watching.wait_for_label(team);
        watching.wait_for_lines(number + 2, "changed: ");
    }
    application.assert_untold();
    slow.answer(WELL);
    watching.wait_for_lines(1, ": notified");
    // The application may have read the file before the other changes, so it gets one more notification.
    application.next().answer(WELL);
    watching.wait_for_lines(2, ": notified");
    volume.label("blue");
    application.next().answer(WELL);
    watching.wait_for_lines(3, ": notified");
    application.assert_untold();
}

#[test]
fn an_address_that_is_none_is_an_error_of_usage_without_its_secrets() {
    let world = World::empty();
    for (url, words) in [
        ("9090", "must be a full URL, such as http://127.0.0.1:9090/-/reload"),
        ("localhost:9090/-/reload?token=hunter2", "missing scheme: use http://localhost:9090"),
        ("http://admin:hunter2@127.0.0.1/", "credentials"),
        ("http://hunter2@10.0.0.1/?token=hunter2", "loopback"),
        ("https://127.0.0.1/?token=hunter2", "http://"),
        ("http://127.0.0.1:99999/?token=hunter2", "port"),
        ("http://", "full URL"),
    ] {
        let outcome = world.run(["watch", "--out", "/nowhere/x.env", "--notify", url]).expect_code(2);
        assert!(outcome.stderr.contains("--notify") && outcome.stderr.contains(words), "{outcome:#?}");
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
    }
}

/// A process with this name that writes a line to `log` for each SIGHUP; killed when dropped.
struct Named(Child);

impl Named {
    fn start(world: &World, name: &str, log: &Path) -> Self {
        let program = world.path().join(name);
        let script = "#!/bin/sh\ntrap 'echo hup >>\"$0.log\"' HUP\n: >\"$0.log\"\nwhile :; do sleep 1 & wait $!; done\n";
        if !program.exists() {
            crate::world::write_executable(&program, script, 0o755);
        }
        let child = Command::new(program).stdin(Stdio::piped()).spawn().unwrap();
        wait_for("its trap", || log.exists().then_some(()));
        Named(child)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_signal_goes_to_the_oldest_process_of_that_name() {
    let (world, mut volume) = labelled();
    // The kernel keeps 15 bytes of a name.
    let name = format!("ngx-{}-long-name", std::process::id());
    let log = world.path().join(format!("{name}.log"));
    let watching = Watching::start(&world, [format!("--notify=signal:HUP@{name}")]);
    watching.wait_for_label("red");
    volume.label("blue");
    let line = watching.wait_for_lines(1, "trying again");
    assert!(line.contains("shareProcessNamespace"), "{line}");
    let oldest = Named::start(&world, &name, &log);
    watching.wait_for_lines(1, &format!("SIGHUP to {name}: notified"));
    wait_for("the signal", || (fs::read_to_string(&log).unwrap() == "hup\n").then_some(()));
    let younger = Named::start(&world, &name, &log);
    fs::remove_file(&log).unwrap();
    watching.after(|| volume.label("green"));
    watching.wait_for_lines(2, ": notified");
    wait_for("the signal", || (fs::read_to_string(&log).is_ok_and(|text| text == "hup\n")).then_some(()));
    assert_eq!(watching.complaints(), [""; 0]);
    drop((oldest, younger));
}

#[test]
fn a_signal_without_permission_says_what_it_needs() {
    if !needs("root", is_root) {
        return;
    }
    let (world, mut volume) = labelled();
    let name = format!("ngy-{}", std::process::id());
    let mut application = Command::new("setpriv");
    application.args([
        "--reuid=65534",
        "--clear-groups",
        "sh",
        "-c",
        "echo $1 >/proc/$$/comm; read line",
        "sh",
    ]);
    let mut application = application.arg(&name).stdin(Stdio::piped()).spawn().unwrap();
    let comm = format!("/proc/{}/comm", application.id());
    wait_for("its name", || (fs::read_to_string(&comm).unwrap().trim() == name).then_some(()));
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-kill", INTROSPOD]);
    let watching = Watching::spawn(&world, command, [format!("--notify=signal:SIGHUP@{name}")]);
    watching.wait_for_label("red");
    volume.label("blue");
    let line = watching.wait_for_lines(1, "not notified");
    assert!(
        line.starts_with("introspod: warn: ") && line.contains("runAsUser") && line.contains("KILL"),
        "{line}"
    );
    application.kill().unwrap();
    application.wait().unwrap();
}

#[test]
fn a_signal_that_is_none_is_an_error_of_usage() {
    let world = World::empty();
    for value in [
        "signal:",
        "signal:HUP",
        "signal:HUP@",
        "signal:@nginx",
        "signal:NOPE@nginx",
        "signal:1@nginx",
        "signal:HUP@/usr/sbin/nginx",
    ] {
        let outcome = world.run(["watch", "--out", "/nowhere/x.env", "--notify", value]).expect_code(2);
        assert!(
            outcome.stderr.contains("must name a signal and a process, such as signal:HUP@nginx"),
            "{outcome:#?}"
        );
    }
}
