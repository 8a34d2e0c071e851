// @ts-check
// How many replicas there are, how many there may be, and why.
import {
  Act,
  call,
  count,
  curl,
  duration,
  Facts,
  failed,
  Field,
  html,
  option,
  plural,
  SameAs,
  Section,
  seg,
  Time,
  toast,
  useAct,
  useState,
  words,
} from "../../kit.js";
import { split } from "../../stats-rows.js";

/** @param {{ name: string, data: any, row: import("../../stats-rows.js").Row | undefined, reload: () => void }} props */
export function Scaling({ name, data, row, reload }) {
  const { scaling = {} } = data;
  return html`<div class="columns">
    <${Section} title="Replicas now"><div class="card">
      <${Facts} facts=${[
        ["Wanted", data.replicas],
        ["Ready", data.availableReplicas],
        ["Starting", row?.starting || undefined],
        ["Why", scaling.reason],
        ["Problem", data.problem],
        ["Since", scaling.since && html`<${Time} at=${scaling.since} />`],
        ["Held until", scaling.held_until && html`<${Time} at=${scaling.held_until} />`],
        ["Names", data.instances?.length > 0 && html`<code>${data.instances.join(" ")}</code>`],
      ]} />
      <${Scale} ...${{ name, now: data.replicas, held: scaling.held_until !== undefined, reload }} /></div>
    <//>
    <div><${Section} title="What it is decided from"><div class="card">${
      scaling.load === undefined
        ? html`<p class="muted">It is not in use.</p>`
        : html`<${Facts} facts=${[
            ["Needed", `${plural(scaling.need, "replica")}, before all bounds`],
            ["Running at once", scaling.load.toFixed(1)],
            [
              "Waiting",
              scaling.waiting ? `${count(scaling.waiting)}, the oldest for ${duration(scaling.age)}` : "none",
            ],
            ["A call takes", scaling.occupancy > 0 && duration(scaling.occupancy)],
          ]} />`
    }</div><//>
    <${Rule} ...${{ name, labels: data.labels ?? {}, vars: data.envVars ?? {} }} /></div></div>
    <${SameAs} title="Shown by" skep=${words("skep", "describe", name)} curl=${curl("GET", `/system/function/${seg(name)}`)} />`;
}

/** @param {{ name: string, now: number, held: boolean, reload: () => void }} props */
function Scale({ name, now, held, reload }) {
  const [wanted, setWanted] = useState(String(now));
  const [hold, setHold] = useState("");
  const replicas = Number(wanted);
  const valid = /^\d+$/.test(wanted) && replicas <= 100;
  const { name: serviceName, namespace } = split(name);
  const path = `/system/scale-function/${seg(serviceName)}`;
  const json = { serviceName, replicas, ...(namespace && { namespace }), ...(hold && { hold }) };
  const [run, busy] = useAct(async (/** @type {any} */ body, /** @type {string} */ done) => {
    try {
      await call("POST", path, { json: body, query: { namespace } });
      toast("ok", done);
      reload();
    } catch (error) {
      failed(error);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run(json, `${name} is scaled to ${plural(replicas, "replica")}.`);
  };
  const free = () => run({ ...json, replicas: now, hold: "0s" }, `skep decides again how many replicas ${name} has.`);
  return html`<form class="inline-form" onSubmit=${submit}>
      <${Field} label="Scale to" value=${wanted} onInput=${setWanted} type="number" hint="From 0 to 100, whatever the labels say." />
      <${Field} label="Hold for" value=${hold} onInput=${setHold} placeholder="10m" hint="Then skep decides again." />
      <div class="form-foot">${held && html`<${Act} role="deploy" disabled=${busy} onClick=${free}>Let go<//>`}
        <${Act} role="deploy" type="submit" primary disabled=${busy || !valid}>Scale<//></div>
    </form>
    <${SameAs} title="Scale" skep=${words("skep", "scale", name, valid ? replicas : "N", ...option("--hold", hold))} curl=${curl("POST", path, { json, query: { namespace } })} />`;
}

/** Each label of scaling: its key, what it is called, its default, and the types that it is for, if not all. */
const LABELS = /** @type {[string, string, string, ((type: string) => boolean)?][]} */ ([
  ["com.openfaas.scale.min", "At least", "1"],
  ["com.openfaas.scale.max", "At most", "20"],
  ["com.openfaas.scale.target", "For a replica", "50", (type) => type !== "alert"],
  ["com.openfaas.scale.target-proportion", "Share of that", "0.9", (type) => !["auto", "alert"].includes(type)],
  ["com.skep.scale.wait", "A call may wait", "1s", (type) => type === "auto"],
  ["com.openfaas.scale.down.window", "Fewer after", "", (type) => type !== "alert"],
  ["com.openfaas.scale.zero", "To zero if idle", "false"],
  ["com.openfaas.scale.zero-duration", "Idle after", "15m"],
  ["com.openfaas.scale.factor", "Step of an alert", "20"],
]);

const UNITS = /** @type {Record<string, string>} */ ({
  auto: "calls at once",
  rps: "calls per second",
  capacity: "calls in flight",
  queue: "calls that wait",
  cpu: "thousandths of a core",
});

/** @param {{ name: string, labels: Record<string, string>, vars: Record<string, string> }} props */
function Rule({ name, labels, vars }) {
  const type = labels["com.openfaas.scale.type"] ?? "auto";
  const usual = (/** @type {string} */ text) => html`${text} <span class="faint">(default)</span>`;
  const shown = (/** @type {string} */ key, /** @type {string} */ preset) => {
    const unit = key.endsWith(".target") ? ` ${UNITS[type]}` : key.endsWith(".factor") ? " %" : "";
    if (key.endsWith(".target") && type === "auto") {
      if (vars.max_inflight) return `${vars.max_inflight}${unit}`;
      preset = "16";
    }
    return labels[key] !== undefined ? labels[key] + unit : preset && usual(preset + unit);
  };
  const fitting = LABELS.filter(([, , , isFor]) => !isFor || isFor(type));
  return html`<${Section} title="The rule" side=${html`<a href=${`/ui/functions/${seg(name)}/config`}>Change its labels</a>`}><div class="card">
      <${Facts} facts=${[
        ["Type", labels["com.openfaas.scale.type"] ?? usual("auto")],
        ...fitting.map(([key, title, preset]) => /** @type {[string, unknown]} */ ([title, shown(key, preset)])),
      ]} />
      <p class="hint">These are labels that begin with <code>com.openfaas.scale.</code></p></div><//>`;
}
