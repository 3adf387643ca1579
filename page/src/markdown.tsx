/**
 * The common part of Markdown as elements. No HTML is made: what looks like it is text. Links are shown with their address and lead
 * nowhere by themselves, and images are not loaded.
 */
import { Fragment, type ReactNode } from "react";

/** Longer texts are shown as they are. */
export const MARKDOWN_LETTERS_MAX = 100_000;

const INLINE = /(`+)([\s\S]+?)\1(?!`)|\*\*([^*\n]+)\*\*|__([^_\n]+)__|(?<![\w*])\*([^*\s][^*\n]*)\*(?!\w)|(?<!\w)_([^_\s][^_\n]*)_(?!\w)|!?\[([^\]\n]*)\]\(([^()\s]*)\)/g;

export function inline(text: string): ReactNode[] {
  const out: ReactNode[] = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    if (found.index > from) out.push(text.slice(from, found.index));
    const key = out.length;
    const [whole, , code, bold, bold2, italic, italic2, label, target] = found;
    if (code !== undefined) out.push(<code key={key}>{code}</code>);
    else if (bold ?? bold2) out.push(<strong key={key}>{bold ?? bold2}</strong>);
    else if (italic ?? italic2) out.push(<em key={key}>{italic ?? italic2}</em>);
    else if (label !== undefined) out.push(<Fragment key={key}>{label} <span className="address">{target}</span></Fragment>);
    else out.push(whole);
    from = found.index + whole.length;
  }
  if (from < text.length) out.push(text.slice(from));
  return out;
}

interface Block {
  kind: "code" | "heading" | "list" | "quote" | "rule" | "table" | "text";
  lines: string[];
  /** The level of a heading, whether a list has numbers, the language of code. */
  info: string;
}

const ITEM = /^\s{0,6}(?:[-*+]|(\d{1,9})[.)])\s+/;

export function blocks(text: string): Block[] {
  const out: Block[] = [];
  let open: Block | null = null;
  const add = (kind: Block["kind"], line: string, info = "") => {
    if (open?.kind === kind && kind !== "heading" && kind !== "rule") open.lines.push(line);
    else out.push((open = { kind, lines: [line], info }));
  };
  let fence = "";
  for (const line of text.split("\n")) {
    const mark = /^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/.exec(line);
    if (fence) {
      if (mark && mark[1]!.startsWith(fence) && line.trim() === mark[1]) {
        fence = "";
        open = null;
      } else out[out.length - 1]!.lines.push(line);
      continue;
    }
    if (mark) {
      fence = mark[1]!;
      out.push((open = { kind: "code", lines: [], info: mark[2] ?? "" }));
    } else if (line.trim() === "") open = null;
    else if (/^#{1,6}\s/.test(line)) add("heading", line.replace(/^#+\s+/, ""), String(line.search(/[^#]/)));
    else if (/^\s{0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) add("rule", "");
    else if (ITEM.test(line)) add("list", line, ITEM.exec(line)![1] === undefined ? "" : "numbers");
    else if (open !== null && (open as Block).kind === "list" && /^\s+/.test(line)) (open as Block).lines[(open as Block).lines.length - 1] += `\n${line.trim()}`;
    else if (/^\s{0,3}>/.test(line)) add("quote", line.replace(/^\s{0,3}>\s?/, ""));
    else if (/^\s*\|.*\|\s*$/.test(line)) add("table", line);
    else add("text", line);
  }
  return out;
}

function cells(line: string): string[] {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function Table({ lines }: { lines: string[] }) {
  const isRuled = lines.length > 1 && /^[\s|:-]+$/.test(lines[1]!);
  if (!isRuled) return <p>{lines.join("\n")}</p>;
  return (
    <div className="scroll">
      <table dir="auto">
        <thead><tr>{cells(lines[0]!).map((cell, at) => <th key={at}>{inline(cell)}</th>)}</tr></thead>
        <tbody>{lines.slice(2).map((line, row) => <tr key={row}>{cells(line).map((cell, at) => <td key={at}>{inline(cell)}</td>)}</tr>)}</tbody>
      </table>
    </div>
  );
}

export function Markdown({ text }: { text: string }) {
  return (
    <div className="markdown">
      {blocks(text).map((block, at) => {
        const whole = block.lines.join("\n");
        switch (block.kind) {
          case "code": return <pre key={at}><code>{whole}</code></pre>;
          case "heading": return <p key={at} className={`heading h${block.info}`}>{inline(whole)}</p>;
          case "rule": return <hr key={at} />;
          case "quote": return <blockquote key={at} dir="auto">{inline(whole)}</blockquote>;
          case "table": return <Table key={at} lines={block.lines} />;
          case "list": {
            const items = block.lines.map((line, item) => <li key={item}>{inline(line.replace(ITEM, ""))}</li>);
            const first = ITEM.exec(block.lines[0]!)?.[1];
            return block.info ? <ol key={at} dir="auto" start={Number(first ?? 1)}>{items}</ol> : <ul key={at} dir="auto">{items}</ul>;
          }
          default: return <p key={at}>{inline(whole)}</p>;
        }
      })}
    </div>
  );
}
