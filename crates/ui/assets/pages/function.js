// @ts-check
// One function: its frame, and the part that the address names.
import {
  Act,
  call,
  Confirm,
  curl,
  Empty,
  Failure,
  get,
  html,
  Loading,
  navigate,
  Notice,
  Page,
  Replicas,
  SameAs,
  seg,
  Tabs,
  toast,
  useLoad,
  useRow,
  useState,
  words,
} from "../kit.js";
import { split } from "../stats-rows.js";
import { Calls } from "./function/calls.js";
import { Config } from "./function/config.js";
import { Invoke } from "./function/invoke.js";
import { Logs } from "./function/logs.js";
import { Overview } from "./function/overview.js";
import { Scaling } from "./function/scaling.js";
import { Versions } from "./function/versions.js";

/** @type {[string, string, any][]} */
const TABS = [
  ["", "Overview", Overview],
  ["invoke", "Invoke", Invoke],
  ["calls", "Calls", Calls],
  ["logs", "Logs", Logs],
  ["config", "Config", Config],
  ["scaling", "Scaling", Scaling],
  ["versions", "Versions", Versions],
];

/** @param {{ params: { name: string, tab?: string } }} props */
export default function Function({ params }) {
  const { name, tab = "" } = params;
  const row = useRow(name);
  const { data, error, reload } = useLoad((signal) => get(`/system/function/${seg(name)}`, {}, signal), [name], 3000);
  const [removing, setRemoving] = useState(false);
  const base = `/ui/functions/${seg(name)}`;
  const part = TABS.find(([key]) => key === tab);
  const above = html`<a href="/ui/functions">Functions</a>`;
  if (/** @type {any} */ (error)?.status === 404) return html`<${Gone} name=${name} above=${above} />`;
  const now = row ?? (data && { ready: data.availableReplicas, wanted: data.replicas, problem: data.problem ?? "" });
  const acts = html`<${Act} role="deploy" onClick=${() => setRemoving(true)}>Delete…<//>`;
  return html`<${Page} title=${name} above=${above} acts=${acts} lead=${
    now &&
    html`<${Replicas} row=${now} /><span>
    ${data?.annotations?.description}</span>`
  }>
    ${now?.problem && html`<${Notice} tone="bad" icon="warning">${now.problem}<//>`}
    <${Tabs} label=${`Parts of ${name}`} current=${tab} tabs=${TABS.map(([key, title]) => ({ key, title, href: key ? `${base}/${key}` : base }))} />
    ${
      !data
        ? error
          ? html`<${Failure} error=${error} retry=${reload} />`
          : html`<${Loading} />`
        : part
          ? html`<${part[2]} key=${name} name=${name} data=${data} row=${row} reload=${reload} />`
          : html`<${Empty} title="There is no such part" />`
    }
    ${removing && html`<${Remove} name=${name} onClose=${() => setRemoving(false)} />`}
  <//>`;
}

/** @param {{ name: string, onClose: () => void }} props */
function Remove({ name, onClose }) {
  const { name: functionName, namespace } = split(name);
  const remove = async () => {
    await call("DELETE", "/system/functions", { json: { functionName }, query: { namespace } });
    toast("ok", `${name} is deleted. Its queued calls become dead letters.`);
    navigate("/ui/functions");
  };
  return html`<${Confirm} title=${`Delete ${name}?`} act="Delete the function" danger type=${name} onAct=${remove} onClose=${onClose}>
    <p>New calls get 404 at once, calls that run may finish, and queued calls become dead letters.</p>
    <p class="muted">Its versions are gone too, so there is no way back but a new deploy.</p>
    <${SameAs} skep=${words("skep", "remove", name)} curl=${curl("DELETE", "/system/functions", { json: { functionName }, query: { namespace } })} /><//>`;
}

/** @param {{ name: string, above: unknown }} props */
function Gone({ name, above }) {
  return html`<${Page} title=${name} above=${above}><${Empty} title="This function is not deployed" icon="function">
    <p>It may have been deleted. Its <a href=${`/ui/dead?function=${seg(name)}`}>dead letters</a> and <a href=${`/ui/calls?function=${seg(name)}`}>calls</a> may still be there.</p>
    <p><a href="/ui/deploy">Deploy a function</a></p><//><//>`;
}
