// @ts-check
// Redrives or removes dead letters: those that are selected, or all that fit. First it says how many.
import { address } from "../api.js";
import { curl, curlEach, words } from "../command.js";
import { all, each, keyOf, MOST, redriveAll } from "../dead.js";
import { count, plural } from "../format.js";
import { useJob } from "../job.js";
import { html, useState } from "../preact.js";
import { useLoad } from "../use.js";
import { Act } from "./act.js";
import { Dialog } from "./dialog.js";
import { Field } from "./field.js";
import { JobView } from "./job-view.js";
import { Failure, Loading } from "./page.js";
import { SameAs } from "./same-as.js";

/** @typedef {import("../dead.js").Letter} Letter */

/** @param {{ meant: import("../dead.js").Meant, chosen: Letter[], any: boolean, onDone: () => void }} props */
export function BulkDead({ meant, chosen, any, onDone }) {
  const [what, setWhat] = useState(/** @type {"" | "redrive" | "remove"} */ (""));
  const which = chosen.length ? `${count(chosen.length)}` : "all that fit";
  const close = () => {
    setWhat("");
    onDone();
  };
  return html`<${Act} role="deploy" disabled=${!any} onClick=${() => setWhat("remove")}>Remove ${which}…<//>
    <${Act} role="deploy" primary icon="retry" disabled=${!any} onClick=${() => setWhat("redrive")}>Redrive ${which}…<//>
    ${what && html`<${Ask} ...${{ what, meant, chosen }} onClose=${close} />`}`;
}

/** @param {{ what: "redrive" | "remove", meant: import("../dead.js").Meant, chosen: Letter[], onClose: () => void }} props */
function Ask({ what, meant, chosen, onClose }) {
  const [selected] = useState(chosen);
  const found = useLoad((signal) => (selected.length ? Promise.resolve(selected) : all(meant, signal)), []);
  const [rate, setRate] = useState("");
  const job = useJob();
  const letters = found.data ?? [];
  const speed = Number(rate) || 0;
  const redrives = what === "redrive";
  const start = () => {
    const keys = letters.map(keyOf);
    job.start(
      redrives && selected.length === 0 ? redriveAll(meant, letters, speed) : each(keys, what, redrives ? speed : 0),
    );
  };
  const verb = redrives ? "Redrive" : "Remove";
  return html`<${Dialog} title=${`${verb} dead letters`} onClose=${onClose}>
    ${
      !found.data
        ? found.error
          ? html`<${Failure} error=${found.error} />`
          : html`<${Loading} rows=${2} />`
        : html`
      <${Preview} ...${{ letters, redrives }} />
      ${
        redrives &&
        !job.current &&
        html`<${Field} label="At most, per second" value=${rate} onInput=${setRate} type="number" placeholder="as fast as possible"
        hint="A slow rate spares a function that has just recovered." />`
      }
      <${JobView} job=${job.current} done=${redrives ? "redriven" : "removed"} />
      <${SameAs} ...${commands(what, meant, selected, speed)} />
      <footer><button type="button" onClick=${onClose}>Close</button>
        ${!job.current && html`<${Act} role="deploy" primary=${redrives} danger=${!redrives} disabled=${letters.length === 0 || speed < 0} onClick=${start}>${verb} ${plural(letters.length, "dead letter")}<//>`}
        ${job.current?.running && html`<button type="button" disabled=${job.current.stopped} onClick=${job.stop}>Stop</button>`}</footer>`
    }
  <//>`;
}

/** @param {{ letters: Letter[], redrives: boolean }} props */
function Preview({ letters, redrives }) {
  if (letters.length === 0) return html`<p>No dead letter fits.</p>`;
  const functions = [...new Set(letters.map((letter) => letter.function))];
  const from = functions.length > 3 ? `${count(functions.length)} functions` : functions.join(", ");
  const more = letters.length >= MOST ? " There are more; do these first." : "";
  return html`<p><b>${plural(letters.length, "dead letter")}</b> of ${from}.${more}</p>
    <p class="muted">
      ${redrives ? "Each call keeps its id, and its attempts count from the beginning. Calls that die again meanwhile are left alone." : "They are gone for good, with their requests."}</p>`;
}

/**
 * @param {string} what
 * @param {import("../dead.js").Meant} meant
 * @param {Letter[]} selected
 * @param {number} rate
 */
function commands(what, meant, selected, rate) {
  const ids = selected.map((letter) => letter.callId);
  const callbacks = selected.length > 0 && selected.every((letter) => letter.kind === "callback");
  const { function: name, kind, reason } = meant;
  const filter = [name && "--function", name, kind && "--kind", kind, reason && "--reason", reason];
  const which = ids.length ? ids : filter.some(Boolean) ? filter : ["--all"];
  const speed = what === "redrive" && rate > 0 ? ["--rate", rate] : [];
  const [method, end, all] =
    what === "redrive" ? ["POST", "/redrive", "/system/dead-redrive"] : ["DELETE", "", "/system/dead"];
  const query = { ...meant, rate: what === "redrive" && rate > 0 ? rate : undefined };
  const one = (/** @type {string} */ id) => address(`/system/dead/${id}${end}`, callbacks ? { kind: "callback" } : {});
  return {
    skep: words("skep", "dead", what, ...which, callbacks && "--callback", ...speed),
    curl: ids.length ? curlEach(method, ids, one) : curl(method, all, { query }),
  };
}
