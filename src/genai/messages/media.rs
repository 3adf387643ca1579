//! Pictures, sounds and files: URLs become `uri` parts, inline data `blob` parts, uploaded files `file` parts.
//!
//! Source: genai, message schemas (`UriPart`, `BlobPart`, `FilePart`); a `uri` is never a data URL (RFC 2397).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

use crate::json::limits::Limits;
use crate::json::writer::JsonWriter;
use crate::steps;
use crate::text::decode_base64;

/// What stands for a medium that was too large, before the SHA-256 of its bytes.
const BLOB_URI: &str = "millrace://blob/sha256/";

/// One medium and what is known about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Medium<'m> {
    /// What it is, unless its MIME type says otherwise.
    pub(crate) modality: &'m str,
    /// Its MIME type, unless its data URL says otherwise.
    pub(crate) mime: Option<&'m str>,
}

impl Medium<'_> {
    /// Writes a part for a URL, a data URL, or (`bare_is_data`) bare base64; `extras` adds members.
    pub(crate) fn write(
        self,
        json: &mut JsonWriter,
        source: &str,
        bare_is_data: bool,
        extras: impl FnOnce(&mut JsonWriter),
    ) {
        if let Some(data) = DataUrl::parse(source) {
            let medium = Medium { mime: data.mime.or(self.mime), ..self };
            return medium.write_blob(json, &data.base64(), extras);
        }
        if bare_is_data && !is_url(source) {
            return self.write_blob(json, source, extras);
        }
        self.begin(json, "uri");
        json.member_str("uri", source);
        extras(json);
        json.end_object();
    }

    /// Writes a part for a file the provider holds.
    pub(crate) fn write_file(self, json: &mut JsonWriter, id: &str, extras: impl FnOnce(&mut JsonWriter)) {
        self.begin(json, "file");
        json.member_str("file_id", id);
        extras(json);
        json.end_object();
    }

    fn write_blob(self, json: &mut JsonWriter, base64: &str, extras: impl FnOnce(&mut JsonWriter)) {
        if is_too_large(base64, json.limits()) {
            self.write_reference(json, base64);
        } else {
            self.begin(json, "blob");
            json.member_str("content", base64);
        }
        extras(json);
        json.end_object();
    }

    /// A `uri` part that says what the data was.
    fn write_reference(self, json: &mut JsonWriter, base64: &str) {
        let mut digest = Digest::default();
        digest.add(base64);
        self.begin(json, "uri");
        json.member_own("uri", &digest.uri());
        json.key("size");
        json.number(&digest.bytes.to_string());
        json.member_own("sha256", &digest.sha256());
        json.count_replaced_medium();
    }

    fn begin(self, json: &mut JsonWriter, kind: &str) {
        json.begin_object();
        json.member_str("type", kind);
        json.member_str("modality", self.mime.and_then(modality_of).unwrap_or(self.modality));
        if let Some(mime) = self.mime {
            json.member_str("mime_type", mime);
        }
    }
}

/// What is left of a medium that is too large, added to piece by piece.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digest {
    hash: Sha256,
    /// Bytes added so far.
    pub(crate) bytes: usize,
}

impl Digest {
    /// Adds the bytes of base64; what is none counts as it stands.
    pub(crate) fn add(&mut self, base64: &str) {
        let bytes = decode_base64(base64).map_or(Cow::Borrowed(base64.as_bytes()), Cow::Owned);
        self.bytes += bytes.len();
        self.hash.update(&bytes);
    }

    fn sha256(&self) -> String {
        self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The URI that stands for the medium.
    pub(crate) fn uri(&self) -> String {
        format!("{BLOB_URI}{}", self.sha256())
    }
}

/// Whether a medium is to be replaced. Base64 that is cut like a text would be no medium any more.
pub(crate) fn is_too_large(base64: &str, limits: Limits) -> bool {
    decoded_bytes(base64) > limits.max_inline_media_bytes || base64.len() > limits.max_value_bytes
}

/// The same for a medium of that many bytes.
pub(crate) fn are_too_many(bytes: usize, limits: Limits) -> bool {
    bytes > limits.max_inline_media_bytes || bytes.div_ceil(3) * 4 > limits.max_value_bytes
}

/// The base64 in a place for a URL, or for bare base64 too, if it holds any, and how many bytes stand before it.
pub(crate) fn inline(text: &str, bare_is_data: bool) -> Option<(Cow<'_, str>, usize)> {
    match DataUrl::parse(text) {
        Some(url) => Some((url.base64(), text.len() - url.data.len())),
        None => (bare_is_data && !is_url(text)).then_some((Cow::Borrowed(text), 0)),
    }
}

/// What a MIME type says about the modality.
fn modality_of(mime: &str) -> Option<&'static str> {
    match mime.split('/').next() {
        Some("image") => Some("image"),
        Some("audio") => Some("audio"),
        Some("video") => Some("video"),
        Some("text") => Some("document"),
        _ if mime == "application/pdf" => Some("document"),
        _ => None,
    }
}

/// The MIME type of an audio format as the API names it. Source: `OpenAI` API, `input_audio.format`, `audio.format`.
pub(crate) fn mime_of_audio(format: &str) -> Option<&'static str> {
    Some(match format {
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "flac" => "audio/flac",
        "opus" => "audio/opus",
        "aac" => "audio/aac",
        "pcm16" => "audio/pcm",
        _ => return None,
    })
}

/// The MIME type a file's name suggests.
pub(crate) fn mime_of_name(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "wav" => "audio/wav",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        _ => return None,
    })
}

fn is_url(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once("://") else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
}

struct DataUrl<'u> {
    mime: Option<&'u str>,
    is_base64: bool,
    data: &'u str,
}

impl<'u> DataUrl<'u> {
    fn parse(url: &'u str) -> Option<Self> {
        let scheme = url.get(..5)?;
        let rest = url.get(5..).filter(|_| scheme.eq_ignore_ascii_case("data:"))?;
        let Some((header, data)) = rest.split_once(',') else {
            // without a comma it is not a data URL; what it carries is then most likely base64
            return Some(Self { mime: None, is_base64: true, data: rest });
        };
        let mut fields = header.split(';').map(str::trim);
        let mime = fields.next().filter(|mime| mime.contains('/'));
        let is_base64 = fields.any(|field| field.eq_ignore_ascii_case("base64"));
        Some(Self { mime, is_base64, data })
    }

    /// The data in base64: as it is, or percent-decoded and encoded anew.
    fn base64(&self) -> Cow<'u, str> {
        if self.is_base64 {
            Cow::Borrowed(self.data)
        } else {
            Cow::Owned(encode(&Cow::from(percent_decode_str(self.data))))
        }
    }
}

/// How many bytes base64 stands for, read off its length.
fn decoded_bytes(base64: &str) -> usize {
    let digits = base64.bytes().filter(|c| *c != b'=' && !c.is_ascii_whitespace()).count();
    digits / 4 * 3 + digits % 4 * 3 / 4
}

/// Base64 with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    steps::take(bytes.len());
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(source: &str, max_inline_media_bytes: usize) -> serde_json::Value {
        let mut json = JsonWriter::new(Limits { max_inline_media_bytes, ..Limits::default() });
        let medium = Medium { modality: "image", mime: None };
        medium.write(&mut json, source, true, |json| json.member_str("detail", "low"));
        serde_json::from_str(&json.finish().0).unwrap()
    }

    #[test]
    fn urls_stay_and_data_becomes_a_blob() {
        let table = [
            ("https://x/y.png", r#"{"type":"uri","modality":"image","uri":"https://x/y.png","detail":"low"}"#),
            (
                "data:image/png;base64,AAEC",
                r#"{"type":"blob","modality":"image","mime_type":"image/png","content":"AAEC","detail":"low"}"#,
            ),
            (
                "DATA:audio/wav;codecs=1;BASE64,AA==",
                r#"{"type":"blob","modality":"audio","mime_type":"audio/wav","content":"AA==","detail":"low"}"#,
            ),
            (
                "data:image/svg+xml,%3Csvg%20%zz",
                r#"{"type":"blob","modality":"image","mime_type":"image/svg+xml","content":"PHN2ZyAleno=","detail":"low"}"#,
            ),
            ("data:,", r#"{"type":"blob","modality":"image","content":"","detail":"low"}"#),
            ("data:AAEC", r#"{"type":"blob","modality":"image","content":"AAEC","detail":"low"}"#),
            ("AAEC", r#"{"type":"blob","modality":"image","content":"AAEC","detail":"low"}"#),
        ];
        for (source, want) in table {
            assert_eq!(part(source, 100), serde_json::from_str::<serde_json::Value>(want).unwrap(), "{source}");
        }
    }

    #[test]
    fn a_large_medium_becomes_a_reference_by_its_hash() {
        let hash = "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc"; // of the bytes 0 1 2
        let want = serde_json::json!({
            "type": "uri", "modality": "image", "mime_type": "image/png", "uri": format!("millrace://blob/sha256/{hash}"),
            "size": 3, "sha256": hash, "detail": "low",
        });
        assert_eq!(part("data:image/png;base64,AAEC", 2), want);
    }

    #[test]
    fn base64_of_any_alphabet_decodes() {
        for text in ["+/8=", "+/8", "-_8", "+/\n8="] {
            assert_eq!(decode_base64(text), Some(vec![0xfb, 0xff]), "{text}");
        }
        assert_eq!(decode_base64("!"), None);
    }
}
