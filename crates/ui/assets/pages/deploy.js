// @ts-check
// Deploys a new function.
import {
  Act,
  call,
  curl,
  DeployForm,
  Field,
  html,
  navigate,
  Page,
  SameAs,
  toast,
  useAct,
  useLimits,
  useState,
} from "../kit.js";
import { BLANK, deployCommand, fromForm } from "../deployment.js";

/** @type {[string, Partial<typeof BLANK>][]} */
const EXAMPLES = [
  ["Upper case", { service: "upper", envProcess: "tr a-z A-Z" }],
  ["Echo", { service: "echo", envProcess: "cat" }],
  ["Shell script", { service: "report", envProcess: "sh -c 'sleep 1; wc -w'" }],
];

export default function Deploy() {
  const namespace = useLimits()?.[0] ?? "";
  const blank = { ...BLANK, namespace };
  const [begun, setForm] = useState(/** @type {typeof BLANK | null} */ (null));
  const form = begun ?? blank;
  const [note, setNote] = useState("");
  const [error, setError] = useState("");
  const [run, busy] = useAct(async () => {
    setError("");
    try {
      const deployment = fromForm(form);
      await call("POST", "/system/functions", { json: deployment, query: { note } });
      const name = deployment.namespace ? `${deployment.service}.${deployment.namespace}` : deployment.service;
      toast("ok", `${name} is deployed, and its first replica starts.`);
      navigate(`/ui/functions/${encodeURIComponent(name)}/invoke`);
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const { wrong, ...same } = commands(form, note);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  return html`<${Page} title="Deploy a function" above=${html`<a href="/ui/functions">Functions</a>`}>
    <form class="narrow" onSubmit=${submit}>
      <div class="tools"><span class="muted">Start with</span>
        ${EXAMPLES.map(([title, values]) => html`<button key=${title} type="button" onClick=${() => setForm({ ...blank, ...values })}>${title}</button>`)}</div>
      <${DeployForm} form=${form} onChange=${setForm} isNew=${true} />
      <${Field} label="Note" value=${note} onInput=${setNote} placeholder="The first one" hint="What there is to say about this version." />
      ${(wrong || error) && html`<p class="error" role="alert">${wrong || error}</p>`}
      <div class="form-foot"><${Act} role="deploy" type="submit" primary disabled=${busy || !form.service || wrong !== ""}>Deploy<//>
        </div>
    </form>
    <${SameAs} ...${same} />
  <//>`;
}

/**
 * @param {typeof BLANK} form
 * @param {string} note
 */
function commands(form, note) {
  try {
    const json = fromForm(form);
    json.service ||= "NAME";
    return {
      wrong: "",
      skep: deployCommand(json, { note }),
      curl: curl("POST", "/system/functions", { json, query: { note } }),
    };
  } catch (error) {
    return {
      wrong: /** @type {Error} */ (error).message,
      curl: curl("POST", "/system/functions", { file: "deployment.json" }),
    };
  }
}
