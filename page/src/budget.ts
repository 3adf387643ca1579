/** What may be spent, and what caches saved. */
import { money, percent } from "./format";

export const DAY_MS = 86400e3;

export interface Saved { model: string; cache_read_tokens: number; saved: number | null }

/** Null where no model of them has a price. */
export function savings(rows: Saved[] | undefined): number | null {
  const known = (rows ?? []).flatMap((row) => (row.saved === null ? [] : [row.saved]));
  return known.length === 0 ? null : known.reduce((all, one) => all + one, 0);
}

export function savedNote(rows: Saved[] | undefined): string {
  const unknown = (rows ?? []).filter((row) => row.saved === null).length;
  if (!rows || rows.length === 0) return "nothing was read from one";
  return unknown > 0 ? `estimated; ${unknown} of ${rows.length} models have no price` : "estimated by the book of prices";
}

/** US dollars a day. */
export function budgetOf(text: string): number | null {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) && value > 0 ? value : null;
}

export function spentNote(cost: number, budget: number, ms: number): string {
  const whole = (budget * ms) / DAY_MS;
  return `The dashed line is ${money(budget)} a day. In this time that makes ${money(whole)}, of which ${percent(cost, whole)} is spent.`;
}
