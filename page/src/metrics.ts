/** Reads Prometheus' text: the sum of each family, and of each of its labels. */

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export function samples(text: string): Sample[] {
  const out: Sample[] = [];
  for (const line of text.split("\n")) {
    const found = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const labels: Record<string, string> = {};
    for (const label of (found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[label[1]!] = label[2]!.replaceAll('\\"', '"').replaceAll("\\\\", "\\");
    out.push({ name: found[1]!, labels, value: Number(found[3]) });
  }
  return out;
}

/** The sum of a family's samples. */
export function total(all: Sample[], name: string): number {
  const own = all.filter((sample) => sample.name === name);
  // counters have both names in the plain text, and one in OpenMetrics
  const chosen = own.length > 0 ? own : all.filter((sample) => sample.name === `${name}_total`);
  return chosen.reduce((sum, sample) => sum + sample.value, 0);
}
