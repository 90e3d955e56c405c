//! A container's directory with a busybox root, run by our supervisor or by runc.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxResourcesBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use strata_rootfs::{MountPlan, Step};
use strata_runtime::{
    ContainerStatus, LogDriver, LogQuery, LogSettings, RestartPolicy, Runtime, StartError, SupervisorPlan, spec,
};

const BUSYBOX: &str = "/bin/busybox";

/// Why nothing can be tested here.
pub(crate) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("containers of these tests need root".to_owned());
    }
    if !Path::new(BUSYBOX).exists() {
        return Some(format!("{BUSYBOX} (package busybox-static) is not here"));
    }
    None
}

/// A container to be.
pub(crate) struct Bundle {
    directory: tempfile::TempDir,
    pub(crate) spec: Spec,
    pub(crate) plan: SupervisorPlan,
}

/// What a container wrote, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) output: String,
    pub(crate) code: i32,
}

impl Bundle {
    /// Runs `script` by `/bin/sh`, with Docker's defaults.
    pub(crate) fn new(script: &str) -> Bundle {
        Bundle::with_arguments(&["/bin/sh", "-c", script])
    }

    pub(crate) fn with_arguments(arguments: &[&str]) -> Bundle {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
        let image = directory.path().join("image");
        root(&image);
        fs::create_dir(directory.path().join("rootfs")).unwrap();
        let plan = SupervisorPlan {
            container: format!("test{name}"),
            mount: MountPlan {
                steps: vec![Step::Bind { source: image, target: directory.path().join("rootfs"), read_only: false }],
            },
            terminal: false,
            open_stdin: false,
            stdin_once: false,
            init: false,
            log: LogSettings { driver: LogDriver::JsonFile, max_size: None, max_files: 1 },
            restart: RestartPolicy::No,
            stop_signal: 15,
            stop_timeout_seconds: Some(1),
            health: None,
            runtime: Runtime::Own,
            cgroup_parent: None,
            after_exit: None,
        };
        let cgroup = format!("/strata-test/{}", plan.container);
        Bundle { directory, spec: default_spec(arguments, &cgroup), plan }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The root as an image has it.
    pub(crate) fn image(&self) -> PathBuf {
        self.path().join("image")
    }

    /// A directory of the machine for a bind.
    pub(crate) fn directory_of_volume(&self) -> String {
        self.path().join("volume").to_string_lossy().into_owned()
    }

    pub(crate) fn write(&self) {
        self.spec.save(self.path().join("config.json")).unwrap();
        fs::write(self.path().join("supervisor.json"), serde_json::to_vec(&self.plan).unwrap()).unwrap();
    }

    pub(crate) fn start(&self) -> Result<(), StartError> {
        self.write();
        strata_runtime::start(self.path()).map(drop)
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(&self) -> Ended {
        self.start().unwrap_or_else(|error| panic!("{error}"));
        self.wait()
    }

    pub(crate) fn wait(&self) -> Ended {
        let began = Instant::now();
        let state = loop {
            let state = strata_runtime::state(self.path()).unwrap();
            if state.status == ContainerStatus::Exited {
                break state;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "still {:?}", state.status);
            std::thread::sleep(Duration::from_millis(5));
        };
        Ended { output: self.output(), code: state.exit_code }
    }

    pub(crate) fn output(&self) -> String {
        let query = LogQuery { since: None, until: None, tail: None, follow: false };
        let lines = strata_runtime::logs(self.path(), query).unwrap();
        let bytes: Vec<u8> = lines.flat_map(|line| line.unwrap().bytes).collect();
        String::from_utf8(bytes).unwrap()
    }

    /// The same bundle by runc.
    pub(crate) fn run_by_runc(&self) -> Ended {
        self.write();
        let rootfs = self.path().join("rootfs");
        let state = self.path().join("runc");
        let run = format!(
            "mount --make-rprivate / && mount --bind {} {} && exec runc --root {} run --bundle {} {}",
            self.image().display(),
            rootfs.display(),
            state.display(),
            self.path().display(),
            self.plan.container,
        );
        let output = Command::new("unshare").args(["-m", "sh", "-c", &run]).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ended { output: text, code: output.status.code().unwrap_or(-1) }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Ok(mut control) = strata_runtime::Control::connect(self.path()) {
            let _ = control.signal(9);
        }
    }
}

/// Docker's defaults around a program.
fn default_spec(arguments: &[&str], cgroup: &str) -> Spec {
    let process = ProcessBuilder::default()
        .args(arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
        .env(["PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()])
        .cwd("/")
        .user(UserBuilder::default().uid(0u32).gid(0u32).build().unwrap())
        .capabilities(spec::capabilities(spec::DEFAULT_CAPABILITIES, false))
        .no_new_privileges(false)
        .build()
        .unwrap();
    let strings = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let linux = LinuxBuilder::default()
        .namespaces(spec::default_namespaces())
        .masked_paths(strings(spec::MASKED_PATHS))
        .readonly_paths(strings(spec::READONLY_PATHS))
        .cgroups_path(cgroup)
        .resources(LinuxResourcesBuilder::default().devices(spec::default_device_rules()).build().unwrap())
        .seccomp(spec::default_seccomp(spec::DEFAULT_CAPABILITIES))
        .build()
        .unwrap();
    SpecBuilder::default()
        .version("1.0.2")
        .root(RootBuilder::default().path("rootfs").readonly(false).build().unwrap())
        .mounts(spec::default_mounts(spec::SHM_SIZE, false))
        .hostname("strata-test")
        .process(process)
        .linux(linux)
        .build()
        .unwrap()
}

/// All capabilities that Docker gives, and one more.
pub(crate) fn with_capability(capability: Capability) -> Vec<Capability> {
    spec::DEFAULT_CAPABILITIES.iter().copied().chain([capability]).collect()
}

fn root(image: &Path) {
    for directory in ["bin", "dev", "etc", "proc", "sys", "tmp", "root", "var"] {
        fs::create_dir_all(image.join(directory)).unwrap();
    }
    fs::set_permissions(image, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(BUSYBOX, image.join("bin/busybox")).unwrap();
    let applets = Command::new(BUSYBOX).arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|applet| *applet != "busybox") {
        let _ = symlink("busybox", image.join("bin").join(applet));
    }
    fs::write(image.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/var/www:/bin/sh\n").unwrap();
    fs::write(image.join("etc/group"), "root:x:0:\nwww:x:34:\nadm:x:4:www\n").unwrap();
}
