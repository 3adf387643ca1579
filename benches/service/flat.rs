//! Whether a figure that is looked at again and again stays where it is.
//!
//! ```text
//! looks:  | first third: the caches fill | second third: its median m | last third: its median n |
//! grown:    n > m * factor + slack
//! ```

use std::fmt::{self, Display, Formatter};

/// One figure, as it was at each look.
pub(crate) struct Series {
    name: &'static str,
    factor: f64,
    slack: f64,
    looks: Vec<f64>,
}

impl Series {
    /// `slack` is in the figure's own unit.
    pub(crate) fn new(name: &'static str, factor: f64, slack: f64) -> Self {
        Self { name, factor, slack, looks: Vec::new() }
    }

    /// Takes a look, and gives it back to be printed.
    pub(crate) fn add(&mut self, look: f64) -> f64 {
        self.looks.push(look);
        look
    }

    /// Whether the last third is above what the second third allows.
    pub(crate) fn has_grown(&self) -> bool {
        let (then, now) = self.medians();
        now > then * self.factor + self.slack
    }

    fn medians(&self) -> (f64, f64) {
        let third = self.looks.len() / 3;
        let (_, rest) = self.looks.split_at(third);
        let (then, now) = rest.split_at(rest.len() / 2);
        (median(then), median(now))
    }
}

impl Display for Series {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (then, now) = self.medians();
        write!(
            formatter,
            "{}: {then:.0} in the second third, {now:.0} in the last (at most {:.0})",
            self.name,
            then * self.factor + self.slack
        )
    }
}

fn median(looks: &[f64]) -> f64 {
    let mut sorted = looks.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
