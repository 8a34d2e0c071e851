// @ts-check
// Cancels calls: those that are selected, or all that fit and have not ended.
import { call as request, seg } from "../api.js";
import { OPEN } from "../calls.js";
import { curl, curlEach, option, words } from "../command.js";
import { count, plural } from "../format.js";
import { Job, one, useJob } from "../job.js";
import { html, useState } from "../preact.js";
import { useLoad } from "../use.js";
import { Act } from "./act.js";
import { Dialog } from "./dialog.js";
import { JobView } from "./job-view.js";
import { Failure, Loading } from "./page.js";
import { SameAs } from "./same-as.js";

const MOST = 5000;
/** The most ids that a command names one by one. */
const FEW = 20;

/** @param {{ query: Record<string, string>, ids: string[], onDone: () => void }} props `ids` are selected and have not ended */
export function CancelMany({ query, ids, onDone }) {
  const [asked, setAsked] = useState(false);
  return html`<${Act} role="invoke" icon="ban" onClick=${() => setAsked(true)}>
    ${ids.length ? `Cancel ${count(ids.length)}…` : "Cancel all that fit…"}<//>
    ${
      asked &&
      html`<${Ask} ...${{ query, ids, onDone }} onClose=${() => {
        setAsked(false);
        onDone();
      }} />`
    }`;
}

/** @param {{ query: Record<string, string>, ids: string[], onClose: () => void }} props */
function Ask({ query, ids, onClose }) {
  const [chosen] = useState(ids);
  const found = useLoad((signal) => (chosen.length ? Promise.resolve(chosen) : matching(query, signal)), []);
  const job = useJob();
  const start = () => job.start(new Job(found.data ?? [], cancel, { total: found.data?.length ?? 0 }));
  return html`<${Dialog} title="Cancel calls" onClose=${onClose}>
    ${
      !found.data
        ? found.error
          ? html`<${Failure} error=${found.error} />`
          : html`<${Loading} rows=${2} />`
        : html`
      <p>${found.data.length === 0 ? "No call that fits is waiting or running." : `${plural(found.data.length, "call")} will not run any more, or be ended. Their callbacks report it.`}</p>
      <${JobView} job=${job.current} done="cancelled" />
      <${SameAs} ...${commands(query, found.data)} />
      <footer><button type="button" onClick=${onClose}>Close</button>
        ${!job.current && html`<${Act} role="invoke" danger disabled=${found.data.length === 0} onClick=${start}>Cancel ${plural(found.data.length, "call")}<//>`}
        ${job.current?.running && html`<button type="button" onClick=${job.stop}>Stop</button>`}</footer>`
    }
  <//>`;
}

/**
 * The calls by their ids, or how to find them if they are many.
 * @param {Record<string, string>} query
 * @param {string[]} ids
 */
function commands(query, ids) {
  const path = (/** @type {string} */ id) => `/system/calls/${id}`;
  if (ids.length > 0 && ids.length <= FEW)
    return { skep: words("skep", "calls", "cancel", ...ids), curl: curlEach("DELETE", ids, path) };
  const { function: name, since } = query;
  const state = openStates(query).join();
  const filter = [...option("--function", name), "--state", state, ...option("--since", since)];
  const ofAll = "jq -r '.[].callId' | xargs -r";
  return {
    skep: `${words("skep", "calls", "list", ...filter, "--limit", MOST, "--json")} | ${ofAll} skep calls cancel`,
    curl: `${curl("GET", "/system/calls", { query: { function: name, state, since, limit: 1000 } })} | ${ofAll} -I ID ${curl("DELETE", path("ID"))}`,
  };
}

/** @param {Record<string, string>} query */
const openStates = (query) => (query.state ? query.state.split(",").filter((state) => OPEN.includes(state)) : OPEN);

/** @param {string} id */
const cancel = (id) => one(id, () => request("DELETE", `/system/calls/${seg(id)}`));

/**
 * The ids of all calls that fit and have not ended.
 * @param {Record<string, string>} query @param {AbortSignal} signal
 */
async function matching(query, signal) {
  const states = openStates(query);
  /** @type {string[]} */
  const ids = [];
  let after = states.length ? "" : null;
  while (after !== null && ids.length < MOST) {
    const { data, headers } = await request("GET", "/system/calls", {
      query: { ...query, state: states.join(","), limit: 1000, after },
      signal,
    });
    ids.push(...data.map((/** @type {any} */ call) => call.callId));
    after = headers.get("X-Skep-Next");
  }
  return [...new Set(ids)];
}
