// @ts-check
// Changes the request of a dead letter before it is sent again.
import { Act, curl, Field, html, option, readHeaders, SameAs, Section, seg, useAct, useState, words } from "../kit.js";
import { redrive } from "../dead.js";

/** Headers that skep sets, and that are not for editing. */
const OURS = /^(x-call-id|x-start-time|x-forwarded-.*|host|forwarded|content-length)$/;

/** @param {{ letter: any, onClose: () => void, onSent: () => void }} props */
export function EditLetter({ letter, onClose, onSent }) {
  const before = {
    text: letter.text ?? "",
    path: letter.request?.path ?? "",
    query: letter.request?.query ?? "",
    headers: headersOf(letter)
      .map(([name, value]) => `${name}: ${value}`)
      .join("\n"),
  };
  const [form, setForm] = useState(before);
  const [error, setError] = useState("");
  const set = (/** @type {string} */ name) => (/** @type {string} */ value) => setForm({ ...form, [name]: value });
  const { changes, wrong } = read(form, before, letter);
  const [run, busy] = useAct(async () => {
    setError("");
    try {
      await redrive(letter.callId, changes);
      onSent();
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  const isText = letter.text !== undefined;
  return html`<${Section} title="Edit and redrive"><form class="card" onSubmit=${submit}>
    ${
      isText
        ? html`<${Field} label="Body" value=${form.text} onInput=${set("text")} lines=${6} />
      <${Checked} text=${form.text} was=${before.text} />`
        : html`<p class="muted">The body is not text. It is sent as it is.</p>`
    }
    <div class="form-row"><${Field} label="Path" value=${form.path} onInput=${set("path")} mono placeholder="/" />
      <${Field} label="Query" value=${form.query} onInput=${set("query")} mono placeholder="a=1&b=2" /></div>
    <${Field} label="Headers" value=${form.headers} onInput=${set("headers")} lines=${4} hint="Name: value, one a line. Those that are (hidden) stay as they are." />
    ${(wrong || error) && html`<p class="error" role="alert">${wrong || error}</p>`}
    <div class="form-foot"><button type="button" onClick=${onClose}>Close</button>
      <${Act} role="deploy" type="submit" primary icon="retry" disabled=${busy || wrong !== "" || Object.keys(changes).length === 0}>Redrive the changed call<//></div>
    <${SameAs} skep=${words("skep", "dead", "edit", letter.callId, ...options(changes))} curl=${curl("POST", `/system/dead/${seg(letter.callId)}/redrive`, { json: changes })} />
  </form><//>`;
}

/**
 * Whether text that was JSON still is.
 * @param {{ text: string, was: string }} props
 */
function Checked({ text, was }) {
  if (!isJson(was) || isJson(text)) return null;
  return html`<p class="hint text-warn">The body was JSON and is not any more.</p>`;
}

/** @param {string} text */
function isJson(text) {
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    return false;
  }
}

/**
 * @param {any} letter
 * @returns {[string, string][]}
 */
const headersOf = (letter) =>
  (letter.request?.headers ?? []).filter((/** @type {[string, string]} */ [name]) => !OURS.test(name));

/**
 * What differs, as the API takes it.
 * @param {any} form
 * @param {any} before
 * @param {any} letter
 */
function read(form, before, letter) {
  /** @type {Record<string, any>} */
  const changes = {};
  try {
    if (form.text !== before.text) changes.text = form.text;
    if (form.path !== before.path) changes.path = form.path || "/";
    if (form.query !== before.query) changes.query = form.query;
    const next = new Map(readHeaders(form.headers).map(([name, value]) => [name.toLowerCase(), value]));
    const old = new Map(headersOf(letter));
    const headers = Object.fromEntries([
      ...[...next].filter(([name, value]) => old.get(name) !== value),
      ...[...old.keys()].filter((name) => !next.has(name)).map((name) => [name, null]),
    ]);
    if (Object.keys(headers).length) changes.headers = headers;
    return { changes, wrong: "" };
  } catch (error) {
    return { changes, wrong: /** @type {Error} */ (error).message };
  }
}

/** @param {Record<string, any>} changes */
function options(changes) {
  const headers = Object.entries(changes.headers ?? {}).flatMap(([name, value]) =>
    value === null ? ["--remove-header", name] : ["--header", `${name}: ${value}`],
  );
  // What is emptied is a change too.
  const one = (/** @type {string} */ name) =>
    changes[name] === "" ? [`--${name}=`] : option(`--${name}`, changes[name]);
  return [...one("text"), ...one("path"), ...one("query"), ...headers];
}
