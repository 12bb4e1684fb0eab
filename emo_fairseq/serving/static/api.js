// Responses of the API, or an Error whose message is a sentence for the user. The response of an aborted request
// is never returned, even if it had arrived.

const KEY = "token"; // kept by the browser until its tab is closed
const UNAUTHORIZED = 401;

export const getToken = () => sessionStorage.getItem(KEY);
export const setToken = (token) => sessionStorage.setItem(KEY, token);

// The server needs a token, or another one.
export class TokenError extends Error {}

export async function getModel() {
  return read(await request("/api/model"));
}

export async function post(endpoint, { audio, video, text, signal, ...others }) {
  const form = new FormData();
  if (audio) form.append("audio", audio, "audio");
  if (video) form.append("video", video, "video");
  if (text && text.trim()) form.append("text", text);
  for (const [name, value] of Object.entries(others)) form.append(name, value instanceof Blob ? value : String(value));
  const response = await read(await request(`/api/${endpoint}`, { method: "POST", body: form, signal }));
  signal?.throwIfAborted();
  return response;
}

async function request(address, options = {}) {
  const token = getToken();
  try {
    return await fetch(address, token ? { ...options, headers: { Authorization: `Bearer ${token}` } } : options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached; is it still running?");
  }
}

async function read(response) {
  let content = null;
  try {
    content = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && content !== null) return content;
  if (response.status === UNAUTHORIZED) throw new TokenError(content?.error);
  throw new Error(content?.error ?? `The server responded with status ${response.status}.`);
}
