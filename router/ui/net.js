// Requests to the gateway, with the key that this tab keeps.

const KEY = "tutelage-key";

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);

/** What the gateway refused; `message` is a sentence for people. */
export class Refusal extends Error {
  constructor(status, { message, code }) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** JSON from the gateway; `body` is sent as JSON. Throws Refusal, or TypeError without a gateway. */
export async function ask(path, { method = "GET", body } = {}) {
  const key = sessionStorage.getItem(KEY);
  const answer = await fetch(path, {
    method,
    headers: {
      ...(key ? { authorization: `Bearer ${key}` } : {}),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
  });
  const found = await answer.json();
  if (!answer.ok) throw new Refusal(answer.status, found.error);
  return found;
}

const KEEP_MS = 30000;
let workloads = null;
let readAt = 0;

/** The workloads with their standing, at most half a minute old: what they await takes long to tell. */
export async function listWorkloads() {
  if (workloads === null || Date.now() - readAt > KEEP_MS) {
    workloads = (await ask("admin/v1/workloads")).data;
    readAt = Date.now();
  }
  return workloads;
}

/** A query string from what has a value. */
export function toQuery(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

export const ofWorkload = (workload, what) => `admin/v1/workloads/${encodeURIComponent(workload)}/${what}`;
