//! Content digests (OCI image-spec, "Digests") and the identities derived from them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// Hash algorithms that a digest may name; these three are what registries and clients accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl Algorithm {
    /// The name as it stands before the colon of a digest.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha384 => "sha384",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Length of a digest in bytes.
    pub fn length(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha384 => 48,
            Algorithm::Sha512 => 64,
        }
    }
}

/// Why a text is not a digest. The wording is that of the reference library, which scripts see through docker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not of the form `algorithm:hex`.
    #[error("invalid checksum digest format")]
    Format,
    /// The algorithm is none of sha256, sha384 and sha512.
    #[error("unsupported digest algorithm")]
    Algorithm,
    /// The number of hexadecimal digits does not fit the algorithm.
    #[error("invalid checksum digest length")]
    Length,
}

/// A digest of bytes, printed as `sha256:…` in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; 64],
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// A digest from its raw bytes; `None` when their number does not fit the algorithm.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Option<Digest> {
        if raw.len() != algorithm.length() {
            return None;
        }
        let mut bytes = [0; 64];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Digest { algorithm, bytes })
    }

    /// The algorithm that made it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes: 32, 48 or 64.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[..self.algorithm.length()]
    }

    /// The hexadecimal part, without the algorithm.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(self.raw().len() * 2);
        for byte in self.raw() {
            text.push(DIGITS[usize::from(byte >> 4)] as char);
            text.push(DIGITS[usize::from(byte & 15)] as char);
        }
        text
    }

    /// The first 12 hexadecimal digits, as docker prints identifiers of images and layers.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// A hasher for content that is expected to have this digest.
    pub fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError::Format)?;
        if name.is_empty() || hex.is_empty() {
            return Err(DigestError::Format);
        }
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha384" => Algorithm::Sha384,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::Algorithm),
        };
        if hex.len() != algorithm.length() * 2 {
            return Err(DigestError::Length);
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = lower_hex(pair[0])? << 4 | lower_hex(pair[1])?;
        }
        Ok(Digest { algorithm, bytes })
    }
}

fn lower_hex(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError::Format),
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|cause| serde::de::Error::custom(format!("digest {text:?}: {cause}")))
    }
}

/// Hashes bytes as they pass and ends in a [`Digest`].
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// An empty hasher.
    pub fn new(algorithm: Algorithm) -> Hasher {
        Hasher(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha384 => State::Sha384(sha2::Sha384::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha384(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        let (algorithm, raw): (_, Vec<u8>) = match self.0 {
            State::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().to_vec()),
            State::Sha384(hasher) => (Algorithm::Sha384, hasher.finalize().to_vec()),
            State::Sha512(hasher) => (Algorithm::Sha512, hasher.finalize().to_vec()),
        };
        let mut bytes = [0; 64];
        bytes[..raw.len()].copy_from_slice(&raw);
        Digest { algorithm, bytes }
    }
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<$name, DigestError> {
                text.parse().map($name)
            }
        }
    };
}

identity! {
    /// Digest of a layer's uncompressed tar.
    DiffId
}
identity! {
    /// Identity of a stack of layers, see [`ChainId::of`].
    ChainId
}
identity! {
    /// Identity of an image: the digest of its configuration's bytes.
    ImageId
}

impl ChainId {
    /// The chain ID of layers applied in order, lowest first; `None` for no layers.
    ///
    /// Source: OCI image-spec, config.md, "Layer ChainID".
    pub fn of(layers: &[DiffId]) -> Option<ChainId> {
        let (first, rest) = layers.split_first()?;
        Some(rest.iter().fold(ChainId(first.0), |chain, layer| chain.with(*layer)))
    }

    /// The chain ID of this stack with one more layer on top.
    pub fn with(self, layer: DiffId) -> ChainId {
        ChainId(Digest::of(format!("{self} {layer}").as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_prints_as_it_was_written() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
    }

    #[test]
    fn malformed_digests_are_refused_by_kind() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!("sha256".parse::<Digest>(), Err(DigestError::Format));
        assert_eq!(format!("md5:{hex}").parse::<Digest>(), Err(DigestError::Algorithm));
        assert_eq!(format!("sha512:{hex}").parse::<Digest>(), Err(DigestError::Length));
        assert_eq!(format!("sha256:{}", hex.to_uppercase()).parse::<Digest>(), Err(DigestError::Format));
    }

    #[test]
    fn a_chain_of_one_layer_is_that_layer() {
        let layer = DiffId(Digest::of(b"layer"));
        let next = DiffId(Digest::of(b"next"));
        assert_eq!(ChainId::of(&[layer]), Some(ChainId(layer.0)));
        let expected = Digest::of(format!("{layer} {next}").as_bytes());
        assert_eq!(ChainId::of(&[layer, next]), Some(ChainId(expected)));
        assert_eq!(ChainId::of(&[]), None);
    }
}
