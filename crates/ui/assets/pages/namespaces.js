// @ts-check
// Namespaces: groups of functions and secrets.
import { call, get, seg } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { Confirm, Dialog } from "../components/dialog.js";
import { Failure, Loading, Page } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Table } from "../components/table.js";
import { toast } from "../components/toast.js";
import { count, plural } from "../format.js";
import { html, useState } from "../preact.js";
import { setSearch, useSearch } from "../router.js";
import { useAct, useLoad } from "../use.js";

/** @typedef {{ name: string, functions: number, secrets: number, isDefault: boolean }} Row */

/**
 * @param {AbortSignal} signal
 * @returns {Promise<Row[]>}
 */
async function load(signal) {
  const names = /** @type {string[]} */ (await get("/system/namespaces", {}, signal));
  return Promise.all(
    names.map(async (name, i) => {
      const of = (/** @type {string} */ path) =>
        get(path, { namespace: name }, signal).then(
          (all) => all.length,
          () => NaN,
        );
      return {
        name,
        functions: await of("/system/functions"),
        secrets: await of("/system/secrets"),
        isDefault: i === 0,
      };
    }),
  );
}

export default function Namespaces() {
  const { data, error, loading, reload } = useLoad(load, [], 15_000);
  const [adding] = useSearch("add");
  const [removing, setRemoving] = useState("");
  /** @type {import("../components/table.js").Column<Row>[]} */
  const columns = [
    {
      key: "name",
      title: "Namespace",
      main: true,
      sort: (row) => row.name,
      cell: (row) => html`${row.name}${row.isDefault && html` <span class="muted">the default one</span>`}`,
    },
    {
      key: "functions",
      title: "Functions",
      number: true,
      sort: (row) => row.functions,
      cell: (row) =>
        html`<a href=${`/ui/functions?q=${row.isDefault ? "" : `.${row.name}`}`}>${count(row.functions)}</a>`,
    },
    {
      key: "secrets",
      title: "Secrets",
      number: true,
      sort: (row) => row.secrets,
      cell: (row) =>
        html`<a href=${`/ui/secrets${row.isDefault ? "" : `?namespace=${seg(row.name)}`}`}>${count(row.secrets)}</a>`,
    },
    {
      key: "acts",
      title: "",
      end: true,
      cell: (row) => !row.isDefault && html`<${Act} role="admin" onClick=${() => setRemoving(row.name)}>Delete…<//>`,
    },
  ];
  const remove = async () => {
    await call("DELETE", `/system/namespace/${seg(removing)}`);
    toast("ok", `Namespace ${removing} is deleted.`);
    reload();
  };
  const acts = html`<${Act} role="admin" icon="plus" primary=${true} onClick=${() => setSearch({ add: "namespace" })}>Create a namespace<//>`;
  return html`<${Page} title="Namespaces" lead=${data && plural(data.length, "namespace")} acts=${acts}>
    <${Failure} error=${error} retry=${reload} />
    ${loading ? html`<${Loading} rows=${3} />` : data && html`<${Table} caption="Namespaces" rows=${data} columns=${columns} sort="name" rowKey=${(/** @type {Row} */ row) => row.name} />`}
    <${SameAs} skep=${words("skep", "namespace", "list")} curl=${curl("GET", "/system/namespaces")} />
    ${adding && html`<${Create} onClose=${() => setSearch({ add: "" })} onDone=${reload} />`}
    ${
      removing &&
      html`<${Confirm} title=${`Delete ${removing}?`} act="Delete it" danger=${true} type=${removing} onAct=${remove} onClose=${() => setRemoving("")}>
      <p>Only a namespace without functions and secrets can be deleted.</p>
        <${SameAs} skep=${words("skep", "namespace", "remove", removing)} curl=${curl("DELETE", `/system/namespace/${seg(removing)}`)} /><//>`
    }
  <//>`;
}

/** @param {{ onClose: () => void, onDone: () => void }} props */
function Create({ onClose, onDone }) {
  const [name, setName] = useState("");
  const [error, setError] = useState("");
  const [run, busy] = useAct(async () => {
    try {
      await call("POST", "/system/namespace/", { json: { name } });
      toast("ok", `Namespace ${name} is created.`);
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
  return html`<${Dialog} title="Create a namespace" onClose=${onClose}><form onSubmit=${submit}>
    <label class="field"><span>Name</span>
      <input name="name" required value=${name} autocomplete="off" spellcheck="false" onInput=${(/** @type {any} */ e) => setName(e.target.value)} />
      <span class="hint">Functions in it are called NAME.${name || "NAMESPACE"}.</span></label>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <${SameAs} skep=${words("skep", "namespace", "create", name || "NAME")} curl=${curl("POST", "/system/namespace/", { json: { name: name || "NAME" } })} />
    <footer><button type="button" onClick=${onClose}>Cancel</button>
      <button class="primary" disabled=${busy || !name}>Create it</button></footer>
  </form><//>`;
}
