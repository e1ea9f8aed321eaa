// The page: pictures come in, are judged one after the other, and are shown.

import { budgetChoices, showExplanation, showProvenance, showStability, showVerdict, summary, whereWords } from "./panels.js";
import { detect, report, servedModel, useKey } from "./service.js";
import { showTalk } from "./talk.js";
import { show, showRegions } from "./viewer.js";

const find = (id) => document.getElementById(id);
const KEPT = "sida.pictures", MOST_KEPT = 30;
const FAILED = "could not be judged";

// Each: { id, order, name, file or null, address, thumb, state, share, answer, message, turns }
let entries = [];
let current = null;
let judging = false;
let taken = 0;

function say(text) {
  find("say").textContent = text;
}

// --- pictures come in ---

function take(files) {
  const fresh = [...files].map((file) => ({
    id: String(Math.random()), order: ++taken, name: file.name || "pasted picture", file,
    address: URL.createObjectURL(file), thumb: null, state: "waiting", share: 0, answer: null, message: null, turns: [],
  }));
  if (fresh.length === 0) return;
  entries = [...fresh, ...entries];
  fresh.forEach(thumbnail);
  draw();
  judgeAll();
}

async function judgeAll() {
  if (judging) return;
  judging = true;
  try {
    for (let next; (next = earliest());) await judge(next);
  } finally {
    judging = false;
  }
}

function earliest() {
  return entries.filter((entry) => entry.state === "waiting").sort((a, b) => a.order - b.order)[0];
}

async function judge(entry) {
  entry.state = "working";
  draw();
  try {
    await readable(entry.file);
    const parts = { explain: find("explain").checked, stability: find("deliver").checked, budget: find("budget").value };
    entry.answer = await detect(entry.file, parts, (share) => {
      entry.share = share;
      draw();
    });
    entry.answer.image ??= entry.name;
    entry.state = "done";
    say(`${entry.name}: ${summary(entry.answer)}`);
  } catch (error) {
    if (error.status === 401) find("key").hidden = false;
    if (error.status === 429) {
      entry.message = `The service is busy; asking again in ${error.retryAfter} s.`;
      draw();
      await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfter));
      entry.state = entries.includes(entry) ? "waiting" : "failed";
      return;
    }
    entry.state = "failed";
    entry.message = error.message;
    say(`${entry.name} ${FAILED}: ${error.message}`);
  }
  if (!entries.includes(entry)) return; // the list was cleared
  keep();
  draw();
  if (current === null || current === entry || !["done", "failed"].includes(current.state)) open(entry);
}

/** An Error for what is no file with something in it, such as a folder that was dropped. */
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error("This cannot be read: choose a file, not a folder.");
  }
  if (file.size === 0) throw new Error("The file is empty: choose another.");
}

async function thumbnail(entry) {
  const image = new Image();
  image.src = entry.address;
  try {
    await image.decode();
  } catch {
    return; // not a picture, or none that this browser shows
  }
  const canvas = document.createElement("canvas"), share = Math.min(1, 144 / Math.max(image.width, image.height));
  canvas.width = Math.max(1, image.width * share);
  canvas.height = Math.max(1, image.height * share);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  entry.thumb = canvas.toDataURL("image/jpeg", 0.7);
  keep();
  draw();
}

// --- the list, and what is remembered of it ---

function keep() {
  const kept = entries.filter((entry) => ["done", "failed"].includes(entry.state)).slice(0, MOST_KEPT)
    .map(({ id, name, thumb, state, answer, message }) => ({ id, name, thumb, state, message, answer: answer && verdictOf(answer) }));
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(kept));
  } catch { /* full, or forbidden: then nothing is remembered */ }
}

function remember() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
    entries = kept.map((each) => ({ ...each, file: null, address: null, share: 1, turns: [] }));
  } catch {
    entries = [];
  }
}

function draw() {
  find("pictures").hidden = entries.length === 0;
  const focused = document.activeElement?.closest?.("#list button")?.dataset.id;
  find("list").replaceChildren(...entries.map((entry) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.dataset.id = entry.id;
    button.setAttribute("aria-current", String(entry === current));
    const face = document.createElement(entry.thumb ? "img" : "i"), name = document.createElement("b"), state = document.createElement("span");
    if (entry.thumb) Object.assign(face, { src: entry.thumb, alt: "" });
    else face.className = "blank";
    name.textContent = entry.name;
    state.textContent = stateWords(entry);
    button.append(face, name, state);
    if (entry.state === "working") button.append(progress(entry));
    button.addEventListener("click", () => {
      open(entry);
      find("result").focus();
    });
    item.append(button);
    return item;
  }));
  if (focused) find("list").querySelector(`[data-id="${focused}"]`)?.focus();
}

function stateWords({ state, share, answer, message }) {
  if (state === "done") return summary(answer);
  if (state === "failed") return FAILED;
  if (message) return message;
  if (state === "waiting") return "waiting";
  return share < 1 ? "uploading" : "being judged";
}

function progress(entry) {
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", `Progress of ${entry.name}`);
  if (entry.share < 1) bar.value = entry.share;
  return bar;
}

// --- one picture ---

function open(entry) {
  current = entry;
  draw();
  find("result").hidden = !["done", "failed"].includes(entry.state);
  find("name").textContent = entry.name;
  find("problem").hidden = entry.state !== "failed";
  find("problem").textContent = entry.message ?? "";
  find("judged").hidden = entry.state !== "done";
  if (entry.state !== "done") return;
  const { answer } = entry;
  showVerdict(answer);
  find("where").textContent = whereWords(answer)
    + (entry.file === null ? " The picture itself is not remembered: choose it again to see it." : "");
  showRegions(answer.mask?.regions ?? []);
  showStability(answer, answer.delivery_jpegs ?? {});
  showExplanation(answer.explanation);
  showProvenance(answer.provenance);
  showTalk(entry);
  showDownloads(entry);
  show(answer, entry.address);
}

/** The contract's verdict, without the pictures that came beside it. */
function verdictOf(answer) {
  const { mask_png, overlay_png, probability_png, evidence_png, delivery_jpegs, ...verdict } = answer;
  return verdict;
}

function showDownloads(entry) {
  const { answer, file } = entry, stem = entry.name.replace(/\.[^.]*$/, "");
  const offers = [["Verdict (JSON)", `${stem}.json`, () => new Blob([JSON.stringify(verdictOf(answer), null, 2)], { type: "application/json" })]];
  if (answer.mask_png) offers.push(["Mask (PNG)", `${stem}_mask.png`, () => picture(answer.mask_png)]);
  if (answer.overlay_png) offers.push(["Overlay (PNG)", `${stem}_overlay.png`, () => picture(answer.overlay_png)]);
  if (file) {
    offers.push(["Report (HTML)", `${stem}_report.html`, () => report(file, "html", "stability" in answer, answer.budget?.max_false_positives ?? "")]);
    offers.push(["Report (PDF)", `${stem}_report.pdf`, () => report(file, "pdf", "stability" in answer, answer.budget?.max_false_positives ?? "")]);
  }
  find("download-problem").hidden = true;
  find("downloads").replaceChildren(...offers.map(([words, name, content]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.addEventListener("click", () => download(button, name, content));
    return button;
  }));
}

function picture(base64) {
  return new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], { type: "image/png" });
}

async function download(button, name, content) {
  const problem = find("download-problem");
  problem.hidden = true;
  button.disabled = true;
  try {
    const address = URL.createObjectURL(await content());
    Object.assign(document.createElement("a"), { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    say(`${name} was downloaded.`);
  } catch (error) {
    problem.hidden = false;
    problem.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

// --- what the page listens to ---

find("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const { files } = event.dataTransfer;
  if (files.length === 0) say("That was no file: save the picture first, then choose it.");
  take(files);
});
document.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
find("clear").addEventListener("click", () => {
  entries.forEach((entry) => entry.address && URL.revokeObjectURL(entry.address));
  entries = [];
  current = null;
  keep();
  draw();
  find("result").hidden = true;
  say("The list is empty.");
  find("files").focus();
});
find("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(find("key-text").value);
  find("key").hidden = true;
  for (const entry of entries) if (entry.state === "failed" && entry.file) Object.assign(entry, { state: "waiting", message: null });
  named();
  judgeAll();
});

async function named() {
  try {
    const { id, budgets } = await servedModel();
    find("model").textContent = `Model: ${id}.`;
    find("budget-choice").hidden = budgets === null;
    find("budget").replaceChildren(...budgetChoices(budgets));
  } catch (error) {
    if (error.status === 401) find("key").hidden = false;
  }
}

remember();
draw();
named();
