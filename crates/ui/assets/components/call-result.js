// @ts-check
import { seg, send } from "../api.js";
import { read } from "../body.js";
import { html } from "../preact.js";
import { useLoad } from "../use.js";
import { BodyView } from "./body-view.js";
import { Headers } from "./headers.js";
import { Failure, Loading } from "./page.js";

/**
 * The answer of a function to a queued call.
 * @param {{ id: string }} props
 */
export function CallResult({ id }) {
  const path = `/system/calls/${seg(id)}/result`;
  const { data, error, reload } = useLoad(
    async (signal) => {
      const answer = await send("GET", path, { signal });
      const { bytes, whole } = await read(answer);
      return {
        status: answer.status,
        headers: [...answer.headers],
        type: answer.headers.get("Content-Type") ?? "",
        bytes,
        whole,
      };
    },
    [id],
  );
  if (!data) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} rows=${3} />`;
  if (data.status !== 200)
    return html`<p class="muted">${new TextDecoder().decode(data.bytes).trim() || "There is no answer yet."}</p>`;
  return html`<${BodyView} bytes=${data.bytes} type=${data.type} whole=${data.whole} href=${path} name=${id} />
    <details><summary>Headers</summary><${Headers} headers=${data.headers} /></details>`;
}
