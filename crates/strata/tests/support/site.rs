//! A hub with what its pages show, and forms and pages as a browser sends and asks for them.

use serde_json::Value;
use strata_model::MediaType;
use strata_testkit::{Image, Index};

use super::hub::{Answer, PASSWORD, Request, RunningHub, administrator, eventually};

/// A running hub, empty but for its administrator.
pub struct Site {
    _directory: tempfile::TempDir,
    pub hub: RunningHub,
    /// Does what the administrator may do.
    pub token: String,
}

impl Site {
    pub fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("store");
        let token = administrator(&root);
        let hub = RunningHub::start(&root, &[]);
        Site { _directory: directory, hub, token }
    }

    /// Pushes an image as the administrator, by the registry's own words.
    pub fn push(&self, repository: &str, reference: &str, image: &Image) {
        for (digest, bytes) in image.blobs() {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
            assert_eq!(self.send(Request::new("POST", &path).token(&self.token).body(bytes)).status, 201);
        }
        self.put_manifest(repository, reference, &image.media_type, &image.manifest);
    }

    /// Pushes images of several platforms under one tag.
    pub fn push_index(&self, repository: &str, tag: &str, index: &Index) {
        for image in &index.images {
            self.push(repository, &image.digest().to_string(), image);
        }
        self.put_manifest(repository, tag, &index.media_type, &index.manifest);
    }

    fn put_manifest(&self, repository: &str, reference: &str, media_type: &MediaType, manifest: &[u8]) {
        let put = Request::new("PUT", &format!("/v2/{repository}/manifests/{reference}")).token(&self.token);
        let answer = self.send(put.header("content-type", media_type.as_str()).body(manifest));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    /// Changes a repository, once the hub has followed its push.
    pub fn patch(&self, repository: &str, change: &Value) {
        let patch = self.request("PATCH", &format!("/v2/repositories/{repository}/"), change);
        eventually("the repository", || (self.send(patch.clone()).status == 200).then_some(()));
    }

    /// Asks the API for something as the administrator; it must be done.
    #[track_caller]
    pub fn ask(&self, method: &'static str, path: &str, document: &Value) -> Value {
        let answer = self.send(self.request(method, path, document));
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    fn request(&self, method: &'static str, path: &str, document: &Value) -> Request {
        let request = Request::new(method, path).token(&self.token);
        request.header("content-type", "application/json").body(document.to_string())
    }

    pub fn send(&self, request: Request) -> Answer {
        request.send(&self.hub.address).unwrap()
    }

    /// A form that a page of this site sends.
    pub fn form(&self, path: &str, body: &str, cookie: &str) -> Answer {
        let origin = format!("http://{}", self.hub.address);
        let form = Request::new("POST", path).header("origin", &origin).header("cookie", cookie);
        self.send(form.header("content-type", "application/x-www-form-urlencoded").body(body))
    }

    /// A page as a browser with this cookie asks for it.
    pub fn page(&self, path: &str, cookie: &str) -> Answer {
        self.send(Request::new("GET", path).header("cookie", cookie))
    }

    /// Signs the administrator in; gives the cookie.
    pub fn sign_in(&self) -> String {
        let password = PASSWORD.replace(' ', "+");
        let answer = self.form("/sign-in", &format!("name=admin&password={password}&next=/my"), "strata_session=fixed");
        assert_eq!((answer.status, answer.headers["location"].as_str()), (303, "/my"), "{}", answer.text());
        let cookie = &answer.headers["set-cookie"];
        for flag in ["; Path=/", "; HttpOnly", "; SameSite=Lax"] {
            assert!(cookie.contains(flag), "{cookie}");
        }
        assert!(!cookie.contains("=fixed"), "a session has a cookie of its own: {cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }
}
