//! A test API server: real TLS on loopback, and answers from a script.

mod certificate;
mod response;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nix::libc;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use certificate::{Authority, Certificate, Validity};
pub use response::{Answer, End, Portion, Response};

use crate::world::{World, fixtures};

/// Where the kubelet mounts the token, the authority's certificate and the namespace.
pub const SERVICE_ACCOUNT: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// The signature of every token in these tests: a string to be found nowhere but in requests.
pub const SECRET: &str = "c2lnbmF0dXJlLWZvci10aGUtQVBJLXNlcnZlci1vbmx5";

/// How long a test waits for what must come; far more than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The path with the query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub arrived: Instant,
}

impl Request {
    /// The value of the header `name`, which is written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Decides the answer to each request.
type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

/// Answers the same to every request.
pub fn always(answer: impl Into<Answer>) -> impl FnMut(&Request) -> Answer {
    let answer = answer.into();
    move |_| answer.clone()
}

/// Answers one after the other, and the last one from then on.
pub fn in_order(answers: impl IntoIterator<Item = Answer>) -> impl FnMut(&Request) -> Answer {
    let mut answers: Vec<Answer> = answers.into_iter().collect();
    answers.reverse();
    move |_| match answers.len() {
        1 => answers[0].clone(),
        _ => answers.pop().unwrap(),
    }
}

/// How the server treats a connection.
enum Manner {
    Tls(Arc<ServerConfig>),
    Plain,
    /// Says nothing on the first connection, as a replica that is gone; the others are TLS.
    SilentAtFirst(Arc<ServerConfig>),
    /// Accepts and then says nothing.
    Silent,
    /// Accepts and then resets.
    Resetting,
    /// Resets the first connection, and says nothing on the others.
    ResettingAtFirst,
    /// Answers in plain HTTP, as a Go server does to TLS on a port for HTTP.
    WithoutTls,
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<Request>,
    /// The token that opens; any if there is none.
    token: Option<String>,
    stopped: bool,
}

struct State {
    manner: Manner,
    script: Mutex<Script>,
    log: Mutex<Log>,
    changed: Condvar,
}

/// A running server; it stops when dropped.
pub struct Server {
    address: SocketAddr,
    authority: Authority,
    state: Arc<State>,
}

impl Server {
    /// A server with the right certificate.
    pub fn start(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Server::presenting(Certificate::Valid, script)
    }

    /// A server with a certificate of that kind.
    pub fn presenting(
        certificate: Certificate,
        script: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        let authority = Authority::of(certificate);
        let manner = Manner::Tls(authority.server(certificate));
        Server::run(loopback(), authority, manner, script)
    }

    /// A server with a right certificate, of an authority whose own is valid then.
    pub fn of_authority(validity: Validity, script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let authority = Authority::valid(validity);
        let manner = Manner::Tls(authority.server(Certificate::Valid));
        Server::run(loopback(), authority, manner, script)
    }

    /// A server at an address that the machine may not have.
    pub fn at(
        address: impl Into<IpAddr>,
        script: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((address.into(), 0))?;
        let authority = Authority::new("kubernetes");
        let manner = Manner::Tls(authority.server(Certificate::Valid));
        Ok(Server::run(listener, authority, manner, script))
    }

    /// A server of plain HTTP that asks for no token, as `kubectl proxy` is one.
    pub fn plain(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Server::run(loopback(), Authority::new("kubernetes"), Manner::Plain, script)
    }

    /// A server with several replicas. The replica for the first connection is gone.
    pub fn silent_at_first(script: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        let authority = Authority::new("kubernetes");
        let manner = Manner::SilentAtFirst(authority.server(Certificate::Valid));
        Server::run(loopback(), authority, manner, script)
    }

    /// A server that accepts connections and says nothing: TLS hangs.
    pub fn silent() -> Self {
        Server::run(loopback(), Authority::new("kubernetes"), Manner::Silent, unasked)
    }

    /// A server of plain HTTP where TLS is expected.
    pub fn without_tls() -> Self {
        Server::run(loopback(), Authority::new("kubernetes"), Manner::WithoutTls, unasked)
    }

    /// A server that resets every connection before TLS.
    pub fn resetting() -> Self {
        Server::run(loopback(), Authority::new("kubernetes"), Manner::Resetting, unasked)
    }

    /// A server that resets the first connection, and says nothing on the others.
    pub fn resetting_at_first() -> Self {
        Server::run(loopback(), Authority::new("kubernetes"), Manner::ResettingAtFirst, unasked)
    }

    fn run(
        listener: TcpListener,
        authority: Authority,
        manner: Manner,
        script: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let script: Mutex<Script> = Mutex::new(Box::new(script));
        let (log, changed) = (Mutex::default(), Condvar::new());
        let state = Arc::new(State { manner, script, log, changed });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &accepting));
        Server { address, authority, state }
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        let scheme = if matches!(self.state.manner, Manner::Plain) { "http" } else { "https" };
        format!("{scheme}://{}", self.address)
    }

    /// The address and the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The content of the `ca.crt` that belongs to the server.
    pub fn ca(&self) -> String {
        self.authority.pem()
    }

    /// A certificate that the authority has signed and that is not a CA certificate.
    pub fn leaf(&self) -> String {
        self.authority.leaf_pem()
    }

    /// A recorded container with a service account of this server.
    pub fn world(&self, pod: &str, container: &str) -> World {
        let (world, token) = (World::recorded(pod, container), token(pod));
        world
            .write(&format!("{SERVICE_ACCOUNT}/ca.crt"), self.ca())
            .write(&format!("{SERVICE_ACCOUNT}/token"), &token)
            .write(&format!("{SERVICE_ACCOUNT}/namespace"), "default");
        self.accept_token(&token);
        world
    }

    /// From now on only this token opens the server; any other gets the recorded 401.
    pub fn accept_token(&self, token: &str) {
        self.log().token = Some(token.to_owned());
    }

    /// From now on the script alone decides on tokens.
    pub fn accept_any_token(&self) {
        self.log().token = None;
    }

    /// Everything that was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.log().requests.clone()
    }

    /// The paths, with their queries, that were asked for so far.
    pub fn targets(&self) -> Vec<String> {
        self.log().requests.iter().map(|request| request.target.clone()).collect()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.log().connections
    }

    /// Waits until a connection was accepted.
    #[track_caller]
    pub fn wait_for_connection(&self) {
        self.wait_until(|log| log.connections > 0);
    }

    /// Waits until a request has arrived.
    #[track_caller]
    pub fn wait_for_request(&self) {
        self.wait_until(|log| !log.requests.is_empty());
    }

    #[track_caller]
    fn wait_until(&self, condition: impl Fn(&Log) -> bool) {
        let waited = self.state.changed.wait_timeout_while(self.log(), PATIENCE, |log| !condition(log));
        assert!(!waited.unwrap().1.timed_out(), "nothing came");
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.state.log.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(mut log) = self.state.log.lock() {
            log.stopped = true;
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn loopback() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn unasked(request: &Request) -> Answer {
    unreachable!("this server never gets as far as {request:?}")
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let mut log = state.log.lock().unwrap();
        if log.stopped {
            return;
        }
        log.connections += 1;
        let is_first = log.connections == 1;
        drop(log);
        state.changed.notify_all();
        let state = Arc::clone(state);
        // A client that goes away is the client's business: it is what the tests are about.
        thread::spawn(move || converse(stream, &state, is_first));
    }
}

fn converse(stream: TcpStream, state: &State, is_first: bool) -> io::Result<()> {
    // Without it every answer would wait 40 ms for the client's delayed acknowledgement.
    stream.set_nodelay(true)?;
    let socket = stream.try_clone()?;
    match &state.manner {
        Manner::Plain => serve(stream, &socket, state),
        Manner::SilentAtFirst(_) if is_first => hang(stream),
        Manner::Tls(config) | Manner::SilentAtFirst(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            serve(StreamOwned::new(connection, stream), &socket, state)
        }
        Manner::ResettingAtFirst if is_first => reset(&socket),
        Manner::Silent | Manner::ResettingAtFirst => hang(stream),
        Manner::Resetting => reset(&socket),
        Manner::WithoutTls => {
            (&socket).write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent garbage\n")?;
            hang(stream)
        }
    }
}

fn serve(mut stream: impl Read + Write, socket: &TcpStream, state: &State) -> io::Result<()> {
    while let Some(request) = read_request(&mut stream)? {
        match state.answer(request) {
            Answer::Whole(response) => {
                stream.write_all(&[response.head(), response.framed_body()].concat())?;
                stream.flush()?;
            }
            Answer::Part(portion, response, end) => {
                stream.write_all(&portion.of(&response))?;
                stream.flush()?;
                return match end {
                    End::Hang => hang(stream),
                    End::Close => Ok(()),
                    End::Reset => reset(socket),
                };
            }
            Answer::Trickle(pause, response) => {
                for byte in [response.head(), response.framed_body()].concat() {
                    stream.write_all(&[byte])?;
                    stream.flush()?;
                    thread::sleep(pause);
                }
            }
        }
    }
    Ok(())
}

impl State {
    fn answer(&self, request: Request) -> Answer {
        let mut log = self.log.lock().unwrap();
        let expected = log.token.as_ref().map(|token| format!("Bearer {token}"));
        let allowed = matches!(self.manner, Manner::Plain)
            || expected.is_none()
            || request.header("authorization") == expected.as_deref();
        log.requests.push(request.clone());
        drop(log);
        self.changed.notify_all();
        if allowed {
            (self.script.lock().unwrap())(&request)
        } else {
            Response::recorded("401-bad-token").into()
        }
    }
}

/// A request without a body, or nothing where the client has no more.
fn read_request(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers = lines.filter_map(|line| line.split_once(':'));
    Ok(Some(Request {
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect(),
        arrived: Instant::now(),
    }))
}

/// Says nothing until the client goes.
fn hang(mut stream: impl Read) -> io::Result<()> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(())
}

/// Makes the closing of the socket a TCP reset.
fn reset(socket: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the option's value is of the size that is given.
    let result = unsafe {
        let value = (&raw const linger).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A listener with a full queue: the kernel drops new connections, so connecting hangs.
pub struct Unaccepting {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Unaccepting {
    pub fn new() -> Self {
        let listener = loopback();
        // SAFETY: the descriptor is a listening socket; listening again sets the queue's length.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        let queued: Vec<TcpStream> = std::iter::from_fn(connect).take(16).collect();
        assert!(queued.len() < 16, "the queue never gets full");
        Unaccepting { listener, _queued: queued }
    }

    /// The URL where nothing is accepted.
    pub fn url(&self) -> String {
        format!("https://{}", self.listener.local_addr().unwrap())
    }
}

/// A listener that nothing must connect to.
pub struct Trap(TcpListener);

impl Trap {
    pub fn new() -> Self {
        let listener = loopback();
        listener.set_nonblocking(true).unwrap();
        Trap(listener)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Fails the test if anything has connected.
    #[track_caller]
    pub fn assert_untouched(&self) {
        let error = self.0.accept().expect_err("something has connected");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

/// The recorded token of `pod` with the signature of these tests and unchanged claims.
pub fn token(pod: &str) -> String {
    let recorded = recorded_tokens(pod).find_map(|path| std::fs::read_to_string(path).ok());
    let recorded = recorded.unwrap_or_else(|| panic!("no token was recorded in {pod}"));
    let (claims, _signature) = recorded.trim().rsplit_once('.').unwrap();
    format!("{claims}.{SECRET}")
}

/// `token` with other claims. The signature stays, because no test verifies it.
pub fn claims_of(token: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut claims = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    change(&mut claims);
    format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn recorded_tokens(pod: &str) -> impl Iterator<Item = PathBuf> {
    let containers = std::fs::read_dir(fixtures().join("pods").join(pod)).unwrap();
    let volume = PathBuf::from("root").join(SERVICE_ACCOUNT);
    // The directory's own name, and not `..data`: the link may not have survived.
    let file = volume.join("..2026_11_20_23_57_19.3363225023/token");
    containers.map(move |container| container.unwrap().path().join(&file))
}

/// Fails the test if any part of `text` looks like a token.
#[track_caller]
pub fn assert_token_absent(text: &str) {
    // The second one is the start of the header of every JWT: `{"alg":`.
    for part in [SECRET, "eyJhbGciOi"] {
        assert!(!text.contains(part), "the token is in:\n{text}");
    }
}
