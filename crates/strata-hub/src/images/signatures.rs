//! Signatures of images: found, read, and verified with the keys that their publisher gave this hub.
//!
//! Three forms are read. Cosign's own (signature specification of cosign): each layer of the artifact is a *simple signing*
//! payload that names the digest of an image; the signature is in the layer's annotation. Sigstore bundles (0.x): a DSSE
//! envelope of an in-toto statement that names the digest, or a signature of the manifest's bytes. Notary Project
//! signatures are found, and not verified. What names another image signs nothing here, whoever made it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::Value;
use strata_model::{Descriptor, Digest, Manifest, Repository, Target};

use super::certificates::{self, CertificateFacts};
use super::trust::Attachment;
use crate::dockerfile::parsed;
use crate::publisher_keys::{block, point};
use crate::records::{PublisherKeyRow, RepositoryRow};
use crate::{Hub, HubError, Result};

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const NOTARY: &str = "application/vnd.cncf.notary.signature";
const NOTARY_ENVELOPE: &str = "application/jose+json";
/// Annotations of a simple signing layer.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// Artifacts that are read, layers of each, and the longest layer in bytes.
const MAX_ARTIFACTS: usize = 20;
const MAX_LAYERS: usize = 20;
const LONGEST: u64 = 256 << 10;

/// A signature of an image, or of the index that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The artifact that holds it.
    pub artifact: Digest,
    /// Which form it has: `cosign`, `sigstore bundle`, `Notary Project`.
    pub form: &'static str,
    /// What was found out.
    pub state: SignatureState,
    /// The certificate that came with it, which nobody verified.
    pub certificate: Option<CertificateFacts>,
}

/// What was found out of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// It is of this image, and was made with this key of the publisher.
    Verified(PublisherKeyRow),
    /// It names this image; with which key it was made is not known.
    UnknownKey,
    /// Why it is no signature of this image, or none that can be read.
    Unreadable(&'static str),
    /// This form is not verified here.
    NotChecked,
}

/// What a signature is of: bytes that name the image, and the signature in ASN.1.
/// A publisher's key: the point of the curve that it is, and what is known of it.
type Key = (Vec<u8>, PublisherKeyRow);

struct Signed {
    message: Vec<u8>,
    signature: Vec<u8>,
    certificate: Option<CertificateFacts>,
}

impl Hub {
    /// The signatures among what is attached to an image, verified with the keys of its repository and its publisher.
    ///
    /// # Errors
    /// When the store or the records fail.
    pub async fn signatures(&self, repository: &RepositoryRow, attached: &[Attachment]) -> Result<Vec<Signature>> {
        let artifacts: Vec<&Attachment> =
            attached.iter().filter(|attachment| attachment.kind == "signature").take(MAX_ARTIFACTS).collect();
        if artifacts.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys = self.publisher_keys(&repository.full_name()).await?;
        keys.extend(self.publisher_keys(&repository.namespace).await?);
        let keys: Vec<_> = keys.into_iter().filter_map(|key| Some((point(&key.pem)?, key))).collect();
        let mut found = Vec::new();
        for attachment in artifacts {
            found.extend(self.signatures_of(repository, attachment, &keys).await?);
        }
        Ok(found)
    }

    async fn signatures_of(
        &self,
        repository: &RepositoryRow,
        attachment: &Attachment,
        keys: &[Key],
    ) -> Result<Vec<Signature>> {
        let form = match attachment.media_type.as_str() {
            NOTARY => "Notary Project",
            media_type if media_type.starts_with(BUNDLE) => "sigstore bundle",
            _ => "cosign",
        };
        let artifact = attachment.digest;
        let signature = |state, certificate| Signature { artifact, form, state, certificate };
        let unreadable = |why| signature(SignatureState::Unreadable(why), None);
        let Ok(name) = repository.full_name().parse::<Repository>() else { return Ok(Vec::new()) };
        let manifest = match self.registry().manifest(&name, &Target::Digest(attachment.digest)).await {
            Ok(stored) => parsed(&stored)?,
            Err(_) => return Ok(vec![unreadable("its artifact is not kept here")]),
        };
        let Manifest::Image(manifest) = manifest else { return Ok(vec![unreadable("it is no artifact")]) };
        let mut found = Vec::new();
        for layer in manifest.layers.iter().take(MAX_LAYERS) {
            let bytes = match self.registry().blob_size(&name, &layer.digest).await {
                Ok(size) if size <= LONGEST => self.registry().store().small_object(&layer.digest, LONGEST).await?,
                _ => {
                    found.push(unreadable("its payload is not kept here, or too long"));
                    continue;
                }
            };
            if attachment.media_type == NOTARY {
                let is_envelope = layer.media_type.as_str() == NOTARY_ENVELOPE;
                let certificate = is_envelope.then(|| notary_certificate(&bytes)).flatten();
                found.push(signature(SignatureState::NotChecked, certificate));
                continue;
            }
            let signed = match layer.media_type.as_str() {
                SIMPLE_SIGNING => simple_signing(layer, &bytes, &attachment.subject),
                media_type if media_type.starts_with(BUNDLE) => self.bundle(&name, &bytes, &attachment.subject).await?,
                _ => Err("its form is not known here"),
            };
            found.push(match signed {
                Ok(signed) => signature(verified(&signed, keys), signed.certificate),
                Err(why) => unreadable(why),
            });
        }
        Ok(found)
    }

    /// What a bundle signs. A signature without an envelope is of the bytes of the manifest that it belongs to.
    async fn bundle(
        &self,
        name: &Repository,
        bytes: &[u8],
        subject: &Digest,
    ) -> Result<std::result::Result<Signed, &'static str>> {
        let Ok(bundle) = serde_json::from_slice::<Value>(bytes) else { return Ok(Err("it is no bundle")) };
        let certificate = bundle_certificate(&bundle);
        if let Some(envelope) = bundle.get("dsseEnvelope") {
            return Ok(enveloped(envelope, subject).map(|(message, signature)| Signed {
                message,
                signature,
                certificate,
            }));
        }
        let Some(signature) = decoded(bundle.pointer("/messageSignature/signature")) else {
            return Ok(Err("it is no bundle"));
        };
        let stored = self.registry().manifest(name, &Target::Digest(*subject)).await.map_err(HubError::from)?;
        Ok(Ok(Signed { message: stored.bytes.to_vec(), signature, certificate }))
    }
}

fn verified(signed: &Signed, keys: &[Key]) -> SignatureState {
    let made_it = |(point, _): &&Key| {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        key.verify(&signed.message, &signed.signature).is_ok()
    };
    keys.iter().find(made_it).map_or(SignatureState::UnknownKey, |(_, key)| SignatureState::Verified(key.clone()))
}

/// The payload names the image, and the annotation signs the payload.
fn simple_signing(layer: &Descriptor, payload: &[u8], subject: &Digest) -> std::result::Result<Signed, &'static str> {
    let annotation = layer.annotations.get(SIGNATURE).ok_or("it has no signature")?;
    let signature = STANDARD.decode(annotation.trim()).map_err(|_| "its signature is no base64")?;
    let document: Value = serde_json::from_slice(payload).map_err(|_| "its payload is no JSON")?;
    let named = document.pointer("/critical/image/docker-manifest-digest").and_then(Value::as_str);
    if named != Some(subject.to_string().as_str()) {
        return Err("it is of another image");
    }
    let certificate = layer.annotations.get(CERTIFICATE).and_then(|pem| block(pem, "CERTIFICATE"));
    let certificate = certificate.and_then(|der| certificates::facts(&der));
    Ok(Signed { message: payload.to_vec(), signature, certificate })
}

/// What a DSSE envelope signs (its pre-authentication encoding), when its statement names the image; and the signature.
fn enveloped(envelope: &Value, subject: &Digest) -> std::result::Result<(Vec<u8>, Vec<u8>), &'static str> {
    let kind = envelope.get("payloadType").and_then(Value::as_str).ok_or("its envelope has no type")?;
    let payload = decoded(envelope.get("payload")).ok_or("its envelope has no payload")?;
    let signature = decoded(envelope.pointer("/signatures/0/sig")).ok_or("it has no signature")?;
    let statement: Value = serde_json::from_slice(&payload).map_err(|_| "its payload is no JSON")?;
    let subjects = statement.get("subject").and_then(Value::as_array).ok_or("its payload is no statement")?;
    let (algorithm, hex) = (subject.algorithm().name(), subject.hex());
    let is_named =
        |entry: &Value| entry.pointer(&format!("/digest/{algorithm}")).and_then(Value::as_str) == Some(&*hex);
    if !subjects.iter().any(is_named) {
        return Err("it is of another image");
    }
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend(payload);
    Ok((message, signature))
}

fn decoded(value: Option<&Value>) -> Option<Vec<u8>> {
    STANDARD.decode(value?.as_str()?).ok()
}

fn bundle_certificate(bundle: &Value) -> Option<CertificateFacts> {
    const PLACES: [&str; 2] = [
        "/verificationMaterial/certificate/rawBytes",
        "/verificationMaterial/x509CertificateChain/certificates/0/rawBytes",
    ];
    PLACES.iter().find_map(|place| certificates::facts(&decoded(bundle.pointer(place))?))
}

/// The first certificate of a JWS envelope.
fn notary_certificate(envelope: &[u8]) -> Option<CertificateFacts> {
    let envelope: Value = serde_json::from_slice(envelope).ok()?;
    certificates::facts(&decoded(envelope.pointer("/header/x5c/0"))?)
}
