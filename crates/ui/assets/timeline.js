// @ts-check
// What happened to a call, as spans of time.

/**
 * @typedef {object} Span
 * @property {"queue" | "delay" | "attempt" | "pause" | "callback"} kind
 * @property {string} title
 * @property {number} from milliseconds
 * @property {number} to the same as `from` for a moment
 * @property {"ok" | "bad" | "busy" | "quiet" | "warn"} tone
 * @property {boolean} open whether it goes on
 * @property {string} note what there is to say about it
 */

/**
 * The spans of a call's timeline, in order.
 * @param {{ event: string, at: string, until?: string, attempt?: number, replica?: string, status?: number, reason?: string }[]} timeline
 * @param {number} now
 * @returns {Span[]}
 */
export function spans(timeline, now) {
  /** @type {Span[]} */
  const all = [];
  /** @type {Span | null} */
  let open = null;
  let tries = 0;
  const begin = (
    /** @type {Span["kind"]} */ kind,
    /** @type {string} */ title,
    /** @type {number} */ from,
    /** @type {Span["tone"]} */ tone,
    note = "",
  ) => {
    open = { kind, title, from, to: now, tone, open: true, note };
    all.push(open);
  };
  const end = (/** @type {number} */ at) => {
    if (open) Object.assign(open, { to: Math.max(at, open.from), open: false });
    open = null;
  };
  for (const step of timeline) {
    const at = Date.parse(step.at);
    switch (step.event) {
      case "accepted":
      case "redriven":
        end(at);
        begin("queue", step.event === "redriven" ? "Redriven, in the queue" : "In the queue", at, "quiet");
        break;
      case "scheduled":
        end(at);
        begin("delay", "Waits for its time", at, "quiet");
        break;
      case "started":
        end(at);
        begin("attempt", `Attempt ${step.attempt ?? 1}`, at, "busy", step.replica ?? "");
        break;
      case "retrying":
        finish(all, open, at, "bad", step);
        open = null;
        begin("pause", "Pause", at, "warn");
        break;
      case "undelivered":
      case "delivered":
      case "givenup":
        end(at);
        tries += 1;
        all.push({
          kind: "callback",
          title: `Callback try ${tries}`,
          from: at,
          to: at,
          tone: step.event === "delivered" ? "ok" : "bad",
          open: false,
          note: said(step) || step.event,
        });
        if (step.event === "undelivered" && step.until) begin("pause", "Pause", at, "warn");
        break;
      default:
        finish(all, open, at, step.event === "succeeded" ? "ok" : step.event === "cancelled" ? "quiet" : "bad", step);
        open = null;
    }
  }
  return all;
}

/**
 * Ends what is open with what the step says of it.
 * @param {Span[]} all @param {Span | null} open @param {number} at @param {Span["tone"]} tone @param {any} step
 */
function finish(all, open, at, tone, step) {
  if (!open) {
    all.push({ kind: "attempt", title: step.event, from: at, to: at, tone, open: false, note: said(step) });
    return;
  }
  const replica = open.note;
  Object.assign(open, {
    to: Math.max(at, open.from),
    open: false,
    note: [said(step), replica && `on ${replica}`].filter(Boolean).join(", "),
  });
  if (open.kind === "attempt" || tone === "bad") open.tone = tone;
}

/** @param {any} step */
function said(step) {
  if (step.reason) return step.reason;
  return step.status ? `answered ${step.status}` : step.event;
}

const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200,
  21_600, 43_200, 86_400, 604_800,
];

/**
 * Where to put marks on an axis of some seconds: four or so.
 * @param {number} seconds
 */
export function marks(seconds) {
  const step = STEPS.find((each) => seconds / each <= 5) ?? seconds;
  const found = [];
  for (let at = step; at < seconds * 0.97; at += step) found.push(at);
  return found;
}
