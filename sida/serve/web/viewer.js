// The picture with what was found over it: mask, outline or heat map; how much of each; zoom.

const find = (id) => document.getElementById(id);
const stage = find("stage"), original = find("original"), layer = find("layer"), boxes = find("boxes");
const LARGEST = 2048; // pixels of a side of what is drawn over: more is not seen
const FIRST = 5; // regions that are listed at once
const RAMP = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];
const MASK = [255, 45, 85];

let shown = null; // { answer, images } of the picture that is looked at
let zoom = 1;

const png = (base64) => `data:image/png;base64,${base64}`;

const sourcesOf = (answer) => ({ mask: answer.mask_png, overlay: answer.overlay_png, heat: answer.probability_png, generated: answer.evidence_png });

function load(source) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("cannot be shown"));
    image.src = source;
  });
}

/** Show a picture; `address` is that of its file, null where it is not there any more. */
export async function show(answer, address) {
  const mine = { answer, address };
  shown = mine;
  setZoom(1);
  const sources = sourcesOf(answer);
  for (const input of find("layers").querySelectorAll("input")) {
    const has = input.value === "none" || Boolean(sources[input.value]);
    input.parentElement.hidden = !has;
  }
  find("over").hidden = !Object.values(sources).some(Boolean);
  // A heat map covers the picture: that of what looks generated comes first only where it is the evidence.
  const first = sources.mask ? "mask" : sources.generated && answer.label === "full_synthetic" ? "generated" : "none";
  find("layers").querySelector(`[value=${first}]`).checked = true;
  find("viewer").hidden = address === null;
  find("unshown").hidden = true;
  if (address === null) return;
  stage.style.setProperty("--aspect", answer.width / answer.height); // all of it fits the window
  original.alt = `${answer.image ?? "The picture"}, ${answer.width} × ${answer.height}`;
  boxes.setAttribute("viewBox", `0 0 ${answer.width} ${answer.height}`);
  try {
    await load(address);
    if (shown === mine) original.src = address;
  } catch {
    if (shown !== mine) return;
    find("unshown").hidden = false;
    find("unshown").textContent = answer.overlay_png
      ? `This browser cannot show ${answer.format ?? "the file"}; the outline shows the picture.`
      : `This browser cannot show ${answer.format ?? "the file"}; it was judged all the same.`;
    if (answer.overlay_png) original.src = png(answer.overlay_png);
    else original.removeAttribute("src");
  }
  await draw();
}

async function draw() {
  const mine = shown;
  const wanted = find("layers").querySelector("input:checked").value;
  find("scale").hidden = wanted !== "heat" && wanted !== "generated";
  find("scale-of").textContent = wanted === "generated" ? "to be generated" : "to be altered";
  const source = sourcesOf(mine.answer)[wanted];
  const image = source ? await load(png(source)) : null;
  if (shown !== mine) return;
  const share = Math.min(1, LARGEST / Math.max(mine.answer.width, mine.answer.height));
  layer.width = Math.max(1, Math.round(mine.answer.width * share));
  layer.height = Math.max(1, Math.round(mine.answer.height * share));
  layer.dataset.layer = wanted;
  if (image === null) return;
  const context = layer.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, layer.width, layer.height);
  if (wanted === "overlay") return;
  const data = context.getImageData(0, 0, layer.width, layer.height);
  const paint = wanted === "mask" ? tint : colour;
  for (let i = 0; i < data.data.length; i += 4) paint(data.data, i);
  context.putImageData(data, 0, 0);
}

function tint(pixels, i) {
  const inside = pixels[i] >= 128;
  pixels.set(MASK, i);
  pixels[i + 3] = inside ? 255 : 0;
}

function colour(pixels, i) {
  const place = (pixels[i] / 255) * (RAMP.length - 1);
  const low = Math.min(RAMP.length - 2, Math.floor(place));
  for (let channel = 0; channel < 3; channel++) {
    const [from, to] = [RAMP[low][channel], RAMP[low + 1][channel]];
    pixels[i + channel] = from + (to - from) * (place - low);
  }
}

/** Regions as boxes over the picture and as buttons below it. */
export function showRegions(regions) {
  const names = regions.map((region, i) => {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const [left, top, right, bottom] = region.box;
    Object.entries({ x: left, y: top, width: right - left, height: bottom - top })
      .forEach(([name, value]) => box.setAttribute(name, value));
    return { region, box, i };
  });
  boxes.replaceChildren(...names.map(({ box }) => box));
  const items = names.map(({ region, i }) => {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = `${region.position}: ${percent(region.area)}, ${region.score.toFixed(2)}`;
    const lightOne = (on) => light(on, [i]);
    whileAt(button, lightOne);
    button.addEventListener("click", () => lightOne(true));
    item.append(button);
    return item;
  });
  find("regions-title").hidden = items.length === 0;
  find("regions").replaceChildren(...items.slice(0, FIRST));
  find("more").hidden = items.length <= FIRST;
  find("regions-more").replaceChildren(...items.slice(FIRST));
}

/** Make boxes visible, all of them or some. */
export function light(on, which = null) {
  [...boxes.children].forEach((box, i) => box.classList.toggle("lit", on && (which === null || which.includes(i))));
}

/** Call with true while the pointer or the keyboard is at an element, with false afterwards. */
export function whileAt(element, call) {
  for (const event of ["pointerenter", "focus"]) element.addEventListener(event, () => call(true));
  for (const event of ["pointerleave", "blur"]) element.addEventListener(event, () => call(false));
}

export function percent(share) {
  const value = 100 * share;
  return `${value > 0 && value < 0.1 ? "< 0.1" : value.toFixed(1)}\u00a0%`;
}

function setZoom(value) {
  zoom = Math.min(8, Math.max(1, value));
  stage.style.setProperty("--zoom", zoom);
  find("zoom").textContent = `${Math.round(100 * zoom)} %`;
  find("smaller").disabled = zoom === 1;
  find("larger").disabled = zoom === 8;
}

find("layers").addEventListener("change", draw);
find("split").addEventListener("input", (event) => {
  stage.style.setProperty("--split", `${event.target.value}%`);
  find("split-line").hidden = event.target.value === "0";
});
find("opacity").addEventListener("input", (event) => stage.style.setProperty("--opacity", event.target.value / 100));
find("smaller").addEventListener("click", () => setZoom(zoom / 1.5));
find("larger").addEventListener("click", () => setZoom(zoom * 1.5));
stage.parentElement.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  setZoom(zoom * (event.deltaY < 0 ? 1.2 : 1 / 1.2));
}, { passive: false });
