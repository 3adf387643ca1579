/** Questions about calls over time, which several views ask. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, own, withQuery, type Keyed, type Point, type Rows } from "./api";
import { step, type Range } from "./range";

/** From when to when there are calls, of what is chosen. */
export function useBounds(range: Range): { since: number; until: number; all: Rows<Keyed> | undefined; error: unknown } {
  const values = { since: range.since ?? 0, until: range.until };
  const asked = useQuery({
    queryKey: ["bounds", own(""), values],
    queryFn: ({ signal }) => ask<Rows<Keyed>>(withQuery(own("/calls/breakdown"), values), { signal }),
  });
  const all = asked.data?.rows[0];
  // to the minute, so that what is drawn again does not ask again
  const now = Math.ceil(Date.now() / 60e3) * 60e3;
  return {
    since: range.since ?? (all && all.calls > 0 ? all.first : now - 86400e3),
    until: range.until ?? (range.since === null && all && all.calls > 0 ? all.last + 1000 : now),
    all: asked.data,
    error: asked.error,
  };
}

/** Calls over time, with a fixed number of equal buckets that begin at round times. */
export function useSeries(range: Range, by?: string, buckets = 60) {
  const bounds = useBounds(range);
  const width = step(Math.max(1000, bounds.until - bounds.since), buckets);
  const since = Math.floor(bounds.since / width) * width;
  const number = Math.max(1, Math.ceil((bounds.until - since) / width));
  const values = { since, until: since + number * width, buckets: number, by };
  const asked = useQuery({
    queryKey: ["series", own(""), values],
    queryFn: ({ signal }) => ask<Rows<Point>>(withQuery(own("/calls/series"), values), { signal }),
    enabled: bounds.all !== undefined,
    placeholderData: (before) => before,
  });
  const times = useMemo(() => Array.from({ length: number }, (_, at) => since + at * width), [since, number, width]);
  return { asked, times, width, number, since, until: since + number * width, bounds };
}
