/** How numbers, times and money are shown. Pure functions; what is not known is a dash. */

export const UNKNOWN = "–";

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** A count: whole up to 9,999, then with a letter. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (Math.abs(value) < 10_000) return grouped.format(value);
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (Math.abs(value) >= size * 0.99995) return trim(value / size) + letter;
  }
  return grouped.format(value);
}

/** Three digits, without zeros at the end. */
function trim(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

/** A count with every digit. */
export function exact(value: number | null | undefined): string {
  return value === null || value === undefined ? UNKNOWN : grouped.format(value);
}

/** US dollars: two digits that say something, however small. */
export function money(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (value === 0) return "$0";
  const size = Math.abs(value);
  const sign = value < 0 ? "-" : "";
  if (size >= 10_000) return `${sign}$${count(Math.round(size))}`;
  if (size >= 1) return `${sign}$${size.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  if (size >= 0.1) return `${sign}$${size.toFixed(2)}`;
  const digits = Math.min(12, 1 - Math.floor(Math.log10(size)));
  return `${sign}$${size.toFixed(digits)}`;
}

/** A duration in nanoseconds. */
export function duration(nanos: number | null | undefined): string {
  if (nanos === null || nanos === undefined || !Number.isFinite(nanos)) return UNKNOWN;
  if (nanos < 0) return `-${duration(-nanos)}`;
  if (nanos === 0) return "0";
  if (nanos < 1e3) return `${Math.round(nanos)} ns`;
  if (nanos < 999.5e3) return `${trim3(nanos / 1e3)} µs`;
  if (nanos < 999.5e6) return `${trim3(nanos / 1e6)} ms`;
  if (nanos < 59.95e9) return `${trim3(nanos / 1e9)} s`;
  const seconds = Math.round(nanos / 1e9);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
  return `${Math.round(minutes / 1440)} d`;
}

function trim3(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

/** A share of a whole, in per cent. */
export function percent(part: number | null | undefined, whole: number | null | undefined): string {
  if (part === null || part === undefined || !whole) return UNKNOWN;
  const share = (part / whole) * 100;
  if (share > 0 && share < 0.1) return "<0.1 %";
  return `${share >= 10 || share === 0 ? Math.round(share) : Number(share.toFixed(1))} %`;
}

/** Bytes. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1024) return `${value} B`;
  for (const [size, name] of [[1024 ** 4, "TiB"], [1024 ** 3, "GiB"], [1024 ** 2, "MiB"], [1024, "KiB"]] as const) {
    if (value >= size) return `${trim(value / size)} ${name}`;
  }
  return `${value} B`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** When it was, in the zone of whoever looks: the time today, the day this year, else the year too. */
export function when(ms: number, now: number): string {
  const at = new Date(ms);
  const today = new Date(now);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  if (at.toDateString() === today.toDateString()) return time;
  const day = `${at.getDate()} ${MONTHS[at.getMonth()]}`;
  if (at.getFullYear() === today.getFullYear()) return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}`;
  return `${day} ${at.getFullYear()}`;
}

/** When it was, to the millisecond, with the zone. */
export function exactly(ms: number): string {
  const at = new Date(ms);
  const offset = -at.getTimezoneOffset();
  const zone = offset === 0 ? "UTC" : `UTC${offset < 0 ? "-" : "+"}${Math.floor(Math.abs(offset) / 60)}${offset % 60 ? `:${pad(Math.abs(offset) % 60)}` : ""}`;
  return `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")} ${zone}`;
}

/** How long ago. */
export function ago(ms: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

/** A noun for a number of things. */
export function noun(value: number, one: string, many = `${one}s`): string {
  return value === 1 ? one : many;
}

/** A noun with its number. */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${noun(value, one, many)}`;
}

/** The beginning of a text, of no letter only a half. */
export function cut(text: string, letters: number): string {
  return text.length > letters ? text.slice(0, letters).replace(/[\ud800-\udbff]$/, "") : text;
}

/** The first letters of a text, on one line. */
export function oneLine(text: string, letters = 200): string {
  const line = cut(text, letters * 4).replace(/\s+/g, " ").trim();
  return line.length > letters ? `${cut(line, letters)}…` : line;
}
