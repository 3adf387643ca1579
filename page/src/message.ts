/** Messages as they are stored, read from their text. */

/** JSON if it is, and not only a number or a text; else null. */
export function parsed(text: string): unknown {
  const start = text.trimStart()[0];
  if (start !== "{" && start !== "[") return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export interface Part {
  type: string;
  content?: unknown;
  [name: string]: unknown;
}

export interface Message {
  role: string;
  parts: Part[];
  finish_reason?: string;
}

/** Reads messages; what is none becomes one with the text. */
export function messages(text: string): Message[] {
  if (!text) return [];
  const value = parsed(text);
  const list = Array.isArray(value) ? value : null;
  if (!list) return [{ role: "", parts: [{ type: "text", content: text }] }];
  return list.map((one) => {
    if (typeof one !== "object" || one === null) return { role: "", parts: [{ type: "text", content: String(one) }] };
    const message = one as Record<string, unknown>;
    const parts = Array.isArray(message.parts) ? (message.parts as Part[]) : [{ type: "text", content: message.content ?? "" }];
    return { role: String(message.role ?? ""), parts, finish_reason: typeof message.finish_reason === "string" ? message.finish_reason : undefined };
  });
}
