//! Ways out of a container that history knows, each tried.

use std::fs;
use std::os::unix::fs::symlink;

use strata_runtime::{ExecSpec, exec};

use crate::Test;
use crate::bundle::Bundle;

pub(crate) const TESTS: &[Test] = &[
    ("runtime_cannot_be_overwritten", runtime_cannot_be_overwritten),
    ("working_directory_through_descriptors", working_directory_through_descriptors),
    ("mount_targets_stay_inside", mount_targets_stay_inside),
    ("no_release_agent", no_release_agent),
    ("no_descriptors_are_left", no_descriptors_are_left),
];

/// CVE-2019-5736: what is executed is the runtime itself, which is then opened for writing.
fn runtime_cannot_be_overwritten() {
    let bundle = Bundle::new(
        "exec 2>&1; for i in 1 2 3 4 5 6 7 8 9 10; do for p in /proc/[0-9]*; do \
         [ $p != /proc/1 ] && [ $p != /proc/$$ ] && ( : >> $p/exe ) && echo written $p; done; sleep 0.1; done; echo end",
    );
    let own = std::env::current_exe().unwrap();
    let before = fs::metadata(&own).unwrap().modified().unwrap();
    bundle.start().unwrap();
    for arguments in [["/proc/self/exe"], ["/bin/true"]] {
        let program = ExecSpec { args: arguments.map(str::to_owned).to_vec(), ..ExecSpec::default() };
        let null = || fs::File::open("/dev/null").unwrap().into();
        if let Ok(mut process) = exec(bundle.path(), &program, [null(), null(), null()]) {
            let _ = process.wait();
        }
    }
    let output = bundle.wait().output;
    assert!(output.ends_with("end\n") && !output.contains("written /proc"), "{output}");
    assert_eq!(fs::metadata(&own).unwrap().modified().unwrap(), before);
    // The program that is executed as /proc/self/exe is the runtime from where nothing can be written.
    let bundle = Bundle::with_arguments(&["/proc/self/exe", "--list"]);
    let _ = bundle.start();
    assert_eq!(fs::metadata(&own).unwrap().modified().unwrap(), before);
}

/// CVE-2024-21626: a working directory through a descriptor of the runtime.
fn working_directory_through_descriptors() {
    for number in 0..16 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../../..")] {
            let mut bundle = Bundle::new("pwd; ls -d /image /config.json ../image ./config.json");
            bundle.spec.process_mut().as_mut().unwrap().set_cwd(path.clone().into());
            if let Err(error) = bundle.start() {
                assert!([125, 126].contains(&error.exit_code), "{path}: {error}");
                continue;
            }
            let output = bundle.wait().output;
            assert!(!output.contains("image\n") && !output.contains("config.json\n"), "{path}: {output}");
        }
    }
}

/// CVE-2021-30465, CVE-2019-19921: targets behind links, and `/proc` that is one.
fn mount_targets_stay_inside() {
    let outside = tempfile::tempdir().unwrap();
    for link in [outside.path().to_string_lossy().into_owned(), "../../../../../../../tmp".to_owned()] {
        let mut bundle = Bundle::new("cat /link/below/probe");
        symlink(&link, bundle.image().join("link")).unwrap();
        fs::create_dir(bundle.path().join("volume")).unwrap();
        fs::write(bundle.path().join("volume/probe"), "here").unwrap();
        let volume = bundle.directory_of_volume();
        let mounts = bundle.spec.mounts_mut().as_mut().unwrap();
        mounts.push(strata_runtime::spec::mount("/link/below", "bind", &volume, &["bind"]));
        assert_eq!(bundle.run().output, "here", "{link}");
        assert!(!outside.path().join("below").exists());
    }
    let bundle = Bundle::new("true");
    fs::remove_dir(bundle.image().join("proc")).unwrap();
    symlink("/tmp", bundle.image().join("proc")).unwrap();
    let error = bundle.start().expect_err("/proc is a link");
    assert!(error.exit_code == 125 && error.message.contains("/proc"), "{error}");
}

/// CVE-2022-0492: writing a release agent, in the mounted groups or in ones of a new namespace.
fn no_release_agent() {
    let output = Bundle::new(
        "exec 2>&1; for f in $(find /sys/fs/cgroup -name release_agent); do echo /x > $f && echo written; done; \
         unshare -UrmC sh -c 'mount -t cgroup -o rdma x /tmp && echo mounted'; \
         mount -t cgroup -o memory x /tmp && echo mounted; echo end",
    )
    .run()
    .output;
    assert!(output.ends_with("end\n") && !output.contains("written") && !output.contains("mounted\n"), "{output}");
}

fn no_descriptors_are_left() {
    // The shell's listing has its own directory open, and nothing else.
    assert_eq!(Bundle::new("ls /proc/self/fd | tr '\\n' ' '").run().output, "0 1 2 3 ");
    assert_eq!(Bundle::new("ls -l /proc/1/fd | grep -c -E 'socket|/'; true").run().code, 0);
}
