//! Hostile, damaged and random archives: errors, never a panic, and bounded memory.

mod memory;

use std::io::{self, Read};

use memory::{Memory, read};
use proptest::prelude::*;
use strata_archive::{ArchiveError, Limits, read_archive, read_archive_with};
use strata_model::ErrorKind;
use strata_testkit::museum::{self, Verdict};
use strata_testkit::{Image, TarFormat, archive};

#[test]
fn the_museum_is_taken_as_it_should_be() {
    for exhibit in museum::archives() {
        let outcome = read(&(exhibit.bytes)());
        match (exhibit.verdict, outcome) {
            (Verdict::Refuse, Ok(_)) => panic!("{} was read", exhibit.name),
            (Verdict::Accept, Err(error)) => panic!("{}: {error}", exhibit.name),
            (_, Err(error)) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "{}", exhibit.name);
                assert!(
                    error.to_string().len() < 1000,
                    "{}: a message of {} bytes",
                    exhibit.name,
                    error.to_string().len()
                );
            }
            (_, Ok(_)) => {}
        }
    }
    for exhibit in museum::layers() {
        assert!(exhibit.name == "empty" || read(&(exhibit.bytes)()).is_err(), "{} is an archive", exhibit.name);
    }
}

#[test]
fn dockers_words_are_kept() {
    let words = |name: &str| {
        let exhibit = museum::archives().into_iter().find(|exhibit| exhibit.name == name).unwrap();
        read(&(exhibit.bytes)()).err().unwrap().to_string()
    };
    for (name, expected) in [
        ("manifest-null", "invalid manifest, manifest cannot be null (but can be [])"),
        ("layers-length-mismatch", "invalid manifest, layers length mismatch: expected 2, got 1"),
        ("tag-without-tag", "invalid tag \"name\""),
        ("config-outside", "manifest.json names \"../../../etc/passwd\", which is not in the archive"),
    ] {
        assert_eq!(words(name), expected);
    }
    assert!(words("layer-with-another-diff-id").starts_with("invalid diffID for layer 0: expected \"sha256:"));
}

#[test]
fn archives_cut_anywhere_end_in_errors() {
    let image = Image::small("cut");
    for tar in [
        archive::docker(&[(&image, &["a:1"])]).tar(TarFormat::Pax),
        archive::oci(&image, &[("io.containerd.image.name", "docker.io/library/a:1")]).tar(TarFormat::Gnu),
        archive::docker_v1(&image, "a", "1").tar(TarFormat::Ustar),
    ] {
        let whole = read(&tar).unwrap().0.images.len();
        for cut in museum::truncations(&tar[..tar.len() - 1024]) {
            // Cut between two members a v1 archive may lose its names, which it need not have.
            let named = read(cut).map(|(images, _)| images.images.iter().any(|image| !image.names.is_empty()));
            assert!(!named.unwrap_or(false) && (cut.len() % 512 == 0 || read(cut).is_err()), "{} bytes", cut.len());
        }
        assert_eq!(read(&tar[..tar.len() - 1024]).unwrap().0.images.len(), whole, "the end mark may be missing");
    }
}

#[test]
fn the_failure_of_the_stream_is_told_from_the_sinks() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let tar = archive::oci(&Image::small("x"), &[]).tar(TarFormat::Ustar);
    for cut in [0, 100, 512, 600, tar.len() - 1024] {
        let error = read_archive(tar[..cut].chain(Broken), &mut Memory::default()).err().unwrap();
        assert_eq!(error.to_string(), "reading the archive: the disk is gone", "after {cut} bytes");
    }
    struct Full;
    impl strata_archive::ArchiveSink for Full {
        fn store(
            &mut self,
            _: &strata_archive::Member<'_>,
            _: &mut dyn Read,
        ) -> Result<strata_archive::Stored, strata_archive::SinkError> {
            Err("no space".into())
        }
    }
    let error = read_archive(&tar[..], &mut Full).err().unwrap();
    assert!(matches!(&error, ArchiveError::Blob { cause, .. } if cause.to_string() == "no space"), "{error}");
}

#[test]
fn limits_hold() {
    let tar = archive::docker(&[(&Image::small("x"), &["a:1"])]).tar(TarFormat::Ustar);
    for limits in [
        Limits { members: 2, ..Limits::default() },
        Limits { documents: 100, ..Limits::default() },
        Limits { document: 10, ..Limits::default() },
        Limits { directory: 10, ..Limits::default() },
        Limits { descriptors: 1, ..Limits::default() },
    ] {
        assert!(read_archive_with(limits, &tar[..], &mut Memory::default()).is_err(), "{limits:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read(&bytes);
    }

    #[test]
    fn spoilt_archives_do_no_harm(at in 0usize..20_000, value: u8, which in 0usize..3) {
        let image = Image::small("spoilt");
        let mut tar = match which {
            0 => archive::docker(&[(&image, &["a:1"])]).tar(TarFormat::Pax),
            1 => archive::oci(&image, &[]).tar(TarFormat::Gnu),
            _ => archive::docker_v1(&image, "a", "1").tar(TarFormat::V7),
        };
        let at = at % tar.len();
        tar[at] = value;
        let _ = read(&tar);
    }

    #[test]
    fn random_documents_do_no_harm(document in "[\\[{]{1,3}[a-zA-Z0-9\",:{}\\[\\]/.]{0,200}", name in 0usize..4) {
        let name = ["manifest.json", "index.json", "repositories", "oci-layout"][name];
        let _ = read(&archive::oci(&Image::small("x"), &[]).with(name, &document).tar(TarFormat::Ustar));
        let _ = read(&archive::docker(&[(&Image::small("x"), &["a:1"])]).with(name, &document).tar(TarFormat::Ustar));
    }
}
