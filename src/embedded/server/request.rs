//! What a request asks for, out of its URL, headers and multipart form; no body is read here.

use std::time::Duration;

use http::HeaderMap;

use super::guard::Credentials;
use super::headers;
use crate::embedded::engine::job::SessionRequest;
use crate::embedded::engine::sessions::{TIMEOUT_DEFAULT, TIMEOUT_MAX};
use crate::embedded::wire::errors::QueryError;
use crate::sql::code;
use crate::sql::is_plain_name;

/// More settings or parameters than this are refused.
const PAIRS_MAX: usize = 1000;

/// A request without its body.
#[derive(Debug, Default)]
pub(crate) struct QueryRequest {
    /// The statement, or its beginning: the body goes on after a line end.
    pub(crate) query: String,
    pub(crate) credentials: Credentials,
    pub(crate) query_id: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) default_format: Option<String>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) session: Option<SessionRequest>,
    /// The session ends with this request.
    pub(crate) close_session: bool,
    /// The answer goes out as ClickHouse frames.
    pub(crate) frames_out: bool,
    /// The body comes in as ClickHouse frames.
    pub(crate) frames_in: bool,
    /// The answer may have a Content-Encoding.
    pub(crate) http_compression: bool,
    /// A role was asked for; the engine has none.
    role: Option<String>,
    /// The answer waits for the end of the query, so that its status and summary are right.
    pub(crate) wait_end_of_query: bool,
    /// Which flavour of Native the answer has, if it is Native.
    pub(crate) native_revision: u64,
    /// It is Millrace that asks.
    pub(crate) own: bool,
}

impl QueryRequest {
    /// Reads URL and headers.
    pub(crate) fn read(url_query: Option<&str>, headers: &HeaderMap) -> Result<Self, QueryError> {
        let mut request = Self { http_compression: true, ..Self::default() };
        let mut url = UrlOnly::default();
        for (name, value) in url_query.into_iter().flat_map(|query| form_urlencoded::parse(query.as_bytes())) {
            request.take(&name, value.into_owned(), &mut url)?;
        }
        let header = |name: &str| headers::text(headers, name).map(str::to_owned);
        request.database = header("x-clickhouse-database").or(request.database).filter(|name| !name.is_empty());
        request.default_format =
            header("x-clickhouse-format").or(request.default_format).filter(|name| !name.is_empty());
        request.credentials = Credentials::read(headers, url.user.as_deref(), url.password.as_deref())?;
        request.session = url.session()?;
        request.check_role()?;
        if request.default_format.as_deref().is_some_and(|format| !is_plain_name(format)) {
            return Err(QueryError::new(code::UNKNOWN_FORMAT, "Unknown format"));
        }
        Ok(request)
    }

    /// Takes a field of a multipart form: what may stand in the URL may stand there.
    pub(crate) fn take_form_field(&mut self, name: &str, value: String) -> Result<(), QueryError> {
        self.take(name, value, &mut UrlOnly::default())?;
        self.check_role()
    }

    /// A client that asks for a role wants what that role may do and no more: it must not get what `default` may.
    fn check_role(&self) -> Result<(), QueryError> {
        let Some(role) = &self.role else { return Ok(()) };
        Err(QueryError::new(code::UNKNOWN_ROLE, &format!("There is no role `{role}` in `user directories`")))
    }

    fn take(&mut self, name: &str, value: String, url: &mut UrlOnly) -> Result<(), QueryError> {
        match name {
            "query" => self.query.push_str(&value),
            "query_id" => self.query_id = Some(value).filter(|id| !id.is_empty()),
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "compress" => self.frames_out = is_true(&value),
            "decompress" => self.frames_in = is_true(&value),
            "enable_http_compression" => self.http_compression = is_true(&value),
            "wait_end_of_query" => self.wait_end_of_query = is_true(&value),
            "client_protocol_version" => self.native_revision = value.parse().unwrap_or(0),
            "close_session" => self.close_session = is_true(&value),
            "user" => url.user = Some(value),
            "password" => url.password = Some(value),
            "session_id" => url.session_id = Some(value),
            "session_timeout" => url.session_timeout = Some(value),
            "session_check" => url.session_check = is_true(&value),
            "role" => self.role = Some(value),
            // of the interface, without a meaning here
            "quota_key" | "stacktrace" | "buffer_size" | "http_zlib_compression_level" => {}
            _ => self.take_pair(name, value)?,
        }
        Ok(())
    }

    fn take_pair(&mut self, name: &str, value: String) -> Result<(), QueryError> {
        if self.settings.len() + self.parameters.len() >= PAIRS_MAX {
            return Err(QueryError::new(code::BAD_ARGUMENTS, "Too many settings and parameters"));
        }
        let (pairs, plain) = match name.strip_prefix("param_") {
            Some(parameter) => (&mut self.parameters, parameter),
            None => (&mut self.settings, name),
        };
        if !is_plain_name(plain) {
            let message = format!("Unknown setting '{name}'");
            return Err(QueryError::new(code::UNKNOWN_SETTING, &message));
        }
        pairs.push((plain.to_owned(), value));
        Ok(())
    }
}

/// What only the URL says.
#[derive(Default)]
struct UrlOnly {
    user: Option<String>,
    password: Option<String>,
    session_id: Option<String>,
    session_timeout: Option<String>,
    session_check: bool,
}

impl UrlOnly {
    fn session(self) -> Result<Option<SessionRequest>, QueryError> {
        let Some(id) = self.session_id else { return Ok(None) };
        if id.is_empty() {
            let message = "Session id query parameter was provided, but it was empty";
            return Err(QueryError::new(code::SESSION_ID_EMPTY, message));
        }
        let timeout = match self.session_timeout {
            None => TIMEOUT_DEFAULT,
            Some(text) => {
                let refused = |why: String| QueryError::new(code::INVALID_SESSION_TIMEOUT, &why);
                let invalid = |_not_a_number| refused(format!("Invalid session timeout: '{text}'"));
                let seconds = text.parse::<u64>().map_err(invalid)?;
                if seconds > TIMEOUT_MAX.as_secs() {
                    let most = TIMEOUT_MAX.as_secs();
                    return Err(refused(format!("Session timeout '{text}' is larger than the maximum of {most} s")));
                }
                Duration::from_secs(seconds)
            }
        };
        Ok(Some(SessionRequest { id, timeout, must_exist: self.session_check }))
    }
}

fn is_true(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url =
            "query=SELECT+%27a%26b%27&param_x=1%2B1&max_threads=2&database=d&session_id=s&session_timeout=7&compress=1";
        let request = QueryRequest::read(Some(url), &HeaderMap::new()).unwrap();
        assert_eq!(request.query, "SELECT 'a&b'");
        assert_eq!(request.parameters, [("x".to_owned(), "1+1".to_owned())]);
        assert_eq!(request.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(request.database.as_deref(), Some("d"));
        assert_eq!(request.session.unwrap().timeout, Duration::from_secs(7));
        assert!(request.frames_out && !request.frames_in);
    }

    #[test]
    fn a_setting_with_a_name_that_is_none_never_reaches_the_engine() {
        let error = QueryRequest::read(Some("a%3D1%2Cb=2"), &HeaderMap::new()).unwrap_err();
        assert_eq!(error.code, 115);
        assert_eq!(QueryRequest::read(Some("param_a%20b=2"), &HeaderMap::new()).unwrap_err().code, 115);
        assert_eq!(
            QueryRequest::read(Some("session_id=s&session_timeout=999999"), &HeaderMap::new()).unwrap_err().code,
            374
        );
    }

    #[test]
    fn a_broken_escape_is_taken_as_it_is() {
        for (url, query) in [("100%", "100%"), ("%zz%4", "%zz%4"), ("%c3%a4", "\u{e4}"), ("%ff", "\u{fffd}")] {
            assert_eq!(QueryRequest::read(Some(&format!("query={url}")), &HeaderMap::new()).unwrap().query, query);
        }
        assert_eq!(QueryRequest::read(Some("&&query&query=a=b&"), &HeaderMap::new()).unwrap().query, "a=b");
    }
}
