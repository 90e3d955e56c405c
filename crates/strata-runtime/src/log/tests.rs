//! Written and read in real files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::state::Lock;
use crate::supervisor::plan::{LogDriver, LogSettings};

fn settings(max_size: Option<u64>, max_files: u32) -> LogSettings {
    LogSettings { driver: LogDriver::JsonFile, max_size, max_files }
}

fn texts(directory: &Path, query: LogQuery) -> Vec<String> {
    let lines = logs(directory, query).expect("the log is opened");
    lines.map(|line| String::from_utf8(line.expect("a line").bytes).expect("UTF-8")).collect()
}

fn written(count: u32, max_size: Option<u64>, max_files: u32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let mut writer = LogWriter::open(directory.path(), &settings(max_size, max_files)).expect("opened");
    for number in 0..count {
        writer.append(Stream::Stdout, format!("line {number}\n").as_bytes(), i64::from(number));
    }
    directory
}

#[test]
fn queries() {
    let directory = written(10, None, 1);
    let all: Vec<String> = (0..10).map(|number| format!("line {number}\n")).collect();
    let query = |since, until, tail| texts(directory.path(), LogQuery { since, until, tail, follow: false });
    assert_eq!(query(None, None, None), all);
    assert_eq!(query(Some(8), None, None), all[8..]);
    assert_eq!(query(None, Some(1), None), all[..2]);
    assert_eq!(query(None, None, Some(3)), all[7..]);
    assert_eq!(query(None, None, Some(0)), all[10..]);
    assert_eq!(query(None, None, Some(100)), all);
    assert_eq!(query(Some(9), None, Some(3)), all[9..]);
}

#[test]
fn pieces_become_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut writer = LogWriter::open(directory.path(), &settings(None, 1)).expect("opened");
    writer.append(Stream::Stdout, b"one\ntw", 1);
    writer.append(Stream::Stderr, b"other\n", 2);
    assert_eq!(texts(directory.path(), LogQuery::default()), ["one\n", "other\n"]);
    writer.append(Stream::Stdout, b"o\n\nend", 3);
    let long = "x".repeat((16 << 10) + 5) + "\n";
    writer.append(Stream::Stderr, long.as_bytes(), 4);
    writer.finish(5);
    let expected = ["one\n", "other\n", "two\n", "\n", &"x".repeat(16 << 10), "xxxxx\n", "end"];
    assert_eq!(texts(directory.path(), LogQuery::default()), expected);
}

#[test]
fn files_have_a_size_and_a_number() {
    for max_files in [1, 3] {
        let directory = written(1000, Some(1000), max_files);
        let mut names: Vec<String> = fs::read_dir(directory.path())
            .expect("read")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        assert_eq!(names, ["log.json", "log.json.1", "log.json.2"][..max_files as usize]);
        for name in names {
            assert!(fs::metadata(directory.path().join(name)).expect("there").len() <= 1000);
        }
        let texts = texts(directory.path(), LogQuery::default());
        let first = 1000 - texts.len();
        let expected: Vec<String> = (first..1000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(texts, expected);
        assert_eq!(self::texts(directory.path(), LogQuery { tail: Some(15), ..LogQuery::default() }), {
            let first = first.max(985);
            expected[first - (1000 - expected.len())..].to_vec()
        });
    }
}

#[test]
fn half_lines_are_not_shown_and_cut_away() {
    let directory = written(2, None, 1);
    let path = file(directory.path(), 0);
    let mut log = OpenOptions::new().append(true).open(&path).expect("opened");
    log.write_all(b"{\"log\":\"half").expect("written");
    assert_eq!(texts(directory.path(), LogQuery::default()), ["line 0\n", "line 1\n"]);
    assert_eq!(texts(directory.path(), LogQuery { tail: Some(1), ..LogQuery::default() }), ["line 1\n"]);
    let mut writer = LogWriter::open(directory.path(), &settings(None, 1)).expect("opened");
    writer.append(Stream::Stdout, b"line 2\n", 2);
    log.write_all(b"no line\n{}\n\xff\xff\n").expect("written");
    writer.append(Stream::Stdout, b"line 3\n", 3);
    assert_eq!(texts(directory.path(), LogQuery::default()), ["line 0\n", "line 1\n", "line 2\n", "line 3\n"]);
}

/// A reader that keeps up sees every line once, however often files are renamed under it.
#[test]
fn following_goes_across_rotations() {
    let directory = tempfile::tempdir().expect("a directory");
    let lock = Lock::take(directory.path()).expect("locked");
    let path = directory.path();
    let ready = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let lines = logs(path, LogQuery { follow: true, ..LogQuery::default() }).expect("opened");
            ready.store(true, Ordering::SeqCst);
            lines.map(|line| line.expect("a line").time).collect::<Vec<i64>>()
        });
        while !ready.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let mut writer = LogWriter::open(path, &settings(Some(2000), 20)).expect("opened");
        for number in 0..2000 {
            writer.append(Stream::Stdout, format!("line {number}\n").as_bytes(), number);
            if number % 100 == 0 {
                thread::sleep(Duration::from_millis(3));
            }
        }
        drop(lock);
        assert_eq!(reader.join().expect("joined"), (0..2000).collect::<Vec<i64>>());
    });
}

#[test]
fn following_ends_with_the_supervisor_or_the_time() {
    let directory = written(3, None, 1);
    let lock = Lock::take(directory.path()).expect("locked");
    let until = Some(crate::clock::now() + 50_000_000);
    let query = LogQuery { follow: true, until, ..LogQuery::default() };
    assert_eq!(texts(directory.path(), query).len(), 3);
    drop(lock);
    assert_eq!(texts(directory.path(), LogQuery { follow: true, ..LogQuery::default() }).len(), 3);
}

#[test]
fn a_log_that_cannot_be_written_says_how_much_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut writer = LogWriter::open(directory.path(), &settings(Some(100), 1)).expect("opened");
    writer.append(Stream::Stdout, b"line 0\n", 0);
    // Its place is taken, so that the next file cannot be made.
    let path = file(directory.path(), 0);
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    for number in 1..4 {
        writer.append(Stream::Stdout, format!("line {number}\n").as_bytes(), number);
    }
    fs::remove_dir(&path).expect("removed");
    writer.append(Stream::Stdout, b"line 4\n", 4);
    let found = texts(directory.path(), LogQuery::default());
    assert_eq!(found, ["strata: 3 lines of this log were lost, since they could not be written\n", "line 4\n"]);
}

#[test]
fn lines_longer_than_any_of_ours_are_passed_over() {
    let directory = written(1, None, 1);
    let mut log = OpenOptions::new().append(true).open(file(directory.path(), 0)).expect("opened");
    log.write_all(&vec![b'x'; 3 << 20]).expect("written");
    log.write_all(b"\n").expect("written");
    let mut writer = LogWriter::open(directory.path(), &settings(None, 1)).expect("opened");
    writer.append(Stream::Stdout, b"line 1\n", 1);
    assert_eq!(texts(directory.path(), LogQuery::default()), ["line 0\n", "line 1\n"]);
}
