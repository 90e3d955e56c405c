//! The `WWW-Authenticate` header (RFC 9110 section 11.6.1; the registry token specification).
//!
//! The parser takes whatever registries send: several challenges in one header or in several, missing quotes, stray
//! commas. What it cannot read it skips; it never fails.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use crate::scope::Scopes;

/// How a registry wants to be convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password with every request.
    Basic,
    /// A token from a token service.
    Bearer {
        /// Address of the token service.
        realm: String,
        /// The name the service knows this registry by.
        service: Option<String>,
        /// What the refused request needed.
        scopes: Scopes,
    },
}

impl Challenge {
    /// The challenge to answer: a token rather than a password with every request.
    pub(crate) fn choose(headers: &HeaderMap) -> Option<Challenge> {
        let all: Vec<Parsed> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .flat_map(|value| parse(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let bearer = all.iter().filter(|parsed| parsed.scheme == "bearer").find_map(Parsed::bearer);
        bearer.or_else(|| all.iter().any(|parsed| parsed.scheme == "basic").then_some(Challenge::Basic))
    }
}

/// One challenge as written; names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parsed {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Parsed {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn bearer(&self) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: self.parameter("realm").filter(|realm| !realm.is_empty())?.to_owned(),
            service: self.parameter("service").map(str::to_owned),
            scopes: Scopes::parse(self.parameter("scope").unwrap_or_default()),
        })
    }
}

/// Parses a header value. A token that `=` follows is a parameter of the challenge before it, any other starts one.
fn parse(text: &str) -> Vec<Parsed> {
    let mut challenges: Vec<Parsed> = Vec::new();
    let mut input = Input { rest: text };
    while !input.rest.is_empty() {
        let word = input.token();
        if word.is_empty() {
            input.skip_one();
            continue;
        }
        match (input.equals_sign(), challenges.last_mut()) {
            (true, Some(challenge)) => {
                let value = input.value();
                challenge.parameters.push((word.to_ascii_lowercase(), value));
            }
            (true, None) => drop(input.value()),
            (false, _) => {
                challenges.push(Parsed { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
            }
        }
    }
    challenges
}

struct Input<'a> {
    rest: &'a str,
}

impl<'a> Input<'a> {
    fn token(&mut self) -> &'a str {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn equals_sign(&mut self) -> bool {
        match self.rest.trim_start().strip_prefix('=') {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// A quoted string, or everything up to a comma or space.
    fn value(&mut self) -> String {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return value.to_owned();
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((position, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[position + 1..];
                    return value;
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        self.rest = "";
        value
    }

    fn skip_one(&mut self) {
        let mut characters = self.rest.chars();
        characters.next();
        self.rest = characters.as_str();
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn choose(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::choose(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scopes: &str) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.into(), service: service.map(Into::into), scopes: Scopes::parse(scopes) })
    }

    #[test]
    fn challenges_in_the_wild() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push""#;
        let hub_expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), "repository:library/nginx:pull,push");
        for (values, expected) in [
            (&[hub][..], hub_expected.clone()),
            (&["Basic realm=\"x\"", hub], hub_expected),
            (&["Basic realm=\"a, b\", Bearer realm=\"https://t\""], bearer("https://t", None, "")),
            (&["bearer Realm = https://t , service=s"], bearer("https://t", Some("s"), "")),
            (&[r#"Bearer realm="https://t/\"q\"",,error="invalid_token""#], bearer("https://t/\"q\"", None, "")),
            (&["Bearer realm=\"https://unterminated"], bearer("https://unterminated", None, "")),
            (&["BASIC"], Some(Challenge::Basic)),
            (&["Bearer service=\"no realm\", Basic"], Some(Challenge::Basic)),
            (&["Negotiate YII/abc==", "Digest realm=x"], None),
            (&["realm=\"x\""], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(choose(values), expected, "{values:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,80}") {
            parse(&text);
        }

        #[test]
        fn quoted_parameters_come_back(realm in "[ -~]{1,30}", service in "[ -~]{0,30}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer realm=\"{}\",service=\"{}\"", quote(&realm), quote(&service));
            let parsed = parse(&header);
            prop_assert_eq!(parsed.len(), 1);
            prop_assert_eq!(parsed[0].parameter("realm"), Some(realm.as_str()));
            prop_assert_eq!(parsed[0].parameter("service"), Some(service.as_str()));
        }
    }
}
