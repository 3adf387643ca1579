// Makes dist/ of what Vite built: each file beside its compressed forms. Fails if the page has grown beyond its budget, or if a
// file would ask another origin for anything.
import { brotliCompressSync, gzipSync, constants } from "node:zlib";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { extname, join } from "node:path";

const KB = 1000;
/** Bytes after gzip, but for `file`, which is as it is. */
const BUDGET = { initialScript: 200 * KB, script: 450 * KB, style: 20 * KB, file: 1000 * KB };

const from = new URL("build/", import.meta.url).pathname;
const to = new URL("dist/", import.meta.url).pathname;

for (const name of existsSync(to) ? readdirSync(to) : []) {
  if (name !== "README.md") rmSync(join(to, name), { recursive: true });
}
mkdirSync(join(to, "assets"), { recursive: true });

/** Licences of what the page is made of. Tools that only build it may have others. */
const LICENCES = ["MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Apache-2.0", "Unlicense", "OFL-1.1"];
const locked = JSON.parse(readFileSync(new URL("package-lock.json", import.meta.url), "utf8")).packages;
const notices = [];
for (const [path, one] of Object.entries(locked)) {
  if (!path || one.dev || path.includes("@types/")) continue;
  if (!LICENCES.includes(one.license)) throw new Error(`${path} has the licence ${one.license}, which is not among ${LICENCES.join(", ")}`);
  const folder = new URL(`${path}/`, import.meta.url).pathname;
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  notices.push(`${path.replace("node_modules/", "")} ${one.version} (${one.license})\n\n${file ? readFileSync(join(folder, file), "utf8").trim() : ""}\n`);
}
const notice = notices.join(`\n${"-".repeat(72)}\n\n`);
const noticeName = `licences-${createHash("sha256").update(notice).digest("hex").slice(0, 8)}.txt`;
writeFileSync(join(to, "assets", noticeName), notice);

const index = readFileSync(join(from, "index.html"), "utf8").replace("</head>", `  <link rel="license" href="/assets/${noticeName}">\n  </head>`);
writeFileSync(join(to, "index.html"), index);

const sizes = { initialScript: 0, script: 0, style: 0, file: 0 };
for (const name of readdirSync(join(from, "assets")).sort()) {
  const bytes = readFileSync(join(from, "assets", name));
  const gzip = gzipSync(bytes, { level: 9 });
  const kind = extname(name);
  writeFileSync(join(to, "assets", name), bytes);
  if (kind === ".js" || kind === ".css" || kind === ".svg") {
    const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
    writeFileSync(join(to, "assets", `${name}.gz`), gzip);
    writeFileSync(join(to, "assets", `${name}.br`), brotli);
  }
  if (kind === ".js") {
    sizes.script += gzip.length;
    if (index.includes(name)) sizes.initialScript += gzip.length;
  }
  if (kind === ".css") sizes.style += gzip.length;
  sizes.file = Math.max(sizes.file, bytes.length);
}

let isOver = false;
for (const [name, size] of Object.entries(sizes)) {
  const most = BUDGET[name];
  console.log(`${name.padEnd(14)} ${(size / KB).toFixed(1).padStart(7)} kB of ${most / KB}`);
  isOver ||= size > most;
}
const foreign = index.match(/(?:src|href)="(?!\/assets\/)[^"]*"/g);
if (foreign) {
  console.error("index.html names files that are not the page's own:", foreign.join(" "));
  isOver = true;
}
if (isOver) {
  console.error("the page is larger than its budget");
  process.exit(1);
}
