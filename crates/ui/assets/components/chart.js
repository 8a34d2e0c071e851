// @ts-check
// Lines of the last 15 minutes or of the last hour, with the newest figures in words and as a table.
import { get } from "../api.js";
import { clock, count, duration, percent, rate } from "../format.js";
import { html, useEffect, useRef, useState } from "../preact.js";
import { useSearch } from "../router.js";
import { useLimits } from "../session.js";
import { history, useStats } from "../stats.js";
import { useLoad } from "../use.js";
import { Presets } from "./table.js";

/**
 * @typedef {object} Line
 * @property {import("../history.js").Series} key
 * @property {string} label
 * @property {"accent" | "bad" | "warn" | "busy"} tone
 */

/** @typedef {(value: number | null | undefined) => string} Format */

/**
 * What there are charts of.
 * @type {Record<"rate" | "errors" | "latency" | "load", { title: string, lines: Line[], format: Format }>}
 */
export const CHARTS = {
  rate: { title: "Calls per second", format: rate, lines: [{ key: "rate", label: "calls", tone: "accent" }] },
  errors: { title: "Errors", format: percent, lines: [{ key: "errors", label: "of all calls", tone: "bad" }] },
  latency: {
    title: "Latency",
    format: duration,
    lines: [
      { key: "p50", label: "p50", tone: "accent" },
      { key: "p95", label: "p95", tone: "warn" },
    ],
  },
  load: {
    title: "Waiting and running",
    format: count,
    lines: [
      { key: "waiting", label: "queued", tone: "warn" },
      { key: "inFlight", label: "in flight", tone: "busy" },
    ],
  },
};

const HEIGHT = 148;
const LEFT = 52;
const TOP = 8;
const BOTTOM = 20;
const WORDS_EVERY = 5000;
const HOUR = 3600;
/** How often the gateway is asked for the hour: it has a point each half a minute. */
const HOUR_EVERY = 15_000;

/**
 * Charts of a function, or of all together without a name, and how far they go back.
 * @param {{ name?: string, charts: { title: string, lines: Line[], format: Format }[] }} props
 */
export function Charts({ name = "", charts }) {
  const [span] = useSearch("span", "15m");
  // Those who may see only some namespaces cannot ask for all of them together.
  const limits = useLimits();
  const hasHour = Boolean(name) || limits?.length === 0;
  const isHour = hasHour && span === "1h";
  const { data } = useLoad(
    (signal) => (isHour ? get("/system/stats/history", { function: name, span }, signal) : Promise.resolve(undefined)),
    [name, isHour],
    isHour ? HOUR_EVERY : 0,
  );
  return html`<div class="section-head"><h2>Lately</h2>${
    hasHour &&
    html`<${Presets} label="How far charts go back" name="span" options=${[
      ["15m", "15 min"],
      ["1h", "1 hour"],
    ]} />`
  }</div>
    <div class="charts">${charts.map((chart) => html`<${Chart} key=${chart.title} name=${name} past=${isHour ? (data ?? {}) : undefined} ...${chart} />`)}</div>`;
}

/**
 * Times in seconds, and a column for each line.
 * @param {any} past columns of the gateway
 * @param {Line[]} lines
 * @param {{ at: number } | null} stats
 * @param {any} now figures of this second, which are the end of the lines
 * @returns {(number | null)[][]}
 */
function hour(past, lines, stats, now) {
  const { at = [] } = past;
  if (!stats || !now) return [at, ...lines.map(({ key }) => past[key] ?? [])];
  return [[...at, stats.at / 1000], ...lines.map(({ key }) => [...(past[key] ?? []), now[key] ?? null])];
}

/**
 * @param {{ title: string, name: string, lines: Line[], format: Format, past?: any }} props
 *   `name` is a function, or "" for all together; `past` is what the gateway has of the last hour
 */
function Chart({ title, name, lines, format, past }) {
  const stats = useStats();
  const [table, setTable] = useState(false);
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  // The newest figures are those that the rest of the page shows, and not of the last point.
  const now = name ? stats?.rows.find((row) => row.name === name) : stats?.sums;
  const keys = lines.map(({ key }) => key);
  const data = past ? hour(past, lines, stats, now) : history.read(name, keys);
  const span = past ? HOUR : history.span();
  const newest = data[0].length - 1;
  const shown = at === null || table ? newest : nearest(data[0], at);
  const value = (/** @type {number} */ i) => (shown === newest && now ? now[lines[i].key] : data[i + 1][shown]);
  const words = useWords(lines.map(({ label }, i) => `${label} ${format(value(i))}`).join(", "));
  return html`<figure class="chart">
    <figcaption><span class="chart-title">${title}</span>
      <span class="legend">${shown !== newest && html`<span>${minute(Number(data[0][shown]), true)}</span>`}
        ${lines.map(
          ({ label, tone }, i) => html`<span key=${label} class=${`key is-${tone}`}>${label} <b>
          ${format(value(i))}</b></span>`,
        )}</span>
      <button type="button" class="plain small" aria-pressed=${table} onClick=${() => setTable(!table)}>Table</button>
        </figcaption>
    ${table ? html`<${Values} ...${{ title, data, lines, format, every: past ? 8 : 15 }} />` : html`<${Plot} ...${{ data, span, lines, format, shown, at, setAt }} label=${`${title}: ${words}`} />`}
  </figure>`;
}

/**
 * Text that changes every five seconds at most, so that it can be listened to.
 * @param {string} text
 */
function useWords(text) {
  const last = useRef({ at: 0, text });
  if (Date.now() - last.current.at >= WORDS_EVERY) last.current = { at: Date.now(), text };
  return last.current.text;
}

/**
 * The place of the time that is nearest to one.
 * @param {(number | null)[]} times
 * @param {number} wanted
 */
function nearest(times, wanted) {
  let best = times.length - 1;
  for (const [i, time] of times.entries())
    if (Math.abs(Number(time) - wanted) < Math.abs(Number(times[best]) - wanted)) best = i;
  return best;
}

/**
 * @param {{ data: (number | null)[][], span: number, lines: Line[], format: Format, shown: number, at: number | null, setAt: (at: number | null) => void, label: string }} props
 */
function Plot({ data, span, lines, format, shown, at, setAt, label }) {
  const [place, width] = useWidth();
  const [times, ...values] = data;
  const end = Number(times[times.length - 1] ?? Date.now() / 1000);
  const top = ceiling(Math.max(0, ...values.flat().map(Number)));
  const x = (/** @type {number} */ time) => LEFT + ((time - end + span) / span) * (width - LEFT - 8);
  const y = (/** @type {number} */ value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const move = (/** @type {PointerEvent} */ event) =>
    setAt(end - span + ((event.offsetX - LEFT) / (width - LEFT - 8)) * span);
  return html`<div class="plot" ref=${place} role="img" aria-label=${label} onPointerMove=${move} onPointerLeave=${() => setAt(null)}>
    <svg width=${width} height=${HEIGHT} aria-hidden="true">
      ${levels(top, format).map(
        (part) => html`<g key=${part}>
        <path class="grid" d=${`M${LEFT} ${y(top * part)}H${width - 8}`} />
        <text x=${LEFT - 8} y=${y(top * part) + 4} class="at-end">${format(top * part).replace(/\.0(?= |$)/, "")}</text></g>`,
      )}
      ${ticks(end, span, width).map(
        (time) => html`<text key=${time} x=${x(time)} y=${HEIGHT - 4} class="at-middle">
        ${minute(time)}</text>`,
      )}
      ${values.map((line, i) => html`<${Curve} key=${lines[i].label} tone=${lines[i].tone} points=${points(times, line, x, y)} base=${y(0)} filled=${lines.length === 1} />`)}
      ${at !== null && times.length > 0 && html`<path class="cross" d=${`M${x(Number(times[shown]))} ${TOP}V${HEIGHT - BOTTOM}`} />`}
    </svg></div>`;
}

/** How wide an element is. */
function useWidth() {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(480);
  useEffect(() => {
    const size = new ResizeObserver(() => place.current && setWidth(place.current.clientWidth));
    if (place.current) size.observe(place.current);
    return () => size.disconnect();
  }, []);
  return /** @type {const} */ ([place, width]);
}

/**
 * Runs of points without a gap. @param {(number | null)[]} times @param {(number | null)[]} values
 * @param {(time: number) => number} x @param {(value: number) => number} y @returns {[number, number][][]}
 */
function points(times, values, x, y) {
  /** @type {[number, number][][]} */
  const runs = [[]];
  for (const [i, value] of values.entries()) {
    const left = x(Number(times[i]));
    if (value === null || left < LEFT) {
      if (runs[runs.length - 1].length) runs.push([]);
    } else {
      runs[runs.length - 1].push([left, y(value)]);
    }
  }
  return runs.filter((run) => run.length > 0);
}

/** @param {{ tone: string, points: [number, number][][], base: number, filled: boolean }} props */
function Curve({ tone, points: runs, base, filled }) {
  const drawn = runs.map((run) => (run.length === 1 ? [run[0], [run[0][0] + 1, run[0][1]]] : run));
  const line = drawn.map((run) => `M${run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`);
  const area = drawn.map((run, i) => `${line[i]}V${base}H${run[0][0].toFixed(1)}Z`).join("");
  return html`<g class=${`curve is-${tone}`}>${filled && html`<path class="area" d=${area} />`}
    <path class="line" d=${line.join("")} /></g>`;
}

/**
 * A round figure that is not less.
 * @param {number} value
 */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * /** @type {number} */ ([1, 2, 4, 6, 8, 10].find((step) => step * power >= value));
}

/**
 * Parts of an axis to name: its ends, and its middle if that reads differently.
 * @param {number} top
 * @param {Format} format
 */
function levels(top, format) {
  const middle = format(top / 2);
  return middle === format(top) || middle === format(0) ? [0, 1] : [0, 0.5, 1];
}

/**
 * Full minutes of an axis.
 * @param {number} end
 * @param {number} span
 * @param {number} width
 */
function ticks(end, span, width) {
  const most = width < 420 ? 3 : 6;
  const step = [60, 120, 180, 300, 600, 900].find((each) => span / each <= most) ?? 1200;
  const margin = (span / width) * 22;
  const last = Math.floor(end / step) * step;
  return Array.from({ length: most + 1 }, (_, i) => last - i * step).filter(
    (time) => time > end - span + margin && time < end - margin / 2,
  );
}

/**
 * @param {number} seconds
 * @param {boolean} [exact]
 */
const minute = (seconds, exact = false) => clock(seconds * 1000).slice(0, exact ? 8 : 5);

/** @param {{ title: string, data: (number | null)[][], lines: Line[], format: Format, every: number }} props `every` is how many points apart rows are */
function Values({ title, data, lines, format, every }) {
  const last = data[0].length - 1;
  const places = Array.from({ length: 15 }, (_, i) => last - i * every).filter((place) => place >= 0);
  return html`<div class="plot values" tabindex="0" role="region" aria-label=${title}><table class="small-table">
    <caption class="sr-only">${title}</caption>
    <thead><tr><th scope="col">Time</th>${lines.map(({ label }) => html`<th scope="col" key=${label}>${label}</th>`)}
      </tr></thead>
    <tbody>${places.map(
      (i) => html`<tr key=${data[0][i]}><th scope="row">${minute(Number(data[0][i]), true)}</th>
      ${lines.map(({ label }, j) => html`<td key=${label}>${format(data[j + 1][i])}</td>`)}</tr>`,
    )}</tbody></table></div>`;
}
