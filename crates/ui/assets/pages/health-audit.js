// @ts-check
// The audit: whether each accepted call is somewhere, computed from the streams.
import { ApiError } from "../api.js";
import { curl, words } from "../command.js";
import { Empty, Failure, Notice, Section } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Status } from "../components/status.js";
import { Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { count, duration } from "../format.js";
import { html, useState } from "../preact.js";
import { useAct } from "../use.js";

const STATES = ["accepted", "succeeded", "failed", "dead", "cancelled", "expired", "inFlight", "missing"];
const TITLES = /** @type {Record<string, string>} */ ({ inFlight: "In flight" });

/**
 * A column of counts.
 * @param {string} key
 * @returns {import("../components/table.js").Column<any>}
 */
const counts = (key) => ({
  key,
  title: TITLES[key] ?? key[0].toUpperCase() + key.slice(1),
  number: true,
  sort: (row) => row[key],
  nil: (row) => !row[key],
  cell: (row) =>
    html`<span class=${key === "missing" && row[key] ? "text-bad" : row[key] ? "" : "faint"}>${count(row[key])}</span>`,
});

/** @type {import("../components/table.js").Column<any>[]} */
const FUNCTIONS = [
  {
    key: "name",
    title: "Function",
    main: true,
    sort: (row) => row.function,
    cell: (row) => html`<a href=${`/ui/functions/${encodeURIComponent(row.function)}`}>${row.function}</a>`,
  },
  ...STATES.map(counts),
];

/** @type {import("../components/table.js").Column<any>[]} */
const SOURCES = [
  { key: "name", title: "Source", main: true, sort: (row) => row.source, cell: (row) => row.source },
  ...["events", "routed", "ignored", "paused", "waiting", "calls", "missing"].map(counts),
];

export function Audit() {
  const [report, setReport] = useState(/** @type {any} */ (null));
  const [progress, setProgress] = useState("");
  const [error, setError] = useState(/** @type {Error | undefined} */ (undefined));
  const [run, busy] = useAct(async () => {
    setError(undefined);
    try {
      setReport(await audit((line) => setProgress(line)));
    } catch (why) {
      setError(/** @type {Error} */ (why));
    }
    setProgress("");
  });
  return html`<p>For each function, accepted = succeeded + failed + dead + cancelled + expired + in flight. The audit counts this from what NATS holds, call by call, and names each one that does not fit. The controller runs one every hour.</p>
    <div class="tools"><button type="button" class="primary" disabled=${busy} onClick=${run}>Run an audit now</button>
      <span role="status" class="muted">${progress}</span></div>
    <${Failure} error=${error} />
    ${report && html`<${Report} report=${report} />`}
    <${SameAs} skep=${words("skep", "audit")} curl=${curl("GET", "/system/audit")} />`;
}

/** @param {{ report: any }} props */
function Report({ report }) {
  const { findings, functions, sources = [] } = report;
  return html`<${Section} title="Report" side=${html`<span><${Time} at=${report.at} />, took ${duration(report.durationSeconds)}</span>`}>
      ${
        findings.length === 0
          ? html`<${Notice} tone="ok" icon="check">It adds up: every accepted call is accounted for.<//>`
          : html`<${Notice} tone="bad" icon="warning"><p>${count(findings.length)} do not add up:</p>
        <ul class="decisions">${findings.map(
          (/** @type {any} */ each, /** @type {number} */ i) => html`<li key=${i}>
          <${Status} tone="bad" icon="warning">${each.kind ?? each.finding}
          <//> ${
            each.callId
              ? html`<a href=${`/ui/calls/${each.callId}`}>${each.callId}
          </a>`
              : ""
          } ${each.function ?? ""} ${each.event ? JSON.stringify(each.event) : ""} ${each.reason ?? ""}
          </li>`,
        )}</ul><//>`
      }
      ${functions.length === 0 ? html`<${Empty} title="No call was queued in the time that the audit covers" icon="calls" />` : html`<${Table} caption="Queued calls by function" rows=${functions} columns=${FUNCTIONS} sort="name" rowKey=${(/** @type {any} */ row) => row.function} />`}
    <//>
    ${
      sources.length > 0 &&
      html`<${Section} title="Events of sources">
      <${Table} caption="Events by source" rows=${sources} columns=${SOURCES} inOrder=${true} rowKey=${(/** @type {any} */ row) => row.source} /><//>`
    }`;
}

/**
 * Runs an audit; it reports where it is in lines of JSON, and the last one is the report.
 * @param {(progress: string) => void} tell
 */
async function audit(tell) {
  const answer = await fetch("/system/audit");
  if (!answer.ok || !answer.body) throw new ApiError(answer.status, "", (await answer.text()).trim());
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : (lines.pop() ?? "");
    for (const line of lines.filter((each) => each.trim())) {
      const said = JSON.parse(line);
      if (said.report) return said.report;
      if (said.error) throw new Error(said.error);
      tell(
        Object.entries(said.progress ?? said)
          .map(([name, figure]) => `${name} ${figure}`)
          .join(", "),
      );
    }
    if (done) throw new Error("The audit broke off before its end: run it again.");
  }
}
