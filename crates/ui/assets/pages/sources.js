// @ts-check
// Where events come from: webhooks, schedules, programs, messages.
import { call, get } from "../api.js";
import { curl, reading, words } from "../command.js";
import { Act } from "../components/act.js";
import { Dialog } from "../components/dialog.js";
import { Empty, Failure, Loading, Page } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Status } from "../components/status.js";
import { Filter, Presets, Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { toast } from "../components/toast.js";
import { count, plural } from "../format.js";
import { html, useState } from "../preact.js";
import { navigate, setSearch, useSearch } from "../router.js";
import { useStats } from "../stats.js";
import { useAct, useLoad } from "../use.js";

/**
 * What the API says of a source.
 * @typedef {object} Source
 * @property {string} name
 * @property {string} kind
 * @property {string} [path]
 * @property {string} [url]
 * @property {boolean} paused
 * @property {boolean} open
 * @property {boolean} silent
 * @property {string} [problem]
 * @property {string[]} [warnings]
 * @property {string} [lastEventAt]
 * @property {string[]} [next]
 * @property {{ events: number, duplicates: number, refused: number, held: number, newest?: { since: string, routed: number, ignored: number, paused: number } }} [counts]
 * @property {{ number: number, name?: string, createdAt: string, lastUsedAt?: string, expiresAt?: string }[]} secrets
 * @property {Record<string, any> & { routes?: { to: string, name?: string, filter?: unknown }[] }} spec
 */

export const sourceHref = (/** @type {string} */ name) => `/ui/sources/${encodeURIComponent(name)}`;

/**
 * The state of a source in a word.
 * @param {{ source: Source }} props
 */
export function SourceState({ source }) {
  if (source.spec.disabled) return html`<${Status} tone="quiet" icon="ban">disabled<//>`;
  if (source.problem) return html`<${Status} tone="bad" icon="warning">cannot take events<//>`;
  if (source.paused) return html`<${Status} tone="warn" icon="pause">paused<//>`;
  if (source.silent) return html`<${Status} tone="warn" icon="warning">silent<//>`;
  if (source.open) return html`<${Status} tone="warn" icon="warning">open to everybody<//>`;
  return html`<${Status} tone="ok" icon="check">ready<//>`;
}

const counted = (/** @type {number | undefined} */ n, tone = "text-warn") =>
  html`<span class=${n ? tone : "faint"}>${count(n ?? 0)}</span>`;

/** @param {Source} source */
export const kindOf = ({ kind, spec }) => (kind === "webhook" && spec.preset ? spec.preset : kind);

/** @type {import("../components/table.js").Column<Source>[]} */
const COLUMNS = [
  { key: "name", title: "Source", main: true, sort: (row) => row.name, cell: (row) => html`<${Name} source=${row} />` },
  {
    key: "kind",
    title: "Kind",
    sort: kindOf,
    cell: kindOf,
  },
  { key: "state", title: "State", cell: (row) => html`<${SourceState} source=${row} />` },
  { key: "routes", title: "Calls", from: "medium", cell: (row) => html`<${Targets} source=${row} />` },
  {
    key: "events",
    title: "Events",
    number: true,
    sort: (row) => row.counts?.events,
    cell: (row) => counted(row.counts?.events, ""),
  },
  {
    key: "duplicates",
    title: "Duplicates",
    number: true,
    from: "medium",
    nil: (row) => !row.counts?.duplicates,
    sort: (row) => row.counts?.duplicates,
    cell: (row) => counted(row.counts?.duplicates, ""),
  },
  {
    key: "refused",
    title: "Refused",
    number: true,
    nil: (row) => !row.counts?.refused,
    sort: (row) => row.counts?.refused,
    cell: (row) => counted(row.counts?.refused),
  },
  {
    key: "held",
    title: "Held",
    number: true,
    nil: (row) => !row.counts?.held,
    sort: (row) => row.counts?.held,
    cell: (row) => counted(row.counts?.held),
  },
  {
    key: "last",
    title: "Last event",
    number: true,
    nil: (row) => !row.lastEventAt,
    sort: (row) => row.lastEventAt,
    cell: (row) => html`<${Time} at=${row.lastEventAt} />`,
  },
];

/** @param {{ source: Source }} props */
function Name({ source }) {
  return html`<span class="name">${source.name}</span>${
    source.problem &&
    html`<span class="sub text-bad">
    ${source.problem}</span>`
  }`;
}

/** @param {{ source: Source }} props */
export function Targets({ source }) {
  const targets = [...new Set((source.spec.routes ?? []).map(({ to }) => to))];
  if (targets.length === 0) return html`<span class="faint">nothing</span>`;
  return targets.map(
    (to, i) => html`${i > 0 && ", "}<a key=${to} href=${`/ui/functions/${encodeURIComponent(to)}`}>
    ${to}</a>`,
  );
}

/** @param {Source} source */
const isTrouble = (source) =>
  Boolean(source.problem) || source.silent || source.open || (source.warnings ?? []).length > 0;

export default function Sources() {
  const { data, error, loading, reload } = useLoad((signal) => get("/system/sources", {}, signal), [], 5000);
  const [text] = useSearch("q");
  const [only] = useSearch("only", "all");
  const [adding] = useSearch("add");
  const all = /** @type {Source[]} */ (data ?? []).filter(({ kind }) => kind !== "schedule");
  const trouble = all.filter(isTrouble);
  const paused = all.filter((source) => source.paused);
  const chosen = only === "trouble" ? trouble : only === "paused" ? paused : all;
  const rows = chosen.filter(({ name }) => name.includes(text.trim()));
  const acts = html`<${Act} role="deploy" icon="plus" primary=${true} onClick=${() => setSearch({ add: "webhook" })}>Create a webhook<//>`;
  return html`<${Page} title="Sources" lead=${data && plural(all.length, "source")} acts=${acts}>
    <${Failure} error=${error} retry=${reload} />
    <div class="tools"><${Filter} label="Filter by name" />
      <${Presets} label="Which sources" name="only" options=${[
        ["all", "All", all.length],
        ["trouble", "With trouble", trouble.length],
        ["paused", "Paused", paused.length],
      ]} /></div>
    ${
      loading
        ? html`<${Loading} />`
        : all.length === 0
          ? html`<${Nothing} />`
          : html`<${Table} caption="Sources" rows=${rows} columns=${COLUMNS} sort="name"
      rowKey=${(/** @type {Source} */ row) => row.name} href=${(/** @type {Source} */ row) => sourceHref(row.name)}
      tone=${(/** @type {Source} */ row) => (row.problem ? "is-bad" : "")} />`
    }
    <${SameAs} skep=${words("skep", "sources", "list")} curl=${curl("GET", "/system/sources")} />
    ${adding && html`<${Create} onClose=${() => setSearch({ add: "" })} />`}
  <//>`;
}

function Nothing() {
  return html`<${Empty} title="No source takes events yet" icon="source">
    <p>A webhook source is an address that GitHub, Stripe or another provider sends its events to. skep verifies them and calls functions.</p><//>`;
}

/** @param {{ onClose: () => void }} props */
function Create({ onClose }) {
  const presets = useLoad((signal) => get("/system/presets", {}, signal), []);
  const functions = (useStats()?.rows ?? []).map(({ name }) => name);
  const [name, setName] = useState("");
  const [preset, setPreset] = useState("standard-webhooks");
  const [to, setTo] = useState("");
  const [type, setType] = useState("");
  const [secret, setSecret] = useState("");
  const [error, setError] = useState("");
  const route = { to, ...(type && { filter: { type } }) };
  const body = { name: name || "NAME", preset, routes: [to ? route : { ...route, to: "FUNCTION" }] };
  const add = ["skep", "sources", "add", name || "NAME"];
  const [run, busy] = useAct(async () => {
    try {
      await call("POST", "/system/sources", { json: body });
      if (secret)
        await call("POST", `/system/sources/${encodeURIComponent(name)}/secrets`, { json: { value: secret } });
      toast("ok", `Source ${name} takes events.`);
      navigate(sourceHref(name));
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  const typed = (/** @type {(value: string) => void} */ set) => (/** @type {any} */ event) => set(event.target.value);
  return html`<${Dialog} title="Create a webhook" onClose=${onClose} wide=${true}><form onSubmit=${submit}>
    <label class="field"><span>Name</span>
      <input name="name" required pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" value=${name} autocomplete="off" spellcheck="false" onInput=${typed(setName)} />
      <span class="hint">The address will be ${location.origin}/hooks/${name || "NAME"}</span></label>
    <label class="field"><span>Provider</span><select name="preset" value=${preset} onChange=${typed(setPreset)}>
      ${(presets.data ?? [{ name: preset }]).map((/** @type {{ name: string }} */ each) => html`<option key=${each.name} value=${each.name}>${each.name}</option>`)}</select>
      <span class="hint">How its requests are verified. “standard-webhooks” is for OpenAI, Supabase, Render and others; “none” verifies nothing.</span></label>
    <label class="field"><span>Calls the function</span><select name="to" required value=${to} onChange=${typed(setTo)}>
      <option value="">Choose one</option>
      ${functions.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>
    <label class="field"><span>Only for events of the type (optional)</span>
      <input name="type" value=${type} placeholder="order.*" autocomplete="off" spellcheck="false" onInput=${typed(setType)} /></label>
    ${
      preset !== "none" &&
      html`<label class="field"><span>Secret (optional; it can be added later)</span>
      <input name="secret" type="password" value=${secret} autocomplete="off" onInput=${typed(setSecret)} />
      <span class="hint">The one that the provider shows. It is sealed, and never shown again.</span></label>`
    }
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <${SameAs} skep=${type ? reading({ preset, routes: [route] }, ...add, "--file", "-") : words(...add, "--preset", preset, "--to", to || "FUNCTION")} curl=${curl("POST", "/system/sources", { json: body })} />
    ${secret && html`<${SameAs} title="And its secret" skep=${`${words("skep", "sources", "secret", "add", name || "NAME")} < secret.txt`} curl=${curl("POST", `/system/sources/${name || "NAME"}/secrets`, { json: { value: "…" } })} />`}
    <footer><button type="button" onClick=${onClose}>Cancel</button>
      <button class="primary" disabled=${busy || !name || !to}>Create it</button></footer>
  </form><//>`;
}
