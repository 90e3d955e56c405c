//! What the repositories of the demo's hub say of themselves.

/// The page of a repository in Markdown.
pub fn write(host: &str, repository: &str, about: &str, tags: &[(&'static str, String)]) -> String {
    let name = repository.strip_prefix("library/").unwrap_or(repository);
    let title = name.rsplit('/').next().unwrap_or(name);
    let newest = tags.last().map_or("latest", |(_, tag)| tag);
    let listed: String = tags.iter().map(|(_, tag)| format!("- `{tag}`\n")).collect();
    format!(
        "# What is {title}?\n\n\
         {about}\n\n\
         The image is composed of this machine's own files by `cargo xtask demo`. Its layers are shared with the other \
         images of this hub, so that the second pull is a matter of milliseconds.\n\n\
         ## Supported tags\n\n{listed}\n\
         ## How to use this image\n\n\
         Pull it, and look what is inside before anything runs:\n\n\
         ```console\n$ strata pull {host}/{name}:{newest}\n$ strata image ls {host}/{name}:{newest} /usr/bin\n```\n\n\
         In a `Dockerfile`, name a version and, better, a digest:\n\n\
         ```dockerfile\nFROM {host}/{name}:{newest}\nCOPY . /srv\n```\n\n\
         ## What is guaranteed\n\n\
         | | |\n|---|---|\n\
         | Rebuilt | every week, and when a layer below changes |\n\
         | Runs as | a user without rights, where the program allows it |\n\
         | Tags | a full version never moves; shorter ones follow it |\n\n\
         > Found something wrong? Tell the people whose name stands above.\n\n\
         ## Licence\n\n\
         As the programs in it; see `/usr/share/doc` of a Debian system."
    )
}
