// The chat box: questions about the picture that is shown, answered as they are written.

import { chat } from "./service.js";

const find = (id) => document.getElementById(id);
const log = find("log"), box = find("text-asked");
let picture = null; // whose conversation is shown
let running = null; // AbortController of the answer that is being written

/** Show the conversation about a picture; one whose file is gone cannot be asked about. */
export function showTalk(entry) {
  running?.abort();
  picture = entry;
  find("ask").hidden = entry.file === null;
  log.replaceChildren(...entry.turns.flatMap(([asked, said]) => [paragraph("You", asked), paragraph("Model", said)]));
}

function paragraph(who, text) {
  const element = document.createElement("p"), name = document.createElement("b");
  name.textContent = who;
  element.className = who === "You" ? "mine" : "";
  element.append(name, text);
  return element;
}

function dataAddress(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file cannot be read any more: choose it again."));
    reader.readAsDataURL(file);
  });
}

async function messages(entry, question) {
  const image = { type: "image_url", image_url: { url: await dataAddress(entry.file) } };
  const turns = [...entry.turns, [question, null]].flatMap(([asked, said]) => [
    { role: "user", content: [{ type: "text", text: asked }] },
    ...(said === null ? [] : [{ role: "assistant", content: said }]),
  ]);
  turns[0].content.unshift(image);
  return turns;
}

async function ask(question) {
  const entry = picture, answer = paragraph("Model", "");
  const stopped = new AbortController();
  running = stopped;
  log.setAttribute("aria-busy", "true"); // spoken once, when it is whole
  log.append(paragraph("You", question), answer);
  busy(true);
  let said = "";
  try {
    for await (const piece of chat(await messages(entry, question), entry.answer.budget?.max_false_positives, stopped.signal)) {
      if (piece.end === undefined) said += piece;
      else if (piece.end === "length") answer.append("\n(Cut: the model may write no more.)");
      if (piece.end === undefined) answer.append(piece);
      log.scrollTop = log.scrollHeight;
    }
    entry.turns.push([question, said]);
  } catch (error) {
    answer.append(error.name === "AbortError" ? " (stopped)" : error.message);
    answer.classList.add("note", "bad");
  } finally {
    if (running === stopped) {
      running = null;
      busy(false);
      log.setAttribute("aria-busy", "false");
    }
  }
}

function busy(on) {
  find("send").hidden = on;
  find("stop").hidden = !on;
}

find("question").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = box.value.trim();
  if (!question || running) return;
  box.value = "";
  ask(question);
});
box.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    find("question").requestSubmit();
  }
});
find("stop").addEventListener("click", () => {
  running?.abort();
  box.focus();
});
