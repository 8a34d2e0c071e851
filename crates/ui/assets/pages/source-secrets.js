// @ts-check
// The secrets that a source checks its events with. Their values go in and never come out.
import { call, seg } from "../api.js";
import { curl, option, words } from "../command.js";
import { Act } from "../components/act.js";
import { Confirm } from "../components/dialog.js";
import { Empty, Notice, Section } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Table } from "../components/table.js";
import { Time } from "../components/time.js";
import { toast } from "../components/toast.js";
import { html, useState } from "../preact.js";
import { useAct } from "../use.js";

/** @typedef {import("./sources.js").Source["secrets"][number]} Secret */

/** @param {{ source: import("./sources.js").Source, reload: () => void }} props */
export function SourceSecrets({ source, reload }) {
  const path = `/system/sources/${seg(source.name)}/secrets`;
  const [removing, setRemoving] = useState(0);
  const named = /** @type {unknown} */ (source.spec.secrets);
  /** @type {import("../components/table.js").Column<Secret>[]} */
  const columns = [
    { key: "number", title: "Secret", main: true, cell: (row) => `${row.number}${row.name ? `, ${row.name}` : ""}` },
    { key: "added", title: "Added", number: true, cell: (row) => html`<${Time} at=${row.createdAt} />` },
    { key: "used", title: "Last used", number: true, cell: (row) => html`<${Time} at=${row.lastUsedAt} />` },
    {
      key: "expires",
      title: "Counts until",
      nil: (row) => !row.expiresAt,
      cell: (row) => html`<${Time} at=${row.expiresAt} />`,
    },
    {
      key: "act",
      title: "",
      end: true,
      cell: (row) =>
        html`<${Act} role="deploy" disabled=${Boolean(named)} onClick=${() => setRemoving(row.number)}>Remove…<//>`,
    },
  ];
  const remove = async () => {
    await call("DELETE", path, { json: { number: removing } });
    toast("ok", `Secret ${removing} is removed.`);
    reload();
  };
  return html`${Boolean(named) && html`<${Notice}>Its keys are lines of <a href="/ui/secrets">named secrets</a>: ${JSON.stringify(named)}.<//>`}
    ${
      source.secrets.length === 0
        ? html`<${Empty} title="It has no secret yet" icon="secret">
      <p>Without one no event can be verified, unless the source is open.</p><//>`
        : html`
      <${Table} caption=${`Secrets of ${source.name}`} rows=${source.secrets} columns=${columns} inOrder=${true} rowKey=${(/** @type {Secret} */ row) => String(row.number)} />`
    }
    ${!named && html`<${Add} ...${{ source, path, reload }} />`}
    <${SameAs} skep=${words("skep", "sources", "secret", "list", source.name)} curl=${curl("GET", path)} />
    ${
      removing > 0 &&
      html`<${Confirm} title=${`Remove secret ${removing}?`} act="Remove it" danger=${true} onAct=${remove} onClose=${() => setRemoving(0)}>
      <p>Requests that are signed with it cannot be verified any more.</p>
      <${SameAs} skep=${words("skep", "sources", "secret", "remove", source.name, removing)} curl=${curl("DELETE", path, { json: { number: removing } })} /><//>`
    }`;
}

/** @param {{ source: import("./sources.js").Source, path: string, reload: () => void }} props */
function Add({ source, path, reload }) {
  const [value, setValue] = useState("");
  const [retire, setRetire] = useState("");
  const [error, setError] = useState("");
  const more = retire ? { retire_others: retire } : {};
  const [run, busy] = useAct(async () => {
    try {
      const { data } = await call("POST", path, { json: { value, ...more } });
      toast("ok", `${source.name} has a new secret, number ${data.number}.`);
      setValue("");
      setError("");
      reload();
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  return html`<${Section} title="Add a secret"><form class="card" onSubmit=${submit}>
    <label class="field"><span>Secret</span>
      <input name="value" type="password" required value=${value} autocomplete="off" onInput=${(/** @type {any} */ e) => setValue(e.target.value)} />
      <span class="hint">The one that the provider has, too. It is sealed, and never shown again.</span></label>
    ${
      source.secrets.length > 0 &&
      html`<label class="field"><span>How long the others still count (optional)</span>
      <input name="retire" value=${retire} placeholder="24h" onInput=${(/** @type {any} */ e) => setRetire(e.target.value)} /></label>`
    }
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <${Act} role="deploy" type="submit" primary=${true} disabled=${busy || !value}>Add it<//>
    <${SameAs} skep=${`${words("skep", "sources", "secret", "add", source.name, ...option("--retire-others", retire))} < secret.txt`} curl=${curl("POST", path, { json: { value: "…", ...more } })} />
  </form><//>`;
}
