//! What containers keep and share: files copied in and out, volumes, limits, what is counted. Containers of a real image
//! (busybox) by the built program; they need root, without it each test says so and ends.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use strata_testkit::{TarBuilder, TarEntry, TarFormat};
use support::containers::{assert_nothing_left, eventually, sandbox_with_box, shell};
use support::{Run, Sandbox};

const SLEEP: &[&str] = &["box", "sleep", "300"];

/// A container that runs, or one that was only made.
fn container(sandbox: &Sandbox, name: &str, runs: bool, options: &[&str]) {
    let verb: &[&str] = if runs { &["run", "-d"] } else { &["create"] };
    let arguments = [verb, &["--name", name, "--network", "none"], options, SLEEP].concat();
    sandbox.run(&arguments).success();
}

fn with_input(sandbox: &Sandbox, arguments: &[&str], input: &[u8]) -> Run {
    let mut command = sandbox.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a command");
    // It may refuse before it reads.
    let _ = child.stdin.take().expect("its input").write_all(input);
    let output = child.wait_with_output().expect("an end");
    Run {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
    }
}

fn tar(entries: &[TarEntry]) -> Vec<u8> {
    TarBuilder::new(TarFormat::Ustar).entries(entries).finish()
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// The rules about slashes, `.` and links, and the words, as docker 28's client and a daemon had them.
#[test]
fn files_are_copied_as_docker_copies_them() {
    let tree = [
        TarEntry::directory("tree"),
        TarEntry::directory("tree/sub"),
        TarEntry::file("tree/sub/x", "x of the image\n").mode(0o640).owner(7, 8),
        TarEntry::symbolic_link("tree/link", "sub"),
        TarEntry::symbolic_link("tree/absolute", "/etc/motd"),
        TarEntry::symbolic_link("tree/dangling", "nowhere"),
    ];
    let Some(sandbox) = sandbox_with_box(&tree, &[]) else { return };
    for (name, runs) in [("up", true), ("made", false)] {
        container(&sandbox, name, runs, &[]);
        let here = sandbox.path(name);
        fs::create_dir_all(here.join("local/deep")).expect("directories");
        fs::write(here.join("local/deep/f"), "deep\n").expect("a file");
        fs::write(here.join("file"), "file\n").expect("a file");
        symlink("local", here.join("to-local")).expect("a link");
        let here = here.display().to_string();
        let expand = |word: &str| word.replace("HERE", &here).replace("C:", &format!("{name}:"));
        // Arguments, and what is told.
        let cases = [
            ("HERE/file C:/tree/sub/", ""),
            ("HERE/file C:/tree/link", ""),
            ("HERE/file C:/tree/dangling", ""),
            ("HERE/file C:/new", ""),
            ("HERE/local C:/tree", ""),
            ("HERE/local C:/fresh", ""),
            ("HERE/local/. C:/fresh2", ""),
            ("HERE/to-local C:/as-link", ""),
            ("-L HERE/to-local C:/followed", ""),
            ("HERE/to-local/. C:/through", ""),
            ("C:/tree HERE/out", ""),
            ("C:/tree HERE/out", ""),
            ("C:/tree/. HERE/out2", ""),
            ("C:tree/sub/x HERE/x2", ""),
            ("C:/tree/absolute HERE/link-itself", ""),
            ("-L C:/tree/absolute HERE/link-followed", ""),
            ("C:/tree/link/. HERE/out3", ""),
            ("C:/nosuch HERE", "Error response from daemon: Could not find the file /nosuch in container NAME"),
            ("C:/etc/motd/ HERE", "Error response from daemon: lstat /etc/motd/: not a directory"),
            ("HERE/nosuch C:/", "lstat HERE/nosuch: no such file or directory"),
            ("HERE/file C:/nodir/", "no such directory"),
            ("HERE/file C:/nodir/x", "Error response from daemon: Could not find the file /nodir in container NAME"),
            ("HERE/local C:/etc/motd", "cannot copy directory"),
            ("HERE/file/ C:/data", "not a directory"),
            ("C:/etc/motd HERE/nodir/x", "invalid output path: directory \"HERE/nodir\" does not exist"),
            ("C:/etc/motd HERE/nodir/", "no such directory"),
            ("C:/etc HERE/file", "cannot copy directory"),
            (
                "C:/tree/sub /dev/null",
                "invalid output path: \"/dev/null\" must be a directory or a regular file: got a device",
            ),
            ("- C:/etc/motd", "destination \"NAME:/etc/motd\" must be a directory"),
            ("- C:/nodir", "destination \"NAME:/nodir\" must be a directory"),
            ("HERE/a HERE/b", "must specify at least one container source"),
            ("C:a C:b", "copying between containers is not supported"),
            ("nobody:/a HERE", "Error response from daemon: No such container: nobody"),
            ("HERE/file nobody:/a", "Error response from daemon: No such container: nobody"),
        ];
        for (line, told) in cases {
            let words: Vec<String> = line.split(' ').map(expand).collect();
            let words: Vec<&str> = ["cp"].into_iter().chain(words.iter().map(String::as_str)).collect();
            let run = sandbox.run(&words);
            let told = if told.is_empty() { String::new() } else { expand(told).replace("NAME", name) + "\n" };
            assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", told.as_str()), "{name}: {line}");
            assert_eq!(run.status.code(), Some(i32::from(!told.is_empty())), "{name}: {line}");
        }
        let here = sandbox.path(name);
        assert_eq!(text(here.join("out/sub/x")), "x of the image\n");
        assert_eq!(text(here.join("out/tree/sub/file")), "file\n");
        assert_eq!(text(here.join("out2/nowhere")), "file\n");
        assert_eq!(text(here.join("out3/x")), "x of the image\n");
        assert_eq!(
            (text(here.join("x2")), text(here.join("link-followed"))),
            ("x of the image\n".to_owned(), "of the image\n".to_owned())
        );
        assert_eq!(fs::read_link(here.join("link-itself")).expect("a link"), Path::new("/etc/motd"));
        let copied = fs::metadata(here.join("x2")).expect("copied");
        assert_eq!((copied.mode() & 0o7777, copied.uid()), (0o640, 0), "the mode is kept, the owner is who copies");
        // Written through a link of the container, and under names that links have.
        if runs {
            sandbox.run(&["stop", "-t", "0", name]).success();
        }
        let tar = sandbox.path(&format!("{name}.tar"));
        sandbox.run(&["export", "-o", tar.to_str().expect("a path"), name]).success();
        let listed = support::run({
            let mut list = std::process::Command::new("tar");
            list.arg("-tf").arg(&tar);
            list
        });
        let listed = listed.success();
        let lines: Vec<&str> = listed.lines().map(|line| line.trim_start_matches("./")).collect();
        for path in [
            "tree/sub/file",
            "tree/nowhere",
            "new",
            "tree/local/deep/f",
            "fresh/deep/f",
            "fresh2/deep/f",
            "as-link",
            "followed/deep/f",
            "through/deep/f",
        ] {
            assert!(lines.contains(&path), "{name}: {path}\n{listed}");
        }
        sandbox.run(&["rm", "-f", name]).success();
    }
    assert_nothing_left(&sandbox);
}

#[test]
fn a_tar_goes_in_and_out() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    container(&sandbox, "one", true, &["-u", "www"]);
    let tar = tar(&[
        TarEntry::directory("d").mode(0o750).owner(5, 6),
        TarEntry::file("d/f", "in a tar\n").mode(0o4711).owner(5, 6),
        TarEntry::hard_link("d/hard", "d/f"),
        TarEntry::symbolic_link("d/soft", "f"),
        TarEntry::file("missing/parents/f", "made\n"),
    ]);
    with_input(&sandbox, &["cp", "-", "one:/tmp"], &tar).success();
    let listed = sandbox.run(&["cp", "one:/tmp/d", "-"]);
    assert!(listed.status.success(), "{}", listed.stderr);
    sandbox.run(&["cp", "one:/tmp", sandbox.path("out").to_str().expect("a path")]).success();
    let out = sandbox.path("out");
    assert_eq!((text(out.join("d/soft")), text(out.join("missing/parents/f"))), ("in a tar\n".into(), "made\n".into()));
    let (file, hard) = (fs::metadata(out.join("d/f")).expect("f"), fs::metadata(out.join("d/hard")).expect("hard"));
    assert_eq!((file.ino(), file.mode() & 0o7777), (hard.ino(), 0o4711));
    assert_eq!(fs::metadata(out.join("d")).expect("d").permissions().mode() & 0o7777, 0o750);
    // Owners stay as recorded, or with `-a` become the container's user, as in docker.
    with_input(&sandbox, &["cp", "-a", "-", "one:/data"], &tar).success();
    let root = sandbox.run(&["inspect", "-f", "{{.State.Pid}}", "one"]).success();
    let inside = |path: &str| fs::metadata(format!("/proc/{}/root/{path}", root.trim())).expect("inside");
    assert_eq!((inside("tmp/d/f").uid(), inside("tmp/d/f").gid()), (5, 6));
    assert_eq!((inside("data/d/f").uid(), inside("data/d/f").gid()), (33, 34));
    for broken in [&tar[..700], &b"no tar at all, but long enough to be looked at"[..]] {
        let told = with_input(&sandbox, &["cp", "-", "one:/tmp"], broken).failure();
        assert!(told.starts_with("Error response from daemon: unpacking the archive"), "{told}");
    }
}

/// Whatever stands in a container, and whatever a tar says: nothing outside its root is read or written.
#[test]
fn nothing_is_copied_out_of_a_container_s_root() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("secret"), "secret of the machine\n").expect("a file");
    let outside_text = outside.display().to_string();
    let file = sandbox.path("file");
    fs::write(&file, "planted\n").expect("a file");
    let file = file.display().to_string();
    let untouched = |what: &str| {
        let names: Vec<_> = fs::read_dir(&outside).expect("read").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["secret"], "{what}");
        assert_eq!(text(outside.join("secret")), "secret of the machine\n", "{what}");
    };
    let links = format!(
        "ln -s {outside_text} /data/absolute; ln -s ../../../../../../..{outside_text} /data/up; \
         ln -s /proc/1/root{outside_text} /data/magic; ln -s /proc/self/root /data/self; \
         ln -s {outside_text}/secret /data/secret; exec sleep 300"
    );
    for runs in [true, false] {
        let name = if runs { "up" } else { "down" };
        sandbox.run(&["run", "-d", "--name", name, "--network", "none", "box", "sh", "-c", &links]).success();
        let shown = || sandbox.run(&["diff", name]).success();
        eventually("the links are there", || shown().contains("/data/secret"));
        if !runs {
            sandbox.run(&["stop", "-t", "0", name]).success();
        }
        for link in ["absolute", "up", "magic", "self"] {
            for end in ["", "/", "/planted", "/secret"] {
                sandbox.run(&["cp", &file, &format!("{name}:/data/{link}{end}")]);
                untouched(&format!("{name}: {link}{end}"));
            }
            for end in ["/secret", "/../../..", &format!("{outside_text}/secret")] {
                let target = sandbox.path("taken");
                let run =
                    sandbox.run(&["cp", "-L", &format!("{name}:/data/{link}{end}"), target.to_str().expect("a path")]);
                let is_secret = fs::read_to_string(&target).is_ok_and(|text| text.contains("machine"));
                assert!(!is_secret, "{name}: {link}{end}: {run:?}");
                let _ = fs::remove_file(&target);
                let _ = fs::remove_dir_all(&target);
            }
        }
        let run = sandbox.run(&["cp", "-L", &format!("{name}:/data/secret"), "-"]);
        assert!(!run.stdout.contains("machine"), "{run:?}");
        let hostile: [&[TarEntry]; 6] = [
            &[TarEntry::file("../../../../../../../../planted", "x")],
            &[TarEntry::file(format!("../..{outside_text}/planted"), "x")],
            &[TarEntry::symbolic_link("l", outside_text.clone()), TarEntry::file("l/planted", "x")],
            &[
                TarEntry::symbolic_link("l", "../../../../../.."),
                TarEntry::file(format!("l{outside_text}/planted"), "x"),
            ],
            &[TarEntry::hard_link("hard", format!("../../../../../..{outside_text}/secret"))],
            &[
                TarEntry::symbolic_link("s", format!("{outside_text}/secret")),
                TarEntry::file("s", "written through a link"),
            ],
        ];
        for entries in hostile {
            with_input(&sandbox, &["cp", "-", &format!("{name}:/tmp")], &tar(entries));
            untouched(&format!("{name}: {entries:?}"));
        }
    }
    // On this side, too: a link where a directory arrives is not followed.
    let target = sandbox.path("target");
    fs::create_dir(&target).expect("a directory");
    symlink(&outside, target.join("data")).expect("a link");
    let refused = sandbox.run(&["cp", "up:/data", target.to_str().expect("a path")]).failure();
    assert!(refused.contains("cannot overwrite non-directory"), "{refused}");
    untouched("a link on this side");
}

/// Somebody in the container changes a directory to a link and back all the time, while files are copied (CVE-2018-15664).
#[test]
fn a_racing_link_leads_nowhere() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("f"), "secret of the machine\n").expect("a file");
    let swap = format!(
        "mkdir /data/real; echo inside > /data/real/f; ln -s {} /data/link; \
         n=0; while [ $((n += 1)) -lt 200000 ]; do mv -T /data/real /data/swapped; mv -T /data/link /data/d; mv -T /data/d /data/link; \
         mv -T /data/swapped /data/d; mv -T /data/d /data/real; done 2>/dev/null",
        outside.display()
    );
    sandbox.run(&["run", "-d", "--name", "racer", "--network", "none", "box", "sh", "-c", &swap]).success();
    let file = sandbox.path("planted");
    fs::write(&file, "planted\n").expect("a file");
    let taken = sandbox.path("taken");
    let (mut arrived, mut came) = (0, 0);
    for _ in 0..40 {
        let run = sandbox.run(&["cp", file.to_str().expect("a path"), "racer:/data/d/planted"]);
        arrived += usize::from(run.status.success());
        let run = sandbox.run(&["cp", "racer:/data/d/f", taken.to_str().expect("a path")]);
        if run.status.success() {
            came += 1;
            assert_eq!(text(&taken), "inside\n");
        }
        let names: Vec<_> = fs::read_dir(&outside).expect("read").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["f"], "after {arrived} and {came} copies");
    }
    assert_eq!(text(outside.join("f")), "secret of the machine\n");
}

#[test]
fn copies_go_where_the_container_sees_them() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let machine = sandbox.path("machine");
    fs::create_dir(&machine).expect("a directory");
    let file = sandbox.path("file");
    fs::write(&file, "copied\n").expect("a file");
    let file = file.to_str().expect("a path");
    let bind = format!("{}:/bind", machine.display());
    let options = ["-v", &bind, "-v", "data:/vol", "-v", "data:/ro:ro", "--read-only", "--tmpfs", "/memory"];
    for (name, runs) in [("up", true), ("made", false)] {
        container(&sandbox, name, runs, &options);
        sandbox.run(&["cp", file, &format!("{name}:/bind/{name}")]).success();
        sandbox.run(&["cp", file, &format!("{name}:/vol/{name}")]).success();
        assert_eq!(text(machine.join(name)), "copied\n");
        assert_eq!(text(sandbox.root().join("volumes/data/_data").join(name)), "copied\n");
        for (target, told) in
            [("/ro/x", "mounted volume is marked read-only"), ("/data/x", "container rootfs is marked read-only")]
        {
            let refused = sandbox.run(&["cp", file, &format!("{name}:{target}")]).failure();
            assert_eq!(refused, format!("Error response from daemon: {told}\n"), "{name}");
        }
        let out = sandbox.path(&format!("{name}-out"));
        sandbox.run(&["cp", &format!("{name}:/vol"), out.to_str().expect("a path")]).success();
        assert_eq!(text(out.join(name)), "copied\n");
        let whole = sandbox.path(&format!("{name}-whole"));
        sandbox.run(&["cp", &format!("{name}:/"), whole.to_str().expect("a path")]).success();
        assert_eq!(
            (text(whole.join("bind").join(name)), text(whole.join("etc/motd"))),
            ("copied\n".to_owned(), "of the image\n".to_owned())
        );
        let left_out: Vec<_> = fs::read_dir(whole.join("proc")).into_iter().flatten().collect();
        assert_eq!(left_out.len(), 0, "what the kernel shows is left out");
    }
    sandbox.run(&["cp", file, "up:/memory/x"]).success();
    assert!(!fs::exists(sandbox.path("memory")).expect("looked"));
    let device = sandbox.path("null");
    sandbox.run(&["cp", "up:/dev/null", device.to_str().expect("a path")]).success();
    assert!(fs::symlink_metadata(&device).expect("copied").file_type().is_char_device());
    sandbox.run(&["rm", "-f", "up", "made"]).success();
    assert_nothing_left(&sandbox);
}

#[test]
fn limits_and_policy_change_with_the_container_running_or_not() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    container(&sandbox, "up", true, &["-m", "64m"]);
    container(&sandbox, "made", false, &["-m", "64m"]);
    let shown = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} \
                 {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    for name in ["up", "made"] {
        let id = sandbox.run(&["inspect", "-f", "{{.Id}}", name]).success();
        let cannot = format!("Error response from daemon: Cannot update container {}: ", id.trim());
        // As docker told it.
        for (arguments, told) in [
            (&["-m", "32m"][..], String::new()),
            (
                &["-m", "256m"],
                format!(
                    "{cannot}Memory limit should be smaller than already set memoryswap limit, update the memoryswap at \
                     the same time"
                ),
            ),
            (&["-m", "100m", "--memory-swap", "200m", "--cpus", "0.5"], String::new()),
            (
                &["--cpu-quota", "5000"],
                format!("{cannot}Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"),
            ),
            (&["--pids-limit", "20", "--restart", "on-failure:3"], String::new()),
            (&["-m", "1m"], "Error response from daemon: Minimum memory limit allowed is 6MB".to_owned()),
            (&[], "you must provide one or more flags when using this command".to_owned()),
        ] {
            let run = sandbox.run(&[&["update"], arguments, &[name]].concat());
            let expected = if told.is_empty() { (format!("{name}\n"), told) } else { (String::new(), told + "\n") };
            assert_eq!((run.stdout, run.stderr), expected, "{name}: {arguments:?}");
        }
        let settings = sandbox.run(&["inspect", "-f", shown, name]).success();
        assert_eq!(settings, "104857600 209715200 500000000 20 on-failure:3\n", "{name}");
    }
    let pid = sandbox.run(&["inspect", "-f", "{{.State.Pid}}", "up"]).success();
    let groups = text(format!("/proc/{}/cgroup", pid.trim()));
    let path_of = |controller: &str| {
        let mut lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let found = lines.find(|parts| parts[1].split(',').any(|name| name == controller));
        found.map(|parts| parts[2].to_owned())
    };
    let limit = |controller: &str, file: &str, unified: &str| match path_of(controller) {
        Some(path) => text(format!("/sys/fs/cgroup/{controller}{path}/{file}")),
        None => text(format!("/sys/fs/cgroup{}/{unified}", path_of("").expect("a group"))),
    };
    assert_eq!(limit("memory", "memory.limit_in_bytes", "memory.max").trim(), "104857600");
    assert_eq!(limit("pids", "pids.max", "pids.max").trim(), "20");
}

#[test]
fn a_new_volume_has_what_the_image_has_there() {
    let files = [
        TarEntry::directory("srv").mode(0o750).owner(33, 34),
        TarEntry::directory("srv/deep"),
        TarEntry::file("srv/deep/f", "of the image\n").mode(0o640).owner(33, 34),
        TarEntry::symbolic_link("linked", "srv"),
    ];
    let Some(sandbox) = sandbox_with_box(&files, &[("Volumes", serde_json::json!({ "/srv": {} }))]) else { return };
    let data = |name: &str| sandbox.root().join("volumes").join(name).join("_data");
    let list = "stat -c '%a %u %g' /at; cat /at/deep/f";
    sandbox.run(&["volume", "create", "early"]).success();
    for (options, name) in [
        (["-v", "named:/srv"], "named"),
        (["--mount", "type=volume,src=long,dst=/srv"], "long"),
        (["-v", "early:/linked"], "early"),
    ] {
        shell(&sandbox, &options, "true").success();
        assert_eq!(text(data(name).join("deep/f")), "of the image\n", "{options:?}");
        let at = format!("{name}:/at");
        assert_eq!(shell(&sandbox, &["-v", &at], list).success(), "750 33 34\nof the image\n", "{options:?}");
    }
    // Neither when told not to, nor over what is there.
    shell(&sandbox, &["-v", "bare:/srv:nocopy"], "true").success();
    shell(&sandbox, &["--mount", "type=volume,src=bare2,dst=/srv,volume-nocopy"], "true").success();
    for name in ["bare", "bare2"] {
        assert_eq!(fs::read_dir(data(name)).expect("it is there").count(), 0, "{name}");
    }
    fs::write(data("bare").join("own"), "").expect("a file");
    shell(&sandbox, &["-v", "bare:/srv"], "true").success();
    let entries = fs::read_dir(data("bare")).expect("it is there").flatten();
    assert_eq!(entries.map(|entry| entry.file_name()).collect::<Vec<_>>(), ["own"]);
    // The image's own volume, and what is seen of it before the first start.
    sandbox.run(&["create", "--name", "anonymous", "--network", "none", "box"]).success();
    sandbox.run(&["cp", "anonymous:/srv/deep/f", sandbox.path("f").to_str().expect("a path")]).success();
    assert_eq!(text(sandbox.path("f")), "of the image\n");
    sandbox.run(&["rm", "-v", "anonymous"]).success();
}

#[test]
fn a_volume_may_be_a_directory_of_the_machine() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let machine = sandbox.path("machine");
    fs::create_dir(&machine).expect("a directory");
    let device = format!("device={}", machine.display());
    sandbox.run(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "bound"]).success();
    shell(&sandbox, &["-v", "bound:/at"], "echo here > /at/f").success();
    assert_eq!(text(machine.join("f")), "here\n");
    eventually("nobody uses it", || sandbox.run(&["volume", "rm", "bound"]).status.success());
    assert_eq!(text(machine.join("f")), "here\n", "what is the machine's stays");
    sandbox.run(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/nosuch", "lost"]).success();
    let refused = shell(&sandbox, &["-v", "lost:/at"], "true");
    assert_eq!(refused.status.code(), Some(127), "as docker reads its daemon's words");
    assert!(refused.stderr.contains("failed to mount local volume: mount /nosuch:"), "{}", refused.stderr);
    let refused = sandbox.run(&["volume", "create", "-o", "type=nfs", "-o", "device=:/x", "far"]).failure();
    assert!(refused.contains("volumes of type \"nfs\" are not mounted by Strata"), "{refused}");
    assert_nothing_left(&sandbox);
}

#[test]
fn what_takes_room_is_counted() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    container(&sandbox, "up", true, &["-v", "used:/vol"]);
    shell(&sandbox, &["-v", "spare:/vol"], "echo 12345 > /vol/f").success();
    let write = "echo 123456789 > /data/f";
    sandbox.run(&["run", "--name", "over", "--network", "none", "box", "sh", "-c", write]).success();
    eventually("it is gone", || sandbox.run(&["ps", "-aq"]).success().lines().count() == 2);
    let table = sandbox.run(&["system", "df"]).success();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[2], ["Containers", "2", "1", "10B", "10B", "(100%)"], "{table}");
    assert_eq!(lines[3], ["Local", "Volumes", "2", "1", "6B", "6B", "(100%)"], "{table}");
    let details = sandbox.run(&["system", "df", "-v"]).success();
    let row = |name: &str| details.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(row("over").contains("10B"), "{details}");
    assert_eq!(row("spare").split_whitespace().collect::<Vec<_>>(), ["spare", "0", "6B"], "{details}");
    let format = "{{range .Containers}}{{.Names}} {{end}}{{len .Volumes}}";
    assert_eq!(sandbox.run(&["system", "df", "-v", "--format", format]).success(), "over up 2\n");
    let info = "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}";
    assert_eq!(sandbox.run(&["info", "-f", info]).success(), "2 1 0 1\n");
}

/// `--init`: zombies are reaped, signals reach the program, its exit code is the container's.
#[test]
fn a_first_process_may_stand_before_the_program() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    assert_eq!(shell(&sandbox, &["--init"], "echo $$; cat /proc/1/comm").success(), "2\nstrata-init\n");
    assert_eq!(shell(&sandbox, &["--init"], "exit 7").status.code(), Some(7));
    let missing = sandbox.run(&["run", "--rm", "--network", "none", "--init", "box", "/nosuch"]);
    assert_eq!(missing.status.code(), Some(127), "{}", missing.stderr);
    let orphans = "for n in 1 2 3; do (sleep 0.1 &); done; sleep 0.5; grep -l 'State:.Z' /proc/[0-9]*/status; true";
    assert_eq!(shell(&sandbox, &["--init"], orphans).success(), "");
    let text = "trap 'exit 3' TERM; while :; do sleep 0.05; done";
    sandbox.run(&["run", "-d", "--name", "one", "--network", "none", "--init", "box", "sh", "-c", text]).success();
    sandbox.run(&["stop", "one"]).success();
    assert_eq!(sandbox.run(&["inspect", "-f", "{{.State.ExitCode}}", "one"]).success(), "3\n");
    // Nobody inside looks into it, or writes its file.
    let look = "cat /proc/1/environ > /dev/null 2>&1 || echo refused; (echo > /proc/1/exe) 2>/dev/null || echo refused";
    assert_eq!(shell(&sandbox, &["--init"], look).success(), "refused\nrefused\n");
}

#[test]
fn groups_and_seccomp_profiles_of_one_s_own() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let groups = ["--group-add", "video", "--group-add", "7"];
    assert_eq!(shell(&sandbox, &groups, "id -G").success(), "0 7 44\n");
    let refused = shell(&sandbox, &["--group-add", "nosuch"], "true");
    assert_eq!(refused.status.code(), Some(125));
    let told = "Unable to find group nosuch: no matching entries in group file";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
    let profile = sandbox.path("profile.json");
    let calls = r#"[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]"#;
    fs::write(&profile, format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {calls}}}"#)).expect("a file");
    let option = format!("seccomp={}", profile.display());
    let refused = shell(&sandbox, &["--security-opt", &option], "mkdir /x");
    assert!(refused.stderr.contains("Permission denied"), "{}", refused.stderr);
    fs::write(&profile, "{").expect("a file");
    for (path, told) in [
        ("/nosuch", "opening seccomp profile (/nosuch) failed: open /nosuch: no such file or directory"),
        (profile.to_str().expect("a path"), "failed: unexpected end of JSON input"),
    ] {
        let refused = shell(&sandbox, &["--security-opt", &format!("seccomp={path}")], "true");
        assert_eq!(refused.status.code(), Some(125));
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    let refused = shell(&sandbox, &["--gpus", "all"], "true");
    assert!(refused.stderr.contains("could not select device driver \"\" with capabilities: [[gpu]]"), "{refused:?}");
}

#[test]
fn places_in_networks_are_asked_for() {
    let Some(sandbox) = sandbox_with_box(&[], &[]) else { return };
    let machine = support::machine::Machine::new();
    let strata = |arguments: &[&str]| machine.strata(&sandbox, arguments);
    strata(&["network", "create", "--subnet", "10.201.0.0/24", "back"]).success();
    let web = ["run", "-d", "--name", "web", "--network", "back", "--network-alias", "www", "--ip", "10.201.0.77"];
    strata(&[&web[..], SLEEP].concat()).success();
    let address = "{{.NetworkSettings.Networks.back.IPAddress}}";
    assert_eq!(strata(&["inspect", "-f", address, "web"]).success(), "10.201.0.77\n");
    // As in docker: on a network that somebody made, the resolver knows what a link calls another container.
    let asked =
        ["run", "--rm", "--network", "back", "--link", "web:database", "box", "busybox", "nslookup", "database"];
    let resolved = strata(&asked);
    assert!(resolved.stdout.contains("10.201.0.77"), "{}{}", resolved.stdout, resolved.stderr);
    for (options, told) in [
        (
            &["--network", "back", "--ip", "10.9.9.9"][..],
            "no configured subnet or ip-range contain the IP address 10.9.9.9",
        ),
        (&["--network", "back", "--ip", "10.201.0.77"], "Address already in use"),
        (&["--network", "back", "--ip", "10.201"], "invalid IPv4 address: 10.201"),
        (&["--ip", "172.17.0.9"], "user specified IP address is supported on user defined networks only"),
        (&["--network-alias", "x"], "network-scoped aliases are only supported for user-defined networks"),
        (&["--link", "nosuch"], "could not get container for nosuch: No such container: nosuch"),
        (
            &["--network", "back", "--network", "host"],
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
    ] {
        let refused = strata(&[&["run", "--rm"], options, &["box", "true"]].concat());
        assert_eq!(refused.status.code(), Some(125), "{options:?}");
        assert!(refused.stderr.contains(told), "{options:?}: {}", refused.stderr);
    }
    strata(&["rm", "-f", "web"]).success();
}
