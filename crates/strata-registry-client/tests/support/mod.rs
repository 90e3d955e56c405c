//! A scriptable HTTP/1.1 server for tests: one answer for each request, with faults on demand; every request is kept.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strata_registry_client::{ClientConfig, CredentialFiles, RegistryClient, RepositoryClient, RetryPolicy, Timeouts};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The length told, when it is not the true one.
    told_length: Option<usize>,
    hang: bool,
    hang_after_body: bool,
}

impl Reply {
    pub fn new(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }

    pub fn error(status: u16, code: &str, message: &str) -> Reply {
        Reply::new(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#))
    }

    /// Tells a length and ends the connection after the body that there is.
    pub fn told_length(mut self, length: usize) -> Reply {
        self.told_length = Some(length);
        self
    }

    /// Never answers.
    pub fn hang() -> Reply {
        Reply { hang: true, ..Reply::new(200) }
    }

    /// Sends the body and then nothing more, with the connection open.
    pub fn hang_after_body(mut self) -> Reply {
        self.hang_after_body = true;
        self
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

pub struct FakeServer {
    pub authority: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeServer {
    pub async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (handler, kept): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, kept) = (Arc::clone(&handler), Arc::clone(&kept));
                tokio::spawn(async move {
                    let _ = serve(stream, &*handler, &kept).await;
                });
            }
        });
        FakeServer { authority, requests, task }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// `METHOD target` of every request.
    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, handler: &Handler, kept: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = read_request(&mut stream).await? else { return Ok(()) };
    kept.lock().unwrap().push(request.clone());
    let reply = handler(&request);
    if reply.hang {
        tokio::time::sleep(Duration::from_secs(20)).await;
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let told = reply.told_length.unwrap_or(reply.body.len());
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {told}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes()).await?;
    if request.method != "HEAD" {
        stream.write_all(&reply.body).await?;
    }
    stream.flush().await?;
    if reply.hang_after_body {
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    stream.into_inner().shutdown().await
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    // A TLS greeting starts with byte 22; whoever tries HTTPS here learns at once that it is not spoken.
    let first = stream.fill_buf().await?;
    if first.is_empty() || first[0] == 22 {
        stream.get_mut().write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await?;
        return Ok(None);
    }
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next().unwrap_or_default().into(),
        target: words.next().unwrap_or_default().into(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let entry = request.headers.entry(name.to_ascii_lowercase()).or_default();
        if !entry.is_empty() {
            entry.push_str(", ");
        }
        entry.push_str(value.trim());
    }
    if request.target.contains("stuck") {
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    if request.header("transfer-encoding").is_some() {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            let length = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; length + 2];
            stream.read_exact(&mut chunk).await?;
            request.body.extend(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = request.header("content-length").and_then(|length| length.parse().ok()) {
        request.body = vec![0; length];
        stream.read_exact(&mut request.body).await?;
    }
    Ok(Some(request))
}

/// Quick retries, short waits, no credentials of this machine.
pub fn config() -> ClientConfig {
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientConfig {
        credentials: CredentialFiles::default(),
        certificate_directories: Vec::new(),
        retry: RetryPolicy {
            first_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(5),
            ..RetryPolicy::default()
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            idle: Duration::from_millis(300),
            commit: Duration::from_secs(2),
        },
        ..ClientConfig::default()
    }
}

pub fn repository_with(config: ClientConfig, authority: &str, name: &str) -> RepositoryClient {
    RegistryClient::new(config).repository(&authority.parse().unwrap(), &name.parse().unwrap())
}

pub fn repository(authority: &str, name: &str) -> RepositoryClient {
    repository_with(config(), authority, name)
}
