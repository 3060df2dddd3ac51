// The HTTP API, relative to where this module was served from: `<prefix>/assets/api.js` means `<prefix>/api/v1/`.

const BASE = new URL("../", import.meta.url);

/** An answer that is not a success, with what to show of it. */
export class ApiError extends Error {}

/** The address of a page or file below the route prefix. */
export const address = (path) => new URL(path, BASE);

/** The page that is open: "" for the root, else "query", "targets" and so on. */
export const openPage = () => location.pathname.slice(BASE.pathname.length).replace(/\/+$/, "");

/**
 * Calls `api/v1/<path>` and returns `{ data, warnings, infos, elapsedMs }`.
 * Parameters that are null or undefined are left out; `post` sends the rest as a form, for long expressions.
 */
export async function call(path, { params = {}, post = false, signal } = {}) {
  const url = address(`api/v1/${path}`);
  const form = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== undefined));
  if (!post) url.search = form;
  const startedAt = performance.now();
  let response, body;
  try {
    response = await fetch(url, { signal, ...(post && { method: "POST", body: form }) });
    body = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(`the server did not answer (${error.message})`);
  }
  const answer = decode(body);
  if (answer?.status !== "success") {
    throw new ApiError(answer?.error
      ? `${answer.errorType}: ${answer.error}`
      : `${response.status} ${response.statusText}: ${body.slice(0, 300)}`);
  }
  const { data, warnings = [], infos = [] } = answer;
  return { data, warnings, infos, elapsedMs: performance.now() - startedAt };
}

function decode(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
