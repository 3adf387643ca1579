/** Plots over time: bars or lines with axes, a tooltip, and zoom by dragging. */
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import { count, exactly, oneLine } from "./format";
import { useTheme } from "./theme";

export interface Series {
  name: string;
  values: (number | null)[];
  /** The name of a colour of the style sheet, such as `--c1`. */
  color: string;
}

interface Props {
  title: string;
  /** Milliseconds since 1970. */
  times: number[];
  series: Series[];
  format: (value: number | null) => string;
  kind: "bars" | "lines";
  /** Bars and areas on top of each other. */
  isStacked?: boolean;
  height?: number;
  /** The width of a bar, in milliseconds. */
  step: number;
  range: [number, number];
  /** What a drag does; without it the plot alone shows that part. */
  onZoom?: (since: number, until: number) => void;
  /** A value that is not to be exceeded, drawn as a line over the whole time. */
  limit?: number | null;
  /** No axis of values: for a small one. */
  isSmall?: boolean;
}

/** Pixels below which a plot has its steps closer together, so that there is more than zero on its axis. */
const LOW = 130;
/** Steps of an axis of what is counted. */
const WHOLE = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((first) => first * 10 ** power)).flat();

/** The label of a time on an axis: the day where it changes or where lines are days apart, else the time. */
export function label(ms: number, gap: number, before: number | null): string {
  const at = new Date(ms);
  const two = (value: number) => String(value).padStart(2, "0");
  const isNewDay = before === null ? false : new Date(before).getDate() !== at.getDate();
  if (gap >= 86400e3 || isNewDay) return `${at.getDate()} ${at.toLocaleString("en-US", { month: "short" })}${gap >= 300 * 86400e3 ? ` ${at.getFullYear()}` : ""}`;
  return `${two(at.getHours())}:${two(at.getMinutes())}${gap < 60e3 ? `:${two(at.getSeconds())}` : ""}`;
}

/** Each series with those before it added. */
export function stacked(series: (number | null)[][]): (number | null)[][] {
  const sum: number[] = [];
  return series.map((values) =>
    values.map((value, at) => {
      sum[at] = (sum[at] ?? 0) + (value ?? 0);
      return sum[at]!;
    }),
  );
}

export function Plot({ title, times, series, format, kind, isStacked = false, height = 180, step, range: whole, onZoom, isSmall = false, limit = null }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<number | null>(null);
  const theme = useTheme();
  const zoom = useRef(onZoom);
  const [part, setPart] = useState<[number, number] | null>(null);
  zoom.current = onZoom ?? ((since, until) => setPart([since, until]));
  const range = part ?? whole;

  useEffect(() => {
    const parent = box.current;
    if (!parent) return;
    const style = getComputedStyle(parent);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const own = isStacked ? stacked(series.map((one) => one.values)) : series.map((one) => one.values);
    // those on top are drawn first, so that the lower ones cover them
    const order = series.map((_, number) => number).reverse();
    const bars = uPlot.paths.bars!({ size: [0.82, 40], align: 1, radius: [0.12, 0] });
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px InterVariable, system-ui" };
    const options: uPlot.Options = {
      width: parent.clientWidth || 300,
      height,
      // half of the last label stands beyond the last time
      padding: [8, 26, 0, isSmall ? 26 : 0],
      legend: { show: false },
      cursor: { y: false, points: { show: kind === "lines" }, drag: { x: true, y: false, setScale: false } },
      scales: {
        x: { time: true, range: [range[0] / 1000, range[1] / 1000] },
        y: { range: (_plot, _low, high) => { const most = Math.max(high, limit ?? 0); return [0, most > 0 ? most * 1.08 : 1]; } },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 76, size: 24, values: (_plot, splits, _axis, _space, gap) => splits.map((at, number) => label(at * 1000, gap * 1000, number === 0 ? null : splits[number - 1]! * 1000)) },
        { ...axis, show: !isSmall, size: 58, space: height < LOW ? 18 : 34, ...(format === count ? { incrs: WHOLE } : {}), values: (_plot, splits) => splits.map((value) => format(value)) },
      ],
      series: [
        {},
        ...order.map((number) => {
          const line = color(series[number]!.color);
          return {
            label: series[number]!.name,
            stroke: line,
            width: kind === "bars" ? 0 : 1.75,
            fill: kind === "bars" || isStacked ? line : undefined,
            paths: kind === "bars" ? bars : undefined,
            // a value between two gaps has no line
            points: { show: kind === "lines" && own[number]!.filter((value) => value !== null).length < 40, size: 5, fill: line },
            spanGaps: false,
          } satisfies uPlot.Series;
        }),
      ],
      hooks: {
        draw: [(plot) => limit !== null && line(plot, limit, color("--error"))],
        setCursor: [(plot) => setAt(plot.cursor.idx ?? null)],
        setSelect: [
          (plot) => {
            if (plot.select.width < 4) return;
            const [from, to] = [plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")];
            plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            zoom.current?.(Math.floor(from * 1000), Math.ceil(to * 1000));
          },
        ],
      },
    };
    const plot = new uPlot(options, [times.map((ms) => ms / 1000), ...order.map((number) => own[number]!)] as uPlot.AlignedData, parent);
    const resized = new ResizeObserver(() => plot.setSize({ width: parent.clientWidth, height }));
    resized.observe(parent);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [times, series, kind, isStacked, height, step, range[0], range[1], format, isSmall, limit, theme]);

  const told = at !== null && times[at] !== undefined ? times[at] : null;
  return (
    <figure className="plot" aria-label={title}>
      <div className="canvas" ref={box} />
      {part && <button type="button" className="whole" onClick={() => setPart(null)}>Whole time</button>}
      <div className="tip" ref={tip} hidden={told === null}>
        {told !== null && (
          <>
            <span className="dim">{exactly(told).replace(/\.\d+/, "")}</span>
            {series.map((one) => (
              <span key={one.name} className="entry"><i className={`dot c${one.color.slice(2)}`} /><bdi>{oneLine(one.name, 50)}</bdi> <b>{format(one.values[at!] ?? null)}</b></span>
            ))}
          </>
        )}
      </div>
    </figure>
  );
}

function line(plot: uPlot, value: number, color: string): void {
  const { ctx, bbox } = plot;
  const y = plot.valToPos(value, "y", true);
  ctx.save();
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.5 * (window.devicePixelRatio || 1);
  ctx.setLineDash([6, 4]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

/** The colours of a plot, with their names. */
export function Legend({ series }: { series: Pick<Series, "name" | "color">[] }) {
  return (
    <div className="legend">
      {series.map((one) => <span key={one.name} title={one.name}><i className={`dot c${one.color.slice(2)}`} />{oneLine(one.name, 50) || "(none)"}</span>)}
    </div>
  );
}

/** A value for each bucket between the first and the last, `missing` where there is none. */
export function filled<T>(points: { bucket: number }[], buckets: number, value: (point: never) => T, missing: T): T[] {
  const out = new Array<T>(buckets).fill(missing);
  for (const point of points) if (point.bucket >= 0 && point.bucket < buckets) out[point.bucket] = value(point as never);
  return out;
}
