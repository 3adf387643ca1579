/** The columns of the list of traces, and the widths that an address gives them. */

export interface Column {
  name: string;
  label: string;
  className?: string;
}

export const COLUMNS: Column[] = [
  { name: "time", label: "Time" },
  { name: "trace", label: "Trace" },
  { name: "content", label: "Input and output", className: "wide" },
  { name: "model", label: "Model" },
  { name: "duration", label: "Duration", className: "number" },
  { name: "ttft", label: "First token", className: "number" },
  { name: "tokens", label: "Tokens", className: "number" },
  { name: "cost", label: "Cost", className: "number" },
  { name: "service", label: "Service" },
  { name: "agent", label: "Agent" },
  { name: "user", label: "User" },
  { name: "session", label: "Session" },
  { name: "spans", label: "Spans", className: "number" },
  { name: "errors", label: "Errors", className: "number" },
  { name: "id", label: "Trace id" },
];

/** The narrowest column, and the widest, in pixels. */
export const NARROWEST = 48;
export const WIDEST = 2000;

/** The widths of a list such as `trace:240,content:500`, in pixels. */
export function widthsOf(text: string): Map<string, number> {
  const widths = new Map<string, number>();
  for (const part of text.split(",")) {
    const [name, pixels] = part.split(":");
    const width = Number(pixels);
    if (COLUMNS.some((column) => column.name === name) && Number.isFinite(width) && width > 0) widths.set(name!, Math.max(NARROWEST, Math.min(WIDEST, Math.round(width))));
  }
  return widths;
}
