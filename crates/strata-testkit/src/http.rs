//! The smallest HTTP client that tells what happened: one request, one connection, everything in memory.

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest time that a server may stay silent.
const TIME: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers by their names in lower case.
    pub headers: Headers,
    /// The body, without the framing of the transfer.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|cause| panic!("{cause}: {}", self.text()))
    }
}

impl Request {
    /// A request without headers and body; `path` has the query too.
    pub fn new(method: &'static str, path: &str) -> Request {
        Request { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a bearer token.
    pub fn token(self, token: &str) -> Request {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Request {
        self.body = bytes.into();
        self
    }

    /// Sends it on a connection of its own.
    ///
    /// # Errors
    /// When the connection or the server ends before the answer does.
    pub fn send(&self, address: &str) -> io::Result<Answer> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIME))?;
        stream.set_write_timeout(Some(TIME))?;
        self.send_on(stream, address)
    }

    /// Sends it to a socket in the file system.
    ///
    /// # Errors
    /// As [`Request::send`].
    pub fn send_to_socket(&self, path: &Path) -> io::Result<Answer> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIME))?;
        stream.set_write_timeout(Some(TIME))?;
        self.send_on(stream, "localhost")
    }

    fn send_on(&self, mut stream: impl io::Read + io::Write, host: &str) -> io::Result<Answer> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes())?;
        match stream.write_all(&self.body) {
            // A server may answer and leave before it has taken all.
            Err(cause) if cause.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        let mut received = Vec::new();
        let mut buffer = [0; 1 << 16];
        // Some servers leave the connection open although they were asked to close it.
        while !self.is_all(&received) {
            match stream.read(&mut buffer)? {
                0 => break,
                length => received.extend_from_slice(&buffer[..length]),
            }
        }
        parse(&received, self.method)
    }

    fn is_all(&self, received: &[u8]) -> bool {
        head(received).is_some_and(|(_, headers, body)| {
            self.method == "HEAD" || length(&headers).is_some_and(|length| length <= body.len())
        })
    }
}

/// Headers by their names in lower case.
pub type Headers = HashMap<String, String>;

/// Status, headers, and what follows them.
fn head(received: &[u8]) -> Option<(u16, Headers, &[u8])> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&received[..end]);
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Some((status, head.lines().skip(1).filter_map(header).collect(), &received[end + 4..]))
}

fn length(headers: &Headers) -> Option<usize> {
    headers.get("content-length")?.parse().ok()
}

fn parse(received: &[u8], method: &str) -> io::Result<Answer> {
    let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends early");
    let (status, headers, body) = head(received).ok_or_else(broken)?;
    let mut body = body.to_vec();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        body = unchunked(&body).ok_or_else(broken)?;
    } else if method != "HEAD" && length(&headers).is_some_and(|length| body.len() != length) {
        return Err(broken());
    }
    Ok(Answer { status, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|bytes| bytes == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend(rest.get(line + 2..line + 2 + length)?);
        rest = rest.get(line + 2 + length + 2..)?;
    }
}
