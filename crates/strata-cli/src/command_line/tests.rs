//! Words that are understood, and what is said of those that are not.

use super::*;

fn parse(line: &str) -> Outcome<Invocation> {
    let words = line.split(' ').map(OsString::from).collect();
    Invocation::parse(crate::commands::tree(), words)
}

fn refused(line: &str) -> (String, u8) {
    match parse(line) {
        Ok(_) => panic!("{line} was understood"),
        Err(failure) => (failure.message, failure.code),
    }
}

#[test]
fn the_tree_is_what_clap_accepts() {
    clap_tree(&crate::commands::tree()).debug_assert();
}

#[test]
fn flags_stand_anywhere_and_take_go_s_values() {
    let parsed = parse("strata images -qa --no-trunc=false --filter label=a=b x -f dangling=true").unwrap();
    let flags = parsed.flags();
    assert!(flags.is_set("quiet") && flags.is_set("all") && !flags.is_set("no-trunc") && !flags.is_set("digests"));
    assert_eq!(flags.texts("filter"), ["label=a=b", "dangling=true"]);
    assert_eq!(flags.arguments(), ["x"]);
    assert!(!parse("strata history -H=false x").unwrap().flags().is_set("human"));
    assert!(parse("strata history x").unwrap().flags().is_set("human"));
    assert_eq!(parse("strata rmi -- -x").unwrap().flags().arguments(), ["-x"]);
    assert_eq!(parse("strata images --format -x").unwrap().flags().text("format").as_deref(), Some("-x"));
    let last = parse("strata pull --platform linux/arm64 --platform amd64 x").unwrap();
    assert_eq!(last.flags().text("platform").as_deref(), Some("amd64"));
}

#[test]
fn global_flags_stand_before_or_after_the_command() {
    for line in ["strata --root /a --no-sync images", "strata images --root /a --no-sync"] {
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.global().root.as_deref(), Some(Path::new("/a")), "{line}");
        assert!(parsed.global().no_sync, "{line}");
    }
    assert_eq!(parse("strata -D images").unwrap().global().log_level, LogLevel::Debug);
    assert_eq!(parse("strata --log-level=info images").unwrap().global().log_level, LogLevel::Info);
    assert_eq!(parse("strata images").unwrap().global().log_level, LogLevel::Warn);
    assert_eq!(refused("strata -l loud images").0, "unable to parse logging level: loud");
    assert!(parse("strata -v").unwrap().shows_version());
    // With a command, -v is that command's.
    let parsed = parse("strata system df -v").unwrap();
    assert!(!parsed.shows_version() && parsed.flags().is_set("verbose"));
}

#[test]
fn what_is_not_understood_is_told_in_docker_s_words() {
    let usage =
        "\n\nUsage:  docker images [OPTIONS] [REPOSITORY[:TAG]]\n\nRun 'docker images --help' for more information";
    for (line, message) in [
        ("/usr/bin/docker images --foo", "unknown flag: --foo"),
        ("docker images --foo=bar", "unknown flag: --foo"),
        ("docker images -x", "unknown shorthand flag: 'x' in -x"),
        ("docker images -qxa", "unknown shorthand flag: 'x' in -xa"),
        ("docker images --filter", "flag needs an argument: --filter"),
        ("docker images -qf", "flag needs an argument: 'f' in -f"),
        (
            "docker images -q=maybe",
            "invalid argument \"maybe\" for \"-q, --quiet\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "docker images -f dangling",
            "invalid argument \"dangling\" for \"-f, --filter\" flag: bad format of filter (expected name=value)",
        ),
    ] {
        assert_eq!(refused(line), (format!("{message}{usage}"), 125), "{line}");
    }
    let (message, code) = refused("docker search --limit many x");
    assert!(message.starts_with(
        "invalid argument \"many\" for \"--limit\" flag: strconv.ParseInt: parsing \"many\": invalid syntax\n\nUsage:  docker search "
    ));
    assert_eq!(code, 125);
    let (message, code) = refused("strata --foo");
    assert_eq!(
        message,
        "unknown flag: --foo\n\nUsage:  strata [OPTIONS] COMMAND [ARG...]\n\nRun 'strata --help' for more information"
    );
    assert_eq!(code, 125);
}

#[test]
fn wrong_numbers_of_arguments() {
    for (line, message, last) in [
        ("docker pull", "docker: 'docker pull' requires 1 argument", "Run 'docker pull"),
        ("docker image rm", "docker: 'docker image rm' requires at least 1 argument", "See 'docker image rm"),
        ("docker images a b", "docker: 'docker images' requires at most 1 argument", "Run 'docker images"),
        ("docker tag a", "docker: 'docker tag' requires 2 arguments", "Run 'docker tag"),
        ("docker load a", "docker: 'docker load' accepts no arguments", "Run 'docker load"),
    ] {
        let (text, code) = refused(line);
        let mut parts = text.split("\n\n");
        assert_eq!(parts.next(), Some(message), "{line}");
        assert!(parts.next().is_some_and(|usage| usage.starts_with("Usage:  docker ")), "{line}");
        assert_eq!(parts.next(), Some(format!("{last} --help' for more information").as_str()), "{line}");
        assert_eq!((parts.next(), code), (None, 1), "{line}");
    }
    // Docker's own usage lines of its groups are not alike.
    for (group, usage) in [("docker image", "docker image"), ("docker volume", "docker volume COMMAND")] {
        let help = format!("Run '{group} --help' for more information");
        let unknown = format!("docker: unknown command: {group} foo\n\nUsage:  {usage}\n\n{help}");
        assert_eq!(refused(&format!("{group} foo")), (unknown, 1));
    }
}

#[test]
fn help_is_no_command() {
    for line in ["strata", "strata image", "strata pull --help", "strata image ls -h", "strata --help"] {
        assert!(parse(line).unwrap().command().is_none(), "{line}");
    }
    // What belongs to a container's command is not ours to understand.
    assert!(parse("strata run -it --rm alpine sh -c x").unwrap().command().is_some());
}
