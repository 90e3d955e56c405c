//! Docker's token authentication (distribution, "Token Authentication Specification").

use serde_json::json;

use super::http::{Request, Response};
use super::routes::Route;
use super::state::State;

/// Refuses a request without a token that covers it.
pub(super) fn challenge(state: &State, request: &Request, route: Option<&Route<'_>>) -> Option<Response> {
    state.account.as_ref()?;
    let action = if matches!(request.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
    let token = request.header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
    let granted = token.and_then(|token| state.tokens.get(token));
    let is_covered = granted.is_some_and(|scopes| {
        route.is_none_or(|route| {
            scopes
                .iter()
                .filter_map(|scope| scope.strip_prefix(&format!("repository:{}:", route.name)))
                .any(|actions| actions.split(',').any(|granted| granted == action))
        })
    });
    if is_covered {
        return None;
    }
    let scope = route.map_or(String::new(), |route| {
        let actions = if action == "push" { "pull,push" } else { "pull" };
        format!(",scope=\"repository:{}:{actions}\"", route.name)
    });
    let error = if token.is_some() { ",error=\"insufficient_scope\"" } else { "" };
    let address = state.address;
    let value = format!("Bearer realm=\"http://{address}/token\",service=\"{address}\"{scope}{error}");
    Some(Response::error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", value))
}

pub(super) fn token(state: &mut State, request: &Request) -> Response {
    let address = state.address.to_string();
    let Some(account) = &state.account else {
        return Response::error(404, "NOT_FOUND", "no such page");
    };
    let form = |name: &str| {
        let body = String::from_utf8_lossy(&request.body);
        let encoded = Request::of_query(&body);
        encoded.query(name)
    };
    let basic = format!("Basic {}", base64(format!("{}:{}", account.user, account.password).as_bytes()));
    let is_known = match request.method.as_str() {
        "POST" => form("username") == Some(account.user.clone()) && form("password") == Some(account.password.clone()),
        _ => request.header("Authorization") == Some(&basic),
    };
    let is_anonymous = request.method == "GET" && request.header("Authorization").is_none();
    let service = if request.method == "POST" { form("service") } else { request.query("service") };
    if service != Some(address) {
        return Response::error(400, "UNSUPPORTED", "no such service");
    }
    let is_served = is_known || is_anonymous && account.anonymous_pull;
    if !is_served {
        return Response::error(401, "UNAUTHORIZED", "incorrect username or password");
    }
    let asked: Vec<String> =
        if request.method == "POST" { form("scope").into_iter().collect() } else { request.queries("scope").collect() };
    let asked = asked.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned);
    let scopes = asked.map(|scope| if is_known { scope } else { pull_only(&scope) }).collect();
    let token = state.next_name("token");
    state.tokens.insert(token.clone(), scopes);
    Response::new(200).json(&json!({ "token": token, "access_token": token, "expires_in": 300 }))
}

fn pull_only(scope: &str) -> String {
    let resource = scope.rsplit_once(':').map_or(scope, |(resource, _)| resource);
    format!("{resource}:pull")
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= group.len() { DIGITS[value as usize] as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
