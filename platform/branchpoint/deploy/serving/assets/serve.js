"use strict";
const one = (selector) => document.querySelector(selector);
const chosen = new Map(); // path in the study -> {file, modality}

async function walk(entry, path) {
  if (entry.isFile) {
    const file = await new Promise((done, fail) => entry.file(done, fail));
    add(path + file.name, file, "");
    return;
  }
  const reader = entry.createReader();
  for (;;) { // a folder is read in parts
    const part = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!part.length) return;
    for (const child of part) await walk(child, path + entry.name + "/");
  }
}

function add(name, file, modality) {
  if (!name.split("/").some((part) => part.startsWith("."))) chosen.set(name, { file, modality });
}

function show() {
  const bytes = [...chosen.values()].reduce((sum, { file }) => sum + file.size, 0);
  const names = [...chosen.keys()];
  const listed = names.length > 3 ? `${names.length} files` : names.join(", ");
  one("#chosen").textContent = names.length ? `${listed}; ${(bytes / 2 ** 20).toFixed(1)} MiB` : "";
  one("#go").disabled = !names.length;
}

function take(files) {
  chosen.clear();
  for (const file of files) add(file.webkitRelativePath || file.name, file, "");
  show();
}

async function post(address, body) {
  const answer = await fetch(address, { method: "POST", body });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const text = await answer.text();
  try {
    const { found, fix } = JSON.parse(text);
    throw new Error(`${found}. ${fix[0].toUpperCase()}${fix.slice(1)}.`);
  } catch (problem) {
    throw problem instanceof SyntaxError ? new Error(text || answer.statusText) : problem;
  }
}

function fields(name) {
  const found = {};
  for (const field of document.querySelectorAll(`[data-${name}]`)) found[field.dataset[name]] = field.value;
  return found;
}

async function send() {
  one("#problem").hidden = true;
  one("#go").disabled = true;
  const bar = one("#progress");
  bar.hidden = false;
  try {
    const about = { label: one("#label").value, options: fields("option"), covariates: fields("covariate") };
    const { id } = await post("/studies", JSON.stringify(about));
    let sent = 0;
    for (const [name, { file, modality }] of chosen) {
      await post(`/studies/${id}/upload?${new URLSearchParams({ name, modality })}`, file);
      bar.value = ++sent / chosen.size;
    }
    const { address } = await post(`/studies/${id}/start`, "");
    location.assign(address);
  } catch (problem) {
    one("#problem p").textContent = problem.message;
    one("#problem").hidden = false;
    bar.hidden = true;
    show();
  }
}

function prepareForm() {
  const drop = one("#drop");
  for (const kind of ["dragenter", "dragover"])
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    chosen.clear();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    for (const entry of entries) await walk(entry, "");
    show();
  });
  for (const name of ["#files", "#folder"])
    one(name)?.addEventListener("change", (event) => take(event.target.files));
  for (const field of document.querySelectorAll("[data-modality]"))
    field.addEventListener("change", () => {
      for (const [name, { modality }] of chosen) if (!modality || modality === field.dataset.modality) chosen.delete(name);
      for (const file of field.files) add(`${field.dataset.modality}/${file.name}`, file, field.dataset.modality);
      show();
    });
  one("#study").addEventListener("submit", (event) => { event.preventDefault(); send(); });
}

async function wait(id) {
  for (;;) {
    await new Promise((done) => setTimeout(done, 500));
    const answer = await fetch(`/studies/${id}/state`);
    if (!answer.ok) break;
    const { state, ahead } = await answer.json();
    if (state !== "waiting" && state !== "running") break;
    one("#waiting").textContent = state === "running" ? "Predicting …" : `Waiting: ${ahead} ahead …`;
  }
  location.reload();
}

if (one("#study")) prepareForm();
const { state, id } = document.body.dataset;
if (state === "waiting" || state === "running") wait(id);
