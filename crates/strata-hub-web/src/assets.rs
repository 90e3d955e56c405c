//! Files of the pages: in the program, under names that hold their content's hash, so that browsers keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use strata_model::Digest;

struct Asset {
    path: String,
    media_type: &'static str,
    bytes: &'static [u8],
}

/// Where pages find them.
pub(crate) struct Assets {
    pub(crate) style: String,
    pub(crate) script: String,
    pub(crate) icon: String,
    files: Vec<Asset>,
}

pub(crate) static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let style = asset("style", "css", "text/css; charset=utf-8", include_bytes!("../assets/style.css"));
    let script = asset("page", "js", "text/javascript; charset=utf-8", include_bytes!("../assets/page.js"));
    let icon = asset("icon", "svg", "image/svg+xml", include_bytes!("../assets/icon.svg"));
    let path = |asset: &Asset| format!("/assets/{}", asset.path);
    Assets { style: path(&style), script: path(&script), icon: path(&icon), files: vec![style, script, icon] }
});

fn asset(name: &str, ending: &str, media_type: &'static str, bytes: &'static [u8]) -> Asset {
    let hash = Digest::of(bytes).hex();
    Asset { path: format!("{name}-{}.{ending}", &hash[..16]), media_type, bytes }
}

/// `GET /assets/{file}`.
pub(crate) async fn serve(Path(file): Path<String>) -> Response {
    match ASSETS.files.iter().find(|asset| asset.path == file) {
        Some(asset) => {
            let headers = [(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
