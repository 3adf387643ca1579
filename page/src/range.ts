/** From when to when one looks: `24h`, `all`, or `FROM-TO` in milliseconds since 1970. */
import { exactly, when } from "./format";
import { useParam } from "./router";

export const RANGES: [string, string, number][] = [
  ["15m", "15 minutes", 15 * 60e3],
  ["1h", "1 hour", 3600e3],
  ["6h", "6 hours", 6 * 3600e3],
  ["24h", "24 hours", 24 * 3600e3],
  ["7d", "7 days", 7 * 86400e3],
  ["30d", "30 days", 30 * 86400e3],
];
export const RANGE_DEFAULT = "24h";

export interface Range {
  name: string;
  /** Milliseconds since 1970; null: since the beginning. */
  since: number | null;
  /** Null: until now. */
  until: number | null;
}

/** Reads a range; whatever is none is the usual one. */
export function parseRange(text: string, now: number): Range {
  if (text === "all") return { name: text, since: null, until: null };
  const fixed = /^(\d{1,15})-(\d{1,15})$/.exec(text);
  if (fixed) {
    const [since, until] = [Number(fixed[1]), Number(fixed[2])];
    if (since < until) return { name: text, since, until };
  }
  const known = RANGES.find(([name]) => name === text) ?? RANGES.find(([name]) => name === RANGE_DEFAULT)!;
  // to the minute, so that the same question is asked again only after a while
  return { name: known[0], since: Math.floor((now - known[2]) / 60e3) * 60e3, until: null };
}

export function rangeLabel(range: Range, now: number): string {
  if (range.name === "all") return "All time";
  const known = RANGES.find(([name]) => name === range.name);
  if (known) return `Last ${known[1]}`;
  return `${when(range.since ?? 0, now)} – ${when(range.until ?? now, now)}`;
}

export function rangeTitle(range: Range): string {
  if (range.since === null) return "Everything that is stored";
  return `${exactly(range.since)} – ${range.until === null ? "now" : exactly(range.until)}`;
}

export function useRange(): [Range, (name: string) => void] {
  const [text, set] = useParam("range", false);
  return [parseRange(text, Date.now()), set];
}

/** The width of a bar of a histogram that has about `buckets`: a round length of time. */
export function step(span: number, buckets: number): number {
  const units = [1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3, 3 * 3600e3, 6 * 3600e3, 12 * 3600e3, 86400e3, 2 * 86400e3, 7 * 86400e3, 14 * 86400e3, 30 * 86400e3];
  return units.find((unit) => span / unit <= buckets) ?? Math.ceil(span / buckets / 86400e3) * 86400e3;
}
