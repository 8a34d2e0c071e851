// @ts-check
// The events that a source has taken, and their replay.
import { call, get, seg } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { Dialog } from "../components/dialog.js";
import { Empty, Failure, Loading, Notice } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Status } from "../components/status.js";
import { Filter, Presets, Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { toast } from "../components/toast.js";
import { plural } from "../format.js";
import { html, useState } from "../preact.js";
import { useSearch } from "../router.js";
import { useAct, useLoad } from "../use.js";

/**
 * @typedef {object} Event
 * @property {string} id
 * @property {string} type
 * @property {string} receivedAt
 * @property {string} verified
 * @property {string} outcome
 * @property {{ route: string, function: string, callId: string, state?: string }[]} calls
 * @property {{ route: string, reason: string }[]} ignored
 */

const OUTCOMES = /** @type {Record<string, [any, any]>} */ ({
  routed: ["ok", "check"],
  ignored: ["quiet", "ban"],
  paused: ["warn", "pause"],
  failed: ["bad", "cross"],
});

/** @param {{ outcome: string }} props */
export function Outcome({ outcome }) {
  const [tone, icon] = OUTCOMES[outcome] ?? ["quiet", "info"];
  return html`<${Status} tone=${tone} icon=${icon}>${outcome}<//>`;
}

/**
 * What became of an event, in a line.
 * @param {Event} event
 */
function decision(event) {
  if (event.calls.length > 0) {
    return event.calls.map(
      ({ route, callId }, i) => html`${i > 0 && ", "}
      <a key=${callId} href=${`/ui/calls/${callId}`}>${route}</a>`,
    );
  }
  return html`<span class="muted">${event.ignored.map(({ route, reason }) => `${route}: ${reason}`).join("; ")}
    </span>`;
}

/** @type {import("../components/table.js").Column<Event>[]} */
const COLUMNS = [
  { key: "id", title: "Event", main: true, cell: (row) => html`<code class="call-id">${row.id}</code>` },
  { key: "type", title: "Type", nil: (row) => !row.type, cell: (row) => row.type },
  { key: "at", title: "Came", cell: (row) => html`<${Time} at=${row.receivedAt} />` },
  { key: "outcome", title: "Decision", cell: (row) => html`<${Outcome} outcome=${row.outcome} />` },
  { key: "calls", title: "Calls", cell: decision },
  { key: "verified", title: "Verified by", from: "wide", cell: (row) => row.verified.split(";")[0] },
];

/** @param {{ source: import("./sources.js").Source }} props */
export function Events({ source }) {
  const [outcome] = useSearch("outcome");
  const [type] = useSearch("type");
  const [before, setBefore] = useSearch("before");
  const [replaying, setReplaying] = useState(false);
  const query = { outcome, type, before, limit: 50 };
  const path = `/system/sources/${seg(source.name)}/events`;
  const { data, error, loading, reload } = useLoad(
    (signal) => get(path, query, signal),
    [path, query],
    before ? 0 : 3000,
  );
  const events = /** @type {Event[]} */ (data?.events ?? []);
  return html`<div class="tools"><${Filter} name="type" label="Type of events" placeholder="Type, such as order.*" />
      <${Presets} label="Which events" name="outcome" options=${[
        ["", "All"],
        ["routed", "Routed"],
        ["ignored", "Ignored"],
        ["failed", "Failed"],
        ["paused", "Paused"],
      ]} />
      <span class="push"><${Act} role="deploy" icon="retry" onClick=${() => setReplaying(true)}>Replay…<//></span></div>
    <${Failure} error=${error} retry=${reload} />
    ${
      loading
        ? html`<${Loading} />`
        : events.length === 0
          ? html`<${Empty} title=${outcome || type ? "No event fits" : "No event has come yet"} icon="source">
            <p>Events are kept for ${source.spec.keep ?? "7 days"}.</p><//>`
          : html`<${Table} caption=${`Events of ${source.name}`} rows=${events} columns=${COLUMNS} inOrder=${true} rowKey=${(/** @type {Event} */ row) => row.id}
        href=${(/** @type {Event} */ row) => `/ui/sources/${seg(source.name)}/events/${seg(row.id)}`} tone=${(/** @type {Event} */ row) => (row.outcome === "failed" ? "is-bad" : "")} />`
    }
    <div class="tools">${before && html`<button type="button" onClick=${() => setBefore("")}>Newest</button>`}
      ${data?.next && html`<button type="button" onClick=${() => setBefore(String(data.next))}>Older events</button>`}
        </div>
    <${SameAs} skep=${words("skep", "sources", "events", source.name, outcome && "--outcome", outcome, type && "--type", type)} curl=${curl("GET", path, { query: { outcome, type } })} />
    ${replaying && html`<${Replay} source=${source} outcome=${outcome} type=${type} onClose=${() => setReplaying(false)} onDone=${reload} />`}`;
}

/** @param {{ source: import("./sources.js").Source, outcome: string, type: string, onClose: () => void, onDone: () => void }} props */
function Replay(props) {
  const { source, onClose, onDone } = props;
  const [since, setSince] = useState("1h");
  const [outcome, setOutcome] = useState(props.outcome);
  const [route, setRoute] = useState("");
  const [rate, setRate] = useState("");
  const [preview, setPreview] = useState(/** @type {any} */ (null));
  const [error, setError] = useState("");
  const path = `/system/sources/${seg(source.name)}/replay`;
  const body = {
    since,
    ...(outcome && { outcome }),
    ...(props.type && { type: props.type }),
    ...(route && { route }),
    ...(rate && { rate }),
  };
  const send = async (/** @type {boolean} */ dryRun) => {
    setError("");
    try {
      const { data } = await call("POST", path, { json: { ...body, ...(dryRun && { dryRun }) } });
      if (dryRun) return setPreview(data);
      toast("ok", `${plural(data.calls.length, "call")} of ${plural(data.events, "event")} made.`);
      onDone();
      onClose();
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  };
  const [run, busy] = useAct(send);
  const changed = (/** @type {(value: string) => void} */ set) => (/** @type {any} */ event) => {
    setPreview(null);
    set(event.target.value);
  };
  const routes = (source.spec.routes ?? []).map(({ name, to }) => name ?? to);
  return html`<${Dialog} title=${`Replay events of ${source.name}`} onClose=${onClose}>
    <p>Events that are kept make calls once more, by the routes of today.</p>
    <label class="field"><span>Since (a time, or how long ago)</span>
      <input name="since" value=${since} onInput=${changed(setSince)} /></label>
    <label class="field"><span>Which events</span>
      <select name="outcome" value=${outcome} onChange=${changed(setOutcome)}>
      ${[
        ["", "All"],
        ["failed", "Those whose latest call failed"],
        ["paused", "Those that wait since a pause"],
        ["ignored", "Those that no route took"],
        ["routed", "Those that made calls"],
      ].map(([value, title]) => html`<option key=${value} value=${value}>${title}</option>`)}</select></label>
    <label class="field"><span>By the route</span><select name="route" value=${route} onChange=${changed(setRoute)}>
      <option value="">All</option>
      ${routes.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>
    <label class="field"><span>At most (optional)</span>
      <input name="rate" value=${rate} placeholder="20/s" onInput=${changed(setRate)} /></label>
    ${
      preview &&
      html`<${Notice} tone=${preview.calls.length ? "ok" : "quiet"}>
      ${plural(preview.events, "event")} would make ${plural(preview.calls.length, "call")}${preview.next ? ", and there are more" : ""}.<//>`
    }
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <${SameAs} skep=${words("skep", "sources", "replay", source.name, "--since", since, outcome && "--outcome", outcome, route && "--route", route, rate && "--rate", rate)} curl=${curl("POST", path, { json: body })} />
    <footer><button type="button" onClick=${onClose}>Close</button>
      <button type="button" disabled=${busy} onClick=${() => run(true)}>Count first</button>
      <button type="button" class="primary" disabled=${busy || !preview?.calls.length} onClick=${() => run(false)}>Replay${preview ? ` ${plural(preview.events, "event")}` : ""}</button></footer>
  <//>`;
}
