//! What a certificate says of whom it is for: a small part of X.509 (RFC 5280) in DER.
//!
//! Nothing is verified. Certificates of keyless signing (Fulcio) have no subject, but an e-mail address or a URI among the
//! alternative names, and tell in an extension who vouched for it.

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it is for: e-mail address, URI or DNS name, else the common name of its subject.
    pub subject: String,
    /// Who vouched for that identity when it was issued (Fulcio), or the common name of who issued it; may be empty.
    pub issuer: String,
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTF8: u8 = 0x0c;
/// Explicit tags of a certificate's version and extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of alternative names that are read: e-mail address, DNS name, URI.
const NAMES: [u8; 3] = [0x81, 0x82, 0x86];
/// 2.5.4.3, 2.5.29.17.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// 1.3.6.1.4.1.57264.1.8: a DER string; .1.1, older: the bare text.
const FULCIO_ISSUER: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x08];
const FULCIO_ISSUER_1: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x01];
/// Longest text that is shown, in characters.
const LONGEST: usize = 300;

/// Values of DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    /// The next value, or nothing when the rest is none.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            ..=0x7f => usize::from(first),
            // Up to 16 MB; 0x80 is not DER.
            0x81..=0x83 => {
                let (digits, after) = rest.split_at_checked(usize::from(first - 0x80))?;
                rest = after;
                digits.iter().fold(0, |number, digit| number << 8 | usize::from(*digit))
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some((tag, content))
    }
}

/// The content of the next value, if it has this tag.
fn take<'a>(values: &mut Der<'a>, tag: u8) -> Option<&'a [u8]> {
    values.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// What a certificate in DER says; `None` when it is none.
pub(super) fn facts(der: &[u8]) -> Option<CertificateFacts> {
    let mut fields = Der(take(&mut Der(take(&mut Der(der), SEQUENCE)?), SEQUENCE)?).peekable();
    fields.next_if(|(tag, _)| *tag == VERSION);
    let mut sequences = fields.by_ref().skip(1).map(|(_, content)| content);
    let (_algorithm, issuer, _validity, subject) =
        (sequences.next()?, sequences.next()?, sequences.next()?, sequences.next()?);
    let extensions =
        fields.find(|(tag, _)| *tag == EXTENSIONS).and_then(|(_, content)| take(&mut Der(content), SEQUENCE));
    let extensions: Vec<(&[u8], &[u8])> = Der(extensions.unwrap_or_default())
        .filter_map(|(_, extension)| Some((take(&mut Der(extension), OBJECT_ID)?, Der(extension).last()?)))
        .filter(|(_, (tag, _))| *tag == OCTETS)
        .map(|(id, (_, value))| (id, value))
        .collect();
    let extension = |wanted: &[u8]| extensions.iter().find(|(id, _)| *id == wanted).map(|(_, value)| *value);

    let names = extension(ALTERNATIVE_NAMES).and_then(|value| take(&mut Der(value), SEQUENCE)).unwrap_or_default();
    let name = Der(names).find(|(tag, _)| NAMES.contains(tag)).map(|(_, name)| name);
    let voucher = extension(FULCIO_ISSUER).and_then(|value| take(&mut Der(value), UTF8));
    let voucher = voucher.or_else(|| extension(FULCIO_ISSUER_1)).or_else(|| common_name(issuer));
    Some(CertificateFacts {
        subject: text(name.or_else(|| common_name(subject)).unwrap_or_default()),
        issuer: text(voucher.unwrap_or_default()),
    })
}

/// The common name of a distinguished name: a sequence of sets of pairs.
fn common_name(name: &[u8]) -> Option<&[u8]> {
    let pairs = Der(name).flat_map(|(_, set)| Der(set)).map(|(_, pair)| pair);
    pairs.filter(|pair| take(&mut Der(pair), OBJECT_ID) == Some(COMMON_NAME)).find_map(|pair| Some(Der(pair).nth(1)?.1))
}

fn text(bytes: &[u8]) -> String {
    super::printable(bytes).chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// A certificate that `openssl` makes of itself.
    fn made(subject: &str, extensions: &[&str]) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-utf8"]);
        command.args(["-keyout", "/dev/null", "-outform", "DER", "-subj", subject]);
        for extension in extensions {
            command.args(["-addext", extension]);
        }
        let output = command.output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    #[test]
    fn a_certificate_says_whom_it_is_for() {
        let keyless = made(
            "/CN=sigstore",
            &["subjectAltName=email:ann@example.org", "1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://id.example.org"],
        );
        let workflow = "https://github.com/acme/app/.github/workflows/build.yml@refs/heads/main";
        let older =
            made("/CN=x", &[&format!("subjectAltName=URI:{workflow}"), "1.3.6.1.4.1.57264.1.1=DER:68747470733a"]);
        for (der, subject, issuer) in [
            (keyless, "ann@example.org", "https://id.example.org"),
            (older, workflow, "https:"),
            (made("/O=Acme/CN=Acme \u{202e}releases", &[]), "Acme \\u{202e}releases", "Acme \\u{202e}releases"),
        ] {
            let expected = CertificateFacts { subject: subject.to_owned(), issuer: issuer.to_owned() };
            assert_eq!(facts(&der), Some(expected));
            for end in 0..der.len() {
                facts(&der[..end]);
            }
        }
        assert_eq!(facts(b"no certificate"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), tag in any::<u8>()) {
            facts(&bytes);
            let mut wrapped = vec![SEQUENCE, bytes.len() as u8 & 0x7f, tag];
            wrapped.extend(&bytes);
            facts(&wrapped);
        }
    }
}
