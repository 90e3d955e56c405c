//! Paths of tar entries, cleaned so that they name a place below the root and nothing else.

/// Longest path, and longest target of a symbolic link, in bytes: what Linux takes (PATH_MAX without its NUL).
pub const PATH_LIMIT: usize = 4095;
/// Longest component of a path in bytes: what Linux takes.
pub const COMPONENT_LIMIT: usize = 255;

/// Why a path cannot be one of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `..` leads out of the root.
    #[error("it leaves the root")]
    Escape,
    /// There is a NUL in it.
    #[error("it contains a NUL byte")]
    Nul,
    /// A component exceeds [`COMPONENT_LIMIT`].
    #[error("a component is longer than 255 bytes")]
    Component,
    /// The whole exceeds [`PATH_LIMIT`].
    #[error("it is longer than 4095 bytes")]
    Length,
    /// There is nothing, and there must be something.
    #[error("it is empty")]
    Empty,
}

/// Replaces `cleaned` by `raw` without leading and trailing slashes and without `.` and `..` components, which are
/// resolved lexically. The root is the empty path. Nothing is assumed about the encoding.
pub fn clean(raw: &[u8], cleaned: &mut Vec<u8>) -> Result<(), PathError> {
    cleaned.clear();
    for component in raw.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if cleaned.is_empty() {
                    return Err(PathError::Escape);
                }
                let parent = cleaned.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                cleaned.truncate(parent);
            }
            _ if component.len() > COMPONENT_LIMIT => return Err(PathError::Component),
            _ if component.contains(&0) => return Err(PathError::Nul),
            _ => {
                if !cleaned.is_empty() {
                    cleaned.push(b'/');
                }
                cleaned.extend_from_slice(component);
            }
        }
    }
    if cleaned.len() > PATH_LIMIT { Err(PathError::Length) } else { Ok(()) }
}

/// Whether `path` is what [`clean`] makes of it.
pub fn is_clean(path: &[u8]) -> bool {
    path.is_empty()
        || path.len() <= PATH_LIMIT
            && path.split(|&byte| byte == b'/').all(|component| {
                !matches!(component, b"" | b"." | b"..")
                    && component.len() <= COMPONENT_LIMIT
                    && !component.contains(&0)
            })
}

/// Whether `target` can be the target of a symbolic link: any bytes, but some, not too many, and no NUL.
pub fn check_symlink_target(target: &[u8]) -> Result<(), PathError> {
    match target {
        [] => Err(PathError::Empty),
        _ if target.len() > PATH_LIMIT => Err(PathError::Length),
        _ if target.contains(&0) => Err(PathError::Nul),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cleaned(raw: &[u8]) -> Result<Vec<u8>, PathError> {
        let mut path = Vec::new();
        clean(raw, &mut path).map(|()| path)
    }

    #[test]
    fn paths_are_cleaned_or_refused() {
        type Case = (&'static [u8], Result<&'static [u8], PathError>);
        let table: &[Case] = &[
            (b"etc/passwd", Ok(b"etc/passwd")),
            (b"/etc/passwd", Ok(b"etc/passwd")),
            (b"./etc//passwd", Ok(b"etc/passwd")),
            (b"etc/", Ok(b"etc")),
            (b"./", Ok(b"")),
            (b"", Ok(b"")),
            (b"/", Ok(b"")),
            (b"a/../b", Ok(b"b")),
            (b"a/b/../../c/./d/..", Ok(b"c")),
            (b"a/..", Ok(b"")),
            (b"..a/...", Ok(b"..a/...")),
            (b"caf\xe9", Ok(b"caf\xe9")),
            (b"..", Err(PathError::Escape)),
            (b"a/../../b", Err(PathError::Escape)),
            (b"/../b", Err(PathError::Escape)),
            (b"a\0b", Err(PathError::Nul)),
        ];
        for (raw, expected) in table {
            assert_eq!(cleaned(raw), expected.map(<[u8]>::to_vec), "{:?}", String::from_utf8_lossy(raw));
        }
        assert_eq!(cleaned(&[b'x'; 256]), Err(PathError::Component));
        assert!(cleaned(&[b'x'; 255]).is_ok());
        assert_eq!(cleaned(&b"0123456789abcde/".repeat(257)), Err(PathError::Length));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_cleaned_is_clean(raw in "[a./\\x00]{0,24}") {
            if let Ok(path) = cleaned(raw.as_bytes()) {
                prop_assert!(is_clean(&path));
                prop_assert_eq!(cleaned(&path), Ok(path));
            }
        }
    }
}
