//! The secret of a request: `Authorization: Bearer TOKEN`, or Basic with the token as password, whoever the user.
//!
//! Sources: RFC 6750, section 2.1; RFC 7617.

use super::Denied;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest `Authorization`. A token has 52 bytes.
const BYTES_MAX: usize = 512;

/// Calls `with` with the secret of a request; it is nowhere else afterwards.
pub(super) fn with_secret<T>(headers: &HeaderMap, with: impl FnOnce(&[u8]) -> T) -> Result<T, Denied> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next().ok_or(Denied::Missing)?.as_bytes();
    // which of two would a proxy before us have checked?
    if all.next().is_some() || value.len() > BYTES_MAX {
        return Err(Denied::Malformed);
    }
    let space = value.iter().position(|byte| *byte == b' ').ok_or(Denied::Malformed)?;
    let (scheme, rest) = value.split_at(space);
    let given = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return Ok(with(given));
    }
    if !scheme.eq_ignore_ascii_case(b"Basic") {
        return Err(Denied::Malformed);
    }
    let mut decoded = [0; BYTES_MAX];
    let length = STANDARD.decode_slice(given, &mut decoded).map_err(|_| Denied::Malformed)?;
    let both = decoded.get(..length).ok_or(Denied::Malformed)?;
    let colon = both.iter().position(|byte| *byte == b':').ok_or(Denied::Malformed)?;
    Ok(with(both.get(colon + 1..).ok_or(Denied::Malformed)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(values: &[&str]) -> Result<String, Denied> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        with_secret(&headers, |secret| String::from_utf8(secret.to_vec()).unwrap())
    }

    #[test]
    fn bearer_and_basic_bring_a_secret_and_nothing_else_does() {
        assert_eq!(secret(&["Bearer abc"]).as_deref(), Ok("abc"));
        assert_eq!(secret(&["bearer  abc "]).as_deref(), Ok("abc"));
        assert_eq!(secret(&["Basic bmFtZTphOmI="]).as_deref(), Ok("a:b"), "a colon in the password");
        assert_eq!(secret(&["BASIC OmFiYw=="]).as_deref(), Ok("abc"), "no user");
        assert_eq!(secret(&[]), Err(Denied::Missing));
        let long = format!("Bearer {}", "x".repeat(BYTES_MAX));
        for wrong in ["abc", "Digest abc", "Basic abc", "Basic YWJj", "Basic ====", "", long.as_str()] {
            assert_eq!(secret(&[wrong]), Err(Denied::Malformed), "{wrong}");
        }
        assert_eq!(secret(&["Bearer a", "Bearer b"]), Err(Denied::Malformed), "which of the two?");
    }
}
