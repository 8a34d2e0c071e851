// @ts-check
// All functions with their live figures.
import {
  count,
  curl,
  duration,
  Empty,
  Filter,
  html,
  Icon,
  Loading,
  Page,
  percent,
  plural,
  Presets,
  rate,
  Replicas,
  SameAs,
  Spark,
  Table,
  useSearch,
  useStats,
  words,
} from "../kit.js";
import { split } from "../stats-rows.js";

/** @typedef {import("../stats-rows.js").Row} Row */

/** @type {import("../components/table.js").Column<Row>[]} */
const COLUMNS = [
  { key: "name", title: "Function", main: true, sort: (row) => row.name, cell: (row) => html`<${Name} row=${row} />` },
  {
    key: "ready",
    title: "Replicas",
    sort: (row) => row.ready / Math.max(row.wanted, 1),
    cell: (row) => html`<${Replicas} row=${row} />`,
  },
  {
    key: "rate",
    title: "Calls/s",
    number: true,
    nil: (row) => !row.rate,
    sort: (row) => row.rate,
    cell: (row) => (row.rate ? rate(row.rate) : zero(row.rate)),
  },
  {
    key: "errors",
    title: "Errors",
    number: true,
    nil: (row) => !row.errors,
    sort: (row) => row.errors,
    cell: (row) => errors(row),
  },
  {
    key: "p50",
    title: "p50",
    number: true,
    from: "wide",
    sort: (row) => row.p50,
    cell: (row) => (row.p50 === undefined ? zero(undefined) : duration(row.p50)),
  },
  {
    key: "p95",
    title: "p95",
    number: true,
    from: "medium",
    sort: (row) => row.p95,
    cell: (row) => (row.p95 === undefined ? zero(undefined) : duration(row.p95)),
  },
  {
    key: "inFlight",
    title: "In flight",
    number: true,
    nil: (row) => !row.inFlight,
    sort: (row) => row.inFlight,
    cell: (row) => zero(row.inFlight),
  },
  {
    key: "waiting",
    title: "Queued",
    number: true,
    nil: (row) => !row.waiting,
    sort: (row) => row.waiting,
    cell: (row) => zero(row.waiting),
  },
  {
    key: "age",
    title: "Oldest",
    number: true,
    from: "medium",
    sort: (row) => row.age,
    cell: (row) => (row.waiting ? duration(row.age) : html`<span class="faint">–</span>`),
  },
  {
    key: "dead",
    title: "Dead",
    number: true,
    nil: (row) => !row.dead,
    sort: (row) => row.dead,
    cell: (row) => html`<${Dead} row=${row} />`,
  },
  {
    key: "spark",
    title: "Lately",
    from: "wide",
    end: true,
    cell: (row) => html`<${Spark} name=${row.name} label=${`Calls per second of ${row.name}`} />`,
  },
];

/**
 * Zeros are faint, so that other figures stand out.
 * @param {number | undefined} n
 */
const zero = (n) => (n ? count(n) : html`<span class="faint">${n === 0 ? "0" : "–"}</span>`);

/** @param {Row} row */
function errors(row) {
  if (row.errors === undefined) return html`<span class="faint">–</span>`;
  return row.errors > 0
    ? html`<span class="text-bad">${percent(row.errors)}</span>`
    : html`<span class="faint">0 %</span>`;
}

/** @param {{ row: Row }} props */
function Name({ row }) {
  const { name, namespace } = split(row.name);
  return html`<span class="name">${name}${namespace && html`<span class="faint">.${namespace}</span>`}</span>
    ${row.problem && html`<span class="sub text-bad">${row.problem}</span>`}`;
}

/** @param {{ row: Row }} props */
function Dead({ row }) {
  if (!row.dead) return zero(row.dead);
  return html`<a class="text-bad" href=${`/ui/dead?function=${encodeURIComponent(row.name)}`}>${count(row.dead)}</a>`;
}

/** @param {Row} row */
const isTrouble = (row) => Boolean(row.problem) || row.ready < row.wanted || Boolean(row.dead) || (row.errors ?? 0) > 0;

export default function Functions() {
  const stats = useStats();
  const [text] = useSearch("q");
  const [only] = useSearch("only", "all");
  const all = stats?.rows ?? [];
  const trouble = all.filter(isTrouble);
  const busy = all.filter((row) => row.inFlight > 0 || (row.rate ?? 0) > 0 || (row.waiting ?? 0) > 0);
  const chosen = only === "trouble" ? trouble : only === "busy" ? busy : all;
  const rows = chosen.filter((row) => row.name.includes(text.trim()));
  const acts = html`<a class="button primary" href="/ui/deploy"><${Icon} name="plus" />Deploy a function</a>`;
  return html`<${Page} title="Functions" lead=${stats && plural(all.length, "function")} acts=${acts}>
    <div class="tools"><${Filter} label="Filter by name" />
      <${Presets} label="Which functions" name="only" options=${[
        ["all", "All", all.length],
        ["trouble", "With trouble", trouble.length],
        ["busy", "Busy", busy.length],
      ]} /></div>
    <${List} ...${{ stats, rows, all }} />
    <${SameAs} skep=${words("skep", "status")} curl=${curl("GET", "/system/status")} />
  <//>`;
}

/** @param {{ stats: any, rows: Row[], all: Row[] }} props */
function List({ stats, rows, all }) {
  if (!stats) return html`<${Loading} rows=${8} />`;
  if (all.length === 0) {
    return html`<${Empty} title="No function is deployed yet" icon="function">
      <p>A function is any program. <a href="/ui/deploy">Deploy one here</a>, or in a terminal:</p>
      <pre><code>skep deploy upper --command 'tr a-z A-Z'</code></pre><//>`;
  }
  if (rows.length === 0)
    return html`<${Empty} title="No function fits" icon="search"><p>Other text, or another choice above, shows more.</p>
      <//>`;
  return html`<${Table} caption="Functions" rows=${rows} columns=${COLUMNS} rowKey=${(/** @type {Row} */ row) => row.name} sort="name"
    href=${(/** @type {Row} */ row) => `/ui/functions/${encodeURIComponent(row.name)}`}
    tone=${(/** @type {Row} */ row) => (row.problem || (row.wanted && !row.ready) ? "is-bad" : "")} />`;
}
