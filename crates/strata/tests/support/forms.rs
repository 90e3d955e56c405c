//! Forms posted to a hub's pages as a browser would.

use serde_json::json;
use strata_testkit::{Image, ImageBuilder, Layer};

use super::hub::{Answer, PASSWORD};
use super::site::Site;

pub fn image(seed: u64) -> Image {
    ImageBuilder::new().layer(Layer::of_noise(seed, 400_000)).build()
}

pub fn encoded(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>()
    };
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// The session that an answer begins.
pub fn session(answer: &Answer) -> String {
    let cookie = answer.headers.get("set-cookie").unwrap_or_else(|| panic!("{}: {}", answer.status, answer.text()));
    for flag in ["strata_session=", "; Path=/", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(flag), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

/// What stands between two texts.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let start = text.find(before).unwrap_or_else(|| panic!("no {before:?} in {text}")) + before.len();
    let end = text[start..].find(after).unwrap();
    &text[start..start + end]
}

/// The public key of a pair that `openssl` makes.
pub fn public_key() -> String {
    let script = "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout";
    let output = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub trait Browser {
    fn post(&self, path: &str, cookie: &str, pairs: &[(&str, &str)]) -> Answer;
    fn enter(&self, name: &str, password: &str) -> String;
    fn user(&self, name: &str) -> String;
    fn does(&self, path: &str, cookie: &str, pairs: &[(&str, &str)]) -> String;
    fn refused(&self, path: &str, cookie: &str, pairs: &[(&str, &str)], status: u16) -> String;
}

impl Browser for Site {
    fn post(&self, path: &str, cookie: &str, pairs: &[(&str, &str)]) -> Answer {
        self.form(path, &encoded(pairs), cookie)
    }

    /// Signs somebody in.
    fn enter(&self, name: &str, password: &str) -> String {
        session(&self.post("/sign-in", "", &[("name", name), ("password", password)]))
    }

    /// Makes a user and signs it in.
    fn user(&self, name: &str) -> String {
        self.ask("POST", "/api/v1/admin/users", &json!({ "username": name, "password": PASSWORD }));
        self.enter(name, PASSWORD)
    }

    /// Posts a form that is carried out; gives where it leads.
    #[track_caller]
    fn does(&self, path: &str, cookie: &str, pairs: &[(&str, &str)]) -> String {
        let answer = self.post(path, cookie, pairs);
        assert_eq!(answer.status, 303, "{path}: {}", answer.text());
        answer.headers["location"].clone()
    }

    /// Posts a form that is refused; gives the page.
    #[track_caller]
    fn refused(&self, path: &str, cookie: &str, pairs: &[(&str, &str)], status: u16) -> String {
        let answer = self.post(path, cookie, pairs);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        answer.text()
    }
}
