//! The typed columns: what is known of a span beyond the standard columns, under one name for all senders.
//!
//! ```text
//! attributes, events --SpanView--> the caller makes a Call of them --CallSink--> TypedColumns
//! ```
//!
//! Most spans have hardly any of it, so these columns lag: a builder gets its rows only when one has a value, and the rows
//! after the last such row are filled up when a block is made. A column that no row of a block has is not in the block.

use super::build::fixed::Fixed32;
use super::build::lists::Lists;
use super::build::map::{Map, MapMark, MapRow};
use super::build::nullable::Nullable;
use super::build::selection::Selection;
use super::build::strings::{Strings, StringsIter};
use super::row_limit::{RowTooLarge, fitting, text_bytes};
use crate::genai::call::Call;
use crate::genai::cost::{CostSource, Usd};
use crate::genai::messages::preview;
use crate::genai::plausible::Tally;
use crate::time::UnixNanos;

/// Longest session that captured calls take from their trace's root, and longest name of any kind that calls take from spans above
/// them, in bytes. A longer one counts as none.
pub const HANDED_ON_BYTES_MAX: usize = 1_024;

macro_rules! columns_of_call {
    ($(#[$doc:meta])* $name:ident, $count:ident, $values:ident $(<$life:lifetime>)? -> $value:ty: |$call:ident| $($column:ident = $from:expr),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($column),* }

        const $count: usize = [$($name::$column),*].len();

        /// What a call has for each of them.
        pub(super) fn $values $(<$life>)? ($call: &$($life)? Call<'_>) -> [$value; $count] {
            [$($from),*]
        }
    };
}

columns_of_call! {
    /// The columns that hold one text; empty when it is not known.
    Texts, TEXTS, texts_of<'c> -> &'c str: |call|
    SessionId = &call.session_id,
    ConversationId = &call.conversation_id,
    UserId = &call.user_id,
    Operation = &call.operation,
    Provider = &call.provider,
    RequestModel = &call.request_model,
    ResponseModel = &call.response_model,
    ResponseId = &call.response_id,
    CostSource = call.cost.source.map_or("", CostSource::literal),
    ToolName = &call.tool_name,
    ToolCallId = &call.tool_call_id,
    AgentName = &call.agent_name,
    WorkflowName = &call.workflow_name,
    ErrorType = &call.error_type,
    ErrorMessage = &call.error_message,
    InputMessages = &call.input_messages,
    OutputMessages = &call.output_messages,
    ToolDefinitions = &call.tool_definitions,
    SystemPrompt = &call.system_prompt,
    TimingQuality = &call.timing_quality,
    PriceId = &call.price_id,
    PriceBook = &call.price_book,
    ServiceTier = &call.service_tier,
}

columns_of_call! {
    /// The columns that hold a count, or nothing when it is not known.
    Counts, COUNTS, counts_of -> Option<u64>: |call|
    InputTokens = call.usage.input,
    OutputTokens = call.usage.output,
    CacheReadTokens = call.usage.cache_read,
    CacheWriteTokens = call.usage.cache_write,
    ReasoningTokens = call.usage.reasoning,
    InputAudioTokens = call.usage.audio.input,
    OutputAudioTokens = call.usage.audio.output,
    TimeToFirstToken = call.time_to_first_token,
    CacheWrite1hTokens = call.usage.cache_write_1h,
}

columns_of_call! {
    /// The columns that hold US dollars, or nothing when it is not known.
    Costs, COSTS, costs_of -> Option<Usd>: |call|
    Total = call.cost.total,
    Input = call.cost.input,
    Output = call.cost.output,
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

    /// The entries of a row that is kept to be repeated.
    #[must_use]
    pub fn of(row: &'a MapRow) -> Self {
        let (keys, values) = row.parts();
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
        let taken = |all: &'a [u8], rest: &[u8]| all.split_at(all.len() - rest.len()).0;
        Self { keys: taken(front.keys, keys.0), values: taken(front.values, values.0) }
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes_len(self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Bytes that the entries with these keys take, and no more than that.
    fn bytes_of(self, keys: &[&str]) -> usize {
        if keys.is_empty() {
            return 0;
        }
        let is_one = |key: &[u8]| keys.iter().any(|known| known.as_bytes() == key);
        // two bytes for their lengths are the least that they take
        self.iter().filter(|(key, _)| is_one(key)).map(|(key, value)| 2 + key.len() + value.len()).sum()
    }

    /// The first value of that key that is not empty.
    #[must_use]
    pub fn first_filled(self, key: &[u8]) -> Option<&'a str> {
        self.iter().find(|(name, value)| *name == key && !value.is_empty()).map(|(_, value)| text_of(value))
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
    /// How long it took, in nanoseconds; 0 if that is not known.
    pub duration_nanos: u64,
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

/// The text of a key, name or value: it was checked when it was decoded, and a column keeps its bytes.
#[must_use]
pub fn text_of(bytes: &[u8]) -> &str {
    /// From this length on SIMD pays.
    const LONG: usize = 64;
    let text = if bytes.len() < LONG { str::from_utf8(bytes).ok() } else { simdutf8::basic::from_utf8(bytes).ok() };
    let Some(text) = text else {
        debug_assert!(false, "a row group gets text");
        return "";
    };
    text
}

/// Where the call of the span under way goes.
#[derive(Debug)]
pub struct CallSink<'g> {
    pub(super) columns: &'g mut TypedColumns,
    pub(super) row: usize,
    /// What the row takes without the call.
    pub(super) row_bytes: usize,
    pub(super) repeated: usize,
    /// The content as it was sent.
    pub(super) content: Entries<'g>,
}

/// A call that fills the typed columns of the span under way, which is to be finished next.
#[derive(Debug)]
#[must_use]
pub struct Filled {
    pub(super) row_bytes: usize,
    pub(super) repeated: usize,
    pub(super) held_attributes: Vec<&'static str>,
}

impl Filled {
    /// The same for a row that takes so many bytes more.
    ///
    /// # Errors
    /// If no block takes a row of that size.
    pub fn with_more(self, bytes: usize) -> Result<Self, RowTooLarge> {
        Ok(Self { row_bytes: fitting(self.row_bytes.saturating_add(bytes))?, ..self })
    }
}

impl CallSink<'_> {
    /// Fills the typed columns.
    ///
    /// # Errors
    /// If no block takes a row of that size. Nothing is filled then.
    pub fn fill(self, call: &Call<'_>) -> Result<Filled, RowTooLarge> {
        // what a typed column holds is not kept a second time
        let kept = self.row_bytes.saturating_sub(self.content.bytes_of(&call.held_attributes));
        let previews = [preview::of_input(&call.input_messages), preview::of_output(&call.output_messages)];
        let preview_bytes = previews.iter().map(|text| text_bytes(text.as_bytes())).sum::<usize>();
        let row_bytes = fitting(kept + bytes_of(call) + preview_bytes)?;
        self.columns.push(self.row, call);
        self.columns.push_previews(self.row, &previews);
        self.columns.implausible.count(call.implausible);
        Ok(Filled { row_bytes, repeated: self.repeated, held_attributes: call.held_attributes.clone() })
    }
}

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
    /// No chat-completion: the row was made of a log record that reports a call, a tool or a turn.
    Event,
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
            Self::Event => "event",
        }
    }
}

/// What the typed columns take of a row.
fn bytes_of(call: &Call<'_>) -> usize {
    let bytes = |text: &str| text_bytes(text.as_bytes());
    let reasons = call.finish_reasons.iter().map(|reason| &**reason).chain(call.finish_reasons_normalized());
    let parameters = call.request_parameters.iter().map(|(key, value)| 2 + bytes(key) + bytes(value));
    texts_of(call).into_iter().map(bytes).sum::<usize>()
        + reasons.map(|reason| 1 + bytes(reason)).sum::<usize>()
        + parameters.sum::<usize>()
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
    pub(super) join_state: Strings,
    pub(super) flags: Fixed32,
    pub(super) scope_attributes: Map,
    pub(super) resource_schema_url: Strings,
    pub(super) scope_schema_url: Strings,
    pub(super) input_preview: Strings,
    pub(super) output_preview: Strings,
    /// How many calls had something that cannot be true, by rule.
    pub(super) implausible: Tally,
}

impl TypedColumns {
    pub(super) fn text(&self, column: Texts) -> &Strings {
        self.texts.get(column as usize).expect("there is a column for each")
    }

    pub(super) fn count(&self, column: Counts) -> &Nullable<8> {
        self.counts.get(column as usize).expect("there is a column for each")
    }

    pub(super) fn cost(&self, column: Costs) -> &Nullable<8> {
        self.costs.get(column as usize).expect("there is a column for each")
    }

    /// Adds the call of the row at position `row`.
    fn push(&mut self, row: usize, call: &Call<'_>) {
        for (column, text) in self.texts.iter_mut().zip(texts_of(call)) {
            if !text.is_empty() {
                push_text(column, row, text.as_bytes());
            }
        }
        for (column, count) in self.counts.iter_mut().zip(counts_of(call)) {
            if let Some(count) = count {
                column.pad_to(row);
                column.push(count.to_le_bytes());
            }
        }
        for (column, cost) in self.costs.iter_mut().zip(costs_of(call)) {
            if let Some(cost) = cost {
                column.pad_to(row);
                column.push(cost.pico().to_le_bytes());
            }
        }
        if !call.finish_reasons.is_empty() {
            self.finish_reasons.pad_to(row);
            self.finish_reasons.push(call.finish_reasons.iter().map(|reason| reason.as_bytes()));
            self.finish_reasons_normalized.pad_to(row);
            self.finish_reasons_normalized.push(call.finish_reasons_normalized().map(str::as_bytes));
        }
        if let Some(streaming) = call.streaming {
            self.streaming.pad_to(row);
            self.streaming.push([u8::from(streaming)]);
        }
        if !call.request_parameters.is_empty() {
            self.request_parameters.pad_to(row, self.request_parameters.mark());
            for (key, value) in &call.request_parameters {
                self.request_parameters.push(key.as_bytes(), value.as_bytes());
            }
            self.request_parameters.close_row();
        }
    }

    /// Takes content out of all rows.
    pub(super) fn drop_content(&mut self) {
        let texts = [Texts::InputMessages, Texts::OutputMessages, Texts::ToolDefinitions, Texts::SystemPrompt];
        for text in texts {
            *self.texts.get_mut(text as usize).expect("there is a column for each") = Strings::default();
        }
        (self.input_preview, self.output_preview) = (Strings::default(), Strings::default());
    }

    fn push_previews(&mut self, row: usize, [input, output]: &[String; 2]) {
        for (column, text) in [(&mut self.input_preview, input), (&mut self.output_preview, output)] {
            if !text.is_empty() {
                push_text(column, row, text.as_bytes());
            }
        }
    }

    /// Reserves room for `more` rows like the `rows` there are.
    pub(super) fn reserve_alike(&mut self, rows: usize, more: usize) {
        self.texts.iter_mut().filter(|column| column.len() > 0).for_each(|column| column.reserve_alike(rows, more));
    }

    /// All columns that have any rows get as many as these.
    fn pad_to(&mut self, rows: usize) {
        let texts = [
            &mut self.join_state,
            &mut self.resource_schema_url,
            &mut self.scope_schema_url,
            &mut self.input_preview,
            &mut self.output_preview,
        ];
        texts
            .into_iter()
            .chain(&mut self.texts)
            .filter(|column| column.len() > 0)
            .for_each(|column| column.pad_to(rows));
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
    }

    /// Forgets all rows and keeps the room for them; returns how many bytes that is.
    pub(super) fn clear(&mut self) -> usize {
        let Self { texts, counts, costs, finish_reasons, finish_reasons_normalized, streaming, .. } = &mut *self;
        let of_call = texts.iter_mut().map(Strings::clear).sum::<usize>()
            + counts.iter_mut().chain(costs).map(Nullable::clear).sum::<usize>()
            + finish_reasons.clear()
            + finish_reasons_normalized.clear()
            + streaming.clear();
        let Self {
            texts: _,
            counts: _,
            costs: _,
            finish_reasons: _,
            finish_reasons_normalized: _,
            streaming: _,
            request_parameters,
            join_state,
            flags,
            scope_attributes,
            resource_schema_url,
            scope_schema_url,
            input_preview,
            output_preview,
            implausible,
        } = self;
        *implausible = Tally::default();
        of_call
            + request_parameters.clear()
            + join_state.clear()
            + flags.clear()
            + scope_attributes.clear()
            + resource_schema_url.clear()
            + scope_schema_url.clear()
            + input_preview.clear()
            + output_preview.clear()
    }

    /// The kept ones of `rows` rows.
    pub(super) fn selected(&self, rows: usize, kept: &Selection) -> Self {
        let mut all = self.clone();
        all.pad_to(rows);
        let text = |column: &Strings| if column.len() > 0 { column.selected(kept) } else { Strings::default() };
        let lists = |column: &Lists| if column.ends().is_empty() { Lists::default() } else { column.selected(kept) };
        Self {
            texts: all.texts.each_ref().map(text),
            counts: all.counts.each_ref().map(|column| column.selected(kept)),
            costs: all.costs.each_ref().map(|column| column.selected(kept)),
            finish_reasons: lists(&all.finish_reasons),
            finish_reasons_normalized: lists(&all.finish_reasons_normalized),
            streaming: all.streaming.selected(kept),
            request_parameters: self.request_parameters.lagging_selected(rows, kept),
            join_state: text(&all.join_state),
            flags: all.flags.selected(kept),
            scope_attributes: self.scope_attributes.lagging_selected(rows, kept),
            resource_schema_url: text(&all.resource_schema_url),
            scope_schema_url: text(&all.scope_schema_url),
            input_preview: text(&all.input_preview),
            output_preview: text(&all.output_preview),
            implausible: all.implausible,
        }
    }
}

pub(super) fn push_text(column: &mut Strings, row: usize, text: &[u8]) {
    column.pad_to(row);
    column.push(text);
}
