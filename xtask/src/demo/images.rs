//! The demo's images: a base, a language runtime on it, and two versions of an application on that.

use super::machine;
use crate::oci_layout::{Files, Layout};
use anyhow::Result;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use std::path::{Path, PathBuf};

const SHELL: &[&str] = &["sh", "bash", "ls", "cat", "cp", "mv", "rm", "mkdir", "echo", "env", "id", "ps", "uname"];
const TOOLS: &[&str] = &["grep", "sed", "awk", "tar", "gzip", "find", "sort", "head", "tail", "wc", "date", "sleep"];

/// Writes all images as one OCI layout and returns its path.
pub fn compose(folder: &Path) -> Result<PathBuf> {
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
    Ok(directory)
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
        let layout = compose(folder.path()).expect("composed");
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
