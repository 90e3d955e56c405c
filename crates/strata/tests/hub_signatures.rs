//! Signatures as the page about trust tells of them: made by `openssl` as cosign and others make them, verified with the keys
//! that the publisher gave the hub, and told from what only looks like one.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
    pub mod site;
}

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use strata_model::Digest;
use strata_testkit::{Image, ImageBuilder, Layer};
use support::hub::{Request, eventually};
use support::site::Site;
use tempfile::TempDir;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const COSIGN: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const NAME: &str = "library/signed";

/// A pair of keys in a directory of its own.
struct Key {
    directory: TempDir,
}

impl Key {
    fn new() -> Key {
        let key = Key { directory: tempfile::tempdir().unwrap() };
        key.openssl("openssl ecparam -name prime256v1 -genkey -noout -out key.pem");
        key
    }

    /// What a line of a shell prints, in the directory of the key.
    fn openssl(&self, line: &str) -> String {
        let output = Command::new("sh").args(["-c", line]).current_dir(self.directory.path()).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn public(&self) -> String {
        self.openssl("openssl ec -in key.pem -pubout")
    }

    /// A signature of bytes, ECDSA with SHA-256, in base64.
    fn sign(&self, bytes: &[u8]) -> String {
        fs::write(self.directory.path().join("message"), bytes).unwrap();
        self.openssl("openssl dgst -sha256 -sign key.pem message | openssl base64 -A")
    }

    fn base64(&self, bytes: &[u8]) -> String {
        fs::write(self.directory.path().join("bytes"), bytes).unwrap();
        self.openssl("openssl base64 -A -in bytes")
    }

    /// A certificate of this key as keyless signing gets one, DER in base64.
    fn certificate(&self) -> String {
        let extensions = "-addext subjectAltName=email:ann@example.org \
                          -addext '1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://id.example.org/<script>'";
        self.openssl(&format!(
            "openssl req -x509 -new -key key.pem -subj /CN=sigstore {extensions} -outform DER | openssl base64 -A"
        ))
    }
}

/// The payload that cosign signs.
fn payload(image: &Digest) -> Vec<u8> {
    let critical = json!({
        "identity": { "docker-reference": "hub.example/signed" },
        "image": { "docker-manifest-digest": image.to_string() },
        "type": "cosign container image signature",
    });
    json!({ "critical": critical, "optional": null }).to_string().into_bytes()
}

/// A bundle with an envelope whose statement names an image.
fn enveloped(key: &Key, image: &Digest) -> Value {
    let kind = "application/vnd.in-toto+json";
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": image.hex() } }],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
    });
    let statement = statement.to_string();
    let message = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": "x" } },
        "dsseEnvelope": {
            "payloadType": kind,
            "payload": key.base64(statement.as_bytes()),
            "signatures": [{ "sig": key.sign(message.as_bytes()) }],
        },
    })
}

struct Signed {
    site: Site,
    image: Image,
}

impl Signed {
    fn new() -> Signed {
        let (site, image) = (Site::new(), ImageBuilder::new().layer(Layer::of_noise(1, 10_000)).build());
        site.push(NAME, "1", &image);
        site.patch(NAME, &json!({}));
        Signed { site, image }
    }

    fn image(&self) -> Digest {
        self.image.digest()
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
        assert_eq!(self.site.send(Request::new("POST", &path).token(&self.site.token).body(bytes)).status, 201);
        digest
    }

    /// Pushes an artifact of one layer: below a tag, or as a referrer of the image.
    fn attach(&self, tag: Option<&str>, artifact_type: &str, layer_type: &str, layer: &[u8], annotations: Value) {
        let config = self.blob(b"{}");
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2 },
            "layers": [{
                "mediaType": layer_type,
                "digest": self.blob(layer).to_string(),
                "size": layer.len(),
                "annotations": annotations,
            }],
        });
        if tag.is_none() {
            let size = self.image.manifest.len();
            manifest["artifactType"] = artifact_type.into();
            manifest["subject"] = json!({ "mediaType": OCI, "digest": self.image().to_string(), "size": size });
        }
        let manifest = manifest.to_string();
        let reference = tag.map_or_else(|| Digest::of(manifest.as_bytes()).to_string(), str::to_owned);
        let put = Request::new("PUT", &format!("/v2/{NAME}/manifests/{reference}")).token(&self.site.token);
        let answer = self.site.send(put.header("content-type", OCI).body(manifest));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    fn attach_bundle(&self, bundle: &Value) {
        self.attach(None, BUNDLE, BUNDLE, bundle.to_string().as_bytes(), json!({}));
    }

    fn add_key(&self, path: &str, name: &str, key: &Key) -> Value {
        self.site.ask("POST", path, &json!({ "name": name, "pem": key.public() }))
    }

    /// What the page about trust says of signatures, once it says this.
    #[track_caller]
    fn says(&self, text: &str) -> String {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(text, || {
                let page = self.site.page("/_/signed/tags/1/trust", "").text();
                let fact = page.split("<dt>Signatures</dt>").nth(1).and_then(|rest| rest.split("</div>").next());
                last = fact.unwrap_or(&page).to_owned();
                last.contains(text).then(|| last.clone())
            })
        }));
        seen.unwrap_or_else(|_| panic!("{text}: {last}"))
    }
}

#[test]
fn cosign_signatures_are_verified_with_the_keys_of_the_repository() {
    let (signed, key, stranger) = (Signed::new(), Key::new(), Key::new());
    signed.says("None here");
    let payload = payload(&signed.image());
    let tag = format!("sha256-{}.sig", signed.image().hex());
    let annotations = json!({ "dev.cosignproject.cosign/signature": key.sign(&payload) });
    signed.attach(Some(&tag), "", SIMPLE_SIGNING, &payload, annotations);
    signed.says("A signature is present, made with a key that is not known here (cosign)");
    let overview = signed.site.page("/_/signed", "").text();
    assert!(
        overview.contains("/signed:1</code>") && !overview.contains(".sig"),
        "the newest tag is no image: {overview}"
    );
    let tags = signed.site.page("/_/signed/tags", "").text();
    let (versions, others) = tags.split_once("<details class=\"attached\"><summary>1 tag of cosign").unwrap();
    assert!(versions.contains("<caption>1 tag</caption>") && !versions.contains(".sig"), "{versions}");
    assert!(others.contains(&format!("/tags/{tag}\">signature</a></td><td><code>1</code>")), "{others}");
    let page = signed.site.page(&format!("/_/signed/tags/{tag}"), "").text();
    assert!(page.contains("This is no version of the image: cosign keeps the signature of"), "{page}");

    let keys = format!("/api/v1/repositories/{NAME}/keys");
    signed.add_key(&keys, "stranger", &stranger);
    signed.says("made with a key that is not known here (cosign)");
    let added = signed.add_key(&keys, "release", &key);
    signed.says(&format!(
        "Signed: verified with the key “release” of {NAME} (SHA-256 {}…) (cosign)",
        &added["id"].as_str().unwrap()[..16]
    ));
    signed.site.ask("DELETE", &format!("{keys}/{}", added["id"].as_str().unwrap()), &json!({}));
    signed.says("made with a key that is not known here (cosign)");
}

#[test]
fn what_names_another_image_or_was_changed_is_no_signature() {
    let (signed, key) = (Signed::new(), Key::new());
    signed.add_key("/api/v1/accounts/library/keys", "publisher", &key);
    let annotations = |signature: String| json!({ "dev.cosignproject.cosign/signature": signature });
    let other = payload(&Digest::of(b"another image"));
    signed.attach(None, COSIGN, SIMPLE_SIGNING, &other, annotations(key.sign(&other)));
    assert!(!signed.says("and is none: it is of another image (cosign)").contains("Signed:"));

    let payload = payload(&signed.image());
    let mut changed = payload.clone();
    changed.push(b' ');
    signed.attach(None, COSIGN, SIMPLE_SIGNING, &changed, annotations(key.sign(&payload)));
    assert!(!signed.says("made with a key that is not known here (cosign)").contains("Signed:"));

    signed.attach_bundle(&enveloped(&key, &Digest::of(b"another image")));
    assert!(!signed.says("and is none: it is of another image (sigstore bundle)").contains("Signed:"));

    // The same signature on what it was made of.
    signed.attach(None, COSIGN, SIMPLE_SIGNING, &payload, annotations(key.sign(&payload)));
    signed.says("Signed: verified with the key “publisher” of library ");
}

#[test]
fn bundles_are_verified_and_keyless_ones_say_whose_certificate_they_have() {
    let (signed, key, keyless) = (Signed::new(), Key::new(), Key::new());
    signed.add_key("/api/v1/accounts/library/keys", "publisher", &key);
    signed.attach_bundle(&enveloped(&key, &signed.image()));
    let fact = signed.says("Signed: verified with the key “publisher” of library ");
    assert!(fact.contains("(sigstore bundle)"), "{fact}");

    signed.attach_bundle(&json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "certificate": { "rawBytes": keyless.certificate() } },
        "messageSignature": { "signature": keyless.sign(&signed.image.manifest) },
    }));
    signed.says(
        "made with a key that is not known here (sigstore bundle); its certificate, which is not verified here, says \
         ann@example.org, vouched for by https://id.example.org/&#60;script&#62;",
    );
    signed.add_key("/api/v1/accounts/library/keys", "<script>alert(1)</script>", &keyless);
    signed.says("Signed: verified with the key “&#60;script&#62;alert(1)&#60;/script&#62;” of library ");
}
