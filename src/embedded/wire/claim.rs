//! What was read of a statement, held against the engine's own parse before the statement runs.

use super::statement::{Effect, Refusal, Statement};

/// What was read of a statement, for the engine to say the same: two readers that differ are how a guard is passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// What the engine is to look at.
    pub(crate) text: Vec<u8>,
    only_reads: bool,
    sets_policy: bool,
    statements: u32,
}

impl Claim {
    /// Of `text`, which `statement` was read from.
    pub(crate) fn new(text: &[u8], statement: &Statement) -> Self {
        let until = |end: usize| text.get(..end).expect("a statement ends within its text").to_vec();
        match statement {
            Statement::Rows(rows) => {
                let (only_reads, sets_policy) = (!rows.kills, rows.sets_policy);
                Self { text: until(rows.end), only_reads, sets_policy, statements: 1 }
            }
            Statement::Command(command) => {
                let only_reads = command.effect == Effect::Nothing;
                let sets_policy = command.sets_policy;
                Self { text: until(command.end), only_reads, sets_policy, statements: command.arms }
            }
            Statement::Insert(insert) => {
                let mut text = until(insert.head_end);
                text.extend_from_slice(format!("\nFORMAT {}", insert.format).as_bytes());
                Self { text, only_reads: false, sets_policy: false, statements: 1 }
            }
        }
    }

    /// Refuses a statement that the engine reads otherwise. One that it cannot parse passes: it will say why.
    pub(crate) fn check(&self, analysis: &Analysis) -> Result<(), Refusal> {
        let class = analysis.class;
        let reads = class == QueryClass::ReadOnly || self.sets_policy && class == QueryClass::Control;
        match analysis.statements {
            0 => Ok(()),
            statements if statements != self.statements => Err(Refusal::Several),
            _ if self.only_reads && !reads => Err(Refusal::NotOnlyReading),
            _ => Ok(()),
        }
    }
}

/// What the engine's parser says of a text, without running it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// How many statements there are; those side by side (`PARALLEL WITH`) each count. 0 if the text does not parse.
    pub(crate) statements: u32,
    /// Of the statement that may do the most.
    pub(crate) class: QueryClass,
    /// Further marks of the engine.
    pub(crate) flags: u32,
}

/// What statements do to what outlives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryClass {
    ReadOnly,
    /// Databases, or what lies beside them.
    Mutating,
    /// Sessions, the server, files.
    Control,
    /// It does not parse, or the engine has no class for it.
    Unknown,
}
