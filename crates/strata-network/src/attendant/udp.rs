//! Datagrams: each sender has a socket of its own towards the container, so that answers find their way back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Senders at a time for each port; datagrams of further ones are lost, as on a busy network.
const SENDERS: usize = 4096;
/// How long a sender is remembered after the container's last answer; Docker's time.
const IDLE: Duration = Duration::from_secs(90);
const LARGEST: usize = 65_535;

type Senders = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

/// Forwards until the process ends.
pub(super) async fn serve(socket: UdpSocket, target: SocketAddr) {
    let socket = Arc::new(socket);
    let senders: Senders = Arc::default();
    let mut datagram = vec![0; LARGEST];
    loop {
        // An error here tells of an earlier answer that found nobody.
        let Ok((length, sender)) = socket.recv_from(&mut datagram).await else { continue };
        let known = senders.lock().unwrap_or_else(PoisonError::into_inner).get(&sender).cloned();
        let container = match known {
            Some(container) => container,
            None => match remember(&socket, &senders, sender, target).await {
                Some(container) => container,
                None => continue,
            },
        };
        let _ = container.send(&datagram[..length]).await;
    }
}

async fn remember(
    socket: &Arc<UdpSocket>,
    senders: &Senders,
    sender: SocketAddr,
    target: SocketAddr,
) -> Option<Arc<UdpSocket>> {
    if senders.lock().unwrap_or_else(PoisonError::into_inner).len() >= SENDERS {
        return None;
    }
    let container = UdpSocket::bind("0.0.0.0:0").await.ok()?;
    container.connect(target).await.ok()?;
    let container = Arc::new(container);
    senders.lock().unwrap_or_else(PoisonError::into_inner).insert(sender, Arc::clone(&container));
    tokio::spawn(answer(Arc::clone(socket), Arc::clone(&container), Arc::clone(senders), sender));
    Some(container)
}

/// Carries answers back until there was none for a while, or the container's port is closed.
async fn answer(socket: Arc<UdpSocket>, container: Arc<UdpSocket>, senders: Senders, sender: SocketAddr) {
    let mut datagram = vec![0; LARGEST];
    while let Ok(Ok(length)) = timeout(IDLE, container.recv(&mut datagram)).await {
        let _ = socket.send_to(&datagram[..length], sender).await;
    }
    senders.lock().unwrap_or_else(PoisonError::into_inner).remove(&sender);
}
