// @ts-check
// Secrets: their names and who uses them. A value goes in and never comes out.
import { call, get } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { Confirm, Dialog } from "../components/dialog.js";
import { Empty, Failure, Loading, Page } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Filter, Table } from "../components/table.js";
import { toast } from "../components/toast.js";
import { plural } from "../format.js";
import { html, useState } from "../preact.js";
import { setSearch, useSearch } from "../router.js";
import { useLimits } from "../session.js";
import { useAct, useLoad } from "../use.js";
import { Namespace, useNamespace } from "./namespace-choice.js";

/** @typedef {{ name: string, functions: string[], sources: string[] }} Row */

/**
 * @param {string | undefined} namespace
 * @param {boolean} sees whether the reader may see sources, which are in all namespaces
 * @param {AbortSignal} signal
 * @returns {Promise<Row[]>}
 */
async function load(namespace, sees, signal) {
  // Until it is known where they are, it loads.
  if (namespace === undefined) return new Promise(() => {});
  const [secrets, functions, sources] = await Promise.all([
    get("/system/secrets", { namespace }, signal),
    get("/system/functions", { namespace }, signal),
    sees ? get("/system/sources", {}, signal).catch(() => []) : [],
  ]);
  return secrets.map((/** @type {{ name: string }} */ { name }) => ({
    name,
    functions: functions
      .filter((/** @type {any} */ each) => (each.secrets ?? []).includes(name))
      .map((/** @type {any} */ each) => each.name),
    sources: sources
      .filter((/** @type {any} */ each) => JSON.stringify(each.spec.secrets ?? []).includes(`"${name}"`))
      .map((/** @type {any} */ each) => each.name),
  }));
}

export default function Secrets() {
  const namespace = useNamespace();
  const sees = useLimits()?.length === 0;
  const [text] = useSearch("q");
  const [setting] = useSearch("set");
  const [removing, setRemoving] = useState("");
  const { data, error, loading, reload } = useLoad(
    (signal) => load(namespace, sees, signal),
    [namespace ?? null, sees],
    10_000,
  );
  const rows = (data ?? []).filter(({ name }) => name.includes(text.trim()));
  const where = /** @type {Record<string, string>} */ (namespace ? { namespace } : {});
  /** @type {import("../components/table.js").Column<Row>[]} */
  const columns = [
    {
      key: "name",
      title: "Secret",
      main: true,
      sort: (row) => row.name,
      cell: (row) => html`<code>${row.name}
      </code>`,
    },
    { key: "users", title: "Used by", cell: (row) => html`<${Users} row=${row} namespace=${namespace ?? ""} />` },
    {
      key: "acts",
      title: "",
      end: true,
      cell: (row) =>
        html`<${Act} role="deploy" onClick=${() => setSearch({ set: row.name })}>Replace…<//> <${Act} role="deploy" onClick=${() => setRemoving(row.name)}>Delete…<//>`,
    },
  ];
  const remove = async () => {
    await call("DELETE", "/system/secrets", { json: { name: removing, ...where } });
    toast("ok", `Secret ${removing} is deleted.`);
    reload();
  };
  const acts = html`<${Act} role="deploy" icon="plus" primary=${true} onClick=${() => setSearch({ set: "+" })}>Create a secret<//>`;
  return html`<${Page} title="Secrets" lead=${data && plural(data.length, "secret")} acts=${acts}>
    <${Failure} error=${error} retry=${reload} />
    <div class="tools"><${Namespace} /><${Filter} label="Filter by name" /></div>
    ${
      loading
        ? html`<${Loading} />`
        : rows.length === 0
          ? html`<${Empty} title=${text ? "No secret fits" : "There is no secret yet"} icon="secret">
            <p>A function reads its secrets as files. Nobody can read a value here.</p><//>`
          : html`<${Table} caption="Secrets" rows=${rows} columns=${columns} sort="name" rowKey=${(/** @type {Row} */ row) => row.name} />`
    }
    <${SameAs} skep=${words("skep", "secret", "list", namespace && "--namespace", namespace)} curl=${curl("GET", "/system/secrets", { query: where })} />
    ${setting && html`<${SetSecret} name=${setting === "+" ? "" : setting} where=${where} onClose=${() => setSearch({ set: "" })} onDone=${reload} />`}
    ${
      removing &&
      html`<${Confirm} title=${`Delete ${removing}?`} act="Delete it" danger=${true} type=${removing} onAct=${remove} onClose=${() => setRemoving("")}><p>Its value cannot be brought back. A secret that a function names is not deleted.</p>
      <${SameAs} skep=${words("skep", "secret", "remove", removing)} curl=${curl("DELETE", "/system/secrets", { json: { name: removing, ...where } })} /><//>`
    }
  <//>`;
}

/** @param {{ row: Row, namespace: string }} props */
function Users({ row, namespace }) {
  const full = (/** @type {string} */ name) =>
    namespace && namespace !== "openfaas-fn" ? `${name}.${namespace}` : name;
  const links = [
    ...row.functions.map(
      (name) => html`<a key=${name} href=${`/ui/functions/${encodeURIComponent(full(name))}`}>${name}
      </a>`,
    ),
    ...row.sources.map(
      (name) => html`<a key=${`source-${name}`} href=${`/ui/sources/${encodeURIComponent(name)}`}>source ${name}</a>`,
    ),
  ];
  if (links.length === 0) return html`<span class="faint">nobody</span>`;
  return links.map((link, i) => html`${i > 0 && ", "}${link}`);
}

/** @param {{ name: string, where: Record<string, string>, onClose: () => void, onDone: () => void }} props */
function SetSecret({ name: given, where, onClose, onDone }) {
  const [name, setName] = useState(given);
  const [value, setValue] = useState("");
  const [error, setError] = useState("");
  const [run, busy] = useAct(async () => {
    try {
      await call(given ? "PUT" : "POST", "/system/secrets", { json: { name, value, ...where } });
      toast("ok", given ? `${name} has a new value.` : `Secret ${name} is created.`);
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
  return html`<${Dialog} title=${given ? `Replace ${given}` : "Create a secret"} onClose=${onClose}>
    <form onSubmit=${submit}>
    ${
      !given &&
      html`<label class="field"><span>Name</span>
      <input name="name" required value=${name} autocomplete="off" spellcheck="false" onInput=${(/** @type {any} */ e) => setName(e.target.value)} /></label>`
    }
    <label class="field"><span>Value</span>
      <textarea name="value" class="short secret" required value=${value} autocomplete="off" spellcheck="false" onInput=${(/** @type {any} */ e) => setValue(e.target.value)} />
      <span class="hint">It is stored as it is written here, and nobody can read it in skep afterwards.</span></label>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <${SameAs} skep=${`${words("skep", "secret", "set", name || "NAME")} < value.txt`} curl=${curl(given ? "PUT" : "POST", "/system/secrets", { json: { name: name || "NAME", value: "…", ...where } })} />
    <footer><button type="button" onClick=${onClose}>Cancel</button>
      <button class="primary" disabled=${busy || !name || !value}>${given ? "Replace it" : "Create it"}</button>
      </footer>
  </form><//>`;
}
