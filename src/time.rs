//! Time as spans carry it, and the one place that asks the machine what time it is.

use crate::numbers::saturating_i64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

/// Nanoseconds since 1970-01-01T00:00:00Z. Fits ClickHouse's `DateTime64(9)`: up to 2262-04-11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(i64);

impl UnixNanos {
    /// Takes a count of nanoseconds; `None` when it lies outside what `DateTime64(9)` holds.
    #[must_use]
    pub fn new(nanos: u64) -> Option<Self> {
        i64::try_from(nanos).ok().map(Self)
    }

    /// Takes what [`nanos`](Self::nanos) returned; `None` when it is negative.
    #[must_use]
    pub fn from_i64(nanos: i64) -> Option<Self> {
        (nanos >= 0).then_some(Self(nanos))
    }

    /// Takes the time at which a span began: the table's key has its hour as a `DateTime`, which ends in February 2106, and
    /// what is later would not be found by its time.
    #[must_use]
    pub fn of_start(nanos: u64) -> Option<Self> {
        Self::new(nanos).filter(|time| time.seconds().is_some())
    }

    /// Whole seconds since the epoch; `None` when it is later than ClickHouse's `DateTime` holds.
    #[must_use]
    pub fn seconds(self) -> Option<u32> {
        u32::try_from(self.0 / 1_000_000_000).ok()
    }

    /// Nanoseconds since the epoch, never negative.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// Whole days since 1970-01-01, in UTC.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0 / NANOS_PER_DAY
    }

    /// The time from `earlier` to `self` in nanoseconds, 0 when `earlier` is later.
    #[must_use]
    pub fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0).max(0).cast_unsigned()
    }

    /// `self` moved later, at most to the end of the range.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(saturating_i64(by.as_nanos())))
    }

    /// `self` moved earlier, at most to 1970.
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_i64(by.as_nanos())).max(0))
    }
}

/// Durations as people write them: `30d`, `1h 30m`, `200ms`. What is written reads back the same, and has no unit longer than a day: a month
/// of 30.44 days would make `30d` and `60d` of a configuration something that nobody has written.
pub mod spelt {
    use humantime_serde::re::humantime;
    use serde::Serializer;
    use std::fmt;
    use std::time::Duration;

    pub use humantime_serde::deserialize;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Shows a duration so.
    #[derive(Debug, Clone, Copy)]
    pub struct Spelt(pub Duration);

    impl fmt::Display for Spelt {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let days = self.0.as_secs() / DAY.as_secs();
            let rest = Duration::new(self.0.as_secs() % DAY.as_secs(), self.0.subsec_nanos());
            match days {
                0 => return humantime::format_duration(rest).fmt(f),
                1 => f.write_str("1day")?,
                _ => write!(f, "{days}days")?,
            }
            if rest.is_zero() { Ok(()) } else { write!(f, " {}", humantime::format_duration(rest)) }
        }
    }

    /// Writes it into a configuration.
    ///
    /// # Errors
    /// When the serializer takes no text.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Spelt(*duration))
    }
}

/// Where the time comes from. Handed in, so that a test can say what time it is.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Always this time.
    Fixed(UnixNanos),
}

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> UnixNanos {
        match self {
            Self::Fixed(at) => *at,
            Self::System => system_now(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
fn system_now() -> UnixNanos {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since_epoch) => UnixNanos(saturating_i64(since_epoch.as_nanos())),
        Err(_before_1970) => UnixNanos(0),
    }
}

#[cfg(test)]
mod tests {
    use super::spelt::Spelt;
    use humantime_serde::re::humantime::parse_duration;

    #[test]
    fn a_duration_is_written_as_it_was_and_reads_back_the_same() {
        for text in
            ["3650days", "366days", "30days", "1day 12h", "1day", "23h 59m 59s", "1h 30m", "60days 1ms", "200ms", "0s"]
        {
            let shown = Spelt(parse_duration(text).unwrap()).to_string();
            assert_eq!(shown, text);
        }
        for (written, shown) in [("10y", "3652days 12h"), ("1month", "30days 10h 33m 36s"), ("90m", "1h 30m")] {
            let duration = parse_duration(written).unwrap();
            assert_eq!(Spelt(duration).to_string(), shown);
            assert_eq!(parse_duration(shown).unwrap(), duration);
        }
    }
}
