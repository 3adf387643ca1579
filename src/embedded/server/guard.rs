//! Who may ask beside web pages (`connections/browsers.rs`): whoever knows the password, if there is one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use crate::embedded::server::headers;
use crate::embedded::wire::errors::QueryError;
use crate::sql::code;

/// The one user of the engine.
pub(crate) const DEFAULT_USER: &str = "default";

/// The credentials of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
    /// They came as HTTP basic authentication: a refusal asks for them again.
    pub(crate) basic: bool,
}

impl Credentials {
    /// As ClickHouse takes them: in headers of its own and nowhere else, or as HTTP authentication, or in the URL.
    ///
    /// # Errors
    /// If they are elsewhere too, or in a form that is not understood.
    pub(crate) fn read(
        headers: &HeaderMap,
        url_user: Option<&str>,
        url_password: Option<&str>,
    ) -> Result<Self, QueryError> {
        let invalid = |why: &str| Err(QueryError::new(code::AUTHENTICATION_FAILED, why));
        let text = |name: &str| headers::text(headers, name);
        let (user, key, authorization) = (text("x-clickhouse-user"), text("x-clickhouse-key"), text("authorization"));
        let in_url = url_user.is_some() || url_password.is_some();
        if user.is_some() || key.is_some() {
            let other = match authorization {
                Some(_) => "Authorization HTTP header",
                None if in_url => "authentication via parameters",
                None => return Ok(Self::new(user, key, false)),
            };
            return invalid(&format!(
                "Invalid authentication: it is not allowed to use X-ClickHouse HTTP headers and {other} simultaneously"
            ));
        }
        let Some(authorization) = authorization else { return Ok(Self::new(url_user, url_password, false)) };
        if let Some(encoded) = authorization.strip_prefix("Basic ") {
            let decoded = STANDARD.decode(encoded.trim());
            let both =
                decoded.map_or_else(|_not_base64| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
            return Ok(match both.split_once(':') {
                Some((user, password)) => Self::new(Some(user), Some(password), true),
                None => Self::new(Some(&both), None, true),
            });
        }
        let scheme = authorization.split_once(' ').map_or(authorization, |(scheme, _)| scheme);
        invalid(&format!("Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported"))
    }

    fn new(user: Option<&str>, password: Option<&str>, basic: bool) -> Self {
        let user = match user {
            None | Some("") => DEFAULT_USER,
            Some(user) => user,
        };
        Self { user: user.to_owned(), password: password.map_or_else(String::new, str::to_owned), basic }
    }

    /// The engine has one user, `default`. Without a configured password any password is right, as ClickHouse's
    /// `no_password` has it.
    pub(crate) fn check(&self, password: Option<&str>) -> Result<(), QueryError> {
        // as slow for a wrong first byte as for a wrong last one
        let known = password.is_none_or(|password| password.as_bytes().ct_eq(self.password.as_bytes()).into());
        if self.user == DEFAULT_USER && known {
            return Ok(());
        }
        let message =
            format!("{}: Authentication failed: password is incorrect, or there is no user with such name", self.user);
        Err(QueryError::new(code::AUTHENTICATION_FAILED, &message))
    }
}

/// The header in which Millrace itself says who it is.
pub const OWN_HEADER: &str = "x-millrace-own";

/// Whether it is Millrace that asks: whoever knows the secret that it gave this engine. Without one, nobody is.
pub(crate) fn is_own(headers: &HeaderMap, secret: Option<&str>) -> bool {
    let said = headers.get(OWN_HEADER).map(|value| value.as_bytes());
    said.zip(secret).is_some_and(|(said, secret)| said.ct_eq(secret.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn credentials_are_in_one_place() {
        let read =
            |pairs: &[(&'static str, &'static str)], url: Option<&str>| Credentials::read(&headers(pairs), url, url);
        let is =
            |user: &str, password: &str, basic| Ok(Credentials { user: user.into(), password: password.into(), basic });
        let (basic, user, key) =
            (("authorization", "Basic YTpiOmM="), ("x-clickhouse-user", "default"), ("x-clickhouse-key", "k"));
        assert_eq!(read(&[], Some("u")), is("u", "u", false));
        assert_eq!(read(&[basic], None), is("a", "b:c", true));
        assert_eq!(read(&[basic], Some("u")), is("a", "b:c", true), "rather than what the URL has");
        assert_eq!(read(&[user, key], None), is("default", "k", false));
        assert_eq!(read(&[key], None), is("default", "k", false), "there is one user");
        for (pairs, url) in
            [(&[user, key][..], Some("u")), (&[user, key, basic], None), (&[("authorization", "Bearer x")], None)]
        {
            assert_eq!(read(pairs, url).unwrap_err().code, 516, "{pairs:?}");
        }
    }

    #[test]
    fn only_who_knows_the_secret_is_millrace_itself() {
        let said = headers(&[("x-millrace-own", "abc"), ("user-agent", "millrace/0.1.0")]);
        assert!(is_own(&said, Some("abc")));
        assert!(!is_own(&said, Some("abd")) && !is_own(&said, Some("abcd")) && !is_own(&said, Some("")));
        assert!(!is_own(&said, None), "an engine without a secret has no owner");
        assert!(!is_own(&headers(&[("user-agent", "millrace/0.1.0")]), Some("abc")));
    }

    #[test]
    fn a_wrong_password_is_code_516() {
        let credentials = Credentials { user: "default".into(), password: "x".into(), basic: false };
        assert!(credentials.check(None).is_ok());
        assert!(credentials.check(Some("x")).is_ok());
        assert_eq!(credentials.check(Some("y")).unwrap_err().code, 516);
        assert_eq!(credentials.check(Some("")).unwrap_err().code, 516);
        let stranger = Credentials { user: "root".into(), ..credentials };
        assert_eq!(stranger.check(None).unwrap_err().code, 516);
    }
}
