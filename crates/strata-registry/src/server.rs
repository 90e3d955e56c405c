//! Connections: accepted until the shutdown, then given a little time to end.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use strata_store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long running requests may go on after the shutdown began. Uploads go on later where they stopped.
const GRACE: Duration = Duration::from_secs(10);
/// How often ended uploads and leases are looked for.
const COLLECTION: Duration = Duration::from_secs(3600);

/// Serves `router` on `listener` until `shutdown` is ready: then no new connection is accepted, and running requests get ten
/// seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (sender, mut began) = watch::channel(false);
    let signal = async move {
        shutdown.await;
        sender.send_replace(true);
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(signal);
    let deadline = async move {
        if began.wait_for(|began| *began).await.is_ok() {
            tokio::time::sleep(GRACE).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = serving.into_future() => result,
        () = deadline => {
            tracing::warn!("requests were cut off {} seconds after the shutdown began", GRACE.as_secs());
            Ok(())
        }
    }
}

/// Works off expired uploads and leases, now and every hour, for as long as it is polled. To run beside [`serve`].
pub async fn collect_periodically(store: Store) {
    let mut interval = tokio::time::interval(COLLECTION);
    loop {
        interval.tick().await;
        match store.collect_leftovers().await {
            Ok(0) => {}
            Ok(freed) => tracing::info!(freed, "collected what expired"),
            Err(error) => tracing::warn!(%error, "what expired could not be collected"),
        }
    }
}
