//! One process that is a hub: surfaces on a listener, and the work that goes on beside them.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use axum::{Extension, Router};
use strata_cli::{HubResult, HubStarted};
use strata_hub_api::{Certificate, HttpCourier, Operations, Telemetry, observed};
use strata_registry::{ForwardedHeaders, RegistryService, Scheme, Search, ServerLimits, serve_streams};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Opened;
use super::operator::RunningHub;
use super::settings::{Settings, full_address};

/// Serves until `shutdown` is ready.
pub(super) async fn serve(
    opened: Opened,
    settings: &Settings,
    root: &Path,
    first_administrator: Option<(String, String)>,
    started: &dyn Fn(&HubStarted),
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
) -> HubResult<()> {
    let listener = listen(&settings.bind_address()).await?;
    let metrics_listener = match &settings.metrics.addr {
        Some(address) if settings.metrics.enabled => Some(listen(&full_address(address)).await?),
        _ => None,
    };
    let certificate = match (&settings.tls.certificate, &settings.tls.key) {
        (Some(certificate), Some(key)) => Some(Certificate::load(certificate, key)?),
        _ => None,
    };
    let telemetry = Arc::new(Telemetry::new());
    let least_free = settings.storage.least_free;
    let operations = Operations::new(opened.hub.clone(), telemetry.clone(), root.to_owned(), least_free);
    let router = router(&opened, settings, &operations, metrics_listener.is_none());
    let router = observed(router, telemetry.clone()).layer(Extension(forwarded(settings)));

    let mut work = background(&opened, settings, certificate.clone());
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        shutdown.await;
        stop.send_replace(true);
    });
    if let Some(listener) = metrics_listener {
        let router = observed(operations.metrics_router(), telemetry.clone());
        let stopping = stopped(stopping.clone());
        work.spawn(async move {
            if let Err(error) = strata_registry::serve(listener, router, stopping).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
    }
    started(&announcement(&listener, settings, first_administrator)?);
    listen_until(listener, router, certificate, telemetry, stopped(stopping)).await?;
    work.shutdown().await;
    opened.finish().await;
    Ok(())
}

async fn listen(address: &str) -> HubResult<TcpListener> {
    Ok(TcpListener::bind(address).await.map_err(|cause| format!("listening on {address}: {cause}"))?)
}

fn announcement(
    listener: &TcpListener,
    settings: &Settings,
    first_administrator: Option<(String, String)>,
) -> HubResult<HubStarted> {
    let address = listener.local_addr()?;
    let scheme = if settings.has_tls() { "https" } else { "http" };
    let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && host != "localhost" { format!("[{host}]") } else { host };
    Ok(HubStarted {
        address: address.to_string(),
        url: format!("{scheme}://{host}:{}", address.port()),
        warnings: settings.warnings(),
        first_administrator,
    })
}

/// The hub's pages and endpoints; what they do not know goes to the registry.
fn router(opened: &Opened, settings: &Settings, operations: &Operations, shows_metrics: bool) -> Router {
    let service = RegistryService {
        access: opened.access(),
        upstream: opened.upstream(),
        search: Search::Elsewhere,
        forwarded: forwarded(settings),
    };
    let operator = Arc::new(RunningHub { operations: operations.clone(), mirror: opened.mirror.clone() });
    let mut router = strata_hub_web::router(opened.hub.clone(), operator)
        .merge(strata_hub_api::router(opened.hub.clone()))
        .merge(operations.health_router())
        .merge(strata_hub_api::administration_router(operations.clone()))
        .merge(strata_registry::router(opened.registry.clone(), service));
    if settings.metrics.enabled && shows_metrics {
        router = router.merge(operations.metrics_router());
    }
    router
}

fn forwarded(settings: &Settings) -> ForwardedHeaders {
    if settings.trust_proxy { ForwardedHeaders::Trusted } else { ForwardedHeaders::Ignored }
}

async fn listen_until(
    listener: TcpListener,
    router: Router,
    certificate: Option<Arc<Certificate>>,
    telemetry: Arc<Telemetry>,
    stopping: impl Future<Output = ()> + Send + 'static,
) -> HubResult<()> {
    let limits = ServerLimits::default();
    match certificate {
        None => {
            let plain = move |stream| {
                telemetry.connection();
                std::future::ready(Ok(stream))
            };
            serve_streams(listener, router, Scheme::Http, plain, limits, stopping).await?;
        }
        Some(certificate) => {
            let acceptor = certificate.acceptor()?;
            let handshake = move |stream| {
                telemetry.connection();
                acceptor.accept(stream)
            };
            serve_streams(listener, router, Scheme::Https, handshake, limits, stopping).await?;
        }
    }
    Ok(())
}

/// What goes on beside requests. Each piece can be cut off at any moment: what it was doing is done again.
fn background(opened: &Opened, settings: &Settings, certificate: Option<Arc<Certificate>>) -> JoinSet<()> {
    let mut work = JoinSet::new();
    let courier = Arc::new(HttpCourier::new(settings.webhooks.clone()));
    opened.background(&mut work);
    work.spawn(opened.hub.clone().keep_delivering(courier));
    if let Some(certificate) = certificate {
        work.spawn(certificate.keep_fresh());
    }
    work
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // The sender goes only after it has said so.
    let _ = stopping.wait_for(|stops| *stops).await;
}
