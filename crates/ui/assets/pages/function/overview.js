// @ts-check
// How a function does: figures, charts, and what it is.
import {
  bytes,
  CHARTS,
  Charts,
  count,
  curl,
  duration,
  Facts,
  Figure,
  html,
  Meter,
  percent,
  plural,
  rate,
  SameAs,
  Section,
  seg,
  Time,
  words,
} from "../../kit.js";
import { share } from "../../stats-rows.js";

const SHOWN = [CHARTS.rate, CHARTS.errors, CHARTS.latency, CHARTS.load];

/** @param {{ name: string, data: any, row: import("../../stats-rows.js").Row | undefined }} props */
export function Overview({ name, data, row }) {
  const depth = row ? row.waiting : data.queueDepth;
  const age = row ? row.age : data.queueAgeSeconds;
  return html`<div class="figures">
      <${Figure} title="Calls per second" value=${rate(row?.rate)} note=${`${count(row?.done)} so far`} />
      <${Figure} title="Errors" value=${percent(row?.errors)} note=${`${count(row?.failed)} so far`} tone=${row?.errors ? "is-bad" : ""} />
      <${Figure} title="Latency, p50" value=${duration(row?.p50)} note=${`p95 ${duration(row?.p95)}`} />
      <${Figure} title="In flight" value=${count(row?.inFlight)} note=${`on ${plural(data.availableReplicas, "replica")}`} />
      <${Figure} title="Queued" value=${count(depth)} note=${depth === undefined ? "not known" : depth ? `oldest ${duration(age)}` : "nothing waits"} />
      <${Figure} title="Dead letters" value=${count(row?.dead)} tone=${row?.dead ? "is-bad" : ""} note=${row?.dead ? "look at them" : "none"} href=${`/ui/dead?function=${seg(name)}`} />
    </div>
    <${Charts} name=${name} charts=${SHOWN} />
    <${Section} title="About it">
      <div class="card"><${Facts} facts=${[
        ["Command", data.envProcess && html`<code>${data.envProcess}</code>`],
        ["Image", data.image && html`<code>${data.image}</code>`],
        [
          "Version",
          data.version &&
            html`<a href=${`/ui/functions/${seg(name)}/versions`}>${data.version.number}
              </a>, ${data.version.cause} by ${data.version.actor}, <${Time} at=${data.version.at} />`,
        ],
        [
          "Update",
          data.readyVersion !== undefined &&
            data.readyVersion !== data.version?.number &&
            `under way: version ${data.readyVersion} still serves`,
        ],
        ["Created", html`<${Time} at=${data.createdAt} />`],
        [
          "Queue budget",
          row?.queueLimit !== undefined &&
            html`${bytes(row.queueBytes)} of ${bytes(row.queueLimit)} <${Meter} part=${share(row)} label="Used of the queue's budget" />`,
        ],
        ["Replicas", data.instances?.length > 0 && html`<code>${data.instances.join(" ")}</code>`],
        ["Secrets", data.secrets?.length > 0 && data.secrets.join(", ")],
      ]} /></div>
    <//>
    <${SameAs} skep=${words("skep", "describe", name)} curl=${curl("GET", `/system/function/${seg(name)}`)} />`;
}
