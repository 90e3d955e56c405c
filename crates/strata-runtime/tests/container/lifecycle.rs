//! Starting, ending, joining, failing.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use strata_runtime::{Control, ExecSpec, ExecStreams, RuntimeError, exec};

use crate::Test;
use crate::bundle::Bundle;

pub(crate) const TESTS: &[Test] = &[
    ("exit_codes", exit_codes),
    ("failures_to_start", failures_to_start),
    ("users", users),
    ("joining", joining),
    ("joining_with_a_terminal", joining_with_a_terminal),
    ("terminal", terminal),
    ("hooks", hooks),
    ("nothing_is_left", nothing_is_left),
];

fn exit_codes() {
    for (script, expected) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$; sleep 9", 0), ("kill -TERM $$; exit 3", 3)]
    {
        let ended = Bundle::new(script).run();
        // Signals of its own namespace do not end an init that does not handle them.
        if expected != 0 || script == "exit 0" {
            assert_eq!(ended.code, expected, "{script}");
        }
        if script.starts_with("exit") {
            continue;
        }
    }
    let bundle = Bundle::new("sleep 100");
    bundle.start().unwrap();
    Control::connect(bundle.path()).unwrap().signal(9).unwrap();
    assert_eq!(bundle.wait().code, 137);
}

fn failures_to_start() {
    let failure = |change: &dyn Fn(&mut Bundle), arguments: &[&str]| {
        let mut bundle = Bundle::with_arguments(arguments);
        change(&mut bundle);
        let error = bundle.start().expect_err("it cannot start");
        (error.exit_code, error.message)
    };
    let nothing = |_: &mut Bundle| {};
    let denied = |bundle: &mut Bundle| {
        fs::write(bundle.image().join("bin/denied"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(bundle.image().join("bin/denied"), fs::Permissions::from_mode(0o644)).unwrap();
    };
    let format = |bundle: &mut Bundle| {
        fs::write(bundle.image().join("bin/format"), "\x00\x01\x02").unwrap();
        fs::set_permissions(bundle.image().join("bin/format"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let no_root = |bundle: &mut Bundle| bundle.plan.mount.steps.clear();
    let file_as_cwd = |bundle: &mut Bundle| {
        bundle.spec.process_mut().as_mut().unwrap().set_cwd("/etc/passwd".into());
    };
    for (change, arguments, code, message) in [
        (
            &nothing as &dyn Fn(&mut Bundle),
            &["nonsense"][..],
            127,
            "exec: \"nonsense\": executable file not found in $PATH",
        ),
        (&nothing, &["/no/such"], 127, "no such file or directory"),
        (&nothing, &["/etc"], 126, "directory"),
        (&denied, &["denied"], 126, "permission denied"),
        (&denied, &["/bin/denied"], 126, "permission denied"),
        (&format, &["/bin/format"], 126, "exec format error"),
        (&nothing, &[], 125, "no command"),
        (&no_root, &["true"], 127, ""),
        (&file_as_cwd, &["true"], 125, "not a directory"),
    ] {
        let (found, said) = failure(change, arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.to_lowercase().contains(&message.to_lowercase()), "{arguments:?}: {said}");
    }
}

fn users() {
    for (user, expected) in [
        ("www", "uid=33(www) gid=34(www) groups=4(adm),34(www) /var/www"),
        ("33:0", "uid=33(www) gid=0(root) groups=0(root) /var/www"),
        ("5:6", "uid=5 gid=6 groups=6 /"),
    ] {
        let mut bundle = Bundle::new("echo $(id) $HOME");
        let process = bundle.spec.process_mut().as_mut().unwrap();
        let mut changed = process.user().clone();
        changed.set_username(Some(user.to_owned()));
        process.set_user(changed);
        assert_eq!(bundle.run().output.trim(), expected, "{user}");
    }
    let mut bundle = Bundle::new("true");
    let process = bundle.spec.process_mut().as_mut().unwrap();
    let mut changed = process.user().clone();
    changed.set_username(Some("nobody-here".to_owned()));
    process.set_user(changed);
    let error = bundle.start().expect_err("nobody");
    assert!(error.exit_code == 125 && error.message.contains("unable to find user nobody-here"), "{error}");
}

/// A program's exit code and all that it writes.
fn run_in(bundle: &Bundle, program: &ExecSpec) -> Result<(i32, String), RuntimeError> {
    let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let null: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let errors = theirs.try_clone().unwrap();
    let mut process = exec(bundle.path(), program, ExecStreams::Descriptors([null, theirs, errors]))?;
    let mut text = String::new();
    fs::File::from(ours).read_to_string(&mut text).unwrap();
    Ok((process.wait()?, text))
}

fn own_capabilities() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).unwrap().to_owned()
}

fn program(arguments: &[&str]) -> ExecSpec {
    ExecSpec { args: arguments.iter().map(|argument| (*argument).to_owned()).collect(), ..ExecSpec::default() }
}

fn joining() {
    let bundle = Bundle::new("echo inside > /tmp/file; sleep 100");
    bundle.start().unwrap();
    let sh = |script: &str| program(&["sh", "-c", script]);
    let (code, text) = run_in(&bundle, &sh("cat /tmp/file; hostname; exit 7")).unwrap();
    assert_eq!((code, text.as_str()), (7, "inside\nstrata-test\n"));
    let (_, text) =
        run_in(&bundle, &sh("for n in pid mnt net ipc uts cgroup; do readlink /proc/1/ns/$n; done")).unwrap();
    let (_, own) =
        run_in(&bundle, &sh("for n in pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done")).unwrap();
    assert_eq!(text, own);
    let confined = "grep -E '^(Cap|Seccomp|NoNewPrivs)' /proc/$1/status; cat /proc/$1/cgroup";
    let (_, of_init) = run_in(&bundle, &program(&["sh", "-c", confined, "sh", "1"])).unwrap();
    let (_, own) = run_in(&bundle, &program(&["sh", "-c", confined, "sh", "self"])).unwrap();
    assert_eq!(of_init, own);
    let www = ExecSpec {
        user: Some("www".to_owned()),
        cwd: Some("/tmp".into()),
        env: vec!["A=b".to_owned()],
        ..sh("echo $(id -un) $(pwd) $A $HOME; ls /proc/self/fd | tr '\\n' ' '")
    };
    let (_, text) = run_in(&bundle, &www).unwrap();
    assert_eq!(text, "www /tmp b /var/www\n0 1 2 3 ", "ls has its directory open");
    let privileged = ExecSpec { privileged: true, ..sh("grep CapEff /proc/self/status") };
    assert!(run_in(&bundle, &privileged).unwrap().1.contains(&own_capabilities()), "all that there are");
    assert_eq!(run_in(&bundle, &sh("kill -9 $$")).unwrap().0, 137);
    for (arguments, code) in [(&["nonsense"][..], 127), (&["/etc"], 126)] {
        match run_in(&bundle, &program(arguments)) {
            Err(RuntimeError::Start(error)) => assert_eq!(error.exit_code, code, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    Control::connect(bundle.path()).unwrap().signal(9).unwrap();
    bundle.wait();
    assert!(matches!(run_in(&bundle, &sh("true")), Err(RuntimeError::Conflict(_))));
}

fn joining_with_a_terminal() {
    let bundle = Bundle::new("sleep 100");
    bundle.start().unwrap();
    let streams = ExecStreams::Terminal { rows: 33, columns: 99 };
    let mut process = exec(bundle.path(), &program(&["sh", "-c", "sleep 0.2; tty; stty size"]), streams).unwrap();
    let mut terminal = fs::File::from(process.terminal().unwrap().try_clone().unwrap());
    let mut text = Vec::new();
    let _ = terminal.read_to_end(&mut text);
    assert_eq!(String::from_utf8_lossy(&text), "/dev/pts/0\r\n33 99\r\n");
    assert_eq!(process.wait().unwrap(), 0);
}

fn terminal() {
    let mut bundle = Bundle::new("tty; ls -l /dev/console | cut -c1; echo to the console > /dev/console");
    bundle.plan.terminal = true;
    bundle.spec.process_mut().as_mut().unwrap().set_terminal(Some(true));
    assert_eq!(bundle.run().output, "/dev/pts/0\r\nc\r\nto the console\r\n");
}

fn hooks() {
    let mut bundle = Bundle::new("echo main");
    let trace = bundle.path().join("trace");
    let hook = |name: &str| {
        let script = format!("cat > /tmp/state 2>/dev/null; echo {name} $A >> {}", trace.display());
        serde_json::json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b", "PATH=/bin:/usr/bin"]}])
    };
    let hooks = serde_json::json!({
        "prestart": hook("prestart"), "createRuntime": hook("createRuntime"), "createContainer": hook("createContainer"),
        "poststart": hook("poststart"), "poststop": hook("poststop"),
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/inside; pwd >> /tmp/inside"]}],
    });
    bundle.spec.set_hooks(Some(serde_json::from_value(hooks).unwrap()));
    bundle.run();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let traced = fs::read_to_string(&trace).unwrap();
    assert_eq!(traced, "prestart b\ncreateRuntime b\ncreateContainer b\npoststart b\npoststop b\n");
    let inside = fs::read_to_string(bundle.image().join("tmp/inside")).unwrap();
    assert!(inside.contains(&bundle.plan.container) && inside.contains("\"status\":\"created\""), "{inside}");

    let failing =
        serde_json::json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "echo why >&2; exit 3"]}]});
    let mut bundle = Bundle::new("echo main");
    bundle.spec.set_hooks(Some(serde_json::from_value(failing).unwrap()));
    let error = bundle.start().expect_err("the hook fails");
    assert!(error.exit_code == 125 && error.message.contains("why"), "{error}");
}

fn nothing_is_left() {
    let bundle = Bundle::new("sleep 100 & sleep 100");
    bundle.start().unwrap();
    Control::connect(bundle.path()).unwrap().signal(9).unwrap();
    bundle.wait();
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&bundle.plan.container) && !mounts.contains(&*bundle.path().to_string_lossy()));
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let group = hierarchy.path().join("strata-test").join(&bundle.plan.container);
        assert!(!group.exists(), "{}", group.display());
    }
}
