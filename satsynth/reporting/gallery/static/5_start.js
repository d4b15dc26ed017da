// What was chosen, kept in the address so that it can be passed on, and shown.

const form = find("choices");
const places = [...form.elements.place.options].map((option) => option.value);
const state = { place: places[0], chosen: { ...CHOICES }, numbers: null };
let refused = 0;

function failed(error) {
  const problem = find("problem");
  problem.textContent = error.message;
  problem.hidden = false;
  (dialog.open ? dialog : grid.parentElement).prepend(problem); // what lies behind an open dialog nobody is told of
}

/** Read the address: unknown words are passed over. */
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const place = given.get("place");
  const chosen = Object.fromEntries(Object.entries(CHOICES).map(([name, value]) => [name, given.get(name) ?? value]));
  return { place: places.includes(place) ? place : state.place, chosen, pair: given.get("pair") };
}

function writeAddress() {
  const told = new URLSearchParams({ place: state.place });
  for (const [name, value] of Object.entries(state.chosen)) if (value !== CHOICES[name]) told.set(name, value);
  if (pair.row >= 0) told.set("pair", state.numbers.columns.index[pair.row]);
  clearTimeout(refused);
  try {
    history.replaceState(null, "", `#${told}`);
  } catch {
    refused = setTimeout(writeAddress, 1000); // browsers refuse some hundred changes in a row, as of an arrow key that is held down
  }
}

/** Options of the form that depend on the data, and fields that these data lack. */
function fit() {
  const { numbers } = state;
  const { columns } = numbers;
  const options = [new Option("any", ""), ...numbers.classes.map((entry) => new Option(entry.name, entry.name))];
  form.elements.class.replaceChildren(...options);
  for (const field of form.querySelectorAll("[data-needs]")) field.hidden = !columns[field.dataset.needs];
  for (const option of form.elements.sort.options) {
    const needs = option.dataset.needs;
    option.hidden = option.disabled = Boolean(needs) && !columns[needs];
  }
  for (const unit of form.querySelectorAll(".unit")) unit.textContent = numbers.unit ? "× threshold" : "(features)";
}

function fillForm() {
  form.elements.place.value = state.place;
  for (const [name, value] of Object.entries(state.chosen)) {
    const field = form.elements[name];
    if (field.type === "checkbox") field.checked = Boolean(value);
    else field.value = value;
    if (field.type !== "checkbox" && field.value !== value) field.value = state.chosen[name] = CHOICES[name]; // a word that means nothing here
  }
  form.elements.least.disabled = !state.chosen.class;
}

function readForm() {
  for (const name of Object.keys(CHOICES)) {
    const field = form.elements[name];
    state.chosen[name] = field.type === "checkbox" ? (field.checked ? "1" : "") : field.value;
  }
  if (state.chosen.sort === "share" && !state.chosen.class) state.chosen.sort = form.elements.sort.value = "index";
  form.elements.least.disabled = !state.chosen.class;
}

function counted(count) {
  return count.toLocaleString("en").replaceAll(",", "\u202f");
}

/** Filter, sort and show. */
function show() {
  const { numbers, chosen } = state;
  const order = orderOf(numbers, chosen);
  tiles.show(numbers, order, chosen);
  find("count").textContent = `${counted(order.length)} of ${counted(numbers.count)} pairs`;
  const rest = numbers.total > numbers.count ? `, the first of ${counted(numbers.total)} by index` : "";
  find("shown").textContent = `${numbers.source} on ${numbers.dataset}, ${numbers.size} px${rest}`;
  find("none").hidden = order.length > 0;
}

async function load(wanted) {
  try {
    const moved = state.place !== wanted.place || state.numbers === null;
    Object.assign(state, { place: wanted.place, chosen: wanted.chosen });
    if (moved) {
      const numbers = await numbersOf(wanted.place);
      if (state.place !== wanted.place) return; // another source was asked for meanwhile
      state.numbers = numbers;
      fit();
    }
    fillForm();
    show();
    const row = wanted.pair === null ? -1 : state.numbers.columns.index.indexOf(Number(wanted.pair));
    if (row >= 0) await pair.open(state.numbers, row);
    else if (dialog.open) dialog.close();
    writeAddress();
  } catch (error) {
    failed(error);
    if (state.numbers && state.place === wanted.place) state.place = form.elements.place.value = state.numbers.place; // what is still shown
  }
}

let settling = 0;
form.addEventListener("input", (event) => {
  if (event.target === form.elements.place) {
    load({ place: form.elements.place.value, chosen: { ...CHOICES, show: state.chosen.show }, pair: null });
    return;
  }
  readForm();
  clearTimeout(settling);
  const typed = event.target.type === "number" ? 150 : 0; // a number may have more digits
  settling = setTimeout(() => {
    show();
    writeAddress();
  }, typed);
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", (event) => {
  event.preventDefault();
  load({ place: state.place, chosen: { ...CHOICES }, pair: null });
});
window.addEventListener("hashchange", () => load(readAddress()));
tiles.opened = (place) => pair.open(state.numbers, tiles.order[place]);
pair.changed = writeAddress;
find("filters").open = window.innerWidth > 640;
load(readAddress());
