// @ts-check
// Calls and callbacks that were given up: what went wrong how often, and the way back.
import {
  BulkDead,
  count,
  curl,
  Empty,
  Failure,
  Filter,
  FunctionChoice,
  html,
  HttpStatus,
  Loading,
  NoFunction,
  Page,
  plural,
  Presets,
  SameAs,
  Section,
  seg,
  setSearch,
  Status,
  Table,
  Time,
  useLoad,
  useMemo,
  useOneFunction,
  useSearch,
  useSelection,
  useStats,
  visible,
  words,
} from "../kit.js";
import { brief, groups, keyOf, list } from "../dead.js";

const EVERY = 5000;

/** @typedef {import("../dead.js").Letter} Letter */

/** @type {import("../components/table.js").Column<Letter>[]} */
const COLUMNS = [
  { key: "callId", title: "Call", main: true, cell: (letter) => html`<code class="call-id">${letter.callId}</code>` },
  {
    key: "function",
    title: "Function",
    sort: (letter) => letter.function,
    cell: (letter) => html`<a href=${`/ui/functions/${seg(letter.function)}`}>${letter.function}</a>`,
  },
  {
    key: "kind",
    title: "What",
    sort: (letter) => letter.kind,
    cell: (letter) =>
      html`<${Status} tone="quiet" icon=${letter.kind === "call" ? "calls" : "callback"}>${letter.kind}<//>`,
  },
  {
    key: "why",
    title: "Why",
    why: true,
    cell: (letter) => html`<span class="muted" title=${visible(letter.reason)}>${brief(letter.reason)}</span>`,
  },
  {
    key: "status",
    title: "Status",
    number: true,
    bare: true,
    nil: (letter) => !letter.lastStatus,
    sort: (letter) => letter.lastStatus,
    cell: (letter) => html`<${HttpStatus} status=${letter.lastStatus} />`,
  },
  {
    key: "attempts",
    title: "Attempts",
    number: true,
    from: "medium",
    sort: (letter) => letter.attempts,
    cell: (letter) => letter.attempts,
  },
  {
    key: "at",
    title: "Died",
    number: true,
    sort: (letter) => letter.sequence,
    cell: (letter) => html`<${Time} at=${letter.deadAt} />`,
  },
];

export default function Dead() {
  const [chosen] = useSearch("function");
  const one = useOneFunction();
  const name = one ?? "";
  const [kind] = useSearch("kind");
  const [reason] = useSearch("q");
  const meant = { function: name, kind, reason };
  const loaded = useLoad(
    (signal) => (typeof one === "string" ? list(meant, signal) : new Promise(() => {})),
    [one ?? null, kind, reason],
    EVERY,
  );
  const total = useStats()?.dead;
  const [selected, setSelected] = useSelection(JSON.stringify([chosen, kind, reason]));
  const letters = /** @type {Letter[]} */ (loaded.data ?? []);
  const picked = useMemo(() => letters.filter((letter) => selected.has(keyOf(letter))), [letters, selected]);
  const filters = [name && "--function", name, kind && "--kind", kind, reason && "--reason", reason];
  return html`<${Page} title="Dead letters" lead=${total !== undefined && `${count(total)} in all`} acts=${html`<${BulkDead} ...${{ meant, chosen: picked, any: letters.length > 0 }} onDone=${loaded.reload} />`}>
    <div class="tools"><${Filter} label="Filter by reason" />
      <${Presets} label="Which kind" name="kind" options=${[
        ["", "All"],
        ["call", "Calls"],
        ["callback", "Callbacks"],
      ]} />
      <${FunctionChoice} /></div>
    <${Failure} error=${loaded.error} retry=${loaded.reload} />
    ${
      one === null
        ? html`<${NoFunction} />`
        : loaded.loading
          ? html`<${Loading} />`
          : letters.length === 0
            ? html`<${None} filtered=${Boolean(chosen || kind || reason)} />`
            : html`<${Groups} letters=${letters} />
      <${Section} title=${plural(letters.length, "dead letter")} side=${letters.length === 1000 && "the oldest ones that fit; a filter shows others"}>
        <${Table} caption="Dead letters" rows=${letters} columns=${COLUMNS} rowKey=${keyOf} sort="-at" selected=${selected} onSelect=${setSelected}
          href=${(/** @type {Letter} */ letter) => `/ui/dead/${seg(letter.callId)}${letter.kind === "callback" ? "?kind=callback" : ""}`} /><//>`
    }
    <${SameAs} skep=${words("skep", "dead", "list", ...filters)} curl=${curl("GET", "/system/dead", { query: meant })} />
  <//>`;
}

/**
 * What went wrong, and how often.
 * @param {{ letters: Letter[] }} props
 */
function Groups({ letters }) {
  const found = useMemo(() => groups(letters), [letters]);
  if (found.length < 2) return null;
  const top = found[0].count;
  return html`<${Section} title="What went wrong"><ul class="groups">${found.slice(0, 8).map(
    (group) => html`<li key=${group.function + group.kind + group.reason}>
    <button type="button" onClick=${() => setSearch({ function: group.function, kind: group.kind, q: group.reason })}>
      <span class="group-count">${count(group.count)}</span><span class="group-text"><b>${group.function}
        </b> ${group.reason}</span>
      <span class="group-last">last <${Time} at=${group.last} /></span>
      <span class="group-bar" aria-hidden="true" style=${{ width: `${(group.count / top) * 100}%` }} /></button></li>`,
  )}</ul>
    ${found.length > 8 && html`<p class="hint">and ${plural(found.length - 8, "other cause")}</p>`}<//>`;
}

/** @param {{ filtered: boolean }} props */
function None({ filtered }) {
  if (filtered)
    return html`<${Empty} title="No dead letter fits" icon="search">
      <p>Other text, or another choice above, shows more.</p><//>`;
  return html`<${Empty} title="Nothing was given up" icon="check">
    <p>A queued call whose last attempt fails is kept here, with its request, so that it can be changed and sent again.</p>
    <pre><code>echo 1 | skep invoke fail --async</code></pre><//>`;
}
