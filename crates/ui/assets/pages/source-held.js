// @ts-check
// Requests that could not be verified: those that wait, and copies of those that were refused.
import { call, get, seg } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { Confirm } from "../components/dialog.js";
import { Empty, Failure, Loading, Notice } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { toast } from "../components/toast.js";
import { bytes as sized, plural } from "../format.js";
import { html, useState } from "../preact.js";
import { useAct, useLoad } from "../use.js";

/**
 * @typedef {object} HeldRequest
 * @property {string} id
 * @property {string} receivedAt
 * @property {string} reason
 * @property {number} bytes
 * @property {string[]} [why]
 */

/** @type {import("../components/table.js").Column<HeldRequest>[]} */
const COLUMNS = [
  { key: "id", title: "Request", main: true, cell: (row) => html`<code class="call-id">${row.id}</code>` },
  { key: "at", title: "Came", cell: (row) => html`<${Time} at=${row.receivedAt} />` },
  { key: "size", title: "Size", number: true, cell: (row) => sized(row.bytes) },
  {
    key: "why",
    title: "Why it does not fit",
    cell: (row) =>
      html`${row.reason}${(row.why ?? []).map(
        (line) => html`<span key=${line} class="sub muted">
        ${line}</span>`,
      )}`,
  },
];

/** @param {{ source: import("./sources.js").Source, reload: () => void }} props */
export function Held({ source }) {
  const path = `/system/sources/${seg(source.name)}`;
  const [selected, setSelected] = useState(/** @type {Set<string>} */ (new Set()));
  const [forcing, setForcing] = useState(false);
  const { data, error, loading, reload } = useLoad(
    (signal) => get(`${path}/held`, { why: "true" }, signal),
    [path],
    5000,
  );
  const rows = /** @type {HeldRequest[]} */ (data ?? []);
  const ids = rows.filter(({ id }) => selected.has(id)).map(({ id }) => id);
  const which = ids.length > 0 ? { ids } : { all: true };
  const release = async (/** @type {boolean} */ force) => {
    const answer = await call("POST", `${path}/release`, { json: { ...which, ...(force && { force }) } });
    const { released, refused } = answer.data;
    toast(
      refused.length ? "bad" : "ok",
      `${plural(released.length, "request")} let in${refused.length ? `, ${refused.length} not: ${refused[0].reason}` : ""}.`,
    );
    setSelected(new Set());
    reload();
  };
  const [run, busy] = useAct(async () => release(false).catch((why) => toast("bad", why.message)));
  const holds = source.spec.unverified === "hold";
  const of = ids.length > 0 ? plural(ids.length, "request") : "all that are held";
  return html`<${Notice}>
    ${holds ? "Requests that cannot be verified wait here for seven days; their senders get the usual answer." : "Requests that cannot be verified are refused. Copies of the last 200 are here for seven days."}<//>
    <${Failure} error=${error} retry=${reload} />
    ${
      loading
        ? html`<${Loading} />`
        : rows.length === 0
          ? html`<${Empty} title="Every request could be verified" icon="check" />`
          : html`
      <div class="tools"><${Act} role="deploy" icon="check" disabled=${busy} onClick=${run}>Check again and let in ${of}
        <//>
        <${Act} role="deploy" disabled=${busy || ids.length === 0} onClick=${() => setForcing(true)}>Let in unverified…<//></div>
      <${Table} caption="Held and refused requests" rows=${rows} columns=${COLUMNS} inOrder=${true} rowKey=${(/** @type {HeldRequest} */ row) => row.id} selected=${selected} onSelect=${setSelected} />`
    }
    <${SameAs} skep=${words("skep", "sources", "release", source.name, ...(ids.length ? ids : ["--all"]))} curl=${curl("POST", `${path}/release`, { json: which })} />
    ${
      forcing &&
      html`<${Confirm} title=${`Let in ${of} unverified?`} act="Let them in" danger=${true} onAct=${() => release(true)} onClose=${() => setForcing(false)}>
      <p>Nothing proves that they come from the provider. Functions see <code>X-Skep-Verified: forced</code>.</p>
      <${SameAs} skep=${words("skep", "sources", "release", source.name, ...ids, "--force")} curl=${curl("POST", `${path}/release`, { json: { ...which, force: true } })} /><//>`
    }`;
}
