// One pair beside its nearest real one, with all that is known of it.

const dialog = document.getElementById("pair");
const find = (name) => document.getElementById(name);

const pair = {
  numbers: null,
  place: -1, // in `tiles.order`; -1 where the filters leave the pair out
  row: -1,
  hidden: new Set(), // places of classes whose pixels are not shown
  changed: () => {},

  /** Show a row; the dialog opens if it is not open yet. */
  async open(numbers, row) {
    const place = tiles.order.indexOf(row);
    if (numbers !== this.numbers) this.hidden.clear();
    Object.assign(this, { numbers, row, place });
    const { columns } = numbers;
    find("pair-h").textContent = `Pair ${columns.index[row]} of ${numbers.source}`;
    const known = place >= 0;
    find("pair-place").textContent = known ? `${place + 1} of ${tiles.order.length}` : "left out by the filters";
    find("previous").disabled = !known || place === 0;
    find("next").disabled = !known || place === tiles.order.length - 1;
    if (document.activeElement.disabled) find("pair-h").focus(); // a button that is disabled hears no more keys
    find("pair-copied").textContent = "";
    if (dialog.contains(find("problem"))) find("problem").hidden = true; // it was of another pair
    this.write();
    this.legend();
    if (!dialog.open) dialog.showModal();
    this.changed();
    await this.draw();
  },

  step(by) {
    const place = this.place + by;
    if (this.place >= 0 && place >= 0 && place < tiles.order.length) this.open(this.numbers, tiles.order[place]);
  },

  async draw() {
    const { numbers, row } = this;
    const nearest = numbers.columns.nearest?.[row];
    find("real").hidden = nearest === undefined;
    find("turning").hidden = nearest === undefined;
    for (const name of ["made", "nearest"]) find(name).classList.toggle("pixels", numbers.size < 128);
    try {
      const both = await Promise.all([pictures(numbers, "pairs", row), nearest === undefined ? null : pictures(numbers, "real", nearest)]);
      if (this.numbers !== numbers || this.row !== row) return; // another pair was asked for meanwhile
      await Promise.all(["made", "nearest"].map((name, side) => both[side] && this.paint(find(name), both[side])));
    } catch (error) {
      if (this.numbers !== numbers || this.row !== row) return;
      for (const name of ["made", "nearest"]) this.blank(find(name)); // what stands there is another pair
      failed(error);
    }
    find("nearest").style.transform = find("turn").checked ? turning(numbers.columns.turn?.[row] ?? 0) : "";
  },

  blank(stack) {
    const [image, canvas] = stack.children;
    image.removeAttribute("src");
    canvas.width = canvas.height = 0;
  },

  async paint(stack, found) {
    const [image, canvas] = stack.children;
    image.src = found.image;
    const mask = new Image();
    mask.src = found.mask;
    await mask.decode();
    if (image.src !== found.image) return; // another pair was painted meanwhile
    canvas.width = mask.naturalWidth;
    canvas.height = mask.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(mask, 0, 0);
    if (this.hidden.size === 0) return;
    const drawn = context.getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set([...this.hidden].map((place) => this.numbers.classes[place].colour.join()));
    for (let at = 0; at < drawn.data.length; at += 4) {
      if (colours.has(drawn.data.slice(at, at + 3).join())) drawn.data[at + 3] = 0;
    }
    context.putImageData(drawn, 0, 0);
  },

  legend() {
    const { numbers, row } = this;
    const items = numbers.classes.map((entry, place) => {
      const button = document.createElement("button");
      const swatch = document.createElement("span");
      button.type = "button";
      swatch.className = "swatch";
      swatch.style.backgroundColor = `rgb(${entry.colour.join(" ")})`;
      button.append(swatch, `${entry.name} ${percent(share(numbers, row, place))}`);
      button.setAttribute("aria-pressed", String(!this.hidden.has(place)));
      button.addEventListener("click", () => {
        if (!this.hidden.delete(place)) this.hidden.add(place);
        button.setAttribute("aria-pressed", String(!this.hidden.has(place)));
        this.draw();
      });
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
    find("legend").replaceChildren(...items);
  },

  write() {
    const { numbers, row } = this;
    const { columns, made } = numbers;
    const shard = numbers.shards.findLast((entry) => entry.start <= row);
    const real = columns.nearest ? numbers.real[columns.nearest[row]] : null;
    const known = (name, told) => (columns[name] && columns[name][row] !== null ? told(columns[name][row]) : null);
    const lines = [
      ["Decision", known("decision", (value) => DECISIONS[value])],
      ["Reasons", known("reasons", (value) => value || "none")],
      ["Labelled pixels in doubt", known("masked", percent)],
      ["Feature distance by the judge", known("judgedDistance", said)],
      ["Feature distance", columns.distance ? this.far(row) : null],
      ["Ratio to the second nearest", known("ratio", said)],
      ["Pixel distance", known("pixelDistance", (value) => `${said(value)} (RMS of 0 to 255; threshold ${said(numbers.thresholds.pixel)})`)],
      ["Nearest real patch", real ? this.patch(real) : null],
      ["Code margin", known("margin", said)],
      ["Invalid codes", known("invalid", percent)],
      ["Unlabelled", percent(share(numbers, row, -1))],
      ["Index and seed", [`${columns.index[row]}`, known("seed", (value) => `seed ${value}`)].filter(Boolean).join(", ")],
      ["Original row", known("original", String)],
      ["Shard", `${shard.path}, row ${columns.row[row]}`],
      ["Weights (SHA-256)", made.weights ? made.weights.join(", ") : null],
      ["Network evaluations", made.nfe ? made.nfe.join(" + ") : null],
      ["Sampler", made.samplers ? made.samplers.map(samplerSaid).join("; ") : null],
      ["Augmentation", made.augment ? String(made.augment) : null],
    ];
    const cells = lines.filter(([, value]) => value !== null).flatMap(([name, value]) => {
      const [term, told] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      told.textContent = value;
      return [term, told];
    });
    find("numbers").replaceChildren(...cells);
    find("real-caption").textContent = real ? `Nearest real training patch: ${this.patch(real)}` : "";
  },

  far(row) {
    const { numbers } = this;
    const value = numbers.columns.distance[row];
    const copy = value < numbers.thresholds.feature ? ": a near copy by this measure" : "";
    return `${said(value)}${numbers.unit ? ` = ${distanceSaid(numbers, row)}` : ` (threshold ${said(numbers.thresholds.feature)})`}${copy}`;
  },

  patch(real) {
    const where = real.scene === undefined ? "" : `, ${real.scene} at ${real.left}, ${real.top}`;
    return `row ${real.row}${where}`;
  },
};

function samplerSaid(sampler) {
  return Object.entries(sampler).map(([name, value]) => `${name} ${value}`).join(", ");
}

/** The real patch as it lies under the synthetic one: the symmetry that was applied to the latter, undone.
 *  Bits of a symmetry: 1 transposes, then 2 mirrors left-right, then 4 mirrors top-bottom. */
function turning(symmetry) {
  return `matrix(${symmetry & 1 ? "0, 1, 1, 0" : "1, 0, 0, 1"}, 0, 0) scale(${symmetry & 2 ? -1 : 1}, ${symmetry & 4 ? -1 : 1})`;
}

find("previous").addEventListener("click", () => pair.step(-1));
find("next").addEventListener("click", () => pair.step(1));
find("close").addEventListener("click", () => dialog.close());
find("turn").addEventListener("change", () => pair.draw());
find("opacity").addEventListener("input", (event) => {
  for (const canvas of dialog.querySelectorAll("canvas")) canvas.style.opacity = event.target.value / 100;
});
find("copy").addEventListener("click", async () => {
  let told = "Copied.";
  try {
    await navigator.clipboard.writeText(location.href);
  } catch {
    told = "Copy the address of this page.";
  }
  find("pair-copied").textContent = told;
});
dialog.addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1 };
  if (!(event.key in steps) || event.target.type === "range" || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  pair.step(steps[event.key]);
});
dialog.addEventListener("close", () => {
  const { place } = pair;
  Object.assign(pair, { row: -1, place: -1 });
  pair.changed();
  if (place >= 0) tiles.focus(place);
});
