// @ts-check
// What a source is declared as, and a change of it that shows the difference first.
import { call } from "../api.js";
import { curl, reading } from "../command.js";
import { Act } from "../components/act.js";
import { SameAs } from "../components/same-as.js";
import { toast } from "../components/toast.js";
import { html, useState } from "../preact.js";
import { useAct } from "../use.js";

/** @param {{ source: import("./sources.js").Source, reload: () => void }} props */
export function Declaration({ source, reload }) {
  const now = JSON.stringify(source.spec, null, 2);
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const [error, setError] = useState("");
  const [run, busy] = useAct(async () => {
    try {
      await call("PUT", "/system/sources", { json: { ...JSON.parse(text ?? now), name: source.name } });
      toast("ok", `${source.name} has another declaration.`);
      setText(null);
      setError("");
      reload();
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const command = html`<${SameAs} ...${commands(source.name, text ?? now)} />`;
  if (text === null) {
    return html`<pre class="foreign" tabindex="0" role="region" aria-label="Declaration">${now}</pre>
      <div class="tools"><${Act} role="deploy" onClick=${() => setText(now)}>Change it<//></div>${command}`;
  }
  const changes = differences(now, text);
  return html`<label class="field"><span>Declaration, as JSON</span>
    <textarea name="declaration" class="tall" spellcheck="false" value=${text} onInput=${(/** @type {any} */ e) => setText(e.target.value)} /></label>
    ${
      changes.length > 0 &&
      html`<pre class="foreign diff" tabindex="0" role="region" aria-label="What changes">
      ${changes.map(
        ([sign, line], i) => html`<span key=${i} class=${sign === "+" ? "is-added" : "is-removed"}>
      ${sign} ${line}\n</span>`,
      )}</pre>`
    }
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <div class="tools"><button type="button" onClick=${() => setText(null)}>Keep it as it is</button>
      <${Act} role="deploy" primary=${true} disabled=${busy || changes.length === 0} onClick=${run}>Change it<//></div>
        ${command}`;
}

/**
 * @param {string} name
 * @param {string} text
 */
function commands(name, text) {
  try {
    const spec = JSON.parse(text);
    return {
      skep: reading(spec, "skep", "sources", "update", name, "--file", "-"),
      curl: curl("PUT", "/system/sources", { json: { ...spec, name } }),
    };
  } catch {
    return { curl: curl("PUT", "/system/sources", { file: `${name}.json` }) };
  }
}

/**
 * Lines that one text has and the other has not.
 * @param {string} before
 * @param {string} after
 * @returns {["+" | "-", string][]}
 */
export function differences(before, after) {
  const [old, now] = [before.split("\n"), after.split("\n")];
  return [
    ...without(old, now).map((line) => /** @type {["-", string]} */ (["-", line])),
    ...without(now, old).map((line) => /** @type {["+", string]} */ (["+", line])),
  ];
}

/**
 * @param {string[]} lines
 * @param {string[]} others
 */
function without(lines, others) {
  const rest = new Map();
  for (const line of others) rest.set(line, (rest.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const left = rest.get(line) ?? 0;
    if (left > 0) rest.set(line, left - 1);
    return left === 0;
  });
}
