// @ts-check
// What came of a call from the form.
import {
  BodyView,
  CallResult,
  CallState,
  duration,
  Failure,
  Headers,
  html,
  HttpStatus,
  Loading,
  Notice,
  seg,
  Timeline,
} from "../../kit.js";
import { isOpen, useCall } from "../../calls.js";

/**
 * The answer of a call that was made at once.
 * @param {{ status: number, type: string, headers: [string, string][], bytes: Uint8Array, whole: boolean, seconds: number, redirected: boolean }} props
 */
export function Outcome({ status, type, headers, bytes, whole, seconds, redirected }) {
  if (redirected)
    return html`<${Notice}><p>The function redirects. A browser does not say where to; curl does.</p><//>`;
  const ran = Number(headers.find(([name]) => name === "x-duration-seconds")?.[1]);
  const error = headers.find(([name]) => name === "x-skep-error")?.[1];
  return html`<div class="card"><p class="outcome-head"><${HttpStatus} status=${status} />
    <span class="muted">after ${duration(seconds)}${ran ? `, of which the function ran ${duration(ran)}` : ""}</span>
    </p>
    ${error && html`<p class="hint">This answer is skep's own: <code>${error}</code></p>`}
    <${BodyView} bytes=${bytes} type=${type} whole=${whole} />
    <details><summary>Headers</summary><${Headers} headers=${headers} /></details></div>`;
}

/**
 * A queued call, followed to its end.
 * @param {{ queuedId: string, durability: string | null, repeated: boolean }} props
 */
export function Followed({ queuedId, durability, repeated }) {
  const { data, error } = useCall(queuedId);
  return html`<div class="card"><p class="outcome-head">${data && html`<${CallState} state=${data.state} />`}
    <a href=${`/ui/calls/${seg(queuedId)}`}><code>${queuedId}</code></a></p>
    ${repeated && html`<${Notice}><p>A call with this id was there already. It does not run again.</p><//>`}
    <p class="hint">It was stored before it was accepted${durability ? `: it survives as ${durability} does` : ""}.</p>
    ${
      data
        ? html`<${Timeline} call=${data} isLive=${isOpen(data)} />
          ${!isOpen(data) && html`<${CallResult} key=${data.finishedAt} id=${queuedId} />`}`
        : error
          ? html`<${Failure} error=${error} />`
          : html`<${Loading} rows=${3} />`
    }</div>`;
}
