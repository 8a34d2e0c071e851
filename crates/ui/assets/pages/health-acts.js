// @ts-check
// The audit log: who changed what.
import { call } from "../api.js";
import { curl, words } from "../command.js";
import { Empty, Failure, Loading } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { HttpStatus } from "../components/status.js";
import { Filter, Presets, Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { html } from "../preact.js";
import { useSearch } from "../router.js";
import { useLoad } from "../use.js";

/** @type {import("../components/table.js").Column<any>[]} */
const COLUMNS = [
  { key: "at", title: "When", cell: (row) => html`<${Time} at=${row.at} />` },
  {
    key: "actor",
    title: "Who",
    cell: (row) =>
      html`${row.actor}${
        row.address &&
        html`<span class="sub muted">
    ${row.address}</span>`
      }`,
  },
  { key: "action", title: "Did", main: true, cell: (row) => row.action },
  {
    key: "object",
    title: "To",
    nil: (row) => !row.object,
    cell: (row) => html`<code>${row.object ?? ""}</code>
    ${row.count > 1 && ` × ${row.count}`}${
      row.details &&
      html`<span class="sub muted">${row.details}
    </span>`
    }`,
  },
  {
    key: "status",
    title: "Answer",
    nil: (row) => !row.status && !row.error,
    cell: (row) => html`<${HttpStatus} status=${row.status} />
    ${row.error && html` <span class="muted">${row.error}</span>`}`,
  },
];

export function Acts() {
  const [actor] = useSearch("actor");
  const [object] = useSearch("object");
  const [since] = useSearch("since");
  const [after, setAfter] = useSearch("after");
  const query = { actor, object, since, after, limit: 100 };
  const { data, error, loading, reload } = useLoad(
    (signal) => call("GET", "/system/audit-log", { query, signal }),
    [query],
    after ? 0 : 5000,
  );
  const rows = data?.data ?? [];
  const next = data?.headers.get("X-Skep-Next");
  return html`<div class="tools">
      <${Filter} name="actor" label="Who" placeholder="Who, such as ci" />
        <${Filter} name="object" label="What was changed" placeholder="What, such as upper" />
      <${Presets} label="Since" name="since" options=${[
        ["", "All"],
        ["1h", "Last hour"],
        ["1d", "Last day"],
        ["7d", "Last week"],
      ]} /></div>
    <${Failure} error=${error} retry=${reload} />
    ${loading ? html`<${Loading} />` : rows.length === 0 ? !error && html`<${Empty} title="Nothing that fits was changed" icon="check" />` : html`<${Table} caption="Who changed what" rows=${rows} columns=${COLUMNS} inOrder=${true} rowKey=${(/** @type {any} */ row) => String(row.sequence)} tone=${(/** @type {any} */ row) => (row.status >= 400 ? "is-bad" : "")} />`}
    <div class="tools">
      ${after && html`<button type="button" onClick=${() => setAfter("")}>Newest</button>`}${next && html`<button type="button" onClick=${() => setAfter(next)}>Older ones</button>`}</div>
    <${SameAs} skep=${words("skep", "audit-log", actor && "--actor", actor, object && "--object", object, since && "--since", since)} curl=${curl("GET", "/system/audit-log", { query: { actor, object, since } })} />`;
}
