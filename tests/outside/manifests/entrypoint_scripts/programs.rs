//! The applications themselves, started with what introspod gives them, and asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Stage;
use crate::needs::{needs, succeeds};
use crate::world::run;

/// How long a program may take to start: a JVM on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that runs; it is ended when dropped.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        Program(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    }
}

impl Program {
    /// Ends it, and what it has started.
    fn end(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// A port where nothing listens.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What a server at `port` answers to `question`, as soon as it listens; it closes the connection after its answer.
#[track_caller]
fn ask(program: &mut Program, port: u16, question: &str) -> String {
    let start = Instant::now();
    loop {
        let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        if let Ok(mut stream) = connected {
            let mut answer = String::new();
            stream.write_all(question.as_bytes()).unwrap();
            if stream.read_to_string(&mut answer).is_ok() && !answer.is_empty() {
                return answer;
            }
        }
        if program.0.try_wait().unwrap().is_some() || start.elapsed() > PATIENCE {
            program.end();
            let mut said = String::new();
            let _ = program.0.stderr.take().unwrap().read_to_string(&mut said);
            panic!("no answer: {said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Stage {
    /// Writes the files, and changes in them what is different here: paths and ports.
    fn render(&self, changes: &[(&str, &str)]) {
        run(self.command(&["true"])).expect_code(0);
        for directory in &self.written {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let mut text = std::fs::read_to_string(&path).unwrap();
                for (from, to) in changes {
                    text = text.replace(from, to);
                }
                std::fs::write(path, text).unwrap();
            }
        }
    }

    fn path(&self, path: &str) -> String {
        super::inside(&self.world, path).display().to_string()
    }

    /// What the application prints: standard output and standard error.
    fn output(&self) -> String {
        let outcome = run(self.command(&[])).expect_code(0);
        outcome.stdout + &outcome.stderr
    }
}

#[test]
fn nginx_has_its_workers_and_answers_with_the_pod() {
    let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists());
    if !needs("the Debian package nginx-light", || nginx.is_some()) {
        return;
    }
    let stage = Stage::new("nginx");
    let port = free_port();
    let (run_directory, listen) = (stage.path("/run/nginx"), format!("listen 127.0.0.1:{port};"));
    stage.render(&[("/run/nginx", &run_directory), ("listen 8080;", &listen), ("/dev/stdout", "/dev/null")]);
    let mut command = Command::new(nginx.unwrap());
    command.args(["-c", &stage.path("/run/nginx/nginx.conf"), "-g", "daemon off;"]);
    let mut program = Program::start(&mut command);
    let answer = ask(&mut program, port, "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nnginx-c8d954974-zskd9 in default on kt-node-1\n"), "{answer}");
    let children = format!("/proc/{0}/task/{0}/children", program.0.id());
    let workers = || std::fs::read_to_string(&children).unwrap().split_whitespace().count();
    let start = Instant::now();
    // It answers as soon as the first one is there.
    while workers() < 2 && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(workers(), 2);
}

#[test]
fn zookeeper_has_the_ordinal_plus_one_as_its_id() {
    const JARS: &str = "/usr/share/java/zookeeper.jar";
    if !needs("the Debian package zookeeper", || {
        Path::new(JARS).exists() && succeeds(Command::new("java").arg("-version"))
    }) {
        return;
    }
    let stage = Stage::new("zookeeper");
    assert!(!Path::new(&stage.path("/data/myid")).exists());
    let ports: Vec<String> = (0..3).map(|_| free_port().to_string()).collect();
    let data = stage.path("/data");
    // The other two servers are not here, so that this one is the ensemble.
    let own = format!(
        "standaloneEnabled=false\nserver.2=127.0.0.1:{}:{};127.0.0.1:{}\n#",
        ports[0], ports[1], ports[2]
    );
    let changes = [
        ("dataDir=/data", format!("dataDir={data}")),
        ("clientPort=2181\n", String::new()),
        ("server.1=", "#".to_owned()),
        ("server.2=", own),
        ("server.3=", "#".to_owned()),
    ];
    let changes: Vec<(&str, &str)> = changes.iter().map(|(from, to)| (*from, to.as_str())).collect();
    stage.render(&changes);
    assert_eq!(std::fs::read_to_string(stage.path("/data/myid")).unwrap(), "2\n");
    let mut command = Command::new("java");
    command.args([
        "-Xmx128m",
        "-cp",
        &format!("{JARS}:/usr/share/java/*"),
        "-Dzookeeper.admin.enableServer=false",
    ]);
    command
        .args(["org.apache.zookeeper.server.quorum.QuorumPeerMain", &stage.path("/run/zookeeper/zoo.cfg")]);
    let mut program = Program::start(&mut command);
    let port = ports[2].parse().unwrap();
    let start = Instant::now();
    let answer = loop {
        let answer = ask(&mut program, port, "conf");
        // It listens before the election is over.
        if !answer.contains("not currently serving") || start.elapsed() > PATIENCE {
            break answer;
        }
    };
    assert!(answer.lines().any(|line| line == "serverId=2"), "{answer}");
}

#[test]
fn a_jvm_has_half_of_the_limit_as_its_heap() {
    if !needs("the Debian package default-jre-headless", || succeeds(Command::new("java").arg("-version"))) {
        return;
    }
    let output = Stage::new("heap").output();
    let line = output.lines().find(|line| line.contains(" MaxHeapSize ")).unwrap();
    assert!(line.contains(&(256 << 20).to_string()), "{line}");
}

#[test]
fn node_js_has_three_quarters_of_the_limit_as_its_heap() {
    if !needs("the Debian package nodejs", || succeeds(Command::new("node").arg("--version"))) {
        return;
    }
    let bytes: u64 = Stage::new("node").output().trim().parse().unwrap();
    // V8 adds the young generation to the old space.
    assert!((384 << 20..512 << 20).contains(&bytes), "{bytes}");
}

#[test]
fn redis_may_use_three_quarters_of_the_limit() {
    if !needs("the Debian package redis-server", || succeeds(Command::new("redis-server").arg("--version"))) {
        return;
    }
    let stage = Stage::new("redis");
    let (port, data) = (free_port().to_string(), stage.path("/data"));
    // Redis 7.0 is the first to know `*` among the addresses.
    stage.render(&[
        ("6379", &port),
        ("bind * -::*", "bind 127.0.0.1"),
        ("dir /data", &format!("dir {data}")),
    ]);
    let mut program = Program::start(Command::new("redis-server").arg(stage.path("/run/redis/redis.conf")));
    let question = "CONFIG GET maxmemory\r\nCONFIG GET replica-announce-ip\r\nQUIT\r\n";
    let answer = ask(&mut program, port.parse().unwrap(), question);
    assert!(answer.contains(&format!("\r\n{}\r\n", (128 << 20) * 3 / 4)), "{answer}");
    assert!(answer.contains("\r\n10.244.0.8\r\n"), "{answer}");
}

#[test]
fn gunicorn_starts_as_many_workers() {
    if !needs("the Debian package gunicorn", || succeeds(Command::new("gunicorn").arg("--version"))) {
        return;
    }
    let stage = Stage::new("gunicorn");
    let port = free_port();
    let bind = format!("--bind=127.0.0.1:{port}");
    let mut words = stage.line.clone();
    words.truncate(words.iter().position(|word| word == "--").unwrap() + 1);
    let mut command = stage.with_words(&words);
    command.args(["gunicorn", &format!("--chdir={}", stage.path("/app")), &bind, "app:app"]);
    let mut program = Program::start(&mut command);
    let lines = BufReader::new(program.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let workers = lines.filter(|line| line.contains("Booting worker")).take(5).count();
    assert_eq!(workers, 5);
    let answer = {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(answer.ends_with("5 workers in gunicorn-c8d954974-zskd9\n"), "{answer}");
}
