//! Facts by which a person judges an image, each with its source and date. No grade: what they weigh depends on the reader.

use askama::Template;
use strata_hub::records::RepositoryRow;
use strata_hub::{
    Attachment, BaseImage, BaseOrigin, DockerfileOrigin, Findings, FindingsState, FoundPaths, PackageKind, Signature,
    SignatureState, printable,
};
use strata_model::ErrorKind;

use super::chart::{Chart, DAYS};
use super::image::{Shown, settings_of};
use super::repository::Head;
use crate::failure::{Failure, Result};
use crate::site::{Frame, Visit, page};
use crate::views::{Badge, Moment, Step, named_path};
use crate::words;

/// Signatures that are told of.
const SIGNATURES: usize = 10;

/// A fact: what, what is so, where that is from.
struct Fact {
    name: &'static str,
    value: Vec<String>,
    link: Option<Step>,
    source: String,
    time: Option<Moment>,
}

/// A table of facts.
struct Group {
    title: &'static str,
    facts: Vec<Fact>,
}

/// What is attached to the image.
struct AttachmentLine {
    kind: String,
    media_type: String,
    short_digest: String,
    digest: String,
    place: &'static str,
    by: String,
    pushed: Option<Moment>,
    created: Option<String>,
    signer: String,
}

/// Packages of one kind.
struct PackageList {
    kind: &'static str,
    count: String,
    packages: Vec<(String, String)>,
    more: usize,
}

/// Paths with a quality, in a list that opens.
struct PathList {
    title: &'static str,
    count: String,
    paths: Vec<(String, String)>,
}

struct Facts {
    tag: String,
    platform: String,
    platforms: Vec<Step>,
    layers: String,
    groups: Vec<Group>,
    attachments: Vec<AttachmentLine>,
    waiting: bool,
    problem: Option<String>,
    packages: Vec<PackageList>,
    paths: Vec<PathList>,
    settings: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "trust.html")]
struct Trust {
    frame: Frame,
    head: Head,
    charts: Vec<Chart>,
    facts: Option<Facts>,
}

/// `GET …/trust` and `GET …/tags/{tag}/trust?platform=`.
pub(super) async fn trust(visit: &Visit, row: &RepositoryRow, head: Head, tag: Option<String>) -> Result {
    let failed = |error| Failure::of(visit, error);
    let pulls = visit.hub.pulls_by_day(row.id, DAYS).await.map_err(failed)?;
    let stars = visit.hub.stars_by_day(row.id, DAYS).await.map_err(failed)?;
    let charts = [Chart::of_pulls(&pulls, visit.now), Chart::of_stars(&stars, visit.now)];
    let charts = charts.into_iter().flatten().collect();
    let facts = match Shown::of(visit, row, &head, tag.as_deref()).await? {
        Some(shown) => Some(facts(visit, row, &shown).await?),
        None => None,
    };
    Ok(page(Trust { frame: visit.frame(""), head, charts, facts }))
}

async fn facts(visit: &Visit, row: &RepositoryRow, shown: &Shown) -> Result<Facts> {
    let failed = |error| Failure::of(visit, error);
    let hub = &visit.hub;
    let (parts, viewer) = (&shown.parts, visit.identity.as_ref());
    let base = hub.base_image(row, parts, viewer).await.map_err(failed)?;
    let tagged = &shown.tag.manifest.digest;
    let attachments = hub.attachments(row, &parts.digest, tagged).await.map_err(failed)?;
    let signatures = hub.signatures(row, &attachments).await.map_err(failed)?;
    let dockerfile = match hub.dockerfile(row, &shown.tag.tag, Some(&shown.platform)).await {
        Ok(found) => Some(found.origin),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => None,
        Err(error) => return Err(failed(error)),
    };
    let (findings, waiting, problem) = match hub.findings(row, parts).await.map_err(failed)? {
        FindingsState::Ready(findings) => (Some(findings), false, None),
        FindingsState::Waiting => (None, true, None),
        FindingsState::Failed(reason) => (None, false, Some(reason)),
    };
    let groups = vec![
        Group { title: "Publisher", facts: publisher(visit, row, shown) },
        Group { title: "Origin", facts: origin(visit, shown, base, dockerfile, &attachments, &signatures) },
        Group { title: "When it runs", facts: running(shown, findings.as_deref()) },
    ];
    Ok(Facts {
        tag: shown.tag.tag.clone(),
        platform: shown.platform.clone(),
        platforms: shown.platforms("trust"),
        layers: shown.address("layers", ""),
        groups,
        attachments: attachments.iter().map(|attachment| attachment_line(attachment, visit.now)).collect(),
        waiting,
        problem,
        packages: findings.as_deref().map(package_lists).unwrap_or_default(),
        paths: findings.as_deref().map(path_lists).unwrap_or_default(),
        settings: settings_of(&parts.config),
    })
}

fn fact(name: &'static str, value: impl Into<String>, source: impl Into<String>) -> Fact {
    Fact { name, value: vec![value.into()], link: None, source: source.into(), time: None }
}

fn publisher(visit: &Visit, row: &RepositoryRow, shown: &Shown) -> Vec<Fact> {
    let badge = match (row.is_official, row.is_verified) {
        (true, _) => "Official: kept by this hub's operators",
        (false, true) => "Verified publisher: an administrator checked who it is",
        (false, false) => "Community: nobody checked who it is",
    };
    let link = Step { label: row.namespace.clone(), address: format!("/u/{}", row.namespace), is_current: false };
    let registered = Fact {
        link: Some(link),
        time: Some(Moment::of(row.registered, visit.now)),
        ..fact("Published by", badge, "accounts of this hub; repository made")
    };
    let pushed = Fact {
        time: Some(Moment::of(shown.tag.pushed, visit.now)),
        ..fact(
            "Last update",
            match shown.tag.pushed_by.as_str() {
                "" => format!("Tag {} was pushed", shown.tag.tag),
                who => format!("Tag {} was pushed by {who}", shown.tag.tag),
            },
            "history of this registry",
        )
    };
    let used = format!("{}, {}", words::exactly(row.pulls, "pull"), words::exactly(row.stars, "star"));
    let platforms: Vec<String> = shown.tag.manifest.images.iter().map(|image| image.platform()).collect();
    vec![
        registered,
        pushed,
        fact("Use", used, "counted by this hub; no measure of quality"),
        fact("Platforms", platforms.join(", "), format!("what tag {} points to", shown.tag.tag)),
    ]
}

fn origin(
    visit: &Visit,
    shown: &Shown,
    base: Option<BaseImage>,
    dockerfile: Option<DockerfileOrigin>,
    attachments: &[Attachment],
    signatures: &[Signature],
) -> Vec<Fact> {
    let mut facts = Vec::new();
    let created = shown.parts.config.created.clone().filter(|time| !time.is_empty());
    let created = created.map_or_else(|| "It does not say".to_owned(), |time| words::stated(&time));
    facts.push(fact("Built", created, "the image itself: not proven"));
    facts.push(base_fact(visit, base));
    let (value, source) = match dockerfile {
        Some(DockerfileOrigin::Attached(_)) => ("Attached", "an artifact of this repository"),
        Some(DockerfileOrigin::Annotated) => ("Written into the manifest", "the image's manifest"),
        Some(DockerfileOrigin::Recorded) => ("Recorded by the build", "provenance beside the image: not verified"),
        Some(DockerfileOrigin::Reconstructed) => {
            ("Not published; a part can be made up from the history", "the image's configuration")
        }
        None => ("None, and no history", "the image's configuration"),
    };
    facts.push(fact("Dockerfile", value, source));
    facts.push(signature_fact(signatures));
    for (name, kinds) in [("Provenance", &["provenance", "attestation"][..]), ("List of contents (SBOM)", &["sbom"])] {
        let count = attachments.iter().filter(|attachment| kinds.contains(&attachment.kind.as_str())).count();
        let value = match count {
            0 => "None here".to_owned(),
            1 => "One; this hub did not verify it".to_owned(),
            more => format!("{more}; this hub did not verify them"),
        };
        facts.push(fact(name, value, "referrers, cosign's tags and the index of this repository"));
    }
    facts
}

fn signature_fact(signatures: &[Signature]) -> Fact {
    let value = match signatures {
        [] => vec!["None here".to_owned()],
        found => found.iter().take(SIGNATURES).map(signature_words).collect(),
    };
    Fact { value, ..fact("Signatures", "", "signatures in this repository, verified with the keys of its publisher") }
}

/// What is known of a signature, in a sentence.
fn signature_words(signature: &Signature) -> String {
    let certificate = match &signature.certificate {
        Some(facts) if !facts.issuer.is_empty() => {
            format!(
                "; its certificate, which is not verified here, says {}, vouched for by {}",
                facts.subject, facts.issuer
            )
        }
        Some(facts) => format!("; its certificate, which is not verified here, says {}", facts.subject),
        None => String::new(),
    };
    let state = match &signature.state {
        SignatureState::Verified(key) => {
            let id: String = key.id.chars().take(16).collect();
            format!("Signed: verified with the key “{}” of {} (SHA-256 {id}…)", key.name, key.owner)
        }
        SignatureState::UnknownKey => "A signature is present, made with a key that is not known here".to_owned(),
        SignatureState::NotChecked => "A signature is present, of a form that is not verified here".to_owned(),
        SignatureState::Unreadable(why) => format!("Something is attached as a signature, and is none: {why}"),
    };
    format!("{state} ({}){certificate}", signature.form)
}

fn base_fact(visit: &Visit, base: Option<BaseImage>) -> Fact {
    let Some(base) = base else {
        return fact("Base image", "Unknown", "the image does not say, and no image that you may see here is below it");
    };
    let name = printable(base.name.as_bytes());
    let digest = base.digest.map(|digest| words::short(&printable(digest.as_bytes())).to_owned()).unwrap_or_default();
    let mut found = fact("Base image", digest, "the image's annotations: not proven");
    match base.origin {
        BaseOrigin::Annotated => found.value.insert(0, name),
        BaseOrigin::Layers(repository, tag) => {
            let address = format!("{}/tags/{tag}", named_path(&repository));
            found.link = Some(Step { label: name, address, is_current: false });
            found.source = format!("has the same lowest {}; pushed here", words::exactly(base.layers as u64, "layer"));
            found.time = base.pushed.map(|pushed| Moment::of(pushed, visit.now));
        }
    }
    found
}

fn running(shown: &Shown, findings: Option<&Findings>) -> Vec<Fact> {
    const CONFIG: &str = "the image's configuration";
    const FILES: &str = "all files of the image";
    let parts = &shown.parts;
    let user = match (parts.runs_as_root(), parts.config.config.user.as_str()) {
        (true, "") => "root, since no user is set".to_owned(),
        (true, user) => format!("root ({})", printable(user.as_bytes())),
        (false, user) => printable(user.as_bytes()),
    };
    let ports: Vec<String> =
        parts.config.config.exposed_ports.iter().flatten().map(|(port, _)| printable(port.as_bytes())).collect();
    let secrets: Vec<String> = parts
        .secrets()
        .into_iter()
        .map(|secret| format!("{}: {}", printable(secret.name.as_bytes()), secret.why))
        .collect();
    let mut facts = vec![
        fact("Runs as", user, CONFIG),
        fact("Ports", if ports.is_empty() { "None exposed".to_owned() } else { ports.join(", ") }, CONFIG),
        Fact {
            value: if secrets.is_empty() { vec!["None seen".to_owned()] } else { secrets },
            ..fact("Environment like a secret", "", "a guess from names and beginnings; values are not shown")
        },
    ];
    if let Some(findings) = findings {
        let counted = |paths: &FoundPaths| match paths.count {
            0 => "None".to_owned(),
            count => words::exactly(count, "file"),
        };
        let packages = PackageKind::ALL.into_iter().filter_map(|kind| {
            let count = findings.packages.iter().filter(|package| package.kind == kind).count();
            (count > 0).then(|| format!("{} {}", words::thousands(count as u64), kind.as_str()))
        });
        let packages: Vec<String> = packages.collect();
        let packages = if packages.is_empty() { "None found".to_owned() } else { packages.join(", ") };
        let source = if findings.is_incomplete {
            "databases in the image; some were too large"
        } else {
            "databases in the image"
        };
        facts.extend([
            fact("System", findings.system.clone().unwrap_or_else(|| "It does not say".into()), "etc/os-release"),
            fact("Packages", packages, source),
            fact("Setuid and setgid files", counted(&findings.setuid), FILES),
            fact("Files with capabilities", counted(&findings.capabilities), FILES),
        ]);
    }
    facts
}

fn attachment_line(attachment: &Attachment, now: i64) -> AttachmentLine {
    let digest = attachment.digest.to_string();
    AttachmentLine {
        kind: attachment.kind.clone(),
        media_type: printable(attachment.media_type.as_bytes()),
        short_digest: words::short(&digest).to_owned(),
        digest,
        place: match attachment.place {
            "referrer" => "refers to the image",
            "tag" => "under cosign's tag",
            _ => "beside it in the index",
        },
        by: attachment.pushed_by.clone(),
        pushed: attachment.pushed.map(|time| Moment::of(time, now)),
        created: attachment.created.as_ref().map(|time| words::stated(time)),
        signer: attachment.signer.iter().map(|print| printable(print.as_bytes())).collect::<Vec<_>>().join(", "),
    }
}

fn package_lists(findings: &Findings) -> Vec<PackageList> {
    const SHOWN: usize = 500;
    let list = |kind: PackageKind| {
        let packages: Vec<_> = findings.packages.iter().filter(|package| package.kind == kind).collect();
        PackageList {
            kind: kind.as_str(),
            count: words::exactly(packages.len() as u64, "package"),
            more: packages.len().saturating_sub(SHOWN),
            packages: packages
                .into_iter()
                .take(SHOWN)
                .map(|package| (package.name.clone(), package.version.clone()))
                .collect(),
        }
    };
    PackageKind::ALL.into_iter().map(list).filter(|list| !list.packages.is_empty()).collect()
}

fn path_lists(findings: &Findings) -> Vec<PathList> {
    let list = |title, found: &FoundPaths| PathList {
        title,
        count: words::exactly(found.count, "file"),
        paths: found.paths.iter().map(|(path, mode)| (format!("/{path}"), format!("{mode:04o}"))).collect(),
    };
    let lists =
        [list("Setuid and setgid files", &findings.setuid), list("Files with capabilities", &findings.capabilities)];
    lists.into_iter().filter(|list| !list.paths.is_empty()).collect()
}
