// @ts-check
// One source: its events, what it holds, its secrets and its declaration.
import { call, get, seg } from "../api.js";
import { curl, words } from "../command.js";
import { Act } from "../components/act.js";
import { Confirm } from "../components/dialog.js";
import { Facts } from "../components/facts.js";
import { Failure, Loading, Notice, Page } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Tabs } from "../components/tabs.js";
import { Time } from "../components/time.js";
import { failed, toast } from "../components/toast.js";
import { count, plural } from "../format.js";
import { html, useState } from "../preact.js";
import { navigate } from "../router.js";
import { useAct, useLoad } from "../use.js";
import { Declaration } from "./source-declaration.js";
import { Events } from "./source-events.js";
import { Held } from "./source-held.js";
import { SourceSecrets } from "./source-secrets.js";
import { Send } from "./source-send.js";
import { kindOf, sourceHref, SourceState, Targets } from "./sources.js";

/** @typedef {import("./sources.js").Source} Source */

/** @param {{ params: { name: string, tab?: string } }} props */
export default function SourcePage({ params: { name, tab = "events" } }) {
  const { data, error, loading, reload } = useLoad(
    (signal) => get(`/system/sources/${seg(name)}`, {}, signal),
    [name],
    5000,
  );
  const source = /** @type {Source | undefined} */ (data);
  const above = html`<a href="/ui/sources">Sources</a>`;
  if (!source) {
    return html`<${Page} title=${name} above=${above}><${Failure} error=${error} retry=${reload} />
      ${loading && html`<${Loading} />`}<//>`;
  }
  const href = sourceHref(name);
  const isWebhook = source.kind === "webhook";
  const tabs = [
    { key: "events", title: "Events", href },
    ...(isWebhook
      ? [
          { key: "held", title: "Held and refused", href: `${href}/held` },
          { key: "send", title: "Try and send", href: `${href}/send` },
          { key: "secrets", title: "Secrets", href: `${href}/secrets`, n: source.secrets.length },
        ]
      : []),
    { key: "declaration", title: "Declaration", href: `${href}/declaration` },
  ];
  const Part =
    { events: Events, held: Held, send: Send, secrets: SourceSecrets, declaration: Declaration }[tab] ?? Events;
  const lead = html`<${SourceState} source=${source} /><span>${kindOf(source)}</span>`;
  return html`<${Page} title=${name} above=${above} lead=${lead} acts=${html`<${Acts} ...${{ source, reload }} />`}>
    <${Failure} error=${error} retry=${reload} />
    ${source.problem && html`<${Notice} tone="bad" icon="warning">${source.problem}<//>`}
    ${(source.warnings ?? []).map(
      (warning) => html`<${Notice} key=${warning} tone="warn" icon="warning">
      ${warning}<//>`,
    )}
    <div class="card"><${Facts} facts=${[
      ["Takes events at", source.path && html`<code>${source.url ?? location.origin + source.path}</code>`],
      ["Calls", html`<${Targets} source=${source} />`],
      ["Last event", source.lastEventAt && html`<${Time} at=${source.lastEventAt} />`],
      ["Counts", counts(source, href)],
      ["Decided", decided(source.counts?.newest)],
    ]} /></div>
    <${Tabs} label=${`Parts of ${name}`} current=${tab} tabs=${tabs} />
    <${Part} ...${{ source, reload }} />
    <${SameAs} title=${source.paused ? "Resume" : "Pause"} skep=${words("skep", "sources", turn(source), name)} curl=${curl("POST", `/system/sources/${seg(name)}/${turn(source)}`)} />
  <//>`;
}

/**
 * @param {Source} source
 * @param {string} href
 */
function counts({ kind, counts: kept }, href) {
  if (!kept) return undefined;
  const { events, duplicates, refused, held } = kept;
  const taken = `${plural(events, "event")}, ${plural(duplicates, "duplicate")}`;
  if (kind !== "webhook") return taken;
  return html`${taken}, <a href=${`${href}/held`}>${count(refused)} refused and ${count(held)} held</a>`;
}

/** @param {NonNullable<Source["counts"]>["newest"]} newest */
const decided = (newest) =>
  newest &&
  html`${count(newest.routed)} routed, ${count(newest.ignored)} that no route took, ${count(newest.paused)} paused, since <${Time} at=${newest.since} />`;

/** @param {Source} source */
export const turn = (source) => (source.paused ? "resume" : "pause");

/** @param {{ source: Source, reload: () => void }} props */
function Acts({ source, reload }) {
  const [removing, setRemoving] = useState(false);
  const path = `/system/sources/${seg(source.name)}`;
  const [run, busy] = useAct(async () => {
    try {
      await call("POST", `${path}/${turn(source)}`);
      toast("ok", source.paused ? `${source.name} goes on.` : `${source.name} is paused: its events wait.`);
      reload();
    } catch (error) {
      failed(error);
    }
  });
  const remove = async () => {
    await call("DELETE", "/system/sources", { json: { name: source.name } });
    toast("ok", `Source ${source.name} is removed.`);
    navigate("/ui/sources");
  };
  return html`<${Act} role="deploy" icon=${source.paused ? "play" : "pause"} disabled=${busy} onClick=${run}>
    ${source.paused ? "Resume" : "Pause"}<//>
    <${Act} role="deploy" onClick=${() => setRemoving(true)}>Remove…<//>
    ${
      removing &&
      html`<${Confirm} title=${`Remove ${source.name}?`} act="Remove it" danger=${true} type=${source.name} onAct=${remove} onClose=${() => setRemoving(false)}>
      <p>Its senders get 404 from then on, and its secrets are gone. Events that it has taken stay until their time is over.</p>
      <${SameAs} skep=${words("skep", "sources", "remove", source.name)} curl=${curl("DELETE", "/system/sources", { json: { name: source.name } })} /><//>`
    }`;
}
