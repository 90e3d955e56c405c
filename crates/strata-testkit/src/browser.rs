//! Chromium without a window, driven as a person would: WebDriver (<https://www.w3.org/TR/webdriver2/>) spoken to
//! `chromedriver`, and through it the DevTools protocol for what WebDriver cannot say (screens, colour schemes, scripts
//! switched off).
//!
//! Everything is synchronous, and every wait is for a condition and has an end. What cannot be done panics with what
//! the browser said.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Request;

/// Longest time for a condition to come true.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);
/// The member by which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// The key that goes to the next stop.
pub const TAB: &str = "\u{e004}";
/// The key that confirms.
pub const ENTER: &str = "\u{e007}";
/// The key that goes down.
pub const DOWN: &str = "\u{e015}";
/// The key that takes back.
pub const ESCAPE: &str = "\u{e00c}";

/// A browser with a profile of its own; it ends with the value.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: TempDir,
}

/// What a page is shown on.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Width in CSS pixels; below 600 it is a telephone's.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
    /// Whether the person prefers dark pages.
    pub is_dark: bool,
}

impl Browser {
    /// Starts a browser; `None` where `chromium` or `chromedriver` is not there.
    pub fn start() -> Option<Browser> {
        let (chromium, chromedriver) = (program("chromium")?, program("chromedriver")?);
        let profile = tempfile::Builder::new().prefix("strata-browser-").tempdir().expect("a folder for the profile");
        let mut command = Command::new(chromedriver);
        command.arg("--port=0").env("HOME", profile.path()).env("TMPDIR", profile.path());
        let mut driver = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let port = port(&mut driver);
        let address = format!("127.0.0.1:{port}");
        let data = format!("--user-data-dir={}", profile.path().join("profile").display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([data.as_str()]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 30_000, "pageLoad": 30_000 },
        } } });
        let session = exchange(&address, "POST", "/session", &wanted).expect("a session");
        let session = session["sessionId"].as_str().expect("a session's name").to_owned();
        Some(Browser { driver, address, session, _profile: profile })
    }

    /// Sends one command of WebDriver.
    ///
    /// # Errors
    /// What the browser says against it.
    pub fn command(&self, method: &'static str, path: &str, parameters: &Value) -> Result<Value, String> {
        exchange(&self.address, method, &format!("/session/{}{path}", self.session), parameters)
    }

    #[track_caller]
    fn must(&self, path: &str, parameters: &Value) -> Value {
        self.command("POST", path, parameters).unwrap_or_else(|said| panic!("{path}: {said}"))
    }

    /// Sends one command of the DevTools protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.must("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Changes what pages are shown on.
    #[track_caller]
    pub fn show_on(&self, screen: Screen) {
        let Screen { width, height, is_dark } = screen;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Switches the scripts of pages on or off; [`Browser::run`] works with both.
    #[track_caller]
    pub fn allow_scripts(&self, are_allowed: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !are_allowed }));
    }

    /// Opens an address and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.must("/url", &json!({ "url": url }));
    }

    /// Path, query and fragment of what is shown.
    #[track_caller]
    pub fn here(&self) -> String {
        self.run("return location.pathname + location.search + location.hash").as_str().unwrap_or_default().to_owned()
    }

    /// Runs the body of a function in the page; gives what it returns.
    #[track_caller]
    pub fn run(&self, body: &str) -> Value {
        self.must("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Runs the body of a function in the page; gives what it passes to `done`, in its own time.
    #[track_caller]
    pub fn run_until_done(&self, body: &str) -> Value {
        let script = format!("const done = arguments[0];\n{body}");
        self.must("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// What the console of the page got since the last call: warnings, errors, and what its policy kept from happening.
    #[track_caller]
    pub fn console(&self) -> Vec<String> {
        let entries = self.must("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let is_advice = |entry: &&Value| entry["level"] == "DEBUG" || entry["level"] == "INFO";
        entries
            .iter()
            .filter(|entry| !is_advice(entry))
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .collect()
    }

    /// Waits until the page has a visible element; `css` selects it.
    #[track_caller]
    pub fn wait_for(&self, css: &str) {
        self.until(css, || self.is_visible(&self.element("css selector", css)?).then_some(()));
    }

    /// Waits until an element shows a text.
    #[track_caller]
    pub fn wait_for_text(&self, css: &str, text: &str) {
        self.until(&format!("{css} with {text:?}"), || self.visible_text(css)?.contains(text).then_some(()));
    }

    /// The text of an element as it is seen, once it is there.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.until(css, || self.visible_text(css))
    }

    /// How many elements there are now.
    #[track_caller]
    pub fn count(&self, css: &str) -> usize {
        let found = self.must("/elements", &json!({ "using": "css selector", "value": css }));
        found.as_array().map_or(0, Vec::len)
    }

    /// Clicks an element, once it is there and nothing covers it.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.click_found("css selector", css);
    }

    /// Clicks the link with this text.
    #[track_caller]
    pub fn follow(&self, text: &str) {
        self.click_found("link text", text);
    }

    /// Clicks the button with this text.
    #[track_caller]
    pub fn press(&self, text: &str) {
        self.click_found("xpath", &format!("//button[normalize-space()='{text}']"));
    }

    /// Types into a field what it shall hold instead of what it holds.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        self.until(css, || {
            let element = self.element("css selector", css)?;
            self.command("POST", &format!("/element/{element}/clear"), &json!({})).ok()?;
            self.command("POST", &format!("/element/{element}/value"), &json!({ "text": text })).ok()
        });
    }

    /// Types where the focus is, one key after the other.
    #[track_caller]
    pub fn type_keys(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|action| json!({ "type": action, "value": key.to_string() })))
            .collect();
        self.must("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] }));
    }

    /// Waits until `look` has seen something.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}: not seen on {}\n{}", self.here(), self.seen());
            std::thread::sleep(PAUSE);
        }
    }

    #[track_caller]
    fn click_found(&self, strategy: &str, value: &str) {
        self.until(value, || {
            let element = self.element(strategy, value)?;
            self.command("POST", &format!("/element/{element}/click"), &json!({})).ok()
        });
    }

    fn element(&self, strategy: &str, value: &str) -> Option<String> {
        let found = self.command("POST", "/element", &json!({ "using": strategy, "value": value })).ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    fn is_visible(&self, element: &str) -> bool {
        self.command("GET", &format!("/element/{element}/displayed"), &Value::Null).is_ok_and(|shown| shown == true)
    }

    fn visible_text(&self, css: &str) -> Option<String> {
        let element = self.element("css selector", css)?;
        let text = self.command("GET", &format!("/element/{element}/text"), &Value::Null).ok()?;
        text.as_str().map(str::to_owned)
    }

    /// The page's text, for a test that failed.
    fn seen(&self) -> String {
        self.visible_text("body").unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser too, which a killed driver would leave behind.
        let _ = self.command("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate: &PathBuf| Path::is_file(candidate))
}

/// The port that the driver says it listens on.
fn port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().expect("the driver's output")).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let number = line.strip_suffix('.')?.rsplit_once(" on port ")?.1.to_owned();
        number.parse().ok()
    });
    // The rest is read so that the driver never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    port.expect("chromedriver says its port")
}

fn exchange(address: &str, method: &'static str, path: &str, parameters: &Value) -> Result<Value, String> {
    let mut request = Request::new(method, path).header("content-type", "application/json");
    if method == "POST" {
        request = request.body(parameters.to_string());
    }
    let answer = request.send(address).map_err(|cause| format!("the browser is gone: {cause}"))?;
    let mut document = answer.json();
    match answer.status {
        200 => Ok(document["value"].take()),
        _ => Err(format!("{}: {}", document["value"]["error"], document["value"]["message"])),
    }
}
