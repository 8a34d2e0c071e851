// @ts-check
// The settings of a function: change them, see what changes, deploy.
import {
  Act,
  call,
  curl,
  DeployForm,
  Diff,
  Failure,
  Field,
  get,
  html,
  Loading,
  Notice,
  SameAs,
  Section,
  seg,
  toast,
  useAct,
  useLoad,
  useState,
} from "../../kit.js";
import { changes, deployCommand, fromForm, toForm } from "../../deployment.js";

/** @param {{ name: string, data: any, reload: () => void }} props */
export function Config({ name, data, reload }) {
  const number = data.version?.number;
  const version = useLoad(
    (signal) => get(`/system/function/${seg(name)}/versions/${number}`, {}, signal),
    [name, number],
  );
  // A version that somebody else deploys meanwhile does not take away what is typed here.
  const [begun, setBegun] = useState(/** @type {any} */ (null));
  const base = begun ?? (version.data && { number, deployment: version.data.deployment });
  if (!base)
    return version.error ? html`<${Failure} error=${version.error} retry=${version.reload} />` : html`<${Loading} />`;
  const again = () => {
    setBegun(null);
    reload();
  };
  return html`<${Edit} key=${base.number} ...${{ name, base, newest: number }} onBegin=${() => begun || setBegun(base)} onDone=${again} />`;
}

/** @param {{ name: string, base: { number: number, deployment: any }, newest: number, onBegin: () => void, onDone: () => void }} props */
function Edit({ name, base, newest, onBegin, onDone }) {
  const [form, setForm] = useState(toForm(base.deployment));
  const [note, setNote] = useState("");
  const [canary, setCanary] = useState("");
  const [error, setError] = useState("");
  const { deployment, differences, wrong } = read(form, base.deployment);
  const change = (/** @type {typeof form} */ next) => {
    onBegin();
    setForm(next);
  };
  const [run, busy] = useAct(async () => {
    setError("");
    try {
      await call("PUT", "/system/functions", { json: deployment, query: { note, canary } });
      const next = canary
        ? `Its canary takes ${canary} of the calls when it is ready.`
        : "The new replicas take over when they are ready.";
      toast("ok", `${name} is updated. ${next}`);
      onDone();
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  return html`<form class="columns is-wide-left" onSubmit=${submit}>
      <div>${
        base.number !== newest &&
        html`<${Notice} tone="warn" icon="warning">Version ${newest} was deployed meanwhile. What you see is of version ${base.number}.
          <button type="button" onClick=${onDone}>Show the new one</button><//>`
      }
        <${DeployForm} form=${form} onChange=${change} /></div>
      <div class="sticky"><${Section} title="What changes"><div class="card">
        ${wrong ? html`<p class="error" role="alert">${wrong}</p>` : html`<${Diff} changes=${differences} />`}
        ${
          differences.length > 0 &&
          html`<${Field} label="Note" value=${note} onInput=${setNote} placeholder="Why" hint="It is kept with the version." />
          <${Field} label="Share of the calls" value=${canary} onInput=${setCanary} placeholder="all" hint="10%: a canary takes this share, until it is promoted or rolled back." />`
        }
        ${error && html`<p class="error" role="alert">${error}</p>`}
        <div class="form-foot">
          <button type="button" disabled=${busy || differences.length === 0} onClick=${() => setForm(toForm(base.deployment))}>Undo</button>
          <${Act} role="deploy" type="submit" primary disabled=${busy || differences.length === 0}>Deploy the change<//>
            </div>
      </div><//></div>
    </form>
    <${SameAs} skep=${deployCommand(deployment, { note, canary })} curl=${curl("PUT", "/system/functions", { json: deployment, query: { note, canary } })} />`;
}

/**
 * @param {any} form
 * @param {any} base
 */
function read(form, base) {
  try {
    const deployment = fromForm(form, base);
    return { deployment, differences: changes(base, deployment), wrong: "" };
  } catch (error) {
    return { deployment: base, differences: [], wrong: /** @type {Error} */ (error).message };
  }
}
