/** Asks Millrace. Every question can be given up, and an error says what happened and what to try. */

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /** The character of what was asked at which it is wrong, from 1. */
    readonly position: number | null = null,
  ) {
    super(message);
  }
}

const TOKEN = "millrace.token";

/** The token of this tab, which closing it forgets. */
export function token(): string | null {
  return sessionStorage.getItem(TOKEN);
}

export function setToken(value: string): void {
  if (value) sessionStorage.setItem(TOKEN, value);
  else sessionStorage.removeItem(TOKEN);
}

export function workspace(): string {
  return new URLSearchParams(window.location.search).get("ws") || "default";
}

/** A path of the read API in the workspace that is open. */
export function intake(path: string): string {
  return `/apis/intake/v2/workspaces/${encodeURIComponent(workspace())}${path}`;
}

/** A path of the page's own. */
export function own(path: string): string {
  return `/api/v1/workspaces/${encodeURIComponent(workspace())}${path}`;
}

/** Where senders send: an address and a port, and whether with TLS. */
export interface Ingest {
  listen: string;
  is_tls: boolean;
}

/** What senders are told. Whoever listens on every address is reached by the name by which the page was. */
export function ingestUrl(ingest: Ingest, host: string): string {
  const at = ingest.listen.lastIndexOf(":");
  const [address, port] = [ingest.listen.slice(0, at), ingest.listen.slice(at)];
  const isAny = address === "0.0.0.0" || address === "[::]";
  return `${ingest.is_tls ? "https" : "http"}://${isAny ? host : address}${port}`;
}

type Values = Record<string, string | number | null | undefined>;

export function withQuery(path: string, values: Values): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

function positionIn(body: unknown): number | null {
  return typeof body === "object" && body !== null && "position" in body && typeof body.position === "number" ? body.position : null;
}

/** What a sentence of the server, or a list of what is wrong, says. */
export function detail(body: unknown): string | null {
  if (typeof body !== "object" || body === null || !("detail" in body)) return null;
  const said = body.detail;
  if (typeof said === "string") return said;
  if (!Array.isArray(said)) return null;
  const texts = said.map((one) => (typeof one?.msg === "string" ? `${(one.loc ?? []).slice(1).join(".")}: ${one.msg}` : ""));
  return texts.filter(Boolean).join("; ") || null;
}

async function send(url: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  const secret = token();
  if (secret) headers.set("authorization", `Bearer ${secret}`);
  try {
    // without credentials the browser does not ask for a password itself
    return await fetch(url, { ...init, headers, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "Millrace does not answer. Is it running?");
  }
}

export async function ask<T>(url: string, init: RequestInit = {}): Promise<T> {
  const response = await send(url, init);
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  let body: unknown = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    if (response.ok) throw new ApiError(response.status, "the answer is not JSON");
  }
  if (!response.ok) throw new ApiError(response.status, detail(body) ?? `Millrace answered with status ${response.status}`, positionIn(body));
  return body as T;
}

/** Saves what is answered as a file, by the name that the answer gives it. A link alone would have no token. */
export async function download(url: string): Promise<void> {
  const response = await send(url, {});
  if (!response.ok) throw new ApiError(response.status, detail(await response.json().catch(() => null)) ?? `Millrace answered with status ${response.status}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? "trace";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Sends a file as it is: no form is made of it. */
export function sendFile(url: string, file: File, signal: AbortSignal): Promise<unknown> {
  return ask(url, { method: "POST", body: file, headers: { "content-type": "application/octet-stream" }, signal });
}

export interface Rows<T> {
  rows: T[];
  sql: string;
  elapsed_ms: number;
}

export interface Trace {
  id: string;
  name?: string;
  session_id: string;
  status: string;
  started_at: string;
  duration_ms?: number;
  span_count?: number;
  error_count?: number;
  input?: string;
  output?: string;
  total_tokens?: number;
  input_tokens?: number;
  output_tokens?: number;
  cached_tokens?: number;
  cost_usd?: number;
  is_orphan: boolean;
}

export interface Facts {
  trace_id: string;
  service: string;
  models: string[];
  agents: string[];
  user: string;
  session: string;
  calls: number;
  input_tokens: number | null;
  output_tokens: number | null;
  cached_tokens: number | null;
  input: string;
  output: string;
  ttft: number | null;
  unpriced: number;
  computed: number;
}

export interface Page<T> {
  data: T[];
  next_cursor?: string | null;
}

/** What calls come to, of a bucket or a key. */
export interface Measures {
  calls: number;
  errors: number;
  input_tokens: number | null;
  output_tokens: number | null;
  total_tokens: number | null;
  cache_read_tokens: number | null;
  cache_write_tokens: number | null;
  reasoning_tokens: number | null;
  cost: number | null;
  cost_computed: number | null;
  cost_given: number | null;
  unpriced: number;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  ttft_p50: number | null;
  ttft_p95: number | null;
  tokens_per_second: number | null;
  first: number;
  last: number;
}

export type Point = Measures & { bucket: number; key?: string };
export type Keyed = Measures & { key: string };

export interface Tree {
  trace_id: string;
  started_at: string;
  span_count: number;
  is_complete: boolean;
  names: string[];
  services: string[];
  span_id: string[];
  parent: (number | null)[];
  parent_id: (string | null)[];
  depth: number[];
  start_ns: number[];
  duration_ns: (number | null)[];
  name: number[];
  service: number[];
  kind: string[];
  status: string[];
  total_tokens: (number | null)[];
  cost_usd: (number | null)[];
  /** Spans that report a call which another span is. */
  reports: { span_id: string; of: string }[];
}

export type Span = Record<string, unknown> & {
  TraceId: string;
  SpanId: string;
  ParentSpanId: string;
  SpanName: string;
  ServiceName: string;
  Operation: string;
  status: string;
  started_ns: number;
  Duration: number;
  TimingQuality: string;
  InputMessages: string;
  OutputMessages: string;
  SystemPrompt: string;
  ToolDefinitions: string;
  RawRequest: string;
  RawResponse: string;
  ErrorType: string;
  ErrorMessage: string;
  StatusMessage: string;
  SessionId: string;
  ResourceAttributes: Record<string, string>;
  SpanAttributes: Record<string, string>;
  ContentAttributes: Record<string, string>;
  events: { at: string; name: string; attributes: string }[];
  links: { trace_id: string; span_id: string; attributes: string }[];
  Sizes: Record<string, number>;
};
