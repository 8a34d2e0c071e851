// @ts-check
// Calls the function: at once, or by way of the queue, which is then followed.
import {
  Act,
  curl,
  Field,
  html,
  Notice,
  readHeaders,
  SameAs,
  seg,
  Select,
  send,
  useAct,
  useMemo,
  useSearch,
  useState,
  words,
} from "../../kit.js";
import { read } from "../../body.js";
import { remember, remembered } from "../../requests.js";
import { Followed, Outcome } from "./outcome.js";

const METHODS = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const BLANK = { method: "POST", path: "", query: "", headers: "", text: "", callId: "", delay: "", callback: "" };

/** @param {{ name: string }} props */
export function Invoke({ name }) {
  const [how, setHow] = useSearch("how", "sync");
  const [again] = useSearch("again");
  const known = useMemo(() => (again ? remembered(again) : undefined), [again]);
  const [form, setForm] = useState(known ?? BLANK);
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  const [outcome, setOutcome] = useState(/** @type {any} */ (null));
  const [error, setError] = useState("");
  const set = (/** @type {string} */ key) => (/** @type {string} */ value) => setForm({ ...form, [key]: value });
  const queued = how === "async";
  const [run, busy] = useAct(async () => {
    setError("");
    try {
      setOutcome(await invoke(name, queued, form, file));
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void run();
  };
  const bodiless = !queued && (form.method === "GET" || form.method === "HEAD");
  return html`${again && html`<${Again} id=${again} known=${known !== undefined} />`}
    <div class="columns"><form onSubmit=${submit}>
      <div class="presets" role="group" aria-label="How to call">${[
        ["sync", "At once"],
        ["async", "By way of the queue"],
      ].map(
        ([key, title]) =>
          html`<button key=${key} type="button" aria-pressed=${how === key} onClick=${() => setHow(key)}>${title}
            </button>`,
      )}</div>
      <div class="form-row is-request">
        ${!queued && html`<${Select} label="Method" value=${form.method} onInput=${set("method")} options=${METHODS.map((each) => [each, each])} />`}
        <${Field} label="Path" value=${form.path} onInput=${set("path")} mono placeholder="/" />
          <${Field} label="Query" value=${form.query} onInput=${set("query")} mono placeholder="a=1&b=2" /></div>
      ${
        !bodiless &&
        html`<${Field} label="Body" value=${form.text} onInput=${set("text")} lines=${6} disabled=${file !== null} hint=${jsonHint(form.text)} />
        <label class="field"><span>Or a file</span>
          <input type="file" onChange=${(/** @type {any} */ e) => setFile(e.target.files[0] ?? null)} /></label>`
      }
      <${Field} label="Headers" value=${form.headers} onInput=${set("headers")} lines=${2} placeholder="X-Order: 7" hint="Name: value, one a line." />
      ${
        queued &&
        html`<div class="form-row">
          <${Field} label="Call id" value=${form.callId} onInput=${set("callId")} mono placeholder="skep makes one" hint="The same id again is the same call." />
          <${Field} label="Delay" value=${form.delay} onInput=${set("delay")} mono placeholder="90s" /></div>
        <${Field} label="Callback" value=${form.callback} onInput=${set("callback")} mono placeholder="https://example.com/done" hint="Where the result is sent: http(s)://…, skep://FUNCTION or nats://SUBJECT." />`
      }
      <div class="form-foot"><${Act} role="invoke" type="submit" primary icon="play" disabled=${busy}>
        ${busy ? "Waiting…" : queued ? "Queue the call" : "Call it"}<//></div>
    </form>
    <div class="outcome" aria-live="polite">${
      error
        ? html`<p class="error" role="alert">${error}</p>`
        : !outcome
          ? html`<p class="outcome-empty">The answer appears here.</p>`
          : outcome.queuedId
            ? html`<${Followed} key=${outcome.queuedId} ...${outcome} />`
            : html`<${Outcome} ...${outcome} />`
    }</div></div>
    <${SameAs} ...${commands(name, queued, form, file)} />`;
}

/** @param {{ id: string, known: boolean }} props */
function Again({ id, known }) {
  const link = html`<a href=${`/ui/calls/${seg(id)}`}><code>${id}</code></a>`;
  return known
    ? html`<${Notice}><p>This is the request of ${link}. It is a new call, with an id of its own.</p><//>`
    : html`<${Notice}><p>The request of ${link} is not kept: skep forgets it with the end of the call, and it was not made in this tab. Fill it in again.</p><//>`;
}

/** @param {string} text */
const isJson = (text) => /^\s*[[{]/.test(text);

/** @param {string} text */
function jsonHint(text) {
  if (!isJson(text)) return "Text, sent as it is.";
  try {
    JSON.parse(text);
    return "Valid JSON.";
  } catch (error) {
    return `Not valid JSON: ${/** @type {Error} */ (error).message}`;
  }
}

/**
 * @param {string} name
 * @param {boolean} queued
 * @param {typeof BLANK} form
 * @param {File | null} file
 */
function request(name, queued, form, file) {
  const path = form.path && !form.path.startsWith("/") ? `/${form.path}` : form.path;
  const query = form.query.replace(/^\?/, "");
  /** @type {Record<string, string>} */
  const headers = Object.fromEntries(readHeaders(form.headers));
  if (queued && form.callId) headers["X-Call-Id"] = form.callId;
  if (queued && form.delay) headers["X-Skep-Delay"] = form.delay;
  if (queued && form.callback) headers["X-Callback-Url"] = form.callback;
  const method = queued ? "POST" : form.method;
  const hasBody = method !== "GET" && method !== "HEAD";
  if (hasBody && (file || form.text) && !Object.keys(headers).some((key) => key.toLowerCase() === "content-type"))
    headers["Content-Type"] = file
      ? file.type || "application/octet-stream"
      : isJson(form.text)
        ? "application/json"
        : "text/plain";
  return {
    method,
    hasBody,
    path: `/${queued ? "async-" : ""}function/${seg(name)}${path}${query && `?${query}`}`,
    headers,
  };
}

/**
 * @param {string} name
 * @param {boolean} queued
 * @param {typeof BLANK} form
 * @param {File | null} file
 */
async function invoke(name, queued, form, file) {
  const { method, path, headers, hasBody } = request(name, queued, form, file);
  const body = hasBody ? (file ?? form.text) : undefined;
  const begun = performance.now();
  const answer = await send(method, path, { headers, body });
  const queuedId = answer.headers.get("X-Call-Id") ?? "";
  if (queued && answer.status === 202) {
    if (!file) remember(queuedId, form);
    return {
      queuedId,
      durability: answer.headers.get("X-Skep-Durability"),
      repeated: answer.headers.has("X-Skep-Duplicate"),
    };
  }
  const { bytes, whole } = await read(answer);
  return {
    status: answer.status,
    type: answer.headers.get("Content-Type") ?? "",
    headers: [...answer.headers],
    bytes,
    whole,
    seconds: (performance.now() - begun) / 1000,
    redirected: answer.type === "opaqueredirect",
  };
}

/**
 * @param {string} name
 * @param {boolean} queued
 * @param {typeof BLANK} form
 * @param {File | null} file
 */
function commands(name, queued, form, file) {
  try {
    const { method, path, headers, hasBody } = request(name, queued, form, file);
    const options = Object.entries(headers).flatMap(([key, value]) => ["-H", `${key}: ${value}`]);
    const parts = form.query
      .split("&")
      .filter(Boolean)
      .flatMap((part) => ["--query", part]);
    const skep = words(
      "skep",
      "invoke",
      name,
      queued && "--async",
      method !== "POST" && "-X",
      method !== "POST" && method,
      form.path && "--path",
      form.path,
      ...parts,
      ...options,
      ...(file ? ["--file", file.name] : []),
    );
    const body = !hasBody ? {} : file ? { file: file.name } : { text: form.text };
    return {
      skep: file ? skep : body.text ? `${words("printf", "%s", body.text)} | ${skep}` : `${skep} < /dev/null`,
      curl: curl(method, path, { headers, ...body }),
    };
  } catch {
    return { curl: curl("POST", `/function/${seg(name)}`, { text: form.text }) };
  }
}
