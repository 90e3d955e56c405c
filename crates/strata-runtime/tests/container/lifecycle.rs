//! Starting, ending, joining, failing.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use strata_runtime::{
    AttachEvent, AttachRequest, Control, ExecRecord, ExecSpec, RuntimeError, TerminalSize, exec, exec_attached,
    running_execs,
};

use crate::Test;
use crate::bundle::Bundle;

pub(crate) const TESTS: &[Test] = &[
    ("exit_codes", exit_codes),
    ("failures_to_start", failures_to_start),
    ("users", users),
    ("joining", joining),
    ("joining_with_a_terminal", joining_with_a_terminal),
    ("leaving_a_program", leaving_a_program),
    ("terminal", terminal),
    ("hooks", hooks),
    ("nothing_is_left", nothing_is_left),
];

fn exit_codes() {
    // Signals of its own namespace do not end an init that does not handle them.
    for (script, expected) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$; exit 5", 5), ("kill -TERM $$; exit 3", 3)]
    {
        assert_eq!(Bundle::new(script).run().code, expected, "{script}");
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
    let mut process = exec(bundle.path(), program, [null, theirs, errors])?;
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

/// All that a recorded program writes, and its exit code.
fn run_attached(bundle: &Bundle, program: ExecSpec, keeps_record: bool) -> (String, i32) {
    let attach = AttachRequest { stdout: true, stderr: true, paced: true, ..AttachRequest::default() };
    ExecRecord::new(program, attach).write(bundle.path(), "one").unwrap();
    let mut stream = exec_attached(bundle.path(), "one", keeps_record).unwrap();
    let mut text = Vec::new();
    loop {
        match stream.next_event().unwrap().unwrap() {
            AttachEvent::Output { bytes, .. } => text.extend(bytes),
            AttachEvent::Exited(code) => return (String::from_utf8(text).unwrap(), code),
            AttachEvent::Lost(count) => panic!("{count} bytes are missing"),
        }
    }
}

fn joining_with_a_terminal() {
    let bundle = Bundle::new("sleep 100");
    bundle.start().unwrap();
    let terminal = Some(TerminalSize { rows: 33, columns: 99 });
    let program = ExecSpec { terminal, ..program(&["sh", "-c", "tty; stty size; exit 4"]) };
    assert_eq!(run_attached(&bundle, program, false), ("/dev/pts/0\r\n33 99\r\n".to_owned(), 4));
    assert_eq!(ExecRecord::read(bundle.path(), "one").unwrap(), None);
}

/// A program that nobody listens to runs on; its record says what became of it.
fn leaving_a_program() {
    let bundle = Bundle::new("sleep 100");
    bundle.start().unwrap();
    let long = program(&["sh", "-c", "yes | head -c 1000000; echo err >&2; exit 3"]);
    let (text, code) = run_attached(&bundle, long, true);
    assert_eq!((text.len(), code), (1_000_004, 3), "all of it, and what comes last");
    let record = ExecRecord::read(bundle.path(), "one").unwrap().unwrap();
    assert_eq!((record.exit_code, record.is_running()), (Some(3), false));

    let left = program(&["sh", "-c", "read line; yes | head -c 1000000; sleep 100"]);
    let attach = AttachRequest { stdin: true, stdout: true, paced: true, ..AttachRequest::default() };
    ExecRecord::new(left, attach).write(bundle.path(), "two").unwrap();
    drop(exec_attached(bundle.path(), "two", true).unwrap());
    assert_eq!(running_execs(bundle.path()), ["two"]);
    assert!(matches!(exec_attached(bundle.path(), "two", true), Err(RuntimeError::Conflict(_))));
    assert!(matches!(exec_attached(bundle.path(), "three", true), Err(RuntimeError::NotFound(_))));
    Control::connect(bundle.path()).unwrap().signal(9).unwrap();
    bundle.wait();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while ExecRecord::read(bundle.path(), "two").unwrap().unwrap().exit_code != Some(137) {
        assert!(std::time::Instant::now() < until, "it dies with its container");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(running_execs(bundle.path()), Vec::<String>::new());
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
