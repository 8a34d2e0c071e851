// @ts-check
// One event: what was decided about it and why, the calls that it made, and its request.
import { call, get, seg, send } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { BodyView } from "../components/body-view.js";
import { Id } from "../components/copy.js";
import { Facts } from "../components/facts.js";
import { Headers } from "../components/headers.js";
import { Failure, Loading, Page, Section } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { CallState } from "../components/status.js";
import { Time } from "../components/time.js";
import { failed, toast } from "../components/toast.js";
import { bytes as sized, plural } from "../format.js";
import { html } from "../preact.js";
import { useAct, useLoad } from "../use.js";
import { Outcome } from "./source-events.js";
import { sourceHref } from "./sources.js";

/** @param {{ params: { name: string, id: string } }} props */
export default function EventPage({ params: { name, id } }) {
  const path = `/system/sources/${seg(name)}/events/${seg(id)}`;
  const { data: event, error, loading, reload } = useLoad((signal) => get(path, {}, signal), [path], 2000);
  const body = useLoad(
    async (signal) => new Uint8Array(await (await send("GET", `${path}/body`, { signal })).arrayBuffer()),
    [path],
  );
  const above = html`<a href="/ui/sources">Sources</a> / <a href=${sourceHref(name)}>${name}</a>`;
  const [replay, busy] = useAct(async () => {
    try {
      const { data } = await call("POST", `/system/sources/${seg(name)}/replay`, { json: { ids: [id] } });
      toast("ok", `${plural(data.calls.length, "call")} made again.`);
      reload();
    } catch (why) {
      failed(why);
    }
  });
  if (!event)
    return html`<${Page} title="Event" above=${above}><${Failure} error=${error} retry=${reload} />
    ${loading && html`<${Loading} />`}<//>`;
  const acts = html`<${Act} role="deploy" icon="retry" disabled=${busy} onClick=${replay}>Replay it<//>`;
  return html`<${Page} title=${event.type || "Event"} name=${`Event of ${name}`} above=${above} lead=${html`<${Outcome} outcome=${event.outcome} />`} acts=${acts}>
    <${Failure} error=${error} retry=${reload} />
    <div class="card"><${Facts} facts=${[
      ["Id", html`<${Id} text=${event.id} />`],
      ["Came", html`<${Time} at=${event.receivedAt} />`],
      ["From", event.remote],
      ["Verified by", event.verified.replace(";key=", ", key ")],
      ["Size", sized(event.bytes)],
    ]} /></div>
    <${Section} title="Decision"><div class="card">
      <ul class="decisions">
        ${event.calls.map(
          (/** @type {any} */ each) => html`<li key=${each.callId}><strong>${each.route}
          </strong> took it: <a href=${`/ui/calls/${each.callId}`}>${each.callId}
          </a> of ${each.function} ${each.state && html`<${CallState} state=${each.state} />`}</li>`,
        )}
        ${event.ignored.map(
          (/** @type {any} */ each) => html`<li key=${each.route} class="muted"><strong>${each.route}
          </strong> did not: ${each.reason}</li>`,
        )}
      </ul>
      ${(event.replays ?? []).map((/** @type {any} */ each) => html`<p key=${each.callId} class="muted">Replayed: <a href=${`/ui/calls/${each.callId}`}>${each.callId}</a> ${each.state && html`<${CallState} state=${each.state} />`}</p>`)}
    </div><//>
    <div class="columns"><${Section} title="Body"><div class="card">
      ${body.data ? html`<${BodyView} bytes=${body.data} href=${`${path}/body`} name=${`${id}.body`} />` : html`<${Failure} error=${body.error} />`}</div><//>
    <${Section} title="Headers"><div class="card"><${Headers} headers=${event.headers ?? []} /></div><//></div>
    <${SameAs} skep=${words("skep", "sources", "event", name, id)} curl=${curl("GET", path)} />
    <${SameAs} title="Replay it" skep=${words("skep", "sources", "replay", name, "--id", id)} curl=${curl("POST", `/system/sources/${seg(name)}/replay`, { json: { ids: [id] } })} />
  <//>`;
}
