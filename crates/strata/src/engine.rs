//! Docker's Engine API, wired: listeners and the service.

use std::future::Future;
use std::io;
use std::pin::Pin;

use strata_cli::{EngineServing, ListenAddress, TlsFiles};
use strata_engine_api::{
    Access, EngineService, Listener, Meetings, MutualTls, Registries, listeners_from_systemd, serve as serve_api,
};

/// Listens, tells where, and serves until `shutdown` is ready.
pub(crate) async fn serve(
    serving: EngineServing,
    started: &dyn Fn(&[String]),
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
) -> io::Result<()> {
    let mut listeners = Vec::new();
    for address in &serving.listen {
        listeners.extend(listen(address, &serving).await?);
    }
    started(&listeners.iter().map(Listener::address).collect::<Vec<_>>());
    let service = EngineService {
        store: serving.store,
        root: std::path::absolute(serving.root)?,
        client: serving.client,
        registries: Registries { mirrors: serving.mirrors, insecure: serving.insecure },
        view: serving.view,
        limits: serving.limits,
        access: if serving.is_read_only { Access::ReadOnly } else { Access::Full },
        version: serving.version,
        meetings: Meetings::default(),
    };
    serve_api(listeners, service, shutdown).await;
    Ok(())
}

async fn listen(address: &ListenAddress, serving: &EngineServing) -> io::Result<Vec<Listener>> {
    let failed = |what: &dyn std::fmt::Display, cause: io::Error| {
        io::Error::new(cause.kind(), format!("listening on {what}: {cause}"))
    };
    match (address, &serving.tls) {
        (ListenAddress::Unix(path), _) => {
            let listener = Listener::unix(path, serving.group.as_deref());
            Ok(vec![listener.map_err(|cause| failed(&path.display(), cause))?])
        }
        (ListenAddress::Tcp(address), Some(TlsFiles { authority, certificate, key })) => {
            let (authority, certificate, key) = (authority.clone(), certificate.clone(), key.clone());
            let listener = Listener::tcp(address, &MutualTls { authority, certificate, key }).await;
            Ok(vec![listener.map_err(|cause| failed(address, cause))?])
        }
        (ListenAddress::Tcp(address), None) => Err(failed(address, io::Error::other("there is no certificate"))),
        (ListenAddress::Systemd, _) => {
            let passed = listeners_from_systemd().map_err(|cause| failed(&"systemd's sockets", cause))?;
            match passed.is_empty() {
                true => Err(failed(&"systemd's sockets", io::Error::other("none was passed"))),
                false => Ok(passed),
            }
        }
    }
}
