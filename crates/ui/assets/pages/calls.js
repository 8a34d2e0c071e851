// @ts-check
// All queued calls and what became of them.
import {
  CallList,
  callOptions,
  curl,
  html,
  Icon,
  navigate,
  Page,
  SameAs,
  seg,
  useCallQuery,
  useState,
  words,
} from "../kit.js";

export default function Calls() {
  const query = useCallQuery(undefined);
  return html`<${Page} title="Calls" lead="queued calls; those that wait and run come first" acts=${html`<${Jump} />`}>
    <${CallList} />
    <${SameAs} skep=${words("skep", "calls", "list", ...callOptions(query))} curl=${curl("GET", "/system/calls", { query })} />
  <//>`;
}

/** Opens a call by its id. */
function Jump() {
  const [id, setId] = useState("");
  const go = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (id.trim()) navigate(`/ui/calls/${seg(id.trim())}`);
  };
  return html`<form class="filter" role="search" onSubmit=${go}><${Icon} name="search" />
    <input type="search" data-filter aria-label="Open a call by its id" placeholder="Open a call by its id"
    value=${id} autocomplete="off" spellcheck="false" onInput=${(/** @type {any} */ e) => setId(e.target.value)} />
      </form>`;
}
