// Traces that a test needs: large ones, and ones whose every text is hostile.

const text = (key, value) => ({ key, value: { stringValue: value } });
const hex = (number, digits) => number.toString(16).padStart(digits, "0");

export function request(spans, service = "shop") {
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: [text("service.name", service)] }, scopeSpans: [{ scope: { name: "page" }, spans }] }] });
}

/** A tree of so many spans: agents that call models and tools, some of which fail. One request for each part of it. */
export function largeTrace(id, size, startNanos) {
  const requests = [];
  let spans = [];
  for (let at = 0; at < size; at++) {
    const parent = at === 0 ? null : Math.floor((at - 1) / 8);
    const kind = at === 0 ? "" : ["invoke_agent", "chat", "execute_tool", "chat"][at % 4];
    const begin = BigInt(startNanos) + BigInt(at) * 1_000_000n;
    spans.push({
      traceId: id,
      spanId: hex(at + 1, 16),
      ...(parent === null ? {} : { parentSpanId: hex(parent + 1, 16) }),
      name: at === 0 ? "POST /work" : `${kind} ${at % 7}`,
      kind: 1,
      startTimeUnixNano: String(begin),
      endTimeUnixNano: String(at === 0 ? begin + BigInt(size + 50) * 1_000_000n : begin + BigInt(2 + (at % 40)) * 1_000_000n),
      status: at % 97 === 96 ? { code: 2, message: "out of flour" } : {},
      attributes: kind ? [text("gen_ai.operation.name", kind)] : [],
    });
    if (spans.length === 5_000 || at === size - 1) {
      requests.push(request(spans));
      spans = [];
    }
  }
  return requests;
}

/** What somebody might send to have it run. */
export const HOSTILE = [
  "<script>window.hacked = 1</script>",
  '<img src=x onerror="window.hacked = 1">',
  "[click](javascript:window.hacked=1)",
  "![pixel](https://evil.example.com/pixel.png)",
  "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+",
  "\u202Egpj.exe\u202C",
  "</textarea></title><svg onload=window.hacked=1>",
  "{{constructor.constructor('window.hacked=1')()}}",
];

export const ODD_ID = "0dd0".repeat(8);
export const LONG_ID = "1046".repeat(8);
export const ARABIC = "ما هي عاصمة بيرو؟";

/** A trace whose every text is written from right to left, and one whose every name has 300 letters and no blank. */
export function oddTraces(startNanos) {
  const long = (of) => `${of}${"x".repeat(300)}`;
  const of = (traceId, span, name, values, more = {}) => ({
    traceId, spanId: hex(span, 16), name, kind: 3, startTimeUnixNano: String(startNanos), endTimeUnixNano: String(BigInt(startNanos) + 61_000_000_000n),
    attributes: Object.entries(values).map(([key, value]) => text(key, value)), ...more,
  });
  const said = (role, content) => JSON.stringify([{ role, parts: [{ type: "text", content }] }]);
  const failed = { status: { code: 2, message: long("") } };
  return [
    request([of(ODD_ID, 1, "وكيل السفر", {
      "gen_ai.operation.name": "chat", "gen_ai.request.model": "نموذج", "user.id": "מיכל", "session.id": "שיחה", "gen_ai.agent.name": "وكيل",
      "gen_ai.input.messages": said("user", `${ARABIC}\n\nWhat is it?`), "gen_ai.output.messages": said("assistant", "ليما **Lima**.\n\n- أولاً\n- ثانياً"),
    })], "خدمة"),
    request([
      of(LONG_ID, 1, long("chat"), { "gen_ai.operation.name": "chat", "gen_ai.request.model": long("model"), "user.id": long("user"), "session.id": long("session"), "gen_ai.agent.name": long("agent"), "gen_ai.input.messages": said("user", long("")), "error.type": long("Error") }, failed),
      of(LONG_ID, 2, long("execute_tool"), { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": long("tool"), "error.type": long("Error") }, { parentSpanId: hex(1, 16), ...failed }),
    ], long("service")),
  ];
}

/** A call to a model in which every text is hostile, one part is an image that is none, and another is very long. */
export function hostileTrace(id, startNanos) {
  const all = HOSTILE.join("\n\n");
  const deep = "[".repeat(5_000) + "]".repeat(5_000);
  const messages = JSON.stringify([
    { role: "system", parts: [{ type: "text", content: all }] },
    { role: HOSTILE[0], parts: [
      { type: "text", content: all },
      { type: "blob", mime_type: "image/svg+xml", modality: "image", content: "PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+" },
      { type: "tool_call", id: "1", name: HOSTILE[1], arguments: { html: all } },
      { type: "text", content: "long ".repeat(190_000) },
    ] },
  ]);
  return request([{
    traceId: id, spanId: hex(77, 16), name: HOSTILE[1], kind: 3, startTimeUnixNano: String(startNanos), endTimeUnixNano: String(BigInt(startNanos) + 1_000_000_000n),
    status: { code: 2, message: HOSTILE[0] },
    events: [{ timeUnixNano: String(startNanos), name: HOSTILE[1], attributes: [text("html", all)] }],
    attributes: [
      text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", HOSTILE[1]), text("gen_ai.input.messages", messages),
      text("gen_ai.output.messages", JSON.stringify([{ role: "assistant", parts: [{ type: "text", content: all }], finish_reason: HOSTILE[0] }])),
      text("session.id", HOSTILE[0]), text("user.id", HOSTILE[1]), text(HOSTILE[0], all), text("deep", deep), text("error.type", HOSTILE[1]),
    ],
  }], HOSTILE[0]);
}
