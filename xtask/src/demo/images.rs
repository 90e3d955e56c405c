//! The demo's images: a base, a language runtime on it, two versions of an application on that; beside them programs of
//! this machine on the base, and data that is the same on every platform.

use super::machine;
use crate::oci_layout::{Files, Layer, Layout};
use crate::process;
use anyhow::Result;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

const SHELL: &[&str] = &["sh", "bash", "ls", "cat", "cp", "mv", "rm", "mkdir", "echo", "env", "id", "ps", "uname"];
const TOOLS: &[&str] = &["grep", "sed", "awk", "tar", "gzip", "find", "sort", "head", "tail", "wc", "date", "sleep"];

/// Programs that get an image of their own, where this machine has them, and how they say their version.
const PROGRAMS: &[(&str, &str)] = &[
    ("curl", "--version"),
    ("git", "--version"),
    ("jq", "--version"),
    ("openssl", "version"),
    ("sqlite3", "--version"),
    ("zstd", "--version"),
];
/// Folders of data with the platforms that their images are for.
const DATA: &[(&str, &str, &[&str])] = &[
    ("certificates", "/etc/ssl/certs", &["amd64", "arm64", "arm/v7", "riscv64", "s390x"]),
    ("timezones", "/usr/share/zoneinfo", &["amd64", "arm64", "arm/v7"]),
];

/// Images in an OCI layout.
pub struct Images {
    pub layout: PathBuf,
    /// Names of `PROGRAMS` that were found, with their versions; also their names in the layout.
    pub programs: Vec<(&'static str, String)>,
    /// Names of `DATA` that were found; also their names in the layout.
    pub data: Vec<&'static str>,
    /// Whether there is a server, as `web`: awk makes none.
    pub has_web: bool,
}

/// Writes all images as one OCI layout.
pub fn compose(folder: &Path) -> Result<Images> {
    let directory = folder.join("images");
    let mut layout = Layout::create(&directory)?;
    let now = Timestamp::now();
    let ago = |hours: i64| now.checked_sub(hours.hours());

    let mut base = machine::skeleton();
    machine::add_programs(&mut base, SHELL)?;
    let mut tools = Files::default();
    machine::add_programs(&mut tools, TOOLS)?;
    let tools = tools.without(&base);

    let language = machine::runtime();
    let mut library = Files::default();
    machine::add_programs(&mut library, &[language.program])?;
    for folder in &language.folders {
        machine::add_folder(&mut library, folder)?;
    }
    let library = library.without(&base).without(&tools);

    let base = layout.layer(&base, ago(24 * 21)?, "COPY shell / # buildkit")?;
    let tools = layout.layer(&tools, ago(24 * 21)?, "COPY tools / # buildkit")?;
    let library = layout.layer(&library, ago(24 * 9)?, &format!("COPY {} / # buildkit", language.name))?;
    let old = layout.layer(&application("1.0", language.program), ago(50)?, "COPY app /srv/app # buildkit")?;
    let new = layout.layer(&application("1.1", language.program), ago(3)?, "COPY app /srv/app # buildkit")?;

    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    layout.image("base", &[&base, &tools], &json!({"Env": [path], "Cmd": ["bash"]}))?;
    layout.image("runtime", &[&base, &tools, &library], &json!({"Env": [path], "Cmd": [language.program]}))?;
    for (version, layer) in [("1.0", &old), ("1.1", &new)] {
        let settings = json!({
            "Env": [path, format!("APP_VERSION={version}")], "WorkingDir": "/srv/app", "Cmd": ["/srv/app/start"],
            "ExposedPorts": {"8000/tcp": {}}, "User": "65534:65534",
            "Labels": {"org.opencontainers.image.title": "demo", "org.opencontainers.image.version": version},
        });
        layout.image(&format!("app-{version}"), &[&base, &tools, &library, layer], &settings)?;
    }
    let web = web(&language, path);
    if let Some((files, settings)) = &web {
        let site = layout.layer(files, ago(20)?, "COPY site /srv/web # buildkit")?;
        layout.image("web", &[&base, &tools, &library, &site], settings)?;
    }
    let programs = programs(&mut layout, [&base, &tools], path, ago(24 * 4)?)?;
    let data = data(&mut layout, ago(24 * 30)?)?;
    Ok(Images { layout: directory, programs, data, has_web: web.is_some() })
}

fn programs(
    layout: &mut Layout,
    base: [&Layer; 2],
    path: &str,
    created: Timestamp,
) -> Result<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    for (program, asks) in PROGRAMS {
        let mut files = Files::default();
        if machine::add_programs(&mut files, &[program])?.is_empty() {
            continue;
        }
        let version = version(program, asks);
        let layer = layout.layer(&files, created, &format!("COPY {program} / # buildkit"))?;
        let title = json!({"org.opencontainers.image.title": program, "org.opencontainers.image.version": version});
        let settings = json!({"Env": [path], "Cmd": [program], "Labels": title});
        layout.image(program, &[base[0], base[1], &layer], &settings)?;
        found.push((*program, version));
    }
    Ok(found)
}

/// The first word that begins with a digit.
fn version(program: &str, asks: &str) -> String {
    let said = process::capture(Command::new(program).arg(asks)).unwrap_or_default();
    let mut words = said.split([' ', ',', '-', '\n']).map(|word| word.trim_start_matches('v'));
    words.find(|word| word.starts_with(|first: char| first.is_ascii_digit())).unwrap_or("1").to_owned()
}

fn data(layout: &mut Layout, created: Timestamp) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for (name, folder, platforms) in DATA {
        let folder = Path::new(folder);
        if !folder.is_dir() {
            continue;
        }
        let mut files = Files::default();
        machine::add_folder(&mut files, folder)?;
        let layer = layout.layer(&files, created, &format!("COPY {} / # buildkit", folder.display()))?;
        layout.index(name, platforms, &[&layer], &json!({"Labels": {"org.opencontainers.image.title": name}}))?;
        found.push(*name);
    }
    Ok(found)
}

/// The port that the server listens on in its container.
pub const WEB_PORT: &str = "8000";
/// The page that it serves.
pub const WEB_PAGE: &str = "/srv/web/index.html";
/// What the page of the image says.
pub const WEB_TEXT: &str = "served by a container of the demo";

const PERL_SERVER: &str = r#"use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 16, ReuseAddr => 1) or die "cannot listen: $@";
$SIG{TERM} = sub { exit 0 };
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?$/ }
    open(my $file, '<', '/srv/web/index.html') or die "no page: $!";
    my $page = do { local $/; <$file> };
    print $client "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n$page";
    close $client;
}
"#;

/// A server of one page, in the language that there is.
fn web(language: &machine::Runtime, path: &str) -> Option<(Files, serde_json::Value)> {
    let mut files = Files::default();
    files.file(WEB_PAGE.trim_start_matches('/'), 0o644, format!("<h1>{WEB_TEXT}</h1>\n"));
    let command: &[&str] = match language.program {
        "perl" => {
            files.file("srv/web/server.pl", 0o644, PERL_SERVER);
            &["perl", "/srv/web/server.pl"]
        }
        "python3" => &["python3", "-m", "http.server", "--directory", "/srv/web", WEB_PORT],
        _ => return None,
    };
    let settings = json!({
        "Env": [path], "WorkingDir": "/srv/web", "Cmd": command, "ExposedPorts": {format!("{WEB_PORT}/tcp"): {}},
        "Labels": {"org.opencontainers.image.title": "web"},
    });
    Some((files, settings))
}

fn application(version: &str, program: &str) -> Files {
    let mut files = Files::default();
    files.file("srv/app/start", 0o755, format!("#!/bin/sh\necho \"demo {version} on $(command -v {program})\"\n"));
    files.file("srv/app/VERSION", 0o644, format!("{version}\n"));
    // Large enough to be seen in sizes, the same in both versions: contents below the layer are shared too.
    let table: String = (0..20_000u32).map(|n| format!("{n} {:08x}\n", n.wrapping_mul(2_654_435_761))).collect();
    files.file("srv/app/table.txt", 0o644, table);
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn images_share_their_layers() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let layout = compose(folder.path()).expect("composed").layout;
        let json =
            |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON") };
        let index = json(&layout.join("index.json"));
        let layers = |number: usize| {
            let digest = index["manifests"][number]["digest"].as_str().expect("a digest").replace(':', "/");
            json(&layout.join("blobs").join(digest))["layers"].as_array().expect("layers").clone()
        };
        let (base, runtime, old, new) = (layers(0), layers(1), layers(2), layers(3));
        assert_eq!([base.len(), runtime.len(), old.len(), new.len()], [2, 3, 4, 4]);
        assert_eq!((&base[..], &runtime[..], &old[..3]), (&runtime[..2], &old[..3], &new[..3]));
        assert_ne!(old[3], new[3]);
    }
}
