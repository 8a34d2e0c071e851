// @ts-check
// Whether everything adds up: the parts, what an accepted call survives, the audit, and who changed what.
import { get } from "../api.js";
import { curl, words } from "../command.js";
import { Facts, Meter } from "../components/facts.js";
import { Failure, Loading, Page, Section } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Status } from "../components/status.js";
import { Tabs } from "../components/tabs.js";
import { Time } from "../components/time.js";
import { bytes, count, plural } from "../format.js";
import { html } from "../preact.js";
import { useLimits } from "../session.js";
import { share } from "../stats-rows.js";
import { useStats } from "../stats.js";
import { SOON } from "../trouble.js";
import { useLoad } from "../use.js";
import { Acts } from "./health-acts.js";
import { Audit } from "./health-audit.js";
import { Streams } from "./health-streams.js";

const TIERS = /** @type {Record<string, string>} */ ({
  fsync: "A 202 survives a power cut: the message is on the disk before it is answered.",
  replicated: "A 202 survives the loss of a NATS server: the message is on several of them.",
  memory: "A 202 survives the end of skep, and not a power cut or the end of NATS.",
});

/** @param {{ params: { tab?: string } }} props */
export default function Health({ params: { tab = "parts" } }) {
  const tabs = [{ key: "parts", title: "Parts", href: "/ui/health" }];
  // The others are about all namespaces.
  if (!useLimits()?.length)
    tabs.push(
      { key: "streams", title: "Streams", href: "/ui/health/streams" },
      { key: "audit", title: "Audit", href: "/ui/health/audit" },
      { key: "acts", title: "Who changed what", href: "/ui/health/acts" },
    );
  const Part = { streams: Streams, audit: Audit, acts: Acts }[tab] ?? Parts;
  return html`<${Page} title="Health"><${Tabs} label="Parts of health" current=${tab} tabs=${tabs} /><${Part} /><//>`;
}

function Parts() {
  const stats = useStats();
  const { data, error, loading, reload } = useLoad((signal) => get("/system/info", {}, signal), [], 5000);
  if (!data) return html`<${Failure} error=${error} retry=${reload} />${loading && html`<${Loading} />`}`;
  const broken = (stats?.rows ?? []).filter((row) => row.problem || row.ready < row.wanted);
  const { provider, version, durability } = data;
  return html`<${Failure} error=${error} retry=${reload} />
    <div class="columns"><${Section} title="Now"><div class="card"><${Facts} facts=${[
      ["NATS", stats && !stats.nats ? bad("is away: queued calls are refused until it is back") : good("answers")],
      ["Controller", provider ? good("answers") : bad("does not answer: nothing can be deployed or scaled")],
      [
        "Functions",
        broken.length
          ? html`<a href="/ui/functions?only=trouble">
        ${bad(`${plural(broken.length, "function")} with fewer replicas than wanted`)}
        </a>`
          : good(`${count(stats?.rows.length)} have their replicas`),
      ],
      [
        "Dead letters",
        stats?.dead === undefined
          ? "not known"
          : stats.dead
            ? html`<a href="/ui/dead">${plural(stats.dead, "dead letter")}</a>`
            : good("none"),
      ],
      [
        "Queues",
        stats?.budget.queueLimit !== undefined &&
          html`${bytes(stats.budget.queueBytes)} of ${bytes(stats.budget.queueLimit)} <${Meter} part=${share(stats.budget)} label="Used by all queues" />`,
      ],
    ]} /></div><//>
    <${Section} title="Versions"><div class="card"><${Facts} facts=${[
      ["This gateway", versionOf(version)],
      ["Controller", provider ? versionOf(provider.version) : "unknown"],
      ...ROLES.map(([role, title]) => /** @type {[string, unknown]} */ ([title, builds(role, provider)])),
      ["Certificate", certificate(data.certificate_ends_at)],
      ["Runs functions", provider && `${provider.provider} (${provider.orchestration})`],
      ["Machine", data.arch],
      ["You are", data.caller && who(data.caller)],
    ]} /></div><//>
</div>
    <${Section} title="What an accepted call survives"><div class="card"><p>${TIERS[durability.tier] ?? durability.tier}</p>
      <${Facts} facts=${[
        [
          "Tier",
          html`<code>${durability.tier}
        </code>`,
        ],
        ["Replicas in NATS", durability.replicas],
        ["Because", durability.reason],
      ]} /></div><//>
    <${SameAs} skep=${words("skep", "doctor")} curl=${curl("GET", "/system/info")} />`;
}

/** @type {[string, string][]} */
const ROLES = [
  ["gateway", "Gateways"],
  ["queue-worker", "Queue-workers"],
  ["all", "All in one"],
];

/**
 * How many parts of a role there are, by their build. Another build than the controller's is marked.
 * @param {string} role
 * @param {any} provider
 */
function builds(role, provider) {
  const parts = (provider?.parts ?? []).filter((/** @type {any} */ part) => part.role === role);
  return (
    parts.length > 0 &&
    parts.map((/** @type {any} */ part, /** @type {number} */ i) => {
      const text = `${count(part.count)} with ${versionOf(part)}`;
      const isSame = part.release === provider.version.release && part.sha === provider.version.sha;
      return html`${i > 0 && html`<br />`}${isSame ? text : html`<${Status} tone="warn" icon="warning">${text}<//>`}`;
    })
  );
}

/** @param {string | undefined} endsAt */
function certificate(endsAt) {
  if (!endsAt) return undefined;
  const days = (Date.parse(endsAt) - Date.now()) / 86_400_000;
  const [tone, icon] = days < 0 ? ["bad", "warning"] : days < SOON ? ["warn", "warning"] : ["ok", "check"];
  return html`<${Status} tone=${tone} icon=${icon}>${days < 0 ? "ended" : "ends"} on ${endsAt.slice(0, 10)}, <${Time} at=${endsAt} /><//>`;
}

/** @param {{ name: string, role: string, namespaces: string[] }} caller */
const who = ({ name, role, namespaces }) =>
  `${name}, role ${role}${namespaces.length ? `, limited to ${namespaces.join(", ")}` : ""}`;

const good = (/** @type {string} */ text) => html`<${Status} tone="ok" icon="check">${text}<//>`;
const bad = (/** @type {string} */ text) => html`<${Status} tone="bad" icon="warning">${text}<//>`;

/** @param {{ release: string, sha: string }} version */
const versionOf = ({ release, sha }) => (sha && sha !== "unknown" ? `${release} (${sha.slice(0, 12)})` : release);
