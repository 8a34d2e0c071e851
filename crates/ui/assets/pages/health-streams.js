// @ts-check
// What the streams of skep take on NATS, and how much they may.
import { get } from "../api.js";
import { curl } from "../command.js";
import { Meter } from "../components/facts.js";
import { Failure, Loading } from "../components/page.js";
import { SameAs } from "../components/same-as.js";
import { Table } from "../components/table.js";
import { bytes, count } from "../format.js";
import { html } from "../preact.js";
import { useLoad } from "../use.js";

/** @typedef {{ name: string, messages: number, bytes: number, limit?: number, refuses: boolean }} Stream */

/** What is in each stream, by its name without the prefix. */
const WHAT = /** @type {Record<string, string>} */ ({
  INVOKE: "accepted calls",
  BACKLOG: "calls of functions that cannot keep up",
  PUBLISH: "published work",
  DELAYED: "calls that wait for their time",
  CALLS: "records and results",
  TRIES: "callback tries",
  DEAD: "dead letters",
  LEDGER: "receipts, for the audit",
  EVENTS: "events of sources",
  REPLAYS: "which events were replayed",
  BURSTS: "debounced events",
  REFUSED: "refused requests to sources",
  HELD: "held requests to sources",
  DUPLICATES: "which events came again",
  SAMPLES: "samples of events",
  TOPICS: "how far topics are read",
  AUDIT: "who changed what",
  REQUESTS: "large bodies of requests",
  RESULTS: "large bodies of results",
  IMAGES: "images of functions",
  FUNCTIONS: "functions",
  SOURCES: "sources",
  VERSIONS: "versions of functions",
  NAMESPACES: "namespaces",
  CONTROLLER: "which controller leads",
});

/** @param {Stream} stream */
const what = ({ name }) => WHAT[name.replace(/^KV_/, "").replace(/^[^_]*_/, "")] ?? "";

/** @param {Stream} stream */
const share = (stream) => (stream.limit ? stream.bytes / stream.limit : 0);

/** @type {import("../components/table.js").Column<Stream>[]} */
const COLUMNS = [
  {
    key: "name",
    title: "Stream",
    main: true,
    sort: (row) => row.name,
    cell: (row) => html`<code>${row.name}</code><span class="sub muted">${what(row)}</span>`,
  },
  {
    key: "messages",
    title: "Messages",
    number: true,
    sort: (row) => row.messages,
    cell: (row) => (row.messages ? count(row.messages) : html`<span class="faint">0</span>`),
  },
  { key: "bytes", title: "Bytes", number: true, sort: (row) => row.bytes, cell: (row) => bytes(row.bytes) },
  {
    key: "limit",
    title: "At most",
    number: true,
    nil: (row) => !row.limit,
    sort: (row) => row.limit,
    cell: (row) => (row.limit ? bytes(row.limit) : html`<span class="faint">–</span>`),
  },
  {
    key: "used",
    title: "Used",
    nil: (row) => !row.limit,
    sort: (row) => (row.limit ? share(row) : undefined),
    cell: (row) => (row.limit ? html`<${Meter} part=${share(row)} label=${`Used of ${row.name}`} />` : ""),
  },
  {
    key: "full",
    title: "When full",
    from: "medium",
    nil: (row) => !row.limit,
    cell: (row) => (row.limit ? (row.refuses ? "refuses more" : "drops the oldest") : ""),
  },
];

export function Streams() {
  const { data, error, loading, reload } = useLoad((signal) => get("/system/streams", {}, signal), [], 5000);
  return html`<${Failure} error=${error} retry=${reload} />
    ${loading && html`<${Loading} rows=${8} />`}
    ${data && html`<${Table} caption="Streams" rows=${data} columns=${COLUMNS} sort="-used" rowKey=${(/** @type {Stream} */ row) => row.name} />`}
    <${SameAs} curl=${curl("GET", "/system/streams")} />`;
}
