//! The template language against the behaviour of Go's `text/template` with docker's functions.

use proptest::prelude::*;
use serde_json::json;
use strata_format::{
    Error, Template, Value,
    template::{List, Map, MissingKey, Struct},
};

/// An image as the inspect command gives it to templates: Go field names, and the JSON document behind it.
fn image() -> Value {
    let labels = Map::strings([("a.b", "one & <two>"), ("maintainer", "me")]);
    let config = Struct::new("*dockerspec.DockerOCIImageConfig")
        .field("User", "")
        .field("Env", List::strings(["PATH=/bin", "A=b"]))
        .field("Cmd", List::strings(["/bin/sh", "-c", "a && b"]))
        .field("Entrypoint", List::nil("string"))
        .field("ExposedPorts", Map::new("struct {}", [("80/tcp", Struct::new("struct {}").into())]))
        .field("Labels", labels)
        .field("OnBuild", List::nil("string"))
        .field("Volumes", Map::nil("struct {}"))
        .json(json!({"Cmd": ["/bin/sh", "-c", "a && b"], "Labels": {"a.b": "one & <two>"}}));
    Struct::new("*image.InspectResponse")
        .field("ID", "sha256:706db57fb206")
        .field("RepoTags", List::strings(["alpine:latest", "alpine:3"]))
        .field("RepoDigests", List::strings(Vec::<String>::new()))
        .field("Size", 8_320_000i64)
        .field("Ratio", 0.5)
        .field("Official", true)
        .field("Config", config)
        .field("Descriptor", Value::NilPointer("*v1.Descriptor".into()))
        .field("Created", Struct::new("time.Time").display("2025-10-08 11:04:56 +0000 UTC").json(json!("2025-10-08")))
        .field("Nothing", Value::Nil)
        .method("Label", 1, |arguments| match arguments {
            [Value::String(name)] => Ok(format!("label {name}").into()),
            _ => Err("no name".to_owned()),
        })
        .into()
}

fn run(source: &str) -> Result<String, Error> {
    Template::parse(source)?.execute(&image())
}

#[test]
fn wide_fields() {
    for (source, length) in [
        ("{{printf \"%0100000d\" .Size}}", 100_000),
        ("{{printf \"%.100000d\" .Size}}", 100_000),
        ("{{printf \"%0100000.1f\" .Ratio}}", 100_000),
        ("{{printf \"%.100000f\" .Ratio}}", 100_002),
        ("{{printf \"%.100000e\" .Ratio}}", 100_006),
        ("{{printf \"%.100000g\" .Ratio}}", 3),
    ] {
        assert_eq!(run(source).unwrap().len(), length, "{source}");
    }
}

#[test]
fn output() {
    let cases: &[(&str, &str)] = &[
        ("", ""),
        ("plain }} text", "plain }} text"),
        ("{{.ID}}", "sha256:706db57fb206"),
        ("{{.ID | }}", "sha256:706db57fb206"),
        ("{{ .ID }} {{.Size}}", "sha256:706db57fb206 8320000"),
        ("{{.Config.Cmd}}", "[/bin/sh -c a && b]"),
        ("{{.Config.Labels}}", "map[a.b:one & <two> maintainer:me]"),
        ("{{.Config.ExposedPorts}}", "map[80/tcp:{}]"),
        ("{{.Config.Entrypoint}} {{.Config.Volumes}}", "[] map[]"),
        ("{{.Descriptor}} {{.Nothing}} {{.Official}} {{.Ratio}}", "<nil> <no value> true 0.5"),
        ("{{.Created}}", "2025-10-08 11:04:56 +0000 UTC"),
        ("{{.Config.Labels.maintainer}} {{.Config.Labels.none}}", "me <no value>"),
        ("{{index .Config.Labels \"a.b\"}}{{index .Config.Labels `none`}}", "one & <two>"),
        ("{{(index .RepoTags 0)}}", "alpine:latest"),
        ("{{.Label \"x\"}} {{\"y\" | .Label}}", "label x label y"),
        ("{{$.ID}}{{$x := .Size}}{{$x}}", "sha256:706db57fb2068320000"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{$c := .Config}}{{$c.Labels.maintainer}}", "me"),
        ("{{(.Config).User}}{{(index .Config.Cmd 0 | upper)}}", "/BIN/SH"),
        // Conditions.
        ("{{if .Config.User}}a{{else if .Official}}b{{else}}c{{end}}", "b"),
        ("{{if .Config.User}}a{{else if not .Official}}b{{else}}c{{end}}", "c"),
        ("{{if and .ID .Size}}yes{{end}}{{if or .Config.User 0}}no{{end}}", "yes"),
        ("{{and 1 0 .Nothing.Foo}}{{or 1 .Nothing.Foo}}", "01"),
        ("{{with .Config}}{{len .Cmd}}{{end}}{{with .Config.User}}x{{else}}none{{end}}", "3none"),
        ("{{with .Config.User}}x{{else with .Config.Cmd}}{{len .}}{{end}}", "3"),
        ("{{with $x := 5}}{{$x}}{{end}}", "5"),
        // Ranges.
        ("{{range .RepoTags}}<{{.}}>{{end}}", "<alpine:latest><alpine:3>"),
        ("{{range .RepoDigests}}x{{else}}empty{{end}}", "empty"),
        ("{{range $i, $v := .RepoTags}}{{$i}}={{$v}};{{end}}", "0=alpine:latest;1=alpine:3;"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a.b=one & <two>;maintainer=me;"),
        ("{{range $v := .Config.Labels}}{{$v}};{{end}}", "one & <two>;me;"),
        ("{{range .Config.Cmd}}{{if eq . \"-c\"}}{{break}}{{end}}{{.}}{{end}}", "/bin/sh"),
        ("{{range .Config.Cmd}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}} {{end}}", "/bin/sh a && b "),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{$i := 0}}{{range $i = .RepoTags}}{{end}}{{$i}}", "alpine:3"),
        ("{{range .Nothing}}x{{else}}y{{end}}", "y"),
        ("{{range .RepoTags}}{{range $.Config.Cmd}}{{break}}{{end}}x{{end}}", "xx"),
        // Definitions.
        ("{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .ID}}{{template \"t\"}}", "[sha256:706db57fb206][<no value>]"),
        ("{{block \"b\" .Size}}{{.}}{{end}}", "8320000"),
        ("{{define \"t\"}}{{$}}{{end}}{{range .RepoTags}}{{template \"t\" .}}{{end}}", "alpine:latestalpine:3"),
        // Comments and trimming.
        ("a {{/* comment */}} b", "a  b"),
        ("a {{- /* comment */ -}} b", "ab"),
        ("a \n {{- .Size -}} \n b", "a8320000b"),
        ("{{ .Size -}} {{- .Official }}", "8320000true"),
        ("{{3 -}} x", "3x"),
        ("{{-3}}", "-3"),
        // Docker's functions.
        ("{{json .Config}}", r#"{"Cmd":["/bin/sh","-c","a && b"],"Labels":{"a.b":"one & <two>"}}"#),
        ("{{json .Config.Cmd}}{{json .Config.Entrypoint}}{{json .RepoDigests}}", r#"["/bin/sh","-c","a && b"]null[]"#),
        ("{{json .Config.ExposedPorts}}{{json .Descriptor}}{{json .Created}}", r#"{"80/tcp":{}}null"2025-10-08""#),
        ("{{json .ID}} {{json .Nothing}} {{.Size | json}}", r#""sha256:706db57fb206" null 8320000"#),
        ("{{split .ID \":\"}} {{index (split .ID \":\") 1}}", "[sha256 706db57fb206] 706db57fb206"),
        ("{{join .RepoTags \", \"}}", "alpine:latest, alpine:3"),
        ("{{title \"hello big-world_x\"}} {{upper \"aé\"}} {{lower \"AÉ\"}}", "Hello Big-World_x AÉ aé"),
        ("[{{pad \"x\" 1 2}}][{{pad \"\" 1 2}}]", "[ x  ][]"),
        ("{{truncate .ID 6}} {{truncate \"ab\" 6}}", "sha256 ab"),
        // Built-in functions.
        ("{{len .ID}} {{len .RepoTags}} {{len .Config.Labels}}", "19 2 2"),
        ("{{slice .ID 7 10}} {{slice .RepoTags 1}} {{slice .ID 16}}", "706 [alpine:3] 206"),
        ("{{print 1 2 \"x\" 3}}|{{println \"a\" 1}}", "1 2x3|a 1\n"),
        (
            "{{html \"<a href='x'>&\"}} {{js \"it's <b> = é\"}} {{urlquery \"a b&ü\"}}",
            "&lt;a href=&#39;x&#39;&gt;&amp; it\\'s \\u003Cb\\u003E \\u003D é a+b%26%C3%BC",
        ),
        ("{{eq .Size 8320000}} {{eq 1 2 1}} {{ne \"a\" \"b\"}} {{eq .Nothing nil}}", "true true true true"),
        ("{{lt 1 2}} {{le 2 2}} {{gt 1.5 2.5}} {{ge \"b\" \"a\"}}", "true true false true"),
        ("{{call .Label \"x\"}}", "ERROR"),
        ("{{not .Config.User}} {{true}} {{1.5}} {{0x10}} {{'a'}} {{1_000}} {{1e3}}", "true true 1.5 16 97 1000 1000"),
        ("{{\"quoted \\\"text\\\" \\u00e9\\n\"}}{{`raw \\n`}}", "quoted \"text\" é\nraw \\n"),
        ("{{printf \"%s|%d\" .ID .Size | printf \"%q\"}}", "\"sha256:706db57fb206|8320000\""),
        ("{{.ID | len | printf \"%03d\"}}", "019"),
        ("{{ .\nID }}", "ERROR"),
        ("{{printf \"%d\"\n.Size}}", "8320000"),
    ];
    for (source, expected) in cases {
        let got = run(source);
        if *expected == "ERROR" {
            assert!(got.is_err(), "{source}: {got:?}");
        } else {
            assert_eq!(got.as_deref(), Ok(*expected), "{source}");
        }
    }
}

#[test]
fn printf() {
    let cases: &[(&str, &str)] = &[
        ("\"%5.2f|%-10s|%6d|%06d|%+d\" 3.14159 \"ab\" 42 -42 7", " 3.14|ab        |    42|-00042|+7"),
        ("\"%x %X %o %b %c %U %#x %q\" 255 255 8 5 97 233 255 97", "ff FF 10 101 a U+00E9 0xff 'a'"),
        (
            "\"%v %+v %s %q\" .Config.Cmd .RepoTags .RepoTags .RepoTags",
            "[/bin/sh -c a && b] [alpine:latest alpine:3] [alpine:latest alpine:3] [\"alpine:latest\" \"alpine:3\"]",
        ),
        ("\"%t %v %e %g %.3g %G\" true false 1234.5 1e21 1234.5 1e-7", "true false 1.234500e+03 1e+21 1.23e+03 1E-07"),
        ("\"%5t|%-6v|%6v\" true 1 \"é\"", " true|1     |     é"),
        ("\"%.2s %.1q %x\" \"héllo\" \"ab\" \"hi\"", "hé \"a\" 6869"),
        ("\"%d %s %z\" \"x\" 1 2", "%!d(string=x) %!s(int=1) %!z(int=2)"),
        ("\"%d\"", "%!d(MISSING)"),
        ("\"%d\" 1 2 \"x\"", "1%!(EXTRA int=2, string=x)"),
        ("\"100%% %\"", "100% %!(NOVERB)"),
        ("\"%*d|%-*d|%[2]d %[1]d|%[9]d\" 4 7 3 8", "   7|8  |7 4|%!d(BADINDEX)"),
        (
            "\"%#v %#v %T\" .RepoTags .Config.Labels .Size",
            "[]string{\"alpine:latest\", \"alpine:3\"} map[string]string{\"a.b\":\"one & <two>\", \"maintainer\":\"me\"} int",
        ),
        ("\"%v %d\" nil nil", "<nil> %!d(<nil>)"),
        ("\"%08.3f|%+.1f|% d\" 3.14159 2.0 5", "0003.142|+2.0| 5"),
        ("\"%s\" .Created", "2025-10-08 11:04:56 +0000 UTC"),
    ];
    for (arguments, expected) in cases {
        assert_eq!(run(&format!("{{{{printf {arguments}}}}}")).as_deref(), Ok(*expected), "{arguments}");
    }
    let pair = Struct::new("main.Pair").field("A", 1i64).field("B", "x");
    let pointer = Value::from(Struct::new("*main.Pair").field("A", 1i64).field("B", "x"));
    let template = Template::parse("{{.}} {{printf \"%+v\" .}}").unwrap();
    assert_eq!(template.execute(&pair.into()).unwrap(), "{1 x} {A:1 B:x}");
    assert_eq!(template.execute(&pointer).unwrap(), "&{1 x} &{A:1 B:x}");
}

#[test]
fn syntax_errors() {
    for (source, message) in [
        ("{{.ID", "template: :1: unclosed action"),
        ("{{", "template: :1: unclosed action"),
        ("{{.ID\n", "template: :2: unclosed action started at :1"),
        ("{{if .ID}}", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{else}}", "template: :1: unexpected {{else}}"),
        ("{{foo .ID}}", "template: :1: function \"foo\" not defined"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{if}}x{{end}}", "template: :1: missing value for if"),
        ("a\n{{$x}}", "template: :2: undefined variable \"$x\""),
        ("{{.ID | 3}}", "template: :1: non executable command in pipeline stage 2"),
        ("{{(.ID}}", "template: :1: unclosed left paren"),
        ("{{.ID)}}", "template: :1: unexpected right paren"),
        ("{{\"abc}}", "template: :1: unterminated quoted string"),
        ("{{`abc}}", "template: :1: unterminated raw quoted string"),
        ("{{'a}}", "template: :1: unterminated character constant"),
        ("{{\"\\q\"}}", "template: :1: invalid syntax"),
        ("{{.ID@}}", "template: :1: bad character U+0040 '@'"),
        ("{{\u{1}}}", "template: :1: unrecognized character in action: U+0001"),
        ("{{1a}}", "template: :1: bad number syntax: \"1a\""),
        ("{{99999999999999999999}}", "template: :1: integer overflow: \"99999999999999999999\""),
        ("{{/* x }}", "template: :1: unclosed comment"),
        ("{{/* x */ }}", "template: :1: comment ends before closing delimiter"),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ("{{range .A}}{{else}}{{else}}{{end}}", "template: :1: expected end; found {{else}}"),
        ("{{\"a\".B}}", "template: :1: unexpected . after term \"\\\"a\\\"\""),
        ("{{template .ID}}", "template: :1: unexpected \".ID\" in template clause"),
        ("{{if .ID}}{{define \"x\"}}{{end}}{{end}}", "template: :1: unexpected <define> in command"),
        (
            "{{define \"x\"}}1{{end}}{{define \"x\"}}2{{end}}",
            "template: :1: template: multiple definition of template \"x\"",
        ),
        ("{{$a, $b := .ID}}", "template: :1: too many declarations in command"),
        ("{{.ID , .Size}}", "template: :1: unexpected \",\" in operand"),
        ("{{if .ID}}{{else range .ID}}{{end}}", "template: :1: unexpected <range> in else"),
        ("{{:x}}", "template: :1: expected :="),
    ] {
        let error = Template::parse(source).unwrap_err();
        assert_eq!(error, Error::TemplateSyntax(message.to_owned()), "{source}");
        assert_eq!(error.to_string(), format!("template parsing error: {message}"));
        assert_eq!(error.exit_status(), 64);
    }
}

#[test]
fn execution_errors() {
    for (source, message) in [
        (
            "{{.Foo}}",
            "template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *image.InspectResponse",
        ),
        (
            "a\n {{.Config.Foo}}",
            "template: :2:10: executing \"\" at <.Config.Foo>: can't evaluate field Foo in type *dockerspec.DockerOCIImageConfig",
        ),
        ("{{.ID.X}}", "template: :1:5: executing \"\" at <.ID.X>: can't evaluate field X in type string"),
        (
            "{{.Descriptor.Digest}}",
            "template: :1:13: executing \"\" at <.Descriptor.Digest>: nil pointer evaluating *v1.Descriptor.Digest",
        ),
        (
            "{{range .ID}}{{end}}",
            "template: :1:8: executing \"\" at <.ID>: range can't iterate over sha256:706db57fb206",
        ),
        (
            "{{index .RepoTags 5}}",
            "template: :1:2: executing \"\" at <index .RepoTags 5>: error calling index: index out of range: 5",
        ),
        (
            "{{index .RepoTags 2}}",
            "template: :1:2: executing \"\" at <index .RepoTags 2>: error calling index: reflect: slice index out of range",
        ),
        ("{{len 3}}", "template: :1:2: executing \"\" at <len 3>: error calling len: len of type int"),
        (
            "{{lt 1 \"a\"}}",
            "template: :1:2: executing \"\" at <lt 1 \"a\">: error calling lt: incompatible types for comparison",
        ),
        (
            "{{upper .Size}}",
            "template: :1:8: executing \"\" at <.Size>: wrong type for value; expected string; got int",
        ),
        ("{{upper 3}}", "template: :1:8: executing \"\" at <3>: expected string; found 3"),
        ("{{pad .ID \"x\" 1}}", "template: :1:10: executing \"\" at <\"x\">: expected integer; found \"x\""),
        ("{{upper}}", "template: :1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0"),
        (
            "{{index}}",
            "template: :1:2: executing \"\" at <index>: wrong number of args for index: want at least 1 got 0",
        ),
        ("{{.ID 3}}", "template: :1:2: executing \"\" at <.ID>: ID has arguments but cannot be invoked as function"),
        ("{{nil}}", "template: :1:2: executing \"\" at <nil>: nil is not a command"),
        ("{{3 4}}", "template: :1:2: executing \"\" at <3>: can't give argument to non-function 3"),
        ("{{template \"x\"}}", "template: :1:11: executing \"\" at <{{template \"x\"}}>: template \"x\" not defined"),
        (
            "{{define \"x\"}}{{.Foo}}{{end}}{{template \"x\" .}}",
            "template: :1:16: executing \"x\" at <.Foo>: can't evaluate field Foo in type *image.InspectResponse",
        ),
        ("{{.Label}}", "template: :1:2: executing \"\" at <.Label>: wrong number of args for Label: want 1 got 0"),
        ("{{.Label 3}}", "template: :1:2: executing \"\" at <.Label>: error calling Label: no name"),
        (
            "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
            "template: :1:25: executing \"x\" at <{{template \"x\"}}>: exceeded maximum template depth (400)",
        ),
    ] {
        let error = run(source).unwrap_err();
        assert_eq!(error, Error::TemplateExecution(message.to_owned()), "{source}");
        assert_eq!(error.exit_status(), 1);
    }
}

#[test]
fn raw_fallback_of_inspect() {
    let raw = json!({"Id": "sha256:1", "Size": 18_446_744_073_709_551_615u64, "Config": {"Labels": null, "Cmd": ["a", null]}});
    let run = |source: &str| Template::parse(source).unwrap().execute_or_raw(&image(), &raw).map_err(|e| e.to_string());
    assert_eq!(run("{{.ID}}").as_deref(), Ok("sha256:706db57fb206"));
    assert_eq!(run("{{.Id}} {{.Size}}").as_deref(), Ok("sha256:1 18446744073709551615"));
    assert_eq!(run("{{.Id}} {{.Config.Labels}} {{.Config.Cmd}}").as_deref(), Ok("sha256:1 <no value> [a <nil>]"));
    assert_eq!(
        run("{{.Config.Foo}}").unwrap_err(),
        "template parsing error: template: :1:9: executing \"\" at <.Config.Foo>: map has no entry for key \"Foo\""
    );
    assert_eq!(
        run("{{.Id}}{{.Config.Labels.x}}").unwrap_err(),
        "template parsing error: template: :1:16: executing \"\" at <.Config.Labels.x>: nil pointer evaluating interface {}.x"
    );
    let missing = Template::parse("{{.a}}").unwrap();
    assert_eq!(missing.execute(&json!({}).into()).as_deref(), Ok("<no value>"));
    assert!(missing.execute_with(&json!({}).into(), MissingKey::Error).is_err());
}

#[test]
fn deep_nesting_is_an_error_not_a_crash() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5000), close.repeat(5000));
    assert!(Template::parse(&format!("{{{{{}}}}}", deep("(", ")"))).is_err());
    assert!(Template::parse(&deep("{{if 1}}", "{{end}}")).is_err());
    assert!(Template::parse(&format!("{}{{{{end}}}}", "{{if 0}}{{else if 1}}".repeat(3000))).is_err());
    let within = format!("{}x{}", "{{with 1}}".repeat(90), "{{end}}".repeat(90));
    let source = format!(
        "{{{{define \"t\"}}}}{}{{{{template \"t\"}}}}{}{{{{end}}}}{{{{template \"t\"}}}}",
        "{{with ((((1))))}}".repeat(90),
        "{{end}}".repeat(90)
    );
    assert_eq!(Template::parse(&within).unwrap().execute(&Value::Nil).as_deref(), Ok("x"));
    assert!(Template::parse(&source).unwrap().execute(&Value::Nil).is_err());
}

/// Pieces from which templates, mostly broken ones, are put together.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "{{",
        "}}",
        "{{- ",
        " -}}",
        ".",
        ".ID",
        ".Config",
        ".Cmd",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        "if ",
        "else ",
        "end",
        "range ",
        "with ",
        "break",
        "continue",
        "define ",
        "template ",
        "block ",
        "nil",
        "true",
        "\"a\"",
        "`b`",
        "'c'",
        "1",
        "-2",
        "0x1F",
        "1.5e3",
        "len ",
        "index ",
        "printf ",
        "\"%*d %[3]q\"",
        "eq ",
        "slice ",
        "json ",
        "/*",
        "*/",
        " ",
        "\n",
        "é",
        "\\",
        "{{end}}",
        "{{else}}",
        "{{if .ID}}",
        "{{range .RepoTags}}",
    ]);
    prop::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_answered(source in "\\PC{0,48}") {
        let _ = run(&source);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = run(&String::from_utf8_lossy(&bytes));
        let _ = run(&format!("{{{{{}}}}}", String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn any_mix_of_fragments_is_answered(sources in prop::collection::vec(fragments(), 32)) {
        for source in sources {
            let _ = run(&source);
        }
    }

    #[test]
    fn any_format_is_answered(format in "[%a-zA-Z0-9 .*+#\\[\\]-]{0,16}") {
        let source = format!("{{{{printf {format:?} .ID .Size .Ratio .RepoTags .Config nil}}}}");
        prop_assert!(run(&source).is_ok(), "{}", source);
    }

    #[test]
    fn text_without_actions_is_kept(text in "[^{]{0,48}") {
        prop_assert_eq!(run(&text), Ok(text));
    }

    #[test]
    fn quoted_strings_print_their_text(text in "\\PC{0,24}") {
        let literal = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(run(&format!("{{{{{literal}}}}}")), Ok(text));
    }
}
