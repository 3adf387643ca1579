/** A live view: asks again when Millrace says that something was stored. */
import { useEffect, useRef, useState } from "react";
import { own, token } from "./api";

/** Calls of a time are counted a moment after they are stored. */
const COUNTED_AFTER_MS = 1500;
const AGAIN_AFTER_MS = 2000;

/** The names of the events in a piece of a stream; what follows the last empty line waits for more. */
export function events(text: string): { names: string[]; rest: string } {
  const blocks = text.split("\n\n");
  const rest = blocks.pop() ?? "";
  const names = blocks.flatMap((block) => block.split("\n").flatMap((line) => (line.startsWith("event:") ? [line.slice(6).trim()] : [])));
  return { names, rest };
}

/** Whether the stream is open; `stored` is called after each event, and once more when what was stored is counted too. */
export function useTail(isOn: boolean, stored: () => void): boolean {
  const [isOpen, setOpen] = useState(false);
  const call = useRef(stored);
  call.current = stored;
  useEffect(() => {
    if (!isOn) return;
    const control = new AbortController();
    let later = 0;
    const told = () => {
      call.current();
      window.clearTimeout(later);
      later = window.setTimeout(() => call.current(), COUNTED_AFTER_MS);
    };
    const run = async () => {
      while (!control.signal.aborted) {
        try {
          await listen(control.signal, () => setOpen(true), told);
        } catch {
          // it is asked again below
        }
        setOpen(false);
        await new Promise((done) => window.setTimeout(done, AGAIN_AFTER_MS));
        if (!control.signal.aborted) call.current();
      }
    };
    void run();
    return () => {
      control.abort();
      window.clearTimeout(later);
      setOpen(false);
    };
  }, [isOn]);
  return isOpen;
}

/** Reads the stream to its end. A browser's own EventSource sends no token. */
async function listen(signal: AbortSignal, opened: () => void, told: () => void): Promise<void> {
  const secret = token();
  const headers: Record<string, string> = secret ? { authorization: `Bearer ${secret}` } : {};
  const answer = await fetch(own("/tail"), { signal, headers, credentials: "omit", redirect: "error" });
  if (!answer.ok || !answer.body) return;
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const found = events(text + piece.value);
    text = found.rest;
    if (found.names.includes("stored")) told();
  }
}
