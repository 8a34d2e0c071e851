// @ts-check
// A new version that takes a share of the calls: how it does beside the current one, and what becomes of it.
import {
  Act,
  call,
  Confirm,
  count,
  curl,
  duration,
  get,
  html,
  percent,
  SameAs,
  Section,
  seg,
  Table,
  toast,
  useLoad,
  useState,
  words,
} from "../../kit.js";

/** @typedef {{ key: string, title: string, calls: number, failed: number, medianSeconds?: number, p95Seconds?: number }} Side */

/** @type {import("../../components/table.js").Column<Side>[]} */
const COLUMNS = [
  { key: "title", title: "Version", main: true, cell: (row) => row.title },
  { key: "calls", title: "Calls", number: true, cell: (row) => count(row.calls) },
  { key: "failed", title: "Failed", number: true, cell: (row) => count(row.failed) },
  {
    key: "errors",
    title: "Errors",
    number: true,
    cell: (row) => percent(row.calls ? row.failed / row.calls : undefined),
  },
  { key: "p50", title: "p50", number: true, cell: (row) => duration(row.medianSeconds) },
  { key: "p95", title: "p95", number: true, cell: (row) => duration(row.p95Seconds) },
];

/** @param {{ name: string, onDone: () => void }} props */
export function Canary({ name, onDone }) {
  const path = `/system/function/${seg(name)}`;
  const { data } = useLoad((signal) => get(`${path}/canary`, {}, signal), [path], 2000);
  const [asked, setAsked] = useState(/** @type {"" | "promote" | "rollback"} */ (""));
  if (!data) return null;
  const { number } = data.version;
  const rows = [
    { key: "new", title: `${number}, the canary`, ...data.new },
    { key: "old", title: String(data.currentVersion), ...data.old },
  ];
  const acts = html`<${Act} role="deploy" onClick=${() => setAsked("rollback")}>End it…<//>
    <${Act} role="deploy" primary onClick=${() => setAsked("promote")}>Promote…<//>`;
  return html`<${Section} title=${`Version ${number} takes ${data.share} % of the calls`} side=${acts}>
    <${Table} caption="The canary and the current version" rows=${rows} columns=${COLUMNS} inOrder rowKey=${(/** @type {Side} */ row) => row.key} />
    <p class="hint">${data.availableReplicas} of ${data.replicas} replicas are ready; ${data.next}.</p><//>
    ${asked && html`<${Ask} ...${{ name, number, asked, onDone }} onClose=${() => setAsked("")} />`}`;
}

/** @param {{ name: string, number: number, asked: "promote" | "rollback", onDone: () => void, onClose: () => void }} props */
function Ask({ name, number, asked, onDone, onClose }) {
  const path = `/system/function/${seg(name)}/${asked}`;
  const promotes = asked === "promote";
  const act = async () => {
    await call("POST", path);
    toast("ok", promotes ? `Version ${number} of ${name} takes all calls.` : `Version ${number} of ${name} is ended.`);
    onDone();
  };
  return html`<${Confirm} title=${promotes ? `Give all calls to version ${number}?` : `End version ${number}?`}
      act=${promotes ? "Promote it" : "End it"} onAct=${act} onClose=${onClose}>
    <p>${promotes ? "The current version goes on until the new replicas are ready." : "The current version takes all calls again."}</p>
    <${SameAs} skep=${words("skep", asked, name)} curl=${curl("POST", path)} /><//>`;
}
