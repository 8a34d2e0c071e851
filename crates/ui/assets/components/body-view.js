// @ts-check
import { view } from "../body.js";
import { bytes as sized } from "../format.js";
import { html, useEffect, useMemo, useState } from "../preact.js";
import { Copy } from "./copy.js";
import { Icon } from "./icon.js";

/**
 * A body: text, JSON or bytes, its beginning if it is long, and a download of all of it.
 * @param {{ bytes: Uint8Array, type?: string, whole?: boolean, href?: string, name?: string }} props
 *   `href` is where all of it is, if `bytes` are not the whole
 */
export function BodyView({ bytes, type = "", whole = true, href, name = "body" }) {
  const [raw, setRaw] = useState(false);
  const shown = useMemo(() => view(bytes, type), [bytes, type]);
  const blob = useBlob(bytes, href === undefined && shown.size > 0);
  if (shown.kind === "empty") return html`<p class="muted">Empty.</p>`;
  const text = raw && shown.raw !== undefined ? shown.raw : shown.text;
  return html`<div class="body">
    <div class="body-bar"><span>
      ${shown.kind === "hex" ? "Bytes" : shown.kind === "json" ? "JSON" : "Text"}, ${whole ? "" : "more than "}${sized(shown.size)}</span>
      ${shown.kind === "json" && html`<button type="button" class="plain small" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>As it came</button>`}
      <span class="push"><${Copy} text=${text} label="Copy the body" />
        <a class="icon-link" href=${href ?? blob} download=${name} title="Download all of it" aria-label="Download all of it"><${Icon} name="download" /></a></span></div>
    <pre class="foreign" tabindex="0" role="region" aria-label="Body">${text}</pre>
    ${(shown.cut || !whole) && html`<p class="hint">Only the beginning is shown. The download has all of it.</p>`}
  </div>`;
}

/**
 * An address of bytes for a download.
 * @param {Uint8Array} bytes
 * @param {boolean} wanted
 */
function useBlob(bytes, wanted) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    if (!wanted) return;
    const made = URL.createObjectURL(new Blob([bytes]));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [bytes, wanted]);
  return url;
}
