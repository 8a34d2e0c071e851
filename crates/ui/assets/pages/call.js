// @ts-check
// One call: its way as bars, its answer, and how to cancel it.
import {
  Act,
  address,
  call as request,
  CallResult,
  CallState,
  Confirm,
  Copy,
  curl,
  duration,
  Empty,
  Facts,
  Failure,
  html,
  HttpStatus,
  Icon,
  Loading,
  LogTail,
  Notice,
  Page,
  SameAs,
  Section,
  seg,
  Time,
  Timeline,
  toast,
  useInfo,
  useState,
  words,
} from "../kit.js";
import { isOpen, useCall } from "../calls.js";
import { redrive } from "../dead.js";

/** @param {{ params: { id: string } }} props */
export default function Call({ params }) {
  const { id } = params;
  const { data, error, reload } = useCall(id);
  const [asked, setAsked] = useState(false);
  const above = html`<a href="/ui/calls">Calls</a>`;
  const title = html`<code class="title-id">${id}</code><${Copy} text=${id} label="Copy the id" />`;
  if (!data) {
    return html`<${Page} title=${title} name=${id} above=${above}>
      ${error ? html`<${Missing} error=${error} retry=${reload} />` : html`<${Loading} />`}<//>`;
  }
  const open = isOpen(data);
  const acts = html`<${Again} id=${id} call=${data} onDone=${reload} />
    ${open && html`<${Act} role="invoke" icon="ban" onClick=${() => setAsked(true)}>Cancel…<//>`}`;
  return html`<${Page} title=${title} name=${id} above=${above} acts=${acts}
      lead=${html`<${CallState} state=${data.state} /><span>of <a href=${`/ui/functions/${seg(data.function)}`}>
        ${data.function}</a></span>`}>
    ${
      data.state === "dead" &&
      html`<${Notice} tone="bad" icon="dead"><p>
      ${data.reason ?? "It was given up"}. <a href=${`/ui/dead/${seg(id)}`}>Look at its dead letter</a> to change the request and send it again.</p><//>`
    }
    ${data.state !== "dead" && data.reason && html`<${Notice} tone=${data.state === "failed" || data.state === "retrying" ? "warn" : "quiet"}><p>${data.reason}</p><//>`}
    <${Section} title="What happened"><div class="card"><${Timeline} call=${data} isLive=${open} /></div><//>
    <div class="columns">
      <${Section} title="About it"><div class="card"><${Facts} facts=${facts(data)} /></div><//>
      <${Section} title="Answer">${
        open
          ? html`<div class="card">
        <p class="muted">It has not ended yet. The answer will be here.</p></div>`
          : html`<div class="card">
        <${CallResult} key=${data.state + data.finishedAt} id=${id} /></div>`
      }<//>
    </div>
    ${
      data.startedAt &&
      html`<${Section} title="Log of this call"><${LogTail} names=${[data.function]} call=${id} tail=${500}
      empty="No line names this call. Lines have the id of their call where one process runs for each call." /><//>`
    }
    <${SameAs} skep=${words("skep", "calls", "show", id)} curl=${curl("GET", `/system/calls/${seg(id)}`)} />
    ${asked && html`<${Cancel} id=${id} onClose=${() => setAsked(false)} onDone=${reload} />`}
  <//>`;
}

/**
 * @param {any} data
 * @returns {[string, unknown][]}
 */
function facts(data) {
  const attempts = data.maxAttempts ? `${data.attempts} of at most ${data.maxAttempts}` : data.attempts;
  return [
    ["Status", data.status && html`<${HttpStatus} status=${data.status} />`],
    ["Attempts", attempts],
    ["Took", data.durationSeconds !== undefined && duration(data.durationSeconds)],
    ["Replica", data.replica && html`<code>${data.replica}</code>`],
    ["Accepted", html`<${Time} at=${data.acceptedAt} />`],
    ["Runs at", data.runAt && isOpen(data) && html`<${Time} at=${data.runAt} />`],
    ["Next attempt", data.nextAttemptAt && isOpen(data) && html`<${Time} at=${data.nextAttemptAt} />`],
    ["Ended", data.finishedAt && html`<${Time} at=${data.finishedAt} />`],
    ["Kept until", data.keptUntil && html`<${Time} at=${data.keptUntil} />`],
    ["Callback", data.callbackUrl && html`<code class="break">${data.callbackUrl}</code>`],
    ["Trace", data.traceId && html`<${Trace} id=${data.traceId} />`],
  ];
}

/**
 * The id of a trace, and a link to it if the installation says where traces are.
 * @param {{ id: string }} props
 */
function Trace({ id }) {
  const url = useInfo()?.trace_url?.replace("{traceId}", id);
  const shown = html`<code>${id}</code>`;
  return html`${url && /^https?:/.test(url) ? html`<a href=${url} rel="noreferrer">${shown}</a>` : shown}<${Copy} text=${id} label="Copy the trace id" />`;
}

/** @param {{ error: any, retry: () => void }} props */
function Missing({ error, retry }) {
  if (error.status !== 404 && error.status !== 410) return html`<${Failure} error=${error} retry=${retry} />`;
  return html`<${Empty} title=${error.status === 410 ? "This call is no longer kept" : "No call has this id"} icon="calls"><p>${error.message}</p>
    <p>Results are kept for a day, or as <code>--result-ttl</code> says. Synchronous calls are not kept at all.</p>
      <//>`;
}

/**
 * The same request once more: that of a dead call is kept, and for any other there is the form.
 * @param {{ id: string, call: any, onDone: () => void }} props
 */
function Again({ id, call, onDone }) {
  const [asked, setAsked] = useState(false);
  if (call.state !== "dead")
    return html`<a class="button" href=${address(`/ui/functions/${seg(call.function)}/invoke`, { how: "async", again: id })}>
      <${Icon} name="retry" />Call again</a>`;
  const again = async () => {
    await redrive(id);
    toast("ok", "The call is queued again.");
    onDone();
  };
  return html`<${Act} role="deploy" primary icon="retry" onClick=${() => setAsked(true)}>Call again…<//>
    ${
      asked &&
      html`<${Confirm} title="Call again?" act="Call again" onAct=${again} onClose=${() => setAsked(false)}>
      <p>The same request is sent under the same id, and its attempts count from the beginning. The dead letter is gone then.</p>
      <${SameAs} skep=${words("skep", "dead", "redrive", id)} curl=${curl("POST", `/system/dead/${seg(id)}/redrive`)} /><//>`
    }`;
}

/** @param {{ id: string, onClose: () => void, onDone: () => void }} props */
function Cancel({ id, onClose, onDone }) {
  const cancel = async () => {
    await request("DELETE", `/system/calls/${seg(id)}`);
    toast("ok", "The call is cancelled.");
    onDone();
  };
  return html`<${Confirm} title="Cancel this call?" act="Cancel the call" danger onAct=${cancel} onClose=${onClose}>
    <p>If it waits, it will not run. If it runs, its process is ended. A callback reports it.</p>
    <${SameAs} skep=${words("skep", "calls", "cancel", id)} curl=${curl("DELETE", `/system/calls/${seg(id)}`)} /><//>`;
}
