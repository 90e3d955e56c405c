//! What a token is for: `repository:library/nginx:pull,push` (registry token specification, "Token scope").

use std::collections::{BTreeMap, BTreeSet};

/// A set of scopes; those of one resource are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// Nothing: for `/v2/` itself.
    pub(crate) fn none() -> Scopes {
        Scopes::default()
    }

    /// Actions on a repository.
    pub(crate) fn repository(name: &str, actions: &[&str]) -> Scopes {
        Scopes::none().and(&format!("repository:{name}"), actions)
    }

    /// The list of all repositories.
    pub(crate) fn catalog() -> Scopes {
        Scopes::none().and("registry:catalog", &["*"])
    }

    /// Searching.
    pub(crate) fn search() -> Scopes {
        Scopes::none().and("registry:catalog", &["search"])
    }

    fn and(mut self, resource: &str, actions: &[&str]) -> Scopes {
        self.0.entry(resource.to_owned()).or_default().extend(actions.iter().map(|action| (*action).to_owned()));
        self
    }

    /// Both together.
    pub(crate) fn union(&self, other: &Scopes) -> Scopes {
        let mut all = self.clone();
        for (resource, actions) in &other.0 {
            all.0.entry(resource.clone()).or_default().extend(actions.iter().cloned());
        }
        all
    }

    /// Reads a list separated by spaces. The resource may hold colons, the actions do not; what has no actions is skipped.
    pub(crate) fn parse(text: &str) -> Scopes {
        let mut scopes = Scopes::none();
        for scope in text.split_ascii_whitespace() {
            if let Some((resource, actions)) = scope.rsplit_once(':')
                && resource.contains(':')
            {
                let actions: Vec<&str> = actions.split(',').filter(|action| !action.is_empty()).collect();
                scopes = scopes.and(resource, &actions);
            }
        }
        scopes
    }

    /// Each scope as text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }

    /// All in one text, separated by spaces; equal sets give equal texts.
    pub(crate) fn text(&self) -> String {
        self.texts().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_merge_and_print_in_order() {
        let scopes = Scopes::parse("repository:b:push,pull  repository:host:5000/a:pull junk x:")
            .union(&Scopes::repository("b", &["delete"]));
        assert_eq!(scopes.text(), "repository:b:delete,pull,push repository:host:5000/a:pull");
        assert_eq!(Scopes::catalog().text(), "registry:catalog:*");
        assert_eq!(Scopes::none().text(), "");
    }
}
