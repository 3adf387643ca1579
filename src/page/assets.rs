//! The files of the page, which `build.rs` puts here from `page/dist`: each as it is, and compressed if that is smaller.

use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};

/// A file of the page.
struct File {
    /// With a hash of its content in it.
    name: &'static str,
    media_type: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// What a build without the page shows.
const ABSENT: &str = include_str!("absent.html");

const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The document.
pub(super) fn index() -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], INDEX.unwrap_or(ABSENT)).into_response()
}

/// A file, in the smallest form that the browser takes.
pub(super) fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    let file = FILES.iter().find(|file| file.name == name)?;
    let forms = [("br", file.brotli), ("gzip", file.gzip)];
    let chosen =
        forms.into_iter().find_map(|(coding, bytes)| Some((coding, bytes.filter(|_| takes(headers, coding))?)));
    let mut response = chosen.map_or(file.plain, |(_, bytes)| bytes).into_response();
    let own = response.headers_mut();
    own.insert(CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    own.insert(CACHE_CONTROL, FOR_GOOD);
    own.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some((coding, _)) = chosen {
        own.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    Some(response)
}

/// Whether a browser named a coding, and not with a weight of nothing. Source: RFC 9110, section 12.5.3.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(coding) && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_taken_that_the_browser_names() {
        let accepting = |text: &'static str| HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(text))]);
        for (text, coding, want) in [
            ("gzip, deflate, br, zstd", "br", true),
            ("gzip;q=0.5", "gzip", true),
            ("GZIP ; q=1", "gzip", true),
            ("br;q=0, gzip", "br", false),
            ("identity", "gzip", false),
            ("brotli", "br", false),
        ] {
            assert_eq!(takes(&accepting(text), coding), want, "{text} {coding}");
        }
        assert!(!takes(&HeaderMap::new(), "br"));
    }

    #[test]
    fn a_file_that_is_not_there_is_none_and_every_file_is_found_by_its_name() {
        assert!(file("nothing.js", &HeaderMap::new()).is_none());
        for known in FILES {
            let response = file(known.name, &HeaderMap::new()).unwrap();
            assert_eq!(response.headers().get(CONTENT_ENCODING), None, "{}", known.name);
            assert!(!known.plain.is_empty() && known.name.contains('-'), "{}", known.name);
        }
    }
}
