// @ts-check
// Sources that call functions at times.
import { call, get, seg } from "../api.js";
import { curl, reading, words } from "../command.js";
import { Act } from "../components/act.js";
import { Dialog } from "../components/dialog.js";
import { Empty, Failure, Loading, Page } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Filter, Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { failed, toast } from "../components/toast.js";
import { plural } from "../format.js";
import { html, useState } from "../preact.js";
import { navigate, setSearch, useSearch } from "../router.js";
import { useStats } from "../stats.js";
import { useAct, useLoad } from "../use.js";
import { SourceState, Targets } from "./sources.js";

/** @typedef {import("./sources.js").Source} Source */

export const scheduleHref = (/** @type {string} */ name) => `/ui/schedules/${encodeURIComponent(name)}`;

/**
 * When a schedule fires, in its own words.
 * @param {Source} source
 */
export function when({ spec }) {
  const times = spec.every ? `every ${spec.every}` : [spec.cron].flat().join("; ");
  return spec.timezone ? `${times}, ${spec.timezone}` : times;
}

/** @type {import("../components/table.js").Column<Source>[]} */
const COLUMNS = [
  { key: "name", title: "Schedule", main: true, sort: (row) => row.name, cell: (row) => row.name },
  { key: "when", title: "When", cell: (row) => html`<code>${when(row)}</code>` },
  { key: "state", title: "State", cell: (row) => html`<${SourceState} source=${row} />` },
  { key: "routes", title: "Calls", from: "medium", cell: (row) => html`<${Targets} source=${row} />` },
  {
    key: "last",
    title: "Last",
    number: true,
    nil: (row) => !row.lastEventAt,
    sort: (row) => row.lastEventAt,
    cell: (row) => html`<${Time} at=${row.lastEventAt} />`,
  },
  {
    key: "next",
    title: "Next",
    number: true,
    nil: (row) => !row.next?.[0],
    sort: (row) => row.next?.[0],
    cell: (row) => html`<${Time} at=${row.next?.[0]} />`,
  },
  { key: "acts", title: "", end: true, cell: (row) => html`<${Fire} source=${row} />` },
];

/**
 * Has a schedule call its functions now.
 * @param {{ source: Source, onDone?: () => void }} props
 */
export function Fire({ source, onDone }) {
  const [run, busy] = useAct(async () => {
    try {
      const { data } = await call("POST", `/system/sources/${seg(source.name)}/fire`, { json: {} });
      const calls = data.occurrences.flatMap((/** @type {any} */ each) => each.calls);
      const first = calls[0] && { href: `/ui/calls/${calls[0].callId}`, link: "Open it" };
      toast("ok", `${source.name} made ${plural(calls.length, "call")}.`, first);
      onDone?.();
    } catch (error) {
      failed(error);
    }
  });
  return html`<${Act} role="deploy" icon="play" disabled=${busy} onClick=${run}>Fire now<//>`;
}

export default function Schedules() {
  const { data, error, loading, reload } = useLoad((signal) => get("/system/sources", {}, signal), [], 5000);
  const [text] = useSearch("q");
  const [adding] = useSearch("add");
  const all = /** @type {Source[]} */ (data ?? []).filter(({ kind }) => kind === "schedule");
  const rows = all.filter(({ name }) => name.includes(text.trim()));
  const acts = html`<${Act} role="deploy" icon="plus" primary=${true} onClick=${() => setSearch({ add: "schedule" })}>Create a schedule<//>`;
  return html`<${Page} title="Schedules" lead=${data && plural(all.length, "schedule")} acts=${acts}>
    <${Failure} error=${error} retry=${reload} />
    <div class="tools"><${Filter} label="Filter by name" /></div>
    ${
      loading
        ? html`<${Loading} />`
        : all.length === 0
          ? html`<${Empty} title="Nothing is scheduled yet" icon="clock">
      <p>A schedule calls functions each night, every ten minutes, or on the last Friday of a month.</p><//>`
          : html`<${Table} caption="Schedules" rows=${rows} columns=${COLUMNS} sort="next" rowKey=${(/** @type {Source} */ row) => row.name}
        href=${(/** @type {Source} */ row) => scheduleHref(row.name)} tone=${(/** @type {Source} */ row) => (row.problem ? "is-bad" : "")} />`
    }
    <${SameAs} skep=${words("skep", "sources", "list")} curl=${curl("GET", "/system/sources")} />
    ${adding && html`<${Create} onClose=${() => setSearch({ add: "" })} />`}
  <//>`;
}

/** @param {{ onClose: () => void }} props */
function Create({ onClose }) {
  const functions = (useStats()?.rows ?? []).map(({ name }) => name);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [form, setForm] = useState({ name: "", cron: "0 3 * * *", timezone: zone === "UTC" ? "" : zone, to: "" });
  const [error, setError] = useState("");
  const spec = { cron: form.cron, ...(form.timezone && { timezone: form.timezone }), routes: [{ to: form.to }] };
  const body = { name: form.name, ...spec };
  const [run, busy] = useAct(async () => {
    try {
      await call("POST", "/system/sources", { json: body });
      toast("ok", `${form.name} is scheduled.`);
      navigate(scheduleHref(form.name));
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  const typed = (/** @type {any} */ event) => setForm({ ...form, [event.target.name]: event.target.value });
  return html`<${Dialog} title="Create a schedule" onClose=${onClose}><form onSubmit=${submit}>
    <label class="field"><span>Name</span>
      <input name="name" required value=${form.name} autocomplete="off" spellcheck="false" onInput=${typed} /></label>
    <label class="field"><span>When, as a cron expression</span>
      <input name="cron" required value=${form.cron} autocomplete="off" spellcheck="false" onInput=${typed} />
      <span class="hint">Minute, hour, day of month, month, day of week: <code>*/10 * * * *</code> is every ten minutes, <code>0 9-17 * * MON-FRI</code> each full hour of a working day.</span></label>
    <label class="field"><span>Time zone (UTC without one)</span>
      <input name="timezone" value=${form.timezone} autocomplete="off" spellcheck="false" onInput=${typed} /></label>
    <label class="field"><span>Calls the function</span><select name="to" required value=${form.to} onChange=${typed}>
      <option value="">Choose one</option>
      ${functions.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <${SameAs} skep=${reading(spec, "skep", "sources", "add", form.name || "NAME", "--file", "-")} curl=${curl("POST", "/system/sources", { json: body })} />
    <footer><button type="button" onClick=${onClose}>Cancel</button>
      <button class="primary" disabled=${busy || !form.name || !form.to}>Create it</button></footer>
  </form><//>`;
}
