//! Rules over tags, as regular expressions that match a whole tag.

use regex::{Regex, RegexBuilder};

use crate::records::ImmutableTags;
use crate::{HubError, Result};

/// Most rules of one setting.
const RULES: usize = 50;
/// Longest rule, in bytes.
const LENGTH: usize = 500;
/// Most memory of a rule, in bytes.
const SIZE: usize = 1 << 18;

fn compiled(rule: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{rule})$")).size_limit(SIZE).dfa_size_limit(SIZE).build()
}

/// Refuses rules that are no regular expressions; `what` names the setting.
pub(crate) fn check(what: &'static str, rules: &[String]) -> Result<()> {
    let invalid = |why| HubError::Invalid { what, why };
    if rules.len() > RULES {
        return Err(invalid(format!("at most {RULES} rules are allowed")));
    }
    for rule in rules {
        if rule.is_empty() || rule.len() > LENGTH {
            return Err(invalid(format!("a rule has 1 to {LENGTH} bytes")));
        }
        // Alone too: what is put around a rule must not complete it.
        Regex::new(rule).and_then(|_| compiled(rule)).map_err(|error| invalid(error.to_string()))?;
    }
    Ok(())
}

/// Rules that were checked when they were set.
pub(crate) struct Patterns(Vec<Regex>);

impl Patterns {
    pub(crate) fn of(rules: &[String]) -> Patterns {
        Patterns(rules.iter().filter_map(|rule| compiled(rule).ok()).collect())
    }

    /// Whether one matches the whole tag.
    pub(crate) fn match_tag(&self, tag: &str) -> bool {
        self.0.iter().any(|rule| rule.is_match(tag))
    }
}

impl ImmutableTags {
    /// Whether a tag, once set, stays.
    pub fn cover(&self, tag: &str) -> bool {
        self.enabled && (self.rules.is_empty() || Patterns::of(&self.rules).match_tag(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_match_whole_tags() {
        let rules = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>();
        let versions = ImmutableTags { enabled: true, rules: rules(&[r"v?\d+\.\d+\.\d+", "stable|lts"]) };
        for (tag, expected) in [("1.2.3", true), ("v1.2.3", true), ("1.2.3-rc", false), ("lts", true), ("xlts", false)]
        {
            assert_eq!(versions.cover(tag), expected, "{tag}");
        }
        assert!(ImmutableTags { enabled: true, rules: vec![] }.cover("latest"));
        assert!(!ImmutableTags { enabled: false, ..versions }.cover("1.2.3"));
        for bad in ["(", "a)(b", "", "(?:a{1000}){1000}"] {
            assert!(check("rules", &rules(&[bad])).is_err(), "{bad}");
        }
        assert!(check("rules", &rules(&[".*"])).is_ok());
    }
}
