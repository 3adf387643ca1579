//! How much of each row is answered: the parameter `mode`.

use super::expressions;
use super::page::Checks;

/// How much of a row is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No content, no attributes.
    Summary,
    /// The beginning of input and output. Source: NeMo Intake 0.3.0.
    Preview,
    /// Everything.
    Detailed,
}

impl Mode {
    /// The parameter, if it is there.
    pub(crate) fn read(checks: &mut Checks<'_>) -> Option<Self> {
        checks.word("mode", "literal_error", &["summary", "preview", "detailed"]).map(|word| match word {
            "summary" => Self::Summary,
            "preview" => Self::Preview,
            _ => Self::Detailed,
        })
    }

    /// An expression of content as this mode shows it.
    pub(crate) fn content(self, expression: &str) -> String {
        match self {
            Self::Summary => "''".to_owned(),
            Self::Preview => expressions::preview(expression),
            Self::Detailed => expression.to_owned(),
        }
    }
}
