//! Markdown that people wrote, as HTML that is safe to show.
//!
//! Raw HTML is left out, text is escaped by the renderer, and links lead to web and mail addresses or within the page, so
//! that nothing a person writes can run. Nothing is loaded from another host: images become links to them.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{CowStr, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd, html};

/// Begins the names of headings.
const ANCHOR: &str = "text-";

/// Renders Markdown.
pub(crate) fn render(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_GFM;
    let mut depth = 0;
    let events = Parser::new_ext(text, options).filter_map(|event| rewrite(event, &mut depth));
    let mut events: Vec<Event<'_>> = events.collect();
    name_headings(&mut events);
    let mut rendered = String::with_capacity(text.len() * 2);
    html::push_html(&mut rendered, events.into_iter());
    // What may scroll can be reached by the keyboard. Nothing that a person wrote has an angle bracket any more.
    rendered.replace("<pre>", "<pre tabindex=\"0\">")
}

/// `depth` is the number of links and images that are open: only the outermost becomes a link.
fn rewrite<'a>(event: Event<'a>, depth: &mut usize) -> Option<Event<'a>> {
    match event {
        Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => None,
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            *depth += 1;
            (*depth == 1).then(|| Event::Start(link(dest_url)))
        }
        Event::End(TagEnd::Link | TagEnd::Image) => {
            *depth -= 1;
            (*depth == 0).then_some(Event::End(TagEnd::Link))
        }
        // The page has a first heading of its own.
        Event::Start(Tag::Heading { level, .. }) => {
            Some(Event::Start(Tag::Heading { level: lower(level), id: None, classes: Vec::new(), attrs: Vec::new() }))
        }
        Event::End(TagEnd::Heading(level)) => Some(Event::End(TagEnd::Heading(lower(level)))),
        event => Some(event),
    }
}

/// Gives each heading a name that links within the text lead to, made of its words as usual.
fn name_headings(events: &mut [Event<'_>]) {
    let (mut taken, mut counts) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    for at in 0..events.len() {
        if !matches!(events[at], Event::Start(Tag::Heading { .. })) {
            continue;
        }
        let heading = events[at..].iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
        let words = heading.filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(text.as_ref()),
            _ => None,
        });
        let name = anchor(&words.collect::<String>());
        let count = counts.entry(name.clone()).or_default();
        let unique = loop {
            let candidate = if *count == 0 { name.clone() } else { format!("{name}-{count}") };
            *count += 1;
            if taken.insert(candidate.clone()) {
                break candidate;
            }
        };
        if let Event::Start(Tag::Heading { id, .. }) = &mut events[at] {
            *id = Some(unique.into());
        }
    }
}

/// `#text-how-to-use` for “How to use?”: no other part of a page is called like this.
fn anchor(words: &str) -> String {
    let kept = words.trim().chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    let name: String =
        kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect();
    format!("{ANCHOR}{name}")
}

fn link(address: CowStr<'_>) -> Tag<'_> {
    let is_harmless = ["https://", "http://", "mailto:", "#"]
        .iter()
        .any(|start| address.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start)));
    let dest_url = match address.strip_prefix('#') {
        Some(name) if !name.is_empty() => format!("#{ANCHOR}{name}").into(),
        _ if is_harmless => address,
        _ => CowStr::Borrowed("#"),
    };
    Tag::Link { link_type: LinkType::Inline, dest_url, title: CowStr::Borrowed(""), id: CowStr::Borrowed("") }
}

fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H2,
        HeadingLevel::H2 => HeadingLevel::H3,
        HeadingLevel::H3 => HeadingLevel::H4,
        HeadingLevel::H4 => HeadingLevel::H5,
        HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_html() {
        let cases = [
            ("# Title\n\nA *word*.", "<h2 id=\"text-title\">Title</h2>\n<p>A <em>word</em>.</p>\n"),
            (
                "## How to `use`, \"it\"?\n## How to use it\n[x](#how-to-use-it)",
                "<h3 id=\"text-how-to-use-it\">How to <code>use</code>, \"it\"?</h3>\n\
                 <h3 id=\"text-how-to-use-it-1\">How to use it</h3>\n<p><a href=\"#text-how-to-use-it\">x</a></p>\n",
            ),
            ("#\n[x](#)", "<h2 id=\"text-\"></h2>\n<p><a href=\"#\">x</a></p>\n"),
            ("[a](https://example.org/x?a=1&b=2)", "<p><a href=\"https://example.org/x?a=1&amp;b=2\">a</a></p>\n"),
            ("![logo](https://example.org/l.png)", "<p><a href=\"https://example.org/l.png\">logo</a></p>\n"),
            ("`a < b`", "<p><code>a &lt; b</code></p>\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(render(text), expected, "{text}");
        }
    }

    #[test]
    fn nothing_runs_and_nothing_is_fetched() {
        let hostile = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "[x](javascript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "<svg onload=alert(1)>",
            "<iframe src=\"https://example.org\"></iframe>",
            "<p style=\"background:url(https://example.org)\">x</p>",
            "<form action=\"https://example.org\"><input name=password></form>",
            "<base href=\"https://example.org\">",
            "[x](//example.org)",
            "<math><mi xlink:href=\"javascript:alert(1)\">x</mi></math>",
            "<details ontoggle=alert(1) open>x</details>",
        ];
        for text in hostile {
            let html = render(text).to_lowercase();
            for forbidden in [
                "<script",
                "<img",
                "<svg",
                "<iframe",
                "<form",
                "<base",
                "<details",
                "style=",
                "src=",
                "href=\"javascript",
                "href=\"data",
                "href=\"//",
            ] {
                assert!(!html.contains(forbidden), "{text} became {html}");
            }
        }
    }
}
