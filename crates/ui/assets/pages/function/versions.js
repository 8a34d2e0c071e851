// @ts-check
// What the function was, who changed it, and the way back.
import {
  Act,
  call,
  Confirm,
  curl,
  Diff,
  Failure,
  Field,
  get,
  html,
  Loading,
  SameAs,
  seg,
  Status,
  Time,
  toast,
  useLoad,
  useSearch,
  useState,
  words,
} from "../../kit.js";
import { changes } from "../../deployment.js";
import { Canary } from "./canary.js";

/** @type {Record<string, [import("../../components/status.js").Tone, import("../../components/icon.js").IconName]>} */
const STATES = {
  current: ["ok", "check"],
  starting: ["busy", "running"],
  former: ["quiet", "clock"],
  failed: ["bad", "cross"],
  canary: ["busy", "running"],
};

/** @param {{ name: string, data: any, reload: () => void }} props */
export function Versions({ name, data, reload }) {
  const path = `/system/function/${seg(name)}/versions`;
  const versions = useLoad((signal) => get(path, {}, signal), [name, data.version?.number, data.readyVersion]);
  const [shown, setShown] = useSearch("version");
  const [back, setBack] = useState(0);
  if (!versions.data)
    return versions.error
      ? html`<${Failure} error=${versions.error} retry=${versions.reload} />`
      : html`<${Loading} rows=${4} />`;
  const chosen = Number(shown) || 0;
  const hasCanary = versions.data.some((/** @type {any} */ version) => version.state === "canary");
  const done = () => {
    versions.reload();
    reload();
  };
  return html`${hasCanary && html`<${Canary} name=${name} onDone=${done} />`}<ol class="versions">${versions.data.map(
    (/** @type {any} */ version) => html`<${Version} key=${version.number}
      ...${{ name, version, current: data.version?.number, open: version.number === chosen }}
      onOpen=${() => setShown(version.number === chosen ? "" : String(version.number))} onBack=${() => setBack(version.number)} />`,
  )}</ol>
    ${back > 0 && html`<${Rollback} name=${name} version=${back} onClose=${() => setBack(0)} onDone=${done} />`}
    <${SameAs} skep=${words("skep", "versions", name)} curl=${curl("GET", path)} />`;
}

/** @param {{ name: string, version: any, current: number, open: boolean, onOpen: () => void, onBack: () => void }} props */
function Version({ name, version, current, open, onOpen, onBack }) {
  const [tone, icon] = STATES[version.state] ?? ["quiet", "info"];
  return html`<li class="version"><div class="version-head">
      <button type="button" class="version-number" aria-expanded=${open} onClick=${onOpen}>Version ${version.number}
        </button>
      <${Status} tone=${tone} icon=${icon}>${version.state}<//>
      <span class="muted">${what(version)} by ${version.actor}, <${Time} at=${version.at} /></span>
      <span class="push">
        ${version.number !== current && version.state !== "canary" && html`<${Act} role="deploy" icon="retry" onClick=${onBack}>Roll back to it<//>`}
        </span></div>
    ${version.note && html`<p class="version-note">${version.note}</p>`}
    ${open && html`<${Compared} ...${{ name, number: version.number, current }} />`}</li>`;
}

/** @param {any} version */
function what(version) {
  if (version.restores)
    return `${version.cause === "automatic-rollback" ? "rolled back by skep" : "rolled back"} to version ${version.restores}`;
  return version.changed?.length ? `${version.cause} of ${version.changed.join(", ")}` : version.cause;
}

/** @param {{ name: string, number: number, current: number }} props */
function Compared({ name, number, current }) {
  const path = (/** @type {number} */ n) => `/system/function/${seg(name)}/versions/${n}`;
  const both = useLoad(
    async (signal) => Promise.all([get(path(number), {}, signal), get(path(current), {}, signal)]),
    [name, number, current],
  );
  if (!both.data) return both.error ? html`<${Failure} error=${both.error} />` : html`<${Loading} rows=${2} />`;
  const [it, now] = both.data;
  if (number === current) return html`<${Diff} changes=${changes({}, it.deployment)} />`;
  return html`<p class="label">From the current version to this one</p>
    <${Diff} changes=${changes(now.deployment, it.deployment)} />`;
}

/** @param {{ name: string, version: number, onClose: () => void, onDone: () => void }} props */
function Rollback({ name, version, onClose, onDone }) {
  const [note, setNote] = useState("");
  const act = async () => {
    const { data } = await call("POST", `/system/function/${seg(name)}/rollback`, {
      json: { version, ...(note && { note }) },
    });
    toast("ok", `${name} has version ${data.version} now, with the settings of version ${data.restores}.`);
    onDone();
  };
  return html`<${Confirm} title=${`Roll ${name} back to version ${version}?`} act="Roll back" onAct=${act} onClose=${onClose}>
    <p>Its settings become a new version. What runs now goes on until the new replicas are ready.</p>
    <${Field} label="Note" value=${note} onInput=${setNote} placeholder="Why" />
    <${SameAs} skep=${words("skep", "rollback", name, version)} curl=${curl("POST", `/system/function/${seg(name)}/rollback`, { json: { version } })} /><//>`;
}
