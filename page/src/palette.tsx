/** Ctrl K or ⌘K: a view, a trace or a session by what is typed. */
import { useEffect, useMemo, useState } from "react";
import { targets, type Target } from "./places";
import { address, go } from "./router";
import { Dialog, Icon } from "./ui";

export function Palette({ views }: { views: readonly (readonly [string, string, ...unknown[]])[] }) {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      if (document.querySelector("dialog[open]")) return;
      event.preventDefault();
      setOpen(true);
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
  if (!isOpen) return null;
  return <Dialog title="Go to" onClose={() => setOpen(false)}><Choice views={views} close={() => setOpen(false)} /></Dialog>;
}

function Choice({ views, close }: { views: readonly (readonly [string, string, ...unknown[]])[]; close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const found = useMemo(() => targets(text, views), [text, views]);
  const chosen = Math.min(at, found.length - 1);
  const open = (target: Target | undefined) => {
    if (!target) return;
    close();
    const [pathname, query] = target.to.split("?");
    go(address(pathname!, Object.fromEntries(new URLSearchParams(query))));
  };
  const pressed = (key: string): boolean => {
    if (key === "ArrowDown") setAt(Math.min(found.length - 1, chosen + 1));
    else if (key === "ArrowUp") setAt(Math.max(0, chosen - 1));
    else if (key === "Enter") open(found[chosen]);
    else return false;
    return true;
  };
  return (
    <div className="palette">
      <input
        type="search" role="combobox" autoFocus aria-label="Where to go" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={chosen >= 0 ? `palette-${chosen}` : undefined}
        placeholder="A view, the id of a trace or a session, or what to search for" value={text}
        onChange={(event) => { setText(event.target.value); setAt(0); }}
        onKeyDown={(event) => { if (pressed(event.key)) event.preventDefault(); }}
      />
      <div id="palette-list" role="listbox" aria-label="Places">
        {found.map((target, number) => (
          <div key={target.to} id={`palette-${number}`} role="option" aria-selected={number === chosen} onPointerMove={() => setAt(number)} onClick={() => open(target)}>
            <Icon name={target.icon} size={15} /> {target.label}
          </div>
        ))}
      </div>
    </div>
  );
}
