//! The two data sets, made from a seed: the same bytes each time, on each machine.
//!
//! - **conversations**: LLM calls of 12-turn conversations, 1,500 of them at once, each call repeating its history. A wave of
//!   them a day, across a full hour. One trace for a whole conversation, or one for each turn.
//! - **services**: ordinary spans, traces of 4 to 16 spans over 20 services with 50 span names each, 10 attributes, over
//!   a week, more by day than by night.

use std::collections::VecDeque;

/// 2026-10-05, a Monday, in ns.
pub(crate) const WEEK_STARTS: i64 = 1_791_158_400_000_000_000;
/// In ns.
pub(crate) const DAY: i64 = 86_400 * SECOND;
const SECOND: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;

/// Calls in a conversation.
const TURNS: usize = 12;
/// Conversations under way at a time.
pub(crate) const CONVERSATIONS: usize = 1_500;
/// Calls in a wave: each conversation from its first turn to its last.
pub(crate) const WAVE: usize = CONVERSATIONS * TURNS;
/// Between two calls, of whichever conversation: each takes a turn a minute.
const BETWEEN_CALLS: i64 = 40 * MILLI;

/// When a wave begins, from midnight. It lasts 12 minutes, so one in five is cut by a full hour, as in steady traffic.
const WITHIN_AN_HOUR: i64 = (11 * 60 + 30) * 60 * SECOND;
const ACROSS_THE_HOUR: i64 = (11 * 60 + 54) * 60 * SECOND;

/// Services of the ordinary spans.
const SERVICES: usize = 20;
const NAMES_OF_A_SERVICE: usize = 50;
const MODELS: [(&str, &str, u64); 3] = [
    ("openai", "gpt-5.2", 1_750_000),
    ("openai", "gpt-5-mini", 250_000),
    ("anthropic", "claude-sonnet-4-6", 3_000_000),
];
/// The one service that talks.
const CHAT_SERVICE: &str = "support-bot";
/// What the first message of a conversation brings along, in bytes: documents found, the customer's record.
const CONTEXT_BYTES: usize = 3_000;

/// Random numbers that are the same each time. Source: Vigna, `SplitMix64`.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64)).unwrap_or(0)
    }

    /// From `low` up to but not `high`, small ones more often: each doubling is as likely as any other.
    fn skewed(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.fraction())
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        all.get(self.below(all.len())).expect("below the length")
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn hex(&mut self, bytes: usize) -> String {
        let mut hex = String::with_capacity(bytes * 2);
        while hex.len() < bytes * 2 {
            hex.push_str(&format!("{:016x}", self.next()));
        }
        hex
    }
}

/// A span, with all that either table wants to know of it.
#[derive(Clone, Default)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) service: String,
    pub(crate) resource: Vec<(&'static str, String)>,
    pub(crate) scope: &'static str,
    pub(crate) attributes: Vec<(&'static str, String)>,
    pub(crate) duration: u64,
    pub(crate) status: &'static str,
    pub(crate) status_message: &'static str,
    pub(crate) call: Option<Call>,
}

/// What an LLM call has besides.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) session: String,
    pub(crate) user: String,
    pub(crate) provider: &'static str,
    pub(crate) model: &'static str,
    pub(crate) response_id: String,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cached_tokens: u64,
    /// In 10^-12 USD.
    pub(crate) cost_input: u64,
    pub(crate) cost_output: u64,
    /// In ns.
    pub(crate) first_token: u64,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) system: String,
    pub(crate) tools: &'static str,
}

/// Words that occur as words do: the second half as often as the second, and so on.
struct Prose(Vec<String>);

impl Prose {
    const WORDS: f64 = 12_000.0;

    fn new() -> Self {
        const SYLLABLES: [&str; 32] = [
            "an", "ter", "re", "in", "con", "ta", "lo", "mi", "ver", "de", "ex", "per", "so", "ki", "ble", "ment",
            "tion", "us", "al", "or", "pre", "ing", "est", "ca", "ni", "da", "fu", "ro", "st", "ly", "um", "gra",
        ];
        let dice = &mut Dice::new(77);
        let word = |_| {
            let syllables = 1 + dice.below(3) + dice.below(2);
            (0..syllables).map(|_| *dice.one_of(&SYLLABLES)).collect()
        };
        Self((0..Self::WORDS as usize).map(word).collect())
    }

    fn put(&self, dice: &mut Dice, bytes: usize, text: &mut String) {
        let end = text.len() + bytes;
        while text.len() < end {
            text.push_str(self.0.get(dice.skewed(1.0, Self::WORDS) as usize).map_or("", String::as_str));
            match dice.below(14) {
                0 => text.push_str(". "),
                1 => text.push_str(&format!(" {} ", dice.below(1000))),
                2 => text.push_str(", "),
                _ => text.push(' '),
            }
        }
    }
}

const TOOLS: &str = r#"[{"type":"function","name":"search_orders","description":"Finds orders by customer, state or date","parameters":{"type":"object","properties":{"customer":{"type":"string"},"state":{"type":"string","enum":["open","shipped","returned"]},"since":{"type":"string","format":"date"}},"required":["customer"]}},{"type":"function","name":"refund","description":"Pays an order back","parameters":{"type":"object","properties":{"order":{"type":"string"},"amount":{"type":"number"}},"required":["order"]}}]"#;

struct Conversation {
    session: String,
    trace: String,
    user: String,
    /// One of [`MODELS`].
    model: usize,
    /// JSON messages, each followed by a comma.
    history: String,
    turn: usize,
}

/// LLM calls in the order of their time.
pub(crate) struct Conversations {
    dice: Dice,
    prose: Prose,
    system: String,
    under_way: Vec<Conversation>,
    trace_per_turn: bool,
    made: usize,
}

impl Conversations {
    pub(crate) fn new(trace_per_turn: bool) -> Self {
        let (prose, mut dice) = (Prose::new(), Dice::new(1));
        let mut text = String::new();
        prose.put(&mut dice, 900, &mut text);
        let system = format!(r#"[{{"type":"text","content":"{}"}}]"#, text.trim_end());
        Self { dice, prose, system, under_way: Vec::new(), trace_per_turn, made: 0 }
    }

    fn conversation(&mut self) -> Conversation {
        let dice = &mut self.dice;
        Conversation {
            session: format!("sess-{}", dice.hex(8)),
            trace: dice.hex(16),
            user: format!("user-{}", dice.below(4000)),
            // one is used most
            model: *dice.one_of(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
            history: String::new(),
            turn: 0,
        }
    }

    /// A message of about so many bytes, and `more`.
    fn message(&mut self, role: &str, bytes: f64, more: usize) -> String {
        let mut text = String::new();
        let bytes = self.dice.skewed(bytes * 0.4, bytes * 2.0) as usize + more;
        self.prose.put(&mut self.dice, bytes, &mut text);
        format!(r#"{{"role":"{role}","parts":[{{"type":"text","content":"{}"}}]}}"#, text.trim_end())
    }

    /// The call at `place` of its wave.
    fn call(&mut self, conversation: &Conversation, input: String, answer: &str, wave: usize, place: usize) -> Span {
        let trace = if self.trace_per_turn { self.dice.hex(16) } else { conversation.trace.clone() };
        let dice = &mut self.dice;
        let (provider, model, price) = MODELS.get(conversation.model).copied().unwrap_or_default();
        let (input_tokens, output_tokens) = ((input.len() + 1_800) as u64 / 4, answer.len() as u64 / 4);
        let duration = dice.skewed(0.8e9, 12e9) as u64;
        let begin = if wave % 5 == 4 { ACROSS_THE_HOUR } else { WITHIN_AN_HOUR };
        let start = WEEK_STARTS + wave as i64 * DAY + begin + place as i64 * BETWEEN_CALLS;
        let service = CHAT_SERVICE;
        let call = Call {
            session: conversation.session.clone(),
            user: conversation.user.clone(),
            provider,
            model,
            response_id: format!("chatcmpl-{}", dice.hex(8)),
            input_tokens,
            output_tokens,
            cached_tokens: input_tokens * 3 / 4 / 128 * 128,
            cost_input: input_tokens * price,
            cost_output: output_tokens * price * 5,
            first_token: duration / 6,
            input,
            output: format!("[{answer}]"),
            system: self.system.clone(),
            tools: TOOLS,
        };
        Span {
            start: start + dice.below(BETWEEN_CALLS as usize) as i64,
            trace,
            id: dice.hex(8),
            parent: if self.trace_per_turn { String::new() } else { conversation.trace.chars().take(16).collect() },
            name: format!("chat {model}"),
            kind: "Client",
            service: service.to_owned(),
            resource: resource(service, dice.below(3), "opentelemetry.instrumentation.openai_v2"),
            scope: "opentelemetry.instrumentation.openai_v2",
            attributes: call_attributes(&call, provider, model),
            duration,
            status: "Unset",
            call: Some(call),
            ..Span::default()
        }
    }
}

impl Iterator for Conversations {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let (wave, place) = (self.made / WAVE, self.made % WAVE);
        self.made += 1;
        if self.under_way.is_empty() {
            self.under_way = (0..CONVERSATIONS).map(|_| self.conversation()).collect();
        }
        let which = self.dice.below(self.under_way.len());
        let mut conversation = self.under_way.swap_remove(which);
        let user = self.message("user", 300.0, if conversation.turn == 0 { CONTEXT_BYTES } else { 0 });
        let answer = self.message("assistant", 1_110.0, 0);
        conversation.history.push_str(&user);
        let input = format!("[{}]", conversation.history);
        let span = self.call(&conversation, input, &answer, wave, place);
        conversation.history.push(',');
        conversation.history.push_str(&answer);
        conversation.history.push(',');
        conversation.turn += 1;
        if conversation.turn < TURNS {
            self.under_way.push(conversation);
        }
        Some(span)
    }
}

fn call_attributes(call: &Call, provider: &str, model: &str) -> Vec<(&'static str, String)> {
    vec![
        ("gen_ai.operation.name", "chat".into()),
        ("gen_ai.provider.name", provider.into()),
        ("gen_ai.request.model", model.into()),
        ("gen_ai.response.model", model.into()),
        ("gen_ai.response.id", call.response_id.clone()),
        ("gen_ai.response.finish_reasons", r#"["stop"]"#.into()),
        ("gen_ai.usage.input_tokens", call.input_tokens.to_string()),
        ("gen_ai.usage.output_tokens", call.output_tokens.to_string()),
        ("gen_ai.usage.cache_read.input_tokens", call.cached_tokens.to_string()),
        ("gen_ai.request.temperature", "0.7".into()),
        ("gen_ai.conversation.id", call.session.clone()),
        ("session.id", call.session.clone()),
        ("user.id", call.user.clone()),
        ("gen_ai.usage.cost", usd(call.cost_input + call.cost_output)),
        ("server.address", format!("api.{provider}.example")),
    ]
}

/// 10^-12 USD as decimal text.
fn usd(cost: u64) -> String {
    format!("{}.{:012}", cost / 1_000_000_000_000, cost % 1_000_000_000_000)
}

fn resource(service: &str, replica: usize, sdk: &str) -> Vec<(&'static str, String)> {
    vec![
        ("service.name", service.to_owned()),
        ("service.version", "1.14.2".to_owned()),
        ("host.name", format!("ip-10-0-{}-{replica}", service.len())),
        ("k8s.pod.name", format!("{service}-7d9f8b6c5-{replica}xk2p")),
        ("deployment.environment.name", "production".to_owned()),
        ("telemetry.sdk.name", sdk.to_owned()),
    ]
}

/// Ordinary spans, nearly in the order of their time: the spans of a trace come together.
pub(crate) struct Services {
    dice: Dice,
    waiting: VecDeque<Span>,
    spans: usize,
    made: usize,
    over: i64,
}

impl Services {
    /// So many spans over so many ns.
    pub(crate) fn new(spans: usize, over: i64) -> Self {
        Self { dice: Dice::new(2), waiting: VecDeque::new(), spans, made: 0, over }
    }

    /// When the span at this place of all begins. At 15:00 four times as many as at 03:00.
    fn time(&self) -> i64 {
        let share = self.made as f64 / self.spans as f64;
        let days = share * self.over as f64 / DAY as f64;
        let wave = (std::f64::consts::TAU * (days - 0.625)).sin() * 0.6 / std::f64::consts::TAU;
        WEEK_STARTS + ((days - wave).max(0.0) * DAY as f64) as i64
    }

    fn trace(&mut self) {
        let start = self.time();
        let trace = self.dice.hex(16);
        let size = 4 + self.dice.below(13);
        let (mut ids, mut begin) = (Vec::<(String, usize)>::new(), start);
        for place in 0..size {
            let dice = &mut self.dice;
            let (parent, above) = match place {
                0 => (String::new(), 0),
                _ => dice.one_of(&ids).clone(),
            };
            let service = if place == 0 { dice.below(4) } else { (above + dice.below(6)) % SERVICES };
            let span = service_span(dice, begin, &trace, parent, service);
            ids.push((span.id.clone(), service));
            begin += dice.skewed(1e5, 3e7) as i64;
            self.waiting.push_back(span);
        }
        self.made += size;
    }
}

/// The name of one of a service's spans.
fn span_name(service: &str, number: usize) -> String {
    const VERBS: [&str; 5] = ["GET", "POST", "PUT", "SELECT", "publish"];
    let verb = VERBS.get(number % VERBS.len()).copied().unwrap_or_default();
    format!("{verb} /{service}/resource-{number}")
}

/// The names of the services.
const SERVICE_NAMES: [&str; SERVICES] = [
    "frontend",
    "gateway",
    "mobile-api",
    "partner-api",
    "checkout",
    "cart",
    "catalog",
    "search",
    "pricing",
    "stock",
    "payment",
    "fraud",
    "shipping",
    "email",
    "accounts",
    "sessions",
    "recommend",
    "reviews",
    "ads",
    "ledger",
];

fn service_span(dice: &mut Dice, start: i64, trace: &str, parent: String, service: usize) -> Span {
    let number = (dice.skewed(1.0, NAMES_OF_A_SERVICE as f64 + 1.0) as usize - 1).min(NAMES_OF_A_SERVICE - 1);
    let service_name = SERVICE_NAMES.get(service).copied().unwrap_or_default();
    let name = span_name(service_name, number);
    let is_error = dice.below(100) == 0;
    let path = name.split(' ').nth(1).unwrap_or_default().to_owned();
    Span {
        start,
        trace: trace.to_owned(),
        id: dice.hex(8),
        kind: if parent.is_empty() || dice.below(2) == 0 { "Server" } else { "Client" },
        parent,
        service: service_name.to_owned(),
        resource: resource(service_name, dice.below(4), "opentelemetry"),
        attributes: vec![
            ("http.request.method", name.split(' ').next().unwrap_or_default().to_owned()),
            ("http.route", format!("{path}/{{id}}")),
            ("url.path", format!("{path}/{}", dice.below(100_000))),
            ("http.response.status_code", if is_error { "500" } else { "200" }.to_owned()),
            ("server.address", format!("{service_name}.prod.svc.cluster.local")),
            ("server.port", "8080".to_owned()),
            ("client.address", format!("10.{}.{}.{}", dice.below(4), dice.below(256), dice.below(256))),
            ("enduser.id", format!("u{}", dice.below(50_000))),
            ("network.protocol.version", "1.1".to_owned()),
            ("thread.id", dice.below(200).to_string()),
        ],
        name,
        duration: dice.skewed(5e4, 2e9) as u64,
        status: if is_error { "Error" } else { "Unset" },
        status_message: if is_error { "internal error: upstream connect error or disconnect" } else { "" },
        scope: "io.opentelemetry.tomcat-10.0",
        ..Span::default()
    }
}

impl Iterator for Services {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        if self.waiting.is_empty() {
            if self.made >= self.spans {
                return None;
            }
            self.trace();
        }
        self.waiting.pop_front()
    }
}
