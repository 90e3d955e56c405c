//! Reading what lies at an address, which need not be a registry: `import` of a URL.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::Method;
use strata_model::ErrorKind;
use strata_transfer::{Result, TransferError};
use url::Url;

use crate::client::RegistryClient;
use crate::failure::Outcome;
use crate::retry::Attempts;
use crate::transport::Message;

/// Something at an address, being read.
pub struct Download {
    /// Its length in bytes, if the server tells.
    pub size: Option<u64>,
    /// Its bytes, once; a break ends it with an error.
    pub stream: BoxStream<'static, Result<Bytes>>,
}

impl RegistryClient {
    /// Asks for what lies at an `http` or `https` address; redirects are followed, but none from HTTPS to HTTP.
    ///
    /// # Errors
    /// `Invalid` for what is no such address, `NotFound`, `Unavailable` and the others by the server's answer.
    pub async fn download(&self, address: &str) -> Result<Download> {
        let invalid = |cause: &dyn std::fmt::Display| {
            TransferError::new(ErrorKind::Invalid, format!("{address:?} is no address: {cause}"))
        };
        let url: Url = address.parse().map_err(|cause| invalid(&cause))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(&"it must begin with http:// or https://"));
        }
        let mut attempts = Attempts::new(&self.transport.config.retry, None);
        let response = loop {
            match self.ask(&url).await {
                Err(failure) if attempts.again(&failure).await => {}
                answer => break answer?,
            }
        };
        let size = response.content_length();
        let transport = self.transport.clone();
        let stream = stream::try_unfold((transport, response), |(transport, mut response)| async move {
            let chunk = transport.chunk(&mut response).await?;
            Ok(chunk.map(|chunk| (chunk, (transport, response))))
        });
        Ok(Download { size, stream: stream.boxed() })
    }

    async fn ask(&self, url: &Url) -> Outcome<reqwest::Response> {
        let response = self.transport.follow(&Message::new(Method::GET, url.clone())).await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.transport.failure(&Method::GET, url, response).await),
        }
    }
}
