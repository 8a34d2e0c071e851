// @ts-check
// A request to a source: tried, or signed and sent as the provider would.
import { call, seg } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { readHeaders } from "../components/headers.js";
import { Notice, Section } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { html, useState } from "../preact.js";
import { useSearch } from "../router.js";
import { useAct } from "../use.js";

/**
 * A body to begin with.
 * @param {import("./sources.js").Source} source
 */
function sample(source) {
  if (source.spec.preset === "github") return ["X-GitHub-Event: push", '{\n  "ref": "refs/heads/main"\n}'];
  return ["Content-Type: application/json", '{\n  "type": "order.paid",\n  "data": { "id": 7 }\n}'];
}

/** @param {{ source: import("./sources.js").Source }} props */
export function Send({ source }) {
  const [firstHeaders, firstBody] = sample(source);
  const [headers, setHeaders] = useSearch("headers", firstHeaders);
  const [text, setText] = useSearch("body", firstBody);
  const [unsigned, setUnsigned] = useState(false);
  const [tried, setTried] = useState(/** @type {any} */ (null));
  const [sent, setSent] = useState(/** @type {any} */ (null));
  const [error, setError] = useState("");
  const path = `/system/sources/${seg(source.name)}`;
  const act = async (/** @type {"try" | "send"} */ what) => {
    setError("");
    try {
      const json = {
        headers: Object.fromEntries(readHeaders(headers)),
        text,
        ...(what === "send" && unsigned && { unsigned }),
      };
      const { data } = await call("POST", `${path}/${what}`, { json });
      setTried(what === "try" ? data : null);
      setSent(what === "send" ? data : null);
    } catch (why) {
      setError(/** @type {Error} */ (why).message);
    }
  };
  const [run, busy] = useAct(act);
  const value = (/** @type {any} */ event) => event.target.value;
  return html`<form class="card" onSubmit=${(/** @type {Event} */ e) => e.preventDefault()}>
      <label class="field"><span>Headers, one a line</span>
        <textarea name="headers" class="short" spellcheck="false" value=${headers} onInput=${(/** @type {any} */ e) => setHeaders(value(e))} /></label>
      <label class="field"><span>Body</span>
        <textarea name="body" rows="8" spellcheck="false" value=${text} onInput=${(/** @type {any} */ e) => setText(value(e))} />
        </label>
      <label class="check">
        <input type="checkbox" checked=${unsigned} onChange=${() => setUnsigned(!unsigned)} /> Send it as it is, without a signature</label>
      ${error && html`<p class="error" role="alert">${error}</p>`}
      <footer class="tools">
        <button type="button" disabled=${busy} onClick=${() => run("try")}>Try: which routes take it?</button>
        <${Act} role="deploy" primary=${true} disabled=${busy} onClick=${() => run("send")}>
          ${unsigned ? "Send it" : "Sign and send it"}<//></footer>
    </form>
    <div aria-live="polite">
      ${tried && html`<${Tried} events=${tried} />`}${sent && html`<${Sent} source=${source} sent=${sent} />`}</div>
    <${SameAs} title="Try" ...${commands(source.name, "try", headers, text, false)} />
    <${SameAs} title="Send" ...${commands(source.name, "send", headers, text, unsigned)} />`;
}

/**
 * @param {string} name
 * @param {"try" | "send"} what
 * @param {string} lines
 * @param {string} text
 * @param {boolean} unsigned
 */
function commands(name, what, lines, text, unsigned) {
  const path = `/system/sources/${seg(name)}/${what}`;
  try {
    const headers = readHeaders(lines);
    const skep = ["skep", "sources", what, name, "--file", "-", unsigned && "--unsigned"];
    const json = { headers: Object.fromEntries(headers), text, ...(unsigned && { unsigned }) };
    return {
      skep: `${words("printf", "%s", text)} | ${words(...skep, ...headers.flatMap((header) => ["--header", header.join(": ")]))}`,
      curl: curl("POST", path, { json }),
    };
  } catch {
    return { curl: curl("POST", path, { file: "request.json" }) };
  }
}

/** @param {{ events: any[] }} props */
function Tried({ events }) {
  return html`<${Section} title="What would become of it">
    ${events.map(
      (event) => html`<div key=${event.id} class="card"><p>Type <code>${event.type || "none"}
    </code>. Nothing was stored.</p>
    <ul class="decisions">${event.routes.map(
      (/** @type {any} */ each) => html`<li key=${each.route}><strong>
      ${each.route}
      </strong> takes it and calls ${each.function}${each.deployed ? "" : ", which is not deployed"}.</li>`,
    )}
      ${event.ignored.map(
        (/** @type {any} */ each) => html`<li key=${each.route} class="muted"><strong>${each.route}
        </strong> does not: ${each.reason}</li>`,
      )}</ul></div>`,
    )}<//>`;
}

/** @param {{ source: import("./sources.js").Source, sent: any }} props */
function Sent({ source, sent }) {
  const good = sent.status < 300;
  const event =
    sent.eventId &&
    html` It is <a href=${`/ui/sources/${seg(source.name)}/events/${seg(sent.eventId)}`}>event ${sent.eventId}</a>.`;
  return html`<${Notice} tone=${good ? "ok" : "bad"} icon=${good ? "check" : "warning"}>The sender would get ${sent.status}${sent.error ? ` (${sent.error})` : ""}.
    ${event}${sent.duplicate ? " It was there before." : ""}${sent.held ? html` It could not be verified, and is <a href=${`/ui/sources/${seg(source.name)}/held`}>held</a>.` : ""}${sent.body && ` ${sent.body}`}<//>`;
}
