/** Where what is typed may lead. */

export interface Target { icon: string; label: string; to: string }

/** Where a text may lead: views whose name has it, a trace or a session of that id, and a search for it. */
export function targets(text: string, views: readonly (readonly [string, string, ...unknown[]])[]): Target[] {
  const wanted = text.trim();
  const found = views.filter(([, label]) => label.toLowerCase().includes(wanted.toLowerCase())).map(([name, label]) => ({ icon: name, label, to: `/${name}` }));
  if (!wanted) return found;
  const isTraceId = /^[0-9a-f]{32}$/i.test(wanted);
  return [
    ...(isTraceId ? [{ icon: "traces", label: `Trace ${wanted}`, to: `/trace/${wanted.toLowerCase()}` }] : []),
    ...found,
    ...(isTraceId ? [] : [{ icon: "search", label: `Search traces for ${wanted}`, to: `/traces?q=${encodeURIComponent(wanted)}` }, { icon: "sessions", label: `Session ${wanted}`, to: `/session/${encodeURIComponent(wanted)}` }]),
  ];
}
