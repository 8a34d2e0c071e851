// @ts-check
import { curl, Filter, html, LogTail, option, SameAs, setSearch, StreamChoice, useSearch, words } from "../../kit.js";

/** @param {{ name: string, data: any }} props */
export function Logs({ name, data }) {
  const [text] = useSearch("q");
  const [callId] = useSearch("call");
  const [stream] = useSearch("stream");
  const [instance] = useSearch("instance");
  const instances = [...new Set([...(data.instances ?? []), ...(instance ? [instance] : [])])];
  return html`<div class="tools"><${Filter} label="Only lines with this text" placeholder="Text in the line" />
      <${Filter} name="call" label="Only lines of this call" placeholder="Id of a call" /><${StreamChoice} />
      <label class="inline"><span>Replica</span>
        <select value=${instance} onChange=${(/** @type {any} */ e) => setSearch({ instance: e.target.value })}>
        <option value="">all</option>${instances.map(
          (each) => html`<option key=${each} value=${each}>${each}
          </option>`,
        )}</select></label></div>
    <${LogTail} names=${[name]} text=${text} call=${callId.trim() || undefined} stream=${stream} instance=${instance || undefined} />
    <${SameAs} skep=${words("skep", "logs", name, "--follow", instance && "--instance", instance, text && "--grep", text, ...option("--call", callId.trim()), ...option("--stream", stream))}
      curl=${`${curl("GET", "/system/logs", { query: { name, instance, follow: "true" } })} -N`} />`;
}
