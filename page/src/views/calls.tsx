/** Two calls beside each other: what they cost and took, what they were asked with, and what was said. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, type ReactNode } from "react";
import { ask, own, type Rows, type Span } from "../api";
import { change, parameters, said } from "../compare";
import { count, duration, money } from "../format";
import { path } from "../router";
import { Failed, Figure, FromTo, Link, Loading, ShowSql } from "../ui";
import { Diff } from "./conversation";

function useCall(id: string) {
  const [trace, span] = id.split("/");
  const url = own(`/traces/${encodeURIComponent(trace ?? "")}/spans/${encodeURIComponent(span ?? "")}`);
  return useQuery({ queryKey: ["span", url], queryFn: ({ signal }) => ask<Rows<Span>>(url, { signal }), staleTime: 60_000 });
}

const numberOf = (span: Span, name: string) => (typeof span[name] === "number" ? (span[name] as number) : null);
const textOf = (span: Span, name: string) => (typeof span[name] === "string" ? (span[name] as string) : "");

const FIGURES: [string, (span: Span) => number | null, (value: number | null) => string][] = [
  ["Duration", (span) => span.Duration || null, duration],
  ["First token", (span) => numberOf(span, "TimeToFirstToken"), duration],
  ["Tokens in", (span) => numberOf(span, "InputTokens"), count],
  ["Tokens out", (span) => numberOf(span, "OutputTokens"), count],
  ["Cost", (span) => numberOf(span, "CostTotal"), money],
];

export function Calls({ a, b }: { a: string; b: string }) {
  const [one, other] = [useCall(a), useCall(b)];
  const error = one.error ?? other.error;
  if (error) return <Failed error={error} />;
  if (!one.data || !other.data) return <Loading what="Reading both calls" of={[["span"]]} />;
  const [first, second] = [one.data.rows[0], other.data.rows[0]];
  if (!first || !second) return <Failed error={new Error(`The ${first ? "second" : "first"} call is not stored`)} />;
  return (
    <>
      <div className="cards">{FIGURES.map(([name, value, format]) => <Figure key={name} name={name} value={<FromTo before={format(value(first))} after={format(value(second))} />} note={change(value(first), value(second))} />)}</div>
      <div className="row">
        {[first, second].map((span, at) => <Link key={at} to={path("trace", span.TraceId)} query={{ span: span.SpanId }} className="button quiet">{at === 0 ? "First" : "Second"}: {span.SpanName}</Link>)}
        <span className="push" /><ShowSql of={[one.data, other.data]} />
      </div>
      <Part title="Parameters"><Between before={parameters(first)} after={parameters(second)} /></Part>
      <Part title="System prompt"><Between before={said(first.SystemPrompt)} after={said(second.SystemPrompt)} /></Part>
      <Part title="What was sent"><Between before={said(first.InputMessages)} after={said(second.InputMessages)} /></Part>
      <Part title="What was answered"><Between before={said(first.OutputMessages)} after={said(second.OutputMessages)} /></Part>
      <Part title="Errors"><Between before={textOf(first, "ErrorMessage")} after={textOf(second, "ErrorMessage")} /></Part>
    </>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return <section className="panel block"><header><h2>{title}</h2></header><div className="pad-box">{children}</div></section>;
}

function Between({ before, after }: { before: string; after: string }) {
  const isSame = useMemo(() => before === after, [before, after]);
  if (isSame) return <p className="dim">{before ? "The same in both" : "None in either"}</p>;
  return <Diff before={before} after={after} />;
}
