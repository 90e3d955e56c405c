//! What the server counts: requests by route and status with their durations, bytes, connections; rendered for Prometheus.
//!
//! Counting a request takes one short lock; everything else is atomic. Paths, names and credentials are never kept: a request
//! is counted under the family of its endpoint.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// Families of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Route {
    Base,
    Manifests,
    Blobs,
    Uploads,
    Tags,
    Referrers,
    Catalog,
    Token,
    Search,
    Hub,
    Api,
    Health,
    Other,
}

impl Route {
    /// The family of a path.
    pub(crate) fn of(path: &str) -> Route {
        let Some(below) = path.strip_prefix("/v2") else { return Route::outside_v2(path) };
        let first = below.trim_start_matches('/').split('/').next().unwrap_or_default();
        match first {
            "" => Route::Base,
            "_catalog" => Route::Catalog,
            "search" => Route::Search,
            "auth" => Route::Token,
            "users" | "access-tokens" | "orgs" | "repositories" | "namespaces" | "auditlogs" | "invites" => Route::Hub,
            _ if below.contains("/blobs/uploads") => Route::Uploads,
            _ if below.contains("/blobs/") => Route::Blobs,
            _ if below.contains("/manifests/") => Route::Manifests,
            _ if below.contains("/referrers/") => Route::Referrers,
            _ if below.ends_with("/tags/list") => Route::Tags,
            _ => Route::Other,
        }
    }

    fn outside_v2(path: &str) -> Route {
        match path {
            "/token" => Route::Token,
            "/healthz" | "/readyz" | "/metrics" => Route::Health,
            _ if path.starts_with("/v1/") || path.starts_with("/api/search") => Route::Search,
            _ if path.starts_with("/api/") => Route::Api,
            _ => Route::Other,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Route::Base => "base",
            Route::Manifests => "manifests",
            Route::Blobs => "blobs",
            Route::Uploads => "uploads",
            Route::Tags => "tags",
            Route::Referrers => "referrers",
            Route::Catalog => "catalog",
            Route::Token => "token",
            Route::Search => "search",
            Route::Hub => "hub",
            Route::Api => "api",
            Route::Health => "health",
            Route::Other => "other",
        }
    }
}

/// Requests of one kind.
#[derive(Default)]
struct Requests {
    count: u64,
    seconds: f64,
    buckets: [u64; BUCKETS.len()],
}

/// What the server counted since it started.
#[derive(Default)]
pub struct Telemetry {
    requests: Mutex<BTreeMap<(Route, &'static str, u16), Requests>>,
    /// Bytes of bodies received and sent.
    received: AtomicU64,
    sent: AtomicU64,
    connections: AtomicU64,
    in_flight: AtomicI64,
}

impl Telemetry {
    /// Nothing counted yet.
    pub fn new() -> Telemetry {
        Telemetry::default()
    }

    pub(crate) fn request(&self, route: Route, method: &Method, status: StatusCode, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let key = (route, method_word(method), status.as_u16());
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = requests.entry(key).or_default();
        requests.count += 1;
        requests.seconds += seconds;
        for (bucket, bound) in requests.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a connection that was accepted.
    pub fn connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self, change: i64) {
        self.in_flight.fetch_add(change, Ordering::Relaxed);
    }

    /// All of it in Prometheus' text format (version 0.0.4).
    pub(crate) fn render(&self, text: &mut Exposition) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        text.family("strata_http_requests_total", "counter", "Requests answered.");
        for ((route, method, status), requests) in requests.iter() {
            let labels = format!("route=\"{}\",method=\"{method}\",status=\"{status}\"", route.as_str());
            text.sample("strata_http_requests_total", &labels, requests.count as f64);
        }
        text.family("strata_http_request_duration_seconds", "histogram", "Time until the answer's head was ready.");
        let mut by_route: BTreeMap<Route, Requests> = BTreeMap::new();
        for ((route, ..), requests) in requests.iter() {
            let sum = by_route.entry(*route).or_default();
            sum.count += requests.count;
            sum.seconds += requests.seconds;
            sum.buckets.iter_mut().zip(requests.buckets).for_each(|(sum, count)| *sum += count);
        }
        drop(requests);
        for (route, requests) in by_route {
            let route = route.as_str();
            for (bound, count) in BUCKETS.iter().zip(requests.buckets) {
                let labels = format!("route=\"{route}\",le=\"{bound}\"");
                text.sample("strata_http_request_duration_seconds_bucket", &labels, count as f64);
            }
            let labels = format!("route=\"{route}\",le=\"+Inf\"");
            text.sample("strata_http_request_duration_seconds_bucket", &labels, requests.count as f64);
            let labels = format!("route=\"{route}\"");
            text.sample("strata_http_request_duration_seconds_sum", &labels, requests.seconds);
            text.sample("strata_http_request_duration_seconds_count", &labels, requests.count as f64);
        }
        let count = |value: &AtomicU64| value.load(Ordering::Relaxed) as f64;
        text.single("strata_http_received_bytes_total", "counter", "Bytes of bodies received.", count(&self.received));
        text.single("strata_http_sent_bytes_total", "counter", "Bytes of bodies sent.", count(&self.sent));
        text.single("strata_http_connections_total", "counter", "Connections accepted.", count(&self.connections));
        let in_flight = self.in_flight.load(Ordering::Relaxed) as f64;
        text.single("strata_http_requests_in_flight", "gauge", "Requests being answered.", in_flight);
    }
}

/// Methods that clients make up are counted as one.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Prometheus' text, while it is written.
#[derive(Default)]
pub(crate) struct Exposition(pub(crate) String);

impl Exposition {
    /// Begins a family of samples.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample of the family.
    pub(crate) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            _ => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    /// A family of one sample.
    pub(crate) fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_families() {
        for (path, route) in [
            ("/v2/", Route::Base),
            ("/v2", Route::Base),
            ("/v2/library/nginx/manifests/latest", Route::Manifests),
            ("/v2/a/b/blobs/sha256:00", Route::Blobs),
            ("/v2/a/b/blobs/uploads/4f1c", Route::Uploads),
            ("/v2/a/b/blobs/uploads/", Route::Uploads),
            ("/v2/a/tags/list", Route::Tags),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/repositories/library/nginx", Route::Hub),
            ("/v2/users/login", Route::Hub),
            ("/token", Route::Token),
            ("/api/v1/repositories/a/b/webhooks", Route::Api),
            ("/metrics", Route::Health),
            ("/r/acme/app", Route::Other),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn durations_are_cumulative() {
        let telemetry = Telemetry::new();
        telemetry.request(Route::Blobs, &Method::GET, StatusCode::OK, Duration::from_millis(3));
        telemetry.request(Route::Blobs, &Method::GET, StatusCode::NOT_FOUND, Duration::from_secs(2));
        let mut text = Exposition::default();
        telemetry.render(&mut text);
        for line in [
            "strata_http_requests_total{route=\"blobs\",method=\"GET\",status=\"200\"} 1",
            "strata_http_request_duration_seconds_bucket{route=\"blobs\",le=\"0.001\"} 0",
            "strata_http_request_duration_seconds_bucket{route=\"blobs\",le=\"0.005\"} 1",
            "strata_http_request_duration_seconds_bucket{route=\"blobs\",le=\"5\"} 2",
            "strata_http_request_duration_seconds_count{route=\"blobs\"} 2",
        ] {
            assert!(text.0.lines().any(|found| found == line), "{line}\n{}", text.0);
        }
    }
}
