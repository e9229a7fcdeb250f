//! The answers and failures of the test server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::fixtures;

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

impl Response {
    /// A response with a body, which has a `Content-Length`.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Response { status, headers, body: body.into(), chunked: false }
    }

    /// 200 with a JSON document.
    pub fn json(document: &Value) -> Self {
        Response::new(200, "application/json", document.to_string())
    }

    /// A failure as the API server words it.
    pub fn failure(code: u16, reason: &str, message: &str) -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        Response::new(code, "application/json", status.to_string())
    }

    /// A response that was recorded from a real API server, such as `401-bad-token`.
    pub fn recorded(name: &str) -> Self {
        let path = fixtures().join("http").join(name).with_extension("http");
        let bytes = std::fs::read(path).unwrap();
        let (head, body) = split(&bytes);
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(':').unwrap());
        let mut response = Response { status, headers: Vec::new(), body, chunked: false };
        for (name, value) in headers {
            match name.to_ascii_lowercase().as_str() {
                "transfer-encoding" => response.chunked = true,
                "content-length" => {}
                _ => response = response.with(name, value.trim()),
            }
        }
        response
    }

    /// The response with one more header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The response in chunks, as the API server sends a long one.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The status line, the headers and the empty line.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &if self.chunked {
            "Transfer-Encoding: chunked\r\n\r\n".to_owned()
        } else {
            format!("Content-Length: {}\r\n\r\n", self.body.len())
        };
        head.into_bytes()
    }

    /// The bytes of the body.
    pub fn framed_body(&self) -> Vec<u8> {
        if !self.chunked {
            return self.body.clone();
        }
        let mut framed = Vec::new();
        for chunk in self.body.chunks(1000) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        framed
    }
}

fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").expect("a head and a body");
    (head.to_owned(), body.as_bytes().to_vec())
}

/// What the server does with one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Sends the response.
    Whole(Response),
    /// Sends this much of the response, and then no more.
    Part(Portion, Response, End),
    /// Sends the response a byte at a time, with a pause after each.
    Trickle(Duration, Response),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Answer::Whole(response)
    }
}

/// How much of a response is sent.
#[derive(Clone, Copy, Debug)]
pub enum Portion {
    Nothing,
    HalfTheHead,
    HalfTheBody,
}

impl Portion {
    /// The first bytes of `response`.
    pub fn of(self, response: &Response) -> Vec<u8> {
        let (mut head, body) = (response.head(), response.framed_body());
        match self {
            Portion::Nothing => head.clear(),
            Portion::HalfTheHead => head.truncate(head.len() / 2),
            Portion::HalfTheBody => head.extend_from_slice(&body[..body.len() / 2]),
        }
        head
    }
}

/// What comes after a part of a response.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Nothing, until the client goes.
    Hang,
    /// The end of the connection, as when a proxy on the way is stopped.
    Close,
    /// A TCP reset, like that of a load balancer without a target.
    Reset,
}
