//! Just enough of HTTP/1.1.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// Largest body that is read, in bytes.
const BODY_LIMIT: u64 = 1 << 30;

/// A request with its body.
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query as sent.
    pub(super) target: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A request that is nothing but a query; forms are written in the same way.
    pub(super) fn of_query(query: &str) -> Request {
        Request { method: String::new(), target: format!("?{query}"), headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        self.queries(name).next()
    }

    pub(super) fn queries(&self, name: &str) -> impl Iterator<Item = String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter_map(move |pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key) == name).then(|| decoded(value))
        })
    }

    /// Reads the next request of a connection; `None` when the client is done.
    pub(super) fn read(input: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
        let Some(first) = line(input)? else {
            return Ok(None);
        };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
            return Err(malformed("request line"));
        };
        let mut headers = Vec::new();
        loop {
            let header = line(input)?.ok_or_else(|| malformed("headers"))?;
            if header.is_empty() {
                break;
            }
            let (key, value) = header.split_once(':').ok_or_else(|| malformed("header"))?;
            headers.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        let mut request = Request { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
        if request.header("Expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue")) {
            let mut output: &TcpStream = input.get_ref();
            output.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = request.read_body(input)?;
        Ok(Some(request))
    }

    fn read_body(&self, input: &mut BufReader<&TcpStream>) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("Transfer-Encoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = line(input)?.ok_or_else(|| malformed("chunk"))?;
                let size = size.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| malformed("chunk size"))?;
                read_exactly(input, size, &mut body)?;
                let end = line(input)?;
                if size == 0 {
                    return Ok(body);
                }
                if end.as_deref() != Some("") {
                    return Err(malformed("chunk end"));
                }
            }
        }
        let length = self.header("Content-Length").map_or(Ok(0), str::parse);
        read_exactly(input, length.map_err(|_| malformed("Content-Length"))?, &mut body)?;
        Ok(body)
    }
}

fn read_exactly(input: &mut BufReader<&TcpStream>, size: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len() as u64 + size > BODY_LIMIT {
        return Err(malformed("body size"));
    }
    let read = input.take(size).read_to_end(body)?;
    if (read as u64) < size { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn line(input: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    input.by_ref().take(64 << 10).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).ok_or_else(|| malformed("line"))?;
    String::from_utf8(text.to_vec()).map(Some).map_err(|_| malformed("line"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}"))
}

/// Undoes percent encoding; `+` is a space.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (byte, left) = match (first, hex) {
            (b'%', Some(byte)) => (byte, &tail[2..]),
            (b'+', _) => (b' ', tail),
            _ => (first, tail),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer.
#[derive(Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Arc<[u8]>,
    /// `Content-Length`, when it is not that of the body: for `HEAD`, and for lies.
    pub(super) length: Option<usize>,
}

impl Response {
    pub(super) fn new(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Arc::from([]), length: None }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Response {
        self.headers.retain(|(key, _)| *key != name);
        self.headers.push((name, value.to_string()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Arc<[u8]>>) -> Response {
        self.body = body.into();
        self
    }

    pub(super) fn json(self, value: &serde_json::Value) -> Response {
        self.header("Content-Type", "application/json").body(value.to_string().into_bytes())
    }

    /// An error in the format of the distribution specification.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Response {
        Response::new(status)
            .json(&serde_json::json!({ "errors": [{ "code": code, "message": message, "detail": null }] }))
    }

    /// The status line and headers.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            head.push_str(&format!("Content-Length: {}\r\n", self.length.unwrap_or(self.body.len())));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        _ => "Status",
    }
}
