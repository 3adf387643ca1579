/** An answer of SQL as lines over time. */

export interface Columns { meta: { name: string; type: string }[]; data: unknown[][] }

export interface OverTime {
  times: number[];
  range: [number, number];
  /** The names of the columns of numbers. */
  columns: string[];
  lines: { name: string; values: (number | null)[] }[];
  /** How many names have no line. */
  left: number;
}

/** The most lines. */
const LINES_MAX = 8;

const isTime = (type: string) => /^(Nullable\()?Date/.test(type);
const isNumber = (type: string) => /^(Nullable\()?(U?Int|Float|Decimal)/.test(type);
const isName = (type: string) => /^(LowCardinality\()?(Nullable\()?(String|Enum)/.test(type);

function momentOf(value: unknown): number {
  const text = String(value);
  return Date.parse(`${text.replace(" ", "T").slice(0, 23)}${text.length > 10 ? "Z" : ""}`);
}

/**
 * The chosen column of numbers against the first one that is a time. Where times repeat and there is a column of names, each name has a
 * line of its own, those with the largest sums first. Null where there is nothing to draw. Linear in the rows.
 */
export function overTime({ meta, data }: Columns, chosen: number): OverTime | null {
  const time = meta.findIndex((column) => isTime(column.type));
  const numbers = meta.flatMap((column, at) => (isNumber(column.type) ? [at] : []));
  const number = numbers[Math.min(chosen, numbers.length - 1)];
  if (time < 0 || number === undefined) return null;
  const rows = data.map((row) => ({ at: momentOf(row[time]), row })).filter(({ at }) => Number.isFinite(at)).sort((one, other) => one.at - other.at);
  const times = [...new Set(rows.map(({ at }) => at))];
  if (times.length < 2) return null;
  const named = times.length < rows.length ? meta.findIndex((column) => isName(column.type)) : -1;
  const value = (row: unknown[]) => (row[number] === null ? null : Number(row[number]));
  const common = { times, range: [times[0]!, times[times.length - 1]!] as [number, number], columns: numbers.map((at) => meta[at]!.name) };
  if (named < 0) {
    // what is at one time stands side by side
    return { ...common, times: rows.map(({ at }) => at), lines: [{ name: meta[number]!.name, values: rows.map(({ row }) => value(row)) }], left: 0 };
  }
  const place = new Map(times.map((at, index) => [at, index]));
  const lines = new Map<string, { sum: number; values: (number | null)[] }>();
  for (const { at, row } of rows) {
    const name = String(row[named] ?? "NULL") || "(none)";
    const line = lines.get(name) ?? { sum: 0, values: new Array<number | null>(times.length).fill(null) };
    line.values[place.get(at)!] = value(row);
    line.sum += Math.abs(value(row) ?? 0);
    lines.set(name, line);
  }
  const sorted = [...lines].sort((one, other) => other[1].sum - one[1].sum);
  return { ...common, lines: sorted.slice(0, LINES_MAX).map(([name, { values }]) => ({ name, values })), left: Math.max(0, sorted.length - LINES_MAX) };
}
