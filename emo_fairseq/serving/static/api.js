// The server's answers, or an Error whose message is a sentence for the person at the page. An answer to what
// was aborted is never given, even if it was there already.

export async function getModel() {
  return read(await reach("/api/model"));
}

export async function ask(question, { audio, text, signal, ...others }) {
  const form = new FormData();
  if (audio) form.append("audio", audio, "audio");
  if (text && text.trim()) form.append("text", text);
  for (const [name, value] of Object.entries(others)) form.append(name, String(value));
  const answer = await read(await reach(`/api/${question}`, { method: "POST", body: form, signal }));
  signal?.throwIfAborted();
  return answer;
}

async function reach(address, options) {
  try {
    return await fetch(address, options);
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
  throw new Error(content?.error ?? `The server answered with status ${response.status}.`);
}
