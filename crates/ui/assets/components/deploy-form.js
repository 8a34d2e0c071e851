// @ts-check
// The settings of a function, for a new one and for a change.
import { get } from "../api.js";
import { html, useMemo } from "../preact.js";
import { useLimits } from "../session.js";
import { useLoad } from "../use.js";
import { Field } from "./field.js";

/**
 * @param {{ form: import("../deployment.js").Form, onChange: (form: import("../deployment.js").Form) => void, isNew?: boolean }} props
 */
export function DeployForm({ form, onChange, isNew = false }) {
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => onChange({ ...form, [name]: value });
  const limits = useLimits();
  // Those of a namespace that the reader may not see are refused.
  const sees = limits?.length === 0 || limits?.includes(form.namespace);
  const secrets = useLoad(
    (signal) => (sees ? get("/system/secrets", { namespace: form.namespace }, signal) : Promise.resolve([])),
    [form.namespace, sees ?? null],
  );
  const names = useMemo(
    () => (secrets.data ?? []).map((/** @type {any} */ secret) => secret.name).join(", "),
    [secrets.data],
  );
  return html`<div class="form">
    ${
      isNew &&
      html`<div class="form-row">
      <${Field} label="Name" value=${form.service} onInput=${set("service")} required pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" placeholder="upper" mono
        hint="Lower-case letters, digits and inner hyphens." />
      <${Field} label="Namespace" value=${form.namespace} onInput=${set("namespace")} placeholder="openfaas-fn" mono hint="Empty for the default one." /></div>`
    }
    <${Field} label="Command" value=${form.envProcess} onInput=${set("envProcess")} mono placeholder="tr a-z A-Z"
      hint="Split as a shell splits words, without a shell: write sh -c '…' for pipes. The body is on STDIN, the answer is STDOUT." />
    <${Field} label="Image" value=${form.image} onInput=${set("image")} mono placeholder="registry.example/upper:1" hint="For a Swarm. Functions of one machine run their command." />
    <div class="form-row">
      <${Field} label="Variables" value=${form.envVars} onInput=${set("envVars")} lines=${4} placeholder="NAME=VALUE" hint="One a line." />
      <${Field} label="Labels" value=${form.labels} onInput=${set("labels")} lines=${4} placeholder="com.openfaas.scale.min=2" hint="com.openfaas.scale.… says how many replicas there may be." />
    </div>
    <div class="form-row">
      <${Field} label="Annotations" value=${form.annotations} onInput=${set("annotations")} lines=${4} placeholder="skep.timeout=90s" hint="skep.… and com.openfaas.retry.… say how calls are run." />
      <${Field} label="Secrets" value=${form.secrets} onInput=${set("secrets")} lines=${4} placeholder="api-key" hint=${names ? `A name each line. There are: ${names}.` : "A name each line. There is no secret yet."} />
    </div>
    <div class="form-row">
      <${Field} label="Memory limit" value=${form.memory} onInput=${set("memory")} mono placeholder="128Mi" hint="Of a container." />
      <${Field} label="CPU limit" value=${form.cpu} onInput=${set("cpu")} mono placeholder="500m" hint="Of a container." />
    </div>
  </div>`;
}
