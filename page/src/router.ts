/** The URL is the state: the path names the view, the query what it shows. */
import { useCallback, useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
const told = () => listeners.forEach((listener) => listener());
window.addEventListener("popstate", told);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export interface Place {
  /** Without slashes at its ends: `["trace", "4bf9..."]`. */
  path: string[];
  query: URLSearchParams;
}

/** Reads a path and a query string. A part that is no text in percent encoding stays as it is. */
export function place(pathname: string, search: string): Place {
  const decoded = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return { path: pathname.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(search) };
}

/** The path of a view. */
export function path(...parts: string[]): string {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** What stays when another view is opened: where and when one looks. */
const KEPT = ["ws", "range"];

/** The address of a view, with what is kept of the one that is open. */
export function address(pathname: string, query: Record<string, string | undefined> = {}): string {
  const now = new URLSearchParams(window.location.search);
  const next = new URLSearchParams();
  for (const name of KEPT) {
    const value = now.get(name);
    if (value) next.set(name, value);
  }
  for (const [name, value] of Object.entries(query)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const search = next.toString();
  return search ? `${pathname}?${search}` : pathname;
}

export function go(to: string, replace = false): void {
  if (replace) window.history.replaceState(null, "", to);
  else window.history.pushState(null, "", to);
  told();
}

/** The place that is shown. */
export function usePlace(): Place {
  const href = useSyncExternalStore(subscribe, () => window.location.pathname + window.location.search);
  const at = href.indexOf("?");
  return at < 0 ? place(href, "") : place(href.slice(0, at), href.slice(at));
}

/** A value of the query. What is chosen in passing (`replace`) is no step of the history. */
export function useParam(name: string, replace = true): [string, (value: string | undefined) => void] {
  const { query } = usePlace();
  const set = useCallback(
    (value: string | undefined) => {
      const next = new URLSearchParams(window.location.search);
      if (value) next.set(name, value);
      else next.delete(name);
      const search = next.toString();
      go(window.location.pathname + (search ? `?${search}` : ""), replace);
    },
    [name, replace],
  );
  return [query.get(name) ?? "", set];
}

/** Changes several values at once. */
export function setParams(values: Record<string, string | undefined>, replace = true): void {
  const next = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const search = next.toString();
  go(window.location.pathname + (search ? `?${search}` : ""), replace);
}
