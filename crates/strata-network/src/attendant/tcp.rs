//! Streams: each connection to a port of this machine is one to the container's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at a time for each port; further ones wait to be accepted. Each takes two buffers.
const CONNECTIONS: usize = 4096;
const BUFFER: usize = 32 * 1024;
/// How long to wait when the machine has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the process ends. A connection that the container refuses is closed.
pub(super) async fn serve(listener: TcpListener, target: SocketAddr) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(async move {
                    forward(client, target).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr) {
    let Ok(mut container) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), container.set_nodelay(true));
    // Either side may end its half first; a broken connection ends both.
    let _ = copy_bidirectional_with_sizes(&mut client, &mut container, BUFFER, BUFFER).await;
}
