// A verdict in words: how sure, what that means, why, and what the file says.

import { light, percent, whileAt } from "./viewer.js";

const find = (id) => document.getElementById(id);
const WORDS = { real: "real", full_synthetic: "fully synthetic", tampered: "tampered" };
const MEANING = {
  real: "Nothing was found that speaks for an alteration or a generator. That does not prove that the picture is genuine, nor that it shows what it is said to show.",
  full_synthetic: "The picture looks to the model as if a generator had made all of it.",
  tampered: "The picture looks to the model like a photograph of which a part was altered.",
};
const SIGNS = { real: "○", full_synthetic: "◆", tampered: "◐" };
const WEAK = [
  "Pictures that were made smaller, heavily compressed, filtered, photographed from a screen or sent through messengers: traces get lost.",
  "Generators and editing tools that are newer than its training.",
  "Small alterations, and those that an ordinary camera or editor makes as well.",
  "It does not know people, places or events: a genuine photograph in a wrong context is real to it.",
];
const WEAK_BY_MODEL = {
  small: "small is right about nine times in ten where it states a verdict on a photograph or a fully synthetic picture of a source that it does not know; its masks of altered parts are often wrong, and many altered photographs pass as real.",
  tiny: "tiny is a small model for trying things out: on sources that it never saw it is hardly better than chance, and its masks find little more than marking everything would. Do not decide anything by it.",
};
const DELIVERIES = {
  jpeg_85: "JPEG 85", jpeg_70: "JPEG 70", jpeg_50: "JPEG 50", half_size: "half size", cropped: "cropping", screenshot: "a screenshot",
};
const PARTS = [["type", "Type"], ["areas", "Areas"], ["content", "Tampered content"]];
const HEADINGS = [["lighting", "Lighting"], ["edges", "Edges"], ["resolution", "Resolution"], ["shadows", "Shadows"]];

function make(tag, text = "", more = {}) {
  const element = Object.assign(document.createElement(tag), more);
  element.textContent = text;
  return element;
}

const NUMBERS = { 1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 10: "ten", 20: "twenty" };
const BUDGETS = [0.2, 0.1, 0.05, 0.02, 0.01];

/** Number and total of honest photographs in words: five, a hundred. */
function ofHonest(share) {
  const [per, total] = share >= 0.01 ? [100, "a hundred"] : [1000, "a thousand"], number = +(per * share).toFixed(6);
  return [NUMBERS[number] ?? String(number), total];
}

/** The options of a choice of budgets; the empty one leaves it to the service. */
export function budgetChoices(budgets) {
  if (budgets === null) return [];
  const shares = [...new Set([...BUDGETS, ...(budgets.default ? [budgets.default] : [])])].filter((share) => share >= budgets.smallest).sort((a, b) => b - a);
  const options = shares.map((share) => make("option", `at most ${ofHonest(share).join(" in ")}`, { value: String(share), selected: share === budgets.default }));
  return budgets.default ? options : [make("option", "no limit", { value: "", selected: true }), ...options];
}

/** Under a budget, what it promises for this picture; else nothing. */
function promise({ budget, probabilities }) {
  const [number, total] = ofHonest(budget.max_false_positives);
  if (1 - probabilities.real > budget.threshold) return `To the model, at most ${number} of ${total} honest photographs ${number === "one" ? "looks" : "look"} as suspicious as this picture.`;
  return `To the model, more than ${number} of ${total} honest photographs may look as suspicious as this picture, so it is not called altered or generated.`;
}

function reasons({ budget, inconclusive, label, stability }) {
  const [number, total] = ofHonest(budget.max_false_positives);
  const rests = `The limit rests on ${budget.photographs} real photographs (${budget.set}) that the model did not learn from. It holds for photographs like them; other cameras, other editing or other ways of sending can shift it.`;
  const means = inconclusive ? "Inconclusive is not half an accusation: honest pictures end up here, and so do altered and generated ones."
    : label === "real" ? "The limit is for accusations alone: it does not say how many altered or generated pictures pass as real."
    : `At most ${number} of ${total} is not none: an honest photograph can be among them.`;
  const changes = stability && stability.held < stability.of ? [`It does not survive every delivery. ${heldWords(stability)}`] : [];
  return [rests, means, ...changes];
}

/** In how many deliveries the verdict holds, in a sentence. */
function heldWords({ held, of, deliveries }) {
  const holds = deliveries.some((each) => each.held && each.inconclusive) ? "stays inconclusive" : "holds";
  return `The verdict ${holds} in ${held === of ? "all" : held || "none"} of the ${of}.`;
}

/** A sentence for lists and for those who listen. */
export function summary(verdict) {
  const share = percent(verdict.probabilities[verdict.label]);
  if (verdict.inconclusive && verdict.budget) return "inconclusive";
  return verdict.inconclusive
    ? `inconclusive, leaning towards ${WORDS[verdict.label]} (${share})`
    : `${WORDS[verdict.label]} (${share})`;
}

export function showVerdict(verdict) {
  const { label, inconclusive, calibrated, probabilities, budget } = verdict;
  const headline = find("headline");
  headline.className = `headline ${inconclusive ? "unsure" : `is-${label}`}`;
  headline.dataset.sign = inconclusive ? "?" : SIGNS[label];
  headline.textContent = inconclusive ? "Inconclusive" : WORDS[label][0].toUpperCase() + WORDS[label].slice(1);
  find("meaning").textContent = inconclusive && budget ? "The picture is called neither real nor altered or generated." : inconclusive
    ? `By its own calibration the model should not be relied on here. It leans towards ${WORDS[label]}.`
    : MEANING[label];
  find("bars").replaceChildren(...Object.entries(WORDS).flatMap(([name, words]) => {
    const bar = make("i", "", { className: `is-${name}` });
    bar.setAttribute("aria-hidden", "true");
    bar.style.setProperty("--share", `${100 * probabilities[name]}%`);
    const style = name === label ? "largest" : "";
    return [make("span", words, { className: style }), bar, make("span", percent(probabilities[name]), { className: `number ${style}` })];
  }));
  find("calibrated").textContent = calibrated
    ? "Calibrated: the percentages were fitted to pictures that the model had not learned from. On other kinds of pictures they can be off."
    : "Not calibrated: read the percentages as an order, not as chances.";
  find("promise").hidden = find("uncertain").hidden = !budget;
  find("promise").textContent = budget ? promise(verdict) : "";
  find("reasons").replaceChildren(...(budget ? reasons(verdict) : []).map((text) => make("li", text)));
  list("warnings", verdict.warnings);
  const own = WEAK_BY_MODEL[verdict.model.name];
  find("weak").replaceChildren(...[...(own ? [own] : []), ...WEAK].map((text) => make("li", text)));
  showFacts(verdict);
}

/** Where the mask is, in a sentence. */
export function whereWords(verdict) {
  const mask = verdict.mask;
  if (mask === null) return "No part of the picture is marked as altered.";
  if (mask.regions.length === 0) return "The mask is empty: no pixel is above its threshold.";
  const count = mask.regions.length === 1 ? "one region" : `${mask.regions.length} regions`;
  return `${percent(mask.area)} of the picture is marked as altered, in ${count}: wherever the model gives a probability above ${mask.threshold}.`;
}

/** The deliveries in a row, each with its verdict; `jpegs` has their pictures, where they are still there. */
export function showStability({ stability, budget, inconclusive, label }, jpegs) {
  find("stability").hidden = !stability;
  if (!stability) return;
  // Deliveries are held against the verdict before an unstable one became inconclusive.
  const revoked = inconclusive && stability.deliveries.some((each) => each.held !== each.inconclusive);
  find("held").textContent = revoked
    ? `As it is, the picture would be called ${WORDS[label]}. That holds in ${stability.held ? `only ${stability.held}` : "none"} of the ${stability.of}, so the verdict is inconclusive.`
    : heldWords(stability);
  find("deliveries").replaceChildren(...stability.deliveries.map((delivery) => {
    const title = DELIVERIES[delivery.name] ?? spaced(delivery.name), item = make("li", "", { className: delivery.held ? "" : "changed" });
    if (jpegs[delivery.name]) item.append(make("img", "", { src: `data:image/jpeg;base64,${jpegs[delivery.name]}`, alt: `The picture after ${title}` }));
    item.append(make("b", title), make("span", summary({ ...delivery, budget })));
    if (!delivery.held) item.append(make("span", "does not hold"));
    return item;
  }));
}

export function showExplanation(explanation) {
  find("why").hidden = explanation === null;
  if (explanation === null) return;
  const left = explanation.claims.map((claim, i) => ({ ...claim, i }));
  const sections = [...PARTS, ...HEADINGS]
    .map(([name, heading]) => [heading, explanation[name] ?? explanation.inconsistencies[name]])
    .concat([["Evidence", explanation.text.match(/\bEvidence: (.*)\.$/)?.[1]]])
    .filter(([, text]) => text);
  if (sections.length === 0) sections.push(["In its own form", explanation.text]);
  find("text").replaceChildren(...sections.flatMap(([heading, text]) => {
    const said = make("dd");
    said.append(...linked(text, left));
    return [make("dt", heading), said];
  }));
  if (!explanation.complete) find("text").append(make("dd", "The text was cut: it reached the most words that the model may write."));
  const rows = explanation.claims.map((claim, i) => {
    const row = make("tr", "", { id: `evidence-${i}`, tabIndex: -1 });
    row.append(make("td", claim.text), make("td", claim.cue), number(claim.inside), number(claim.outside));
    whileAt(row, (on) => lightClaim(i, on));
    return row;
  });
  find("evidence").hidden = rows.length === 0;
  find("evidence").tBodies[0].replaceChildren(...rows);
}

/** A text whose claims are links to their evidence. A claim is linked once, where it comes first. */
function linked(text, left) {
  const place = left.map((claim) => text.indexOf(claim.text)).map((at, i) => ({ at, i })).filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)[0];
  if (place === undefined) return [text];
  const [claim] = left.splice(place.i, 1);
  const link = make("a", claim.text, { href: `#evidence-${claim.i}`, className: "claim" });
  whileAt(link, (on) => lightClaim(claim.i, on));
  const end = place.at + claim.text.length;
  return [text.slice(0, place.at), link, ...linked(text.slice(end), left)];
}

/** Show a claim's evidence: its row, and the regions that it was measured in. */
function lightClaim(i, on) {
  find(`evidence-${i}`)?.classList.toggle("lit", on);
  light(on);
}

export function showProvenance(provenance) {
  find("provenance").hidden = provenance === null;
  if (provenance === null) return;
  const origins = provenance.declared.filter((each) => each.name === "origin").map((each) => `${each.value} (${stateOf(each)})`);
  list("contradictions", [...origins, ...provenance.contradictions]);
  table("declared", provenance.declared, (each) => [spaced(each.name), declaredValue(each), each.source, stateOf(each)]);
  const leftOut = [...new Set((provenance.left_out ?? []).map((name) => ["latitude", "longitude"].includes(name) ? "place (GPS)" : spaced(name)))];
  find("left-out").hidden = leftOut.length === 0;
  find("left-out").textContent = `Left out, as it can lead to a person or a place: ${leftOut.join(", ")}.`;
  table("measured", provenance.measured.filter((each) => each.value !== null), (each) => [
    spaced(each.name), measured(each), each.meaning, each.limits,
  ]);
  const missing = provenance.measured.filter((each) => each.value === null).map((each) => spaced(each.name));
  find("missing").hidden = missing.length === 0;
  find("missing").textContent = `Looked for, and not found: ${missing.join(", ")}.`;
}

/** The state, with the list that makes an issuer trusted. */
function stateOf(each) {
  return each.trusted_by ? `${each.state}, by ${each.trusted_by}` : each.state;
}

/** A value; of ingredients, with their thumbnails. */
function declaredValue(each) {
  if (each.name !== "ingredients" || !each.source.startsWith("C2PA") || !Array.isArray(each.value)) return words(each.value);
  const cell = make("div");
  cell.append(...each.value.map(({ thumbnail, ...said }) => {
    const entry = make("p", words(said));
    if (String(thumbnail).startsWith("data:image/jpeg;base64,")) entry.prepend(make("img", "", { src: thumbnail, alt: `Thumbnail of ${said.title ?? "an ingredient"}` }));
    return entry;
  }));
  return cell;
}

function table(id, entries, cells) {
  find(id).hidden = entries.length === 0;
  find(id).tBodies[0].replaceChildren(...entries.map((each) => {
    const row = make("tr");
    row.append(...cells(each).map((value) => {
      const cell = make("td");
      cell.append(value ?? "");
      return cell;
    }));
    return row;
  }));
}

function list(id, texts) {
  find(id).hidden = texts.length === 0;
  find(id).replaceChildren(...texts.map((text) => make("li", text)));
}

function showFacts(verdict) {
  const facts = {
    Size: `${verdict.width} × ${verdict.height}`, Format: verdict.format, "SHA-256": verdict.sha256,
    Model: `${verdict.model.name}, version ${verdict.model.version}`, "Model’s digest": verdict.model.digest,
    Took: `${verdict.seconds.toFixed(1)} s`,
  };
  find("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(([name, value]) => {
    const pair = make("div"), said = make("dd");
    said.append(make(value.length > 40 ? "code" : "span", value));
    pair.append(make("dt", name), said);
    return pair;
  }));
}

const number = (value) => make("td", value.toFixed(2), { className: "number" });
const spaced = (name) => name.replaceAll("_", " ");
const measured = (each) => [words(each.value), each.unit].filter(Boolean).join(" ");
function words(value) {
  if (Array.isArray(value)) return value.map(words).join(" | ");
  if (value === null || typeof value === "boolean") return { null: "none", true: "yes", false: "no" }[value];
  if (typeof value !== "object") return String(value);
  return Object.entries(value).map(([name, each]) => `${spaced(name)}: ${words(each)}`).join("; ");
}
