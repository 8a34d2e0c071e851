// @ts-check
// One schedule: its next times, and what came of those before.
import { call, get, seg } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { Confirm, Dialog } from "../components/dialog.js";
import { Facts } from "../components/facts.js";
import { Failure, Loading, Notice, Page, Section } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Tabs } from "../components/tabs.js";
import { Time } from "../components/time.js";
import { failed, toast } from "../components/toast.js";
import { plural } from "../format.js";
import { html, useState } from "../preact.js";
import { navigate } from "../router.js";
import { useAct, useLoad } from "../use.js";
import { Fire, scheduleHref, when } from "./schedules.js";
import { turn } from "./source.js";
import { Declaration } from "./source-declaration.js";
import { Events } from "./source-events.js";
import { SourceState, Targets } from "./sources.js";

/** @typedef {import("./sources.js").Source} Source */

/** @param {{ params: { name: string, tab?: string } }} props */
export default function SchedulePage({ params: { name, tab = "times" } }) {
  const { data, error, loading, reload } = useLoad(
    (signal) => get(`/system/sources/${seg(name)}`, {}, signal),
    [name],
    5000,
  );
  const source = /** @type {Source | undefined} */ (data);
  const above = html`<a href="/ui/schedules">Schedules</a>`;
  if (!source)
    return html`<${Page} title=${name} above=${above}><${Failure} error=${error} retry=${reload} />
    ${loading && html`<${Loading} />`}<//>`;
  const href = scheduleHref(name);
  const tabs = [
    { key: "times", title: "Times", href },
    { key: "declaration", title: "Declaration", href: `${href}/declaration` },
  ];
  return html`<${Page} title=${name} above=${above} lead=${html`<${SourceState} source=${source} />`} acts=${html`<${Acts} ...${{ source, reload }} />`}>
    <${Failure} error=${error} retry=${reload} />
    ${source.problem && html`<${Notice} tone="bad" icon="warning">${source.problem}<//>`}
    <div class="card"><${Facts} facts=${[
      ["When", html`<code>${when(source)}</code>`],
      ["Calls", html`<${Targets} source=${source} />`],
      ["If one still runs", OVERLAP[source.spec.overlap ?? "skip"]],
      ["Last", html`<${Time} at=${source.lastEventAt} />`],
    ]} /></div>
    <${Tabs} label=${`Parts of ${name}`} current=${tab} tabs=${tabs} />
    ${
      tab === "declaration"
        ? html`<${Declaration} ...${{ source, reload }} />`
        : html`<${Next} source=${source} />
      <${Section} title="What came"><${Events} source=${source} /><//>`
    }
    <${SameAs} title="Next times" skep=${words("skep", "sources", "next", name, "-n", 5)} curl=${curl("GET", `/system/sources/${seg(name)}/next`, { query: { n: 5 } })} />
    <${SameAs} title="Fire now" skep=${words("skep", "sources", "fire", name)} curl=${curl("POST", `/system/sources/${seg(name)}/fire`, { json: {} })} />
    <${SameAs} title=${source.paused ? "Resume" : "Pause"} skep=${words("skep", "sources", turn(source), name)} curl=${curl("POST", `/system/sources/${seg(name)}/${turn(source)}`)} />
  <//>`;
}

const OVERLAP = /** @type {Record<string, string>} */ ({
  skip: "the next call is skipped",
  queue: "the next call waits",
  replace: "the one that runs is cancelled",
  allow: "both run",
});

/** @param {{ source: Source }} props */
function Next({ source }) {
  const path = `/system/sources/${seg(source.name)}/next`;
  const { data, error } = useLoad((signal) => get(path, { n: 5 }, signal), [path, source.next], 15_000);
  const times = /** @type {string[]} */ (data?.next ?? []);
  return html`<${Section} title="Next times"><${Failure} error=${error} />
    <div class="card">${source.paused ? html`<p class="muted">It is paused, so nothing is planned.</p>` : times.length === 0 ? html`<p class="muted">There is none.</p>` : html`<ol class="times">${times.map((at) => html`<li key=${at}><code>${at.replace("T", " ")}</code> <span class="muted"><${Time} at=${at} /></span></li>`)}</ol>`}</div><//>`;
}

/** @param {{ source: Source, reload: () => void }} props */
function Acts({ source, reload }) {
  const [open, setOpen] = useState(/** @type {"" | "backfill" | "remove"} */ (""));
  const path = `/system/sources/${seg(source.name)}`;
  const [run, busy] = useAct(async () => {
    try {
      await call("POST", `${path}/${turn(source)}`);
      toast("ok", source.paused ? `${source.name} goes on.` : `${source.name} is paused: nothing is planned.`);
      reload();
    } catch (error) {
      failed(error);
    }
  });
  const remove = async () => {
    await call("DELETE", "/system/sources", { json: { name: source.name } });
    toast("ok", `Schedule ${source.name} is removed.`);
    navigate("/ui/schedules");
  };
  const close = () => setOpen("");
  return html`<${Fire} source=${source} onDone=${reload} />
    <${Act} role="deploy" icon=${source.paused ? "play" : "pause"} disabled=${busy} onClick=${run}>
      ${source.paused ? "Resume" : "Pause"}<//>
    <${Act} role="deploy" icon="retry" onClick=${() => setOpen("backfill")}>Backfill…<//>
    <${Act} role="deploy" onClick=${() => setOpen("remove")}>Remove…<//>
    ${open === "backfill" && html`<${Backfill} source=${source} onClose=${close} onDone=${reload} />`}
    ${
      open === "remove" &&
      html`<${Confirm} title=${`Remove ${source.name}?`} act="Remove it" danger=${true} type=${source.name} onAct=${remove} onClose=${close}>
      <p>What it has planned is taken back. Calls that run go on.</p>
      <${SameAs} skep=${words("skep", "sources", "remove", source.name)} curl=${curl("DELETE", "/system/sources", { json: { name: source.name } })} /><//>`
    }`;
}

/** @param {{ source: Source, onClose: () => void, onDone: () => void }} props */
function Backfill({ source, onClose, onDone }) {
  const [from, setFrom] = useState("1h");
  const [to, setTo] = useState("");
  const [error, setError] = useState("");
  const body = { from, ...(to && { to }) };
  const path = `/system/sources/${seg(source.name)}/backfill`;
  const [run, busy] = useAct(async () => {
    try {
      const { data } = await call("POST", path, { json: body });
      toast("ok", `${plural(data.occurrences.length, "time")} made calls.`);
      onDone();
      onClose();
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  return html`<${Dialog} title=${`Make calls of past times of ${source.name}`} onClose=${onClose}>
    <form onSubmit=${submit}>
    <p>Each time between the two makes its calls, at most 1,000.</p>
    <label class="field"><span>From (a time, or how long ago)</span>
      <input name="from" required value=${from} onInput=${(/** @type {any} */ e) => setFrom(e.target.value)} /></label>
    <label class="field"><span>To (now without it)</span>
      <input name="to" value=${to} onInput=${(/** @type {any} */ e) => setTo(e.target.value)} /></label>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <${SameAs} skep=${words("skep", "sources", "backfill", source.name, "--from", from, to && "--to", to)} curl=${curl("POST", path, { json: body })} />
    <footer><button type="button" onClick=${onClose}>Cancel</button>
      <button class="primary" disabled=${busy || !from}>Make the calls</button></footer>
  </form><//>`;
}
