// @ts-check
// Is anything wrong? Then how much is going on.
import {
  bytes,
  CHARTS,
  Charts,
  count,
  curl,
  duration,
  Empty,
  Figure,
  html,
  Icon,
  Loading,
  Meter,
  Page,
  percent,
  plural,
  Presets,
  rate,
  Replicas,
  SameAs,
  Section,
  seg,
  Spark,
  Table,
  useInfo,
  useSearch,
  useStats,
} from "../kit.js";
import { share } from "../stats-rows.js";
import { useTrouble } from "../trouble.js";

/** @typedef {import("../stats-rows.js").Row} Row */

/** @type {import("../components/table.js").Column<Row>[]} */
const COLUMNS = [
  { key: "name", title: "Function", main: true, cell: (row) => row.name },
  { key: "ready", title: "Replicas", cell: (row) => html`<${Replicas} row=${row} />` },
  {
    key: "rate",
    title: "Calls/s",
    number: true,
    nil: (row) => !row.rate,
    cell: (row) => (row.rate ? rate(row.rate) : html`<span class="faint">0</span>`),
  },
  {
    key: "errors",
    title: "Errors",
    number: true,
    nil: (row) => !row.errors,
    cell: (row) =>
      row.errors
        ? html`<span class="text-bad">${percent(row.errors)}</span>`
        : html`<span class="faint">${percent(row.errors)}</span>`,
  },
  {
    key: "p95",
    title: "p95",
    number: true,
    from: "medium",
    cell: (row) => (row.p95 === undefined ? html`<span class="faint">–</span>` : duration(row.p95)),
  },
  {
    key: "waiting",
    title: "Queued",
    number: true,
    nil: (row) => !row.waiting,
    cell: (row) => (row.waiting ? count(row.waiting) : html`<span class="faint">${count(row.waiting)}</span>`),
  },
  {
    key: "age",
    title: "Oldest",
    number: true,
    from: "medium",
    nil: (row) => !row.age,
    cell: (row) => (row.age ? duration(row.age) : html`<span class="faint">–</span>`),
  },
  {
    key: "spark",
    title: "Lately",
    from: "wide",
    end: true,
    cell: (row) => html`<${Spark} name=${row.name} label=${`Calls per second of ${row.name}`} />`,
  },
];

const SHOWN = [CHARTS.rate, CHARTS.load];

export default function Overview() {
  const stats = useStats();
  const info = useInfo();
  const lead =
    info &&
    html`<span>skep ${info.version.release}, ${info.provider?.orchestration ?? "no controller"}${parts(info)}</span>`;
  return html`<${Page} title="Overview" lead=${lead}>
    ${
      !stats
        ? html`<${Loading} />`
        : stats.rows.length === 0
          ? html`<${First} />`
          : html`<${Trouble} />
      <${Now} stats=${stats} />`
    }
    <${SameAs} skep="skep status" curl=${curl("GET", "/system/status")} />
  <//>`;
}

/**
 * How many of each role there are; a `skep up` is all of them at once.
 * @param {any} info
 */
const parts = ({ provider }) =>
  ["gateway", "queue-worker"]
    .map((role) => {
      const n = (provider?.parts ?? [])
        .filter((/** @type {any} */ part) => part.role === role)
        .reduce((/** @type {number} */ sum, /** @type {any} */ part) => sum + part.count, 0);
      return n && `, ${plural(n, role)}`;
    })
    .filter(Boolean)
    .join("");

function Trouble() {
  const { found, checked } = useTrouble();
  if (found.length === 0) {
    return html`<div class="trouble is-none"><${Icon} name=${checked ? "check" : "clock"} /><p>
      ${checked ? "Nothing is wrong: no dead letters, no problems, nothing waits for long." : "Looking for trouble…"}
      </p></div>`;
  }
  return html`<section class="trouble" aria-label="Trouble"><ul>${found.map(
    (each) => html`<li key=${each.key} class=${`is-${each.tone}`}>
    <a href=${each.href}><${Icon} name=${each.icon} /><span class="trouble-text"><b>${each.title}</b><span>${each.text}
      </span></span><span class="trouble-go"><span>${each.act}</span><${Icon} name="right" /></span></a></li>`,
  )}</ul></section>`;
}

/** @param {{ stats: import("../stats.js").Snapshot }} props */
function Now({ stats }) {
  const all = stats.sums;
  const [by] = useSearch("top", "rate");
  const top = [...stats.rows].sort(TOP[by] ?? TOP.rate).slice(0, 8);
  return html`<div class="figures is-eight">
      <${Figure} title="Calls/s" value=${rate(all.rate)} note="all functions" href="/ui/functions?sort=-rate" />
      <${Figure} title="Errors" value=${percent(all.errors)} tone=${all.errors ? "is-bad" : ""} note="of the last calls" href="/ui/functions?sort=-errors" />
      <${Figure} title="Latency, p50" value=${duration(all.p50)} note=${`p95 ${duration(all.p95)}`} href="/ui/functions?sort=-p95" />
      <${Figure} title="In flight" value=${count(all.inFlight)} note="running or held" href="/ui/functions?only=busy" />
      <${Figure} title="Queued" value=${count(all.waiting)} note=${ofBudget(stats.budget)} href="/ui/calls?show=waiting" />
      <${Figure} title="Oldest" value=${all.waiting ? duration(all.age) : "–"} note=${all.waiting === undefined ? "not known" : all.waiting ? "the oldest call" : "nothing waits"} href="/ui/functions?sort=-age" />
      <${Figure} title="Callbacks" value=${count(stats.callbacks)} note=${stats.callbacks === undefined ? "not known" : "on their way"} />
      <${Figure} title="Dead letters" value=${count(stats.dead)} tone=${stats.dead ? "is-bad" : ""} note=${stats.dead ? "look at them" : stats.dead === 0 ? "none" : "not known"} href="/ui/dead" />
    </div>
    <${Charts} charts=${SHOWN} />
    <${Waiting} stats=${stats} />
    <${Section} title="Functions" side=${html`<${Presets} label="Which functions come first" name="top" options=${[
      ["rate", "Busiest"],
      ["errors", "Most errors"],
      ["age", "Oldest calls"],
    ]} /><a href="/ui/functions">All ${count(stats.rows.length)}</a>`}>
      <${Table} caption="Functions" rows=${top} columns=${COLUMNS} inOrder rowKey=${(/** @type {Row} */ row) => row.name} href=${(/** @type {Row} */ row) => `/ui/functions/${seg(row.name)}`} /><//>`;
}

/** @type {Record<string, (a: Row, b: Row) => number>} what comes first */
const TOP = {
  rate: (a, b) => b.rate - a.rate || (b.done ?? 0) - (a.done ?? 0),
  errors: (a, b) => b.rate * (b.errors ?? 0) - a.rate * (a.errors ?? 0) || (b.failed ?? 0) - (a.failed ?? 0),
  age: (a, b) => (b.age ?? 0) - (a.age ?? 0) || (b.waiting ?? 0) - (a.waiting ?? 0),
};

/** @param {import("../stats-rows.js").Budget} budget */
const ofBudget = (budget) => (budget.queueLimit === undefined ? "of all functions" : `${percent(share(budget))} full`);

/** @type {import("../components/table.js").Column<any>[]} */
const QUEUES = [
  { key: "name", title: "Queue", main: true, cell: (row) => row.name || "All functions together" },
  { key: "waiting", title: "Queued", number: true, cell: (row) => count(row.waiting) },
  { key: "age", title: "Oldest", number: true, cell: (row) => (row.waiting ? duration(row.age) : "–") },
  { key: "bytes", title: "Bytes", number: true, cell: (row) => bytes(row.queueBytes) },
  { key: "limit", title: "At most", number: true, from: "medium", cell: (row) => bytes(row.queueLimit) },
  {
    key: "used",
    title: "Used",
    cell: (row) => html`<${Meter} part=${share(row)} label=${`Used by ${row.name || "all queues"}`} />`,
  },
];

/** From this part of its budget on, a queue is worth a look although nothing waits: its calls wait for their time. */
const WORTH = 0.01;

/**
 * What waits, and how much of its budget it takes.
 * @param {{ stats: import("../stats.js").Snapshot }} props
 */
function Waiting({ stats }) {
  const fullest = stats.rows.filter((row) => row.waiting || share(row) >= WORTH);
  fullest.sort((a, b) => share(b) - share(a) || (b.waiting ?? 0) - (a.waiting ?? 0));
  if (fullest.length === 0) return null;
  const all = stats.budget.queueLimit === undefined ? [] : [{ ...stats.sums, ...stats.budget, name: "" }];
  return html`<${Section} title="Queues and their budgets">
    <${Table} caption="Queues and their budgets" rows=${[...all, ...fullest.slice(0, 5)]} columns=${QUEUES} inOrder rowKey=${(/** @type {any} */ row) => row.name}
      href=${(/** @type {any} */ row) => `/ui/calls?show=waiting${row.name && `&function=${seg(row.name)}`}`} /><//>`;
}

function First() {
  return html`<${Empty} title="skep runs, and has no function yet" icon="function">
    <p>A function is any program: its STDIN is the request, its STDOUT the answer.</p>
    <p><a class="button primary" href="/ui/deploy"><${Icon} name="plus" />Deploy a function</a></p>
      <p>Or in a terminal:</p>
    <pre><code>skep deploy upper --command 'tr a-z A-Z'</code></pre><//>`;
}
