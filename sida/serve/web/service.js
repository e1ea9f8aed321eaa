// Requests to the service. What goes wrong is an Error with one sentence for a person.

export class Refused extends Error {
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const UNREACHABLE = "The service cannot be reached: see whether it is still running, and try again.";
let key = sessionStorage.getItem("sida.key") ?? "";

export function useKey(text) {
  key = text.trim();
  sessionStorage.setItem("sida.key", key);
}

function headers() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** What a response that is not a success says of itself. */
function refusal(status, body, retryAfter) {
  let said = null;
  try {
    const parsed = JSON.parse(body);
    said = parsed.message ?? parsed.error?.message ?? null;
  } catch { /* not JSON: a proxy's page, say */ }
  const sentence = said ?? (status === 404
    ? "This service does not offer that."
    : `The service answered with status ${status}: try again, or ask whoever runs it.`);
  return new Refused(sentence[0].toUpperCase() + sentence.slice(1), status, Number(retryAfter) || 1);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refused(UNREACHABLE);
  }
  if (!response.ok) {
    throw refusal(response.status, await response.text(), response.headers.get("Retry-After"));
  }
  return response;
}

function form(file, fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  data.append("file", file, file.name || "pasted.png");
  return data;
}

/** The answer of /v1/detect; `progress` gets the share that is uploaded. fetch cannot tell it. */
export function detect(file, { explain, stability, budget }, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/detect");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onerror = () => reject(new Refused(UNREACHABLE));
    request.onload = () => {
      if (request.status !== 200) {
        reject(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
        return;
      }
      try {
        resolve(JSON.parse(request.responseText));
      } catch {
        reject(new Refused("The service's answer was cut short: try again."));
      }
    };
    request.send(form(file, {
      explain, stability, deliveries: stability, max_false_positives: budget, masks: true, overlays: true, evidence: true, provenance: true,
    }));
  });
}

/** A report as a Blob; `format` is html or pdf. */
export async function report(file, format, stability, budget) {
  return (await ask("/v1/report", { method: "POST", body: form(file, { format, stability, max_false_positives: budget }) })).blob();
}

/** The model's name as `id`, and in `budgets` what it can promise, or null. */
export async function servedModel() {
  return (await (await ask("/v1/models")).json()).data[0];
}

/** Pieces of an answer under a budget (undefined: the service's own) as they come, and at last `{ end }`, the reason why it ended. */
export async function* chat(messages, budget, signal) {
  const response = await ask("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ messages, stream: true, max_false_positives: budget }),
    signal,
  });
  let end = null;
  for await (const event of events(response.body)) {
    if (event === "[DONE]") break;
    const chunk = JSON.parse(event);
    if (chunk.error) throw new Refused(chunk.error.message ?? chunk.message ?? "The answer broke off.");
    const choice = chunk.choices?.[0];
    if (choice?.delta?.content) yield choice.delta.content;
    end = choice?.finish_reason ?? end;
  }
  if (end === null) throw new Refused("The answer broke off: ask again.");
  yield { end };
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const lines = text.split("\n");
    text = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}
