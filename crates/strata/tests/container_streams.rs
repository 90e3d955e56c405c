//! What a user of a running container reads, writes and looks at: `logs`, `exec`, `attach`, `top`, `stats`, and the keys that
//! leave a terminal. Terminals are those of `script`. They need root; without it each test says so and ends.

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use strata_testkit::TarEntry;
use support::containers::{eventually, sandbox_with_box};
use support::{Run, Sandbox};

const DETACH: &str = "\x10\x11";

fn sandbox() -> Option<Sandbox> {
    let more = ["head", "stty", "yes"].map(|name| TarEntry::symbolic_link(format!("bin/{name}"), "busybox"));
    sandbox_with_box(&more, &[])
}

/// `run -d --network none --name` of a shell's text.
fn background(sandbox: &Sandbox, name: &str, options: &[&str], text: &str) {
    let arguments = [&["run", "-d", "--network", "none", "--name", name], options, &["box", "sh", "-c", text]].concat();
    sandbox.run(&arguments).success();
}

fn exit_code(run: &Run) -> i32 {
    run.status.code().unwrap_or(-1)
}

/// The program in a terminal of 41 lines and 97 columns.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(sandbox: &Sandbox, arguments: &str) -> Terminal {
        let model = sandbox.command(&[]);
        let program = model.get_program().to_str().expect("a path");
        let mut command = Command::new("script");
        command.args(["-qec", &format!("stty rows 41 cols 97; exec {program} {arguments}"), "/dev/null"]);
        command.env_clear().envs(model.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut output, sink) = (child.stdout.take().expect("its output"), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                sink.lock().expect("the output").extend_from_slice(&buffer[..count]);
            }
        });
        Terminal { child, shown }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("the output")).into_owned()
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        eventually(text, || self.text().contains(text));
    }

    fn types(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("its input");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("typed");
    }

    /// Its exit code and all that it showed.
    fn end(mut self) -> (i32, String) {
        let status = self.child.wait().expect("an end");
        // What was shown last may still be on its way.
        std::thread::sleep(std::time::Duration::from_millis(100));
        (status.code().unwrap_or(-1), self.text())
    }
}

#[test]
fn logs_are_read_from_both_streams_and_by_time_and_number() {
    let Some(sandbox) = sandbox() else { return };
    let logs = |options: &[&str]| sandbox.run(&[&["logs"], options, &["one"]].concat());
    let text = "for n in 1 2 3; do echo out $n; echo err $n >&2; sleep 0.01; done; sleep 0.3; echo last";
    let log = ["--log-opt", "labels=a", "-l", "a=x y"];
    background(&sandbox, "one", &log, text);
    sandbox.run(&["wait", "one"]).success();
    let all = logs(&[]);
    assert_eq!((all.stdout.as_str(), all.stderr.as_str()), ("out 1\nout 2\nout 3\nlast\n", "err 1\nerr 2\nerr 3\n"));
    assert_eq!(logs(&["-n", "1"]).success(), "last\n");
    assert_eq!(logs(&["--tail", "0"]).success(), "");
    assert_eq!(logs(&["--tail", "many"]).success(), all.stdout);
    assert_eq!(logs(&["-f", "--since", "1h"]).success(), all.stdout);
    assert_eq!(logs(&["--until", "1h"]).success(), "");
    assert_eq!(logs(&["--details", "-n", "1"]).success(), "a=x+y last\n");
    let timed = logs(&["-t", "-n", "1"]).success();
    let (time, line) = timed.split_once(' ').expect("a time and a line");
    assert_eq!((time.len(), &time[time.len() - 1..], line), (30, "Z", "last\n"), "{timed}");
    assert_eq!(logs(&["--since", time]).success(), "last\n");
    assert_eq!(
        logs(&["--since", "xx"]).failure(),
        "invalid value for \"since\": failed to parse value as time or duration: \"xx\"\n"
    );
    assert_eq!(sandbox.run(&["logs", "two"]).failure(), "Error response from daemon: No such container: two\n");
    background(&sandbox, "silent", &["--log-driver", "none"], "echo lost");
    assert_eq!(
        sandbox.run(&["logs", "silent"]).failure(),
        "Error response from daemon: configured logging driver does not support reading\n"
    );
}

#[test]
fn following_a_log_goes_across_restarts_and_files_and_ends_with_the_container() {
    let Some(sandbox) = sandbox() else { return };
    let text = "n=$(cat /count 2>/dev/null || echo 0); echo $((n + 1)) > /count; sleep 0.3; \
                for line in 1 2 3 4 5 6 7 8; do echo start $n line $line of some length; done; [ $n -ge 2 ]";
    let options = ["--restart", "on-failure", "--log-opt", "max-size=300", "--log-opt", "max-file=20"];
    background(&sandbox, "one", &options, text);
    let followed = sandbox.run(&["logs", "-f", "one"]).success();
    let expected: String =
        (0..3).flat_map(|n| (1..9).map(move |line| format!("start {n} line {line} of some length\n"))).collect();
    assert_eq!(followed, expected);
}

#[test]
fn a_long_log_takes_no_memory() {
    let Some(sandbox) = sandbox() else { return };
    let line = "x".repeat(99);
    let text = format!("yes {line} | head -c 100000000");
    sandbox.run(&["run", "--name", "one", "--network", "none", "-a", "stderr", "box", "sh", "-c", &text]).success();
    let mut command = sandbox.command(&["logs", "one"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("logs");
    let (mut count, mut buffer) = (0, vec![0; 1 << 16]);
    let mut output = child.stdout.take().expect("its output");
    let mut highest = 0;
    while let Ok(read @ 1..) = output.read(&mut buffer) {
        count += read;
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        highest = highest.max(peak.unwrap_or(0));
    }
    assert!(child.wait().expect("an end").success());
    assert_eq!(count, 100_000_000);
    assert!((1..64_000).contains(&highest), "{highest} kB");
}

#[test]
fn exec_ends_as_its_program_or_says_why_it_did_not_start() {
    let Some(sandbox) = sandbox() else { return };
    background(&sandbox, "one", &["-e", "FROM=container"], "sleep 100");
    let exec = |arguments: &[&str]| sandbox.run(&[&["exec"], arguments].concat());
    let run = exec(&[
        "-e",
        "MINE=yes",
        "-w",
        "/tmp",
        "-u",
        "www",
        "one",
        "sh",
        "-c",
        "id -u; pwd; echo $FROM $MINE; echo err >&2; exit 5",
    ]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str(), exit_code(&run)), ("33\n/tmp\ncontainer yes\n", "err\n", 5));
    for (arguments, code, message) in [
        (&["one", "nosuch"][..], 127, "OCI runtime exec failed: exec failed: unable to start container process: "),
        (&["one", "/etc/passwd"], 126, "OCI runtime exec failed: exec failed: unable to start container process: "),
        (&["two", "ls"], 1, "Error response from daemon: No such container: two\n"),
        (&["one"], 1, "'strata exec' requires at least 2 arguments"),
        (&["-it", "one", "sh"], 1, "the input device is not a TTY\n"),
        (&["--detach-keys", "foo", "one", "ls"], 1, "Error response from daemon: Invalid detach keys (foo) provided\n"),
        (&["--env-file", "/nosuch", "one", "ls"], 1, "open /nosuch: "),
    ] {
        let run = exec(arguments);
        assert_eq!(exit_code(&run), code, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{arguments:?}: {}", run.stderr);
    }
    let mut child = sandbox.command(&["exec", "-i", "one", "cat"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("exec");
    child.stdin.take().expect("its input").write_all(b"piped\n").expect("written");
    assert_eq!(child.wait_with_output().expect("an end").stdout, b"piped\n");
    assert_eq!(exec(&["one", "cat"]).success(), "", "without -i there is no input");

    exec(&["-d", "one", "sh", "-c", "echo here > /tmp/detached; sleep 100"]).success();
    eventually("it runs", || exec(&["one", "cat", "/tmp/detached"]).stdout == "here\n");
    let ids = sandbox.run(&["inspect", "-f", "{{len .ExecIDs}}", "one"]).success();
    assert_eq!(ids, "1\n");
    sandbox.run(&["pause", "one"]).success();
    assert_eq!(
        exec(&["one", "ls"]).failure(),
        "Error response from daemon: container one is paused, unpause the container before exec\n"
    );
    sandbox.run(&["unpause", "one"]).success();
    sandbox.run(&["kill", "one"]).success();
    sandbox.run(&["wait", "one"]).success();
    let refused = exec(&["one", "ls"]).failure();
    assert!(refused.starts_with("Error response from daemon: container ") && refused.ends_with(" is not running\n"));
}

#[test]
fn a_terminal_has_the_size_of_the_users_and_is_left_by_keys() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.run(&["run", "-dit", "--name", "one", "--network", "none", "box", "sh"]).success();
    let mut terminal =
        Terminal::start(&sandbox, "exec -it one sh -c 'stty size; echo $TERM; read line; echo got $line; exit 6'");
    terminal.shows("41 97\r\nxterm\r\n");
    terminal.types("typed\r");
    let (code, text) = terminal.end();
    assert!(code == 6 && text.ends_with("got typed\r\n"), "{code} {text:?}");

    let mut terminal = Terminal::start(&sandbox, "exec -it one sh -c 'echo ready; sleep 100'");
    terminal.shows("ready");
    terminal.types(DETACH);
    let (code, text) = terminal.end();
    assert!(code == 1 && text.ends_with("read escape sequence\r\n"), "{code} {text:?}");

    let mut terminal = Terminal::start(&sandbox, "attach one");
    terminal.types("stty size; echo at''tached\r");
    terminal.shows("41 97\r\nattached\r\n");
    terminal.types(DETACH);
    let (code, text) = terminal.end();
    assert!(code == 1 && text.ends_with("read escape sequence\r\n"), "{code} {text:?}");
    let top = sandbox.run(&["top", "one", "-o", "pid,args"]).success();
    assert!(
        top.starts_with("PID                 COMMAND\n") && top.contains(" sh") && top.contains(" sleep 100"),
        "{top}"
    );

    let mut terminal = Terminal::start(&sandbox, "attach --detach-keys x,y one");
    terminal.types("xy");
    assert_eq!(terminal.end().0, 1);
    let mut terminal = Terminal::start(&sandbox, "attach one");
    terminal.types("exit 9\r");
    assert_eq!(terminal.end().0, 9);
    assert_eq!(sandbox.run(&["attach", "one"]).failure(), "You cannot attach to a stopped container, start it first\n");

    let mut terminal = Terminal::start(&sandbox, "run -it --rm --name two --network none box sh");
    terminal.types("stty size; echo rea''dy\r");
    terminal.shows("41 97\r\nready\r\n");
    terminal.types(DETACH);
    assert_eq!(terminal.end().0, 0);
    assert_eq!(sandbox.run(&["ps", "--format", "{{.Names}}"]).success(), "two\n");
    sandbox.run(&["kill", "two"]).success();
    eventually("--rm holds for who left, too", || sandbox.run(&["ps", "-aq", "-f", "name=two"]).success().is_empty());
}

#[test]
fn attaching_without_a_terminal_brings_output_input_and_the_end() {
    let Some(sandbox) = sandbox() else { return };
    background(&sandbox, "one", &["-i"], "read line; echo got $line; read line; echo then $line; exit 4");
    for (input, expected, code) in [("first\n", "got first\n", None), ("second\n", "then second\n", Some(4))] {
        let mut child = sandbox.command(&["attach", "one"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("attach");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("written");
        let mut text = vec![0; expected.len()];
        child.stdout.as_mut().expect("its output").read_exact(&mut text).expect("read");
        assert_eq!(String::from_utf8_lossy(&text), expected);
        if code.is_none() {
            child.kill().expect("killed"); // who leaves does not end it: it was made in the background
        }
        assert_eq!(child.wait().expect("an end").code(), code);
    }
    assert_eq!(sandbox.run(&["inspect", "-f", "{{.State.ExitCode}}", "one"]).success(), "4\n");
}

#[test]
fn stats_show_what_is_used() {
    let Some(sandbox) = sandbox() else { return };
    background(&sandbox, "busy", &["--memory", "64m"], "while :; do :; done");
    background(&sandbox, "over", &[], "true");
    let format = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.NetIO}} {{.PIDs}}";
    let shown = sandbox.run(&["stats", "--no-stream", "--format", format]).success();
    let words: Vec<&str> = shown.split_whitespace().collect();
    assert_eq!((words[0], &words[3..5], &words[5..]), ("busy", &["/", "64MiB"][..], &["0B", "/", "0B", "1"][..]));
    assert!(words[1].trim_end_matches('%').parse::<f64>().expect("a percentage") > 5.0, "{shown}");
    sandbox.run(&["wait", "over"]).success();
    let table = sandbox.run(&["stats", "--no-stream", "over"]).success();
    let header = "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O   BLOCK I/O   PIDS\n";
    assert!(table.starts_with(header), "{table}");
    assert!(
        table.ends_with("   over      0.00%     0B / 0B             0.00%     0B / 0B   0B / 0B     0\n"),
        "{table}"
    );
    assert_eq!(
        sandbox.run(&["stats", "--no-stream", "nosuch"]).failure(),
        "Error response from daemon: No such container: nosuch\n"
    );
    let refused = sandbox.run(&["top", "over"]).failure();
    assert!(refused.ends_with(" is not running\n"), "{refused}");
    assert_eq!(
        sandbox.run(&["top", "busy", "-o", "comm"]).failure(),
        "Error response from daemon: Couldn't find PID field in ps output\n"
    );
    sandbox.run(&["rm", "-f", "busy"]).success();
}

#[test]
fn what_is_removed_at_its_end_is_gone_when_run_returns() {
    let Some(sandbox) = sandbox() else { return };
    let all = || sandbox.run(&["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).success();
    for _ in 0..3 {
        sandbox.run(&["run", "--rm", "--network", "none", "-v", "/anonymous", "box", "true"]).success();
        assert_eq!(all(), "");
    }
    assert_eq!(sandbox.run(&["volume", "ls", "-q"]).success(), "");
    let run = sandbox.run(&["run", "--rm", "--network", "none", "box", "nosuch"]);
    assert_eq!((exit_code(&run), all().as_str()), (127, ""));
    let run = sandbox.run(&["run", "--name", "kept", "--network", "none", "box", "nosuch"]);
    assert_eq!((exit_code(&run), all().as_str()), (127, "kept Created\n"));
    sandbox.run(&["rm", "kept"]).success();

    for _ in 0..5 {
        sandbox.run(&["run", "-d", "--rm", "--network", "none", "box", "true"]).success();
    }
    eventually("all are removed", || all().is_empty());

    // The client that was to remove it is killed: the supervisor sees to it.
    let mut client = sandbox.command(&["run", "--rm", "--network", "none", "--name", "one", "box", "sleep", "0.5"]);
    let mut client = client.spawn().expect("run");
    eventually("it runs", || sandbox.run(&["ps", "-q"]).success().len() == 13);
    client.kill().expect("killed");
    client.wait().expect("an end");
    eventually("it is removed", || all().is_empty());
}
