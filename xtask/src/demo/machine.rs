//! File sets taken from this machine: programs with the libraries that `ldd` names, and whole folders.
//!
//! Paths are written as the machine resolves them (`/usr/lib/…` where `/lib` is a link to it), so that a layer holds
//! each file once and the base layer's links lead to it.

use crate::oci_layout::Files;
use crate::process;
use anyhow::{Context as _, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders and links every image begins with.
pub fn skeleton() -> Files {
    let mut files = Files::default();
    for link in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(target) = fs::read_link(Path::new("/").join(link)) {
            files.symlink(link, &target.to_string_lossy());
        }
    }
    for directory in ["dev", "etc", "home", "proc", "root", "sys", "usr/bin", "var/log"] {
        files.directory(directory, 0o755);
    }
    files.directory("tmp", 0o1777);
    files.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    files.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n");
    files
}

/// Adds the programs that this machine has, with their libraries. Returns the names that were found.
pub fn add_programs(files: &mut Files, names: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in names {
        let Some(path) = process::find(name) else { continue };
        add_file(files, &path)?;
        for library in libraries(&path) {
            add_file(files, &library)?;
        }
        found.push((*name).to_owned());
    }
    Ok(found)
}

/// Adds a folder with everything under it that can be read, and the libraries that its shared objects need.
pub fn add_folder(files: &mut Files, folder: &Path) -> Result<()> {
    let mut pending = vec![folder.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("listing {}", directory.display()))? {
            let path = entry?.path();
            let Ok(metadata) = fs::metadata(&path) else { continue }; // a dangling link
            if metadata.is_dir() {
                if !path.is_symlink() {
                    pending.push(path);
                }
            } else if fs::File::open(&path).is_ok() {
                add_file(files, &path)?;
                if path.extension().is_some_and(|extension| extension == "so") {
                    libraries(&path).iter().try_for_each(|library| add_file(files, library))?;
                }
            }
        }
    }
    Ok(())
}

fn add_file(files: &mut Files, path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = fs::canonicalize(parent).with_context(|| format!("resolving {}", parent.display()))?;
    let inside = parent.join(path.file_name().context("a file without a name")?);
    let inside = inside.to_str().with_context(|| format!("{} is not UTF-8", inside.display()))?;
    if files.contains(inside) {
        return Ok(());
    }
    let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    files.file(inside, mode, content);
    Ok(())
}

/// What `ldd` says a program needs; nothing for scripts and static programs.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = process::capture(Command::new("ldd").arg(program)).unwrap_or_default();
    parse_ldd(&listed)
}

fn parse_ldd(listed: &str) -> Vec<PathBuf> {
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    listed.lines().filter_map(path).collect()
}

/// A language runtime of this machine: its name for the image, the programs, and the folders of its library.
pub struct Runtime {
    pub name: &'static str,
    pub program: &'static str,
    pub folders: Vec<PathBuf>,
}

/// Perl, which every Debian has, else Python, else awk.
pub fn runtime() -> Runtime {
    let lines = |program: &str, arguments: &[&str]| {
        let text = process::capture(Command::new(program).args(arguments)).unwrap_or_default();
        text.lines().map(PathBuf::from).filter(|folder| folder.is_dir() && folder.starts_with("/usr")).collect()
    };
    if process::find("perl").is_some() {
        // @INC also has folders of everything else that is installed; the core library is enough.
        let core = "use Config; print map { qq($_\\n) } @Config{qw(privlibexp archlibexp)}, grep { /perl-base$/ } @INC";
        return Runtime { name: "perl", program: "perl", folders: lines("perl", &["-e", core]) };
    }
    if Path::new("/usr/bin/python3").exists() {
        let code = "import sysconfig; print(sysconfig.get_path('stdlib'))";
        return Runtime { name: "python", program: "python3", folders: lines("/usr/bin/python3", &["-c", code]) };
    }
    Runtime { name: "awk", program: "awk", folders: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_output() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tlibgone.so => not found\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(parse_ldd(listed), expected);
        assert!(parse_ldd("\tnot a dynamic executable\n").is_empty());
    }
}
