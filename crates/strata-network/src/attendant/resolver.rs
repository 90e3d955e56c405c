//! The resolver of a container on a network of the user: names of the network's members, all else asked of others.
//!
//! It listens on 127.0.0.11 inside the container's network namespace; the sockets by which it asks are this machine's. A
//! container that wants port 53 of every address for itself cannot have it on such a network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::member::Member;
use crate::plan::NetworkPlan;
use crate::{NetworkError, RESOLVER, Result};

const PORT: u16 = 53;
/// How long an answer about the network's own members holds, in seconds; Docker's number.
const TIME_TO_LIVE: u32 = 600;
/// How long each server is waited for.
const PATIENCE: Duration = Duration::from_secs(4);
/// Questions at a time; further ones are lost and asked again by who asked.
const QUESTIONS: usize = 256;
const LARGEST: usize = 65_535;

/// Where the container asks.
pub(super) struct Sockets {
    datagrams: std::net::UdpSocket,
    streams: std::net::TcpListener,
}

impl Sockets {
    /// In the calling thread's network namespace.
    pub(super) fn bind() -> Result<Sockets> {
        let address = SocketAddr::new(RESOLVER, PORT);
        let failed = |error| NetworkError::system(format!("listening on {address} in the container"), error);
        let datagrams = std::net::UdpSocket::bind(address).map_err(failed)?;
        let streams = std::net::TcpListener::bind(address).map_err(failed)?;
        datagrams.set_nonblocking(true).and_then(|()| streams.set_nonblocking(true)).map_err(failed)?;
        Ok(Sockets { datagrams, streams })
    }
}

/// Answers until the process ends.
pub(super) fn serve(sockets: Sockets, directory: PathBuf) -> io::Result<()> {
    let resolver = Arc::new(Resolver { directory, questions: Semaphore::new(QUESTIONS) });
    let datagrams = Arc::new(UdpSocket::from_std(sockets.datagrams)?);
    let streams = TcpListener::from_std(sockets.streams)?;
    tokio::spawn(answer_datagrams(Arc::clone(&resolver), datagrams));
    tokio::spawn(answer_streams(resolver, streams));
    Ok(())
}

struct Resolver {
    directory: PathBuf,
    questions: Semaphore,
}

async fn answer_datagrams(resolver: Arc<Resolver>, socket: Arc<UdpSocket>) {
    let mut question = vec![0; LARGEST];
    loop {
        let Ok((length, sender)) = socket.recv_from(&mut question).await else { continue };
        let (resolver, socket, question) = (Arc::clone(&resolver), Arc::clone(&socket), question[..length].to_vec());
        tokio::spawn(async move {
            let Ok(_permit) = resolver.questions.try_acquire() else { return };
            if let Some(answer) = resolver.answer(&question, Carrier::Datagram).await {
                let _ = socket.send_to(&answer, sender).await;
            }
        });
    }
}

async fn answer_streams(resolver: Arc<Resolver>, listener: TcpListener) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let resolver = Arc::clone(&resolver);
        tokio::spawn(async move {
            let Ok(_permit) = resolver.questions.try_acquire() else { return };
            while let Ok(Ok(question)) = timeout(PATIENCE, read_message(&mut stream)).await {
                let Some(answer) = resolver.answer(&question, Carrier::Stream).await else { return };
                if write_message(&mut stream, &answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// RFC 1035, section 4.2.2: two bytes of length before each message.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

#[derive(Clone, Copy)]
enum Carrier {
    Datagram,
    Stream,
}

impl Resolver {
    /// `None` for what is no question: there is nobody to answer.
    async fn answer(&self, question: &[u8], carrier: Carrier) -> Option<Vec<u8>> {
        let message = Message::from_vec(question).ok()?;
        if message.metadata.message_type != MessageType::Query {
            return None;
        }
        let plan = NetworkPlan::read(&self.directory).ok()?;
        if let Some(answer) = own_answer(&message, &members(&plan), &links(&plan)) {
            return answer.to_vec().ok();
        }
        for server in &plan.name_servers {
            let server = SocketAddr::new(*server, PORT);
            if let Ok(Ok(answer)) = timeout(PATIENCE, ask(server, question, carrier)).await {
                return Some(answer);
            }
        }
        failure(&message).to_vec().ok()
    }
}

fn members(plan: &NetworkPlan) -> Vec<Member> {
    let directories = plan.endpoints.iter().map(|endpoint| endpoint.members.as_path());
    directories.flat_map(|directory: &Path| Member::all(directory).unwrap_or_default()).collect()
}

/// What the container calls members of its networks besides their names: alias and name.
fn links(plan: &NetworkPlan) -> Vec<(String, String)> {
    plan.endpoints.iter().flat_map(|endpoint| endpoint.links.iter().cloned()).collect()
}

/// What the network itself knows: the addresses of a member's name, the name of a member's address.
///
/// A name that is a member's has no addresses of IPv6: the answer is empty, not "no such name". `None` when it is not the
/// network's to say.
fn own_answer(question: &Message, members: &[Member], links: &[(String, String)]) -> Option<Message> {
    let [query] = question.queries.as_slice() else { return None };
    let asked = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let record = |data| Record::from_rdata(query.name().clone(), TIME_TO_LIVE, data);
    let answers: Vec<Record> = match query.query_type() {
        RecordType::PTR => {
            let address = reverse(&asked)?;
            let member = members.iter().find(|member| member.address == address)?;
            let name = Name::from_str(member.names.first()?).ok()?;
            vec![record(RData::PTR(PTR(name)))]
        }
        kind => {
            let linked = links.iter().filter(|(alias, _)| alias.eq_ignore_ascii_case(&asked));
            let meant: Vec<&str> = linked.map(|(_, name)| name.as_str()).chain([asked.as_str()]).collect();
            let is_meant = |name: &String| meant.iter().any(|meant| name.eq_ignore_ascii_case(meant));
            let named: Vec<Ipv4Addr> = members
                .iter()
                .filter(|member| member.names.iter().any(is_meant))
                .map(|member| member.address)
                .collect();
            if named.is_empty() {
                return None;
            }
            let wanted = matches!(kind, RecordType::A | RecordType::ANY);
            named.into_iter().filter(|_| wanted).map(|address| record(RData::A(A(address)))).collect()
        }
    };
    let mut answer = reply(question);
    answer.add_answers(answers);
    Some(answer)
}

/// `4.3.2.1.in-addr.arpa` is 1.2.3.4.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

fn reply(question: &Message) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.clone());
    answer
}

fn failure(question: &Message) -> Message {
    let mut answer = reply(question);
    answer.metadata.response_code = ResponseCode::ServFail;
    answer
}

/// Hands the question on as it is, and the answer back as it is.
async fn ask(server: SocketAddr, question: &[u8], carrier: Carrier) -> io::Result<Vec<u8>> {
    match carrier {
        Carrier::Datagram => {
            let any = if server.is_ipv4() {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            } else {
                std::net::Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
            socket.connect(server).await?;
            socket.send(question).await?;
            let mut answer = vec![0; LARGEST];
            loop {
                let length = socket.recv(&mut answer).await?;
                // An answer to somebody else's question is no answer.
                if length >= 2 && answer[..2] == question[..2] {
                    answer.truncate(length);
                    return Ok(answer);
                }
            }
        }
        Carrier::Stream => {
            let mut stream = TcpStream::connect(server).await?;
            write_message(&mut stream, question).await?;
            read_message(&mut stream).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Query;

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.id = 7;
        message.add_query(Query::query(Name::from_str(name).expect("a name"), kind));
        message
    }

    fn member(address: &str, names: &[&str]) -> Member {
        Member {
            address: address.parse().expect("an address"),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn members_are_found_by_every_name_and_by_address() {
        let members = [member("10.0.0.2", &["web", "www"]), member("10.0.0.3", &["db", "www"])];
        let addresses = |name: &str, kind| {
            own_answer(&question(name, kind), &members, &[("store".to_owned(), "db".to_owned())])
                .map(|answer| answer.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(addresses("web.", RecordType::A), Some(vec!["10.0.0.2".to_owned()]));
        assert_eq!(addresses("WWW", RecordType::A), Some(vec!["10.0.0.2".to_owned(), "10.0.0.3".to_owned()]));
        assert_eq!(addresses("Store", RecordType::A), Some(vec!["10.0.0.3".to_owned()]));
        assert_eq!(addresses("db", RecordType::AAAA), Some(Vec::new()));
        assert_eq!(addresses("elsewhere.example.", RecordType::A), None);
        assert_eq!(addresses("3.0.0.10.in-addr.arpa.", RecordType::PTR), Some(vec!["db".to_owned()]));
        assert_eq!(addresses("9.0.0.10.in-addr.arpa.", RecordType::PTR), None);
    }

    #[test]
    fn an_answer_repeats_the_question() {
        let members = [member("10.0.0.2", &["web"])];
        let answer = own_answer(&question("web.", RecordType::A), &members, &[]).expect("an answer");
        assert_eq!((answer.metadata.id, answer.queries.len()), (7, 1));
        assert_eq!(failure(&question("x.", RecordType::A)).metadata.response_code, ResponseCode::ServFail);
    }
}
