// @ts-check
// Logs of one or several functions, live.
import { curl, option, words } from "../command.js";
import { LogTail, StreamChoice } from "../components/log-tail.js";
import { Empty, Page } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Filter } from "../components/table.js";
import { html } from "../preact.js";
import { setSearch, useSearch } from "../router.js";
import { useStats } from "../stats.js";

/** Functions that are followed at once. */
const MAX_FOLLOWED = 8;

export default function Logs() {
  const stats = useStats();
  const [chosen] = useSearch("functions");
  const [text] = useSearch("q");
  const [callId] = useSearch("call");
  const [stream] = useSearch("stream");
  const names = chosen.split(",").filter(Boolean).slice(0, MAX_FOLLOWED);
  const all = [...new Set([...names, ...(stats?.rows ?? []).map(({ name }) => name)])].sort();
  return html`<${Page} title="Logs">
    <div class="tools">
      <${Chosen} ...${{ names, all }} />
      <${Filter} label="Only lines with this text" placeholder="Text in the line" />
        <${Filter} name="call" label="Only lines of this call" placeholder="Id of a call" /><${StreamChoice} />
    </div>
    ${
      names.length === 0
        ? html`<${Empty} title="Choose a function above" icon="logs">
      <p>Up to ${MAX_FOLLOWED} are followed at once. The busiest ones:</p>
      <p class="chosen">${busiest(stats?.rows ?? []).map(
        (name) =>
          html`<button key=${name} type="button" onClick=${() => setSearch({ functions: name })}>${name}</button>`,
      )}</p><//>`
        : html`<${LogTail} key=${names.join()} names=${names} text=${text} call=${callId.trim() || undefined} stream=${stream} />`
    }
    <${SameAs} skep=${words("skep", "logs", ...(names.length ? names : ["NAME"]), "--follow", text && "--grep", text, callId && "--call", callId, ...option("--stream", stream))}
      curl=${`${curl("GET", "/system/logs", { query: { name: names.join() || "NAME", follow: "true" } })} -N`} />
  <//>`;
}

/** @param {import("../stats-rows.js").Row[]} rows */
const busiest = (rows) =>
  [...rows]
    .sort((a, b) => b.rate - a.rate || (b.done ?? 0) - (a.done ?? 0))
    .slice(0, 6)
    .map(({ name }) => name);

/** @param {{ names: string[], all: string[] }} props */
function Chosen({ names, all }) {
  const set = (/** @type {string[]} */ next) => setSearch({ functions: next.join(",") });
  const add = (/** @type {any} */ event) => {
    const name = event.target.value;
    event.target.value = "";
    if (name) set([...names, name]);
  };
  const others = all.filter((name) => !names.includes(name));
  return html`<div class="chosen" role="group" aria-label="Functions">
    ${names.map((name) => html`<button key=${name} type="button" title=${`Leave ${name} out`} aria-label=${`Leave ${name} out`} onClick=${() => set(names.filter((each) => each !== name))}>${name} ×</button>`)}
    ${
      names.length < MAX_FOLLOWED &&
      html`<select aria-label="Add a function" onChange=${add}><option value="">
      ${names.length ? "Add another" : "Choose a function"}</option>
      ${others.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`
    }
  </div>`;
}
