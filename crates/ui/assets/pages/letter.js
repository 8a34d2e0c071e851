// @ts-check
// One dead letter: what was asked for and how it ended; change it and send it on its way again.
import {
  Act,
  BodyView,
  bytes,
  Confirm,
  Copy,
  curl,
  Empty,
  Facts,
  failed,
  Failure,
  get,
  Headers,
  html,
  HttpStatus,
  Loading,
  navigate,
  Notice,
  Page,
  SameAs,
  Section,
  seg,
  Time,
  toast,
  useAct,
  useLoad,
  useMemo,
  useSearch,
  useState,
  words,
} from "../kit.js";
import { fromBase64 } from "../body.js";
import { redrive, remove } from "../dead.js";
import { EditLetter } from "./letter-edit.js";

/** @param {{ params: { id: string } }} props */
export default function LetterPage({ params }) {
  const { id } = params;
  const [kind] = useSearch("kind", "call");
  const { data, error, reload } = useLoad(
    (signal) => get(`/system/dead/${seg(id)}`, { kind: kind === "call" ? undefined : kind }, signal),
    [id, kind],
  );
  const above = html`<a href="/ui/dead">Dead letters</a>`;
  const title = html`<code class="title-id">${id}</code><${Copy} text=${id} label="Copy the id" />`;
  if (data) return html`<${Letter} key=${id + kind} ...${{ id, kind, data, title, above }} />`;
  return html`<${Page} title=${title} name=${id} above=${above}>
    ${!error ? html`<${Loading} />` : /** @type {any} */ (error).status === 404 ? html`<${Gone} id=${id} />` : html`<${Failure} error=${error} retry=${reload} />`}<//>`;
}

/** @param {{ id: string, kind: string, data: any, title: unknown, above: unknown }} props */
function Letter({ id, kind, data, title, above }) {
  const key = kind === "callback" ? `${id}?kind=callback` : id;
  const query = kind === "call" ? {} : { kind };
  const ofCallback = kind === "callback" && "--callback";
  const [edits, setEdits] = useState(false);
  const [removing, setRemoving] = useState(false);
  const body = useMemo(() => fromBase64(data.body ?? ""), [data.body]);
  const sent = () => {
    toast("ok", kind === "call" ? "The call is queued again." : "The callback is sent again.", {
      href: `/ui/calls/${seg(id)}`,
      link: "Follow it",
    });
    navigate(kind === "call" ? `/ui/calls/${seg(id)}` : "/ui/dead");
  };
  const [again, busy] = useAct(async () => {
    try {
      await redrive(key);
      sent();
    } catch (error) {
      failed(error);
    }
  });
  const acts = html`<${Act} role="deploy" onClick=${() => setRemoving(true)}>Remove…<//>
    ${kind === "call" && !data.largeBody && html`<${Act} role="deploy" onClick=${() => setEdits(!edits)}>Edit and redrive<//>`}
    <${Act} role="deploy" primary icon="retry" disabled=${busy} onClick=${again}>Redrive<//>`;
  return html`<${Page} title=${title} name=${id} above=${above} acts=${acts}
      lead=${html`<span>
        ${kind === "call" ? "a call" : "a callback"} of <a href=${`/ui/functions/${seg(data.function)}`}>
        ${data.function}</a>, died <${Time} at=${data.deadAt} /></span>`}>
    <${Notice} tone="bad" icon="dead"><p>${data.reason}</p><//>
    ${edits && html`<${EditLetter} letter=${data} onClose=${() => setEdits(false)} onSent=${sent} />`}
    <div class="columns">
      <${Section} title=${kind === "call" ? "Body of the request" : "Body of the result"}><div class="card">${
        data.largeBody
          ? html`<p>A large body of ${bytes(data.largeBody)}, which is kept with the call and not shown.</p>`
          : html`<${BodyView} bytes=${body} type=${typeOf(data)} name=${id} />`
      }</div><//>
      <${Section} title="Last answer"><div class="card">
        ${
          data.lastAnswer
            ? html`<pre class="foreign" tabindex="0" role="region" aria-label="Last answer">
        ${data.lastAnswer}</pre>
        <p class="hint">The first 4 KiB at most.</p>`
            : html`<p class="muted">There was none.</p>`
        }</div><//>
    </div>
    <div class="columns">
      ${
        data.request &&
        html`<${Section} title="Request"><div class="card">
        <${Facts} facts=${[
          ["Path", html`<code class="break">${data.request.path || "/"}</code>`],
          ["Query", data.request.query && html`<code class="break">${data.request.query}</code>`],
          ["Callback", data.request.callbackUrl && html`<code class="break">${data.request.callbackUrl}</code>`],
        ]} />
        <${Headers} headers=${data.request.headers} /></div><//>`
      }
      <${Section} title="About it"><div class="card"><${Facts} facts=${[
        ["Last status", data.lastStatus && html`<${HttpStatus} status=${data.lastStatus} />`],
        ["Attempts", data.attempts],
        ["Died", html`<${Time} at=${data.deadAt} />`],
        ["Call", html`<a href=${`/ui/calls/${seg(id)}`}>how it went</a>`],
      ]} />${
        data.request?.history.length > 1 &&
        html`<h3>Earlier ends</h3><ul class="plain-list">
        ${data.request.history.slice(0, -1).map(
          (/** @type {any} */ end) => html`<li key=${end.deadAt}>
        <${Time} at=${end.deadAt} />: ${end.reason}</li>`,
        )}</ul>`
      }</div><//>
    </div>
    <${SameAs} skep=${words("skep", "dead", "show", id, ofCallback)} curl=${curl("GET", `/system/dead/${seg(id)}`, { query })} />
    <${SameAs} title="Redrive" skep=${words("skep", "dead", "redrive", id, ofCallback)} curl=${curl("POST", `/system/dead/${seg(id)}/redrive`, { query })} />
    ${
      removing &&
      html`<${Confirm} title="Remove this dead letter?" act="Remove it" danger onClose=${() => setRemoving(false)} onAct=${async () => {
        await remove(key);
        toast("ok", "The dead letter is removed.");
        navigate("/ui/dead");
      }}><p>It is gone for good, with its request.</p>
      <${SameAs} skep=${words("skep", "dead", "remove", id, ofCallback)} curl=${curl("DELETE", `/system/dead/${seg(id)}`, { query })} /><//>`
    }
  <//>`;
}

/** @param {any} data */
const typeOf = (data) =>
  data.request?.headers.find((/** @type {[string, string]} */ [name]) => name === "content-type")?.[1] ?? "";

/** @param {{ id: string }} props */
function Gone({ id }) {
  return html`<${Empty} title="There is no such dead letter" icon="check">
    <p>It may have been redriven or removed. <a href=${`/ui/calls/${seg(id)}`}>The call</a> says what became of it.</p>
    <//>`;
}
