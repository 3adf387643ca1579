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

/** What can be read of a text that may be messages as JSON, perhaps cut off: then a preview of them, where there is one. */
export function readable(whole: string | undefined, preview: string | undefined): string {
  return (isJson(whole) ? preview || whole : whole || preview) ?? "";
}

export function isJson(text: string | undefined): boolean {
  return /^\s*[[{]/.test(text ?? "");
}

/** The first bytes of media say what they are; what the sender says is not believed. */
export function mediaType(base64: string): string | null {
  let head: string;
  try {
    head = atob(base64.slice(0, 24));
  } catch {
    return null;
  }
  if (head.startsWith("\x89PNG")) return "image/png";
  if (head.startsWith("\xff\xd8\xff")) return "image/jpeg";
  if (head.startsWith("GIF8")) return "image/gif";
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") return "image/webp";
  if (head.startsWith("RIFF") && head.slice(8, 12) === "WAVE") return "audio/wav";
  if (head.startsWith("ID3") || /^\xff[\xf2\xf3\xfa\xfb]/.test(head)) return "audio/mpeg";
  if (head.startsWith("OggS")) return "audio/ogg";
  if (head.startsWith("fLaC")) return "audio/flac";
  if (head.slice(4, 8) === "ftyp") return head.slice(8, 12) === "M4A " ? "audio/mp4" : "video/mp4";
  if (head.startsWith("\x1aE\xdf\xa3")) return "video/webm";
  if (head.startsWith("%PDF-")) return "application/pdf";
  return null;
}

/** The bytes of a part in base64, if it has any. */
export function base64Of(part: Part): string | null {
  for (const value of [part.content, part.data, part.uri, part.url, part.blob]) {
    if (typeof value !== "string") continue;
    const data = /^data:[^,]*;base64,(.*)$/s.exec(value);
    const bytes = data ? data[1]! : value;
    if (/^[A-Za-z0-9+/=\s]{32,}$/.test(bytes.slice(0, 1000))) return bytes.replace(/\s/g, "");
  }
  return null;
}
