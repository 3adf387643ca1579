//! Times as answers have them: RFC 3339 in UTC, with microseconds.

use jiff::Timestamp;

/// The time of so many nanoseconds since 1970.
pub(super) fn shown(nanos: i64) -> String {
    let at = Timestamp::from_nanosecond(nanos.into()).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Nanoseconds as milliseconds.
pub(super) fn milliseconds(nanos: u64) -> f64 {
    std::time::Duration::from_nanos(nanos).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_microseconds_and_an_offset() {
        assert_eq!(shown(1_795_653_874_883_851_999), "2026-11-26T00:44:34.883851Z");
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
        assert!((milliseconds(5_500_000_000) - 5_500.0).abs() < 1e-9);
    }
}
