//! Endpoints of the hub whose documents are Docker Hub's, or simple: what they are for, for the description of the API.

use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;

use HttpMethod::{Delete, Get, Patch, Post, Put};

/// Tag, path, and for each method what it does.
type Endpoint = (&'static str, &'static str, &'static [(HttpMethod, &'static str)]);

/// Every endpoint that is not described where it is handled.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    ("sign-in", "/token", &[(Get, "A token for the registry (Docker)"), (Post, "The same, by form (OAuth 2)")]),
    ("sign-in", "/v2/users/login", &[(Post, "A session, by name and password")]),
    (
        "sign-in",
        "/v2/users/2fa-login",
        &[(Post, "A session, by the token of a login that asks for a code, and the code")],
    ),
    (
        "sign-in",
        "/api/v1/account/second-factor",
        &[(Get, "Whether codes are asked for"), (Post, "The key of one-time codes"), (Delete, "Turn it off by a code")],
    ),
    ("sign-in", "/api/v1/account/second-factor/confirm", &[(Post, "Turn it on by a first code; recovery codes")]),
    ("administration", "/api/v1/admin/users/{name}/second-factor", &[(Delete, "Turn a user's second factor off")]),
    ("sign-in", "/v2/auth/token", &[(Post, "A session, by name and password or access token")]),
    ("accounts", "/v2/users", &[(Post, "Make an account for oneself, where that is allowed")]),
    ("accounts", "/v2/users/{name}", &[(Get, "A user")]),
    ("accounts", "/v2/user", &[(Get, "Oneself"), (Patch, "Change oneself")]),
    ("accounts", "/v2/user/orgs", &[(Get, "One's organizations")]),
    ("accounts", "/api/v1/account/password", &[(Post, "Choose another password")]),
    ("accounts", "/api/v1/account/sessions", &[(Get, "One's sessions that began with a password")]),
    ("accounts", "/api/v1/account/sessions/{id}", &[(Delete, "End one of them")]),
    (
        "signing keys",
        "/api/v1/accounts/{account}/keys",
        &[(Get, "The keys that an account signs with"), (Post, "Add a key, as its owner")],
    ),
    ("signing keys", "/api/v1/accounts/{account}/keys/{id}", &[(Delete, "Remove a key, as its owner")]),
    (
        "signing keys",
        "/api/v1/repositories/{namespace}/{name}/keys",
        &[(Get, "The keys that a repository is signed with"), (Post, "Add a key, as its admin")],
    ),
    ("signing keys", "/api/v1/repositories/{namespace}/{name}/keys/{id}", &[(Delete, "Remove a key, as its admin")]),
    ("access tokens", "/v2/access-tokens", &[(Get, "One's access tokens"), (Post, "Make an access token")]),
    (
        "access tokens",
        "/v2/access-tokens/{id}",
        &[(Get, "An access token"), (Patch, "Change an access token"), (Delete, "Remove an access token")],
    ),
    (
        "access tokens",
        "/v2/orgs/{organization}/access-tokens",
        &[(Get, "An organization's robots"), (Post, "Make a robot's token")],
    ),
    (
        "access tokens",
        "/v2/orgs/{organization}/access-tokens/{id}",
        &[(Get, "A robot's token"), (Patch, "Change a robot's token"), (Delete, "Remove a robot's token")],
    ),
    ("organizations", "/v2/orgs", &[(Post, "Make an organization")]),
    ("organizations", "/v2/orgs/{organization}", &[(Get, "An organization")]),
    (
        "organizations",
        "/v2/orgs/{organization}/settings",
        &[(Get, "Its settings"), (Put, "Change its settings"), (Patch, "Change some of its settings")],
    ),
    ("organizations", "/v2/orgs/{organization}/members", &[(Get, "Its members"), (Post, "Add a member")]),
    (
        "organizations",
        "/v2/orgs/{organization}/members/{user}",
        &[(Put, "Set a member's role"), (Delete, "Remove a member")],
    ),
    ("organizations", "/v2/orgs/{organization}/groups", &[(Get, "Its teams"), (Post, "Make a team")]),
    (
        "organizations",
        "/v2/orgs/{organization}/groups/{team}",
        &[(Get, "A team"), (Put, "Describe a team"), (Patch, "Describe a team"), (Delete, "Remove a team")],
    ),
    (
        "organizations",
        "/v2/orgs/{organization}/groups/{team}/members",
        &[(Get, "A team's members"), (Post, "Add a member to a team")],
    ),
    (
        "organizations",
        "/v2/orgs/{organization}/groups/{team}/members/{user}",
        &[(Delete, "Take a member out of a team")],
    ),
    ("organizations", "/v2/orgs/{organization}/groups/{team}/repositories", &[(Get, "A team's roles")]),
    (
        "organizations",
        "/api/v1/grants/{repository}",
        &[(Get, "Who has which role on a repository"), (Put, "Give a role"), (Delete, "Take a role away")],
    ),
    ("administration", "/v2/auditlogs/{account}", &[(Get, "The audit log of an account")]),
    ("administration", "/v2/auditlogs/{account}/actions", &[(Get, "Actions that the audit log knows")]),
    ("administration", "/api/v1/admin/accounts", &[(Get, "Every account")]),
    ("administration", "/api/v1/admin/accounts/{name}", &[(Get, "An account"), (Patch, "Change an account")]),
    ("administration", "/api/v1/admin/users", &[(Post, "Make a user")]),
    ("administration", "/api/v1/admin/users/{name}/password", &[(Post, "Give a user another password")]),
    ("repositories", "/v2/repositories/{namespace}", &[(Get, "Repositories of a namespace")]),
    (
        "repositories",
        "/v2/namespaces/{namespace}/repositories",
        &[(Get, "Repositories of a namespace"), (Post, "Make a repository")],
    ),
    (
        "repositories",
        "/v2/repositories/{namespace}/{name}",
        &[(Get, "A repository"), (Patch, "Change a repository"), (Delete, "Remove a repository")],
    ),
    (
        "repositories",
        "/v2/namespaces/{namespace}/repositories/{name}",
        &[(Get, "A repository"), (Patch, "Change a repository"), (Delete, "Remove a repository")],
    ),
    ("repositories", "/v2/repositories/{namespace}/{name}/stars", &[(Post, "Star"), (Delete, "Take the star away")]),
    ("repositories", "/api/v1/repositories", &[(Get, "Every repository that one may see")]),
    ("repositories", "/api/v1/repositories/{namespace}/{name}/star", &[(Put, "Star"), (Delete, "Take the star away")]),
    ("repositories", "/api/v1/repositories/{namespace}/{name}/official", &[(Put, "Make it official, or not")]),
    ("repositories", "/api/v1/repositories/{namespace}/{name}/pulls", &[(Get, "Pulls by day")]),
    (
        "repositories",
        "/api/v1/repositories/{namespace}/{name}/retention/preview",
        &[(Post, "What a rule of retention would remove")],
    ),
    (
        "repositories",
        "/api/v1/repositories/{namespace}/{name}/dockerfile",
        &[(Get, "The Dockerfile of a tag, attached or reconstructed")],
    ),
    ("repositories", "/api/v1/categories", &[(Get, "Categories"), (Put, "Set the categories")]),
    ("tags", "/v2/repositories/{namespace}/{name}/tags", &[(Get, "Tags with their platforms and sizes")]),
    ("tags", "/v2/repositories/{namespace}/{name}/tags/{tag}", &[(Get, "A tag"), (Delete, "Remove a tag")]),
    ("tags", "/v2/namespaces/{namespace}/repositories/{name}/tags", &[(Get, "Tags with their platforms and sizes")]),
    ("tags", "/v2/namespaces/{namespace}/repositories/{name}/tags/{tag}", &[(Get, "A tag"), (Delete, "Remove a tag")]),
    ("tags", "/api/v1/repositories/{namespace}/{name}/tags/{tag}/history", &[(Get, "What it pointed to")]),
    ("tags", "/api/v1/repositories/{namespace}/{name}/tags/{tag}/aliases", &[(Get, "Other tags of the same image")]),
    ("tags", "/api/v1/repositories/{namespace}/{name}/tags/{tag}/rollback", &[(Post, "Point it to what it was")]),
    ("search", "/v1/_ping", &[(Get, "Whether search is here (Docker)")]),
    ("search", "/v1/search", &[(Get, "Search (docker search)")]),
    ("search", "/v2/search/repositories", &[(Get, "Search (Docker Hub's older form)")]),
    ("search", "/api/search/v4", &[(Get, "Search with filters and order (Docker Hub's newer form)")]),
    ("search", "/api/v1/search/suggestions", &[(Get, "Names that begin or sound like this")]),
];

/// Adds them to the description.
pub(super) fn describe(document: &mut Document) {
    for (tag, path, methods) in ENDPOINTS {
        for (method, summary) in *methods {
            let mut operation = OperationBuilder::new().tag(*tag).summary(Some(*summary));
            for name in placeholders(path) {
                operation = operation.parameter(ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path));
            }
            let answer = ResponseBuilder::new().description("Success; failures have a document with their reason");
            document.paths.add_path_operation(*path, vec![method.clone()], operation.response("2XX", answer));
        }
    }
}

fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}
