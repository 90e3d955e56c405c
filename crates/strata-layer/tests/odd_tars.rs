//! Tars as odd as the formats allow, and ones that they do not allow.

mod support;

use strata_layer::{Kind, LayerError, LayerIndex, TarProblem, Timestamp, path::PathError};
use support::{END, content_of, header, link, member, padded, pax, read, round_trip};

fn trip(parts: &[&[u8]]) -> LayerIndex {
    round_trip(&parts.concat(), "odd tar")
}

fn refused(parts: &[&[u8]]) -> TarProblem {
    match read(&parts.concat(), &mut Default::default(), false) {
        Err(LayerError::Tar { problem, .. }) => problem,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn every_way_to_end() {
    let file = member("a", b'0', b"x");
    assert_eq!(trip(&[]).len(), 0);
    assert_eq!(trip(&[&END]).len(), 0);
    assert_eq!(trip(&[&[0; 512]]).len(), 0);
    assert_eq!(trip(&[&file]).len(), 1);
    assert_eq!(trip(&[&file, &[0; 512]]).len(), 1);
    assert_eq!(trip(&[&file, &END, &vec![0; 1 << 20], b"and garbage", &file]).len(), 1);
    // Without the padding of the last file.
    assert_eq!(trip(&[&file[..513]]).len(), 1);
    assert_eq!(refused(&[&file, &[0; 512], &file]), TarProblem::LoneZeroBlock);
    assert_eq!(refused(&[&file, &[0; 700]]), TarProblem::Truncated);
    assert_eq!(refused(&[&file[..512]]), TarProblem::Truncated);
    assert_eq!(refused(&[&file[..100]]), TarProblem::Truncated);
    assert_eq!(refused(&[&[b'x'; 1024]]), TarProblem::Checksum);
}

#[test]
fn the_empty_layer_has_its_known_diff_id() {
    let diff_id = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(trip(&[&END]).diff_id.to_string(), diff_id);
}

#[test]
fn every_kind_of_entry() {
    let device = header(b"dev/null", b'3', 0, |block| {
        block[329..336].copy_from_slice(b"0000001");
        block[337..344].copy_from_slice(b"0000003");
    });
    let index = trip(&[
        &member("./", b'5', b""),
        &member("dev/", b'5', b""),
        &device,
        &member("block", b'4', b""),
        &member("pipe", b'6', b""),
        &member("regular", b'0', b"1"),
        &member("contiguous", b'7', b"22"),
        &member("old", 0, b"333"),
        &header(b"old-directory/", 0, 0, |block| block[257..265].fill(0)),
        &member("empty", b'0', b""),
        &link("symlink", b'2', "../../outside/of/all"),
        &link("hardlink", b'1', "/./regular"),
        // Link and directory with a size, which has no data.
        &header(b"sized", b'5', 4096, |_| {}),
        &END,
    ]);
    let kinds: Vec<_> = index.entries().map(|entry| (entry.path.to_vec(), entry.kind)).collect();
    let expected: [(&[u8], Kind); 13] = [
        (b"", Kind::Directory),
        (b"dev", Kind::Directory),
        (b"dev/null", Kind::CharDevice),
        (b"block", Kind::BlockDevice),
        (b"pipe", Kind::Fifo),
        (b"regular", Kind::Regular),
        (b"contiguous", Kind::Regular),
        (b"old", Kind::Regular),
        (b"old-directory", Kind::Directory),
        (b"empty", Kind::Regular),
        (b"symlink", Kind::Symlink),
        (b"hardlink", Kind::HardLink),
        (b"sized", Kind::Directory),
    ];
    assert_eq!(kinds, expected.map(|(path, kind)| (path.to_vec(), kind)));
    assert_eq!(index.entry(2).device, (1, 3));
    assert_eq!(index.entry(9).content, None);
    assert_eq!(index.entry(10).link, b"../../outside/of/all");
    assert_eq!(index.entry(11).link, b"regular");
    assert_eq!(index.content_size, 6);
}

#[test]
fn names_in_every_form() {
    let long = "directory/".repeat(30) + "file";
    let index = trip(&[
        &member("././@LongLink", b'L', format!("{long}\0").as_bytes()),
        &member("././@LongLink", b'K', b"target/of/some/length\0"),
        &link("cut off", b'2', "cut"),
        &pax(&[("path", long.as_bytes()), ("linkpath", b"elsewhere")]),
        &link("cut off", b'2', "cut"),
        &header(b"name", b'0', 0, |block| block[345..351].copy_from_slice(b"prefix")),
        // Go before 1.8: a prefix under the magic of GNU.
        &header(b"name", b'0', 0, |block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            block[345..358].copy_from_slice(b"prefix/of-old");
        }),
        &header(b"name", b'0', 0, |block| {
            block[257..265].copy_from_slice(b"ustar  \0");
            block[345..356].copy_from_slice(b"14712345670");
        }),
        &header(&[b'n'; 100], b'0', 0, |_| {}),
        // Not UTF-8.
        &header(b"caf\xe9", b'0', 0, |_| {}),
        &END,
    ]);
    let paths: Vec<_> = index.entries().map(|entry| String::from_utf8_lossy(entry.path).into_owned()).collect();
    let hundred = "n".repeat(100);
    let expected =
        [&long, &long, "prefix/name", "prefix/of-old/name", "name", &hundred, "caf\u{fffd}"].map(str::to_owned);
    assert_eq!(paths, expected);
    assert_eq!(index.entry(0).link, b"target/of/some/length");
    assert_eq!(index.entry(1).link, b"elsewhere");
}

#[test]
fn extended_headers_reach_the_next_entry_only() {
    let data = vec![7; 700];
    let global = member("pax_global_header", b'g', b"52 comment=0123456789012345678901234567890123456789\n");
    let index = trip(&[
        &global,
        &pax(&[
            ("mtime", b"-1.25"),
            ("atime", b"12.5"),
            ("uid", b"4000000000"),
            ("gid", b"70000"),
            ("size", b"700"),
            ("SCHILY.xattr.user.b", b"\0\n=\xff"),
            ("SCHILY.xattr.user.a", b""),
            ("LIBARCHIVE.xattr.user.c", b"aGk="),
            ("weird key.with spaces", b"value"),
            ("hdrcharset", b"BINARY"),
        ]),
        &header(b"first", b'0', 0, |_| {}),
        &padded(&data),
        &member("second", b'0', b"x"),
        &pax(&[("mtime", b"1350244992.023960108")]),
        &member("third", b'0', b"x"),
        &END,
    ]);
    let first = index.entry(0);
    assert_eq!(first.metadata.mtime, Timestamp { seconds: -2, nanoseconds: 750_000_000 });
    assert_eq!((first.metadata.uid, first.metadata.gid), (4_000_000_000, 70000));
    assert_eq!(first.content.unwrap().size, 700);
    let xattrs: Vec<(&[u8], &[u8])> = first.xattrs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    assert_eq!(xattrs, [(&b"user.a"[..], &b""[..]), (b"user.b", b"\0\n=\xff"), (b"user.c", b"hi")]);
    let second = index.entry(1);
    assert_eq!(second.metadata.mtime, Timestamp { seconds: 0o14712345670, nanoseconds: 0 });
    assert!(second.metadata.uid == 0 && second.xattrs.is_empty());
    assert_eq!(index.entry(2).metadata.mtime, Timestamp { seconds: 1350244992, nanoseconds: 23_960_108 });
}

#[test]
fn numbers_beyond_octal() {
    let index = trip(&[
        &header(b"file", b'0', 0, |block| {
            block[108..116].copy_from_slice(b"\x80\0\0\0\xee\x6b\x28\0");
            block[116..124].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xfe");
            block[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x03");
            block[136..148].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
        }),
        &padded(b"abc"),
        &END,
    ]);
    let entry = index.entry(0);
    assert_eq!((entry.metadata.uid, entry.metadata.gid), (4_000_000_000, 4_294_967_294));
    assert_eq!(entry.metadata.mtime.seconds, -1);
    assert_eq!(entry.content.unwrap().size, 3);
    let number = |at: std::ops::Range<usize>, bytes: &'static [u8]| {
        header(b"x", b'0', 0, |block| block[at].copy_from_slice(bytes))
    };
    assert_eq!(refused(&[&number(124..127, b"9zz")]), TarProblem::Number("size"));
    assert_eq!(refused(&[&number(124..136, &[0xff; 12])]), TarProblem::Number("size"));
    assert_eq!(refused(&[&number(108..116, b"\x80\0\0\x01\0\0\0\0")]), TarProblem::Number("uid"));
}

#[test]
fn sparse_files_are_expanded() {
    let expected = [&[0; 1024][..], &[1; 512], &[0; 1024], &[2; 100]].concat();
    let stored = [&[1; 512][..], &[2; 100]].concat();
    let map = b"2\n1024\n512\n2560\n100\n";
    let old = header(b"file", b'S', 612, |block| {
        block[257..265].copy_from_slice(b"ustar  \0");
        block[386..397].copy_from_slice(b"00000002000");
        block[398..409].copy_from_slice(b"00000001000");
        block[482] = 1;
        block[483..494].copy_from_slice(b"00000005144");
    });
    let mut continued = [0; 512];
    continued[..11].copy_from_slice(b"00000005000");
    continued[12..23].copy_from_slice(b"00000000144");
    let forms: [(&str, Vec<Vec<u8>>); 4] = [
        ("old GNU", vec![old, continued.to_vec(), padded(&stored)]),
        (
            "PAX 0.0",
            vec![
                pax(&[
                    ("GNU.sparse.size", b"2660"),
                    ("GNU.sparse.numblocks", b"2"),
                    ("GNU.sparse.offset", b"1024"),
                    ("GNU.sparse.numbytes", b"512"),
                    ("GNU.sparse.offset", b"2560"),
                    ("GNU.sparse.numbytes", b"100"),
                ]),
                member("file", b'0', &stored),
            ],
        ),
        (
            "PAX 0.1",
            vec![
                pax(&[
                    ("GNU.sparse.size", b"2660"),
                    ("GNU.sparse.name", b"file"),
                    ("GNU.sparse.map", b"1024,512,2560,100"),
                ]),
                member("GNUSparseFile.1/file", b'0', &stored),
            ],
        ),
        (
            "PAX 1.0",
            vec![
                pax(&[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.name", b"file"),
                    ("GNU.sparse.realsize", b"2660"),
                ]),
                member("GNUSparseFile.1/file", b'0', &[padded(map), stored.clone()].concat()),
            ],
        ),
    ];
    for (name, parts) in forms {
        let tar = [parts.concat(), member("after", b'0', b"x"), END.to_vec()].concat();
        let mut packs = Default::default();
        let layer = read(&tar, &mut packs, false).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(content_of(&layer.index, &packs, b"file") == expected, "{name}");
        assert_eq!(layer.index.content_size, 2661, "{name}");
        assert_eq!(round_trip(&tar, name).len(), 2);
    }
    let bad = pax(&[("GNU.sparse.size", b"2660"), ("GNU.sparse.map", b"1024,512,2560,101")]);
    assert!(matches!(refused(&[&bad, &member("file", b'0', &stored)]), TarProblem::Sparse(_)));
}

#[test]
fn large_sparse_files_keep_their_holes() {
    let size = 200 << 20;
    let map = format!("0,3,{},3", size - 3);
    let tar = [
        pax(&[("GNU.sparse.size", size.to_string().as_bytes()), ("GNU.sparse.map", map.as_bytes())]),
        member("file", b'0', b"onetwo"),
        END.to_vec(),
    ]
    .concat();
    let index = round_trip(&tar, "large sparse file");
    assert_eq!(index.content_size, size);
}

#[test]
fn what_would_leave_the_root_is_refused() {
    let problem = refused(&[&link("x", b'1', "../y")]);
    assert!(matches!(problem, TarProblem::HardLink { reason: PathError::Escape, .. }));
    assert!(problem.to_string().starts_with(r#"invalid hardlink "x" -> "../y""#), "{problem}");
    assert!(matches!(refused(&[&link("x", b'1', "")]), TarProblem::HardLink { reason: PathError::Empty, .. }));
    assert!(matches!(refused(&[&link("x", b'2', "")]), TarProblem::Symlink { reason: PathError::Empty, .. }));
    let path = |name| refused(&[&member(name, b'0', b"")]);
    assert!(matches!(path("a/../../x"), TarProblem::Path { reason: PathError::Escape, .. }));
    assert_eq!(path("./"), TarProblem::Root);
    let long = "x".repeat(256);
    let named = |name: &[u8]| refused(&[&pax(&[("path", name)]), &member("x", b'0', b"")]);
    assert!(matches!(named(long.as_bytes()), TarProblem::Path { reason: PathError::Component, .. }));
    assert!(matches!(named(b"a\0b"), TarProblem::Pax(_)));
    assert_eq!(refused(&[&member("x", b'V', b"")]), TarProblem::Type(b'V'));
    let xattr = |name, value| refused(&[&pax(&[(name, value)]), &member("x", b'0', b"")]);
    assert!(matches!(xattr("SCHILY.xattr.", b"x"), TarProblem::Xattr { .. }));
    assert!(matches!(xattr("SCHILY.xattr.user.x", &[0; 65537]), TarProblem::Xattr { .. }));
    let large = header(b"x", b'x', (1 << 20) + 1, |_| {});
    assert!(matches!(refused(&[&large]), TarProblem::TooLong { .. }));
    let large = header(b"x", b'L', (64 << 10) + 1, |_| {});
    assert!(matches!(refused(&[&large]), TarProblem::TooLong { .. }));
}
