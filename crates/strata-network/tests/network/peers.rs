//! Who talks over the networks: servers and clients of the test's own, each in a namespace.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::support::{enter, peers_within};

const PATIENCE: Duration = Duration::from_secs(5);
/// How long something is tried that should not be possible.
const REFUSAL: Duration = Duration::from_millis(700);
const TURN: Duration = Duration::from_millis(20);

/// A server that ends when it is dropped.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Calls `turn` in the namespace of `pid` again and again, with what `make` made there.
fn serve<S: 'static>(
    pid: i32,
    make: impl FnOnce() -> S + Send + 'static,
    turn: impl Fn(&S) + Send + 'static,
) -> Server {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let (ready, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        enter(pid);
        let socket = make();
        let _ = ready.send(());
        while !stopped.load(Ordering::Relaxed) {
            turn(&socket);
        }
    });
    wait.recv_timeout(PATIENCE).expect("it listens");
    Server { stop, thread: Some(thread) }
}

/// Tells each client its address, as the server sees it, and repeats what it says.
pub(crate) fn stream_echo(pid: i32, port: u16) -> Server {
    let make = move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("bound");
        listener.set_nonblocking(true).expect("nonblocking");
        listener
    };
    serve(pid, make, |listener| match listener.accept() {
        Ok((mut client, address)) => {
            thread::spawn(move || {
                let _ = client.set_nonblocking(false);
                let mut said = String::new();
                let _ = client.read_to_string(&mut said);
                let _ = write!(client, "{} {said}", address.ip());
            });
        }
        Err(_) => thread::sleep(TURN),
    })
}

pub(crate) fn datagram_echo(pid: i32, port: u16) -> Server {
    let make = move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).expect("bound");
        socket.set_read_timeout(Some(TURN)).expect("a timeout");
        socket
    };
    serve(pid, make, |socket| {
        let mut datagram = [0; 64];
        if let Ok((length, sender)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..length], sender);
        }
    })
}

/// Whom the server at `address` took the client for; `None` when it cannot be reached or does not repeat what was said.
pub(crate) fn exchange(pid: i32, address: &str, port: u16) -> Option<IpAddr> {
    let target = SocketAddr::new(address.parse().expect("an address"), port);
    peers_within(pid, move || {
        let mut stream = TcpStream::connect_timeout(&target, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let said = "something that is longer than a word ".repeat(2000);
        stream.write_all(said.as_bytes()).ok()?;
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (seen, repeated) = answer.split_once(' ')?;
        assert_eq!(repeated, said, "every byte comes back");
        seen.parse().ok()
    })
}

pub(crate) fn may_connect(pid: i32, address: &str, port: u16) -> bool {
    let target = SocketAddr::new(address.parse().expect("an address"), port);
    peers_within(pid, move || TcpStream::connect_timeout(&target, REFUSAL).is_ok())
}

pub(crate) fn exchange_datagram(pid: i32, address: &str, port: u16) -> bool {
    let target = SocketAddr::new(address.parse().expect("an address"), port);
    peers_within(pid, move || {
        let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).expect("bound");
        socket.connect(target).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.send(b"hello").expect("sent");
        let mut answer = [0; 16];
        matches!(socket.recv(&mut answer), Ok(5)) && answer.starts_with(b"hello")
    })
}

/// What the container's resolver says about a name: its addresses, or nothing.
pub(crate) fn ask_name(pid: i32, name: &str) -> Option<Vec<Ipv4Addr>> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_str(name).expect("a name"), RecordType::A));
    let question = question.to_vec().expect("bytes");
    peers_within(pid, move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        socket.set_read_timeout(Some(Duration::from_secs(12))).expect("a timeout");
        socket.send_to(&question, "127.0.0.11:53").expect("sent");
        let mut answer = [0; 1500];
        let length = socket.recv(&mut answer).ok()?;
        let answer = Message::from_vec(&answer[..length]).expect("a message");
        if answer.metadata.response_code != ResponseCode::NoError {
            return None;
        }
        Some(
            answer
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(A(address)) => Some(*address),
                    _ => None,
                })
                .collect(),
        )
    })
}

/// A server of names that knows one.
pub(crate) fn name_server(pid: i32, name: &'static str, address: Ipv4Addr) -> Server {
    let make = move || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).expect("bound");
        socket.set_read_timeout(Some(TURN)).expect("a timeout");
        socket
    };
    serve(pid, make, move |socket| {
        let mut datagram = [0; 1500];
        let Ok((length, sender)) = socket.recv_from(&mut datagram) else { return };
        let question = Message::from_vec(&datagram[..length]).expect("a question");
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_queries(question.queries.clone());
        let asked = question.queries[0].name().to_ascii();
        if asked.trim_end_matches('.') == name {
            answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), 60, RData::A(A(address))));
        } else {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        let _ = socket.send_to(&answer.to_vec().expect("bytes"), sender);
    })
}
