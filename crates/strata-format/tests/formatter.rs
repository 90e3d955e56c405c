//! Whole outputs of `--format`, with the golden files of docker's own command tests where they fit.

use std::path::Path;

use strata_format::{
    Formatter, Value, ellipsis,
    formatter::Format,
    go_json::{self, Escape},
    size,
    template::Struct,
};

const IMAGE_HEADERS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
];

const IMAGE_TABLE: &str = "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t\
    {{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\\t{{.Size}}";

fn image(repository: &'static str, tag: &'static str, id: &'static str) -> Value {
    Struct::row("*formatter.imageContext")
        .field("ID", id)
        .field("Repository", repository)
        .field("Tag", tag)
        .field("CreatedSince", "6 weeks ago")
        .field("Size", size::human_size_with_precision(8_320_000.0, 3))
        .field("Digest", "<none>")
        .method("Label", 1, |_| Ok("value".into()))
        .into()
}

fn images(format: &str) -> String {
    let format = Format::new(format, IMAGE_TABLE, Some("repository: {{ .Repository }}\ntag: {{.Tag}}\n"));
    let rows = [image("alpine", "latest", "706db57fb206"), image("<none>", "<none>", "0123456789ab")];
    Formatter::new(&format, IMAGE_HEADERS.iter().copied()).unwrap().render(&rows).unwrap()
}

#[test]
fn image_table() {
    assert_eq!(
        images("table"),
        "REPOSITORY   TAG       IMAGE ID       CREATED       SIZE\n\
         alpine       latest    706db57fb206   6 weeks ago   8.32MB\n\
         <none>       <none>    0123456789ab   6 weeks ago   8.32MB\n"
    );
    let formatter = Formatter::new(&Format::new("table", IMAGE_TABLE, None), IMAGE_HEADERS.iter().copied()).unwrap();
    assert_eq!(formatter.render(&[]).unwrap(), "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n");
}

#[test]
fn a_whole_row_has_its_headers_as_a_map() {
    let output = images("table {{.}}");
    let header = "map[Containers:CONTAINERS CreatedAt:CREATED AT CreatedSince:CREATED Digest:DIGEST ID:IMAGE ID \
                  Repository:REPOSITORY Size:SIZE Tag:TAG]";
    assert_eq!(output.lines().next(), Some(header));
}

#[test]
fn table_templates() {
    assert_eq!(
        images("table {{.ID}}\\t{{lower .Tag}}"),
        "IMAGE ID       TAG\n706db57fb206   latest\n0123456789ab   <none>\n"
    );
    // Functions leave the header alone, except pad.
    assert_eq!(images("table {{upper .Repository}}{{pad .Tag 1 0}}").lines().next(), Some("REPOSITORY TAG"));
    assert_eq!(
        images("table {{truncate .Repository 2}}\\t{{json .ID}}").lines().nth(1),
        Some("al           \"706db57fb206\"")
    );
    // A field without header text, and the header of a label.
    assert_eq!(images("table {{.Label \"com.example.my-key_x\"}}").lines().next(), Some("my key x"));
    let plain = Struct::row("*formatter.imageContext").field("Extra", "1");
    let formatter = Formatter::new(&Format::template("table {{.Extra}}"), []).unwrap();
    assert_eq!(formatter.render(&[plain.into()]).unwrap(), "<no value>\n1\n");
    // An error in the header pass, here a field without header text, only ends the header.
    let plain = Struct::row("*formatter.imageContext").field("ID", "1").field("Extra", "x");
    let formatter = Formatter::new(&Format::template("table {{.ID}}:{{upper .Extra}}!"), [("ID", "IMAGE ID")]).unwrap();
    assert_eq!(formatter.render(&[plain.into()]).unwrap(), "IMAGE ID:\n1:X!\n");
    assert_eq!(
        images("table {{.ID}} {{if gt (len .ID) 3}}{{split .ID \"d\"}}{{end}}").lines().nth(1),
        Some("706db57fb206 [706 b57fb206]")
    );
}

#[test]
fn json_rows() {
    assert_eq!(
        images("json").lines().nth(1),
        Some(
            r#"{"CreatedSince":"6 weeks ago","Digest":"\u003cnone\u003e","ID":"0123456789ab","Repository":"\u003cnone\u003e","Size":"8.32MB","Tag":"\u003cnone\u003e"}"#
        )
    );
    assert_eq!(images("{{json .Tag}}").lines().nth(1), Some("\"<none>\""));
    assert_eq!(images("{{json .}}"), images("json"));
}

#[test]
fn raw_and_template() {
    assert_eq!(images("raw"), "repository: alpine\ntag: latest\n\nrepository: <none>\ntag: <none>\n\n");
    assert_eq!(
        images("{{.Repository}}:{{.Tag}}\\t{{.ID}}"),
        "alpine:latest\t706db57fb206\n<none>:<none>\t0123456789ab\n"
    );
    assert_eq!(images("  x  "), "x\nx\n");
    let format = Format::template("{{.Foo}}");
    let error = Formatter::new(&format, []).unwrap().render(&[image("a", "b", "c")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "template parsing error: template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.imageContext"
    );
    let error = Formatter::new(&Format::template("{{.Foo"), []).unwrap_err();
    assert_eq!(error.to_string(), "template parsing error: template: :1: unclosed action");
}

fn golden(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/docker-cli-golden");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn history(fields: [&str; 5], human: bool) -> Value {
    let [id, created, created_by, size, comment] = fields.map(str::to_owned);
    let created_by = ellipsis::ellipsis(&created_by.replace('\t', " "), 45);
    Struct::row("*formatter.historyContext")
        .field("ID", id)
        .field(if human { "CreatedSince" } else { "CreatedAt" }, created)
        .field("CreatedBy", created_by)
        .field("Size", size)
        .field("Comment", comment)
        .into()
}

#[test]
fn golden_history() {
    let headers = [
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ];
    let render = |created: &str, row: Value| {
        let text =
            format!("table {{{{.ID}}}}\\t{{{{.{created}}}}}\\t{{{{.CreatedBy}}}}\\t{{{{.Size}}}}\\t{{{{.Comment}}}}");
        Formatter::new(&Format::template(text), headers).unwrap().render(&[row]).unwrap()
    };
    assert_eq!(
        render("CreatedSince", history(["123456789012", "Less than a second ago", "", "0B", "none"], true)),
        golden("history-command-success.simple.golden")
    );
    assert_eq!(
        render("CreatedSince", history(["123456789012", "Less than a second ago", "", "0B", ""], true)),
        golden("history-command-success.platform.golden")
    );
    assert_eq!(
        render("CreatedAt", history(["abcdef", "2017-01-01T12:00:03Z", "rose", "0", "new history item!"], false)),
        golden("history-command-success.non-human.golden")
    );
}

#[test]
fn golden_disk_usage() {
    let headers = [("Type", "TYPE"), ("TotalCount", "TOTAL"), ("Active", "ACTIVE"), ("Size", "SIZE")];
    let rows: Vec<Value> = ["Images", "Containers", "Local Volumes", "Build Cache"]
        .map(|kind| {
            Struct::row("*formatter.diskUsageContext")
                .field("Type", kind)
                .field("TotalCount", "0")
                .field("Active", "0")
                .field("Size", size::human_size(0.0))
                .field("Reclaimable", "0B")
                .into()
        })
        .into();
    let render = |format: &str| Formatter::new(&Format::template(format), headers).unwrap().render(&rows).unwrap();
    assert_eq!(render("table {{.Type}}\\t{{.Active}}"), golden("disk-usage-context-write-custom.golden"));
    assert_eq!(
        render(
            "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n"
        ),
        golden("disk-usage-raw-format.golden")
    );
}

#[test]
fn golden_inspect() {
    let image = serde_json::json!({
        "Id": "", "RepoTags": null, "RepoDigests": null, "Config": null, "Architecture": "", "Os": "", "Size": 0,
        "RootFS": {}, "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"}
    });
    let many = serde_json::json!([image, image]);
    assert_eq!(
        go_json::to_string_indented(&many, "    ", Escape::Html) + "\n",
        golden("inspect-command-success.simple-many.golden")
    );
    let text = go_json::to_string(&serde_json::json!([image]), Escape::Html);
    assert_eq!(go_json::indent(&text, "    ").unwrap() + "\n", golden("inspect-command-success.simple.golden"));
}
