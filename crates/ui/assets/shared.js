// @ts-check
// One stream for all tabs of a browser: one tab leads, has the connection, and passes on what comes.
// Browsers open six connections to an address; a stream in each tab would use them up.
// Tabs that are hidden neither lead nor listen.

const SILENCE = 4000;

/**
 * @param {string} name of the channel
 * @param {(emit: (message: unknown) => void) => () => void} open opens the connection, and returns what closes it
 * @param {(message: any) => void} take gets each message, from this tab or another
 */
export function share(name, open, take) {
  const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(name) : null;
  const id = Math.random();
  /** @type {(() => void) | null} */
  let close = null;
  let timer = 0;

  /** @type {unknown} */
  let last;
  const emit = (/** @type {unknown} */ message) => {
    last = message;
    channel?.postMessage({ id, message });
    take(message);
  };
  const lead = () => {
    clearTimeout(timer);
    if (!close && !document.hidden) close = open(emit);
  };
  const yieldLead = () => {
    close?.();
    close = null;
  };
  /** Asks whether another tab leads, so that this one does not open a connection of its own. */
  const begin = () => {
    channel?.postMessage({ id, asks: true });
    wait(channel ? 300 : 0);
  };
  const wait = (/** @type {number} */ ms) => {
    clearTimeout(timer);
    if (!document.hidden && !close) timer = setTimeout(lead, ms + Math.random() * 500);
  };

  channel?.addEventListener("message", ({ data }) => {
    if (data.asks) {
      if (close && last) channel.postMessage({ id, message: last });
      return;
    }
    if (document.hidden) return;
    if (data.gone) return wait(0);
    // Two tabs that both began to lead: the one with the lesser number goes on.
    if (close && data.id > id) return;
    yieldLead();
    take(data.message);
    wait(SILENCE);
  });
  const shown = () => {
    if (!document.hidden) return begin();
    clearTimeout(timer);
    gone();
  };
  const gone = () => {
    if (close) channel?.postMessage({ id, gone: true });
    yieldLead();
  };
  document.addEventListener("visibilitychange", shown);
  addEventListener("pagehide", gone);
  addEventListener("pageshow", (event) => event.persisted && shown());
  if (!document.hidden) begin();
}
