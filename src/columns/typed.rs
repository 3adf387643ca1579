//! The typed columns: what is known of a span beyond the standard columns, under one name whoever sent it.
//!
//! ```text
//! attributes, events --a convention's rules--> Typed --finish--> TypedColumns
//! ```
//!
//! Most spans have hardly any of it, so these columns lag: a builder gets its rows only when one has a value, and the rows
//! behind the last such row are filled up when a block is made. A column that no row of a block has is not in the block.

use super::build::fixed::Fixed32;
use super::build::lists::Lists;
use super::build::map::{Map, MapMark};
use super::build::nullable::Nullable;
use super::build::selection::Selection;
use super::build::strings::{Strings, StringsIter};
use crate::genai::cost::Usd;
use crate::time::UnixNanos;
use std::borrow::Cow;

/// Longest session that pairs take from their trace's root, in bytes. A longer one is none to them.
pub const SESSION_HANDED_ON_BYTES_MAX: usize = 1_024;

/// Bytes of text, UTF-8.
pub type Text<'a> = Cow<'a, [u8]>;

macro_rules! slots {
    ($(#[$doc:meta])* $name:ident, $count:ident: $($(#[$slot_doc:meta])* $slot:ident),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$slot_doc])* $slot),* }

        const $count: usize = [$($name::$slot),*].len();
    };
}

slots! {
    /// The columns that hold one text; empty when it is not known.
    Texts, TEXTS:
    /// The session, as whoever sent the span names it.
    SessionId,
    /// `gen_ai.conversation.id`
    ConversationId,
    /// The end user.
    UserId,
    /// What was done: `chat`, `embeddings`, `execute_tool`, `invoke_agent`, ...
    Operation,
    /// Whose model it is, in the conventions' words.
    Provider,
    /// The model asked for.
    RequestModel,
    /// The model that answered.
    ResponseModel,
    /// The id the provider gave the response.
    ResponseId,
    /// Where the cost comes from: `caller`, `response`, `attributes`.
    CostSource,
    /// The tool that ran.
    ToolName,
    /// The id of the call that asked for the tool.
    ToolCallId,
    /// The agent.
    AgentName,
    /// The workflow.
    WorkflowName,
    /// Class of the failure.
    ErrorType,
    /// What was said about the failure.
    ErrorMessage,
    /// The messages sent, as JSON in the conventions' parts form.
    InputMessages,
    /// The messages received.
    OutputMessages,
    /// The tools offered.
    ToolDefinitions,
    /// The text of the system instructions.
    SystemPrompt,
    /// Where start and end come from: given, derived, ingest, unknown.
    TimingQuality,
}

slots! {
    /// The columns that hold a count, or nothing when it is not known.
    Counts, COUNTS:
    /// Tokens of the input, cached ones included.
    InputTokens,
    /// Tokens of the output, reasoning included.
    OutputTokens,
    /// Of the input, read from a cache.
    CacheReadTokens,
    /// Of the input, written to a cache.
    CacheWriteTokens,
    /// Of the output, spent on reasoning.
    ReasoningTokens,
    /// Of the input, audio.
    InputAudioTokens,
    /// Of the output, audio.
    OutputAudioTokens,
    /// Nanoseconds from start to the first token.
    TimeToFirstToken,
}

slots! {
    /// The columns that hold US dollars, or nothing when it is not known.
    Costs, COSTS:
    /// Of the whole call.
    Total,
    /// Of its input.
    Input,
    /// Of its output.
    Output,
}

/// What the typed columns get for one span.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Typed<'a> {
    texts: [Text<'a>; TEXTS],
    counts: [Option<u64>; COUNTS],
    costs: [Option<Usd>; COSTS],
    /// Why the model stopped, one a choice, as sent.
    pub finish_reasons: Vec<Text<'a>>,
    /// The same in the conventions' words.
    pub finish_reasons_normalized: Vec<Text<'a>>,
    /// Whether the response was streamed.
    pub streaming: Option<bool>,
    /// Parameters of the request by the conventions' names without `gen_ai.request.`.
    pub request_parameters: Vec<(Text<'a>, Text<'a>)>,
    /// Content attributes that a typed column holds byte for byte, so that they are not kept twice.
    pub held_by_columns: Vec<&'static [u8]>,
}

impl<'a> Typed<'a> {
    /// Sets a text.
    pub fn set_text(&mut self, column: Texts, text: impl Into<Text<'a>>) {
        if let Some(slot) = self.texts.get_mut(column as usize) {
            *slot = text.into();
        }
    }

    /// A text; empty when it is not known.
    #[must_use]
    pub fn text(&self, column: Texts) -> &[u8] {
        self.texts.get(column as usize).map_or(&[], |text| text)
    }

    pub(super) fn all_texts(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.iter().map(|text| &**text)
    }

    /// Sets a count.
    pub fn set_count(&mut self, column: Counts, count: Option<u64>) {
        if let Some(slot) = self.counts.get_mut(column as usize) {
            *slot = count;
        }
    }

    /// A count.
    #[must_use]
    pub fn count(&self, column: Counts) -> Option<u64> {
        self.counts.get(column as usize).copied().flatten()
    }

    /// Sets an amount of money.
    pub fn set_cost(&mut self, column: Costs, cost: Option<Usd>) {
        if let Some(slot) = self.costs.get_mut(column as usize) {
            *slot = cost;
        }
    }

    /// An amount of money.
    #[must_use]
    pub fn cost(&self, column: Costs) -> Option<Usd> {
        self.costs.get(column as usize).copied().flatten()
    }
}

/// What an attribute's key says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it stays where it is and no typed column comes of it.
    Ordinary,
    /// A typed column may come of it.
    Typed,
    /// It is content (messages, prompts, what a tool got and gave): kept apart, so that filters never read it.
    Content,
}

/// Attributes in the order they came, values as their columns' texts: numbers in decimal, lists and maps as JSON.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entries<'a> {
    keys: &'a [u8],
    values: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(super) fn since(map: &'a Map, mark: MapMark) -> Self {
        let (keys, values) = map.since(mark);
        Self { keys, values }
    }

    /// Takes the first `count` entries off the front.
    pub(super) fn split_front(&mut self, count: usize) -> Self {
        let front = *self;
        let (mut keys, mut values) = (StringsIter(self.keys), StringsIter(self.values));
        for _ in 0..count {
            keys.next();
            values.next();
        }
        *self = Self { keys: keys.0, values: values.0 };
        let taken = |all: &'a [u8], rest: &[u8]| all.get(..all.len() - rest.len()).unwrap_or_default();
        Self { keys: taken(front.keys, keys.0), values: taken(front.values, values.0) }
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes_len(self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Bytes that the entries with these keys take, and no more than that.
    pub(super) fn bytes_of(self, keys: &[&[u8]]) -> usize {
        if keys.is_empty() {
            return 0;
        }
        // two bytes for their lengths are the least that they take
        self.iter().filter(|(key, _)| keys.contains(key)).map(|(key, value)| 2 + key.len() + value.len()).sum()
    }

    /// Key and value of each.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        StringsIter(self.keys).zip(StringsIter(self.values))
    }
}

/// An event of the span under way.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// When it was.
    pub at: UnixNanos,
    /// Its name.
    pub name: &'a [u8],
    /// Its attributes.
    pub attributes: Entries<'a>,
}

/// What a convention's rules see of a span.
#[derive(Debug, Clone)]
pub struct SpanView<'a> {
    /// Attributes that are not content.
    pub attributes: Entries<'a>,
    /// Attributes that are.
    pub content: Entries<'a>,
    /// Events, in order.
    pub events: Vec<Event<'a>>,
    /// When it began.
    pub start: UnixNanos,
    /// Its name.
    pub name: &'a [u8],
    /// Name of its instrumentation scope.
    pub scope_name: &'a [u8],
    /// Whether its status is Error.
    pub is_error: bool,
    /// Its status' description.
    pub status_message: &'a [u8],
}

impl<'a> SpanView<'a> {
    /// All attributes: first those that are not content.
    pub fn all(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        self.attributes.iter().chain(self.content.iter())
    }
}

/// The rules that read a span's attributes, in whatever convention they are.
pub type Normalise = for<'a> fn(&SpanView<'a>) -> Typed<'a>;

/// Whether a chat-completion found its place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JoinState {
    /// No chat-completion.
    #[default]
    Ordinary,
    /// In a trace of its own.
    Own,
    /// Its sender named the parent.
    Given,
    /// It is a child of the trace's root.
    Joined,
    /// The trace's root is not known yet.
    Waiting,
}

impl JoinState {
    /// The table's literal.
    #[must_use]
    pub fn literal(self) -> &'static str {
        match self {
            Self::Ordinary => "",
            Self::Own => "own",
            Self::Given => "given",
            Self::Joined => "joined",
            Self::Waiting => "waiting",
        }
    }
}

/// The typed columns of a group. Each may have fewer rows than the group: the missing ones have nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct TypedColumns {
    texts: [Strings; TEXTS],
    counts: [Nullable<8>; COUNTS],
    costs: [Nullable<8>; COSTS],
    pub(super) finish_reasons: Lists,
    pub(super) finish_reasons_normalized: Lists,
    pub(super) streaming: Nullable<1>,
    pub(super) request_parameters: Map,
    pub(super) content: Map,
    pub(super) join_state: Strings,
    pub(super) flags: Fixed32,
    pub(super) scope_attributes: Map,
    pub(super) resource_schema_url: Strings,
    pub(super) scope_schema_url: Strings,
}

impl TypedColumns {
    pub(super) fn text(&self, column: Texts) -> &Strings {
        static NONE: Strings = Strings::new();
        self.texts.get(column as usize).unwrap_or(&NONE)
    }

    pub(super) fn count(&self, column: Counts) -> &Nullable<8> {
        static NONE: Nullable<8> = Nullable::new();
        self.counts.get(column as usize).unwrap_or(&NONE)
    }

    pub(super) fn cost(&self, column: Costs) -> &Nullable<8> {
        static NONE: Nullable<8> = Nullable::new();
        self.costs.get(column as usize).unwrap_or(&NONE)
    }

    /// Adds what is known of the row at position `row`.
    pub(super) fn push(&mut self, row: usize, typed: &Typed<'_>) {
        for (column, text) in self.texts.iter_mut().zip(&typed.texts) {
            if !text.is_empty() {
                push_text(column, row, text);
            }
        }
        for (column, count) in self.counts.iter_mut().zip(&typed.counts) {
            if let Some(count) = count {
                column.pad_to(row);
                column.push(count.to_le_bytes());
            }
        }
        for (column, cost) in self.costs.iter_mut().zip(&typed.costs) {
            if let Some(cost) = cost {
                column.pad_to(row);
                column.push(cost.pico().to_le_bytes());
            }
        }
        for (column, reasons) in [
            (&mut self.finish_reasons, &typed.finish_reasons),
            (&mut self.finish_reasons_normalized, &typed.finish_reasons_normalized),
        ] {
            if !reasons.is_empty() {
                column.pad_to(row);
                column.push(reasons.iter().map(|reason| &**reason));
            }
        }
        if let Some(streaming) = typed.streaming {
            self.streaming.pad_to(row);
            self.streaming.push([u8::from(streaming)]);
        }
        if !typed.request_parameters.is_empty() {
            self.request_parameters.pad_to(row, self.request_parameters.mark());
            for (key, value) in &typed.request_parameters {
                self.request_parameters.push(key, value);
            }
            self.request_parameters.close_row();
        }
    }

    /// Makes room for `more` rows like the `rows` there are.
    pub(super) fn reserve_alike(&mut self, rows: usize, more: usize) {
        self.texts.iter_mut().filter(|column| column.len() > 0).for_each(|column| column.reserve_alike(rows, more));
        self.content.reserve_alike(rows, more);
    }

    /// All columns that have any rows get as many as these.
    fn pad_to(&mut self, rows: usize) {
        let texts = [&mut self.join_state, &mut self.resource_schema_url, &mut self.scope_schema_url].into_iter();
        texts.chain(&mut self.texts).filter(|column| column.len() > 0).for_each(|column| column.pad_to(rows));
        let numbers = self.counts.iter_mut().chain(&mut self.costs);
        numbers.filter(|column| !column.nulls().is_empty()).for_each(|column| column.pad_to(rows));
        for column in [&mut self.finish_reasons, &mut self.finish_reasons_normalized] {
            if !column.ends().is_empty() {
                column.pad_to(rows);
            }
        }
        if !self.streaming.nulls().is_empty() {
            self.streaming.pad_to(rows);
        }
        if !self.flags.bytes().is_empty() {
            self.flags.pad_to(rows);
        }
        for column in [&mut self.request_parameters, &mut self.content, &mut self.scope_attributes] {
            if !column.ends().is_empty() {
                column.pad_to(rows, column.mark());
            }
        }
    }

    /// The kept ones of `rows` rows.
    pub(super) fn selected(&self, rows: usize, kept: &Selection) -> Self {
        let mut all = self.clone();
        all.pad_to(rows);
        let text = |column: &Strings| if column.len() > 0 { column.selected(kept) } else { Strings::default() };
        let map = |column: &Map| if column.ends().is_empty() { Map::default() } else { column.selected(kept) };
        let lists = |column: &Lists| if column.ends().is_empty() { Lists::default() } else { column.selected(kept) };
        Self {
            texts: all.texts.each_ref().map(text),
            counts: all.counts.each_ref().map(|column| column.selected(kept)),
            costs: all.costs.each_ref().map(|column| column.selected(kept)),
            finish_reasons: lists(&all.finish_reasons),
            finish_reasons_normalized: lists(&all.finish_reasons_normalized),
            streaming: all.streaming.selected(kept),
            request_parameters: map(&all.request_parameters),
            content: map(&all.content),
            join_state: text(&all.join_state),
            flags: all.flags.selected(kept),
            scope_attributes: map(&all.scope_attributes),
            resource_schema_url: text(&all.resource_schema_url),
            scope_schema_url: text(&all.scope_schema_url),
        }
    }
}

pub(super) fn push_text(column: &mut Strings, row: usize, text: &[u8]) {
    column.pad_to(row);
    column.push(text);
}
