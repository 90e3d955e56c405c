//! Versions of the API: 1.24 to 1.51, written before the path as `/v1.NN`.

use std::fmt;

use crate::status::Failure;

/// A version of the API; the major number is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(pub(crate) u16);

impl ApiVersion {
    pub(crate) const OLDEST: ApiVersion = ApiVersion(24);
    pub(crate) const NEWEST: ApiVersion = ApiVersion(51);

    /// The version that a path asks for, and the path without it; without one it is the newest. `None` for what is no
    /// version: the path is one that nobody knows.
    pub(crate) fn split(path: &str) -> Option<Result<(ApiVersion, &str), Failure>> {
        let Some(rest) = path.strip_prefix("/v").filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        else {
            return Some(Ok((ApiVersion::NEWEST, path)));
        };
        let end = rest.find('/')?;
        let (version, path) = rest.split_at(end);
        let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
        let numbers: Option<(u16, u16)> = major.parse().ok().zip(minor.parse().ok());
        let (major, minor) = numbers?;
        let refuse = |message: String| Some(Err(Failure::bad_request(message)));
        match (major, ApiVersion(minor)) {
            (..=0, _) => refuse(too_old(version)),
            (1, asked) if asked < ApiVersion::OLDEST => refuse(too_old(version)),
            (1, asked) if asked <= ApiVersion::NEWEST => Some(Ok((asked, path))),
            _ => refuse(format!(
                "client version {version} is too new. Maximum supported API version is {}",
                ApiVersion::NEWEST
            )),
        }
    }
}

fn too_old(version: &str) -> String {
    format!(
        "client version {version} is too old. Minimum supported API version is {}, please upgrade your client to a newer \
         version",
        ApiVersion::OLDEST
    )
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_paths() {
        let split = |path: &'static str| ApiVersion::split(path).map(|split| split.map_err(|failure| failure.message));
        assert_eq!(split("/_ping"), Some(Ok((ApiVersion(51), "/_ping"))));
        assert_eq!(split("/v1.41/images/json"), Some(Ok((ApiVersion(41), "/images/json"))));
        assert_eq!(split("/volumes"), Some(Ok((ApiVersion(51), "/volumes"))));
        assert_eq!(split("/version"), Some(Ok((ApiVersion(51), "/version"))));
        assert_eq!(split("/v1.4x/info"), None);
        assert_eq!(split("/v1.41"), None);
        assert_eq!(
            split("/v1.12/info").unwrap().unwrap_err(),
            "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer \
             version"
        );
        for new in ["/v1.99/info", "/v2.0/info"] {
            assert!(split(new).unwrap().unwrap_err().contains("is too new. Maximum supported API version is 1.51"));
        }
    }
}
