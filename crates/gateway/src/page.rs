//! The page at `/`: what it is made of, built into the program. It speaks the public interface alone,
//! loads nothing from anywhere else, and may not run or style anything that is not among its files.

use std::fmt::Write;
use std::sync::OnceLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::problem::{Problem, Refusal};
use crate::state::AppState;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const DRAWING: &str = "image/svg+xml";

/// Scripts and styles from this gateway alone, none within the page, no markup made of text, and
/// nobody shows the page within theirs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// A file of the page.
#[derive(Debug)]
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        Asset { name: $name, kind: $kind, text: include_str!(concat!("page/assets/", $name)) }
    };
}

const INDEX: Asset = asset!("index.html", HTML);

const ASSETS: &[Asset] = &[
    asset!("style.css", STYLE),
    asset!("icon.svg", DRAWING),
    asset!("theme.js", SCRIPT),
    asset!("main.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("facts.js", SCRIPT),
    asset!("format.js", SCRIPT),
    asset!("history.js", SCRIPT),
    asset!("list.js", SCRIPT),
    asset!("rows.js", SCRIPT),
    asset!("said.js", SCRIPT),
    asset!("session.js", SCRIPT),
    asset!("thread.js", SCRIPT),
    asset!("words.js", SCRIPT),
];

/// The routes of the page. They hold nothing of any session, so they ask for no token.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/", get(index)).route("/page/{asset}", get(asset))
}

async fn index(headers: HeaderMap) -> Response {
    INDEX.answer(&headers)
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => asset.answer(&headers),
        None => Problem::new(Refusal::NoRoute, "the page has no such file").into_response(),
    }
}

impl Asset {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
        let is_known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag()));
        let common = [
            (header::ETAG, tag()),
            // It may be kept, and is asked for each time: another release is seen at once.
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ];
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.kind)], self.text).into_response()
        };
        for (name, value) in common {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// One tag for all files: they belong together.
fn tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let mut hash = Sha256::new();
        for asset in ASSETS.iter().chain([&INDEX]) {
            hash.update(asset.text);
        }
        let mut tag = String::from("\"");
        for byte in &hash.finalize()[..16] {
            let _ = write!(tag, "{byte:02x}");
        }
        tag + "\""
    })
}
