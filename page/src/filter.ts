/** Filters of the read API. */
import type { Range } from "./range";

/** The filter of the read API for what is chosen. A search looks back 30 days unless it is told since when. */
export function filterOf(range: Pick<Range, "since" | "until">, status: string, q = ""): string | undefined {
  const parts: object[] = [];
  const at = (ms: number) => new Date(ms).toISOString();
  const since = range.since ?? (q ? 0 : null);
  if (since !== null) parts.push({ started_at: { $gte: at(since) } });
  if (range.until !== null) parts.push({ started_at: { $lte: at(range.until) } });
  if (status) parts.push({ status });
  if (parts.length === 0) return undefined;
  return JSON.stringify(parts.length === 1 ? parts[0] : { $and: parts });
}
