/** Import: files that people have, counted first, then sent; what was imported, and how it goes again. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type DragEvent } from "react";
import { ask, own, sendFile, withQuery } from "../api";
import { bytes, count, exact, plural } from "../format";
import { useParam } from "../router";
import { Dialog, Empty, Failed, Icon, Loading, Paste, TableBox, Time, useTitle } from "../ui";

interface Counts { files: number; files_all: number; unchanged: number; bytes: number; bytes_all: number; pieces: number; accepted: number; rejected: number; copied: number; others: Record<string, number>; rows_per_second: number; seconds_left: number | null }
interface Reject { file?: string | null; line: number; reason: string }
interface Job { id: string; is_undo: boolean; state: "collecting" | "running" | "checked" | "done" | "cancelled" | "failed"; error: string | null; files: { name: string; bytes: number }[]; counts: Counts | null; notes: string[]; rejects: Reject[] }
interface Done { id: string; name: string; is_uploaded: boolean; format: string; is_done: boolean; accepted: number; rejected: number; copied: number; started_ms: number; bytes: number }
interface Listed { under_way: Job[]; done: Done[]; formats: string[] }

const ASKED_EVERY_MS = 400;

export function Import() {
  useTitle("Import");
  const client = useQueryClient();
  const list = useQuery({ queryKey: ["imports", own("")], queryFn: ({ signal }) => ask<Listed>(own("/imports"), { signal }) });
  const [id, setId] = useParam("job");
  if (list.isPending) return <Loading what="Looking for imports" of={[["imports"]]} />;
  if (list.isError) return <Failed error={list.error} again={() => void list.refetch()} />;
  return (
    <>
      {id ? <Running id={id} formats={list.data.formats} close={() => { setId(undefined); void client.invalidateQueries({ queryKey: ["imports"] }); }} />
        : <Choose open={setId} />}
      <List done={list.data.done} open={setId} />
    </>
  );
}

/** What a person chose or dropped: each file with its path in the folder that was dropped. */
type Chosen = { name: string; file: File }[];

function Choose({ open }: { open: (id: string) => void }) {
  const [error, setError] = useState<unknown>(null);
  const [isOver, setOver] = useState(false);
  const [sent, setSent] = useState<{ done: number; all: number } | null>(null);
  const stop = useRef<AbortController | null>(null);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  // React has no name for it
  useEffect(() => folder.current?.setAttribute("webkitdirectory", ""), []);
  useEffect(() => () => stop.current?.abort(), []);
  const take = async (chosen: Chosen) => {
    if (chosen.length === 0) return;
    setError(null);
    const control = new AbortController();
    stop.current = control;
    const all = chosen.reduce((sum, { file }) => sum + file.size, 0);
    let job: Job | null = null;
    try {
      let done = 0;
      setSent({ done, all });
      job = await ask<Job>(own("/imports"), { method: "POST", signal: control.signal });
      const names = new Set<string>();
      for (const { name, file } of chosen) {
        let free = name;
        for (let number = 2; names.has(free); number++) free = `${number}/${name}`;
        names.add(free);
        await sendFile(withQuery(own(`/imports/${job.id}/files`), { name: free, modified: file.lastModified }), file, control.signal);
        done += file.size;
        setSent({ done, all });
      }
      await ask(own(`/imports/${job.id}/run`), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ dry_run: true }) });
      open(job.id);
    } catch (failure) {
      if (job) void ask(own(`/imports/${job.id}`), { method: "DELETE" }).catch(() => undefined);
      if (!(failure instanceof DOMException && failure.name === "AbortError")) setError(failure);
    }
    setSent(null);
  };
  const chosen = (input: HTMLInputElement | null) => {
    const all = [...(input?.files ?? [])].map((file) => ({ name: file.webkitRelativePath || file.name, file }));
    if (input) input.value = "";
    void take(all);
  };
  const drop = async (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void take(await dropped(event.dataTransfer));
  };
  return (
    <>
      <section
        className={isOver ? "panel drop over" : "panel drop"} aria-label="Files to import"
        onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)} onDrop={(event) => void drop(event)}
      >
        <Icon name="import" size={28} />
        <h2>Drop files or folders here</h2>
        <p className="dim">OTLP files, sessions of Claude Code and Codex, data exports of ChatGPT and claude.ai, LiteLLM’s spend logs, OpenAI batches, Langfuse, LangSmith, Phoenix, Helicone, trajectories (ATIF), or your own captured calls; Parquet, gzip, zstd and zip archives too. They are counted first, and nothing is stored until you say so.</p>
        {sent ? (
          <div className="row">
            <progress max={sent.all || 1} value={sent.done} aria-label="Files that were sent" />
            <span className="dim">{bytes(sent.done)} of {bytes(sent.all)}</span>
            <button type="button" onClick={() => stop.current?.abort()}>Cancel</button>
          </div>
        ) : (
          <div className="row">
            <button type="button" className="primary" onClick={() => files.current?.click()}>Choose files</button>
            <button type="button" onClick={() => folder.current?.click()}>Choose a folder</button>
          </div>
        )}
        <input ref={files} type="file" multiple hidden aria-label="Files" onChange={(event) => chosen(event.currentTarget)} />
        <input ref={folder} type="file" multiple hidden aria-label="Folder" onChange={(event) => chosen(event.currentTarget)} />
      </section>
      {error !== null && <Failed error={error} />}
    </>
  );
}

interface Entry { isFile: boolean; name: string; fullPath: string; file?: (done: (file: File) => void, failed: (error: unknown) => void) => void; createReader?: () => { readEntries: (done: (entries: Entry[]) => void, failed: (error: unknown) => void) => void } }

/** Files, and those in folders, that were dropped. */
async function dropped(data: DataTransfer): Promise<Chosen> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry() as Entry | null).filter((entry) => entry !== null);
  if (entries.length === 0) return [...data.files].map((file) => ({ name: file.name, file }));
  const found: Chosen = [];
  const waiting = [...entries];
  for (let entry = waiting.shift(); entry && found.length < 5000; entry = waiting.shift()) {
    const now = entry;
    if (now.isFile) {
      const file = await new Promise<File>((done, failed) => now.file?.(done, failed));
      found.push({ name: now.fullPath.replace(/^\//, ""), file });
    } else {
      const reader = now.createReader?.();
      // a reader gives some entries at a time, and none at the end
      for (let some = await read(reader); some.length > 0; some = await read(reader)) waiting.push(...some);
    }
  }
  return found;
}

function read(reader: ReturnType<NonNullable<Entry["createReader"]>> | undefined): Promise<Entry[]> {
  return new Promise((done, failed) => (reader ? reader.readEntries(done, failed) : done([])));
}

/** One import: what would be sent, how far it is, and what it came to. */
function Running({ id, formats, close }: { id: string; formats: string[]; close: () => void }) {
  const client = useQueryClient();
  const [format, setFormat] = useState("");
  const [drops, setDrops] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const asked = useQuery({
    queryKey: ["import", own(""), id],
    queryFn: ({ signal }) => ask<Job>(own(`/imports/${encodeURIComponent(id)}`), { signal }),
    refetchInterval: (query) => (query.state.data?.state === "running" ? ASKED_EVERY_MS : false),
    retry: false,
  });
  const state = asked.data?.state;
  useEffect(() => {
    if (state === "done") void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== "import" });
  }, [state, client]);
  if (asked.isPending) return <Loading what="Asking how far it is" of={[["import"]]} />;
  if (asked.isError) return <><Failed error={asked.error} /><div className="row"><button type="button" onClick={close}>Choose other files</button></div></>;
  const job = asked.data;
  const now = job.counts;
  const run = async (isDry: boolean) => {
    setError(null);
    try {
      const body = JSON.stringify({ dry_run: isDry, format: format || null, drop_content: drops });
      client.setQueryData(["import", own(""), id], await ask<Job>(own(`/imports/${id}/run`), { method: "POST", headers: { "content-type": "application/json" }, body }));
    } catch (failure) {
      setError(failure);
    }
  };
  const cancel = async () => {
    await ask(own(`/imports/${id}`), { method: "DELETE" }).catch(() => undefined);
    close();
  };
  const waits = job.state === "checked" || job.state === "failed" || job.state === "collecting";
  return (
    <section className="panel block import" aria-label="This import" data-state={job.state}>
      <header><h2>{job.is_undo && job.state === "running" ? "Removing" : TITLES[job.state]}</h2>{!job.is_undo && <span className="dim">{plural(job.files.length, "file")}, {bytes(job.files.reduce((sum, file) => sum + file.bytes, 0))}</span>}</header>
      <div className="pad-box">
        {job.state === "running" && <div className="row"><progress max={now?.bytes_all || undefined} value={now ? now.bytes : undefined} aria-label="How far it is" /><span className="dim">{now && now.seconds_left !== null ? `${now.seconds_left} s left` : ""}</span></div>}
        {job.error && <Failed error={new Error(job.error)} />}
        {error !== null && <Failed error={error} />}
        {now && !job.is_undo && (
          <dl className="pairs">
            <div><dt>{job.state === "checked" ? "Rows that would be sent" : "Rows accepted"}</dt><dd title={exact(now.accepted)}>{count(now.accepted)}</dd></div>
            <div><dt>Rejected</dt><dd className={now.rejected ? "error" : ""}>{count(now.rejected)}</dd></div>
            <div><dt>Files read</dt><dd>{now.files} of {now.files_all}</dd></div>
            <div><dt>Imported before</dt><dd>{plural(now.unchanged, "file")}</dd></div>
            <div><dt>In another file too</dt><dd>{count(now.copied)}</dd></div>
            <div><dt>Rows a second</dt><dd>{count(now.rows_per_second)}</dd></div>
          </dl>
        )}
        {now && Object.keys(now.others).length > 0 && <p className="note">Not about calls: {Object.entries(now.others).map(([kind, number]) => `${kind} ${number}`).join(", ")}</p>}
        {job.notes.filter((note) => !job.rejects.some((reject) => note === `${reject.file}: line ${reject.line}: ${reject.reason}`)).map((note, at) => <p key={at} className="note">{note}</p>)}
        {job.rejects.length > 0 && <Rejects rejects={job.rejects} all={now?.rejected ?? job.rejects.length} />}
        <div className="row actions">
          {waits && <button type="button" className="primary" disabled={job.state === "checked" && now?.accepted === 0} onClick={() => void run(false)}>{job.state === "checked" ? `Import ${plural(now?.accepted ?? 0, "row")}` : "Import"}</button>}
          {waits && <button type="button" onClick={() => void run(true)}>Count again</button>}
          {waits && (
            <label className="choice">Format <select value={format} onChange={(event) => setFormat(event.target.value)}>
              <option value="">found by itself</option>
              {formats.map((name) => <option key={name}>{name}</option>)}
            </select></label>
          )}
          {waits && <label className="choice" title="Session files, Langfuse and LangSmith"><input type="checkbox" checked={drops} onChange={(event) => setDrops(event.target.checked)} /> Leave prompts and answers out</label>}
          {(job.state === "running" && !job.is_undo) || waits ? <button type="button" onClick={() => void cancel()}>Cancel</button> : <button type="button" onClick={close}>Import other files</button>}
        </div>
      </div>
    </section>
  );
}

const TITLES: Record<Job["state"], string> = { collecting: "Files are here", running: "Reading", checked: "Counted; nothing is stored yet", done: "Done", cancelled: "Cancelled", failed: "It failed" };

function Rejects({ rejects, all }: { rejects: Reject[]; all: number }) {
  return (
    <details className="rejects" open>
      <summary>What was rejected, and why</summary>
      <TableBox label="Rejected lines">
        <table className="rows">
          <thead><tr><th>File</th><th className="number">Line</th><th>Reason</th></tr></thead>
          <tbody>{rejects.map((reject, at) => <tr key={at}><td>{reject.file}</td><td className="number">{reject.line}</td><td className="value">{reject.reason}</td></tr>)}</tbody>
        </table>
      </TableBox>
      {all > rejects.length && <p className="note">The first {exact(rejects.length)} of {exact(all)}.</p>}
    </details>
  );
}

function List({ done, open }: { done: Done[]; open: (id: string) => void }) {
  const [asked, setAsked] = useState<Done | null>(null);
  const [shown, setShown] = useState<Done | null>(null);
  const [error, setError] = useState<unknown>(null);
  if (done.length === 0) {
    return (
      <Empty title="Nothing was imported yet">
        <p>Files on this machine are imported without a browser, too, and sessions of coding agents are followed as they grow:</p>
        <Paste text="millrace import --follow ~/.claude/projects ~/.codex/sessions" />
      </Empty>
    );
  }
  const undo = async (one: Done) => {
    setAsked(null);
    setError(null);
    try {
      open((await ask<Job>(own(`/imported/${one.id}`), { method: "DELETE" })).id);
    } catch (failure) {
      setError(failure);
    }
  };
  return (
    <>
      {error !== null && <Failed error={error} />}
      <section className="panel block">
        <header><h2>What was imported</h2></header>
        <TableBox label="Imports">
          <table className="rows imports">
            <thead><tr><th>Began</th><th>File</th><th>Format</th><th className="number">Accepted</th><th className="number">Rejected</th><th className="number">Size</th><th><span className="unseen">Actions</span></th></tr></thead>
            <tbody>
              {done.map((one) => (
                <tr key={one.id}>
                  <td className="nowrap dim"><Time ms={one.started_ms} /></td>
                  <td className="value" title={one.id}>{one.name}{!one.is_done && <span className="dim"> · so far</span>}</td>
                  <td><span className="chip">{one.format}</span></td>
                  <td className="number" title={exact(one.accepted)}>{count(one.accepted)}</td>
                  <td className="number">{one.rejected > 0 ? <button type="button" className="more error" onClick={() => setShown(one)} title="Show what was rejected">{count(one.rejected)}</button> : 0}</td>
                  <td className="number nowrap">{bytes(one.bytes)}</td>
                  <td className="number"><button type="button" className="quiet" onClick={() => setAsked(one)}>Undo</button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </TableBox>
      </section>
      {asked && (
        <Dialog title="Remove what was imported?" onClose={() => setAsked(null)}>
          <p>The {plural(asked.accepted, "row")} of {asked.name} are removed, and calls of that time are counted anew. The file can be imported again.</p>
          <div className="row actions"><button type="button" className="primary" onClick={() => void undo(asked)}>Remove</button><button type="button" onClick={() => setAsked(null)}>Keep</button></div>
        </Dialog>
      )}
      {shown && <Dialog title={`Rejected of ${shown.name}`} onClose={() => setShown(null)}><RejectsOf one={shown} /></Dialog>}
    </>
  );
}

function RejectsOf({ one }: { one: Done }) {
  const asked = useQuery({ queryKey: ["rejects", own(""), one.id], queryFn: ({ signal }) => ask<{ rejects: Reject[]; rejected: number }>(own(`/imported/${one.id}/rejects`), { signal }) });
  if (asked.isPending) return <Loading of={[["rejects", own(""), one.id]]} />;
  if (asked.isError) return <Failed error={asked.error} />;
  return <Rejects rejects={asked.data.rejects} all={asked.data.rejected} />;
}
