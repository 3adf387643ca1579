/** Keys in a table: j, k and the arrows move, Enter opens. */
import { useEffect, type RefObject } from "react";
import { isTyping } from "./app";
import { address, go } from "./router";

export function useRows(table: RefObject<HTMLTableElement | null>, rows: number): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
      const lines = [...(table.current?.tBodies[0]?.rows ?? [])];
      if (lines.length === 0) return;
      const at = lines.indexOf(document.activeElement?.closest("tr") as HTMLTableRowElement);
      const to = event.key === "j" || event.key === "ArrowDown" ? at + 1 : event.key === "k" || event.key === "ArrowUp" ? Math.max(0, at - 1) : null;
      if (to !== null) {
        const line = lines[Math.min(to, lines.length - 1)]!;
        line.focus();
        line.scrollIntoView({ block: "nearest" });
        event.preventDefault();
      } else if (event.key === "Enter" && at >= 0 && document.activeElement === lines[at]) {
        const href = lines[at]!.dataset.href;
        if (href) go(address(href));
      }
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [table, rows]);
}
