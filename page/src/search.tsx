/** The search in the language of the read API, which is asked when Enter is pressed, and what may be in it. */
import { useEffect, useState } from "react";
import { ApiError } from "./api";
import { Dialog, Icon } from "./ui";

/** Source: docs/read-api.md, "Searches". */
const TERMS: [string, string][] = [
  ["model:gpt-5*", "a field and its value; * is any text"],
  ['tool:"my tool"', "a value with blanks"],
  ["cost:>0.1  tokens:>=10k", "more or less than a number"],
  ["duration:>2s  ttft:<500ms", "a duration has its unit: ms, s, m, h"],
  ["started:>-1h", "after a time, or a time before now"],
  ["status:error  has:error", "the root failed; any span failed"],
  ["tool:(bash OR edit)", "any of these"],
  ["-user:anna", "not this"],
  ['attr.http.route:"/x"', "an attribute of a span; resource.KEY of its resource"],
  ["score.helpful:<0.5", "a score"],
  ['refund  "lost order"', "words in messages, names and errors"],
];

const FIELDS = "model provider status kind operation name service user session trace span parent agent tool error experiment test_case source cost tokens input_tokens output_tokens cached_tokens reasoning_tokens duration ttft started";

export function Search({ of, q, setQ, error }: { of: string; q: string; setQ: (q: string) => void; error: unknown }) {
  const [text, setText] = useState(q);
  const [isHelping, setHelping] = useState(false);
  useEffect(() => setText(q), [q]);
  const isWrong = error instanceof ApiError && error.position !== null;
  return (
    <form className={isWrong ? "search wrong" : "search"} role="search" onSubmit={(event) => { event.preventDefault(); setQ(text.trim()); }}>
      <Icon name="search" size={14} />
      <input type="search" aria-label={`Search ${of}`} aria-invalid={isWrong} placeholder="Search: model:gpt-5*  cost:>0.1  duration:>2s  has:error  &quot;some words&quot;" value={text} onChange={(event) => setText(event.target.value)} />
      <button type="button" className="quiet" onClick={() => setHelping(true)} title="What may be searched for">Help</button>
      {isHelping && (
        <Dialog title={`Searching ${of}`} onClose={() => setHelping(false)}>
          <table className="keys">
            <tbody>{TERMS.map(([term, what]) => <tr key={term}><th scope="row"><code>{term}</code></th><td>{what}</td></tr>)}</tbody>
          </table>
          <p className="dim">All terms must hold; OR and parentheses combine them. Fields: <code>{FIELDS}</code>.</p>
        </Dialog>
      )}
    </form>
  );
}
