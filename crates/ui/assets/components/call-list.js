// @ts-check
// The list of calls, of one function or all: live at its top, with older ones on demand.
import { call as request, seg } from "../api.js";
import { ENDED, isOpen, PRESETS } from "../calls.js";
import { option } from "../command.js";
import { brief } from "../dead.js";
import { duration, plural } from "../format.js";
import { visible } from "../visible.js";
import { html, useEffect, useRef, useState } from "../preact.js";
import { useSearch, useSelection } from "../router.js";
import { useLoad } from "../use.js";
import { CancelMany } from "./cancel-many.js";
import { FunctionChoice, NoFunction, useOneFunction } from "./function-choice.js";
import { Icon } from "./icon.js";
import { Empty, Failure, Loading } from "./page.js";
import { CallState, HttpStatus } from "./status.js";
import { Presets, Table } from "./table.js";
import { Time } from "./time.js";

const PAGE = 100;
const EVERY = 3000;

/** @type {import("./table.js").Column<any>[]} */
const COLUMNS = [
  { key: "callId", title: "Call", main: true, cell: (call) => html`<code class="call-id">${call.callId}</code>` },
  {
    key: "function",
    title: "Function",
    cell: (call) => html`<a href=${`/ui/functions/${seg(call.function)}`}>${call.function}</a>`,
  },
  { key: "state", title: "State", cell: (call) => html`<${CallState} state=${call.state} />` },
  {
    key: "why",
    title: "Why",
    why: true,
    nil: (call) => !call.reason,
    cell: (call) => html`<span class="muted" title=${visible(call.reason ?? "")}>${brief(call.reason ?? "")}</span>`,
  },
  {
    key: "status",
    title: "Status",
    number: true,
    bare: true,
    nil: (call) => !call.status,
    cell: (call) => html`<${HttpStatus} status=${call.status} />`,
  },
  { key: "attempts", title: "Attempts", number: true, from: "medium", cell: (call) => attempts(call) },
  {
    key: "duration",
    title: "Took",
    number: true,
    bare: true,
    nil: (call) => call.durationSeconds === undefined,
    cell: (call) => took(call),
  },
  {
    key: "accepted",
    title: "Accepted",
    number: true,
    bare: true,
    cell: (call) => html`<${Time} at=${call.acceptedAt} />`,
  },
];

/** @param {any} call */
const attempts = (call) =>
  call.maxAttempts
    ? html`${call.attempts}<span class="faint"> of ${call.maxAttempts}</span>`
    : call.attempts || html`<span class="faint">0</span>`;

/** @param {any} call */
function took(call) {
  if (call.durationSeconds !== undefined) return duration(call.durationSeconds);
  const next = call.nextAttemptAt ?? call.runAt;
  return isOpen(call) && next
    ? html`<span class="muted"><${Time} at=${next} /></span>`
    : html`<span class="faint">–</span>`;
}

/**
 * The query of the API for what the address says.
 * @param {string | undefined} name of the function, if it is fixed
 */
export function useCallQuery(name) {
  const [preset] = useSearch("show");
  const chosen = useOneFunction();
  const [since] = useSearch("since");
  const states = PRESETS.find(([key]) => key === preset)?.[2] ?? [];
  const [minDuration] = useSearch("took");
  return { state: states.join(","), function: name ?? chosen ?? undefined, since, minDuration };
}

/**
 * The same as options of `skep calls list`.
 * @param {ReturnType<typeof useCallQuery>} query
 */
export const callOptions = ({ state, function: name, since, minDuration }) => [
  ...option("--function", name),
  ...option("--state", state),
  ...option("--since", since),
  ...option("--min-duration", minDuration),
];

/** @param {{ name?: string }} props `name` is the function, if there is only one */
export function CallList({ name }) {
  const query = useCallQuery(name);
  const key = JSON.stringify(query);
  const first = useLoad(
    // Until it is known whose calls they are, it loads.
    (signal) =>
      query.function === undefined
        ? new Promise(() => {})
        : request("GET", "/system/calls", { query: { ...query, limit: PAGE }, signal }),
    [key],
    EVERY,
  );
  const { shown, fresh, show, older, more, loadMore } = useGathered(first.data, query, key);
  const [chosen] = useSearch("function");
  const [selected, setSelected] = useSelection(JSON.stringify([chosen, query.state, query.since, query.minDuration]));
  const none = useOneFunction() === null && !name;
  const columns = name ? COLUMNS.filter((column) => column.key !== "function") : COLUMNS;
  const open = shown.filter((call) => selected.has(call.callId) && isOpen(call)).map((call) => call.callId);
  return html`<div class="tools">
    <${Presets} label="Which calls" name="show" options=${PRESETS.map(([id, title]) => [id, title])} /><${Since} /><${Took} />
      ${!name && html`<${FunctionChoice} />`}
      <span class="push"><${CancelMany} ...${{ query, ids: open, onDone: first.reload }} /></span></div>
    <${Failure} error=${first.error} />
    <div class="fresh" aria-live="polite">${
      fresh > 0 &&
      html`<button type="button" onClick=${show}>
      <${Icon} name="up" />${plural(fresh, "new call")}</button>`
    }</div>
    ${
      none
        ? html`<${NoFunction} />`
        : first.loading
          ? html`<${Loading} rows=${8} />`
          : shown.length === 0
            ? html`<${None} query=${query} />`
            : html`<${Table} caption="Calls" rows=${shown} columns=${columns}
      rowKey=${(/** @type {any} */ call) => call.callId} href=${(/** @type {any} */ call) => `/ui/calls/${seg(call.callId)}`} inOrder most=${Infinity} selected=${selected} onSelect=${setSelected} />`
    }
    ${
      more &&
      html`<p class="more"><button type="button" disabled=${older} onClick=${loadMore}>Show older calls</button>
      </p>`
    }`;
}

/**
 * The rows that are shown: the newest page, and older ones behind it. Once the reader has scrolled or loaded more, new rows wait to be asked for.
 * @param {any} page @param {any} query @param {string} key
 */
function useGathered(page, query, key) {
  const [rows, setRows] = useState(/** @type {any[]} */ ([]));
  const [next, setNext] = useState(/** @type {string | null} */ (null));
  const [older, setOlder] = useState(false);
  const extended = useRef(false);
  const was = useRef("");
  const all = page?.data ?? [];
  const isOther = was.current !== key;
  const show = () => {
    extended.current = false;
    setRows(all);
    setNext(page.headers.get("X-Skep-Next"));
  };
  useEffect(() => {
    if (!page) return;
    if (isOther || (!extended.current && scrollY < 200)) {
      was.current = key;
      show();
    } else {
      const now = new Map(all.map((/** @type {any} */ call) => [call.callId, call]));
      setRows((old) => old.map((call) => now.get(call.callId) ?? call));
    }
  }, [page, key]);
  const loadMore = async () => {
    setOlder(true);
    extended.current = true;
    try {
      const { data, headers } = await request("GET", "/system/calls", {
        query: { ...query, limit: PAGE, after: next ?? "" },
      });
      setRows((old) => [
        ...old,
        ...data.filter((/** @type {any} */ call) => !old.some((known) => known.callId === call.callId)),
      ]);
      setNext(headers.get("X-Skep-Next"));
    } finally {
      setOlder(false);
    }
  };
  const shown = isOther ? all : rows;
  const ids = new Set(shown.map((call) => call.callId));
  const fresh = all.filter((/** @type {any} */ call) => !ids.has(call.callId)).length;
  return { shown, fresh, show, older, more: next !== null && shown.length >= PAGE, loadMore };
}

function Since() {
  const [since, setSince] = useSearch("since");
  return html`<label class="inline"><span class="sr-only">Accepted</span>
    <select value=${since} onChange=${(/** @type {any} */ e) => setSince(e.target.value)}>
    ${[
      ["", "Any time"],
      ["15m", "Last 15 min"],
      ["1h", "Last hour"],
      ["24h", "Last day"],
    ].map(
      ([value, title]) => html`<option key=${value} value=${value} selected=${value === since}>${title}</option>`,
    )}</select></label>`;
}

function Took() {
  const [took, setTook] = useSearch("took");
  return html`<label class="inline"><span class="sr-only">Took</span>
    <select value=${took} onChange=${(/** @type {any} */ e) => setTook(e.target.value)}>
    ${[
      ["", "Any duration"],
      ["1s", "Took 1 s and more"],
      ["10s", "Took 10 s and more"],
      ["1m", "Took 1 min and more"],
      ["10m", "Took 10 min and more"],
    ].map(
      ([value, title]) => html`<option key=${value} value=${value} selected=${value === took}>${title}</option>`,
    )}</select></label>`;
}

/** @param {{ query: ReturnType<typeof useCallQuery> }} props */
function None({ query }) {
  if (query.state === "" && !query.since && !query.minDuration) {
    return html`<${Empty} title="No call is queued or kept" icon="calls">
      <p>Queued calls appear here, with what became of them. Synchronous calls do not.</p>
      <pre><code>echo 'the bees and the hive' | skep invoke ${query.function || "wordcount"} --async</code></pre><//>`;
  }
  const good = query.state
    .split(",")
    .every((state) => !ENDED.includes(state) || state === "failed" || state === "dead");
  return html`<${Empty} title="No call fits" icon=${good ? "check" : "search"}><p>
    ${good ? "Nothing is in this state." : "Another choice above shows more."}</p><//>`;
}
